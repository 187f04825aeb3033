#include "store/cache/cache_tier.h"
#include "base/memory.h"
#include "store/cache/row_cache.h"
#include "store/delta_check.h"

#include <pthread.h>
#include <string.h>

/// While a step is being made visible: no reader has such a step.
#define NO_STEP UINT64_MAX

/// What was applied and not committed.
typedef struct applied {
    struct applied *next;
    norn_delta delta; ///< its keys and rows lie behind it
} applied;

/// The cached rows of one version.
typedef struct version_cache {
    struct version_cache *next;
    const norn_version *version;
    norn_row_cache *tables;
    uint32_t table_count;
    uint64_t pins;            ///< by the tier's lock
    bool dropped;             ///< likewise
    _Atomic uint64_t visible; ///< step; NO_STEP
    pthread_mutex_t lock;     ///< pins against commits
    applied *first, **last;
} version_cache;

typedef struct cache_tier {
    norn_tier base;
    norn_tier_ops ops; ///< of the tier below, but for what is here
    norn_alloc alloc;
    norn_tier *below;
    size_t bytes;
    pthread_mutex_t lock; ///< of the list
    version_cache *versions;
    _Atomic uint64_t hits, misses;
} cache_tier;

static cache_tier *cache_of(norn_tier *self) {
    return (cache_tier *)(void *)self;
}

// ---- versions

static void destroy_version(const cache_tier *tier, version_cache *cache) {
    for (applied *at = cache->first, *next; at; at = next) {
        next = at->next;
        norn_free(tier->alloc, at);
    }
    for (uint32_t t = 0; cache->tables && t < cache->table_count; t++)
        norn_row_cache_deinit(&cache->tables[t]);
    norn_free(tier->alloc, cache->tables);
    pthread_mutex_destroy(&cache->lock);
    norn_free(tier->alloc, cache);
}

static norn_status create_version(const cache_tier *tier, const norn_version *version,
                                  version_cache **out) {
    version_cache *cache;
    double all = 0;
    norn_status status;
    NORN_TRY(NORN_NEW(tier->alloc, &cache));
    cache->version = version;
    cache->table_count = version->table_count;
    cache->last = &cache->first;
    pthread_mutex_init(&cache->lock, NULL);
    atomic_init(&cache->visible, NO_STEP);
    for (uint32_t t = 0; t < version->table_count; t++)
        all += (double)version->tables[t].rows * (double)version->tables[t].row_bytes;
    NORN_TRY_DONE(NORN_NEW_ARRAY(tier->alloc, version->table_count, &cache->tables));
    for (uint32_t t = 0; t < version->table_count; t++) {
        const norn_table_form *form = &version->tables[t];
        const double share = all > 0 ? (double)form->rows * (double)form->row_bytes / all : 0;
        NORN_TRY_DONE(norn_row_cache_init(&cache->tables[t], (uint64_t)form->rows,
                                          (size_t)form->row_bytes,
                                          (size_t)(share * (double)tier->bytes), tier->alloc));
    }
    *out = cache;
    return NORN_OK;
done:
    destroy_version(tier, cache);
    return status;
}

/// Where that of a version is linked, or would be. Held.
static version_cache **place_of(cache_tier *tier, const norn_version *version) {
    version_cache **at = &tier->versions;
    while (*at && (*at)->version != version) at = &(*at)->next;
    return at;
}

/// Made when it is first asked for. `pins`: it is pinned so many times more.
static norn_status version_of(cache_tier *tier, const norn_version *version, uint64_t pins,
                              version_cache **out) {
    norn_status status = NORN_OK;
    pthread_mutex_lock(&tier->lock);
    version_cache **at = place_of(tier, version);
    if (!*at) status = create_version(tier, version, at);
    if (status == NORN_OK) (*at)->pins += pins;
    *out = *at;
    pthread_mutex_unlock(&tier->lock);
    return status;
}

/// Of a pinned version: it is there.
static version_cache *find(cache_tier *tier, const norn_version *version) {
    pthread_mutex_lock(&tier->lock);
    version_cache *at = *place_of(tier, version);
    pthread_mutex_unlock(&tier->lock);
    return at;
}

/// One pin less, or a drop: what nobody comes to any more goes, before the version does, whose address
/// may be another's then.
static void let_go(cache_tier *tier, const norn_version *version, uint64_t pins, bool drops) {
    version_cache *gone = NULL;
    pthread_mutex_lock(&tier->lock);
    version_cache **at = place_of(tier, version);
    if (*at) {
        (*at)->pins -= pins;
        (*at)->dropped = (*at)->dropped || drops;
        if ((*at)->dropped && (*at)->pins == 0) {
            gone = *at;
            *at = gone->next;
        }
    }
    pthread_mutex_unlock(&tier->lock);
    if (gone) destroy_version(tier, gone);
}

// ---- reading

static norn_status pin(norn_tier *self, norn_version *version, norn_pin *out) {
    cache_tier *tier = cache_of(self);
    version_cache *cache;
    NORN_TRY(version_of(tier, version, 1, &cache));
    pthread_mutex_lock(&cache->lock);
    const norn_status status = tier->below->ops->pin(tier->below, version, out);
    if (status == NORN_OK) atomic_store_explicit(&cache->visible, out->step, memory_order_release);
    pthread_mutex_unlock(&cache->lock);
    if (status != NORN_OK) let_go(tier, version, 1, false);
    return status;
}

static void unpin(norn_tier *self, norn_pin *pinned) {
    cache_tier *tier = cache_of(self);
    if (pinned->version) let_go(tier, pinned->version, 1, false);
    tier->below->ops->unpin(tier->below, pinned);
}

/// A fetch of what is not cached.
typedef struct lower_fetch {
    norn_fetch fetch; ///< first
    norn_fetch *whole;
    cache_tier *tier;
    version_cache *cache;
    uint32_t *index; ///< of each key in `whole`
} lower_fetch;

static void on_fetched(norn_fetch *fetch) {
    lower_fetch *lower = (lower_fetch *)(void *)fetch;
    norn_fetch *whole = lower->whole;
    for (uint32_t i = 0; fetch->status == NORN_OK && i < fetch->count; i++) {
        const norn_row_key key = fetch->keys[i];
        whole->state[lower->index[i]] = fetch->state[i];
        whole->step[lower->index[i]] = fetch->step[i];
        if (fetch->state[i] == NORN_ROW_FOUND)
            norn_row_cache_put(&lower->cache->tables[key.table], &lower->cache->visible,
                               fetch->pin->step, key.key, fetch->step[i],
                               fetch->rows + fetch->row_at[i]);
    }
    whole->status = fetch->status;
    norn_free(lower->tier->alloc, lower);
    whole->done(whole);
}

/// One block: the fetch, then its arrays.
static norn_status make_lower(cache_tier *tier, uint32_t most, lower_fetch **out) {
    const size_t each = sizeof(norn_row_key) + 2 * sizeof(uint64_t) + sizeof(uint32_t) + 1;
    void *memory;
    NORN_TRY(norn_alloc_bytes(tier->alloc, sizeof **out + most * each, &memory));
    lower_fetch *lower = memory;
    norn_row_key *keys = (norn_row_key *)(lower + 1);
    uint64_t *row_at = (uint64_t *)(keys + most), *step = row_at + most;
    uint32_t *index = (uint32_t *)(step + most);
    *lower = (lower_fetch){.fetch = {.keys = keys,
                                     .row_at = row_at,
                                     .step = step,
                                     .state = (uint8_t *)(index + most),
                                     .done = on_fetched},
                           .tier = tier,
                           .index = index};
    *out = lower;
    return NORN_OK;
}

static norn_status fetch(norn_tier *self, norn_fetch *f) {
    enum { AHEAD = 8 };
    cache_tier *tier = cache_of(self);
    const norn_version *version = f->pin->version;
    version_cache *cache = find(tier, version);
    lower_fetch *lower;
    NORN_TRY(norn_fetch_check(version, f));
    if (make_lower(tier, f->count, &lower) != NORN_OK) // no memory for a cache to work with
        return tier->below->ops->fetch(tier->below, f);
    uint32_t missing = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const norn_row_key key = f->keys[i];
        if (i + AHEAD < f->count)
            norn_row_cache_ask(&cache->tables[f->keys[i + AHEAD].table], f->keys[i + AHEAD].key);
        if (norn_row_cache_get(&cache->tables[key.table], f->pin->step, key.key,
                               f->rows + f->row_at[i], &f->step[i])) {
            f->state[i] = NORN_ROW_FOUND;
            continue;
        }
        ((norn_row_key *)(uintptr_t)lower->fetch.keys)[missing] = key;
        ((uint64_t *)(uintptr_t)lower->fetch.row_at)[missing] = f->row_at[i];
        lower->index[missing++] = i;
    }
    atomic_fetch_add_explicit(&tier->hits, f->count - missing, memory_order_relaxed);
    atomic_fetch_add_explicit(&tier->misses, missing, memory_order_relaxed);
    if (missing == 0) {
        norn_free(tier->alloc, lower);
        f->status = NORN_OK;
        f->done(f);
        return NORN_OK;
    }
    lower->whole = f;
    lower->cache = cache;
    lower->fetch.pin = f->pin;
    lower->fetch.count = missing;
    lower->fetch.rows = f->rows;
    lower->fetch.deadline_ns = f->deadline_ns;
    memset(lower->fetch.state, NORN_ROW_WAITING, missing);
    const norn_status status = tier->below->ops->fetch(tier->below, &lower->fetch);
    if (status != NORN_OK) norn_free(tier->alloc, lower);
    return status;
}

/// Rows that come into the tier below are read there again.
static norn_status fill(norn_tier *self, norn_version *version, const norn_fetch *fetched,
                        uint32_t *kept) {
    cache_tier *tier = cache_of(self);
    version_cache *cache;
    NORN_TRY(version_of(tier, version, 0, &cache));
    const norn_status status = tier->below->ops->fill(tier->below, version, fetched, kept);
    for (uint32_t i = 0; i < fetched->count; i++)
        if (fetched->keys[i].table < cache->table_count)
            norn_row_cache_update(&cache->tables[fetched->keys[i].table], fetched->keys[i].key, 0,
                                  NULL);
    return status;
}

// ---- writing

static void forget_applied(const cache_tier *tier, version_cache *cache) {
    while (cache->first) {
        applied *next = cache->first->next;
        norn_free(tier->alloc, cache->first);
        cache->first = next;
    }
    cache->last = &cache->first;
}

/// A copy, for what is cached.
static norn_status keep_applied(const cache_tier *tier, version_cache *cache,
                                const norn_delta *delta) {
    const size_t keys = delta->count * sizeof *delta->keys,
                 rows = delta->deletes ? 0 : delta->count * delta->row_bytes;
    void *memory;
    NORN_TRY(norn_alloc_bytes(tier->alloc, sizeof(applied) + keys + rows, &memory));
    applied *made = memory;
    char *at = (char *)(made + 1);
    *made = (applied){.delta = *delta};
    made->delta.keys = memcpy(at, delta->keys, keys);
    made->delta.rows = rows ? memcpy(at + keys, delta->rows, rows) : NULL;
    *cache->last = made;
    cache->last = &made->next;
    return NORN_OK;
}

static norn_status apply(norn_tier *self, norn_version *version, const norn_delta *delta) {
    cache_tier *tier = cache_of(self);
    version_cache *cache;
    NORN_TRY(version_of(tier, version, 0, &cache));
    NORN_TRY(tier->below->ops->apply(tier->below, version, delta));
    return keep_applied(tier, cache, delta);
}

static void update_cached(version_cache *cache) {
    for (const applied *at = cache->first; at; at = at->next)
        for (uint32_t i = 0; i < at->delta.count; i++)
            norn_row_cache_update(
                &cache->tables[at->delta.table], at->delta.keys[i], at->delta.step,
                at->delta.deletes ? NULL : at->delta.rows + i * at->delta.row_bytes);
}

/// No pin is taken meanwhile: one that sees the new step finds a cache that has it.
static norn_status commit(norn_tier *self, norn_version *version, const norn_cut *cut) {
    cache_tier *tier = cache_of(self);
    version_cache *cache;
    NORN_TRY(version_of(tier, version, 0, &cache));
    pthread_mutex_lock(&cache->lock);
    const uint64_t before = atomic_exchange(&cache->visible, NO_STEP);
    const norn_status status = tier->below->ops->commit(tier->below, version, cut);
    if (status == NORN_OK) {
        update_cached(cache);
        forget_applied(tier, cache);
    }
    atomic_store_explicit(&cache->visible, status == NORN_OK ? cut->step : before,
                          memory_order_release);
    pthread_mutex_unlock(&cache->lock);
    return status;
}

static void abort_applied(norn_tier *self, norn_version *version) {
    cache_tier *tier = cache_of(self);
    version_cache *cache = find(tier, version);
    if (cache) forget_applied(tier, cache);
    tier->below->ops->abort(tier->below, version);
}

// ---- versions and life

static norn_status load(norn_tier *self, uint64_t number, const char *dir, norn_version **out) {
    norn_tier *below = cache_of(self)->below;
    return below->ops->load(below, number, dir, out);
}

static norn_status found(norn_tier *self, uint32_t index, norn_version **version, uint64_t *step) {
    norn_tier *below = cache_of(self)->below;
    return below->ops->found(below, index, version, step);
}

static norn_cut cut(norn_tier *self, const norn_version *version) {
    norn_tier *below = cache_of(self)->below;
    return below->ops->cut(below, version);
}

static void drop(norn_tier *self, norn_version *version) {
    cache_tier *tier = cache_of(self);
    let_go(tier, version, 0, true);
    tier->below->ops->drop(tier->below, version);
}

static void stat(norn_tier *self, const norn_version *version, norn_tier_stat *out) {
    norn_tier *below = cache_of(self)->below;
    below->ops->stat(below, version, out);
}

static void close_tier(norn_tier *self) {
    cache_tier *tier = cache_of(self);
    while (tier->versions) {
        version_cache *next = tier->versions->next;
        destroy_version(tier, tier->versions);
        tier->versions = next;
    }
    norn_tier_close(tier->below);
    pthread_mutex_destroy(&tier->lock);
    norn_free(tier->alloc, tier);
}

norn_status norn_cache_tier_create(norn_tier *below, size_t bytes, norn_alloc alloc,
                                   norn_tier **out) {
    cache_tier *tier;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &tier));
    tier->ops = (norn_tier_ops){.kind = below->ops->kind, // what fails is the tier below
                                .traits = below->ops->traits & ~(uint32_t)NORN_TIER_POINTERS,
                                .pin = pin,
                                .unpin = unpin,
                                .fetch = fetch,
                                .fill = fill,
                                .apply = apply,
                                .commit = commit,
                                .abort = abort_applied,
                                .load = load,
                                .found = found,
                                .cut = below->ops->cut ? cut : NULL,
                                .drop = drop,
                                .stat = stat,
                                .close = close_tier};
    tier->base.ops = &tier->ops;
    tier->alloc = alloc;
    tier->below = below;
    tier->bytes = bytes;
    pthread_mutex_init(&tier->lock, NULL);
    *out = &tier->base;
    return NORN_OK;
}

norn_cache_stat norn_cache_tier_stat(const norn_tier *self) {
    const cache_tier *tier = (const cache_tier *)(const void *)self;
    return (norn_cache_stat){atomic_load_explicit(&tier->hits, memory_order_relaxed),
                             atomic_load_explicit(&tier->misses, memory_order_relaxed)};
}
