/// Passes: graph to graph, one a file, run in the order of pass_table.inc, verified after each.
#ifndef NORN_PASSES_PASS_H
#define NORN_PASSES_PASS_H

#include "norn/plan.h"
#include "ops/op.h"

/// Computes one node on constant inputs; injected by the plan layer (which has the CPU device), so that
/// passes depend on no backend. Outputs are allocated in `graph`'s arena.
/// UNIMPLEMENTED: leave the node as it is.
typedef struct norn_evaluator {
    norn_status (*eval)(void *context, norn_graph *graph, const norn_node *node, norn_view *out);
    void *context;
} norn_evaluator;

typedef struct norn_table_def {
    const char *name;
    int64_t dim;
    norn_dtype dtype;
    const norn_view *rows; ///< [n, dim] of an initializer that became a table; NULL: from the package
} norn_table_def;

typedef struct norn_pass_context {
    const norn_compile_options *options;
    norn_evaluator evaluator;
    bool cpu_device;         ///< pack weights for the CPU
    const char *tables_dir;  ///< of the package, or NULL: a table there wins over an initializer
    norn_table_def *tables;  ///< filled by `recognise_lookup`, in the graph's arena; index = region's table
    uint32_t table_count, table_capacity;
} norn_pass_context;

typedef struct norn_pass {
    const char *name;
    const char *summary;
    norn_status (*run)(norn_pass_context *context, norn_graph *graph);
} norn_pass;

extern const norn_pass norn_passes[];
extern const size_t norn_pass_count;

/// Run all passes; honours print_after and stop_after; recurses into bodies where a pass says so.
/// An error's message begins with the pass.
norn_status norn_passes_run(norn_pass_context *context, norn_graph *graph) NORN_NODISCARD;

#endif
