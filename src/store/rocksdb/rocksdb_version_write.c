#include "base/memory.h"
#include "store/delta_check.h"
#include "store/rocksdb/rocksdb_key.h"
#include "store/rocksdb/rocksdb_version_parts.h"

#include <string.h>

// ---- deltas

static void put_row(norn_rocksdb_version *version, rocksdb_writebatch_t *batch, uint64_t step,
                    uint32_t table, int64_t key, const char *row) {
    const size_t bytes = row ? (size_t)version->base.tables[table].row_bytes : 0;
    char name[NORN_ROCKSDB_KEY_BYTES];
    norn_rocksdb_key(table, key, name);
    memcpy(version->value, &step, sizeof step);
    if (row) memcpy(version->value + NORN_ROCKSDB_STEP_BYTES, row, bytes);
    rocksdb_writebatch_put_cf(batch, version->family, name, sizeof name, version->value,
                              NORN_ROCKSDB_STEP_BYTES + bytes);
}

static norn_status check_keys(const norn_table_form *form, const norn_delta *delta) {
    if (!form->dense) return NORN_OK;
    for (uint32_t i = 0; i < delta->count; i++)
        if (delta->keys[i] < 0 || delta->keys[i] >= form->rows)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "table '%s': key %lld is outside a dense table of %lld row%s",
                             form->name, (long long)delta->keys[i], (long long)form->rows,
                             norn_plural(form->rows));
    return NORN_OK;
}

static norn_status check_room(const norn_rocksdb_version *version, const norn_delta *delta) {
    const size_t each = NORN_ROCKSDB_KEY_BYTES + NORN_ROCKSDB_STEP_BYTES + delta->row_bytes,
                 most = version->db->tier.step_bytes;
    if (version->batch_bytes + delta->count * each <= most) return NORN_OK;
    return norn_fail(NORN_RESOURCE_EXHAUSTED,
                     "step %llu has more than %zu MiB, which is all that is kept of one; publish "
                     "smaller steps, or a full version",
                     (unsigned long long)delta->step, most >> 20);
}

static void note_batch(norn_rocksdb_version *version) {
    size_t bytes;
    (void)rocksdb_writebatch_data(version->batch, &bytes);
    pthread_mutex_lock(&version->lock);
    version->batch_bytes = bytes;
    pthread_mutex_unlock(&version->lock);
}

static norn_status apply_locked(norn_rocksdb_version *version, const norn_delta *delta) {
    NORN_TRY(norn_delta_check(&version->base, delta, version->visible, version->applied));
    NORN_TRY(check_keys(&version->base.tables[delta->table], delta));
    NORN_TRY(check_room(version, delta));
    version->applied = delta->step;
    for (uint32_t i = 0; i < delta->count; i++)
        put_row(version, version->batch, delta->step, delta->table, delta->keys[i],
                delta->deletes ? NULL : delta->rows + i * delta->row_bytes);
    note_batch(version);
    return NORN_OK;
}

norn_status norn_rocksdb_version_apply(norn_rocksdb_version *version, const norn_delta *delta) {
    pthread_mutex_lock(&version->writing);
    const norn_status status = apply_locked(version, delta);
    pthread_mutex_unlock(&version->writing);
    return status;
}

/// The batch is empty again, and gives back what a large step took.
static void forget(norn_rocksdb_version *version) {
    enum { KEPT_BYTES = 16 << 20 };
    if (version->batch_bytes > KEPT_BYTES) {
        rocksdb_writebatch_destroy(version->batch);
        version->batch = rocksdb_writebatch_create();
    } else {
        rocksdb_writebatch_clear(version->batch);
    }
    version->applied = 0;
    note_batch(version);
}

static norn_status copy_cut(norn_alloc alloc, const norn_cut *cut, norn_cut *out) {
    norn_position *positions;
    NORN_TRY(NORN_NEW_ARRAY(alloc, cut->partition_count, &positions));
    if (cut->partition_count)
        memcpy(positions, cut->positions, cut->partition_count * sizeof *positions);
    *out = (norn_cut){cut->step, cut->partition_count, positions};
    return NORN_OK;
}

static norn_status commit_locked(norn_rocksdb_version *version, const norn_cut *cut) {
    const norn_alloc alloc = version->db->alloc;
    norn_rocksdb_view *view = NULL;
    norn_cut kept;
    NORN_TRY(norn_cut_check(cut, version->visible, version->applied));
    NORN_TRY(copy_cut(alloc, cut, &kept));
    norn_status status = norn_rocksdb_view_make(version, &view);
    if (status == NORN_OK) status = norn_rocksdb_put_cut(version, version->batch, cut);
    if (status == NORN_OK)
        status = norn_rocksdb_write(version, version->batch, version->db->synced);
    if (status != NORN_OK) {
        norn_free(alloc, view);
        norn_rocksdb_cut_free(alloc, &kept);
        return status;
    }
    forget(version);
    norn_rocksdb_cut_free(alloc, &version->cut);
    version->cut = kept;
    norn_rocksdb_view_publish(version, view, cut->step);
    return NORN_OK;
}

norn_status norn_rocksdb_version_commit(norn_rocksdb_version *version, const norn_cut *cut) {
    pthread_mutex_lock(&version->writing);
    const norn_status status = commit_locked(version, cut);
    pthread_mutex_unlock(&version->writing);
    return status;
}

void norn_rocksdb_version_abort(norn_rocksdb_version *version) {
    pthread_mutex_lock(&version->writing);
    forget(version);
    pthread_mutex_unlock(&version->writing);
}

// ---- rows of other tiers

/// Whether what is here of the key is older than `step`, or nothing.
static norn_status is_newer(norn_rocksdb_version *version, const norn_row_key *key, uint64_t step,
                            bool *newer) {
    char name[NORN_ROCKSDB_KEY_BYTES];
    rocksdb_pinnableslice_t *value;
    uint64_t here = 0;
    size_t bytes;
    norn_rocksdb_key(key->table, key->key, name);
    NORN_TRY(norn_rocksdb_get(version->db, version->family, name, sizeof name, &value));
    *newer = true;
    if (!value) return NORN_OK;
    const char *found = rocksdb_pinnableslice_value(value, &bytes);
    if (bytes >= sizeof here) memcpy(&here, found, sizeof here);
    *newer = step > here;
    rocksdb_pinnableslice_destroy(value);
    return NORN_OK;
}

static norn_status fill_batch(norn_rocksdb_version *version, const norn_fetch *fetched,
                              rocksdb_writebatch_t *batch, uint32_t *kept) {
    for (uint32_t i = 0; i < fetched->count; i++) {
        const norn_row_key *key = &fetched->keys[i];
        const uint8_t state = fetched->state[i];
        bool newer;
        if (state != NORN_ROW_FOUND && state != NORN_ROW_DELETED) continue;
        if (fetched->step[i] > version->visible) continue;
        NORN_TRY(is_newer(version, key, fetched->step[i], &newer));
        if (!newer) continue;
        put_row(version, batch, fetched->step[i], key->table, key->key,
                state == NORN_ROW_FOUND ? fetched->rows + fetched->row_at[i] : NULL);
        ++*kept;
    }
    return NORN_OK;
}

/// All or none. Not synced: what a crash loses, another tier has.
static norn_status fill_locked(norn_rocksdb_version *version, const norn_fetch *fetched,
                               uint32_t *kept) {
    norn_rocksdb_view *view;
    NORN_TRY(norn_fetch_check(&version->base, fetched));
    NORN_TRY(norn_rocksdb_view_make(version, &view));
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    norn_status status = fill_batch(version, fetched, batch, kept);
    if (status == NORN_OK && *kept)
        status = norn_rocksdb_write(version, batch, version->db->unsynced);
    rocksdb_writebatch_destroy(batch);
    if (status != NORN_OK) *kept = 0;
    if (*kept)
        norn_rocksdb_view_publish(version, view, version->visible);
    else
        norn_free(version->db->alloc, view);
    return status;
}

norn_status norn_rocksdb_version_fill(norn_rocksdb_version *version, const norn_fetch *fetched,
                                      uint32_t *kept) {
    *kept = 0;
    pthread_mutex_lock(&version->writing);
    const norn_status status = fill_locked(version, fetched, kept);
    pthread_mutex_unlock(&version->writing);
    return status;
}
