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

/// Staging of one device: all inputs that it reads side by side, all outputs that it makes.
typedef struct device_ends {
    char *in, *out;
    size_t in_capacity, out_capacity;
} device_ends;

struct norn_device_run {
    norn_frame *frame;
    norn_device *device; ///< the first
    norn_arena arena;
    const norn_row_safety *safety; ///< of the plan
    bool pads, captures;
    int64_t *actual; ///< symbol values of the caller's shapes
    device_ends ends[NORN_PLACES_MAX];
    norn_capture_cache cache;
    norn_event *events[6]; ///< begin, inputs in, steps done, outputs out; two to time graphs by
    uint64_t runs;
    norn_run_phases measured; ///< of the last run whose phases were measured
};

// ---- making

static bool can_capture(const norn_frame *frame) {
    const norn_program *program = frame->program;
    const norn_device_ops *ops = frame->room->at[1].device->ops;
    if (program->place_count > 2) return false; // a graph is of one device
    if (!ops->capture_begin || !ops->capture_end || !ops->capture_launch) return false;
    if (program->has_pooled || program->host_steps > 0) return false;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        // A copy from the caller's memory has another address every time.
        if (step->kind == NORN_STEP_COPY && program->slots[step->in[0]].place == NORN_HOST)
            return false;
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
    run->device = frame->room->at[1].device;
    norn_arena_init(&run->arena, alloc, 1 << 14);
    norn_capture_cache_init(&run->cache, run->device, (uint32_t)graph->symbols.count, alloc);
    run->captures = can_capture(frame);
    run->safety = &frame->program->rows;
    for (int32_t i = 0; i < graph->symbols.count; i++)
        run->pads |= run->captures && run->safety->symbol[i];
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&run->arena, (size_t)graph->symbols.count + 1, &run->actual));
    // Phases are those of one device; several are timed by the clock.
    const bool times = run->device->ops->event_create && frame->program->place_count == 2;
    for (int i = 0; i < 6 && times; i++)
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
    for (norn_place p = 1; p < run->frame->program->place_count; p++) {
        norn_room_give_staging(run->frame->room, run->ends[p].in, run->ends[p].in_capacity);
        norn_room_give_staging(run->frame->room, run->ends[p].out, run->ends[p].out_capacity);
    }
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
    NORN_TRY(norn_room_take_staging(room, bytes, *capacity, &memory));
    norn_room_give_staging(room, *block, *capacity);
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

static size_t greater(size_t a, size_t b) {
    return a > b ? a : b;
}

static norn_status send(norn_device_run *run, norn_place place, const char *from, size_t begin,
                        size_t end) {
    const norn_room_place *at = &run->frame->room->at[place];
    if (begin == end) return NORN_OK;
    NORN_TRY(norn_room_enter(run->frame->room, place));
    return at->device->ops->copy(at->device, at->stream, run->frame->memory[place] + begin, from,
                                 end - begin);
}

/// All inputs that a device reads side by side in staging, then over in one copy; large ones
/// by themselves from where they lie.
static norn_status send_inputs(norn_device_run *run, norn_place place, const norn_view *inputs) {
    norn_frame *frame = run->frame;
    const norn_program *program = frame->program;
    const norn_frame_ends *ends = &frame->ends[place];
    device_ends *staging = &run->ends[place];
    size_t sent = 0, end = 0;
    if (staging->in_capacity < ends->input_bytes)
        NORN_TRY(grow_staging(run, &staging->in, &staging->in_capacity,
                              greater(frame->layout.at[place].input_bytes, ends->input_bytes)));
    for (uint32_t i = 0; i < program->graph->input_count; i++) {
        uint32_t slot = program->inputs[place][i];
        if (slot == NORN_NO_SLOT) continue;
        size_t bytes = view_bytes(&inputs[i]), whole = view_bytes(&frame->slots[slot]),
               at = ends->input_offsets[i];
        const char *from = inputs[i].data;
        if (whole > bytes)
            pad_input(&inputs[i], run->safety->pads[i], from, staging->in + at, bytes, whole);
        if (bytes >= DIRECT_BYTES) {
            NORN_TRY(send(run, place, staging->in + sent, sent, end));
            NORN_TRY(send(run, place, from, at, at + bytes));
            sent = at + bytes;
        } else if (bytes > 0) {
            memcpy(staging->in + at, from, bytes);
        }
        end = at + whole;
    }
    return send(run, place, staging->in + sent, sent, end);
}

static norn_status fetch_outputs(norn_device_run *run, norn_place place) {
    norn_frame *frame = run->frame;
    const norn_room_place *at = &frame->room->at[place];
    const norn_frame_ends *ends = &frame->ends[place];
    device_ends *staging = &run->ends[place];
    if (ends->output_bytes == 0) return NORN_OK;
    if (staging->out_capacity < ends->output_bytes)
        NORN_TRY(grow_staging(run, &staging->out, &staging->out_capacity,
                              greater(frame->layout.at[place].output_bytes, ends->output_bytes)));
    NORN_TRY(norn_room_enter(frame->room, place));
    return at->device->ops->copy(at->device, at->stream, staging->out,
                                 frame->memory[place] + ends->output_begin, ends->output_bytes);
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
            outputs[i].data = run->ends[slot->place].out +
                              (frame->output_offsets[i] - frame->ends[slot->place].output_begin);
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
    norn_stream *stream = room->at[1].stream;
    if (entry->capture)
        return run->device->ops->capture_launch(run->device, entry->capture, stream);
    if (!entry->warm) {
        NORN_TRY(norn_frame_run(frame));
        entry->warm = true;
        return NORN_OK;
    }
    if (capture(run, entry))
        return run->device->ops->capture_launch(run->device, entry->capture, stream);
    return norn_frame_run(frame);
}

static norn_status mark(norn_device_run *run, int event, bool measured) {
    if (!measured) return NORN_OK;
    return run->device->ops->event_record(run->device, run->events[event],
                                          run->frame->room->at[1].stream);
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
    const uint32_t places = run->frame->program->place_count;
    NORN_TRY(mark(run, 0, measured));
    for (norn_place p = 1; p < places; p++) NORN_TRY(send_inputs(run, p, inputs));
    NORN_TRY(mark(run, 1, measured));
    if (trace) NORN_TRY(norn_trace_start(trace));
    NORN_TRY(run_steps(run));
    NORN_TRY(mark(run, 2, measured));
    for (norn_place p = 1; p < places; p++) NORN_TRY(fetch_outputs(run, p));
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
    for (norn_place p = 1; p < room->place_count; p++) room->at[p].busy = true;
    const int64_t begin_ns = norn_clock_now_ns();
    norn_status status = give_work(run, inputs, measured);
    // Also after a failure: nothing may be in flight when the caller takes its memory back.
    for (norn_place p = 1; p < room->place_count; p++) room->at[p].busy = true;
    norn_status waited = norn_room_wait(room, NORN_HOST);
    NORN_TRY(status);
    NORN_TRY(waited);
    describe_outputs(run, outputs);
    const int64_t ns = norn_clock_now_ns() - begin_ns;
    if (measured) NORN_TRY(measure_phases(run));
    *phases = measured ? run->measured : share_out(&run->measured, ns);
    return room->trace ? norn_trace_finish(room->trace) : NORN_OK;
}
