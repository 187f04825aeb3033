#include "base/memory.h"
#include "store/rocksdb/rocksdb_key.h"
#include "store/rocksdb/rocksdb_version_parts.h"
#include "store/version_record.h"

#include <stdio.h>
#include <string.h>

// ---- life

void norn_rocksdb_family_name(uint64_t number, uint64_t generation, char *out) {
    snprintf(out, NORN_ROCKSDB_NAME, "%llu.%llu", (unsigned long long)number,
             (unsigned long long)generation);
}

bool norn_rocksdb_family_parse(const char *name, uint64_t *number, uint64_t *generation) {
    unsigned long long a, b;
    char again[NORN_ROCKSDB_NAME];
    if (sscanf(name, "%llu.%llu", &a, &b) != 2) return false;
    norn_rocksdb_family_name(a, b, again);
    *number = a;
    *generation = b;
    return strcmp(again, name) == 0;
}

norn_status norn_rocksdb_version_create(norn_rocksdb *db, uint64_t number, uint64_t generation,
                                        norn_rocksdb_version **out) {
    norn_rocksdb_version *version;
    *out = NULL;
    NORN_TRY(NORN_NEW(db->alloc, &version));
    version->base.number = number;
    version->generation = generation;
    version->db = db;
    norn_arena_init(&version->arena, db->alloc, 1 << 12);
    pthread_mutex_init(&version->lock, NULL);
    pthread_mutex_init(&version->writing, NULL);
    version->batch = rocksdb_writebatch_create();
    *out = version;
    return NORN_OK;
}

static void release_view(norn_rocksdb *db, norn_rocksdb_view *view) {
    if (!view) return;
    if (view->snapshot) rocksdb_release_snapshot(db->db, view->snapshot);
    norn_free(db->alloc, view);
}

void norn_rocksdb_cut_free(norn_alloc alloc, const norn_cut *cut) {
    norn_free(alloc, (norn_position *)(uintptr_t)cut->positions);
}

void norn_rocksdb_version_destroy(norn_rocksdb_version *version) {
    if (!version) return;
    norn_rocksdb *db = version->db;
    release_view(db, version->newest);
    if (version->family) rocksdb_column_family_handle_destroy(version->family);
    rocksdb_writebatch_destroy(version->batch);
    norn_rocksdb_cut_free(db->alloc, &version->cut);
    norn_arena_deinit(&version->arena);
    pthread_mutex_destroy(&version->lock);
    pthread_mutex_destroy(&version->writing);
    norn_free(db->alloc, version);
}

norn_status norn_rocksdb_version_erase(norn_rocksdb_version *version) {
    norn_rocksdb *db = version->db;
    char *error = NULL;
    if (version->family) rocksdb_drop_column_family(db->db, version->family, &error);
    norn_rocksdb_version_destroy(version); // the files go with the handle
    return norn_rocksdb_status(db->path, "remove a version", error);
}

// ---- views

/// Without its snapshot, which is taken when what it is of has been written.
norn_status norn_rocksdb_view_make(norn_rocksdb_version *version, norn_rocksdb_view **out) {
    NORN_TRY(NORN_NEW(version->db->alloc, out));
    (*out)->holders = 1;
    return NORN_OK;
}

/// Later pins get this one. `writing` is held.
void norn_rocksdb_view_publish(norn_rocksdb_version *version, norn_rocksdb_view *view,
                               uint64_t step) {
    norn_rocksdb *db = version->db;
    view->snapshot = rocksdb_create_snapshot(db->db);
    view->step = step;
    pthread_mutex_lock(&version->lock);
    norn_rocksdb_view *old = version->newest;
    version->newest = view;
    version->visible = step;
    const bool last = old && --old->holders == 0;
    pthread_mutex_unlock(&version->lock);
    if (last) release_view(db, old);
}

norn_status norn_rocksdb_version_pin(norn_rocksdb_version *version, norn_pin *out) {
    norn_status status = NORN_OK;
    *out = (norn_pin){0};
    pthread_mutex_lock(&version->lock);
    norn_rocksdb_view *view = version->newest;
    if (view) {
        view->holders++;
        version->pins++;
        *out = (norn_pin){&version->base, view->step, (uint64_t)(uintptr_t)view};
    } else {
        status = norn_fail(NORN_NOT_FOUND, "version %llu was dropped",
                           (unsigned long long)version->base.number);
    }
    pthread_mutex_unlock(&version->lock);
    return status;
}

bool norn_rocksdb_version_unpin(norn_rocksdb_version *version, norn_pin *pin) {
    norn_rocksdb *db = version->db;
    norn_rocksdb_view *view = (norn_rocksdb_view *)(uintptr_t)pin->epoch;
    pthread_mutex_lock(&version->lock);
    const bool last_of_view = --view->holders == 0, last = --version->pins == 0 && !version->newest;
    pthread_mutex_unlock(&version->lock);
    if (last_of_view) release_view(db, view);
    *pin = (norn_pin){0};
    return last;
}

norn_status norn_rocksdb_version_drop(norn_rocksdb_version *version, bool *last) {
    norn_rocksdb *db = version->db;
    char *error = NULL;
    rocksdb_delete_cf(db->db, db->synced, version->family, NORN_ROCKSDB_FORMS,
                      sizeof NORN_ROCKSDB_FORMS - 1, &error);
    pthread_mutex_lock(&version->lock);
    norn_rocksdb_view *view = version->newest;
    version->newest = NULL;
    const bool last_of_view = --view->holders == 0;
    *last = version->pins == 0;
    pthread_mutex_unlock(&version->lock);
    if (last_of_view) release_view(db, view);
    return norn_rocksdb_status(db->path, "say that a version was dropped", error);
}

// ---- records

/// Room for values, once the forms are known.
static norn_status make_room(norn_rocksdb_version *version) {
    size_t longest = 0;
    for (uint32_t t = 0; t < version->base.table_count; t++)
        if ((size_t)version->base.tables[t].row_bytes > longest)
            longest = (size_t)version->base.tables[t].row_bytes;
    return norn_arena_take(&version->arena, 1, NORN_ROCKSDB_STEP_BYTES + longest, 16,
                           (void **)&version->value);
}

static norn_status put_record(norn_rocksdb_version *version, rocksdb_writebatch_t *batch,
                              const char *key, size_t key_bytes, const norn_buffer *record) {
    NORN_TRY(norn_buffer_status(record));
    rocksdb_writebatch_put_cf(batch, version->family, key, key_bytes, (const char *)record->bytes,
                              record->count);
    return NORN_OK;
}

norn_status norn_rocksdb_put_cut(norn_rocksdb_version *version, rocksdb_writebatch_t *batch,
                                 const norn_cut *cut) {
    norn_buffer record;
    norn_buffer_init(&record, version->db->alloc);
    norn_cut_encode(cut, &record);
    const norn_status status =
        put_record(version, batch, NORN_ROCKSDB_CUT, sizeof NORN_ROCKSDB_CUT - 1, &record);
    norn_buffer_deinit(&record);
    return status;
}

static norn_status put_forms(norn_rocksdb_version *version, rocksdb_writebatch_t *batch) {
    norn_buffer record;
    norn_buffer_init(&record, version->db->alloc);
    norn_forms_encode(&version->base, &record);
    const norn_status status =
        put_record(version, batch, NORN_ROCKSDB_FORMS, sizeof NORN_ROCKSDB_FORMS - 1, &record);
    norn_buffer_deinit(&record);
    return status;
}

/// On disk on OK, all of it or nothing.
norn_status norn_rocksdb_write(norn_rocksdb_version *version, rocksdb_writebatch_t *batch,
                               const rocksdb_writeoptions_t *how) {
    char *error = NULL;
    rocksdb_write(version->db->db, how, batch, &error);
    return norn_rocksdb_status(version->db->path, "write to the database", error);
}

norn_status norn_rocksdb_version_begin(norn_rocksdb_version *version) {
    norn_rocksdb_view *view;
    NORN_TRY(make_room(version));
    NORN_TRY(norn_rocksdb_view_make(version, &view));
    norn_status status = norn_rocksdb_put_cut(version, version->batch, &(norn_cut){0});
    if (status == NORN_OK) status = put_forms(version, version->batch);
    if (status == NORN_OK)
        status = norn_rocksdb_write(version, version->batch, version->db->synced);
    rocksdb_writebatch_clear(version->batch);
    if (status == NORN_OK)
        norn_rocksdb_view_publish(version, view, 0);
    else
        norn_free(version->db->alloc, view);
    return status;
}

static norn_status read_forms(norn_rocksdb_version *version, bool *ready) {
    rocksdb_pinnableslice_t *value;
    size_t bytes;
    NORN_TRY(norn_rocksdb_get(version->db, version->family, NORN_ROCKSDB_FORMS,
                              sizeof NORN_ROCKSDB_FORMS - 1, &value));
    *ready = value != NULL;
    if (!value) return NORN_OK;
    const char *record = rocksdb_pinnableslice_value(value, &bytes);
    const norn_status status =
        norn_forms_decode(norn_span_of(record, bytes), &version->arena, &version->base);
    rocksdb_pinnableslice_destroy(value);
    return status;
}

static norn_status read_cut(norn_rocksdb_version *version) {
    rocksdb_pinnableslice_t *value;
    size_t bytes;
    NORN_TRY(norn_rocksdb_get(version->db, version->family, NORN_ROCKSDB_CUT,
                              sizeof NORN_ROCKSDB_CUT - 1, &value));
    if (!value) return norn_fail(NORN_DATA_LOSS, "it has no cut");
    const char *record = rocksdb_pinnableslice_value(value, &bytes);
    const norn_status status =
        norn_cut_decode(norn_span_of(record, bytes), version->db->alloc, &version->cut);
    rocksdb_pinnableslice_destroy(value);
    return status;
}

norn_status norn_rocksdb_version_restore(norn_rocksdb_version *version, bool *ready) {
    norn_rocksdb_view *view;
    norn_status status = read_forms(version, ready);
    if (status == NORN_OK && !*ready) return NORN_OK;
    if (status == NORN_OK) status = read_cut(version);
    if (status == NORN_OK) status = make_room(version);
    if (status == NORN_OK) status = norn_rocksdb_view_make(version, &view);
    if (status == NORN_OK)
        norn_rocksdb_view_publish(version, view, version->cut.step);
    else
        norn_note("%s: version %llu", version->db->path, (unsigned long long)version->base.number);
    return status;
}

// ---- facts

uint64_t norn_rocksdb_version_step(norn_rocksdb_version *version) {
    pthread_mutex_lock(&version->lock);
    const uint64_t step = version->visible;
    pthread_mutex_unlock(&version->lock);
    return step;
}

static size_t property(const norn_rocksdb_version *version, const char *name) {
    uint64_t value;
    const int failed = rocksdb_property_int_cf(version->db->db, version->family, name, &value);
    return failed ? 0 : (size_t)value;
}

void norn_rocksdb_version_stat(norn_rocksdb_version *version, norn_tier_stat *out) {
    pthread_mutex_lock(&version->lock);
    *out = (norn_tier_stat){
        .step = version->visible, .pins = version->pins, .delta_bytes = version->batch_bytes};
    pthread_mutex_unlock(&version->lock);
    for (uint32_t t = 0; t < version->base.table_count; t++)
        out->rows += version->base.tables[t].rows;
    out->index_bytes = property(version, "rocksdb.estimate-table-readers-mem");
    out->delta_bytes += property(version, "rocksdb.cur-size-all-mem-tables");
}
