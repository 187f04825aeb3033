#include "store/host/host_tier.h"
#include "base/memory.h"
#include "store/delta_check.h"
#include "store/host/host_version.h"
#include "store/table_dir.h"

#include <string.h>

typedef struct host_tier {
    norn_tier base;
    norn_alloc alloc;
    pthread_mutex_t lock;        ///< of the list
    norn_host_version *versions; ///< that were not dropped, oldest first
} host_tier;

static host_tier *host_of(norn_tier *self) {
    return (host_tier *)(void *)self;
}

static norn_host_rows *rows_of(const norn_version *version, uint32_t table) {
    return &norn_host_version_of(version)->tables[table]->rows.rows;
}

// ---- reading

static norn_status pin(norn_tier *self, norn_version *version, norn_pin *out) {
    (void)self;
    return norn_host_version_pin(norn_host_version_of(version), out);
}

static void unpin(norn_tier *self, norn_pin *pinned) {
    (void)self;
    if (!pinned->version) return;
    norn_host_version *version = norn_host_version_of(pinned->version);
    if (norn_host_version_unpin(version, pinned)) norn_host_version_destroy(version);
}

static void lookup(norn_tier *self, const norn_pin *pinned, uint32_t table, const int64_t *keys,
                   int64_t count, const void **row_out, int64_t *missing, int64_t *missing_count) {
    int64_t lacking = 0;
    (void)self;
    norn_host_rows_find(rows_of(pinned->version, table), pinned->step, keys, count, row_out);
    for (int64_t i = 0; i < count; i++) {
        if (row_out[i]) continue;
        if (missing) missing[lacking] = i;
        lacking++;
    }
    if (missing_count) *missing_count = lacking;
}

/// A table that no delta has changed is read as its file has it; the step of others is the one that
/// changed them last, so that views of a table that stays the same are the same.
static void view(norn_tier *self, const norn_pin *pinned, uint32_t table, norn_table_binding *out) {
    norn_host_version *version = norn_host_version_of(pinned->version);
    norn_table *from = version->tables[table];
    (void)self;
    *out = from->binding;
    pthread_mutex_lock(&version->lock);
    const uint64_t changed = from->rows.changed_step;
    pthread_mutex_unlock(&version->lock);
    if (out->view.kind == NORN_TABLE_DENSE && changed == 0) return;
    out->view.kind = NORN_TABLE_HOST_INDEX;
    out->view.host.rows = &from->rows.rows;
    out->view.host.step = changed < pinned->step ? changed : pinned->step;
}

/// In memory: the answer is there at once.
static norn_status fetch(norn_tier *self, norn_fetch *f) {
    const norn_version *version = f->pin->version;
    (void)self;
    NORN_TRY(norn_fetch_check(version, f));
    for (uint32_t i = 0; i < f->count; i++) {
        const norn_host_rows *rows = rows_of(version, f->keys[i].table);
        const norn_row_found found = norn_host_rows_get(rows, f->pin->step, f->keys[i].key);
        f->step[i] = found.step;
        f->state[i] = found.row       ? NORN_ROW_FOUND
                      : found.deleted ? NORN_ROW_DELETED
                                      : NORN_ROW_ABSENT;
        if (found.row) memcpy(f->rows + f->row_at[i], found.row, (size_t)rows->row_bytes);
    }
    f->status = NORN_OK;
    f->done(f);
    return NORN_OK;
}

static norn_status fill(norn_tier *self, norn_version *version, const norn_fetch *fetched,
                        uint32_t *kept) {
    (void)self;
    return norn_host_version_fill(norn_host_version_of(version), fetched, kept);
}

// ---- writing

static norn_status apply(norn_tier *self, norn_version *version, const norn_delta *delta) {
    (void)self;
    return norn_host_version_apply(norn_host_version_of(version), delta);
}

static norn_status commit(norn_tier *self, norn_version *version, const norn_cut *cut) {
    (void)self;
    return norn_host_version_commit(norn_host_version_of(version), cut);
}

static void abort_applied(norn_tier *self, norn_version *version) {
    (void)self;
    norn_host_version_abort(norn_host_version_of(version));
}

// ---- versions

/// Where a version of this number is linked, or would be.
static norn_host_version **place_of(host_tier *tier, uint64_t number) {
    norn_host_version **at = &tier->versions;
    while (*at && (*at)->base.number != number) at = &(*at)->next;
    return at;
}

norn_status norn_host_tier_adopt(norn_tier *self, uint64_t number, norn_table *const *tables,
                                 size_t count, norn_version **out) {
    host_tier *tier = host_of(self);
    norn_host_version *version;
    *out = NULL;
    NORN_TRY(norn_host_version_create(number, tables, count, tier->alloc, &version));
    pthread_mutex_lock(&tier->lock);
    norn_host_version **at = place_of(tier, number);
    const bool taken = *at != NULL;
    if (!taken) *at = version;
    pthread_mutex_unlock(&tier->lock);
    if (taken) {
        norn_host_version_destroy(version);
        return norn_fail(NORN_ALREADY_EXISTS, "version %llu is there already",
                         (unsigned long long)number);
    }
    *out = &version->base;
    return NORN_OK;
}

static norn_status load(norn_tier *self, uint64_t number, const char *dir, norn_version **out) {
    norn_table_dir tables;
    *out = NULL;
    NORN_TRY(norn_table_dir_open(dir, host_of(self)->alloc, &tables));
    for (size_t i = 0; i < tables.count; i++) norn_table_trim(tables.tables[i]);
    const norn_status status = norn_host_tier_adopt(self, number, tables.tables, tables.count, out);
    norn_table_dir_close(&tables);
    return status;
}

static norn_status found(norn_tier *self, uint32_t index, norn_version **version, uint64_t *step) {
    host_tier *tier = host_of(self);
    pthread_mutex_lock(&tier->lock);
    norn_host_version *at = tier->versions;
    for (; at && index > 0; index--) at = at->next;
    if (at) {
        pthread_mutex_lock(&at->lock);
        *step = at->visible;
        pthread_mutex_unlock(&at->lock);
        *version = &at->base;
    }
    pthread_mutex_unlock(&tier->lock);
    return at ? NORN_OK : norn_fail(NORN_NOT_FOUND, "there are no more versions");
}

static void drop(norn_tier *self, norn_version *version) {
    host_tier *tier = host_of(self);
    norn_host_version *old = norn_host_version_of(version);
    pthread_mutex_lock(&tier->lock);
    norn_host_version **at = &tier->versions;
    while (*at != old) at = &(*at)->next;
    *at = old->next;
    pthread_mutex_unlock(&tier->lock);
    if (norn_host_version_drop(old)) norn_host_version_destroy(old);
}

static void stat(norn_tier *self, const norn_version *of, norn_tier_stat *out) {
    norn_host_version *version = norn_host_version_of(of);
    (void)self;
    pthread_mutex_lock(&version->lock);
    *out = (norn_tier_stat){.step = version->visible};
    for (size_t i = 0; i < version->pin_count; i++) out->pins += version->pins[i].count;
    for (uint32_t i = 0; i < of->table_count; i++) {
        const norn_host_table *table = &version->tables[i]->rows;
        out->rows += (int64_t)table->rows.row_count;
        out->index_bytes += norn_host_rows_index_bytes(&table->rows);
        out->delta_bytes += table->bytes;
    }
    pthread_mutex_unlock(&version->lock);
}

static void close_tier(norn_tier *self) {
    host_tier *tier = host_of(self);
    while (tier->versions) drop(self, &tier->versions->base);
    pthread_mutex_destroy(&tier->lock);
    norn_free(tier->alloc, tier);
}

static const norn_tier_ops host_ops = {
    .kind = "host",
    .traits = NORN_TIER_POINTERS,
    .pin = pin,
    .unpin = unpin,
    .lookup = lookup,
    .view = view,
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

norn_table *norn_host_tier_table(const norn_version *version, uint32_t index) {
    return norn_host_version_of(version)->tables[index];
}

norn_status norn_host_tier_create(norn_alloc alloc, norn_tier **out) {
    host_tier *tier;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &tier));
    tier->base.ops = &host_ops;
    tier->alloc = alloc;
    pthread_mutex_init(&tier->lock, NULL);
    *out = &tier->base;
    return NORN_OK;
}
