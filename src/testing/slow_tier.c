#include "testing/slow_tier.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/memory.h"
#include "store/host/host_tier.h"

#include <pthread.h>

enum { WAITING_MAX = 64 };

typedef struct waiting {
    norn_fetch *fetch;
    int64_t due_ns;
    norn_status status;
} waiting;

typedef struct slow_tier {
    norn_tier base;
    norn_alloc alloc;
    norn_tier *inner;
    pthread_t thread;
    pthread_mutex_t lock; ///< of all below
    pthread_cond_t changed;
    waiting queue[WAITING_MAX];
    size_t count;
    int64_t delay_ns;
    norn_status status;
    uint64_t fetches, keys;
    bool stop;
} slow_tier;

static slow_tier *slow_of(norn_tier *self) {
    return (slow_tier *)(void *)self;
}
static norn_tier *inner_of(norn_tier *self) {
    return slow_of(self)->inner;
}

// ---- the thread

static int64_t end_of(const waiting *at) {
    const int64_t deadline = at->fetch->deadline_ns;
    return deadline < at->due_ns ? deadline : at->due_ns;
}

static void answer(slow_tier *tier, const waiting *one) {
    norn_fetch *fetch = one->fetch;
    if (one->status == NORN_OK && fetch->deadline_ns >= one->due_ns &&
        tier->inner->ops->fetch(tier->inner, fetch) == NORN_OK)
        return; // it has called `done`
    fetch->status = one->status;
    for (uint32_t i = 0; i < fetch->count; i++) fetch->state[i] = NORN_ROW_LATE;
    fetch->done(fetch);
}

static void wait_until(slow_tier *tier, int64_t until_ns) {
    (void)norn_condition_wait(&tier->changed, &tier->lock, tier->count ? until_ns : INT64_MAX);
}

static void *serve(void *argument) {
    slow_tier *tier = argument;
    pthread_mutex_lock(&tier->lock);
    while (!tier->stop || tier->count) {
        size_t first = 0;
        for (size_t i = 1; i < tier->count; i++)
            if (end_of(&tier->queue[i]) < end_of(&tier->queue[first])) first = i;
        const int64_t end_ns = tier->count ? end_of(&tier->queue[first]) : 0;
        if (!tier->count || norn_clock_now_ns() < end_ns) {
            wait_until(tier, end_ns);
            continue;
        }
        const waiting one = tier->queue[first];
        tier->queue[first] = tier->queue[--tier->count];
        pthread_mutex_unlock(&tier->lock);
        answer(tier, &one);
        pthread_mutex_lock(&tier->lock);
    }
    pthread_mutex_unlock(&tier->lock);
    return NULL;
}

static norn_status fetch(norn_tier *self, norn_fetch *f) {
    slow_tier *tier = slow_of(self);
    norn_status status = NORN_OK;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->keys[i].table >= f->pin->version->table_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "there is no table of index %u",
                             f->keys[i].table);
    pthread_mutex_lock(&tier->lock);
    tier->fetches++;
    tier->keys += f->count;
    if (tier->count == WAITING_MAX)
        status = norn_fail(NORN_INVALID_ARGUMENT, "%d fetches wait already", WAITING_MAX);
    else
        tier->queue[tier->count++] =
            (waiting){f, norn_clock_now_ns() + tier->delay_ns, tier->status};
    pthread_cond_signal(&tier->changed);
    pthread_mutex_unlock(&tier->lock);
    return status;
}

// ---- what the host tier does

static norn_status pin(norn_tier *self, norn_version *version, norn_pin *out) {
    return inner_of(self)->ops->pin(inner_of(self), version, out);
}
static void unpin(norn_tier *self, norn_pin *pinned) {
    inner_of(self)->ops->unpin(inner_of(self), pinned);
}
static norn_status fill(norn_tier *self, norn_version *version, const norn_fetch *fetched,
                        uint32_t *kept) {
    return inner_of(self)->ops->fill(inner_of(self), version, fetched, kept);
}
static norn_status apply(norn_tier *self, norn_version *version, const norn_delta *delta) {
    return inner_of(self)->ops->apply(inner_of(self), version, delta);
}
static norn_status commit(norn_tier *self, norn_version *version, const norn_cut *cut) {
    return inner_of(self)->ops->commit(inner_of(self), version, cut);
}
static void abort_applied(norn_tier *self, norn_version *version) {
    inner_of(self)->ops->abort(inner_of(self), version);
}
static norn_status load(norn_tier *self, uint64_t number, const char *dir, norn_version **out) {
    return inner_of(self)->ops->load(inner_of(self), number, dir, out);
}
static norn_status found(norn_tier *self, uint32_t index, norn_version **version, uint64_t *step) {
    return inner_of(self)->ops->found(inner_of(self), index, version, step);
}
static void drop(norn_tier *self, norn_version *version) {
    inner_of(self)->ops->drop(inner_of(self), version);
}
static void stat(norn_tier *self, const norn_version *version, norn_tier_stat *out) {
    inner_of(self)->ops->stat(inner_of(self), version, out);
}

// ---- life

static void close_tier(norn_tier *self) {
    slow_tier *tier = slow_of(self);
    pthread_mutex_lock(&tier->lock);
    tier->stop = true;
    pthread_cond_signal(&tier->changed);
    pthread_mutex_unlock(&tier->lock);
    pthread_join(tier->thread, NULL);
    norn_tier_close(tier->inner);
    pthread_cond_destroy(&tier->changed);
    pthread_mutex_destroy(&tier->lock);
    norn_free(tier->alloc, tier);
}

static const norn_tier_ops slow_ops = {
    .kind = "slow",
    .pin = pin,
    .unpin = unpin,
    .fetch = fetch,
    .fill = fill,
    .apply = apply,
    .commit = commit,
    .abort = abort_applied,
    .load = load,
    .found = found,
    .drop = drop,
    .stat = stat,
    .close = close_tier,
};

static norn_status start(slow_tier *tier) {
    pthread_mutex_init(&tier->lock, NULL);
    norn_condition_init(&tier->changed);
    if (pthread_create(&tier->thread, NULL, serve, tier) == 0) return NORN_OK;
    pthread_cond_destroy(&tier->changed);
    pthread_mutex_destroy(&tier->lock);
    return norn_fail(NORN_RESOURCE_EXHAUSTED, "no thread for the slow tier");
}

norn_status norn_slow_tier_create(norn_alloc alloc, norn_tier **out) {
    slow_tier *tier;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &tier));
    tier->base.ops = &slow_ops;
    tier->alloc = alloc;
    norn_status status = norn_host_tier_create(alloc, &tier->inner);
    if (status == NORN_OK) status = start(tier);
    if (status != NORN_OK) {
        norn_tier_close(tier->inner);
        norn_free(alloc, tier);
        return status;
    }
    *out = &tier->base;
    return NORN_OK;
}

void norn_slow_tier_delay(norn_tier *self, int64_t delay_ns) {
    pthread_mutex_lock(&slow_of(self)->lock);
    slow_of(self)->delay_ns = delay_ns;
    pthread_mutex_unlock(&slow_of(self)->lock);
}

void norn_slow_tier_fail(norn_tier *self, norn_status status) {
    pthread_mutex_lock(&slow_of(self)->lock);
    slow_of(self)->status = status;
    pthread_mutex_unlock(&slow_of(self)->lock);
}

uint64_t norn_slow_tier_fetches(norn_tier *self) {
    pthread_mutex_lock(&slow_of(self)->lock);
    const uint64_t fetches = slow_of(self)->fetches;
    pthread_mutex_unlock(&slow_of(self)->lock);
    return fetches;
}

uint64_t norn_slow_tier_keys(norn_tier *self) {
    pthread_mutex_lock(&slow_of(self)->lock);
    const uint64_t keys = slow_of(self)->keys;
    pthread_mutex_unlock(&slow_of(self)->lock);
    return keys;
}
