/// How a kernel reads an embedding table: what a tier (or a stack of tiers) offers to a lookup.
///
/// A binding is made by the store for one snapshot and one device; kernels borrow it for a run.
#ifndef NORN_DEVICE_TABLE_H
#define NORN_DEVICE_TABLE_H

#include "base/status.h"
#include "norn/store.h"

#include <stdatomic.h>
#include <stdint.h>

typedef enum norn_missing_policy {
    NORN_MISSING_DEFAULT, ///< the default row (zeros unless the table has one); counted
    NORN_MISSING_ERROR,   ///< INVALID_ARGUMENT naming table and key: right for dense tables
} norn_missing_policy;

typedef struct norn_table_binding {
    const char *name;
    const char *source; ///< file that it came from, for messages; may be NULL
    norn_dtype dtype;   ///< of the elements: F32, F16, BF16, I8 (each row ends in its scale)
    int64_t dim;        ///< elements a row
    int64_t row_bytes;  ///< distance between rows of `rows`
    int64_t row_count;
    norn_missing_policy missing;

    /// Dense: key k is row k of `rows` (device memory on CUDA),
    /// 0 <= k < row_count. `resolve` is NULL.
    const void *rows;

    /// Otherwise: points row_out[i] at the row of keys[i], NULL where it is missing. Host memory,
    /// valid while the snapshot is held. Any thread.
    norn_status (*resolve)(const struct norn_table_binding *table, const int64_t *keys,
                           int64_t count, const void **row_out);
    const void *context;
    /// Host, hashed: key of row i of `rows`, so that a device can build
    /// its own index; NULL: not listed.
    const int64_t *keys;

    /// CUDA, hashed: buckets of eight int64 keys in device memory; row index = bucket * 8 + slot.
    const void *buckets;
    uint64_t bucket_mask;

    const void *default_row;         ///< dim elements of dtype; NULL: zeros
    _Atomic uint64_t *missing_count; ///< keys without a row, whatever the policy; NULL: not counted
} norn_table_binding;

/// What a kernel on a device reads of one table while it runs: plain data, so that all tables
/// of a snapshot are one array in device memory. A captured graph holds the array's address alone;
/// another snapshot of the same layout changes what lies in it, and no graph is captured again.
typedef struct norn_table_view {
    const void *rows;
    const void *default_row; ///< NULL: zeros
    const void *buckets;     ///< hashed: see norn_table_binding; NULL: dense
    uint64_t bucket_mask;
    int64_t row_count, row_bytes;
    _Atomic uint64_t *missing_count; ///< on the device
    int64_t missing_is_error;
} norn_table_view;

static inline norn_table_view norn_table_view_of(const norn_table_binding *table) {
    return (norn_table_view){.rows = table->rows,
                             .default_row = table->default_row,
                             .buckets = table->buckets,
                             .bucket_mask = table->bucket_mask,
                             .row_count = table->row_count,
                             .row_bytes = table->row_bytes,
                             .missing_count = table->missing_count,
                             .missing_is_error = table->missing == NORN_MISSING_ERROR};
}

/// Bytes from the start of an I8 row to its float32 scale: an element is its int8 times the scale.
static inline int64_t norn_table_scale_offset(int64_t dim) {
    return (dim + 3) / 4 * 4;
}

/// One immutable view of some tables: what a session pins while it runs. The plan makes one of its
/// own tables, the store one of everything that it holds. Counted: norn_snapshot_retain, _release.
struct norn_snapshot {
    atomic_uint references; ///< begins at 1
    /// NULL: no such table. Borrowed while the snapshot is held. Any thread.
    const norn_table_binding *(*find)(const norn_snapshot *self, const char *name);
    void (*destroy)(norn_snapshot *self); ///< at the last release
};

#endif
