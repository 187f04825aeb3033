/// Any bytes as the answers of a server, in pieces of any length: each is read as all that an answer can
/// be (a map, an error, a cut), and nothing but what the bounds allow comes of it.
#include "base/memory.h"
#include "store/redis/redis_map.h"
#include "store/redis/redis_version.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_shape(const norn_redis_reply *reply) {
    if (reply->count == 0 || norn_redis_after(reply, 0) != reply->count) abort();
    for (uint32_t i = 0; i < reply->count; i++) {
        const norn_span text = norn_redis_bytes(reply, i);
        volatile uint8_t sum = 0;
        for (size_t b = 0; b < text.count; b++) sum = (uint8_t)(sum + text.bytes[b]);
        (void)sum;
    }
}

static void use(norn_redis_map *map, const norn_redis_reply *reply) {
    uint16_t slot = 0, node = 0;
    uint64_t step;
    uint32_t loaded;
    bool changed;
    char text[40];
    check_shape(reply);
    norn_redis_print(reply, text, sizeof text);
    if (norn_redis_map_read(map, reply, 0, &changed) == NORN_OK)
        for (int s = 0; s < NORN_REDIS_SLOTS; s++)
            if ((map->master[s] != NORN_REDIS_NO_NODE && map->master[s] >= map->count) ||
                (map->replica[s] != NORN_REDIS_NO_NODE && map->replica[s] >= map->count))
                abort();
    const norn_redis_error error = norn_redis_error_read(map, reply, 0, &slot, &node);
    if ((error == NORN_REDIS_MOVED || error == NORN_REDIS_ASK) &&
        (slot >= NORN_REDIS_SLOTS || node >= map->count))
        abort();
    (void)norn_redis_cut_look(norn_redis_bytes(reply, 0), &step, &loaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static norn_redis_map map;
    norn_redis_reader *reader;
    norn_redis_reply reply;
    const size_t piece = size ? 1 + data[0] % 64u : 1;
    norn_status status = norn_redis_reader_create(norn_alloc_heap(), &reader);
    if (status != NORN_OK) return 0;
    norn_redis_map_init(&map, norn_alloc_heap());
    if (norn_redis_map_seed(&map, "127.0.0.1:7000") != NORN_OK) abort();
    for (size_t at = 1; status == NORN_OK && at < size; at += piece) {
        const size_t rest = size - at;
        bool more = true;
        status =
            norn_redis_reader_feed(reader, (const char *)data + at, rest < piece ? rest : piece);
        while (status == NORN_OK && more) {
            status = norn_redis_reader_next(reader, &reply, &more);
            if (status == NORN_OK && more) use(&map, &reply);
        }
    }
    norn_redis_map_deinit(&map);
    norn_redis_reader_destroy(reader);
    return 0;
}
