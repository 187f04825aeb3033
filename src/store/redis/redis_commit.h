/// Steps into a version: kept until the commit, then written partition by partition, the rows of each
/// with its cut.
#ifndef NORN_STORE_REDIS_COMMIT_H
#define NORN_STORE_REDIS_COMMIT_H

#include "store/redis/redis_version.h"

/// What the tier's operations of these names do.
norn_status norn_redis_apply(norn_redis_version *version, const norn_delta *delta) NORN_NODISCARD;
norn_status norn_redis_commit(norn_redis_version *version, const norn_cut *cut) NORN_NODISCARD;
void norn_redis_abort(norn_redis_version *version);
norn_cut norn_redis_cut(norn_redis_version *version);
norn_status norn_redis_fill(norn_redis_version *version, const norn_fetch *fetched,
                            uint32_t *kept) NORN_NODISCARD;

#endif
