/// Table files: made of arrays, turned back into them bit for bit, and written from rows in memory.
#ifndef NORN_STORE_TABLE_FILE_H
#define NORN_STORE_TABLE_FILE_H

#include "kernel/host_rows.h"
#include "store/tier.h"

/// The parts of a table, each as a file of one array: .npy (bfloat16 as uint16, for numpy has none)
/// or .safetensors. NULL: the table has no such part.
typedef struct norn_table_parts {
    const char *rows;     ///< [n, dim] of float32, float16, bfloat16 or int8
    const char *keys;     ///< [n] of an integer type; NULL: dense
    const char *scales;   ///< [n] float32, of int8
    const char *fallback; ///< [dim], the row of missing keys
    const char *tensor;   ///< which one of a .safetensors with several is the rows; NULL: its only
} norn_table_parts;

/// Write the table file `path` of these parts; rows stay in their order.
/// Errors   INVALID_ARGUMENT: types or shapes do not go together, a key comes twice; names the file
norn_status norn_table_import(const norn_table_parts *parts, const char *path,
                              norn_alloc alloc) NORN_NODISCARD;
/// Write the parts of the table file `path`; `tensor` (NULL: "weight") names what a .safetensors
/// of rows holds.
/// Errors   INVALID_ARGUMENT: it has a part for which there is no file, or lacks one; nothing is written
norn_status norn_table_export(const char *path, const norn_table_parts *parts,
                              norn_alloc alloc) NORN_NODISCARD;
/// Write the rows as of `step` in order of their keys.
norn_status norn_table_write(const norn_table_form *form, const norn_host_rows *rows, uint64_t step,
                             const char *path, norn_alloc alloc) NORN_NODISCARD;

#endif
