#include "base/memory.h"
#include "plan/plan.h"
#include "tensor/view.h"

#include <string.h>

/// Where the constants that can still be read lie.
typedef struct live_spans {
    norn_arena *arena;
    norn_span *at;
    size_t count, capacity;
} live_spans;

static norn_status add(live_spans *live, const norn_view *view) {
    size_t bytes;
    if (!view || !view->data) return NORN_OK;
    NORN_TRY(norn_view_bytes(view, &bytes));
    NORN_TRY(NORN_TAKE_MORE(live->arena, &live->at, live->count, &live->capacity));
    live->at[live->count++] = norn_span_of(view->data, bytes);
    return NORN_OK;
}

static norn_status add_graph(live_spans *live, const norn_graph *graph) {
    norn_value **values;
    NORN_TRY(norn_graph_values(graph, live->arena, &values));
    for (uint32_t i = 0; i < graph->value_count; i++)
        if (values[i]) NORN_TRY(add(live, values[i]->data));
    for (uint32_t i = 0; i < graph->input_count; i++)
        NORN_TRY(add(live, graph->inputs[i]->fallback));
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->attrs.count; i++) {
            const norn_attr *attr = &node->attrs.at[i];
            if (attr->kind == NORN_ATTR_TENSOR) NORN_TRY(add(live, attr->tensor));
            if (attr->kind == NORN_ATTR_GRAPH) NORN_TRY(add_graph(live, attr->graph));
        }
    }
    return NORN_OK;
}

/// Those of `live` that lie in `file`, to the front of `inside`.
static size_t spans_in(const norn_file *file, const live_spans *live, norn_span *inside) {
    const norn_span bytes = norn_file_bytes(file);
    size_t count = 0;
    for (size_t i = 0; i < live->count; i++)
        if (live->at[i].bytes >= bytes.bytes && live->at[i].bytes < bytes.bytes + bytes.count)
            inside[count++] = live->at[i];
    return count;
}

norn_status norn_plan_drop_unused(norn_plan *plan) {
    norn_arena scratch;
    norn_status status;
    norn_arena_init(&scratch, plan->alloc, 1 << 14);
    live_spans live = {.arena = &scratch};
    norn_span *inside;
    uint32_t kept = 0;
    NORN_TRY_DONE(add_graph(&live, plan->graph));
    for (uint32_t i = 0; i < plan->table_count; i++)
        NORN_TRY_DONE(add(&live, plan->tables[i].data));
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&scratch, live.count + 1, &inside));
    for (uint32_t i = 0; i < plan->file_count; i++) {
        norn_file *file = plan->files[i];
        const size_t count = spans_in(file, &live, inside);
        if (count == 0) {
            norn_file_release(file);
            continue;
        }
        norn_file_trim(file, inside, count);
        plan->files[kept++] = file;
    }
    plan->file_count = kept;
done:
    norn_arena_deinit(&scratch);
    return status;
}
