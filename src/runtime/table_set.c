#include "runtime/table_set.h"
#include "base/memory.h"

#include <string.h>

norn_table_set *norn_table_set_retain(norn_table_set *set) {
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

static void destroy(norn_table_set *set) {
    norn_device *device = set->plan->device;
    for (uint32_t i = 0; i < set->device_count; i++)
        if (device->ops->table_unbind) device->ops->table_unbind(device, &set->device[i]);
    for (uint32_t i = 0; i < set->host_count; i++)
        if (set->plan->host->ops->table_unbind)
            set->plan->host->ops->table_unbind(set->plan->host, &set->host[i]);
    norn_free(set->alloc, set->device);
    norn_free(set->alloc, set->host);
    norn_snapshot_release(set->snapshot);
    norn_plan_release(set->plan);
    norn_free(set->alloc, set);
}

void norn_table_set_release(norn_table_set *set) {
    if (set && atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) == 1)
        destroy(set);
}

static norn_status find(norn_plan *plan, norn_snapshot *snapshot, const norn_plan_table *table,
                        norn_table_binding *out) {
    const norn_table_binding *found = snapshot ? snapshot->find(snapshot, table->name) : NULL;
    norn_snapshot *own;
    NORN_TRY(norn_plan_own_tables(plan, &own));
    if (!found) found = own->find(own, table->name);
    if (!found)
        return norn_fail(
            NORN_FAILED_PRECONDITION,
            "table '%s' is missing: put %s.safetensors into tables/ beside the model or "
            "the plan",
            table->name, table->name);
    if (found->dim != table->dim)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "table '%s': %lld elements a row in %s, the model expects %lld",
                         table->name, (long long)found->dim,
                         found->source ? found->source : "the store", (long long)table->dim);
    *out = *found;
    if (table->missing_is_error) out->missing = NORN_MISSING_ERROR;
    return NORN_OK;
}

static norn_status bind(norn_device *device, const norn_table_binding *from,
                        norn_table_binding *to) {
    if (device->ops->table_bind) return device->ops->table_bind(device, from, to);
    *to = *from;
    return NORN_OK;
}

norn_status norn_table_set_create(norn_plan *plan, norn_snapshot *snapshot, norn_alloc alloc,
                                  norn_table_set **out) {
    norn_table_set *set = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &set));
    static atomic_uint_fast64_t ids;
    set->id = atomic_fetch_add(&ids, 1) + 1;
    set->alloc = alloc;
    set->plan = norn_plan_retain(plan);
    set->snapshot = norn_snapshot_retain(snapshot);
    atomic_init(&set->references, 1);
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->table_count, &set->host));
    if (plan->device) NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->table_count, &set->device));
    for (uint32_t i = 0; i < plan->table_count; i++) {
        norn_table_binding found;
        NORN_TRY_DONE(find(plan, snapshot, &plan->tables[i], &found));
        NORN_TRY_DONE(bind(plan->host, &found, &set->host[i]));
        set->host_count++;
        if (!plan->device) continue;
        NORN_TRY_DONE(bind(plan->device, &found, &set->device[i]));
        set->device_count++;
    }
    *out = set;
    set = NULL;
done:
    norn_table_set_release(set);
    return status;
}
