/// Decided before lowering: which target's kernel a node runs, which nodes only rename bytes, and which
/// values are written straight into a Concat's output.
#ifndef NORN_PLAN_PLACEMENT_H
#define NORN_PLAN_PLACEMENT_H

#include "plan/program.h"

typedef struct norn_node_place {
    uint32_t index; ///< of the node in order
    uint8_t place;  ///< norn_place
    bool is_view;   ///< output 0 is the bytes of input 0
    bool is_placed; ///< a Concat of which some inputs are written in place: copy the others
    bool check; ///< its shapes are declared or stored, not inferred: to be checked while running
    bool fit;   ///< whether its operands go together shows when the inputs' sizes are known
    norn_kernel_fn kernel; ///< NULL for views
} norn_node_place;

typedef struct norn_value_place {
    norn_value *into; ///< NULL: its own memory
    int64_t column;   ///< first element in `into`
    int64_t row_stride;
    int32_t input; ///< index among the graph's inputs, or -1
    bool planned;  ///< shape follows from the inputs' shapes
} norn_value_place;

typedef struct norn_placement {
    norn_node_place *nodes;   ///< by order; node->note points at its own
    norn_value_place *values; ///< by value id
    const uint8_t *symbol_runtime;
    const char *fallback_op; ///< first operator that the device had no kernel for, or NULL
    uint32_t fallback_count;
} norn_placement;

/// A node is on the device that it asks for (norn_node.place), else on the first, where that has its
/// kernel; otherwise on the host.
/// Errors   UNIMPLEMENTED names a node that neither target has a kernel for; INVALID_ARGUMENT one that
///          asks for a device that is not there
norn_status norn_placement_make(norn_graph *graph, const norn_lower_options *options,
                                norn_arena *arena, norn_placement *out) NORN_NODISCARD;

/// The value whose bytes `value` shows, through views.
norn_value *norn_placement_source(norn_value *value);

#endif
