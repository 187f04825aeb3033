#include "runtime/own_tables.h"
#include "base/memory.h"
#include "tensor/dtype.h"

#include <string.h>

/// Keys that had no row.
typedef struct own_count {
    _Atomic uint64_t keys;
} own_count;

typedef struct own_tables {
    norn_snapshot base;
    norn_alloc alloc;
    norn_table_binding *tables;
    own_count *missing; ///< by table
    uint32_t count;
} own_tables;

static const norn_table_binding *find(const norn_snapshot *self, const char *name) {
    const own_tables *own = (const own_tables *)(const void *)self;
    for (uint32_t i = 0; i < own->count; i++)
        if (strcmp(own->tables[i].name, name) == 0) return &own->tables[i];
    return NULL;
}

static void destroy(norn_snapshot *self) {
    own_tables *own = (own_tables *)(void *)self;
    norn_free(own->alloc, own->tables);
    norn_free(own->alloc, own->missing);
    norn_free(own->alloc, own);
}

norn_status norn_own_tables_create(const norn_plan *plan, norn_alloc alloc, norn_snapshot **out) {
    own_tables *own;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &own));
    own->base.find = find;
    own->base.destroy = destroy;
    own->base.model = "";
    own->alloc = alloc;
    norn_status status = NORN_NEW_ARRAY(alloc, plan->table_count, &own->tables);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, plan->table_count, &own->missing);
    if (status != NORN_OK) {
        destroy(&own->base);
        return status;
    }
    atomic_init(&own->base.references, 1);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const norn_plan_table *table = &plan->tables[i];
        if (!table->data) continue;
        _Atomic uint64_t *missing = &own->missing[own->count].keys;
        own->tables[own->count++] = (norn_table_binding){
            .name = table->name,
            .source = table->source,
            .dtype = table->data->dtype,
            .dim = table->dim,
            .view = {.kind = NORN_TABLE_DENSE,
                     .missing = NORN_MISSING_ERROR,
                     .row_count = table->data->dims[0],
                     .row_bytes = table->dim * (int64_t)(norn_dtype_bits(table->data->dtype) / 8),
                     .missing_count = missing,
                     .dense = {table->data->data}},
        };
    }
    *out = &own->base;
    return NORN_OK;
}
