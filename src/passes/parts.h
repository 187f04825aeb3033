/// The parts of a tensor of features, X [B, F, D]: what its Concat reads, when it is one.
#ifndef NORN_PASSES_PARTS_H
#define NORN_PASSES_PARTS_H

#include "passes/pass.h"

typedef struct norn_parts {
    norn_value **at; ///< each [B, f * D] or [B, f, D]; in the graph's arena
    uint32_t count;
    int64_t features, dim;
    norn_dim batch;
    const norn_node *concat; ///< that the parts came from, or NULL
} norn_parts;

/// *found false: `x` is no floating [B, F, D] of constant F and D.
norn_status norn_parts_of(norn_graph *graph, norn_value *x, norn_parts *parts,
                          bool *found) NORN_NODISCARD;

/// Has the plan a kernel for the interaction `region` of X in X's type? out: the shape of its result.
bool norn_parts_have_kernel(const norn_pass_context *context, const norn_value *x,
                            const norn_region *region, const norn_shape *out);

#endif
