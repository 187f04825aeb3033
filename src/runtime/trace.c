#include "runtime/trace.h"
#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

static bool on_stream(const norn_trace *trace, uint32_t step) {
    const norn_step *s = &trace->frame->program->steps[step];
    return s->place && trace->start[s->place];
}

static norn_status make_origin(norn_trace *trace, norn_arena *arena, uint32_t index) {
    const norn_step *step = &trace->frame->program->steps[index];
    norn_step_trace *out = &trace->steps[index];
    *out = (norn_step_trace){.op = step->kind == NORN_STEP_COPY ? "Copy" : step->node->op->name,
                             .origin = ""};
    out->device = trace->frame->room->at[step->place].device->target.ops->kind;
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
    norn_run_room *room = trace->frame->room;
    uint32_t count = trace->frame->program->step_count;
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)count + 1, &trace->before));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)count + 1, &trace->after));
    for (norn_place p = 1; p < room->place_count; p++) {
        norn_device *device = room->at[p].device;
        if (!device->ops->event_create) continue;
        NORN_TRY(norn_room_enter(room, p));
        NORN_TRY(device->ops->event_create(device, &trace->start[p]));
        for (uint32_t i = 0; i < count; i++) {
            if (trace->frame->program->steps[i].place != p) continue;
            NORN_TRY(device->ops->event_create(device, &trace->before[i]));
            NORN_TRY(device->ops->event_create(device, &trace->after[i]));
        }
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
    norn_run_room *room = trace->frame->room;
    for (uint32_t i = 0; trace->after && i < trace->frame->program->step_count; i++) {
        const norn_place place = trace->frame->program->steps[i].place;
        norn_device *device = room->at[place].device;
        (void)norn_room_enter(room, place);
        if (trace->before[i]) device->ops->event_destroy(device, trace->before[i]);
        if (trace->after[i]) device->ops->event_destroy(device, trace->after[i]);
    }
    for (norn_place p = 1; p < room->place_count; p++) {
        (void)norn_room_enter(room, p);
        if (trace->start[p])
            room->at[p].device->ops->event_destroy(room->at[p].device, trace->start[p]);
    }
    norn_free(trace->frame->room->alloc, trace);
}

static norn_status record(norn_trace *trace, norn_place place, norn_event *event) {
    norn_run_room *room = trace->frame->room;
    norn_room_place *at = &room->at[place];
    NORN_TRY(norn_room_enter(room, place));
    return at->device->ops->event_record(at->device, event, at->stream);
}

norn_status norn_trace_start(norn_trace *trace) {
    for (norn_place p = 1; p < trace->frame->room->place_count; p++)
        if (trace->start[p]) NORN_TRY(record(trace, p, trace->start[p]));
    trace->start_ns = norn_clock_now_ns();
    return NORN_OK;
}

norn_status norn_trace_begin(norn_trace *trace, uint32_t step) {
    if (on_stream(trace, step))
        return record(trace, trace->frame->program->steps[step].place, trace->before[step]);
    trace->steps[step].begin_ns = norn_clock_now_ns() - trace->start_ns;
    return NORN_OK;
}

norn_status norn_trace_end(norn_trace *trace, uint32_t step) {
    if (on_stream(trace, step))
        return record(trace, trace->frame->program->steps[step].place, trace->after[step]);
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
    for (uint32_t i = 0; i < trace->frame->program->step_count; i++) {
        const norn_place place = trace->frame->program->steps[i].place;
        norn_device *device = trace->frame->room->at[place].device;
        norn_step_trace *out = &trace->steps[i];
        norn_event *start = trace->start[place];
        note_cost(trace, i);
        if (!on_stream(trace, i)) continue;
        NORN_TRY(device->ops->event_elapsed_ns(device, start, trace->before[i], &out->begin_ns));
        NORN_TRY(device->ops->event_elapsed_ns(device, start, trace->after[i], &out->end_ns));
    }
    return NORN_OK;
}
