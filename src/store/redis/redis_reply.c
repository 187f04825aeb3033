#include "store/redis/redis_reply.h"
#include "base/memory.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

struct norn_redis_reader {
    norn_alloc alloc;
    redisReader *hiredis;
    norn_redis_value *values;
    size_t count, capacity;
    size_t promised; ///< elements of arrays that have begun
    norn_buffer bytes;
    bool no_memory;
};

// ---- what hiredis found

/// NULL ends the reading; what hiredis keeps otherwise is only a sign that there is something.
static void *add(const redisReadTask *task, norn_redis_value value) {
    norn_redis_reader *reader = task->privdata;
    if (reader->count >= NORN_REDIS_VALUES_MAX) return NULL;
    if (NORN_MORE(reader->alloc, &reader->values, reader->count, &reader->capacity) != NORN_OK) {
        reader->no_memory = true;
        return NULL;
    }
    reader->values[reader->count++] = value;
    return reader;
}

static void *add_text(const redisReadTask *task, char *text, size_t count) {
    norn_redis_reader *reader = task->privdata;
    const size_t at = reader->bytes.count;
    if (count > NORN_REDIS_REPLY_BYTES_MAX - at) return NULL;
    norn_buffer_append(&reader->bytes, text, count);
    if (reader->bytes.failed) {
        reader->no_memory = true;
        return NULL;
    }
    return add(task, (norn_redis_value){.type = task->type == REDIS_REPLY_STRING  ? NORN_REDIS_TEXT
                                                : task->type == REDIS_REPLY_ERROR ? NORN_REDIS_ERROR
                                                                                  : NORN_REDIS_WORD,
                                        .count = (uint32_t)count,
                                        .at = at});
}

static void *add_array(const redisReadTask *task, int count) {
    norn_redis_reader *reader = task->privdata;
    if (count < 0 || (size_t)count > NORN_REDIS_VALUES_MAX - reader->promised) return NULL;
    reader->promised += (size_t)count;
    return add(task, (norn_redis_value){.type = NORN_REDIS_ARRAY, .count = (uint32_t)count});
}

static void *add_integer(const redisReadTask *task, long long value) {
    return add(task, (norn_redis_value){.type = NORN_REDIS_INTEGER, .integer = value});
}

static void *add_nil(const redisReadTask *task) {
    return add(task, (norn_redis_value){.type = NORN_REDIS_NIL});
}

static void free_nothing(void *reply) {
    (void)reply;
}

// ---- reading

norn_status norn_redis_reader_create(norn_alloc alloc, norn_redis_reader **out) {
    static redisReplyObjectFunctions functions = {add_text, add_array, add_integer, add_nil,
                                                  free_nothing};
    norn_redis_reader *reader;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &reader));
    reader->alloc = alloc;
    norn_buffer_init(&reader->bytes, alloc);
    reader->hiredis = redisReaderCreateWithFunctions(&functions);
    if (!reader->hiredis) {
        norn_free(alloc, reader);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for a reader of answers");
    }
    reader->hiredis->privdata = reader;
    *out = reader;
    return NORN_OK;
}

void norn_redis_reader_destroy(norn_redis_reader *reader) {
    if (!reader) return;
    redisReaderFree(reader->hiredis);
    norn_buffer_deinit(&reader->bytes);
    norn_free(reader->alloc, reader->values);
    norn_free(reader->alloc, reader);
}

static norn_status failed(const norn_redis_reader *reader) {
    if (reader->no_memory) return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for an answer");
    return norn_fail(NORN_DATA_LOSS, "an answer that is none, or is too long (%s)",
                     reader->hiredis->errstr);
}

norn_status norn_redis_reader_feed(norn_redis_reader *reader, const char *bytes, size_t count) {
    if (redisReaderFeed(reader->hiredis, bytes, count) != REDIS_OK) return failed(reader);
    if (reader->hiredis->len - reader->hiredis->pos <= NORN_REDIS_REPLY_BYTES_MAX) return NORN_OK;
    return norn_fail(NORN_DATA_LOSS, "an answer of more than %d MiB",
                     NORN_REDIS_REPLY_BYTES_MAX >> 20);
}

norn_status norn_redis_reader_next(norn_redis_reader *reader, norn_redis_reply *out, bool *more) {
    void *found = NULL;
    if (reader->hiredis->ridx < 0) { // not in the middle of an answer
        reader->count = reader->promised = 0;
        norn_buffer_clear(&reader->bytes);
    }
    *more = false;
    if (redisReaderGetReply(reader->hiredis, &found) != REDIS_OK) return failed(reader);
    if (!found) return NORN_OK;
    *more = true;
    *out = (norn_redis_reply){reader->values, (uint32_t)reader->count,
                              (const char *)reader->bytes.bytes};
    return NORN_OK;
}

// ---- looking at them

norn_span norn_redis_bytes(const norn_redis_reply *reply, uint32_t i) {
    if (!norn_redis_is(reply, i, NORN_REDIS_TEXT) && !norn_redis_is(reply, i, NORN_REDIS_WORD) &&
        !norn_redis_is(reply, i, NORN_REDIS_ERROR))
        return (norn_span){0};
    const norn_redis_value *value = &reply->values[i];
    return norn_span_of(value->count ? reply->bytes + value->at : "", value->count);
}

uint32_t norn_redis_after(const norn_redis_reply *reply, uint32_t i) {
    for (uint32_t left = 1; left > 0 && i < reply->count; i++) {
        left--;
        if (reply->values[i].type == NORN_REDIS_ARRAY) left += reply->values[i].count;
    }
    return i;
}

void norn_redis_print(const norn_redis_reply *reply, char *out, size_t room) {
    static const char *const names[] = {"nothing",  "bytes",      "a word",
                                        "an error", "an integer", "an array"};
    const norn_span text = norn_redis_bytes(reply, 0);
    const bool words =
        norn_redis_is(reply, 0, NORN_REDIS_ERROR) || norn_redis_is(reply, 0, NORN_REDIS_WORD);
    if (!words) {
        (void)snprintf(out, room, "%s", reply->count ? names[reply->values[0].type] : "nothing");
        return;
    }
    size_t i = 0;
    for (; i + 1 < room && i < text.count; i++)
        out[i] = text.bytes[i] >= ' ' && text.bytes[i] < 127 ? (char)text.bytes[i] : '?';
    out[i] = '\0';
}
