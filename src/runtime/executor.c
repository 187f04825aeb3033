#include "runtime/executor.h"
#include "base/clock.h"
#include "ops/op.h"
#include "runtime/frame_guard.h"
#include "runtime/gather.h"
#include "runtime/lanes.h"
#include "runtime/trace.h"
#include "tensor/dtype.h"

#include <string.h>

// ---- what kernels ask for

/// What is known of a pooled value's shape, inferred or declared, must be what came:
/// passes and other steps go by it.
static norn_status check_known(const norn_frame *frame, uint32_t slot, const norn_view *view) {
    const norn_slot *known = &frame->program->slots[slot];
    char text[NORN_VIEW_TEXT], dim[NORN_DIM_TEXT];
    if (known->shape.rank < 0) return NORN_OK;
    if (known->shape.rank != view->rank)
        return norn_fail(NORN_INVALID_ARGUMENT, "'%s' came out as %s, the model declares rank %d",
                         known->value->name, norn_view_text(view, text), known->shape.rank);
    for (int32_t d = 0; d < view->rank; d++) {
        norn_dim said = known->shape.dims[d];
        if (said.symbol >= 0 && frame->symbols[said.symbol] < 0) continue;
        if (norn_dim_eval(said, frame->symbols) == view->dims[d]) continue;
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "'%s' came out as %s, but its dim %d must be %s for these inputs",
                         known->value->name, norn_view_text(view, text), d,
                         norn_dim_text(&frame->program->graph->symbols, said, dim));
    }
    return NORN_OK;
}

/// Room for `view` in the pool, held by the slot. A block that it holds
/// already is kept if it is enough.
static norn_status take_block(norn_frame *frame, uint32_t slot, norn_view *view) {
    norn_blocks *blocks = &frame->room->blocks;
    size_t bytes;
    NORN_TRY(norn_view_bytes(view, &bytes));
    NORN_TRY(check_known(frame, slot, view));
    norn_block *held = frame->blocks[slot];
    if (!held || norn_block_bytes(held) < bytes) {
        norn_blocks_give(blocks, held);
        frame->blocks[slot] = NULL;
        NORN_TRY(norn_blocks_take(blocks, bytes, &frame->blocks[slot]));
    }
    norn_block_use(frame->blocks[slot], bytes);
    view->data = norn_block_data(frame->blocks[slot]);
    frame->slots[slot] = *view;
    return NORN_OK;
}

static norn_status on_output(norn_call *call, uint32_t index, norn_dtype dtype, int32_t rank,
                             const int64_t *dims) {
    norn_frame_step *own = (norn_frame_step *)(void *)call;
    norn_frame *frame = own->frame;
    uint32_t slot = index < own->step->out_count ? own->step->out[index] : NORN_NO_SLOT;
    if (slot == NORN_NO_SLOT) return NORN_OK; // nobody reads it: the view stays NONE
    norn_view view = norn_view_of(dtype, rank, dims, NULL);
    if (frame->program->slots[slot].kind == NORN_SLOT_POOLED) {
        NORN_TRY(take_block(frame, slot, &view));
        own->out[index] = view;
        return NORN_OK;
    }
    if (norn_view_same_shape(&view, &own->out[index]) && dtype == own->out[index].dtype)
        return NORN_OK;
    char made[NORN_VIEW_TEXT], planned[NORN_VIEW_TEXT];
    return norn_fail(NORN_INVALID_ARGUMENT, "output %u came out as %s, its shape says %s", index,
                     norn_view_text(&view, made), norn_view_text(&own->out[index], planned));
}

static uint32_t index_of(const norn_frame_step *own) {
    return (uint32_t)(own - own->frame->steps);
}

/// The lane of its place that a step goes to.
static uint32_t lane_of(const norn_frame_step *own) {
    return own->step->place ? norn_lane_of(own->frame, index_of(own)) : 0;
}

/// Scratch on a device is in use until the stream has come by, but later steps
/// of the same lane come after that.
static norn_scratch *scratch_of(const norn_frame_step *own) {
    return &own->frame->room->at[own->step->place].scratch[lane_of(own)];
}

static norn_status on_scratch(norn_call *call, size_t bytes, void **out) {
    norn_frame_step *own = (norn_frame_step *)(void *)call;
    norn_scratch *scratch = scratch_of(own);
    return norn_scratch_take(scratch, bytes, out);
}

static norn_status on_body(norn_call *call, uint32_t body, const norn_view *in, uint32_t in_count,
                           norn_view *out, uint32_t out_count) {
    norn_frame_step *own = (norn_frame_step *)(void *)call;
    if (body >= own->step->body_count) return norn_fail(NORN_INTERNAL, "it has no body %u", body);
    norn_frame *frame = own->bodies[body];
    const norn_graph *graph = frame->program->graph;
    if (in_count != graph->input_count || out_count != graph->output_count)
        return norn_fail(NORN_INTERNAL, "body %u takes %u and gives %u, not %u and %u", body,
                         graph->input_count, graph->output_count, in_count, out_count);
    norn_status status = norn_frame_bind(frame, in);
    if (status == NORN_OK) status = norn_frame_run(frame);
    if (status == NORN_OK && frame->program->target) // what it gives is being copied to the host
        status = norn_room_wait(frame->room, NORN_HOST);
    if (status != NORN_OK) {
        own->in_body = true;
        return status;
    }
    for (uint32_t i = 0; i < out_count; i++) out[i] = *norn_frame_output(frame, i);
    return NORN_OK;
}

const norn_call_host norn_executor_host = {on_output, on_scratch, on_body};

// ---- steps

/// Sizes of pooled outputs, from the shape function and the inputs at hand.
static norn_status infer_outputs(norn_frame *frame, norn_frame_step *own) {
    const norn_step *step = own->step;
    for (uint32_t k = 0; k < step->out_count; k++)
        if (step->out[k] != NORN_NO_SLOT)
            own->out[k] = (norn_view){.dtype = frame->program->slots[step->out[k]].dtype};
    NORN_TRY(norn_step_shapes(step->node, own->in, step->in_count, own->out, step->out_count,
                              frame->shapes));
    for (uint32_t k = 0; k < step->out_count; k++) {
        uint32_t slot = step->out[k];
        if (slot == NORN_NO_SLOT) continue;
        if (frame->program->slots[slot].kind != NORN_SLOT_POOLED)
            own->out[k] = frame->slots[slot];
        else if (own->out[k].rank >= 0)
            NORN_TRY(take_block(frame, slot, &own->out[k]));
    }
    return NORN_OK;
}

/// The planned shapes are what somebody said: see whether these inputs give the same.
static norn_status check_declared(norn_frame *frame, norn_frame_step *own) {
    const norn_step *step = own->step;
    norn_view *made = own->checked;
    for (uint32_t k = 0; k < step->out_count; k++)
        made[k] = (norn_view){.dtype = own->out[k].dtype};
    NORN_TRY(norn_step_shapes(step->node, own->in, step->in_count, made, step->out_count,
                              frame->shapes));
    for (uint32_t k = 0; k < step->out_count; k++) {
        if (!norn_view_present(&own->out[k]) || made[k].rank < 0)
            continue; // the kernel's own word is checked too
        if (frame->program->slots[step->out[k]].kind == NORN_SLOT_POOLED ||
            norn_view_same_shape(&made[k], &own->out[k]))
            continue;
        char is[NORN_VIEW_TEXT], said[NORN_VIEW_TEXT];
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "output %u is %s for these inputs, the model declares %s", k,
                         norn_view_text(&made[k], is), norn_view_text(&own->out[k], said));
    }
    return NORN_OK;
}

static norn_status check_sized(const norn_frame *frame, const norn_frame_step *own) {
    for (uint32_t k = 0; k < own->step->out_count; k++)
        if (own->step->out[k] != NORN_NO_SLOT && own->out[k].rank < 0)
            return norn_fail(NORN_INTERNAL, "its kernel gave output %u no size", k);
    (void)frame;
    return NORN_OK;
}

static norn_status run_kernel(norn_frame *frame, norn_frame_step *own) {
    const norn_step *step = own->step;
    norn_run_room *room = frame->room;
    const norn_room_place *at = &room->at[step->place];
    if (own->empty) return NORN_OK;
    if (step->dynamic) {
        for (uint32_t k = 0; k < step->in_count; k++)
            if (step->in[k] != NORN_NO_SLOT) own->in[k] = frame->slots[step->in[k]];
        if (step->infer) NORN_TRY(infer_outputs(frame, own));
    }
    if (step->check) NORN_TRY(check_declared(frame, own));
    own->call.tables = at->tables;
    own->call.views = at->views;
    own->call.table_count = room->table_count;
    own->call.stream = at->lane[lane_of(own)];
    norn_scratch *scratch = scratch_of(own);
    norn_scratch_mark mark = norn_scratch_save(scratch);
    norn_status status = step->kernel(&own->call);
    norn_scratch_restore(scratch, mark);
    if (status == NORN_OK && step->infer) status = check_sized(frame, own);
    return status;
}

static void copy_rows(norn_frame_step *own) {
    const norn_view *from = &own->in[0], *to = &own->out[0];
    size_t row_bytes = 0, stride = 0;
    (void)norn_dtype_bytes(to->dtype, to->dims[1], &row_bytes);
    (void)norn_dtype_bytes(to->dtype, to->row_stride, &stride);
    for (int64_t r = 0; r < to->dims[0]; r++)
        memcpy((char *)to->data + (size_t)r * stride,
               (const char *)from->data + (size_t)r * row_bytes, row_bytes);
}

// ---- copies between places

/// What `to` is given from now on comes after all that `from` was given so far.
static norn_status let_follow(norn_room_place *from, norn_room_place *to) {
    NORN_TRY(norn_device_enter(from->device));
    NORN_TRY(from->device->ops->event_record(from->device, from->passed, from->stream));
    NORN_TRY(norn_device_enter(to->device));
    return to->device->ops->event_wait(to->device, to->stream, from->passed);
}

static norn_status run_copy(norn_frame *frame, norn_frame_step *own) {
    norn_run_room *room = frame->room;
    const norn_place from = frame->program->slots[own->step->in[0]].place,
                     to = frame->program->slots[own->step->out[0]].place;
    norn_room_place *at = &room->at[own->step->place], *source = &room->at[from];
    void *into = own->out[0].data, *data = own->in[0].data;
    size_t bytes;
    NORN_TRY(norn_view_bytes(&own->in[0], &bytes));
    at->busy = true;
    if (bytes == 0) return NORN_OK;
    if (from == to || from == NORN_HOST || to == NORN_HOST) {
        // Host memory may still be read or written by other devices.
        if (from != to) NORN_TRY(norn_room_wait(room, own->step->place));
        NORN_TRY(norn_room_enter(room, own->step->place));
        return at->device->ops->copy(at->device, at->lane[lane_of(own)], into, data, bytes);
    }
    NORN_TRY(let_follow(source, at));
    NORN_TRY(at->device->ops->copy_peer(at->device, at->stream, into, source->device, data, bytes));
    return let_follow(at, source); // which may write there again, but after it was read
}

/// The one place where a run's message gets the node's name: kernels, shapes, memory and devices fail
/// without knowing for whom. What fails in a body has the name of the body's node by then.
static norn_status name_step(norn_frame_step *own, norn_status status) {
    const char *name = own->call.name;
    if (status == NORN_OK) return status;
    if (name && *name) norn_note("%snode '%s'", own->in_body ? "body of " : "", name);
    own->in_body = false;
    return status;
}

/// Waiting comes before: what a device finds late is an older step's, and says so.
static norn_status run_step(norn_frame *frame, norn_frame_step *own) {
    const norn_step *step = own->step;
    norn_run_room *room = frame->room;
    if (step->kind == NORN_STEP_COPY) return name_step(own, run_copy(frame, own));
    if (step->place)
        room->at[step->place].busy = true;
    else
        NORN_TRY(norn_room_wait(room, NORN_HOST));
    NORN_TRY(norn_room_enter(room, step->place));
    if (step->kind == NORN_STEP_PLACE)
        copy_rows(own);
    else
        NORN_TRY(name_step(own, run_kernel(frame, own)));
    for (uint32_t i = 0; i < own->release_count; i++) {
        uint32_t slot = own->release[i];
        norn_blocks_give(&room->blocks, frame->blocks[slot]);
        frame->blocks[slot] = NULL;
    }
    return NORN_OK;
}

norn_status norn_frame_run(norn_frame *frame) {
    const norn_program *program = frame->program;
    norn_trace *trace = frame->room->trace;
    const bool laned = frame->room->laned;
    norn_gather *gather = frame->room->gather;
    if (trace && trace->frame != frame) trace = NULL; // bodies are part of their step
    if (laned) NORN_TRY(norn_lanes_fork(frame));
    norn_guard_run(frame);
    if (gather) NORN_TRY(norn_gather_begin(gather, frame));
    for (uint32_t i = 0; i < program->step_count; i++) {
        if (trace) NORN_TRY(norn_trace_begin(trace, i));
        if (laned) NORN_TRY(norn_lanes_before(frame, i));
        norn_guard_step(frame, i, true);
        norn_status status = NORN_OK;
        if (gather) status = name_step(&frame->steps[i], norn_gather_before(gather, frame, i));
        if (status == NORN_OK) status = run_step(frame, &frame->steps[i]);
        norn_guard_step(frame, i, false);
        NORN_TRY(status);
        if (laned) NORN_TRY(norn_lanes_after(frame, i));
        if (trace) NORN_TRY(norn_trace_end(trace, i));
    }
    return laned ? norn_lanes_join(frame) : NORN_OK;
}
