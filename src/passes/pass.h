/// Passes: graph to graph, one a file, run in the order of pass_table.inc, verified after each.
///
/// What passes leave for the plan, beside regions:
///   norn_static_shape=1  on a Reshape: it has one input; the output's shape is known (constants,
///                        input symbols, and what derives from them), and the bytes are the
///                        input's. Every Reshape, Flatten, Squeeze and Unsqueeze with such a shape
///                        becomes this, so the planner may let the output share the input's memory.
///   norn_place=1         on a Concat along the last axis that is nothing but an address: input i
///                        with norn_placed[i] = 1 (ints, one an input) is written by a
///                        NORN_OP_STRIDED region that has no other reader, and may be written
///                        where it belongs in the Concat's output: row_stride is the width of the
///                        output, the offset that of the column. The Concat step copies the other
///                        inputs; it is no step when all are placed.
/// Passes may leave the names of values that are outputs as they like:
/// norn_graph.output_names is what counts.
#ifndef NORN_PASSES_PASS_H
#define NORN_PASSES_PASS_H

#include "kernel/target.h"
#include "norn/plan.h"
#include "ops/op.h"

/// Computes one node on constant inputs; injected by the plan layer (which has the CPU device),
/// so that passes depend on no backend. Outputs are allocated in `graph`'s arena.
/// UNIMPLEMENTED: leave the node as it is.
typedef struct norn_evaluator {
    norn_status (*eval)(void *context, norn_graph *graph, const norn_node *node, norn_view *out);
    void *context;
} norn_evaluator;

typedef struct norn_table_def {
    const char *name;
    int64_t dim;
    norn_dtype dtype;      ///< of the initializer; F32 when the table is the package's
    const norn_view *rows; ///< [n, dim] of an initializer; NULL: the table is the package's
} norn_table_def;

typedef struct norn_pass_context {
    const norn_compile_options *options;
    norn_evaluator evaluator;
    const norn_target *host;
    const norn_target *target; ///< of the plan's devices; NULL: the host computes all of it
    const char *tables_dir;    ///< of the package, or NULL: a table there wins over an initializer
    /// Filled by `recognise_lookup`, in the graph's arena; index = region's table.
    norn_table_def *tables;
    uint32_t table_count;
    size_t table_capacity;
} norn_pass_context;

typedef struct norn_pass {
    const char *name;
    const char *summary;
    norn_status (*run)(norn_pass_context *context, norn_graph *graph);
    bool in_bodies; ///< runs in bodies of If, Loop and Scan too, before the graph around them
} norn_pass;

extern const norn_pass norn_passes[];
extern const size_t norn_pass_count;

/// Run all passes; honours print_after and stop_after; recurses into bodies where a pass says so.
/// Memory   everything new is in the graph's arena.
/// Errors   the message begins with the pass. INVALID_ARGUMENT: print_after or stop_after
///          names no pass (the message lists them), or a node cannot be right.
///          INTERNAL: a pass broke the graph.
norn_status norn_passes_run(norn_pass_context *context, norn_graph *graph) NORN_NODISCARD;

#endif
