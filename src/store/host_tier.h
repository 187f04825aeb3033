/// The host tier: rows in host memory, those of a file where it was read to, added ones in chunks.
#ifndef NORN_STORE_HOST_TIER_H
#define NORN_STORE_HOST_TIER_H

#include "store/tier.h"

/// `count` rows at `rows` (borrowed until close; NULL with count 0) with keys[i] for row i, or keys
/// 0 to count - 1 when `keys` is NULL: such a dense tier needs no index and takes no inserts.
/// Errors   INVALID_ARGUMENT: a key comes twice, says which; RESOURCE_EXHAUSTED
norn_status norn_host_tier_create(norn_row_form form, const int64_t *keys, const void *rows,
                                  int64_t count, norn_alloc alloc, norn_tier **out) NORN_NODISCARD;

#endif
