#include "store/redis/redis_tier.h"

norn_status norn_redis_tier_open(const norn_redis_options *options, norn_alloc alloc,
                                 norn_tier **out) {
    (void)alloc;
    *out = NULL;
    return norn_fail(NORN_UNIMPLEMENTED,
                     "%s: Norn was built without hiredis; install libhiredis-dev and build again",
                     options->nodes ? options->nodes : "redis");
}

norn_redis_stat norn_redis_tier_stat(norn_tier *tier) {
    (void)tier;
    return (norn_redis_stat){0};
}
