/// Which node has which slot, from what servers say: CLUSTER SLOTS, and MOVED and ASK in its place.
/// Pure: whatever they say, it is checked and bounded here.
#ifndef NORN_STORE_REDIS_MAP_H
#define NORN_STORE_REDIS_MAP_H

#include "store/redis/redis_reply.h"
#include "store/redis/redis_slot.h"

enum { NORN_REDIS_NODES_MAX = 1024, NORN_REDIS_HOST_BYTES = 256, NORN_REDIS_NO_NODE = 0xffff };

typedef struct norn_redis_address {
    char host[NORN_REDIS_HOST_BYTES];
    uint16_t port;
} norn_redis_address;

typedef struct norn_redis_map {
    norn_alloc alloc;
    norn_redis_address *nodes; ///< ever met; their numbers stay
    size_t count, capacity;
    uint16_t master[NORN_REDIS_SLOTS], replica[NORN_REDIS_SLOTS]; ///< or NO_NODE
    bool plain;                                                   ///< one server, no cluster
} norn_redis_map;

void norn_redis_map_init(norn_redis_map *map, norn_alloc alloc);
void norn_redis_map_deinit(norn_redis_map *map);
/// The number of the node of this address, which is added where it is new.
/// Errors   INVALID_ARGUMENT: no address; RESOURCE_EXHAUSTED: too many
norn_status norn_redis_map_node(norn_redis_map *map, norn_span host, int64_t port,
                                uint16_t *out) NORN_NODISCARD;
/// All of "HOST:PORT,HOST:PORT". Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED
norn_status norn_redis_map_seed(norn_redis_map *map, const char *nodes) NORN_NODISCARD;
/// The answer of node `from` to CLUSTER SLOTS takes the place of what was known. *changed: a slot has
/// another master.
/// Errors   DATA_LOSS: it is none, and nothing has changed; RESOURCE_EXHAUSTED
norn_status norn_redis_map_read(norn_redis_map *map, const norn_redis_reply *reply, uint16_t from,
                                bool *changed) NORN_NODISCARD;

typedef enum norn_redis_error {
    NORN_REDIS_FAILED,  ///< what it says stays so
    NORN_REDIS_LATER,   ///< it may be another answer in a moment
    NORN_REDIS_FULL,    ///< no memory there
    NORN_REDIS_ABORTED, ///< EXECABORT: an error before says why
    NORN_REDIS_MOVED,   ///< the slot is another node's: `node`
    NORN_REDIS_ASK,     ///< this call is another node's, and the next may not be
} norn_redis_error;

/// What an ERROR means that node `from` answered.
norn_redis_error norn_redis_error_read(norn_redis_map *map, const norn_redis_reply *reply,
                                       uint16_t from, uint16_t *slot, uint16_t *node);

#endif
