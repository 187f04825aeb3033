#include "runtime/instance.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/poison.h"
#include "runtime/gather.h"
#include "tensor/dtype.h"

#include <string.h>

/// The calling thread is the first device's.
static norn_status enter(norn_instance *instance) {
    return norn_device_enter(instance->room.at[1].device); // NULL: a plan for the CPU
}

// ---- making

norn_status norn_instance_create(norn_session *session, norn_resident *resident,
                                 const norn_session_options *options, norn_alloc alloc,
                                 norn_instance **out) {
    const norn_plan *plan = resident->plan;
    norn_instance *instance = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &instance));
    instance->session = session;
    instance->plan = plan;
    instance->alloc = alloc;
    instance->room.resident = resident;
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->input_count, &instance->given));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->input_count, &instance->is_given));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->input_count, &instance->staging));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->output_count, &instance->outputs));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->output_count, &instance->answers));
    instance->room.alloc = alloc;
    instance->room.table_count = plan->table_count;
    NORN_TRY_DONE(norn_run_room_init(&instance->room, options));
    NORN_TRY_DONE(norn_frame_create(plan->program, &instance->room, &instance->frame));
    if (resident->place_count > 1)
        NORN_TRY_DONE(norn_device_run_create(instance->frame, &instance->device_run));
    *out = instance;
    instance = NULL;
done:
    norn_instance_destroy(instance);
    return status;
}

void norn_instance_destroy(norn_instance *instance) {
    if (!instance) return;
    norn_run_room *room = &instance->room;
    (void)enter(instance);
    norn_trace_destroy(instance->trace);
    norn_device_run_destroy(instance->device_run);
    norn_frame_destroy(instance->frame);
    norn_gather_destroy(instance->gather);
    for (uint32_t i = 0; instance->staging && i < instance->plan->graph->input_count; i++)
        norn_room_give_staging(room, instance->staging[i].memory, instance->staging[i].bytes);
    norn_run_room_deinit(room);
    norn_free(instance->alloc, instance->given);
    norn_free(instance->alloc, instance->is_given);
    norn_free(instance->alloc, instance->staging);
    norn_free(instance->alloc, instance->outputs);
    norn_free(instance->alloc, instance->answers);
    norn_free(instance->alloc, instance);
}

// ---- inputs

void norn_instance_clear(norn_instance *instance) {
    for (uint32_t i = 0; i < instance->plan->graph->input_count; i++) instance->is_given[i] = false;
}

static norn_status grow_staging(norn_instance *instance, size_t index, size_t bytes) {
    enum { ROUND = 1 << 16 }; // pinned memory is slow to get, and comes in pages
    norn_run_room *room = &instance->room;
    norn_staging *staging = &instance->staging[index];
    void *memory;
    if (bytes > staging->recent_bytes) staging->recent_bytes = bytes;
    if (staging->memory && bytes <= staging->bytes) return NORN_OK;
    NORN_TRY(enter(instance));
    size_t wanted = norn_align_up(norn_grown(staging->bytes, bytes), ROUND);
    norn_status status = norn_room_take_staging(room, wanted, staging->bytes, &memory);
    if (status != NORN_OK) {
        wanted = norn_align_up(bytes, NORN_DEVICE_ALIGN);
        status = norn_room_take_staging(room, wanted, staging->bytes, &memory);
    }
    if (status != NORN_OK) {
        norn_note("input '%s'", instance->plan->inputs[index].name);
        return status;
    }
    norn_room_give_staging(room, staging->memory, staging->bytes);
    staging->memory = memory;
    staging->bytes = wanted;
    return NORN_OK;
}

static void trim_staging(norn_instance *instance) {
    for (uint32_t i = 0; i < instance->plan->graph->input_count; i++) {
        norn_staging *staging = &instance->staging[i];
        if (norn_keeps_too_much(staging->bytes, staging->recent_bytes)) {
            norn_room_give_staging(&instance->room, staging->memory, staging->bytes);
            staging->memory = NULL;
            staging->bytes = 0;
        }
        staging->recent_bytes = 0;
    }
}

void norn_instance_settle(norn_instance *instance) {
    if (instance->runs < NORN_TRIM_EVERY) return;
    instance->runs = 0;
    if (enter(instance) != NORN_OK) return;
    norn_frame_reset(instance->frame); // outputs are not read any more
    norn_frame_trim(instance->frame);
    norn_blocks_trim(&instance->room.blocks);
    norn_scratch_trim(&instance->room.at[NORN_HOST].scratch[0]);
    trim_staging(instance);
}

norn_status norn_instance_input(norn_instance *instance, size_t index, int32_t rank,
                                const int64_t *dims, void **data) {
    const norn_port *port = norn_plan_input(instance->plan, index);
    size_t bytes;
    *data = NULL;
    if (!port) return norn_fail(NORN_INVALID_ARGUMENT, "the model has no input %zu", index);
    if (rank < 0 || rank > NORN_MAX_RANK || (port->rank >= 0 && rank != port->rank))
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': it has %d dim%s, the model expects %d",
                         port->name, rank, norn_plural(rank), port->rank);
    norn_view view = norn_view_of(port->dtype, rank, dims, NULL);
    norn_status status = norn_view_bytes(&view, &bytes);
    if (status != NORN_OK) {
        norn_note("input '%s'", port->name);
        return status;
    }
    NORN_TRY(grow_staging(instance, index, bytes));
    const norn_staging *staging = &instance->staging[index];
    norn_unpoison(staging->memory, bytes);
    norn_poison((char *)staging->memory + bytes, staging->bytes - bytes);
    view.data = staging->memory;
    instance->given[index] = view;
    instance->is_given[index] = true;
    *data = view.data;
    return NORN_OK;
}

// ---- runs

static norn_status run_on_host(norn_instance *instance, const norn_view *inputs) {
    norn_frame *frame = instance->frame;
    NORN_TRY(norn_frame_bind(frame, inputs));
    int64_t begin = norn_clock_now_ns();
    if (instance->room.trace) NORN_TRY(norn_trace_start(instance->room.trace));
    NORN_TRY(norn_frame_run(frame));
    instance->phases = (norn_run_phases){.compute_ns = norn_clock_now_ns() - begin, .measured = 1};
    for (uint32_t i = 0; i < instance->plan->graph->output_count; i++)
        instance->outputs[i] = *norn_frame_output(frame, i);
    if (instance->room.trace) NORN_TRY(norn_trace_finish(instance->room.trace));
    return NORN_OK;
}

/// Views of this run's tables go where a device's kernels read them, when they changed.
static norn_status place_views(norn_run_room *room, norn_place place, const norn_table_set *set) {
    norn_room_place *at = &room->at[place];
    at->tables = set->at[place].tables;
    at->host_views = set->at[place].views;
    if (!at->views || at->views_of == set->id) return NORN_OK;
    at->views_of = 0;
    NORN_TRY(norn_room_enter(room, place));
    NORN_TRY(at->device->ops->copy(at->device, at->stream, at->views, at->host_views,
                                   room->table_count * sizeof *at->views));
    at->views_of = set->id;
    return NORN_OK;
}

/// The tables of this run.
static norn_status use_tables(norn_instance *instance, const norn_table_set *tables) {
    norn_run_room *room = &instance->room;
    room->at[NORN_HOST].tables = tables->host;
    room->tables_layout = tables->layout;
    room->gather = NULL;
    if (tables->has_elsewhere) {
        if (!instance->gather) NORN_TRY(norn_gather_create(room, &instance->gather));
        NORN_TRY(norn_gather_use(instance->gather, tables));
        room->gather = instance->gather;
    }
    for (norn_place p = 1; p < room->place_count; p++) NORN_TRY(place_views(room, p, tables));
    return NORN_OK;
}

norn_status norn_instance_execute(norn_instance *instance, const norn_view *inputs,
                                  const norn_table_set *tables) {
    norn_run_room *room = &instance->room;
    NORN_TRY(enter(instance));
    NORN_TRY(use_tables(instance, tables));
    if (instance->trace_on && !instance->trace)
        NORN_TRY(norn_trace_create(instance->frame, &instance->trace));
    room->trace = instance->trace_on ? instance->trace : NULL;
    norn_scratch_settle(&room->at[NORN_HOST].scratch[0]);
    instance->runs++;
    if (instance->device_run)
        NORN_TRY(norn_device_run_execute(instance->device_run, inputs, instance->outputs,
                                         &instance->phases));
    else
        NORN_TRY(run_on_host(instance, inputs));
    for (uint32_t i = 0; i < instance->plan->graph->output_count; i++) {
        instance->answers[i] = instance->outputs[i];
        if (instance->plan->outputs[i].squeezed) norn_view_squeeze(&instance->answers[i]);
    }
    return NORN_OK;
}

bool norn_instance_fall_back(norn_instance *instance, uint32_t index) {
    const norn_view *fallback = instance->plan->graph->inputs[index]->fallback;
    if (fallback) instance->given[index] = *fallback;
    return fallback != NULL;
}

norn_status norn_instance_run(norn_instance *instance) {
    for (uint32_t i = 0; i < instance->plan->graph->input_count; i++)
        if (!instance->is_given[i] && !norn_instance_fall_back(instance, i))
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' is missing",
                             instance->plan->inputs[i].name);
    norn_table_set *tables = norn_session_pin_tables(instance->session);
    norn_status status = norn_instance_execute(instance, instance->given, tables);
    norn_table_set_release(tables);
    return status;
}

const norn_view *norn_instance_output(const norn_instance *instance, size_t index) {
    return index < instance->plan->graph->output_count ? &instance->answers[index] : NULL;
}

void norn_instance_trace_enable(norn_instance *instance, int enable) {
    instance->trace_on = enable != 0;
}

size_t norn_instance_trace(const norn_instance *instance, const norn_step_trace **steps) {
    *steps = instance->trace ? instance->trace->steps : NULL;
    return instance->trace ? instance->plan->program->step_count : 0;
}

norn_run_phases norn_instance_phases(const norn_instance *instance) {
    return instance->phases;
}
