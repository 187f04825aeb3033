#include "store/redis/redis_tier.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/delta_check.h"
#include "store/redis/redis_command.h"
#include "store/redis/redis_commit.h"
#include "store/redis/redis_fetch.h"
#include "store/redis/redis_load.h"
#include "store/redis/redis_tender.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

typedef struct redis_tier {
    norn_tier base;
    norn_redis_home home;
    norn_redis_fetches fetches;
    norn_redis_watch watch;
    norn_redis_tender tender;
    pthread_mutex_t lock;         ///< of the list
    norn_redis_version *versions; ///< in order of number, with those that are being dropped
    char *nodes, *name_space;
} redis_tier;

static redis_tier *redis_of(norn_tier *self) {
    return (redis_tier *)(void *)self;
}

// ---- the list

static norn_redis_version **place_of(redis_tier *tier, uint64_t number) {
    norn_redis_version **at = &tier->versions;
    while (*at && (*at)->base.number < number) at = &(*at)->next;
    return at;
}

static bool has_number(redis_tier *tier, uint64_t number) {
    pthread_mutex_lock(&tier->lock);
    norn_redis_version *const *at = place_of(tier, number);
    const bool has = *at && (*at)->base.number == number;
    pthread_mutex_unlock(&tier->lock);
    return has;
}

/// False: another is there, and the version is not taken.
static bool put_version(redis_tier *tier, norn_redis_version *version) {
    pthread_mutex_lock(&tier->lock);
    norn_redis_version **at = place_of(tier, version->base.number);
    const bool free = !*at || (*at)->base.number != version->base.number;
    if (free) {
        version->next = *at;
        *at = version;
    }
    pthread_mutex_unlock(&tier->lock);
    return free;
}

static bool is_dropped(norn_redis_version *version) {
    pthread_mutex_lock(&version->lock);
    const bool dropped = version->dropped;
    pthread_mutex_unlock(&version->lock);
    return dropped;
}

// ---- reading

static norn_status pin(norn_tier *self, norn_version *of, norn_pin *out) {
    norn_redis_version *version = norn_redis_version_of(of);
    (void)self;
    *out = (norn_pin){0};
    pthread_mutex_lock(&version->lock);
    const bool dropped = version->dropped;
    if (!dropped) {
        version->pins++;
        *out = (norn_pin){of, version->visible, 0};
    }
    pthread_mutex_unlock(&version->lock);
    if (!dropped) return NORN_OK;
    return norn_fail(NORN_NOT_FOUND, "version %llu was dropped", (unsigned long long)of->number);
}

static void unpin(norn_tier *self, norn_pin *pinned) {
    if (!pinned->version) return;
    norn_redis_version *version = norn_redis_version_of(pinned->version);
    *pinned = (norn_pin){0};
    pthread_mutex_lock(&version->lock);
    const bool last = --version->pins == 0 && version->dropped;
    pthread_mutex_unlock(&version->lock);
    if (last) norn_redis_tender_drop(&redis_of(self)->tender, version);
}

static norn_status fetch(norn_tier *self, norn_fetch *f) {
    NORN_TRY(norn_fetch_check(f->pin->version, f));
    return norn_redis_fetches_add(&redis_of(self)->fetches, f);
}

static norn_status fill(norn_tier *self, norn_version *version, const norn_fetch *fetched,
                        uint32_t *kept) {
    (void)self;
    return norn_redis_fill(norn_redis_version_of(version), fetched, kept);
}

// ---- writing

static norn_status apply(norn_tier *self, norn_version *version, const norn_delta *delta) {
    (void)self;
    return norn_redis_apply(norn_redis_version_of(version), delta);
}

static norn_status commit(norn_tier *self, norn_version *version, const norn_cut *cut) {
    (void)self;
    return norn_redis_commit(norn_redis_version_of(version), cut);
}

static void abort_applied(norn_tier *self, norn_version *version) {
    (void)self;
    norn_redis_abort(norn_redis_version_of(version));
}

static norn_cut cut_of(norn_tier *self, const norn_version *version) {
    (void)self;
    return norn_redis_cut(norn_redis_version_of(version));
}

// ---- versions

static norn_status load(norn_tier *self, uint64_t number, const char *dir, norn_version **out) {
    redis_tier *tier = redis_of(self);
    norn_redis_version *version;
    *out = NULL;
    if (has_number(tier, number))
        return norn_fail(NORN_ALREADY_EXISTS, "version %llu is there already",
                         (unsigned long long)number);
    NORN_TRY(norn_redis_load(&tier->home, number, dir, &version));
    if (!put_version(tier, version)) {
        norn_redis_version_destroy(version);
        return norn_fail(NORN_ALREADY_EXISTS, "version %llu is there already",
                         (unsigned long long)number);
    }
    *out = &version->base;
    return NORN_OK;
}

/// What servers say of a version that is not here yet.
static norn_status find(redis_tier *tier, uint64_t number) {
    norn_redis_home *home = &tier->home;
    norn_redis_record record;
    norn_redis_version *version;
    norn_redis_cuts cuts;
    NORN_TRY(norn_redis_version_read(home, number, &record, &version));
    if (strcmp(record.state, "dropping") == 0) { // whoever began is gone
        NORN_TRY(norn_redis_version_create(home, number, 1, &version));
        version->dropped = true;
        if (put_version(tier, version))
            norn_redis_tender_drop(&tier->tender, version);
        else
            norn_redis_version_destroy(version);
        return NORN_OK;
    }
    if (!version || strcmp(record.state, "ready") != 0) {
        norn_redis_version_destroy(version);
        return NORN_OK;
    }
    version->generation = norn_redis_client_generation(home->client);
    norn_status status = norn_redis_cuts_read(version, NULL, NULL, &cuts);
    if (status == NORN_OK && (cuts.absent || cuts.least_loaded < version->base.table_count))
        status =
            norn_fail(NORN_DATA_LOSS,
                      "version %llu: servers have lost rows of the full version; load it again",
                      (unsigned long long)number);
    if (status == NORN_OK) status = norn_redis_cuts_take(version, &cuts);
    norn_redis_cuts_deinit(&cuts);
    if (status == NORN_OK && put_version(tier, version)) return NORN_OK;
    norn_redis_version_destroy(version);
    return status;
}

typedef struct numbers {
    norn_alloc alloc;
    uint64_t *at;
    uint32_t count;
} numbers;

static norn_status take_numbers(void *context, const norn_redis_reply *reply) {
    numbers *all = context;
    if (!norn_redis_is(reply, 0, NORN_REDIS_ARRAY))
        return norn_fail(NORN_DATA_LOSS, "redis: SMEMBERS was answered with something else");
    NORN_TRY(NORN_NEW_ARRAY(all->alloc, reply->values[0].count, &all->at));
    for (uint32_t i = 1; i < reply->count; i++) {
        const norn_span text = norn_redis_bytes(reply, i);
        uint64_t value = 0;
        size_t d = 0;
        for (; d < text.count && d < 20 && isdigit(text.bytes[d]); d++)
            value = value * 10 + (uint64_t)(text.bytes[d] - '0');
        if (d == 0 || d < text.count || all->count == reply->values[0].count) continue;
        all->at[all->count++] = value;
    }
    return NORN_OK;
}

static norn_status read_numbers(norn_redis_home *home, numbers *all) {
    norn_redis_question question;
    char key[NORN_REDIS_KEY_BYTES];
    const int count = snprintf(key, sizeof key, "%s:versions", home->options.name_space);
    norn_redis_question_init(
        &question, home->alloc, norn_redis_slot(key, (size_t)count), NORN_REDIS_NO_NODE,
        norn_clock_now_ns() + home->options.fetch_patience_ms * INT64_C(1000000));
    norn_redis_put_words(&question.command, "SMEMBERS", key, NULL);
    question.answer = take_numbers;
    question.context = all;
    const norn_status status = norn_redis_ask(home->client, &question, 1);
    norn_redis_question_deinit(&question);
    return status;
}

static norn_status find_all(redis_tier *tier) {
    numbers all = {.alloc = tier->home.alloc};
    norn_status status = read_numbers(&tier->home, &all);
    for (uint32_t i = 0; status == NORN_OK && i < all.count; i++) {
        if (has_number(tier, all.at[i])) continue;
        status = find(tier, all.at[i]);
        if (status != NORN_DATA_LOSS) continue;
        norn_log(NORN_LOG_WARN, "redis: %s", norn_message());
        status = NORN_OK;
    }
    norn_free(tier->home.alloc, all.at);
    return status;
}

static norn_status found(norn_tier *self, uint32_t index, norn_version **version, uint64_t *step) {
    redis_tier *tier = redis_of(self);
    norn_redis_version *at;
    if (index == 0 && find_all(tier) != NORN_OK)
        norn_log(NORN_LOG_WARN, "redis: versions of others were not looked for: %s",
                 norn_message());
    pthread_mutex_lock(&tier->lock);
    for (at = tier->versions; at; at = at->next) {
        if (is_dropped(at)) continue;
        if (index-- == 0) break;
    }
    if (at) {
        *step = norn_redis_version_step(at);
        *version = &at->base;
    }
    pthread_mutex_unlock(&tier->lock);
    return at ? NORN_OK : norn_fail(NORN_NOT_FOUND, "there are no more versions");
}

static void drop(norn_tier *self, norn_version *of) {
    norn_redis_version *version = norn_redis_version_of(of);
    pthread_mutex_lock(&version->lock);
    version->dropped = true;
    const bool last = version->pins == 0;
    pthread_mutex_unlock(&version->lock);
    if (last) norn_redis_tender_drop(&redis_of(self)->tender, version);
}

static void stat(norn_tier *self, const norn_version *of, norn_tier_stat *out) {
    norn_redis_version *version = norn_redis_version_of(of);
    (void)self;
    pthread_mutex_lock(&version->lock);
    *out = (norn_tier_stat){.step = version->visible, .pins = version->pins};
    pthread_mutex_unlock(&version->lock);
    for (uint32_t t = 0; t < of->table_count; t++) out->rows += of->tables[t].rows;
    out->delta_bytes = version->kept_bytes;
}

// ---- life

/// The version stays while it is looked at: only the tender itself, whose thread this is, ends one.
static void each_version(void *context, void (*look)(norn_redis_version *version)) {
    redis_tier *tier = context;
    for (uint64_t next = 0;;) {
        pthread_mutex_lock(&tier->lock);
        norn_redis_version *version = *place_of(tier, next);
        pthread_mutex_unlock(&tier->lock);
        if (!version) return;
        if (!is_dropped(version)) look(version);
        if (version->base.number == UINT64_MAX) return;
        next = version->base.number + 1;
    }
}

static void version_gone(void *context, norn_redis_version *version) {
    redis_tier *tier = context;
    pthread_mutex_lock(&tier->lock);
    norn_redis_version **at = &tier->versions;
    while (*at != version) at = &(*at)->next;
    *at = version->next;
    pthread_mutex_unlock(&tier->lock);
    norn_redis_version_destroy(version);
}

static void destroy(redis_tier *tier) {
    while (tier->versions) version_gone(tier, tier->versions);
    if (tier->home.client) norn_redis_client_destroy(tier->home.client);
    norn_redis_fetches_deinit(&tier->fetches);
    pthread_mutex_destroy(&tier->lock);
    norn_free(tier->home.alloc, tier->nodes);
    norn_free(tier->home.alloc, tier->name_space);
    norn_free(tier->home.alloc, tier);
}

static void close_tier(norn_tier *self) {
    redis_tier *tier = redis_of(self);
    norn_redis_tender_stop(&tier->tender);
    norn_redis_client_stop(tier->home.client);
    destroy(tier);
}

static const norn_tier_ops redis_ops = {
    .kind = "redis",
    .traits = NORN_TIER_DURABLE | NORN_TIER_SHARED,
    .pin = pin,
    .unpin = unpin,
    .fetch = fetch,
    .fill = fill,
    .apply = apply,
    .commit = commit,
    .abort = abort_applied,
    .load = load,
    .found = found,
    .cut = cut_of,
    .drop = drop,
    .stat = stat,
    .close = close_tier,
};

static norn_status check_name_space(const char *text) {
    const size_t count = strlen(text);
    bool right = count > 0 && count < NORN_REDIS_SPACE_BYTES && !isdigit((uint8_t)text[count - 1]);
    for (size_t i = 0; i < count; i++)
        right = right && (isalnum((uint8_t)text[i]) || strchr("-_.", text[i]));
    if (right) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "redis namespace '%s': it has 1 to %d letters, digits, '-', '_' and '.', and "
                     "ends in no digit",
                     text, NORN_REDIS_SPACE_BYTES - 1);
}

static norn_status take_options(redis_tier *tier, const norn_redis_options *from) {
    const norn_alloc alloc = tier->home.alloc;
    norn_redis_options *to = &tier->home.options;
    *to = *from;
    if (!to->name_space) to->name_space = "n";
    if (!to->nodes) to->nodes = "";
    if (!to->partitions) to->partitions = 1024;
    if (!to->connect_timeout_ms) to->connect_timeout_ms = 1000;
    if (!to->command_timeout_ms) to->command_timeout_ms = 1000;
    if (!to->fetch_patience_ms) to->fetch_patience_ms = 5000;
    if (!to->write_patience_ms) to->write_patience_ms = 30000;
    if (!to->step_bytes) to->step_bytes = (size_t)1 << 30;
    NORN_TRY(check_name_space(to->name_space));
    if (to->partitions > NORN_REDIS_SLOTS || (to->partitions & (to->partitions - 1)) != 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "%u partitions: a power of two up to %d is asked",
                         to->partitions, NORN_REDIS_SLOTS);
    if (to->connect_timeout_ms < 0 || to->command_timeout_ms < 0 || to->fetch_patience_ms < 0 ||
        to->write_patience_ms < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "redis: a time below 0");
    NORN_TRY(norn_alloc_string(alloc, to->nodes, &tier->nodes));
    NORN_TRY(norn_alloc_string(alloc, to->name_space, &tier->name_space));
    to->nodes = tier->nodes;
    to->name_space = tier->name_space;
    return NORN_OK;
}

norn_status norn_redis_tier_open(const norn_redis_options *options, norn_alloc alloc,
                                 norn_tier **out) {
    redis_tier *tier;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &tier));
    tier->base.ops = &redis_ops;
    tier->home.alloc = alloc;
    pthread_mutex_init(&tier->lock, NULL);
    norn_redis_fetches_init(&tier->fetches, &tier->home);
    tier->watch = (norn_redis_watch){norn_redis_fetches_look, &tier->fetches};
    tier->tender = (norn_redis_tender){
        .home = &tier->home, .each = each_version, .gone = version_gone, .context = tier};
    norn_status status = take_options(tier, options);
    if (status == NORN_OK)
        status =
            norn_redis_client_start(&tier->home.options, &tier->watch, alloc, &tier->home.client);
    if (status == NORN_OK) {
        status = norn_redis_tender_start(&tier->tender);
        if (status == NORN_OK) {
            status = find_all(tier);
            if (status != NORN_OK) norn_redis_tender_stop(&tier->tender);
        }
        if (status != NORN_OK) norn_redis_client_stop(tier->home.client);
    }
    if (status != NORN_OK) {
        norn_note("%s", options->nodes ? options->nodes : "redis");
        destroy(tier);
        return status;
    }
    *out = &tier->base;
    return NORN_OK;
}

norn_redis_stat norn_redis_tier_stat(norn_tier *self) {
    redis_tier *tier = redis_of(self);
    norn_redis_stat out = norn_redis_client_stat(tier->home.client);
    out.skewed = tier->home.skewed;
    return out;
}
