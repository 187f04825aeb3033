/// A tier that keeps rows of another one, which is not in memory, in a bounded amount of host memory: what
/// is asked for often is answered at once, the rest is fetched below and kept.
///
/// What readers see is what the tier below shows them: a row is taken from the cache only where it is the
/// newest of the reader's step. Deltas go through, and take the place of what is cached when they are
/// committed.
#ifndef NORN_STORE_CACHE_CACHE_TIER_H
#define NORN_STORE_CACHE_CACHE_TIER_H

#include "store/tier.h"

/// Over `below`, which is the new tier's: its close closes it. `bytes`: what cached rows of a version may
/// take, shared out among its tables by their size. While one version replaces another there are two.
norn_status norn_cache_tier_create(norn_tier *below, size_t bytes, norn_alloc alloc,
                                   norn_tier **out) NORN_NODISCARD;

typedef struct norn_cache_stat {
    uint64_t hits, misses; ///< keys
} norn_cache_stat;
norn_cache_stat norn_cache_tier_stat(const norn_tier *tier);

#endif
