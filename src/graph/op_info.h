/// What the compiler knows of an operator: one row of ops/op_table.inc.
#ifndef NORN_GRAPH_OP_INFO_H
#define NORN_GRAPH_OP_INFO_H

#include "graph/dim.h"
#include "tensor/attr.h"
#include "tensor/view.h"

/// One input or output as a shape function sees it.
typedef struct norn_shape_io {
    norn_dtype dtype; ///< NONE: an omitted input
    norn_shape shape;
    const norn_view *data;    ///< inputs: the value itself when it is known now, else NULL
    const norn_dim *contents; ///< small integer tensors (rank 0 or 1) with known symbolic elements
    uint32_t contents_count;
} norn_shape_io;

enum { NORN_CONTENTS_MAX = 64 };

/// The same function runs while compiling (symbolic dims) and beside the executor for values whose
/// shape is known only then (all dims constant, symbols NULL, every input's data present). And
/// before a run whose sizes are new, to see that they go together: as beside the executor, but
/// with `sizes_only`, the data of what is computed being unknown.
typedef struct norn_shape_ctx {
    norn_attrs attrs;
    const void *region;    ///< norn_region of a node of domain "norn", else NULL
    norn_symbols *symbols; ///< NULL while running
    norn_arena *arena;     ///< for output contents; NULL while running
    norn_shape_io *in;
    uint32_t in_count;
    norn_shape_io *out; ///< dtype, shape and contents to fill; comes as NONE, rank -1
    uint32_t out_count;
    bool sizes_only;
    bool *unproved; ///< set when symbols leave open whether the operands go together; may be NULL
} norn_shape_ctx;

/// Errors   INVALID_ARGUMENT: inputs that the operator does not take; names the input and why.
/// A dimension that follows from data: a fresh RUNTIME symbol while compiling; while running leave
/// the shape at rank -1 and the kernel sizes it with norn_call_output().
typedef norn_status (*norn_shape_fn)(norn_shape_ctx *ctx);

/// Work of one execution at concrete shapes.
typedef struct norn_cost {
    double flops;
    double bytes; ///< read and written once each, weights included
} norn_cost;
typedef void (*norn_cost_fn)(norn_attrs attrs, const void *region, const norn_view *in,
                             uint32_t in_count, const norn_view *out, uint32_t out_count,
                             norn_cost *cost);

enum {
    NORN_OP_STRIDED = 1 << 0,       ///< kernels of every device honour row_stride on outputs
    NORN_OP_EFFECT = 1 << 1,        ///< not foldable, not to be merged: random numbers
    NORN_OP_RUNTIME_SHAPE = 1 << 2, ///< output shape follows from data: NonZero, Unique
    NORN_OP_SUBGRAPH = 1 << 3,      ///< If, Loop, Scan, SequenceMap
    NORN_OP_POINTWISE = 1 << 4,     ///< one scalar expression of its broadcast inputs
    NORN_OP_SEQUENCE = 1 << 5,      ///< takes or makes sequences and optionals; no other may
    NORN_OP_PRODUCT = 1 << 6,       ///< its numbers are stated (graph/numbers.h): A is input 0, B 1
};

typedef struct norn_op_info {
    uint16_t id;        ///< norn_op_id
    const char *name;   ///< ONNX op_type
    const char *domain; ///< "" is ai.onnx; "ai.norn" what exporters emit; "norn" what passes make
    int32_t since;      ///< opset whose form the IR holds; older forms are upgraded by the importer
    uint32_t flags;
    norn_shape_fn shape;
    norn_cost_fn cost;
} norn_op_info;

#endif
