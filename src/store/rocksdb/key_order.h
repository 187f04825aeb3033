/// Rows in order of their keys.
#ifndef NORN_STORE_ROCKSDB_KEY_ORDER_H
#define NORN_STORE_ROCKSDB_KEY_ORDER_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdint.h>

/// A key with its sign flipped, and the row that it has.
typedef struct norn_ordered_key {
    uint64_t key;
    uint64_t row;
} norn_ordered_key;

/// *out: free with the allocator; NULL where the keys ascend as they are.
norn_status norn_key_order(const int64_t *keys, uint64_t count, norn_alloc alloc,
                           norn_ordered_key **out) NORN_NODISCARD;

#endif
