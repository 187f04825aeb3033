/// A frame: one program with its memory and its calls laid out, ready to run again and again. An
/// instance has one for the model and, under it, one for every body of an If, Loop or Scan.
///
/// Binding inputs gives the symbols their values; while these stay the same, a run patches only the
/// inputs' addresses. Memory follows the requests: when a value outgrows its place the frame plans
/// its memory again, and keeps that until trimming finds it long unneeded.
#ifndef NORN_RUNTIME_FRAME_H
#define NORN_RUNTIME_FRAME_H

#include "plan/memory_plan.h"
#include "plan/step_shape.h"
#include "runtime/run_room.h"

typedef struct norn_frame norn_frame;

/// One step with its operands. The executor's side of norn_call.
typedef struct norn_frame_step {
    norn_call call; ///< first: the host functions find the step by it
    norn_frame *frame;
    const norn_step *step;
    norn_view *in, *out;
    norn_view *checked; ///< room for shapes, of steps with `check`
    norn_frame **bodies;
    const uint32_t *release; ///< pooled slots that nobody reads after this step
    uint32_t release_count;
    bool empty;   ///< every output has no elements: nothing to do
    bool in_body; ///< what fails now does so in a body of the step
} norn_frame_step;

/// An operand that lies in an input: its address changes with every run.
typedef struct norn_input_patch {
    norn_view *view;
    uint32_t input;
} norn_input_patch;

/// Inputs and outputs in one device's arena, side by side at this run's sizes.
typedef struct norn_frame_ends {
    size_t *input_offsets; ///< by input
    size_t input_bytes, output_begin, output_bytes;
} norn_frame_ends;

struct norn_frame {
    const norn_program *program;
    norn_run_room *room;
    norn_layout layout, next_layout; ///< in use; being planned
    size_t *needed, *recent;         ///< by slot: of the run being bound; most since the last trim
    char *memory[NORN_PLACES_MAX];
    size_t capacity[NORN_PLACES_MAX];
    int64_t *symbols;  ///< values of the last bound run
    int64_t *incoming; ///< of the run that is being bound
    bool resolved;     ///< views agree with `symbols`
    /// Changes when addresses do for the same shapes: captured graphs end then.
    uint64_t generation;
    norn_view *slots;    ///< by slot: where its value is now
    norn_block **blocks; ///< by slot: what a POOLED one holds
    norn_frame_step *steps;
    norn_event **done;                     ///< by step, and of the fork: lanes.h; NULL: not opened
    norn_frame_ends ends[NORN_PLACES_MAX]; ///< of devices
    size_t *output_offsets; ///< by output, in its device's arena; SIZE_MAX for one on the host
    norn_input_patch *patches;
    uint32_t patch_count;
    norn_shape_room shapes;
    uint32_t fit_inputs; ///< the most of a step with `fit`
    norn_arena arena;    ///< of all the arrays above
    int32_t *binder;     ///< by symbol: the input that set its value in this run, or -1
};

/// `room` is borrowed and must be in place. Takes no memory for values yet, but on a device: there
/// captured graphs hold addresses, so what the profile's maximum needs is taken if it is little.
norn_status norn_frame_create(const norn_program *program, norn_run_room *room,
                              norn_frame **out) NORN_NODISCARD;
void norn_frame_destroy(norn_frame *frame); ///< takes NULL

/// Check `inputs` (host memory) against the program and make them those of the next run.
/// Errors   INVALID_ARGUMENT names the input; RESOURCE_EXHAUSTED leaves the frame as it was
norn_status norn_frame_bind(norn_frame *frame, const norn_view *inputs) NORN_NODISCARD;
/// Check only: symbol values of these inputs into frame->incoming.
norn_status norn_frame_read_symbols(norn_frame *frame, const norn_view *inputs) NORN_NODISCARD;
/// Lay everything out for frame->incoming.
norn_status norn_frame_resolve(norn_frame *frame) NORN_NODISCARD;
/// Point views of host inputs at `inputs`, after resolving.
void norn_frame_patch(norn_frame *frame, const norn_view *inputs);

/// Run every step. On a device this only gives work to the stream,
/// except where the CPU must step in.
norn_status norn_frame_run(norn_frame *frame) NORN_NODISCARD;
/// The value of output `index` after a run.
const norn_view *norn_frame_output(const norn_frame *frame, uint32_t index);
/// Give pooled blocks back to the room.
void norn_frame_reset(norn_frame *frame);
/// Between runs, when outputs are not needed any more: give memory back when it is far more than
/// what runs needed since last time. The bodies' too.
void norn_frame_trim(norn_frame *frame);

#endif
