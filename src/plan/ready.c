#include "base/checked.h"
#include "base/memory.h"
#include "plan/plan.h"

static norn_status prepare_program(norn_plan *plan, const norn_program *program) {
    norn_graph *graph = program->graph;
    norn_arena scratch;
    norn_status status = NORN_OK;
    norn_arena_init(&scratch, plan->alloc, 1 << 14);
    int64_t *max;
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&scratch, (size_t)graph->symbols.count + 1, &max));
    norn_symbols_at_max(graph, max);
    for (uint32_t i = 0; i < program->step_count; i++) {
        norn_step *step = &program->steps[i];
        for (uint32_t b = 0; b < step->body_count; b++)
            NORN_TRY_DONE(prepare_program(plan, step->bodies[b]));
        norn_device *device = step->on_device ? program->device : program->host;
        if (step->kind != NORN_STEP_KERNEL || !device->ops->prepare || step->state) continue;
        norn_view *views;
        NORN_TRY_DONE(
            NORN_TAKE_ARRAY(&scratch, (size_t)step->in_count + step->out_count + 1, &views));
        norn_step_spec spec = norn_node_spec(step->node, max, (int32_t)plan->precision, views);
        spec.code = step->code;
        status = device->ops->prepare(device, &spec, &step->state);
        if (status != NORN_OK) {
            norn_note("preparing node '%s'", step->node->name);
            goto done;
        }
    }
done:
    norn_arena_deinit(&scratch);
    return status;
}

static norn_status const_bytes(const norn_slot *slot, size_t *bytes) {
    return norn_view_bytes(slot->value->data, bytes);
}

static norn_status upload_weights(norn_plan *plan) {
    norn_program *program = plan->program;
    norn_device *device = plan->device;
    size_t total = 0, bytes;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        norn_slot *slot = &program->slots[i];
        if (slot->kind != NORN_SLOT_CONST || !slot->on_device) continue;
        NORN_TRY(const_bytes(slot, &bytes));
        slot->weight_offset = total;
        if (!norn_size_add(total, norn_align_up(bytes, NORN_DEVICE_ALIGN), &total))
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "the weights do not fit in memory");
    }
    program->device_weight_bytes = total;
    if (total == 0) return NORN_OK;
    NORN_TRY(device->ops->memory_create(device, NORN_MEMORY_DEVICE, total, &plan->device_weights));
    for (uint32_t i = 0; i < program->slot_count; i++) {
        norn_slot *slot = &program->slots[i];
        if (slot->kind != NORN_SLOT_CONST || !slot->on_device) continue;
        NORN_TRY(const_bytes(slot, &bytes));
        char *to = (char *)plan->device_weights + slot->weight_offset;
        if (bytes) NORN_TRY(device->ops->copy(device, NULL, to, slot->value->data->data, bytes));
        slot->data = to;
    }
    return NORN_OK;
}

static norn_status make_ready(norn_plan *plan) {
    if (plan->device && !plan->device->can_run)
        return norn_fail(
            NORN_UNAVAILABLE,
            "the plan is for '%s' (%s), which this machine cannot run; compile for another device",
            plan->device_name, plan->device->ops->stamp(plan->device));
    NORN_TRY(norn_device_enter(plan->device));
    NORN_TRY(prepare_program(plan, plan->program));
    if (plan->device && !plan->device_weights) NORN_TRY(upload_weights(plan));
    return NORN_OK;
}

norn_status norn_plan_ready(norn_plan *plan) {
    norn_status status = NORN_OK;
    pthread_mutex_lock(&plan->lock);
    if (!plan->ready) status = make_ready(plan);
    plan->ready |= status == NORN_OK;
    pthread_mutex_unlock(&plan->lock);
    return status;
}
