#include "base/memory.h"
#include "store/redis/redis_command.h"
#include "store/redis/redis_version.h"
#include "store/version_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t norn_redis_record_key(const norn_redis_home *home, uint64_t number, uint16_t *slot,
                             char *out) {
    // The tag of partition 0, which is the same for every number of partitions: slot 0.
    static const char first[] = "06S";
    const int count = snprintf(out, NORN_REDIS_KEY_BYTES, "%s%llu:{%s}:version",
                               home->options.name_space, (unsigned long long)number, first);
    *slot = norn_redis_slot(out, (size_t)count);
    return (size_t)count;
}

static norn_status ask(norn_redis_home *home, norn_redis_question *question) {
    const norn_status status = norn_redis_ask(home->client, question, 1);
    norn_redis_question_deinit(question);
    return status;
}

static void begin(const norn_redis_home *home, uint64_t number, norn_redis_question *question,
                  uint32_t words, const char *command) {
    char key[NORN_REDIS_KEY_BYTES];
    uint16_t slot;
    const size_t count = norn_redis_record_key(home, number, &slot, key);
    norn_redis_question_init(question, home->alloc, slot, NORN_REDIS_NO_NODE,
                             norn_redis_deadline(home));
    norn_redis_put_array(&question->command, words);
    norn_redis_put_text(&question->command, command);
    norn_redis_put_bytes(&question->command, key, count);
}

// ---- writing

static void put_buckets(const norn_redis_version *version, norn_buffer *out) {
    for (uint32_t t = 0; t < version->base.table_count; t++)
        norn_buffer_format(out, "%s%u", t ? "," : "", version->buckets[t]);
}

norn_status norn_redis_version_write(norn_redis_version *version, const char *state,
                                     const char *files) {
    norn_redis_question question;
    norn_buffer text;
    char number[16];
    (void)snprintf(number, sizeof number, "%u", version->partitions);
    begin(version->home, version->base.number, &question, 12, "HSET");
    norn_buffer *out = &question.command;
    norn_redis_put_text(out, "state");
    norn_redis_put_text(out, state);
    norn_redis_put_text(out, "partitions");
    norn_redis_put_text(out, number);
    norn_redis_put_text(out, "files");
    norn_redis_put_text(out, files);
    norn_buffer_init(&text, version->home->alloc);
    put_buckets(version, &text);
    norn_redis_put_text(out, "buckets");
    norn_redis_put_bytes(out, text.bytes, text.count);
    norn_status status = norn_buffer_status(&text);
    norn_buffer_clear(&text);
    norn_forms_encode(&version->base, &text);
    norn_redis_put_text(out, "forms");
    norn_redis_put_bytes(out, text.bytes, text.count);
    if (status == NORN_OK) status = norn_buffer_status(&text);
    norn_buffer_deinit(&text);
    if (status == NORN_OK) return ask(version->home, &question);
    norn_redis_question_deinit(&question);
    return status;
}

norn_status norn_redis_version_state(norn_redis_version *version, const char *state) {
    norn_redis_question question;
    begin(version->home, version->base.number, &question, 4, "HSET");
    norn_redis_put_text(&question.command, "state");
    norn_redis_put_text(&question.command, state);
    return ask(version->home, &question);
}

// ---- reading

typedef struct reading {
    norn_redis_home *home;
    uint64_t number;
    norn_redis_record *record;
    norn_redis_version *version;
} reading;

static bool copy_text(norn_span from, char *out, size_t room) {
    if (from.count >= room) return false;
    if (from.count) memcpy(out, from.bytes, from.count);
    out[from.count] = '\0';
    return true;
}

/// A number that ends at *at; -1: none.
static int64_t take_number(norn_span text, size_t *at) {
    int64_t value = -1;
    for (; *at < text.count && text.bytes[*at] >= '0' && text.bytes[*at] <= '9'; ++*at) {
        value = (value < 0 ? 0 : value * 10) + (text.bytes[*at] - '0');
        if (value > UINT32_MAX) return -1;
    }
    return value;
}

static bool take_buckets(norn_redis_version *version, norn_span text) {
    size_t at = 0;
    for (uint32_t t = 0; t < version->base.table_count; t++) {
        if (t > 0 && (at >= text.count || text.bytes[at++] != ',')) return false;
        const int64_t value = take_number(text, &at);
        if (value < 0) return false;
        version->buckets[t] = (uint32_t)value;
    }
    return at == text.count;
}

static norn_status damaged(const reading *r) {
    return norn_fail(NORN_DATA_LOSS, "the record of version %llu is damaged",
                     (unsigned long long)r->number);
}

static norn_status take_version(reading *r, const norn_redis_reply *reply) {
    size_t at = 0;
    const norn_span count = norn_redis_bytes(reply, 2);
    const int64_t partitions = take_number(count, &at);
    if (at != count.count || partitions < 1 || partitions > NORN_REDIS_SLOTS ||
        (partitions & (partitions - 1)) != 0)
        return damaged(r);
    NORN_TRY(norn_redis_version_create(r->home, r->number, (uint32_t)partitions, &r->version));
    norn_redis_version *version = r->version;
    NORN_TRY(norn_forms_decode(norn_redis_bytes(reply, 5), &version->arena, &version->base));
    const uint32_t tables = version->base.table_count;
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, tables ? tables : 1, &version->buckets));
    if (!take_buckets(version, norn_redis_bytes(reply, 3))) return damaged(r);
    return norn_redis_version_prefixes(version);
}

static norn_status take_record(void *context, const norn_redis_reply *reply) {
    reading *r = context;
    if (!norn_redis_is(reply, 0, NORN_REDIS_ARRAY) || reply->values[0].count != 5 ||
        reply->count != 6)
        return damaged(r);
    if (norn_redis_is(reply, 1, NORN_REDIS_NIL)) return NORN_OK; // there is none
    if (!copy_text(norn_redis_bytes(reply, 1), r->record->state, sizeof r->record->state) ||
        !copy_text(norn_redis_bytes(reply, 4), r->record->files, sizeof r->record->files))
        return damaged(r);
    if (strcmp(r->record->state, "dropping") == 0) return NORN_OK;
    return take_version(r, reply);
}

norn_status norn_redis_version_read(norn_redis_home *home, uint64_t number,
                                    norn_redis_record *record, norn_redis_version **out) {
    reading r = {.home = home, .number = number, .record = record};
    norn_redis_question question;
    *out = NULL;
    *record = (norn_redis_record){0};
    begin(home, number, &question, 7, "HMGET");
    static const char *const fields[] = {"state", "partitions", "buckets", "files", "forms"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        norn_redis_put_text(&question.command, fields[i]);
    question.answer = take_record;
    question.context = &r;
    const norn_status status = ask(home, &question);
    if (status != NORN_OK)
        norn_redis_version_destroy(r.version);
    else
        *out = r.version;
    return status;
}
