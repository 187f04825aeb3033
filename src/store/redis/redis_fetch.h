/// Fetches on their way: each key is a call, and a fetch is over when all have come, or at its
/// deadline.
#ifndef NORN_STORE_REDIS_FETCH_H
#define NORN_STORE_REDIS_FETCH_H

#include "store/redis/redis_version.h"

typedef struct norn_redis_job norn_redis_job;

typedef struct norn_redis_fetches {
    norn_redis_home *home;
    pthread_mutex_t lock; ///< of the list
    norn_redis_job *first;
} norn_redis_fetches;

void norn_redis_fetches_init(norn_redis_fetches *fetches, norn_redis_home *home);
void norn_redis_fetches_deinit(norn_redis_fetches *fetches); ///< the client has stopped
/// What norn_tier_ops.fetch does; its tables have been checked.
norn_status norn_redis_fetches_add(norn_redis_fetches *fetches, norn_fetch *fetch) NORN_NODISCARD;
/// The client's watch: ends those whose deadline has come.
int64_t norn_redis_fetches_look(void *fetches, int64_t now_ns);

#endif
