/// A tier by its address: where rows are kept that are not in memory, with a cache of them in front.
#ifndef NORN_STORE_TIER_OPEN_H
#define NORN_STORE_TIER_OPEN_H

#include "store/tier.h"

enum { NORN_TIER_MEMORY_MB = 1024 }; ///< where nobody says

/// `url`: "rocksdb:DIR". `memory_bytes` (0: NORN_TIER_MEMORY_MB): for rows of a version that are asked for
/// often, and for what the tier itself caches.
/// Errors   INVALID_ARGUMENT: an unknown scheme; those of the tier's own open
norn_status norn_tier_open(const char *url, size_t memory_bytes, norn_alloc alloc,
                           norn_tier **out) NORN_NODISCARD;

#endif
