/// What a tier does in the background: drops versions, and follows the steps of those that another
/// process writes.
#ifndef NORN_STORE_REDIS_TENDER_H
#define NORN_STORE_REDIS_TENDER_H

#include "store/redis/redis_version.h"

typedef struct norn_redis_tender {
    norn_redis_home *home;
    /// The tier's versions, which stay while `look` runs: calls it for each that is not dropped.
    void (*each)(void *context, void (*look)(norn_redis_version *version));
    /// A version's keys are gone, and so is its number; takes the version.
    void (*gone)(void *context, norn_redis_version *version);
    void *context;
    pthread_t thread;
    pthread_mutex_t lock; ///< of the two below
    pthread_cond_t changed;
    norn_redis_version *dropped; ///< by `heap`
    bool stop;
} norn_redis_tender;

norn_status norn_redis_tender_start(norn_redis_tender *tender) NORN_NODISCARD;
/// Versions whose drop is not over are marked, so that the next open goes on.
void norn_redis_tender_stop(norn_redis_tender *tender);
/// No pin holds it.
void norn_redis_tender_drop(norn_redis_tender *tender, norn_redis_version *version);

#endif
