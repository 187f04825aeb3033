/// What If, Loop and Scan share: bodies, and copies of their values that outlive the next body run.
#ifndef NORN_CPU_CONTROL_H
#define NORN_CPU_CONTROL_H

#include "cpu/kernels/operand.h"

typedef struct norn_graph norn_graph;

/// A value held in scratch; grows, never shrinks, until the kernel returns.
typedef struct norn_held {
    norn_view view;
    size_t capacity;
} norn_held;

/// Index of GRAPH attribute `name` among the node's, and its graph.
/// Errors   INTERNAL when absent.
norn_status norn_body_find(const norn_call *call, const char *name, uint32_t *index,
                           const norn_graph **graph) NORN_NODISCARD;
/// Inputs that are the operator's own (graph.h: norn_own_inputs).
uint32_t norn_body_own_inputs(const norn_call *call);
norn_status norn_held_copy(norn_call *call, norn_held *held, const norn_view *from) NORN_NODISCARD;
/// Output `index` of the call, sized and filled from `from`; nothing when nobody reads it.
norn_status norn_body_emit(norn_call *call, uint32_t index, const norn_view *from) NORN_NODISCARD;

/// Values of one shape stacked as they come; `slots` tells room for how many.
typedef struct norn_stacked {
    norn_held all; ///< dims of one value
    int64_t count;
    size_t each; ///< bytes of one
} norn_stacked;

norn_status norn_stacked_add(norn_call *call, norn_stacked *stacked,
                             const norn_view *value) NORN_NODISCARD;
/// Output `index`: the values along `axis`, the last first if `reverse`. With no values the shape
/// of one is `inner`'s, its unknown dims 0.
norn_status norn_stacked_emit(norn_call *call, uint32_t index, const norn_stacked *stacked,
                              int64_t axis, bool reverse, const norn_view *inner) NORN_NODISCARD;

#endif
