#include "runtime/resident.h"
#include "base/memory.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; ///< of `shared`, and while one is made
static norn_resident *shared;

// ---- steps

static norn_status prepare_program(norn_resident *resident, const norn_program *program) {
    const norn_graph *graph = program->graph;
    norn_arena scratch;
    norn_status status = NORN_OK;
    norn_arena_init(&scratch, resident->alloc, 1 << 14);
    int64_t *max;
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&scratch, (size_t)graph->symbols.count + 1, &max));
    norn_symbols_at_max(graph, max);
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        for (uint32_t b = 0; b < step->body_count; b++)
            NORN_TRY_DONE(prepare_program(resident, step->bodies[b]));
        norn_device *device = resident->devices[step->place];
        if (step->kind != NORN_STEP_KERNEL || !device->ops->prepare) continue;
        norn_view *views;
        if (step->place) NORN_TRY_DONE(norn_device_enter(device));
        NORN_TRY_DONE(
            NORN_TAKE_ARRAY(&scratch, (size_t)step->in_count + step->out_count + 1, &views));
        norn_step_spec spec = norn_node_spec(step->node, max, views);
        spec.code = step->code;
        status = device->ops->prepare(device, &spec, &resident->states[step->state]);
        if (status != NORN_OK) {
            norn_note("preparing node '%s'", step->node->name);
            goto done;
        }
    }
done:
    norn_arena_deinit(&scratch);
    return status;
}

static void unprepare_program(norn_resident *resident, const norn_program *program) {
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        for (uint32_t b = 0; b < step->body_count; b++)
            unprepare_program(resident, step->bodies[b]);
        norn_device *device = resident->devices[step->place];
        if (step->kind != NORN_STEP_KERNEL || !resident->states[step->state] ||
            !device->ops->unprepare)
            continue;
        if (step->place) (void)norn_device_enter(device);
        norn_step_spec spec = {.name = step->node->name,
                               .op = step->node->op->id,
                               .attrs = step->node->attrs,
                               .region = step->node->region,
                               .code = step->code};
        device->ops->unprepare(device, &spec, resident->states[step->state]);
    }
}

// ---- weights

static norn_status copy_weights(norn_resident *resident, const norn_program *program,
                                norn_place place) {
    norn_device *device = resident->devices[place];
    size_t bytes;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *slot = &program->slots[i];
        if (slot->kind != NORN_SLOT_CONST || slot->place != place) continue;
        NORN_TRY(norn_view_bytes(slot->value->data, &bytes));
        if (bytes)
            NORN_TRY(device->ops->copy(device, NULL, resident->weights[place] + slot->weight_offset,
                                       slot->value->data->data, bytes));
    }
    for (uint32_t i = 0; i < program->step_count; i++)
        for (uint32_t b = 0; b < program->steps[i].body_count; b++)
            NORN_TRY(copy_weights(resident, program->steps[i].bodies[b], place));
    return NORN_OK;
}

/// One block for the program and its bodies.
static norn_status upload_weights(norn_resident *resident, norn_place place) {
    const norn_program *program = resident->plan->program;
    norn_device *device = resident->devices[place];
    void *memory;
    if (program->weight_bytes[place] == 0) return NORN_OK;
    NORN_TRY(norn_device_enter(device));
    NORN_TRY(device->ops->memory_create(device, NORN_MEMORY_DEVICE, program->weight_bytes[place],
                                        &memory));
    resident->weights[place] = memory;
    return copy_weights(resident, program, place);
}

/// What the plan's first device has timed, or was given by the plan's file, for another one.
static norn_status take_choices(norn_resident *resident, norn_place place) {
    norn_device *from = norn_plan_device(resident->plan), *to = resident->devices[place];
    norn_buffer record;
    bool taken;
    if (from == to || !from->ops->tuning_save || !to->ops->tuning_load) return NORN_OK;
    norn_buffer_init(&record, resident->alloc);
    from->ops->tuning_save(from, &record);
    norn_status status = norn_buffer_status(&record);
    if (status == NORN_OK && record.count)
        status = to->ops->tuning_load(to, norn_span_of(record.bytes, record.count), &taken);
    norn_buffer_deinit(&record);
    return status;
}

// ---- making

static norn_status check_device(const norn_plan *plan, const norn_device *device) {
    const norn_target *target = norn_plan_target(plan);
    if (!target || strcmp(device->target.ops->kind, target->ops->kind) != 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the plan is for '%s'; on a '%s' device it cannot be", plan->device_name,
                         device->target.ops->kind);
    if (!device->can_run)
        return norn_fail(
            NORN_UNAVAILABLE,
            "the plan is for '%s' (%s), which this machine cannot run; compile for another device",
            plan->device_name, device->target.ops->stamp(&device->target));
    return NORN_OK;
}

/// Caller holds the lock.
static void destroy(norn_resident *resident) {
    if (resident->states) unprepare_program(resident, resident->plan->program);
    for (norn_place p = 1; p < resident->place_count; p++) {
        norn_device *device = resident->devices[p];
        if (!resident->weights[p]) continue;
        (void)norn_device_enter(device); // what cannot be entered has nothing to give back
        device->ops->memory_destroy(device, NORN_MEMORY_DEVICE, resident->weights[p]);
    }
    norn_free(resident->alloc, resident->states);
    norn_plan_release(resident->plan);
    norn_free(resident->alloc, resident);
}

/// Caller holds the lock.
static norn_status make(norn_plan *plan, norn_device *const *devices, norn_alloc alloc,
                        norn_resident **out) {
    norn_resident *resident;
    norn_status status;
    if (devices && plan->place_count == 1) return check_device(plan, devices[0]);
    if (!devices) devices = plan->devices + 1;
    for (uint32_t p = 1; p < plan->place_count; p++) NORN_TRY(check_device(plan, devices[p - 1]));
    NORN_TRY(NORN_NEW(alloc, &resident));
    resident->alloc = alloc;
    atomic_init(&resident->references, 1);
    resident->plan = norn_plan_retain(plan);
    resident->place_count = plan->place_count;
    resident->devices[NORN_HOST] = plan->devices[NORN_HOST];
    for (norn_place p = 1; p < plan->place_count; p++) {
        resident->devices[p] = devices[p - 1];
        resident->looks_up[p] = norn_program_looks_up(plan->program, p);
    }
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, (size_t)plan->program->state_count + 1, &resident->states));
    for (norn_place p = 1; p < plan->place_count; p++) NORN_TRY_DONE(take_choices(resident, p));
    NORN_TRY_DONE(prepare_program(resident, plan->program));
    for (norn_place p = 1; p < plan->place_count; p++) NORN_TRY_DONE(upload_weights(resident, p));
    if (!plan->path) NORN_TRY_DONE(norn_plan_drop_unused(plan)); // all of a plan file is in use
    *out = resident;
    resident = NULL;
done:
    if (resident) destroy(resident);
    return status;
}

norn_status norn_resident_create(norn_plan *plan, norn_device *const *devices, norn_alloc alloc,
                                 norn_resident **out) {
    *out = NULL;
    pthread_mutex_lock(&making);
    const norn_status status = make(plan, devices, alloc, out);
    pthread_mutex_unlock(&making);
    return status;
}

norn_status norn_resident_share(norn_plan *plan, norn_resident **out) {
    norn_status status = NORN_OK;
    pthread_mutex_lock(&making);
    norn_resident *found = shared;
    while (found && found->plan != plan) found = found->next;
    if (found) {
        (void)norn_resident_retain(found);
    } else {
        status = make(plan, NULL, plan->alloc, &found);
        if (status == NORN_OK) {
            found->next = shared;
            shared = found;
        }
    }
    pthread_mutex_unlock(&making);
    *out = status == NORN_OK ? found : NULL;
    return status;
}

norn_resident *norn_resident_retain(norn_resident *resident) {
    atomic_fetch_add_explicit(&resident->references, 1, memory_order_relaxed);
    return resident;
}

static void unlist(const norn_resident *resident) {
    for (norn_resident **at = &shared; *at; at = &(*at)->next) {
        if (*at != resident) continue;
        *at = resident->next;
        return;
    }
}

void norn_resident_release(norn_resident *resident) {
    if (!resident) return;
    unsigned count = atomic_load_explicit(&resident->references, memory_order_relaxed);
    // Only the last one waits for the lock: norn_resident_share must not find what ends.
    while (count > 1)
        if (atomic_compare_exchange_weak_explicit(&resident->references, &count, count - 1,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return;
    pthread_mutex_lock(&making);
    if (atomic_fetch_sub_explicit(&resident->references, 1, memory_order_acq_rel) == 1) {
        unlist(resident);
        destroy(resident);
    }
    pthread_mutex_unlock(&making);
}
