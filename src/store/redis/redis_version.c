#include "store/redis/redis_version.h"
#include "base/clock.h"
#include "base/memory.h"
#include "store/redis/redis_command.h"

#include <stdio.h>
#include <string.h>

int64_t norn_redis_deadline(const norn_redis_home *home) {
    return norn_clock_now_ns() + home->options.write_patience_ms * INT64_C(1000000);
}

// ---- life

norn_status norn_redis_version_create(norn_redis_home *home, uint64_t number, uint32_t partitions,
                                      norn_redis_version **out) {
    norn_redis_version *version;
    *out = NULL;
    NORN_TRY(NORN_NEW(home->alloc, &version));
    version->home = home;
    version->base.number = number;
    version->partitions = partitions;
    norn_arena_init(&version->arena, home->alloc, 1 << 12);
    norn_buffer_init(&version->rows, home->alloc);
    pthread_mutex_init(&version->lock, NULL);
    const norn_status status = norn_redis_tags_make(partitions, home->alloc, &version->tags);
    if (status != NORN_OK) {
        norn_redis_version_destroy(version);
        return status;
    }
    *out = version;
    return NORN_OK;
}

void norn_redis_version_destroy(norn_redis_version *version) {
    if (!version) return;
    const norn_alloc alloc = version->home->alloc;
    norn_arena_deinit(&version->arena);
    norn_buffer_deinit(&version->rows);
    norn_free(alloc, version->positions);
    norn_free(alloc, version->tags);
    pthread_mutex_destroy(&version->lock);
    norn_free(alloc, version);
}

norn_status norn_redis_version_prefixes(norn_redis_version *version) {
    const uint32_t count = version->base.table_count;
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, count ? count : 1, &version->prefix));
    for (uint32_t t = 0; t < count; t++)
        NORN_TRY(norn_arena_format(&version->arena, &version->prefix[t], "%s%llu:%u:{",
                                   version->home->options.name_space,
                                   (unsigned long long)version->base.number, t));
    return NORN_OK;
}

// ---- keys

static char *put_text(char *at, const char *text) {
    const size_t count = strlen(text);
    memcpy(at, text, count);
    return at + count;
}

size_t norn_redis_row_key(const norn_redis_version *version, uint32_t table, int64_t key,
                          norn_redis_place place, char *out) {
    char digits[10];
    int count = 0;
    char *at = put_text(out, version->prefix[table]);
    at = put_text(at, version->tags[place.partition].text);
    at = put_text(at, "}:");
    if (version->buckets[table] == 0) {
        memcpy(at, &key, sizeof key);
        return (size_t)(at + sizeof key - out);
    }
    do {
        digits[count++] = (char)('0' + place.bucket % 10);
        place.bucket /= 10;
    } while (place.bucket);
    while (count) *at++ = digits[--count];
    return (size_t)(at - out);
}

size_t norn_redis_cut_key(const norn_redis_version *version, uint32_t partition, char *out) {
    return (size_t)snprintf(
        out, NORN_REDIS_KEY_BYTES, "%s%llu:{%s}:cut", version->home->options.name_space,
        (unsigned long long)version->base.number, version->tags[partition].text);
}

void norn_redis_put_get(const norn_redis_version *version, uint32_t table, int64_t key,
                        norn_buffer *out) {
    char name[NORN_REDIS_KEY_BYTES];
    const bool hash = version->buckets[table] != 0;
    const size_t count =
        norn_redis_row_key(version, table, key, norn_redis_place_of(version, table, key), name);
    norn_redis_put_array(out, hash ? 3 : 2);
    norn_redis_put_text(out, hash ? "HGET" : "GET");
    norn_redis_put_bytes(out, name, count);
    if (hash) norn_redis_put_bytes(out, &key, sizeof key);
}

void norn_redis_put_set(const norn_redis_version *version, uint32_t table, int64_t key,
                        uint64_t step, const void *row, size_t row_bytes, norn_buffer *out) {
    char name[NORN_REDIS_KEY_BYTES];
    const bool hash = version->buckets[table] != 0;
    const size_t count =
        norn_redis_row_key(version, table, key, norn_redis_place_of(version, table, key), name);
    norn_redis_put_array(out, hash ? 4 : 3);
    norn_redis_put_text(out, hash ? "HSET" : "SET");
    norn_redis_put_bytes(out, name, count);
    if (hash) norn_redis_put_bytes(out, &key, sizeof key);
    norn_redis_put_pair(out, &step, sizeof step, row, row ? row_bytes : 0);
}
