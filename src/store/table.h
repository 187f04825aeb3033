/// One table of a store: a file's tensors, their index, and the binding that kernels read.
#ifndef NORN_STORE_TABLE_H
#define NORN_STORE_TABLE_H

#include "base/arena.h"
#include "base/file.h"
#include "kernel/table.h"
#include "store/host/host_table.h"
#include "store/tier.h"
#include "tensor/safetensors.h"

typedef struct norn_table {
    atomic_uint references;
    norn_alloc alloc;
    char *name, *source;
    const int64_t *keys; ///< of the rows, until it is trimmed; NULL: dense
    norn_file *file;     ///< rows alias it; NULL in tests, and of int8 rows
    norn_arena arena;    ///< tensors that the file does not align
    void *packed;        ///< I8 rows with their scales behind them, NULL for other types
    norn_host_table rows;
    norn_table_binding binding;
    _Atomic uint64_t missing; ///< lookups that found no row
} norn_table;

/// Read `path` and index it. Tensors: "rows" [n, dim] of float32, float16, bfloat16 or int8;
/// "keys" [n] int64 (without it the table is dense); "scales" [n] float32 for int8;
/// "default" [dim], the row of missing keys.
/// Errors   NOT_FOUND; DATA_LOSS: truncated; INVALID_ARGUMENT; names file and tensor
norn_status norn_table_open(const char *path, const char *name, norn_alloc alloc,
                            norn_table **out) NORN_NODISCARD;
/// The same from bytes that outlive the table; `source` is for messages.
norn_status norn_table_decode(norn_span bytes, const char *source, const char *name,
                              norn_alloc alloc, norn_table **out) NORN_NODISCARD;
/// Do the parts of a table file go together, and is no key there twice? `source` is for messages.
/// Errors   INVALID_ARGUMENT; RESOURCE_EXHAUSTED
norn_status norn_table_parts_check(const norn_safetensor *parts, size_t count, const char *source,
                                   norn_alloc alloc) NORN_NODISCARD;
/// What the head of a file says of its table, without its rows: `name` and `path` are borrowed, the
/// default row is not read. *bytes: of the file.
/// Errors   those of norn_table_open, but for keys that repeat
norn_status norn_table_head_read(const char *path, const char *name, norn_alloc alloc,
                                 norn_table_form *out, uint64_t *bytes) NORN_NODISCARD;
/// Give back memory of the file that only opening it needed: keys, and int8 rows that were packed.
/// For the table's only holder.
void norn_table_trim(norn_table *table);
norn_table *norn_table_retain(norn_table *table);
void norn_table_release(norn_table *table); ///< takes NULL

#endif
