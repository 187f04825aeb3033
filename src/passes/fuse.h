/// Building the scalar program of a region out of ONNX pointwise nodes.
///
/// The region's loop dims are groups of dims of one shape (the result's): a Gemm's [B, T, N] loops
/// over {B * T, N}. A fuse is set up, takes nodes in topological order, and is finished; a node
/// that does not fit leaves it as it was.
#ifndef NORN_PASSES_FUSE_H
#define NORN_PASSES_FUSE_H

#include "ops/op.h"

enum {
    NORN_FUSE_VALUE_MAX = NORN_SCALAR_INSTR_MAX,
    NORN_FUSE_INPUT_MAX = NORN_SCALAR_LOAD_MAX + 4
};

/// Which dims of `shape` make each loop dim.
typedef struct norn_fuse_loops {
    norn_shape shape;
    int8_t loop_of[NORN_MAX_RANK]; ///< per dim of `shape`; -1: a reduced dim kept as 1
    int32_t count;                 ///< of loop dims
} norn_fuse_loops;

norn_fuse_loops norn_fuse_loops_of(const norn_shape *shape); ///< one a dim
/// {all but the last, last}: rank >= 1.
norn_fuse_loops norn_fuse_loops_rows(const norn_shape *shape);

typedef struct norn_fuse {
    norn_graph *graph;
    norn_fuse_loops loops;
    norn_dtype operands; ///< of tensors that are loaded; NONE: any
    bool dynamic;  ///< allow loads whose broadcast shows only when running
    bool has_dynamic;
    norn_value *inputs[NORN_FUSE_INPUT_MAX]; ///< of the region's node
    uint32_t input_count;
    const norn_value *value[NORN_FUSE_VALUE_MAX]; ///< value[i] is in reg[i]
    uint16_t reg[NORN_FUSE_VALUE_MAX];
    uint32_t value_count;
    norn_scalar_builder builder;
} norn_fuse;

/// Inputs of the node that come before the program's operands are in `first` (may be NULL).
void norn_fuse_init(norn_fuse *fuse, norn_graph *graph, const norn_fuse_loops *loops,
                    norn_value *const *first, uint32_t first_count);
void norn_fuse_bind(norn_fuse *fuse, const norn_value *value, uint16_t reg);
bool norn_fuse_find(const norn_fuse *fuse, const norn_value *value, uint16_t *reg);

/// The accumulator of a Gemm or a reduction whose values are of `dtype`, as a register.
norn_status norn_fuse_acc(norn_fuse *fuse, norn_dtype dtype, uint16_t *reg) NORN_NODISCARD;
/// `reg` as it reads after it was written as a value of `dtype`: half types round, so that fused
/// and unfused work agree to the bit.
norn_status norn_fuse_round(norn_fuse *fuse, norn_dtype dtype, uint16_t *reg) NORN_NODISCARD;
/// `value` in a register: one that it is in, a CONST when it is a constant of one element, or a
/// LOAD. *fits false: its shape or type does not go with the loop dims, or the program is full.
norn_status norn_fuse_load(norn_fuse *fuse, norn_value *value, uint16_t *reg,
                           bool *fits) NORN_NODISCARD;
/// A POINTWISE node, or an Expand to the loop dims.
norn_status norn_fuse_node(norn_fuse *fuse, const norn_node *node, bool *fits) NORN_NODISCARD;
/// The program that stores `stores`, each in a register.
norn_status norn_fuse_finish(norn_fuse *fuse, norn_value *const *stores, uint32_t store_count,
                             norn_scalar_program *out) NORN_NODISCARD;

/// Whether norn_fuse_node can take the node at all.
bool norn_fuse_is_pointwise(const norn_graph *graph, const norn_node *node);

enum { NORN_FUSE_CHAIN_MAX = 64 };
/// Nodes that follow `seed` (bound in `fuse`), as far as the result has seed's shape and type, and
/// is all that is read outside; number nodes with norn_fuse_number first. The fuse holds their
/// program, `nodes` them in order; *result is seed when there are none.
norn_status norn_fuse_follow(norn_fuse *fuse, norn_value *seed,
                             norn_node *nodes[NORN_FUSE_CHAIN_MAX], uint32_t *count,
                             norn_value **result) NORN_NODISCARD;
/// Writes each node's place in the order to its note. A node that replaces others takes the note of
/// the one before which it stands.
void norn_fuse_number(norn_graph *graph);

#endif
