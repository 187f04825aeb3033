#include "runtime/trace.h"
#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

static bool on_stream(const norn_trace *trace, uint32_t step) {
    const norn_step *s = &trace->frame->program->steps[step];
    return trace->start && (s->on_device || s->kind == NORN_STEP_COPY);
}

static norn_status make_origin(norn_trace *trace, norn_arena *arena, uint32_t index) {
    const norn_step *step = &trace->frame->program->steps[index];
    norn_step_trace *out = &trace->steps[index];
    *out = (norn_step_trace){.op = step->kind == NORN_STEP_COPY ? "Copy" : step->node->op->name,
                             .origin = ""};
    out->device = step->on_device || step->kind == NORN_STEP_COPY
                      ? trace->frame->room->device->target.ops->kind
                      : "cpu";
    if (!step->node || step->node->origin.count == 0) return NORN_OK;
    const norn_origin *origin = &step->node->origin;
    size_t count = 1;
    for (uint32_t i = 0; i < origin->count; i++) count += strlen(origin->names[i]) + 1;
    char *text;
    NORN_TRY(norn_arena_take(arena, count, 1, 1, (void **)&text));
    out->origin = text;
    for (uint32_t i = 0; i < origin->count; i++) {
        size_t bytes = strlen(origin->names[i]);
        if (i) *text++ = ',';
        memcpy(text, origin->names[i], bytes);
        text += bytes;
    }
    return NORN_OK;
}

static norn_status make_events(norn_trace *trace, norn_arena *arena) {
    norn_device *device = trace->frame->room->device;
    uint32_t count = trace->frame->program->step_count;
    if (!device || !device->ops->event_create) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)count + 1, &trace->before));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)count + 1, &trace->after));
    NORN_TRY(device->ops->event_create(device, &trace->start));
    for (uint32_t i = 0; i < count; i++) {
        if (!on_stream(trace, i)) continue;
        NORN_TRY(device->ops->event_create(device, &trace->before[i]));
        NORN_TRY(device->ops->event_create(device, &trace->after[i]));
    }
    return NORN_OK;
}

norn_status norn_trace_create(norn_frame *frame, norn_trace **out) {
    norn_trace *trace = NULL;
    norn_arena *arena = &frame->arena; // once an instance; the text lives as long as the frame
    uint32_t count = frame->program->step_count;
    norn_status status;
    *out = NULL;
    NORN_TRY_DONE(NORN_NEW(frame->room->alloc, &trace));
    trace->frame = frame;
    NORN_TRY_DONE(NORN_TAKE_ARRAY(arena, (size_t)count + 1, &trace->steps));
    for (uint32_t i = 0; i < count; i++) NORN_TRY_DONE(make_origin(trace, arena, i));
    NORN_TRY_DONE(make_events(trace, arena));
    *out = trace;
    trace = NULL;
done:
    norn_trace_destroy(trace);
    return status;
}

void norn_trace_destroy(norn_trace *trace) {
    if (!trace) return;
    norn_device *device = trace->frame->room->device;
    for (uint32_t i = 0; trace->after && i < trace->frame->program->step_count; i++) {
        if (trace->before[i]) device->ops->event_destroy(device, trace->before[i]);
        if (trace->after[i]) device->ops->event_destroy(device, trace->after[i]);
    }
    if (trace->start) device->ops->event_destroy(device, trace->start);
    norn_free(trace->frame->room->alloc, trace);
}

static norn_status record(norn_trace *trace, norn_event *event) {
    norn_run_room *room = trace->frame->room;
    return room->device->ops->event_record(room->device, event, room->stream);
}

norn_status norn_trace_start(norn_trace *trace) {
    if (trace->start) NORN_TRY(record(trace, trace->start));
    trace->start_ns = norn_clock_now_ns();
    return NORN_OK;
}

norn_status norn_trace_begin(norn_trace *trace, uint32_t step) {
    if (on_stream(trace, step)) return record(trace, trace->before[step]);
    trace->steps[step].begin_ns = norn_clock_now_ns() - trace->start_ns;
    return NORN_OK;
}

norn_status norn_trace_end(norn_trace *trace, uint32_t step) {
    if (on_stream(trace, step)) return record(trace, trace->after[step]);
    trace->steps[step].end_ns = norn_clock_now_ns() - trace->start_ns;
    return NORN_OK;
}

static void note_cost(norn_trace *trace, uint32_t index) {
    const norn_frame_step *own = &trace->frame->steps[index];
    norn_step_trace *out = &trace->steps[index];
    norn_cost cost = {0};
    if (own->step->kind == NORN_STEP_KERNEL && own->step->node->op->cost)
        own->step->node->op->cost(own->call.attrs, own->call.region, own->in, own->call.in_count,
                                  own->out, own->call.out_count, &cost);
    size_t bytes = 0;
    if (own->step->kind != NORN_STEP_KERNEL && norn_view_bytes(&own->in[0], &bytes) == NORN_OK)
        cost.bytes = 2.0 * (double)bytes;
    out->flops = cost.flops;
    out->bytes = cost.bytes;
}

norn_status norn_trace_finish(norn_trace *trace) {
    norn_device *device = trace->frame->room->device;
    for (uint32_t i = 0; i < trace->frame->program->step_count; i++) {
        norn_step_trace *out = &trace->steps[i];
        note_cost(trace, i);
        if (!on_stream(trace, i)) continue;
        NORN_TRY(
            device->ops->event_elapsed_ns(device, trace->start, trace->before[i], &out->begin_ns));
        NORN_TRY(
            device->ops->event_elapsed_ns(device, trace->start, trace->after[i], &out->end_ns));
    }
    return NORN_OK;
}
