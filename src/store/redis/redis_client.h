/// All connections of a tier, and the thread that has them: finds the node of a call's slot, follows
/// MOVED and ASK, asks again what was lost on the way, and opens connections again, later each time.
#ifndef NORN_STORE_REDIS_CLIENT_H
#define NORN_STORE_REDIS_CLIENT_H

#include "store/redis/redis_call.h"
#include "store/redis/redis_tier.h"

typedef struct norn_redis_client norn_redis_client;

/// Something that looks at the clock on the client's thread whenever that wakes.
typedef struct norn_redis_watch {
    int64_t (*look)(void *context, int64_t now_ns); ///< returns when to look next at the latest
    void *context;
} norn_redis_watch;

/// `options` without zeros; borrowed, and so is the watch.
norn_status norn_redis_client_start(const norn_redis_options *options,
                                    const norn_redis_watch *watch, norn_alloc alloc,
                                    norn_redis_client **out) NORN_NODISCARD;
/// What is not answered is CANCELLED, and what is sent from then on. Once.
void norn_redis_client_stop(norn_redis_client *client);
void norn_redis_client_destroy(norn_redis_client *client); ///< it was stopped

/// Any thread, also the client's own; takes all of `calls`, whose memory stays until each is done.
void norn_redis_client_send(norn_redis_client *client, norn_redis_calls *calls);
/// Goes up whenever a slot has another master, or the connection to one was lost: what had been
/// acknowledged may be gone.
uint64_t norn_redis_client_generation(norn_redis_client *client);
/// Slots, one for each master, by which SCAN and CONFIG find them all: *nodes has `*count` numbers
/// for norn_redis_call.node, at most NORN_REDIS_NODES_MAX.
void norn_redis_client_masters(norn_redis_client *client, uint16_t *nodes, uint32_t *count);
/// "host:port", or less of it.
void norn_redis_client_name(norn_redis_client *client, uint16_t node, char *out, size_t room);
norn_redis_stat norn_redis_client_stat(norn_redis_client *client);

#endif
