#include "plan/plan.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

norn_status norn_plan_create(norn_alloc alloc, norn_plan **out) {
    norn_plan *plan;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &plan));
    plan->alloc = alloc;
    atomic_init(&plan->references, 1);
    norn_arena_init(&plan->arena, alloc, 1 << 16);
    plan->name = "";
    plan->body_flops = NORN_BODY_FLOPS;
    *out = plan;
    return NORN_OK;
}

norn_plan *norn_plan_retain(norn_plan *plan) {
    if (plan) atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
    return plan;
}

static void destroy(norn_plan *plan) {
    for (uint32_t p = plan->place_count; p-- > 0;) norn_device_close(plan->devices[p]);
    norn_graph_destroy(plan->graph);
    for (uint32_t i = 0; i < plan->file_count; i++) norn_file_release(plan->files[i]);
    norn_free(plan->alloc, plan->files);
    norn_arena_deinit(&plan->arena);
    norn_free(plan->alloc, plan);
}

void norn_plan_release(norn_plan *plan) {
    if (plan && atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) == 1)
        destroy(plan);
}

norn_status norn_plan_keep_file(norn_plan *plan, norn_file *file) {
    const norn_status status =
        NORN_MORE(plan->alloc, &plan->files, plan->file_count, &plan->file_capacity);
    if (status != NORN_OK) {
        norn_file_release(file);
        return status;
    }
    plan->files[plan->file_count++] = file;
    return NORN_OK;
}

/// The device of the next place.
static norn_status open_device(norn_plan *plan, const char *name) {
    norn_device *first = norn_plan_device(plan), *opened;
    if (plan->place_count == NORN_PLACES_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "device '%s': more than %d devices",
                         plan->device_name, NORN_PLACES_MAX - 1);
    NORN_TRY(
        norn_arena_string(&plan->arena, name, strlen(name), &plan->place_names[plan->place_count]));
    NORN_TRY(norn_device_open(name, plan->alloc, &opened));
    plan->devices[plan->place_count++] = opened;
    if (!first) return NORN_OK;
    if (strcmp(first->target.ops->kind, opened->target.ops->kind) != 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "device '%s': the devices of a plan are of one kind", plan->device_name);
    if (!opened->ops->copy_peer)
        return norn_fail(NORN_UNIMPLEMENTED, "device '%s': '%s' devices do not copy to each other",
                         plan->device_name, opened->target.ops->kind);
    return NORN_OK;
}

norn_status norn_plan_open_devices(norn_plan *plan, const char *device_name) {
    enum { NAME_BYTES = 64 };
    const char *host = norn_device_host_name();
    if (!device_name) device_name = host;
    NORN_TRY(norn_arena_string(&plan->arena, device_name, strlen(device_name), &plan->device_name));
    NORN_TRY(norn_device_open(host, plan->alloc, &plan->devices[NORN_HOST]));
    plan->place_names[NORN_HOST] = host;
    plan->place_count = 1;
    if (strcmp(device_name, host) == 0) return NORN_OK;
    for (const char *at = device_name, *end;; at = end + 1) {
        char name[NAME_BYTES];
        end = at + strcspn(at, ",");
        (void)snprintf(name, sizeof name, "%.*s", (int)(end - at), at);
        NORN_TRY(open_device(plan, name));
        if (*end == '\0') return NORN_OK;
    }
}

// ---- ports

static norn_status describe(norn_plan *plan, const char *name, const norn_value *value,
                            const int64_t *max, norn_port *port) {
    const norn_shape *shape = &value->shape;
    *port =
        (norn_port){.dtype = value->dtype, .rank = value->data ? value->data->rank : shape->rank};
    NORN_TRY(norn_arena_string(&plan->arena, name, strlen(name), &port->name));
    if (value->data) {
        memcpy(port->dims, value->data->dims, sizeof port->dims);
        memcpy(port->max_dims, value->data->dims, sizeof port->max_dims);
        return NORN_OK;
    }
    int32_t rank;
    norn_shape_at(shape, max, &rank, port->max_dims);
    for (int32_t d = 0; d < rank; d++) {
        char text[NORN_DIM_TEXT];
        port->dims[d] = norn_dim_is_const(shape->dims[d]) ? shape->dims[d].constant : -1;
        if (port->dims[d] >= 0) continue;
        norn_dim_text(&plan->graph->symbols, shape->dims[d], text);
        NORN_TRY(norn_arena_string(&plan->arena, text, strlen(text), &port->dim_names[d]));
    }
    return NORN_OK;
}

norn_status norn_plan_finish(norn_plan *plan) {
    norn_graph *graph = plan->graph;
    int64_t *max;
    const norn_lower_options lower = {.host = &plan->devices[NORN_HOST]->target,
                                      .target = norn_plan_target(plan),
                                      .place_count = plan->place_count,
                                      .body_flops = plan->body_flops};
    NORN_TRY(norn_program_lower(graph, &lower, &plan->arena, &plan->program));
    NORN_TRY(norn_row_safety_find(graph, &plan->arena, &plan->program->rows));
    NORN_TRY(NORN_TAKE_ARRAY(&plan->arena, (size_t)graph->symbols.count + 1, &max));
    norn_symbols_at_max(graph, max);
    NORN_TRY(NORN_TAKE_ARRAY(&plan->arena, (size_t)graph->input_count + 1, &plan->inputs));
    NORN_TRY(NORN_TAKE_ARRAY(&plan->arena, (size_t)graph->output_count + 1, &plan->outputs));
    for (uint32_t i = 0; i < graph->input_count; i++)
        NORN_TRY(describe(plan, graph->inputs[i]->name, graph->inputs[i], max, &plan->inputs[i]));
    for (uint32_t i = 0; i < graph->output_count; i++)
        NORN_TRY(describe(plan, graph->output_names[i], graph->outputs[i].value, max,
                          &plan->outputs[i]));
    for (uint32_t i = 0; i < graph->input_count; i++)
        plan->inputs[i].optional = graph->inputs[i]->fallback != NULL;
    for (uint32_t i = 0; i < graph->output_count; i++)
        plan->outputs[i].squeezed = graph->output_squeezed[i];
    if (graph->batch >= 0 && graph->batch < graph->symbols.count) {
        plan->batch_name = graph->symbols.at[graph->batch].name;
        plan->max_batch = graph->symbols.at[graph->batch].max;
    }
    return NORN_OK;
}

const char *norn_plan_name(const norn_plan *plan) {
    return plan->name;
}
size_t norn_plan_input_count(const norn_plan *plan) {
    return plan->graph->input_count;
}
size_t norn_plan_output_count(const norn_plan *plan) {
    return plan->graph->output_count;
}
const norn_port *norn_plan_input(const norn_plan *plan, size_t index) {
    return index < plan->graph->input_count ? &plan->inputs[index] : NULL;
}
const norn_port *norn_plan_output(const norn_plan *plan, size_t index) {
    return index < plan->graph->output_count ? &plan->outputs[index] : NULL;
}
const char *norn_plan_batch_symbol(const norn_plan *plan) {
    return plan->batch_name;
}
int64_t norn_plan_max_batch(const norn_plan *plan) {
    return plan->max_batch;
}

#define PRECISION_NAME(word) word,
static const char *const precision_names[] = {NORN_PRECISIONS(PRECISION_NAME)};
enum { PRECISIONS = sizeof precision_names / sizeof *precision_names };
_Static_assert(PRECISIONS == NORN_PRECISION_BF16 + 1, "a name for each");

const char *norn_precision_name(norn_precision precision) {
    return precision_names[precision];
}

bool norn_precision_parse(const char *text, norn_precision *out) {
    for (int i = 0; i < PRECISIONS; i++) {
        if (strcmp(text, precision_names[i]) != 0) continue;
        *out = (norn_precision)i;
        return true;
    }
    return false;
}
