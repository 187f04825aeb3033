/// All tables of a folder: every `NAME.safetensors` that is not hidden, in order of name.
#ifndef NORN_STORE_TABLE_DIR_H
#define NORN_STORE_TABLE_DIR_H

#include "store/table.h"

typedef struct norn_table_dir {
    norn_alloc alloc;
    norn_table **tables; ///< a reference each
    size_t count, capacity;
} norn_table_dir;

/// All or none.
/// Errors   NOT_FOUND, PERMISSION_DENIED; those of norn_table_open
norn_status norn_table_dir_open(const char *dir, norn_alloc alloc,
                                norn_table_dir *out) NORN_NODISCARD;
/// Gives the references back.
void norn_table_dir_close(norn_table_dir *tables);

#endif
