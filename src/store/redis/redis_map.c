#include "store/redis/redis_map.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void norn_redis_map_init(norn_redis_map *map, norn_alloc alloc) {
    map->alloc = alloc;
    map->nodes = NULL;
    map->count = map->capacity = 0;
    map->plain = false;
    memset(map->master, 0xff, sizeof map->master);
    memset(map->replica, 0xff, sizeof map->replica);
}

void norn_redis_map_deinit(norn_redis_map *map) {
    norn_free(map->alloc, map->nodes);
}

// ---- nodes

norn_status norn_redis_map_node(norn_redis_map *map, norn_span host, int64_t port, uint16_t *out) {
    if (host.count == 0 || host.count >= NORN_REDIS_HOST_BYTES || port < 1 || port > UINT16_MAX ||
        memchr(host.bytes, 0, host.count))
        return norn_fail(NORN_INVALID_ARGUMENT, "no address of a server");
    for (size_t i = 0; i < map->count; i++)
        if (map->nodes[i].port == port && norn_span_equal(host, map->nodes[i].host)) {
            *out = (uint16_t)i;
            return NORN_OK;
        }
    if (map->count == NORN_REDIS_NODES_MAX)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "more than %d nodes", NORN_REDIS_NODES_MAX);
    NORN_TRY(NORN_MORE(map->alloc, &map->nodes, map->count, &map->capacity));
    norn_redis_address *node = &map->nodes[map->count];
    memcpy(node->host, host.bytes, host.count);
    node->host[host.count] = '\0';
    node->port = (uint16_t)port;
    *out = (uint16_t)map->count++;
    return NORN_OK;
}

/// Digits alone, at most 16383 or 65535; else -1.
static int64_t number_of(norn_span text) {
    int64_t value = 0;
    if (text.count == 0 || text.count > 5) return -1;
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') return -1;
        value = value * 10 + (text.bytes[i] - '0');
    }
    return value;
}

/// "HOST:PORT"; an empty host is `here`.
static norn_status read_address(norn_redis_map *map, norn_span text, norn_span here,
                                uint16_t *node) {
    const uint8_t *colon = text.count ? memrchr(text.bytes, ':', text.count) : NULL;
    if (!colon) return norn_fail(NORN_INVALID_ARGUMENT, "no port");
    const size_t count = (size_t)(colon - text.bytes);
    const norn_span port = norn_span_of(colon + 1, text.count - count - 1);
    return norn_redis_map_node(map, count ? norn_span_of(text.bytes, count) : here, number_of(port),
                               node);
}

norn_status norn_redis_map_seed(norn_redis_map *map, const char *nodes) {
    for (const char *at = nodes; *at;) {
        const size_t count = strcspn(at, ",");
        uint16_t node;
        const norn_status status =
            read_address(map, norn_span_of(at, count), (norn_span){0}, &node);
        if (status == NORN_INVALID_ARGUMENT)
            return norn_fail(status, "'%.*s' is no address of a server; write HOST:PORT,HOST:PORT",
                             (int)count, at);
        NORN_TRY(status);
        at += count + (at[count] == ',');
    }
    if (map->count) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "no servers; write HOST:PORT,HOST:PORT");
}

// ---- CLUSTER SLOTS

/// [host, port, ...]. A host that is empty or nil is that of the node which answered.
static norn_status read_node(norn_redis_map *map, const norn_redis_reply *reply, uint32_t at,
                             uint16_t from, uint16_t *node) {
    if (!norn_redis_is(reply, at, NORN_REDIS_ARRAY) || reply->values[at].count < 2 ||
        !norn_redis_is(reply, at + 2, NORN_REDIS_INTEGER))
        return norn_fail(NORN_DATA_LOSS, "no node");
    norn_span host = norn_redis_bytes(reply, at + 1);
    char here[NORN_REDIS_HOST_BYTES]; // the list of nodes may be moved
    memcpy(here, map->nodes[from].host, sizeof here);
    if (host.count == 0) host = norn_span_text(here);
    return norn_redis_map_node(map, host, reply->values[at + 2].integer, node);
}

/// [first, last, master, replica ...]
static norn_status read_range(norn_redis_map *map, const norn_redis_reply *reply, uint32_t at,
                              uint16_t from, uint16_t *master, uint16_t *replica) {
    enum { REPLICAS_MAX = 16 };
    uint16_t nodes[1 + REPLICAS_MAX];
    uint32_t count = 0;
    if (!norn_redis_is(reply, at, NORN_REDIS_ARRAY) || reply->values[at].count < 3 ||
        !norn_redis_is(reply, at + 1, NORN_REDIS_INTEGER) ||
        !norn_redis_is(reply, at + 2, NORN_REDIS_INTEGER))
        return norn_fail(NORN_DATA_LOSS, "no range");
    const int64_t first = reply->values[at + 1].integer, last = reply->values[at + 2].integer;
    if (first < 0 || last < first || last >= NORN_REDIS_SLOTS)
        return norn_fail(NORN_DATA_LOSS, "no range");
    const uint32_t end = norn_redis_after(reply, at);
    for (uint32_t i = at + 3; i < end && count <= REPLICAS_MAX; i = norn_redis_after(reply, i)) {
        const norn_status status = read_node(map, reply, i, from, &nodes[count]);
        if (count == 0) NORN_TRY(status);
        count += status == NORN_OK;
    }
    for (int64_t slot = first; slot <= last; slot++) {
        master[slot] = nodes[0];
        replica[slot] = count > 1 ? nodes[1 + (uint32_t)slot % (count - 1)] : NORN_REDIS_NO_NODE;
    }
    return NORN_OK;
}

static norn_status read_ranges(norn_redis_map *map, const norn_redis_reply *reply, uint16_t from,
                               uint16_t *master, uint16_t *replica) {
    memset(master, 0xff, sizeof map->master);
    memset(replica, 0xff, sizeof map->replica);
    if (!norn_redis_is(reply, 0, NORN_REDIS_ARRAY) || reply->values[0].count == 0)
        return norn_fail(NORN_DATA_LOSS, "no slots");
    for (uint32_t at = 1; at < reply->count; at = norn_redis_after(reply, at))
        NORN_TRY(read_range(map, reply, at, from, master, replica));
    return NORN_OK;
}

norn_status norn_redis_map_read(norn_redis_map *map, const norn_redis_reply *reply, uint16_t from,
                                bool *changed) {
    uint16_t *slots;
    *changed = false;
    NORN_TRY(NORN_NEW_ARRAY(map->alloc, 2 * NORN_REDIS_SLOTS, &slots));
    norn_status status = read_ranges(map, reply, from, slots, slots + NORN_REDIS_SLOTS);
    if (status == NORN_OK) {
        *changed = memcmp(map->master, slots, sizeof map->master) != 0;
        memcpy(map->master, slots, sizeof map->master);
        memcpy(map->replica, slots + NORN_REDIS_SLOTS, sizeof map->replica);
        map->plain = false;
    } else if (status == NORN_INVALID_ARGUMENT) {
        status = norn_fail(NORN_DATA_LOSS, "no address");
    }
    norn_free(map->alloc, slots);
    if (status != NORN_OK) norn_note("CLUSTER SLOTS");
    return status;
}

// ---- errors

static bool begins(norn_span text, const char *word) {
    const size_t count = strlen(word);
    return text.count >= count && memcmp(text.bytes, word, count) == 0;
}

/// " SLOT HOST:PORT"
static bool read_redirect(norn_redis_map *map, norn_span rest, uint16_t from, uint16_t *slot,
                          uint16_t *node) {
    char here[NORN_REDIS_HOST_BYTES];
    const uint8_t *space = memchr(rest.bytes, ' ', rest.count);
    if (!space) return false;
    const size_t count = (size_t)(space - rest.bytes);
    const int64_t number = number_of(norn_span_of(rest.bytes, count));
    if (number < 0 || number >= NORN_REDIS_SLOTS) return false;
    *slot = (uint16_t)number;
    memcpy(here, map->nodes[from].host, sizeof here);
    return read_address(map, norn_span_of(space + 1, rest.count - count - 1), norn_span_text(here),
                        node) == NORN_OK;
}

norn_redis_error norn_redis_error_read(norn_redis_map *map, const norn_redis_reply *reply,
                                       uint16_t from, uint16_t *slot, uint16_t *node) {
    static const char *const later[] = {"TRYAGAIN", "CLUSTERDOWN", "LOADING",   "MASTERDOWN",
                                        "READONLY", "BUSY",        "NOREPLICAS"};
    const norn_span text = norn_redis_bytes(reply, 0);
    if (begins(text, "MOVED "))
        return read_redirect(map, norn_span_of(text.bytes + 6, text.count - 6), from, slot, node)
                   ? NORN_REDIS_MOVED
                   : NORN_REDIS_FAILED;
    if (begins(text, "ASK "))
        return read_redirect(map, norn_span_of(text.bytes + 4, text.count - 4), from, slot, node)
                   ? NORN_REDIS_ASK
                   : NORN_REDIS_FAILED;
    if (begins(text, "OOM")) return NORN_REDIS_FULL;
    if (begins(text, "EXECABORT")) return NORN_REDIS_ABORTED;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (begins(text, later[i])) return NORN_REDIS_LATER;
    return NORN_REDIS_FAILED;
}
