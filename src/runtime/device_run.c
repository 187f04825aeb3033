#include "runtime/device_run.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "runtime/capture_cache.h"
#include "runtime/step_graph.h"
#include "runtime/trace.h"
#include "tensor/dtype.h"

#include <string.h>

enum {
    /// Inputs from this size are copied from where they lie, not gathered first.
    DIRECT_BYTES = 256 << 10,
    PHASE_EVERY = 16, ///< runs between measurements of phases
};

struct norn_device_run {
    norn_frame *frame;
    norn_device *device;
    norn_arena arena;
    const norn_row_safety *safety; ///< of the plan
    bool pads, captures;
    int64_t *actual; ///< symbol values of the caller's shapes
    char *in, *out;  ///< staging: all inputs side by side, all outputs
    size_t in_capacity, out_capacity;
    norn_capture_cache cache;
    norn_event *events[6]; ///< begin, inputs in, steps done, outputs out; two to time graphs by
    uint64_t runs;
    norn_run_phases measured; ///< of the last run whose phases were measured
};

// ---- making

static bool can_capture(const norn_frame *frame) {
    const norn_program *program = frame->program;
    const norn_device_ops *ops = frame->room->device->ops;
    if (!ops->capture_begin || !ops->capture_end || !ops->capture_launch) return false;
    if (program->has_pooled || program->host_steps > 0) return false;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        // A copy from the caller's memory has another address every time.
        if (step->kind == NORN_STEP_COPY && !program->slots[step->in[0]].on_device) return false;
    }
    return true;
}

norn_status norn_device_run_create(norn_frame *frame, norn_device_run **out) {
    const norn_graph *graph = frame->program->graph;
    norn_alloc alloc = frame->room->alloc;
    norn_device_run *run = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &run));
    run->frame = frame;
    run->device = frame->room->device;
    norn_arena_init(&run->arena, alloc, 1 << 14);
    norn_capture_cache_init(&run->cache, run->device, (uint32_t)graph->symbols.count, alloc);
    run->captures = can_capture(frame);
    run->safety = &frame->program->rows;
    for (int32_t i = 0; i < graph->symbols.count; i++)
        run->pads |= run->captures && run->safety->symbol[i];
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&run->arena, (size_t)graph->symbols.count + 1, &run->actual));
    for (int i = 0; i < 6 && run->device->ops->event_create; i++)
        NORN_TRY_DONE(run->device->ops->event_create(run->device, &run->events[i]));
    *out = run;
    run = NULL;
done:
    norn_device_run_destroy(run);
    return status;
}

void norn_device_run_destroy(norn_device_run *run) {
    if (!run) return;
    const norn_device_ops *ops = run->device->ops;
    norn_capture_cache_deinit(&run->cache);
    for (int i = 0; i < 6; i++)
        if (run->events[i]) ops->event_destroy(run->device, run->events[i]);
    norn_room_give(run->frame->room, NORN_PLACE_STAGING, run->in, run->in_capacity);
    norn_room_give(run->frame->room, NORN_PLACE_STAGING, run->out, run->out_capacity);
    norn_arena_deinit(&run->arena);
    norn_free(run->frame->room->alloc, run);
}

// ---- shapes

/// Few sizes, so that few graphs are captured; near enough that little is computed for nothing.
static int64_t bucket_of(int64_t value, int64_t max) {
    int64_t bucket = value <= 1 ? 1 : value <= 8 ? 8 : 32;
    while (bucket < value && bucket < INT64_MAX / 2) bucket *= 2;
    // The profile's own maximum is a bucket too.
    return max > 0 && value <= max && bucket > max ? max : bucket;
}

/// Symbol values of the caller's shapes, then those of the shapes that are run.
static norn_status choose_shapes(norn_device_run *run, const norn_view *inputs) {
    norn_frame *frame = run->frame;
    const norn_symbols *symbols = &frame->program->graph->symbols;
    NORN_TRY(norn_frame_read_symbols(frame, inputs));
    memcpy(run->actual, frame->incoming, (size_t)symbols->count * sizeof *run->actual);
    for (int32_t i = 0; run->pads && i < symbols->count; i++)
        if (run->safety->symbol[i])
            frame->incoming[i] = bucket_of(frame->incoming[i], symbols->at[i].max);
    if (run->pads) norn_symbols_eval(symbols, frame->incoming);
    return norn_frame_resolve(frame);
}

static size_t view_bytes(const norn_view *view) {
    size_t bytes = 0;
    int64_t elems = norn_view_elems(view);
    if (elems > 0) (void)norn_dtype_bytes(view->dtype, elems, &bytes);
    return bytes;
}

// ---- staging

static norn_status grow_staging(norn_device_run *run, char **block, size_t *capacity,
                                size_t bytes) {
    norn_run_room *room = run->frame->room;
    void *memory;
    if (bytes <= *capacity) return NORN_OK;
    NORN_TRY(norn_room_take(room, NORN_PLACE_STAGING, bytes, *capacity, &memory));
    norn_room_give(room, NORN_PLACE_STAGING, *block, *capacity);
    *block = memory;
    *capacity = bytes;
    return NORN_OK;
}

/// Fill [bytes, whole) after the actual elements of an input.
static void pad_input(const norn_view *view, norn_pad pad, const char *from, char *to, size_t bytes,
                      size_t whole) {
    size_t unit = norn_dtype_bits(view->dtype) / 8;
    if (pad == NORN_PAD_LAST_ROW && view->dims[0] > 0) unit = bytes / (size_t)view->dims[0];
    if (bytes == 0 || unit == 0 || unit > bytes) { // an empty batch
        memset(to + bytes, 0, whole - bytes);
        return;
    }
    // `from` holds the actual elements; `to` need not.
    for (size_t at = bytes; at < whole; at += unit)
        memcpy(to + at, from + bytes - unit, whole - at < unit ? whole - at : unit);
}

static norn_status send(norn_device_run *run, size_t begin, size_t end) {
    if (begin == end) return NORN_OK;
    return run->device->ops->copy(run->device, run->frame->room->stream,
                                  run->frame->device_arena + begin, run->in + begin, end - begin);
}

/// All inputs side by side in staging, then over in one copy; large ones
/// by themselves from where they lie.
static norn_status send_inputs(norn_device_run *run, const norn_view *inputs) {
    norn_frame *frame = run->frame;
    const norn_program *program = frame->program;
    size_t sent = 0, end = 0;
    if (run->in_capacity < frame->input_bytes) {
        size_t wanted = frame->layout.input_bytes > frame->input_bytes ? frame->layout.input_bytes
                                                                       : frame->input_bytes;
        NORN_TRY(grow_staging(run, &run->in, &run->in_capacity, wanted));
    }
    for (uint32_t i = 0; i < program->graph->input_count; i++) {
        uint32_t slot = program->device_inputs[i];
        if (slot == NORN_NO_SLOT) continue;
        size_t bytes = view_bytes(&inputs[i]), whole = view_bytes(&frame->slots[slot]),
               at = frame->input_offsets[i];
        const char *from = inputs[i].data;
        if (whole > bytes)
            pad_input(&inputs[i], run->safety->pads[i], from, run->in + at, bytes, whole);
        if (bytes >= DIRECT_BYTES) {
            NORN_TRY(send(run, sent, end));
            NORN_TRY(run->device->ops->copy(run->device, frame->room->stream,
                                            frame->device_arena + at, from, bytes));
            sent = at + bytes;
        } else if (bytes > 0) {
            memcpy(run->in + at, from, bytes);
        }
        end = at + whole;
    }
    return send(run, sent, end);
}

static norn_status fetch_outputs(norn_device_run *run) {
    norn_frame *frame = run->frame;
    if (frame->output_bytes == 0) return NORN_OK;
    if (run->out_capacity < frame->output_bytes) {
        size_t wanted = frame->layout.output_bytes > frame->output_bytes
                            ? frame->layout.output_bytes
                            : frame->output_bytes;
        NORN_TRY(grow_staging(run, &run->out, &run->out_capacity, wanted));
    }
    return run->device->ops->copy(run->device, frame->room->stream, run->out,
                                  frame->device_arena + frame->output_begin, frame->output_bytes);
}

/// Outputs of the caller's shapes: the first rows of what was computed.
static void describe_outputs(norn_device_run *run, norn_view *outputs) {
    const norn_frame *frame = run->frame;
    const norn_program *program = frame->program;
    for (uint32_t i = 0; i < program->graph->output_count; i++) {
        const norn_slot *slot = &program->slots[program->outputs[i]];
        outputs[i] = *norn_frame_output(frame, i);
        if (slot->kind == NORN_SLOT_POOLED || slot->kind == NORN_SLOT_CONST) continue;
        norn_shape_at(&slot->shape, run->actual, &outputs[i].rank, outputs[i].dims);
        if (frame->output_offsets[i] != SIZE_MAX)
            outputs[i].data = run->out + (frame->output_offsets[i] - frame->output_begin);
    }
}

// ---- steps

/// Record the steps; false, and no more tries, when one of them cannot be.
static bool capture(norn_device_run *run, norn_capture_entry *entry) {
    if (norn_step_graph_make(run->frame, &run->events[4], &entry->capture) == NORN_OK) return true;
    norn_log(NORN_LOG_WARN,
             "the steps cannot be captured in a graph and are launched one by one: %s",
             norn_message());
    run->captures = false;
    return false;
}

/// The first run of some shapes gives the work directly (which also loads what is lazy and sizes
/// the scratch), the second captures it, later ones launch that.
static norn_status run_steps(norn_device_run *run) {
    norn_frame *frame = run->frame;
    norn_run_room *room = frame->room;
    norn_capture_entry *entry;
    if (!run->captures || room->trace) return norn_frame_run(frame);
    NORN_TRY(norn_capture_cache_find(&run->cache, frame->symbols, frame->generation,
                                     room->tables_layout, &entry));
    if (entry->capture)
        return run->device->ops->capture_launch(run->device, entry->capture, room->stream);
    if (!entry->warm) {
        NORN_TRY(norn_frame_run(frame));
        entry->warm = true;
        return NORN_OK;
    }
    if (capture(run, entry))
        return run->device->ops->capture_launch(run->device, entry->capture, room->stream);
    return norn_frame_run(frame);
}

static norn_status mark(norn_device_run *run, int event, bool measured) {
    if (!measured) return NORN_OK;
    return run->device->ops->event_record(run->device, run->events[event],
                                          run->frame->room->stream);
}

static norn_status measure_phases(norn_device_run *run) {
    const norn_device_ops *ops = run->device->ops;
    norn_run_phases phases = {.measured = 1};
    NORN_TRY(ops->event_elapsed_ns(run->device, run->events[0], run->events[1], &phases.input_ns));
    NORN_TRY(
        ops->event_elapsed_ns(run->device, run->events[1], run->events[2], &phases.compute_ns));
    NORN_TRY(ops->event_elapsed_ns(run->device, run->events[2], run->events[3], &phases.output_ns));
    run->measured = phases;
    return NORN_OK;
}

/// A run of `ns` that was not measured, in the shares of the last one that was.
static norn_run_phases share_out(const norn_run_phases *measured, int64_t ns) {
    const double whole = (double)(measured->input_ns + measured->compute_ns + measured->output_ns);
    norn_run_phases phases = {0};
    if (whole > 0) {
        phases.input_ns = (int64_t)((double)ns * ((double)measured->input_ns / whole));
        phases.output_ns = (int64_t)((double)ns * ((double)measured->output_ns / whole));
    }
    phases.compute_ns = ns - phases.input_ns - phases.output_ns;
    return phases;
}

static norn_status give_work(norn_device_run *run, const norn_view *inputs, bool measured) {
    norn_trace *trace = run->frame->room->trace;
    NORN_TRY(mark(run, 0, measured));
    NORN_TRY(send_inputs(run, inputs));
    NORN_TRY(mark(run, 1, measured));
    if (trace) NORN_TRY(norn_trace_start(trace));
    NORN_TRY(run_steps(run));
    NORN_TRY(mark(run, 2, measured));
    NORN_TRY(fetch_outputs(run));
    return mark(run, 3, measured);
}

norn_status norn_device_run_execute(norn_device_run *run, const norn_view *inputs,
                                    norn_view *outputs, norn_run_phases *phases) {
    norn_frame *frame = run->frame;
    norn_run_room *room = frame->room;
    bool measured =
        run->events[3] && (room->trace || run->runs < 4 || run->runs % PHASE_EVERY == 0);
    run->runs++;
    norn_frame_reset(frame);
    NORN_TRY(choose_shapes(run, inputs));
    norn_frame_patch(frame, inputs); // for steps on the CPU; with these nothing is rounded up
    room->device_busy = true;
    const int64_t begin_ns = norn_clock_now_ns();
    norn_status status = give_work(run, inputs, measured);
    // Also after a failure: nothing may be in flight when the caller takes its memory back.
    norn_status waited = run->device->ops->stream_wait(run->device, room->stream);
    room->device_busy = false;
    NORN_TRY(status);
    NORN_TRY(waited);
    describe_outputs(run, outputs);
    const int64_t ns = norn_clock_now_ns() - begin_ns;
    if (measured) NORN_TRY(measure_phases(run));
    *phases = measured ? run->measured : share_out(&run->measured, ns);
    return room->trace ? norn_trace_finish(room->trace) : NORN_OK;
}
