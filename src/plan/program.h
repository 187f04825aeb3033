/// The program: what the executor runs. One step a node of the region graph, in order, with
/// pointers resolved; nodes that only rename bytes (Reshape, a placed Concat) have none, and in a
/// plan for a device copies stand where a value is needed on the other side.
///
/// Memory   a program lives in the arena it was lowered into and borrows the graph and the targets.
/// Threads  immutable once the plan is made; any number of frames run it.
#ifndef NORN_PLAN_PROGRAM_H
#define NORN_PLAN_PROGRAM_H

#include "kernel/target.h"
#include "plan/row_safe.h"

typedef struct norn_program norn_program;
typedef struct norn_step_order norn_step_order; ///< step_order.h

#define NORN_NO_SLOT UINT32_MAX

/// Where a value lies or a step runs: 0 is the host, i the plan's device number i, from 1.
typedef uint8_t norn_place;
enum { NORN_HOST = 0, NORN_PLACES_MAX = 9 };

typedef enum norn_slot_kind {
    NORN_SLOT_CONST,   ///< bytes of the plan
    NORN_SLOT_INPUT,   ///< given to each run
    NORN_SLOT_PLANNED, ///< at an offset of the frame's arena: its shape follows from the inputs
    NORN_SLOT_POOLED,  ///< shape known only while running: a block of the instance's pool
    NORN_SLOT_ALIAS,   ///< bytes of another slot
} norn_slot_kind;

/// A value in one place. A value that is needed in several has a slot in each.
typedef struct norn_slot {
    const norn_value *value;
    norn_slot_kind kind;
    norn_place place; ///< whose memory it is
    bool is_output;   ///< lives until the end of the run
    norn_dtype dtype;
    norn_shape shape;     ///< of this view of the bytes; rank -1: known only while running
    uint32_t input;       ///< INPUT: index among the graph's inputs
    uint32_t root;        ///< ALIAS: the slot with the bytes, itself no ALIAS; else this slot
    int64_t column;       ///< ALIAS: first element in the root's bytes
    int64_t row_stride;   ///< elements between rows; 0: dense
    const void *data;     ///< CONST on the host: where its bytes are
    size_t weight_offset; ///< CONST on a device: offset in a resident's block of weights there
    /// Steps that write it first and read it last; of a root, through every alias.
    uint32_t first, last;
} norn_slot;

typedef enum norn_step_kind {
    NORN_STEP_KERNEL,
    NORN_STEP_COPY,  ///< in[0] to out[0], at least one of them on a device
    NORN_STEP_PLACE, ///< CPU: rows of in[0] to the strided out[0] (what is left of a placed Concat)
} norn_step_kind;

typedef struct norn_step {
    norn_step_kind kind;
    norn_place place; ///< KERNEL: where it runs; COPY: whose stream it is given to
    bool dynamic;     ///< an operand is POOLED (or has no known rank): views are made while running
    bool infer;       ///< an output is POOLED: its shape function runs first
    bool fit;         ///< its operands' sizes must go together: seen when the inputs' sizes are new
    bool check;       ///< planned shapes are a claim: the shape function runs first and must agree
    const norn_node *node; ///< COPY: the node that wanted it, or NULL for an output
    uint32_t node_index;   ///< of `node` in the graph's order
    norn_kernel_fn kernel;
    const uint32_t *in, *out; ///< slots; NORN_NO_SLOT: omitted, unwanted
    uint32_t in_count, out_count;
    norn_span code;              ///< of the device's codegen
    uint32_t state;              ///< KERNEL: its place among a resident's step states
    norn_program *const *bodies; ///< by index among the node's GRAPH attributes
    uint32_t body_count;
} norn_step;

struct norn_program {
    norn_graph *graph;
    norn_row_safety rows;      ///< may its rows be treated apart; of a plan's own program
    const norn_target *host;   ///< the CPU's
    const norn_target *target; ///< of all its devices; NULL: a program for the CPU alone
    uint32_t place_count;      ///< the host and its devices
    norn_slot *slots;
    uint32_t slot_count;
    norn_step *steps;
    uint32_t step_count;
    /// By place: the slot of each graph input there, or NORN_NO_SLOT. On the host every input has one.
    uint32_t *inputs[NORN_PLACES_MAX];
    uint32_t *outputs;                    ///< slot of each graph output
    const norn_step_order *order;         ///< of a program that is all on one device, else NULL
    size_t weight_bytes[NORN_PLACES_MAX]; ///< of CONST slots there; 0 on the host
    uint32_t state_count;                 ///< of its steps and its bodies'
    uint32_t host_steps; ///< KERNEL steps on the CPU, for a device: they rule out capture
    bool has_pooled;
};

/// What a program is lowered for.
typedef struct norn_lower_options {
    const norn_target *host, *target; ///< target NULL: everything on the CPU
    uint32_t place_count;             ///< the host and the devices of `target`, all of one kind
    /// A body of If, Loop or Scan runs on devices where a run of it has this much work at the
    /// profile's maximum; else on the CPU, for what it takes and gives is copied each time.
    double body_flops;
} norn_lower_options;
enum { NORN_BODY_FLOPS = 4000000 }; ///< some 100 us of a core, against 20 us of copies

/// Build the program of `graph` in `arena`, bodies too. May add derived symbols to
/// the graph; uses the notes of its nodes.
/// Errors   UNIMPLEMENTED: a node that no device has a kernel for; INVALID_ARGUMENT: one that is to be
///          on a device that is not there; names it
norn_status norn_program_lower(norn_graph *graph, const norn_lower_options *options,
                               norn_arena *arena, norn_program **out) NORN_NODISCARD;

/// Known dims of `shape`, -1 where a dim is not known from these symbol values; rank -1 stays.
void norn_shape_at(const norn_shape *shape, const int64_t *symbols, int32_t *rank, int64_t *dims);

/// Symbol values at the profile's maximum; -1 where it has none. One for every symbol of `graph`.
void norn_symbols_at_max(const norn_graph *graph, int64_t *values);

/// A node as a device's kernel, codegen and prepare see it: shapes at `symbols`, constants with
/// data. `views` has room for in_count + out_count.
norn_step_spec norn_node_spec(const norn_node *node, const int64_t *symbols, norn_view *views);

static inline const norn_slot *norn_slot_root(const norn_program *program, uint32_t slot) {
    return &program->slots[program->slots[slot].root];
}

/// Nothing but `place` and its memory is needed: a kernel there, or a copy within it.
static inline bool norn_step_stays_on(const norn_program *program, const norn_step *step,
                                      norn_place place) {
    if (step->kind == NORN_STEP_KERNEL) return step->place == place;
    return step->kind == NORN_STEP_COPY && program->slots[step->in[0]].place == place &&
           program->slots[step->out[0]].place == place;
}

/// Does a lookup run there, so that it needs the tables?
bool norn_program_looks_up(const norn_program *program, norn_place place);

/// One line a step: "  3 cpu  Gemm(%2, %w) -> %5  # top/Gemm_3"; for --explain and tests.
void norn_program_print(const norn_program *program, norn_buffer *out);

#endif
