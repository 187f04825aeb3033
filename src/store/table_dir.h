/// All tables of a folder: every `NAME.safetensors` that is not hidden, in order of name.
#ifndef NORN_STORE_TABLE_DIR_H
#define NORN_STORE_TABLE_DIR_H

#include "store/table.h"

typedef struct norn_table_dir {
    norn_alloc alloc;
    norn_table **tables; ///< a reference each
    size_t count, capacity;
} norn_table_dir;

/// The names of a folder's tables.
typedef struct norn_table_names {
    norn_alloc alloc;
    char **at; ///< in order
    size_t count, capacity;
} norn_table_names;

/// Errors   NOT_FOUND, PERMISSION_DENIED
norn_status norn_table_names_read(const char *dir, norn_alloc alloc,
                                  norn_table_names *out) NORN_NODISCARD;
void norn_table_names_deinit(norn_table_names *names);
/// One of them, for those who do not want all in memory at once. Errors: those of norn_table_open
norn_status norn_table_dir_table(const char *dir, const char *name, norn_alloc alloc,
                                 norn_table **out) NORN_NODISCARD;

/// All or none.
/// Errors   NOT_FOUND, PERMISSION_DENIED; those of norn_table_open
norn_status norn_table_dir_open(const char *dir, norn_alloc alloc,
                                norn_table_dir *out) NORN_NODISCARD;
/// Gives the references back.
void norn_table_dir_close(norn_table_dir *tables);

#endif
