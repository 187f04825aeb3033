#include "store/store_snapshot.h"
#include "base/memory.h"
#include "kernel/host_rows.h"
#include "store/host/host_tier.h"
#include "store/store.h"

#include <string.h>

typedef struct attached_table {
    norn_fetch_rule rule;
    _Atomic uint64_t missing, late;
} attached_table;

struct norn_store_attached {
    norn_store_attached *next;
    attached_table *tables;
};

/// A pin, and whose.
typedef struct tier_pin {
    norn_tier *tier;
    norn_pin pin;
} tier_pin;

typedef struct store_snapshot {
    norn_snapshot base;
    norn_alloc alloc;
    norn_store_home *home; ///< retained
    tier_pin *pins;
    size_t pin_count;
    norn_table_binding *tables; ///< in order of name
    norn_elsewhere *elsewhere;  ///< likewise; of tables that are not in memory
    size_t count;
} store_snapshot;

// ---- what store and snapshots share

norn_status norn_store_home_create(norn_alloc alloc, norn_store_home **out) {
    norn_store_home *home;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &home));
    home->alloc = alloc;
    atomic_init(&home->references, 1);
    norn_status status = norn_host_tier_create(alloc, &home->tier);
    if (status == NORN_OK) status = norn_alloc_string(alloc, "", &home->model);
    if (status != NORN_OK)
        norn_store_home_release(home);
    else
        *out = home;
    return status;
}

void norn_store_home_release(norn_store_home *home) {
    if (atomic_fetch_sub_explicit(&home->references, 1, memory_order_acq_rel) != 1) return;
    for (norn_store_attached *at = home->attached, *next; at; at = next) {
        next = at->next;
        norn_free(home->alloc, at->tables);
        norn_free(home->alloc, at);
    }
    norn_tier_close(home->tier);
    norn_free(home->alloc, home->model);
    norn_free(home->alloc, home);
}

norn_status norn_store_home_name(norn_store_home *home, const char *model) {
    char *name;
    if (*home->model || !*model) return NORN_OK;
    NORN_TRY(norn_alloc_string(home->alloc, model, &name));
    norn_free(home->alloc, home->model);
    home->model = name;
    return NORN_OK;
}

norn_status norn_store_home_attach(norn_store_home *home, uint32_t tables,
                                   const norn_fetch_rule *rules, norn_store_attached **out) {
    norn_store_attached *attached;
    NORN_TRY(NORN_NEW(home->alloc, &attached));
    const norn_status status = NORN_NEW_ARRAY(home->alloc, tables, &attached->tables);
    if (status != NORN_OK) {
        norn_free(home->alloc, attached);
        return status;
    }
    for (uint32_t t = 0; rules && t < tables; t++) attached->tables[t].rule = rules[t];
    attached->next = home->attached;
    home->attached = attached;
    *out = attached;
    return NORN_OK;
}

// ---- a snapshot

static store_snapshot *snapshot_of(const norn_snapshot *self) {
    return (store_snapshot *)(uintptr_t)self;
}

static const norn_table_binding *find(const norn_snapshot *self, const char *name) {
    const store_snapshot *snapshot = snapshot_of(self);
    size_t low = 0, high = snapshot->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(snapshot->tables[middle].name, name);
        if (order == 0) return &snapshot->tables[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void destroy(norn_snapshot *self) {
    store_snapshot *snapshot = snapshot_of(self);
    for (size_t i = 0; i < snapshot->pin_count; i++) {
        tier_pin *at = &snapshot->pins[i];
        at->tier->ops->unpin(at->tier, &at->pin);
    }
    norn_free(snapshot->alloc, snapshot->pins);
    norn_free(snapshot->alloc, snapshot->tables);
    norn_free(snapshot->alloc, snapshot->elsewhere);
    norn_store_home_release(snapshot->home);
    norn_free(snapshot->alloc, snapshot);
}

norn_status norn_store_snapshot_begin(norn_store_home *home, size_t versions, size_t tables,
                                      norn_alloc alloc, norn_store_snapshot_maker *out) {
    store_snapshot *snapshot;
    NORN_TRY(NORN_NEW(alloc, &snapshot));
    snapshot->alloc = alloc;
    snapshot->home = home;
    atomic_fetch_add_explicit(&home->references, 1, memory_order_relaxed);
    atomic_init(&snapshot->base.references, 1);
    snapshot->base.find = find;
    snapshot->base.destroy = destroy;
    snapshot->base.model = home->model;
    norn_status status = NORN_NEW_ARRAY(alloc, versions, &snapshot->pins);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, tables, &snapshot->tables);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, tables, &snapshot->elsewhere);
    if (status != NORN_OK)
        destroy(&snapshot->base);
    else
        out->snapshot = snapshot;
    return status;
}

norn_status norn_store_snapshot_pin(norn_store_snapshot_maker *maker, norn_tier *tier,
                                    norn_version *version) {
    store_snapshot *snapshot = maker->snapshot;
    tier_pin *at = &snapshot->pins[snapshot->pin_count];
    at->tier = tier;
    NORN_TRY(tier->ops->pin(tier, version, &at->pin));
    if (snapshot->pin_count++ == 0) {
        snapshot->base.version = version->number;
        snapshot->base.sequence = at->pin.step;
    }
    return NORN_OK;
}

/// Of a table that is fetched: its form, and where from.
static void bind_elsewhere(store_snapshot *snapshot, const tier_pin *at, uint32_t table,
                           attached_table *attached) {
    const norn_table_form *form = &at->pin.version->tables[table];
    norn_elsewhere *source = &snapshot->elsewhere[snapshot->count];
    *source = (norn_elsewhere){.tier = at->tier,
                               .pin = &at->pin,
                               .table = table,
                               .rule = attached->rule,
                               .late_count = &attached->late};
    snapshot->tables[snapshot->count++] = (norn_table_binding){
        .name = form->name,
        .source = form->source,
        .dtype = form->dtype,
        .dim = form->dim,
        .view = {.kind = NORN_TABLE_ELSEWHERE,
                 .missing = form->dense ? NORN_MISSING_ERROR : NORN_MISSING_DEFAULT,
                 .row_count = form->rows,
                 .row_bytes = form->row_bytes,
                 .default_row = form->default_row,
                 .missing_count = &attached->missing,
                 .elsewhere = {source}}};
}

void norn_store_snapshot_add(norn_store_snapshot_maker *maker, const norn_version *version,
                             uint32_t table, norn_store_attached *attached) {
    store_snapshot *snapshot = maker->snapshot;
    const tier_pin *at = snapshot->pins;
    while (at->pin.version != version) at++;
    if (attached)
        bind_elsewhere(snapshot, at, table, &attached->tables[table]);
    else
        at->tier->ops->view(at->tier, &at->pin, table, &snapshot->tables[snapshot->count++]);
}

norn_snapshot *norn_store_snapshot_end(norn_store_snapshot_maker *maker, norn_status status) {
    if (status == NORN_OK) return &maker->snapshot->base;
    destroy(&maker->snapshot->base);
    return NULL;
}

// ---- facts

static uint64_t counted(const _Atomic uint64_t *count) {
    return atomic_load_explicit(count, memory_order_relaxed);
}

static bool is_dense(const norn_elsewhere *elsewhere) {
    return elsewhere->pin->version->tables[elsewhere->table].dense;
}

size_t norn_snapshot_table_count(const norn_snapshot *snapshot) {
    return snapshot->find == find ? snapshot_of(snapshot)->count : 0;
}

norn_store_stat norn_snapshot_table_stat(const norn_snapshot *snapshot, size_t index) {
    if (index >= norn_snapshot_table_count(snapshot)) return (norn_store_stat){0};
    const norn_table_binding *table = &snapshot_of(snapshot)->tables[index];
    const norn_table_view *view = &table->view;
    const norn_host_rows *rows = view->kind == NORN_TABLE_HOST_INDEX ? view->host.rows : NULL;
    const norn_elsewhere *elsewhere =
        view->kind == NORN_TABLE_ELSEWHERE ? view->elsewhere.source : NULL;
    return (norn_store_stat){.name = table->name,
                             .source = table->source,
                             .dtype = table->dtype,
                             .dim = table->dim,
                             .rows = view->row_count,
                             .dense = elsewhere ? is_dense(elsewhere) : !rows || rows->dense,
                             .index_bytes = rows ? norn_host_rows_index_bytes(rows) : 0,
                             .missing = counted(view->missing_count),
                             .late = elsewhere ? counted(elsewhere->late_count) : 0};
}
