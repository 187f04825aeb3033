/// A tier holds rows of one table by key: host memory here; GPU memory, RocksDB and Redis are
/// others. A lookup goes down tier by tier, only for what is missing, and fills upward.
#ifndef NORN_STORE_TIER_H
#define NORN_STORE_TIER_H

#include "base/status.h"
#include "norn/alloc.h"
#include "norn/tensor.h"

#include <stddef.h>
#include <stdint.h>

typedef struct norn_tier norn_tier;

/// What every tier of a table agrees on. A row is `row_bytes` long, scale and padding included.
typedef struct norn_row_form {
    norn_dtype dtype; ///< F32, F16, BF16, I8 (each row ends in its scale: norn_table_scale_offset)
    int64_t dim;
    int64_t row_bytes;
} norn_row_form;

typedef struct norn_tier_stat {
    int64_t rows;
    size_t index_bytes, row_bytes; ///< of memory that the tier took; files not counted
} norn_tier_stat;

typedef struct norn_tier_ops {
    const char *kind; ///< "host"

    /// Point row_out[i] at the row of keys[i]. Keys that the tier lacks get NULL,
    /// and their indexes are put into missing[] in order (room for `count`; NULL: not wanted).
    /// Rows stay where they are until close.
    /// Threads  any, at once, but not beside insert.
    norn_status (*lookup)(norn_tier *self, const int64_t *keys, int64_t count, const void **row_out,
                          int64_t *missing, int64_t *missing_count);
    /// Add rows, `row_bytes` apart in `rows`; a key that is there gets the new bytes.
    /// Threads  one, with no lookup beside it.
    /// Errors   RESOURCE_EXHAUSTED: those before stay
    norn_status (*insert)(norn_tier *self, const int64_t *keys, int64_t count, const void *rows);
    void (*stat)(const norn_tier *self, norn_tier_stat *out);
    void (*close)(norn_tier *self);
} norn_tier_ops;

/// Every tier begins with this.
struct norn_tier {
    const norn_tier_ops *ops;
    norn_row_form form;
};

static inline void norn_tier_close(norn_tier *tier) {
    if (tier) tier->ops->close(tier);
}

#endif
