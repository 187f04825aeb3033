#include "store/redis/redis_tender.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/redis/redis_command.h"

#include <stdio.h>
#include <string.h>

enum { TICK_MS = 1000, ASK_MS = 2000, SCAN_COUNT = 1000 };

static bool stopping(norn_redis_tender *tender) {
    pthread_mutex_lock(&tender->lock);
    const bool stop = tender->stop;
    pthread_mutex_unlock(&tender->lock);
    return stop;
}

/// A close does not wait for a server that is away for long.
static int64_t soon(void) {
    return norn_clock_now_ns() + ASK_MS * INT64_C(1000000);
}

// ---- dropping

typedef struct scan {
    norn_redis_home *home;
    char cursor[24];
    norn_redis_question *unlinks; ///< of what was found
    uint32_t count;
    const char *record; ///< goes last
    size_t record_bytes;
} scan;

static norn_status take_keys(void *context, const norn_redis_reply *reply) {
    scan *s = context;
    const norn_span cursor = norn_redis_bytes(reply, 1);
    if (!norn_redis_is(reply, 0, NORN_REDIS_ARRAY) || !norn_redis_is(reply, 2, NORN_REDIS_ARRAY) ||
        cursor.count == 0 || cursor.count >= sizeof s->cursor)
        return norn_fail(NORN_DATA_LOSS, "redis: SCAN was answered with something else");
    memcpy(s->cursor, cursor.bytes, cursor.count);
    s->cursor[cursor.count] = '\0';
    const uint32_t most = reply->values[2].count;
    if (most == 0) return NORN_OK;
    NORN_TRY(NORN_NEW_ARRAY(s->home->alloc, most, &s->unlinks));
    for (uint32_t i = 3; i < reply->count && s->count < most; i++) {
        const norn_span key = norn_redis_bytes(reply, i);
        if (key.count == s->record_bytes && memcmp(key.bytes, s->record, key.count) == 0) continue;
        norn_redis_question *unlink = &s->unlinks[s->count++];
        norn_redis_question_init(unlink, s->home->alloc, norn_redis_slot(key.bytes, key.count),
                                 NORN_REDIS_NO_NODE, soon());
        norn_redis_put_array(&unlink->command, 2);
        norn_redis_put_text(&unlink->command, "UNLINK");
        norn_redis_put_bytes(&unlink->command, key.bytes, key.count);
    }
    return NORN_OK;
}

/// One call of SCAN, and UNLINK of what it found.
static norn_status scan_once(scan *s, uint64_t number, uint16_t node, uint64_t *found) {
    norn_redis_question question;
    char pattern[NORN_REDIS_KEY_BYTES], count[16];
    (void)snprintf(pattern, sizeof pattern, "%s%llu:*", s->home->options.name_space,
                   (unsigned long long)number);
    (void)snprintf(count, sizeof count, "%d", SCAN_COUNT);
    norn_redis_question_init(&question, s->home->alloc, 0, node, soon());
    norn_redis_put_words(&question.command, "SCAN", s->cursor, "MATCH", pattern, "COUNT", count,
                         NULL);
    question.answer = take_keys;
    question.context = s;
    s->unlinks = NULL;
    s->count = 0;
    norn_status status = norn_redis_ask(s->home->client, &question, 1);
    norn_redis_question_deinit(&question);
    if (status == NORN_OK) status = norn_redis_ask(s->home->client, s->unlinks, s->count);
    for (uint32_t i = 0; i < s->count; i++) norn_redis_question_deinit(&s->unlinks[i]);
    norn_free(s->home->alloc, s->unlinks);
    *found += s->count;
    return status;
}

/// All masters, until none has a key: slots may move meanwhile.
static norn_status unlink_all(norn_redis_tender *tender, uint64_t number) {
    char record[NORN_REDIS_KEY_BYTES];
    uint16_t slot, nodes[NORN_REDIS_NODES_MAX];
    scan s = {.home = tender->home, .record = record};
    s.record_bytes = norn_redis_record_key(tender->home, number, &slot, record);
    for (uint64_t found = 1; found > 0;) {
        uint32_t count;
        found = 0;
        norn_redis_client_masters(tender->home->client, nodes, &count);
        for (uint32_t i = 0; i < count; i++) {
            strcpy(s.cursor, "0");
            do {
                if (stopping(tender)) return norn_fail(NORN_CANCELLED, "the tier is being closed");
                NORN_TRY(scan_once(&s, number, nodes[i], &found));
            } while (strcmp(s.cursor, "0") != 0);
        }
    }
    return NORN_OK;
}

static norn_status forget(norn_redis_home *home, uint64_t number) {
    norn_redis_question questions[2];
    char record[NORN_REDIS_KEY_BYTES], list[NORN_REDIS_KEY_BYTES], text[24];
    uint16_t slot;
    record[norn_redis_record_key(home, number, &slot, record)] = '\0';
    const int count = snprintf(list, sizeof list, "%s:versions", home->options.name_space);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    norn_redis_question_init(&questions[0], home->alloc, norn_redis_slot(list, (size_t)count),
                             NORN_REDIS_NO_NODE, soon());
    norn_redis_put_words(&questions[0].command, "SREM", list, text, NULL);
    norn_redis_question_init(&questions[1], home->alloc, slot, NORN_REDIS_NO_NODE, soon());
    norn_redis_put_words(&questions[1].command, "UNLINK", record, NULL);
    const norn_status status = norn_redis_ask(home->client, questions, 2);
    norn_redis_question_deinit(&questions[0]);
    norn_redis_question_deinit(&questions[1]);
    return status;
}

static norn_status drop(norn_redis_tender *tender, norn_redis_version *version) {
    NORN_TRY(norn_redis_version_state(version, "dropping"));
    NORN_TRY(unlink_all(tender, version->base.number));
    return forget(tender->home, version->base.number);
}

static void drop_first(norn_redis_tender *tender, norn_redis_version *version) {
    const norn_status status = drop(tender, version);
    if (status != NORN_OK && status != NORN_CANCELLED)
        NORN_LOG_LIMITED(NORN_LOG_WARN, "redis: dropping version %llu goes on later: %s",
                         (unsigned long long)version->base.number, norn_message());
    if (status != NORN_OK) return;
    pthread_mutex_lock(&tender->lock);
    norn_redis_version **at = &tender->dropped;
    while (*at != version) at = &(*at)->heap;
    *at = version->heap;
    pthread_mutex_unlock(&tender->lock);
    tender->gone(tender->context, version);
}

// ---- steps of others

static norn_status take_step(void *context, const norn_redis_reply *reply) {
    uint64_t *step = context;
    uint32_t loaded;
    if (norn_redis_is(reply, 0, NORN_REDIS_NIL))
        return norn_fail(NORN_NOT_FOUND, "it is gone: servers lost it, or somebody dropped it");
    return norn_redis_cut_look(norn_redis_bytes(reply, 0), step, &loaded);
}

static void follow(norn_redis_version *version) {
    norn_redis_question question;
    char key[NORN_REDIS_KEY_BYTES];
    pthread_mutex_lock(&version->lock);
    uint64_t step = version->visible;
    const bool ours = version->written;
    pthread_mutex_unlock(&version->lock);
    if (ours) return;
    norn_redis_question_init(&question, version->home->alloc, version->tags[0].slot,
                             NORN_REDIS_NO_NODE, soon());
    norn_redis_put_array(&question.command, 2);
    norn_redis_put_text(&question.command, "GET");
    norn_redis_put_bytes(&question.command, key, norn_redis_cut_key(version, 0, key));
    question.answer = take_step;
    question.context = &step;
    const norn_status status = norn_redis_ask(version->home->client, &question, 1);
    norn_redis_question_deinit(&question);
    if (status == NORN_NOT_FOUND || status == NORN_DATA_LOSS)
        NORN_LOG_LIMITED(NORN_LOG_WARN, "redis: version %llu: %s",
                         (unsigned long long)version->base.number, norn_message());
    pthread_mutex_lock(&version->lock);
    if (status == NORN_OK && !version->written) version->visible = step;
    pthread_mutex_unlock(&version->lock);
}

// ---- the thread

static norn_redis_version *first_dropped(norn_redis_tender *tender) {
    const int64_t tick_ns = norn_clock_now_ns() + TICK_MS * INT64_C(1000000);
    pthread_mutex_lock(&tender->lock);
    if (!tender->stop && !tender->dropped)
        (void)norn_condition_wait(&tender->changed, &tender->lock, tick_ns);
    norn_redis_version *version = tender->dropped;
    pthread_mutex_unlock(&tender->lock);
    return version;
}

static void *tend(void *argument) {
    norn_redis_tender *tender = argument;
    int64_t looked_ns = 0;
    while (!stopping(tender)) {
        norn_redis_version *version = first_dropped(tender);
        if (version && !stopping(tender)) drop_first(tender, version);
        const int64_t now_ns = norn_clock_now_ns();
        if (now_ns - looked_ns < TICK_MS * INT64_C(1000000) / 2 || stopping(tender)) continue;
        looked_ns = now_ns;
        tender->each(tender->context, follow);
    }
    return NULL;
}

norn_status norn_redis_tender_start(norn_redis_tender *tender) {
    pthread_mutex_init(&tender->lock, NULL);
    norn_condition_init(&tender->changed);
    if (pthread_create(&tender->thread, NULL, tend, tender) == 0) return NORN_OK;
    pthread_cond_destroy(&tender->changed);
    pthread_mutex_destroy(&tender->lock);
    return norn_fail(NORN_RESOURCE_EXHAUSTED, "no thread for redis");
}

void norn_redis_tender_stop(norn_redis_tender *tender) {
    pthread_mutex_lock(&tender->lock);
    tender->stop = true;
    pthread_cond_signal(&tender->changed);
    pthread_mutex_unlock(&tender->lock);
    pthread_join(tender->thread, NULL);
    norn_status status = NORN_OK;
    while (tender->dropped) {
        norn_redis_version *version = tender->dropped;
        tender->dropped = version->heap;
        if (status == NORN_OK) status = norn_redis_version_state(version, "dropping");
        tender->gone(tender->context, version);
    }
    pthread_cond_destroy(&tender->changed);
    pthread_mutex_destroy(&tender->lock);
}

void norn_redis_tender_drop(norn_redis_tender *tender, norn_redis_version *version) {
    pthread_mutex_lock(&tender->lock);
    version->heap = tender->dropped;
    tender->dropped = version;
    pthread_cond_signal(&tender->changed);
    pthread_mutex_unlock(&tender->lock);
}
