#include "store/rocksdb/rocksdb_tier.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/delta_check.h"
#include "store/rocksdb/rocksdb_load.h"
#include "store/rocksdb/rocksdb_reads.h"

typedef struct rocksdb_tier {
    norn_tier base;
    norn_alloc alloc;
    norn_rocksdb db;
    norn_rocksdb_reads *reads;
    pthread_mutex_t loading; ///< one load at a time
    uint64_t next_generation;
    pthread_mutex_t lock;           ///< of all below
    norn_rocksdb_version *versions; ///< that were not dropped, oldest first
    norn_rocksdb_version *retired;  ///< that nobody holds: `eraser` removes them
    pthread_cond_t changed;
    bool stop;
    pthread_t eraser;
} rocksdb_tier;

static rocksdb_tier *tier_of(norn_tier *self) {
    return (rocksdb_tier *)(void *)self;
}

// ---- the eraser

/// Removing files takes a tenth of a second and more: no reader that lets go of a version does it.
static void retire(rocksdb_tier *tier, norn_rocksdb_version *version) {
    pthread_mutex_lock(&tier->lock);
    version->next = tier->retired;
    tier->retired = version;
    pthread_cond_signal(&tier->changed);
    pthread_mutex_unlock(&tier->lock);
}

static void erase_one(norn_rocksdb_version *version) {
    const uint64_t number = version->base.number;
    if (norn_rocksdb_version_erase(version) != NORN_OK)
        norn_log(NORN_LOG_WARN, "version %llu: %s", (unsigned long long)number, norn_message());
}

static void *erase_retired(void *argument) {
    rocksdb_tier *tier = argument;
    pthread_mutex_lock(&tier->lock);
    while (!tier->stop || tier->retired) {
        norn_rocksdb_version *version = tier->retired;
        if (!version) {
            pthread_cond_wait(&tier->changed, &tier->lock);
            continue;
        }
        tier->retired = version->next;
        pthread_mutex_unlock(&tier->lock);
        erase_one(version);
        pthread_mutex_lock(&tier->lock);
    }
    pthread_mutex_unlock(&tier->lock);
    return NULL;
}

// ---- reading

static norn_status pin(norn_tier *self, norn_version *version, norn_pin *out) {
    (void)self;
    return norn_rocksdb_version_pin(norn_rocksdb_version_of(version), out);
}

static void unpin(norn_tier *self, norn_pin *pinned) {
    if (!pinned->version) return;
    norn_rocksdb_version *version = norn_rocksdb_version_of(pinned->version);
    if (norn_rocksdb_version_unpin(version, pinned)) retire(tier_of(self), version);
}

static norn_status fetch(norn_tier *self, norn_fetch *f) {
    NORN_TRY(norn_fetch_check(f->pin->version, f));
    norn_rocksdb_reads_add(tier_of(self)->reads, f);
    return NORN_OK;
}

static norn_status fill(norn_tier *self, norn_version *version, const norn_fetch *fetched,
                        uint32_t *kept) {
    (void)self;
    return norn_rocksdb_version_fill(norn_rocksdb_version_of(version), fetched, kept);
}

// ---- writing

static norn_status apply(norn_tier *self, norn_version *version, const norn_delta *delta) {
    (void)self;
    return norn_rocksdb_version_apply(norn_rocksdb_version_of(version), delta);
}

static norn_status commit(norn_tier *self, norn_version *version, const norn_cut *cut) {
    (void)self;
    return norn_rocksdb_version_commit(norn_rocksdb_version_of(version), cut);
}

static void abort_applied(norn_tier *self, norn_version *version) {
    (void)self;
    norn_rocksdb_version_abort(norn_rocksdb_version_of(version));
}

// ---- versions

/// Where a version of this number is linked, or would be.
static norn_rocksdb_version **place_of(rocksdb_tier *tier, uint64_t number) {
    norn_rocksdb_version **at = &tier->versions;
    while (*at && (*at)->base.number != number) at = &(*at)->next;
    return at;
}

static norn_status load_alone(rocksdb_tier *tier, uint64_t number, const char *dir,
                              norn_version **out) {
    norn_rocksdb_version *version;
    pthread_mutex_lock(&tier->lock);
    const bool taken = *place_of(tier, number) != NULL;
    pthread_mutex_unlock(&tier->lock);
    if (taken)
        return norn_fail(NORN_ALREADY_EXISTS, "version %llu is there already",
                         (unsigned long long)number);
    NORN_TRY(norn_rocksdb_version_create(&tier->db, number, tier->next_generation++, &version));
    const norn_status status = norn_rocksdb_load(version, dir);
    if (status != NORN_OK) {
        retire(tier, version);
        return status;
    }
    pthread_mutex_lock(&tier->lock);
    *place_of(tier, number) = version;
    pthread_mutex_unlock(&tier->lock);
    *out = &version->base;
    return NORN_OK;
}

static norn_status load(norn_tier *self, uint64_t number, const char *dir, norn_version **out) {
    rocksdb_tier *tier = tier_of(self);
    *out = NULL;
    pthread_mutex_lock(&tier->loading);
    const norn_status status = load_alone(tier, number, dir, out);
    pthread_mutex_unlock(&tier->loading);
    return status;
}

static norn_status found(norn_tier *self, uint32_t index, norn_version **version, uint64_t *step) {
    rocksdb_tier *tier = tier_of(self);
    pthread_mutex_lock(&tier->lock);
    norn_rocksdb_version *at = tier->versions;
    for (; at && index > 0; index--) at = at->next;
    if (at) {
        *step = norn_rocksdb_version_step(at);
        *version = &at->base;
    }
    pthread_mutex_unlock(&tier->lock);
    return at ? NORN_OK : norn_fail(NORN_NOT_FOUND, "there are no more versions");
}

static norn_cut cut(norn_tier *self, const norn_version *version) {
    (void)self;
    return norn_rocksdb_version_of(version)->cut;
}

static void drop(norn_tier *self, norn_version *version) {
    rocksdb_tier *tier = tier_of(self);
    norn_rocksdb_version *old = norn_rocksdb_version_of(version);
    bool last;
    pthread_mutex_lock(&tier->lock);
    norn_rocksdb_version **at = &tier->versions;
    while (*at != old) at = &(*at)->next;
    *at = old->next;
    pthread_mutex_unlock(&tier->lock);
    if (norn_rocksdb_version_drop(old, &last) != NORN_OK)
        norn_log(NORN_LOG_WARN, "version %llu may come back at the next start: %s",
                 (unsigned long long)version->number, norn_message());
    if (last) retire(tier, old);
}

static void stat(norn_tier *self, const norn_version *version, norn_tier_stat *out) {
    (void)self;
    norn_rocksdb_version_stat(norn_rocksdb_version_of(version), out);
}

// ---- opening

/// In order of age. Of two with one number (a drop that could not be written) the newer one counts.
static void link_restored(rocksdb_tier *tier, norn_rocksdb_version *version) {
    norn_rocksdb_version **at = place_of(tier, version->base.number), *same = *at;
    if (same && same->generation > version->generation) {
        retire(tier, version);
        return;
    }
    if (same) {
        *at = same->next;
        retire(tier, same);
    }
    at = &tier->versions;
    while (*at && (*at)->generation < version->generation) at = &(*at)->next;
    version->next = *at;
    *at = version;
}

/// A family that an open found: a version, or what is left of one, which goes.
static norn_status restore(rocksdb_tier *tier, const char *name,
                           rocksdb_column_family_handle_t **family) {
    norn_rocksdb_version *version;
    uint64_t number, generation;
    bool ready = false;
    if (!norn_rocksdb_family_parse(name, &number, &generation))
        return norn_fail(NORN_FAILED_PRECONDITION, "%s: '%s' in it is no version", tier->db.path,
                         name);
    NORN_TRY(norn_rocksdb_version_create(&tier->db, number, generation, &version));
    version->family = *family;
    *family = NULL;
    if (generation >= tier->next_generation) tier->next_generation = generation + 1;
    const norn_status status = norn_rocksdb_version_restore(version, &ready);
    if (status != NORN_OK)
        norn_rocksdb_version_destroy(version);
    else if (ready)
        link_restored(tier, version);
    else
        retire(tier, version);
    return status;
}

static norn_status restore_all(rocksdb_tier *tier, norn_rocksdb_families *families) {
    for (size_t i = 0; i < families->count; i++)
        if (families->handles[i])
            NORN_TRY(restore(tier, families->names[i], &families->handles[i]));
    return NORN_OK;
}

static norn_status start(rocksdb_tier *tier) {
    NORN_TRY(norn_rocksdb_reads_start(&tier->db, tier->alloc, &tier->reads));
    if (pthread_create(&tier->eraser, NULL, erase_retired, tier) == 0) return NORN_OK;
    return norn_fail(NORN_RESOURCE_EXHAUSTED, "%s: there are no threads left", tier->db.path);
}

/// The eraser, if it was started, has ended.
static void destroy(rocksdb_tier *tier) {
    norn_rocksdb_reads_stop(tier->reads);
    norn_rocksdb_version *lists[2] = {tier->versions, tier->retired};
    for (int l = 0; l < 2; l++)
        for (norn_rocksdb_version *at = lists[l], *next; at; at = next) {
            next = at->next;
            norn_rocksdb_version_destroy(at);
        }
    norn_rocksdb_close(&tier->db);
    pthread_cond_destroy(&tier->changed);
    pthread_mutex_destroy(&tier->lock);
    pthread_mutex_destroy(&tier->loading);
    norn_free(tier->alloc, tier);
}

static void close_tier(norn_tier *self) {
    rocksdb_tier *tier = tier_of(self);
    pthread_mutex_lock(&tier->lock);
    tier->stop = true;
    pthread_cond_signal(&tier->changed);
    pthread_mutex_unlock(&tier->lock);
    pthread_join(tier->eraser, NULL);
    destroy(tier);
}

static const norn_tier_ops rocksdb_ops = {
    .kind = "rocksdb",
    .traits = NORN_TIER_DURABLE,
    .pin = pin,
    .unpin = unpin,
    .fetch = fetch,
    .fill = fill,
    .apply = apply,
    .commit = commit,
    .abort = abort_applied,
    .load = load,
    .found = found,
    .cut = cut,
    .drop = drop,
    .stat = stat,
    .close = close_tier,
};

norn_status norn_rocksdb_tier_open(const char *path, const norn_rocksdb_options *options,
                                   norn_alloc alloc, norn_tier **out) {
    rocksdb_tier *tier;
    norn_rocksdb_families families;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &tier));
    norn_status status = norn_rocksdb_open(path, options, alloc, &tier->db, &families);
    if (status != NORN_OK) {
        norn_free(alloc, tier);
        return status;
    }
    tier->base.ops = &rocksdb_ops;
    tier->alloc = alloc;
    tier->next_generation = 1;
    pthread_mutex_init(&tier->loading, NULL);
    pthread_mutex_init(&tier->lock, NULL);
    pthread_cond_init(&tier->changed, NULL);
    status = restore_all(tier, &families);
    norn_rocksdb_families_release(&tier->db, &families);
    if (status == NORN_OK) status = start(tier);
    if (status == NORN_OK)
        *out = &tier->base;
    else
        destroy(tier);
    return status;
}
