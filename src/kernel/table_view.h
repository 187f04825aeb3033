/// What a kernel reads of an embedding table while it runs: plain data, a union by `kind`, the same
/// on the host and in device memory. All tables of a snapshot on a device are one array of views;
/// a captured graph holds the array's address alone, so another snapshot of the same layout changes
/// what lies in it and no graph is captured again.
///
/// Memory   everything is borrowed from the snapshot that the view is of.
#ifndef NORN_KERNEL_TABLE_VIEW_H
#define NORN_KERNEL_TABLE_VIEW_H

#include <stdatomic.h>
#include <stdint.h>

struct norn_host_rows;
struct norn_elsewhere;

typedef enum norn_table_kind {
    NORN_TABLE_DENSE,        ///< key k is row k
    NORN_TABLE_HOST_INDEX,   ///< any key, through an index in host memory; a CPU's kernels read it
    NORN_TABLE_DEVICE_CACHE, ///< any key, through buckets in device memory
    NORN_TABLE_ELSEWHERE, ///< not in memory: rows are gathered before a kernel runs; none reads it
} norn_table_kind;

typedef enum norn_missing_policy {
    NORN_MISSING_DEFAULT, ///< the default row (zeros unless the table has one); counted
    NORN_MISSING_ERROR,   ///< INVALID_ARGUMENT naming table and key: right for dense tables
} norn_missing_policy;

typedef struct norn_table_view {
    norn_table_kind kind;
    norn_missing_policy missing;
    int64_t row_count;       ///< of the full version: keys 0 .. row_count - 1 of a dense table
    int64_t row_bytes;       ///< distance between rows, scale and padding included
    const void *default_row; ///< dim elements; NULL: zeros
    _Atomic uint64_t *missing_count; ///< keys without a row, whatever the policy; NULL: not counted
    union {
        struct {
            const void *rows;
        } dense;
        struct {
            const struct norn_host_rows *rows; ///< kernel/host_rows.h
            uint64_t step;                     ///< rows as of this step
        } host;
        /// Buckets of eight int64 keys; row index = bucket * 8 + slot.
        struct {
            const void *rows, *buckets;
            uint64_t bucket_mask;
        } cache;
        struct {
            const struct norn_elsewhere *source; ///< store/elsewhere.h
        } elsewhere;
    };
} norn_table_view;

_Static_assert(sizeof(norn_table_view) == 64, "a cache line, on the device too");

#endif
