#include "runtime/table_set.h"
#include "base/memory.h"
#include "runtime/own_tables.h"
#include "store/elsewhere.h"

#include <string.h>

uint64_t norn_table_set_missing(const norn_table_set *set, uint32_t index) {
    const norn_table_binding *table = &set->host[index];
    for (norn_place p = 1; p < set->resident->place_count; p++) {
        norn_device *device = set->resident->devices[p];
        if (set->at[p].tables && device->ops->table_count && norn_device_enter(device) == NORN_OK)
            (void)device->ops->table_count(device, &set->at[p].tables[index]); // else as before
    }
    const _Atomic uint64_t *count = table->view.missing_count;
    return count ? atomic_load_explicit(count, memory_order_relaxed) : 0;
}

uint64_t norn_table_set_late(const norn_table_set *set, uint32_t index) {
    const norn_table_view *view = &set->host[index].view;
    if (view->kind != NORN_TABLE_ELSEWHERE) return 0;
    return atomic_load_explicit(view->elsewhere.source->late_count, memory_order_relaxed);
}

norn_table_set *norn_table_set_retain(norn_table_set *set) {
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

static void release_table(norn_table_set *set, norn_place place, norn_device_table *table) {
    norn_device *device = set->resident->devices[place];
    if (atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) != 1) return;
    if (device->ops->table_unbind) device->ops->table_unbind(device, &table->on_device);
    norn_free(set->alloc, table);
}

static void destroy(norn_table_set *set) {
    norn_device *host = set->resident->devices[NORN_HOST];
    for (norn_place p = 1; p < set->resident->place_count; p++) {
        norn_place_tables *at = &set->at[p];
        if (at->count) (void)norn_device_enter(set->resident->devices[p]);
        for (uint32_t i = 0; i < at->count; i++) release_table(set, p, at->shared[i]);
        norn_free(set->alloc, at->tables);
        norn_free(set->alloc, at->views);
        norn_free(set->alloc, at->shared);
    }
    for (uint32_t i = 0; i < set->host_count; i++)
        if (host->ops->table_unbind) host->ops->table_unbind(host, &set->host[i]);
    norn_free(set->alloc, set->host);
    norn_snapshot_release(set->snapshot);
    norn_snapshot_release(set->own);
    norn_resident_release(set->resident);
    norn_free(set->alloc, set);
}

void norn_table_set_release(norn_table_set *set) {
    if (set && atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) == 1)
        destroy(set);
}

static norn_status find(const norn_table_set *set, const norn_plan_table *table,
                        norn_table_binding *out) {
    norn_snapshot *snapshot = set->snapshot, *own = set->own;
    const norn_table_binding *found = snapshot ? snapshot->find(snapshot, table->name) : NULL;
    if (!found) found = own->find(own, table->name);
    if (!found)
        return norn_fail(
            NORN_FAILED_PRECONDITION,
            "table '%s' is missing: put %s.safetensors into tables/ beside the model or "
            "the plan",
            table->name, table->name);
    if (found->dim != table->dim)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "table '%s': %lld element%s a row in %s, the model expects %lld",
                         table->name, (long long)found->dim, norn_plural(found->dim),
                         found->source ? found->source : "the store", (long long)table->dim);
    *out = *found;
    out->name = table->name; // the plan's: messages of a captured graph outlive the snapshot
    if (table->missing_is_error) out->view.missing = NORN_MISSING_ERROR;
    return NORN_OK;
}

static norn_status bind(norn_device *device, const norn_table_binding *from,
                        norn_table_binding *to) {
    if (device->ops->table_bind) return device->ops->table_bind(device, from, to);
    *to = *from;
    return NORN_OK;
}

// ---- on the device

/// Snapshots are immutable, and the previous one is still alive: the same memory is the same table.
static bool same_table(const norn_table_binding *a, const norn_table_binding *b) {
    const norn_table_view *x = &a->view, *y = &b->view;
    const bool same_rows = x->kind == NORN_TABLE_HOST_INDEX
                               ? x->host.rows == y->host.rows && x->host.step == y->host.step
                               : x->dense.rows == y->dense.rows;
    return x->kind == y->kind && same_rows && x->row_count == y->row_count &&
           x->row_bytes == y->row_bytes && a->dim == b->dim && a->dtype == b->dtype &&
           x->default_row == y->default_row && x->missing_count == y->missing_count;
}

static const void *rows_of(const norn_table_view *view) {
    return view->kind == NORN_TABLE_DEVICE_CACHE ? view->cache.rows : view->dense.rows;
}

/// Do kernels that were launched for `a` read `b` as well, once its view is in place?
static bool same_layout(const norn_table_binding *a, const norn_table_binding *b) {
    return a->dtype == b->dtype && a->dim == b->dim && a->view.row_bytes == b->view.row_bytes &&
           (uintptr_t)rows_of(&a->view) % 16 == (uintptr_t)rows_of(&b->view) % 16 &&
           (uintptr_t)a->view.default_row % 16 == (uintptr_t)b->view.default_row % 16;
}

static norn_status upload(norn_table_set *set, norn_place place, const norn_table_binding *from,
                          norn_device_table **out) {
    norn_device_table *table;
    NORN_TRY(NORN_NEW(set->alloc, &table));
    atomic_init(&table->references, 1);
    table->from = *from;
    norn_status status = bind(set->resident->devices[place], from, &table->on_device);
    if (status != NORN_OK) {
        norn_free(set->alloc, table);
        return status;
    }
    *out = table;
    return NORN_OK;
}

static norn_status place_table(norn_table_set *set, norn_place place, uint32_t i,
                               const norn_table_binding *from, const norn_table_set *previous) {
    norn_place_tables *at = &set->at[place];
    if (from->view.kind == NORN_TABLE_ELSEWHERE)
        return norn_fail(
            NORN_UNIMPLEMENTED,
            "table '%s' is not in memory; lookups on a device read only tables that are",
            from->name);
    NORN_TRY(norn_device_enter(set->resident->devices[place]));
    norn_device_table *table = previous ? previous->at[place].shared[i] : NULL;
    if (table && same_table(&table->from, from))
        atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
    else
        NORN_TRY(upload(set, place, from, &table));
    at->shared[i] = table;
    at->tables[i] = table->on_device;
    at->tables[i].name = from->name;
    at->tables[i].view.missing = from->view.missing;
    at->views[i] = at->tables[i].view;
    at->count++;
    return NORN_OK;
}

/// Where lookups run, for all tables; else for none.
static norn_status make_arrays(norn_table_set *set, norn_place place) {
    const uint32_t count = set->resident->plan->table_count;
    norn_place_tables *at = &set->at[place];
    if (!set->resident->looks_up[place]) return NORN_OK;
    NORN_TRY(NORN_NEW_ARRAY(set->alloc, count, &at->tables));
    NORN_TRY(NORN_NEW_ARRAY(set->alloc, count, &at->views));
    return NORN_NEW_ARRAY(set->alloc, count, &at->shared);
}

static void name_layout(norn_table_set *set, const norn_table_set *previous) {
    set->layout = previous ? previous->layout : set->id;
    for (norn_place p = 1; previous && p < set->resident->place_count; p++)
        for (uint32_t i = 0; i < set->at[p].count; i++)
            if (!same_layout(&set->at[p].tables[i], &previous->at[p].tables[i]))
                set->layout = set->id;
}

norn_status norn_table_set_create(norn_resident *resident, norn_snapshot *snapshot,
                                  const norn_table_set *previous, norn_alloc alloc,
                                  norn_table_set **out) {
    const norn_plan *plan = resident->plan;
    norn_table_set *set = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &set));
    static atomic_uint_fast64_t ids;
    set->id = atomic_fetch_add(&ids, 1) + 1;
    set->alloc = alloc;
    set->resident = norn_resident_retain(resident);
    set->snapshot = norn_snapshot_retain(snapshot);
    atomic_init(&set->references, 1);
    if (previous)
        set->own = norn_snapshot_retain(previous->own);
    else
        NORN_TRY_DONE(norn_own_tables_create(plan, alloc, &set->own));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->table_count, &set->host));
    for (norn_place p = 1; p < resident->place_count; p++) NORN_TRY_DONE(make_arrays(set, p));
    for (uint32_t i = 0; i < plan->table_count; i++) {
        norn_table_binding found;
        NORN_TRY_DONE(find(set, &plan->tables[i], &found));
        NORN_TRY_DONE(bind(resident->devices[NORN_HOST], &found, &set->host[i]));
        set->host_count++;
        set->has_elsewhere |= found.view.kind == NORN_TABLE_ELSEWHERE;
        for (norn_place p = 1; p < resident->place_count; p++)
            if (set->at[p].tables) NORN_TRY_DONE(place_table(set, p, i, &found, previous));
    }
    name_layout(set, previous);
    *out = set;
    set = NULL;
done:
    norn_table_set_release(set);
    return status;
}
