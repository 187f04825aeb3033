/// A plan as the layers above the compiler see it. Nothing writes into it once it is made, but for
/// files it lets go of (norn_plan_drop_unused): what it needs on a device is a norn_resident
/// (runtime/resident.h).
#ifndef NORN_PLAN_PLAN_INTERNAL_H
#define NORN_PLAN_PLAN_INTERNAL_H

#include "base/arena.h"
#include "base/file.h"
#include "device/device.h"
#include "norn/plan.h"
#include "plan/memory_plan.h"
#include "plan/program.h"

#include <stdatomic.h>

/// A table that the plan's lookups name; a region's table index counts these.
typedef struct norn_plan_table {
    const char *name;
    int64_t dim;
    norn_dtype dtype;
    int64_t rows;          ///< of an initializer that became a table; 0: the package's table
    const norn_view *data; ///< its rows at hand, [rows, dim]; NULL: not (the package has it)
    uint64_t rows_hash;    ///< of `data`, as the plan file says; 0: it does not
    const char *source;    ///< file or initializer, for messages
    bool missing_is_error; ///< said by the package
} norn_plan_table;

/// A code object of one step, in the main program or in a body.
typedef struct norn_plan_code {
    uint32_t state;  ///< norn_step.state
    norn_span bytes; ///< in the plan's arena or its file
} norn_plan_code;

struct norn_plan {
    norn_alloc alloc;
    atomic_uint references;
    norn_arena arena; ///< ports, tables, program
    const char *name;
    const char *device_name;                  ///< "cpu", "cuda", "cuda:0,cuda:1", as asked for
    const char *place_names[NORN_PLACES_MAX]; ///< "cpu", "cuda:0", "cuda:1"
    const char *path;                         ///< file it was loaded from; NULL: compiled here
    norn_precision precision;
    double body_flops; ///< norn_lower_options
    norn_graph *graph; ///< the region graph
    norn_file **files; ///< weights and tables alias them
    uint32_t file_count;
    size_t file_capacity;
    norn_device *devices[NORN_PLACES_MAX]; ///< by place: the CPU, and what else; those of one kind
    uint32_t place_count;
    norn_program *program;
    norn_plan_code *codes;
    uint32_t code_count;
    norn_plan_table *tables;
    uint32_t table_count;
    norn_port *inputs, *outputs;
    const char *batch_name;
    int64_t max_batch;
};

/// The first device, for what is the same for all of a kind (codes, tuning); NULL: a plan for the CPU.
static inline norn_device *norn_plan_device(const norn_plan *plan) {
    return plan->place_count > 1 ? plan->devices[1] : NULL;
}
static inline const norn_target *norn_plan_target(const norn_plan *plan) {
    return norn_device_target(norn_plan_device(plan));
}

/// An empty plan with one reference.
norn_status norn_plan_create(norn_alloc alloc, norn_plan **out) NORN_NODISCARD;
/// Take over the caller's reference, also on failure.
norn_status norn_plan_keep_file(norn_plan *plan, norn_file *file) NORN_NODISCARD;
/// Open the host and, unless the name is its, the device of that name or those of a list.
/// Errors   INVALID_ARGUMENT: no such device, or several of which not all are of one kind
norn_status norn_plan_open_devices(norn_plan *plan, const char *device_name) NORN_NODISCARD;
/// From graph and devices: the program, ports, batch. Graph symbols have their profile.
norn_status norn_plan_finish(norn_plan *plan) NORN_NODISCARD;

/// Release what only constants lie in that the passes have replaced (packed, folded, fused): a plan
/// made of a model of 160 MB would hold 160 more. A file that the model still holds is kept whole,
/// so this is called when a resident is made: the model is closed by then. It gives pages back that
/// nothing reads; one thread at a time.
norn_status norn_plan_drop_unused(norn_plan *plan) NORN_NODISCARD;

/// Code objects of every step that the device generates code for: when a plan is compiled, and when
/// one is loaded that has those of another GPU. `options` (may be NULL) hears of the progress.
norn_status norn_plan_generate_code(norn_plan *plan,
                                    const norn_compile_options *options) NORN_NODISCARD;

/// The words of norn_precision, in its order.
#define NORN_PRECISIONS(word) word("fp32") word("tf32") word("fp16") word("bf16")
const char *norn_precision_name(norn_precision precision); ///< "fp32", "tf32", "fp16", "bf16"
bool norn_precision_parse(const char *text, norn_precision *out);

#endif
