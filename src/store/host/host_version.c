#include "store/host/host_version.h"
#include "base/memory.h"
#include "store/delta_check.h"

#include <string.h>

// ---- life

static norn_table_form form_of(const norn_table *table) {
    const norn_table_binding *binding = &table->binding;
    return (norn_table_form){.name = table->name,
                             .source = table->source,
                             .dtype = binding->dtype,
                             .dense = binding->view.kind == NORN_TABLE_DENSE,
                             .dim = binding->dim,
                             .row_bytes = binding->view.row_bytes,
                             .rows = binding->view.row_count,
                             .default_row = binding->view.default_row};
}

norn_status norn_host_version_create(uint64_t number, norn_table *const *tables, size_t count,
                                     norn_alloc alloc, norn_host_version **out) {
    norn_host_version *version;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &version));
    version->alloc = alloc;
    pthread_mutex_init(&version->lock, NULL);
    norn_status status = NORN_NEW_ARRAY(alloc, count, &version->tables);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, count, &version->forms);
    if (status != NORN_OK) {
        norn_host_version_destroy(version);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        version->tables[i] = norn_table_retain(tables[i]);
        version->forms[i] = form_of(tables[i]);
    }
    version->base = (norn_version){number, (uint32_t)count, version->forms};
    *out = version;
    return NORN_OK;
}

void norn_host_version_destroy(norn_host_version *version) {
    for (uint32_t i = 0; i < version->base.table_count; i++) norn_table_release(version->tables[i]);
    norn_free(version->alloc, version->tables);
    norn_free(version->alloc, version->forms);
    norn_free(version->alloc, version->pins);
    pthread_mutex_destroy(&version->lock);
    norn_free(version->alloc, version);
}

// ---- pins

static norn_status take_epoch(norn_host_version *version, norn_epoch_pins **out) {
    if (version->pin_count && version->pins[version->pin_count - 1].epoch == version->epoch) {
        *out = &version->pins[version->pin_count - 1];
        return NORN_OK;
    }
    NORN_TRY(NORN_MORE(version->alloc, &version->pins, version->pin_count, &version->pin_capacity));
    *out = &version->pins[version->pin_count++];
    **out = (norn_epoch_pins){.epoch = version->epoch};
    return NORN_OK;
}

static norn_status pin_locked(norn_host_version *version, norn_pin *out) {
    norn_epoch_pins *pins;
    if (version->dropped)
        return norn_fail(NORN_NOT_FOUND, "version %llu was dropped",
                         (unsigned long long)version->base.number);
    NORN_TRY(take_epoch(version, &pins));
    pins->count++;
    *out = (norn_pin){&version->base, version->visible, version->epoch};
    return NORN_OK;
}

norn_status norn_host_version_pin(norn_host_version *version, norn_pin *out) {
    *out = (norn_pin){0};
    pthread_mutex_lock(&version->lock);
    const norn_status status = pin_locked(version, out);
    pthread_mutex_unlock(&version->lock);
    return status;
}

bool norn_host_version_unpin(norn_host_version *version, norn_pin *pin) {
    pthread_mutex_lock(&version->lock);
    size_t at = 0;
    while (version->pins[at].epoch != pin->epoch) at++;
    if (--version->pins[at].count == 0) {
        version->pin_count--;
        memmove(version->pins + at, version->pins + at + 1,
                (version->pin_count - at) * sizeof *version->pins);
    }
    const bool last = version->dropped && version->pin_count == 0;
    pthread_mutex_unlock(&version->lock);
    *pin = (norn_pin){0};
    return last;
}

bool norn_host_version_drop(norn_host_version *version) {
    pthread_mutex_lock(&version->lock);
    version->dropped = true;
    const bool last = version->pin_count == 0;
    pthread_mutex_unlock(&version->lock);
    return last;
}

// ---- writing

/// What nobody can come to any more may be written again.
static void reclaim(norn_host_version *version, norn_host_table *table) {
    const uint64_t oldest = version->pin_count ? version->pins[0].epoch : version->epoch;
    norn_host_table_reclaim(table, oldest);
}

static norn_status apply_locked(norn_host_version *version, const norn_delta *delta) {
    NORN_TRY(norn_delta_check(&version->base, delta, version->visible, version->applied));
    norn_host_table *table = &version->tables[delta->table]->rows;
    const norn_table_form *form = &version->forms[delta->table];
    version->applied = delta->step;
    reclaim(version, table);
    for (uint32_t i = 0; i < delta->count; i++) {
        const char *row = delta->deletes ? NULL : delta->rows + i * delta->row_bytes;
        const norn_status status = norn_host_table_put(table, delta->step, delta->keys[i], row);
        if (status != NORN_OK) norn_note("table '%s'", form->name);
        NORN_TRY(status);
    }
    return NORN_OK;
}

norn_status norn_host_version_apply(norn_host_version *version, const norn_delta *delta) {
    pthread_mutex_lock(&version->lock);
    const norn_status status = apply_locked(version, delta);
    pthread_mutex_unlock(&version->lock);
    return status;
}

norn_status norn_host_version_commit(norn_host_version *version, const norn_cut *cut) {
    pthread_mutex_lock(&version->lock);
    const norn_status status = norn_cut_check(cut, version->visible, version->applied);
    if (status == NORN_OK) {
        for (uint32_t i = 0; i < version->base.table_count; i++)
            norn_host_table_commit(&version->tables[i]->rows, version->epoch);
        version->visible = cut->step;
        version->applied = 0;
        version->epoch++;
    }
    pthread_mutex_unlock(&version->lock);
    return status;
}

void norn_host_version_abort(norn_host_version *version) {
    pthread_mutex_lock(&version->lock);
    for (uint32_t i = 0; i < version->base.table_count; i++)
        norn_host_table_abort(&version->tables[i]->rows, version->epoch);
    version->applied = 0;
    version->epoch++;
    pthread_mutex_unlock(&version->lock);
}

static norn_status fill_one(norn_host_version *version, const norn_fetch *fetched, uint32_t i,
                            bool *kept) {
    const norn_row_key *key = &fetched->keys[i];
    const uint8_t state = fetched->state[i];
    *kept = false;
    NORN_TRY(norn_table_check(&version->base, key->table));
    if (state != NORN_ROW_FOUND && state != NORN_ROW_DELETED) return NORN_OK;
    if (fetched->step[i] > version->visible) return NORN_OK;
    const char *row = state == NORN_ROW_FOUND ? fetched->rows + fetched->row_at[i] : NULL;
    const norn_status status = norn_host_table_fill(
        &version->tables[key->table]->rows, fetched->step[i], version->epoch, key->key, row, kept);
    if (status != NORN_OK) norn_note("table '%s'", version->forms[key->table].name);
    return status;
}

norn_status norn_host_version_fill(norn_host_version *version, const norn_fetch *fetched,
                                   uint32_t *kept) {
    norn_status status = NORN_OK;
    *kept = 0;
    pthread_mutex_lock(&version->lock);
    for (uint32_t i = 0; i < fetched->count && status == NORN_OK; i++) {
        bool one;
        status = fill_one(version, fetched, i, &one);
        *kept += one;
    }
    pthread_mutex_unlock(&version->lock);
    return status;
}
