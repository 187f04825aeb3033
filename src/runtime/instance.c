#include "runtime/instance.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "tensor/dtype.h"

#include <string.h>

// ---- making

static norn_status take_host(void *context, size_t bytes, void **out) {
    norn_run_room *room = context;
    return norn_alloc_bytes(room->alloc, bytes, out);
}
static void give_host(void *context, void *memory) {
    norn_run_room *room = context;
    norn_free(room->alloc, memory);
}
static norn_status take_device(void *context, size_t bytes, void **out) {
    norn_run_room *room = context;
    return room->device->ops->memory_create(room->device, NORN_MEMORY_DEVICE, bytes, out);
}
static void give_device(void *context, void *memory) {
    norn_run_room *room = context;
    room->device->ops->memory_destroy(room->device, NORN_MEMORY_DEVICE, memory);
}

/// Staging is pinned where the plan's device copies from it.
static norn_status take_staging(norn_instance *instance, size_t bytes, void **out) {
    norn_device *device = instance->plan->device;
    if (device)
        return device->ops->memory_create(device, NORN_MEMORY_STAGING, bytes ? bytes : 1, out);
    return norn_alloc_bytes(instance->alloc, bytes, out);
}

static void give_staging(norn_instance *instance, void *memory) {
    norn_device *device = instance->plan->device;
    if (!memory) return;
    if (device)
        device->ops->memory_destroy(device, NORN_MEMORY_STAGING, memory);
    else
        norn_free(instance->alloc, memory);
}

/// Room for every input at the profile's maximum, in one block; nothing for one without a maximum.
static norn_status make_staging(norn_instance *instance) {
    const norn_plan *plan = instance->plan;
    size_t total = 0;
    for (uint32_t i = 0; i < plan->graph->input_count; i++) {
        const norn_port *port = &plan->inputs[i];
        norn_view view =
            norn_view_of(port->dtype, port->rank < 0 ? 0 : port->rank, port->max_dims, NULL);
        norn_staging *staging = &instance->staging[i];
        for (int32_t d = 0; d < view.rank; d++)
            if (view.dims[d] < 0) view.dims[d] = 0;
        NORN_TRY(norn_view_bytes(&view, &staging->bytes));
        staging->bytes = norn_align_up(staging->bytes, NORN_DEVICE_ALIGN);
        if (!norn_size_add(total, staging->bytes, &total))
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "the inputs do not fit in memory");
    }
    NORN_TRY(take_staging(instance, total, &instance->staging_block));
    char *at = instance->staging_block;
    for (uint32_t i = 0; i < plan->graph->input_count; i++) {
        instance->staging[i].memory = at;
        at += instance->staging[i].bytes;
    }
    return NORN_OK;
}

static norn_status make_room(norn_instance *instance, int32_t threads) {
    norn_plan *plan = instance->plan;
    norn_run_room *room = &instance->room;
    room->alloc = instance->alloc;
    room->host = plan->host;
    room->device = plan->device;
    norn_blocks_init(&room->blocks, instance->alloc);
    norn_scratch_init(&room->host_scratch, (norn_scratch_source){take_host, give_host, room},
                      NORN_HOST_ALIGN);
    norn_scratch_init(&room->device_scratch, (norn_scratch_source){take_device, give_device, room},
                      NORN_DEVICE_ALIGN);
    NORN_TRY(norn_pool_create(threads, instance->alloc, &room->threads));
    room->table_count = plan->table_count;
    if (!plan->device) return NORN_OK;
    if (plan->device->ops->stream_create)
        NORN_TRY(plan->device->ops->stream_create(plan->device, &room->stream));
    if (plan->table_count)
        NORN_TRY(plan->device->ops->memory_create(plan->device, NORN_MEMORY_DEVICE,
                                                  plan->table_count * sizeof *room->views,
                                                  (void **)&room->views));
    return NORN_OK;
}

norn_status norn_instance_create(norn_session *session, norn_plan *plan, int32_t threads,
                                 norn_alloc alloc, norn_instance **out) {
    norn_instance *instance = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &instance));
    instance->session = session;
    instance->plan = plan;
    instance->alloc = alloc;
    NORN_TRY_DONE(norn_device_enter(plan->device));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->input_count, &instance->given));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->input_count, &instance->is_given));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->input_count, &instance->staging));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, plan->graph->output_count, &instance->outputs));
    NORN_TRY_DONE(make_room(instance, threads));
    NORN_TRY_DONE(make_staging(instance));
    NORN_TRY_DONE(norn_frame_create(plan->program, &instance->room, &instance->frame));
    if (plan->device) NORN_TRY_DONE(norn_device_run_create(instance->frame, &instance->device_run));
    *out = instance;
    instance = NULL;
done:
    norn_instance_destroy(instance);
    return status;
}

void norn_instance_destroy(norn_instance *instance) {
    if (!instance) return;
    norn_run_room *room = &instance->room;
    (void)norn_device_enter(instance->plan->device);
    norn_trace_destroy(instance->trace);
    norn_device_run_destroy(instance->device_run);
    norn_frame_destroy(instance->frame);
    for (uint32_t i = 0; instance->staging && i < instance->plan->graph->input_count; i++)
        if (instance->staging[i].own) give_staging(instance, instance->staging[i].memory);
    give_staging(instance, instance->staging_block);
    norn_blocks_deinit(&room->blocks);
    norn_scratch_deinit(&room->host_scratch);
    norn_scratch_deinit(&room->device_scratch);
    if (room->views)
        room->device->ops->memory_destroy(room->device, NORN_MEMORY_DEVICE, room->views);
    if (room->stream) room->device->ops->stream_destroy(room->device, room->stream);
    norn_pool_destroy(room->threads);
    norn_free(instance->alloc, instance->given);
    norn_free(instance->alloc, instance->is_given);
    norn_free(instance->alloc, instance->staging);
    norn_free(instance->alloc, instance->outputs);
    norn_free(instance->alloc, instance);
}

// ---- inputs

void norn_instance_clear(norn_instance *instance) {
    for (uint32_t i = 0; i < instance->plan->graph->input_count; i++) instance->is_given[i] = false;
}

norn_status norn_instance_input(norn_instance *instance, size_t index, int32_t rank,
                                const int64_t *dims, void **data) {
    const norn_port *port = norn_plan_input(instance->plan, index);
    size_t bytes;
    *data = NULL;
    if (!port) return norn_fail(NORN_INVALID_ARGUMENT, "the model has no input %zu", index);
    if (rank < 0 || rank > NORN_MAX_RANK || (port->rank >= 0 && rank != port->rank))
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': it has %d dims, the model expects %d",
                         port->name, rank, port->rank);
    norn_view view = norn_view_of(port->dtype, rank, dims, NULL);
    norn_status status = norn_view_bytes(&view, &bytes);
    if (status != NORN_OK) {
        norn_note("input '%s'", port->name);
        return status;
    }
    norn_staging *staging = &instance->staging[index];
    if (bytes > staging->bytes) {
        void *memory;
        NORN_TRY(norn_device_enter(instance->plan->device));
        NORN_TRY(take_staging(instance, bytes, &memory));
        if (staging->own) give_staging(instance, staging->memory);
        *staging = (norn_staging){memory, bytes, true};
    }
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

/// The tables of this run; on a device their views go where its kernels read them, when they changed.
static norn_status use_tables(norn_run_room *room, const norn_table_set *tables) {
    room->host_tables = tables->host;
    room->device_tables = tables->device;
    room->tables_layout = tables->layout;
    if (!room->views || room->views_of == tables->id) return NORN_OK;
    room->views_of = 0;
    NORN_TRY(room->device->ops->copy(room->device, room->stream, room->views, tables->views,
                                     room->table_count * sizeof *room->views));
    room->views_of = tables->id;
    return NORN_OK;
}

norn_status norn_instance_execute(norn_instance *instance, const norn_view *inputs,
                                  const norn_table_set *tables) {
    norn_run_room *room = &instance->room;
    NORN_TRY(norn_device_enter(instance->plan->device));
    NORN_TRY(use_tables(room, tables));
    if (instance->trace_on && !instance->trace)
        NORN_TRY(norn_trace_create(instance->frame, &instance->trace));
    room->trace = instance->trace_on ? instance->trace : NULL;
    NORN_TRY(norn_scratch_settle(&room->host_scratch));
    if (!instance->device_run) return run_on_host(instance, inputs);
    return norn_device_run_execute(instance->device_run, inputs, instance->outputs,
                                   &instance->phases);
}

norn_status norn_instance_run(norn_instance *instance) {
    for (uint32_t i = 0; i < instance->plan->graph->input_count; i++)
        if (!instance->is_given[i])
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' is missing",
                             instance->plan->inputs[i].name);
    norn_table_set *tables = norn_session_pin_tables(instance->session);
    norn_status status = norn_instance_execute(instance, instance->given, tables);
    norn_table_set_release(tables);
    return status;
}

const norn_view *norn_instance_output(const norn_instance *instance, size_t index) {
    return index < instance->plan->graph->output_count ? &instance->outputs[index] : NULL;
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
