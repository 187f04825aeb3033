/// Shapes of one step when its inputs are at hand: the shape function, run on concrete views.
#ifndef NORN_PLAN_STEP_SHAPE_H
#define NORN_PLAN_STEP_SHAPE_H

#include "graph/graph.h"

/// Room for a step's operands as the shape function sees them. Reused; grows never while running.
typedef struct norn_shape_room {
    norn_shape_io *io;
    uint32_t count;
    norn_dim *contents; ///< of norn_step_fit: NORN_CONTENTS_MAX an input
} norn_shape_room;

/// Fill dtype, rank and dims of out[0..out_count); rank -1 where the kernel must say. Views whose
/// dtype comes as NONE are outputs that nobody reads. `room` holds at least in_count + out_count.
/// Errors   those of the shape function: INVALID_ARGUMENT names the node and the input
norn_status norn_step_shapes(const norn_node *node, const norn_view *in, uint32_t in_count,
                             norn_view *out, uint32_t out_count,
                             norn_shape_room room) NORN_NODISCARD;

/// Whether the operands of `node` go together at these sizes and give `out`.
/// Inputs have data where they are constants, else what their contents are at `symbols`;
/// `in[i].data` of other inputs is not read.
/// Errors   INVALID_ARGUMENT names the node and the input
norn_status norn_step_fit(const norn_node *node, const norn_view *in, uint32_t in_count,
                          const norn_view *out, uint32_t out_count, const int64_t *symbols,
                          norn_shape_room room) NORN_NODISCARD;

#endif
