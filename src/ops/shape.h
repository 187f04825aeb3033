/// What shape functions share: reading inputs, symbolic arithmetic, writing outputs.
///
/// All of it works in both lives of a shape function (graph/op_info.h): compiling, with symbols,
/// and running, with constants and `symbols` NULL.
#ifndef NORN_OPS_SHAPE_H
#define NORN_OPS_SHAPE_H

#include "base/status.h"
#include "ops/op.h"

// ---- inputs
static inline bool norn_shape_has(const norn_shape_ctx *ctx, uint32_t index) {
    return index < ctx->in_count && ctx->in[index].dtype != NORN_DTYPE_NONE;
}
/// The shape of an input; rank -1 when omitted or unknown.
const norn_shape *norn_shape_in(const norn_shape_ctx *ctx, uint32_t index);
/// The first `count` inputs are present and there is an output.
norn_status norn_shape_inputs(const norn_shape_ctx *ctx, uint32_t count) NORN_NODISCARD;
norn_status norn_shape_same_dtype(const norn_shape_ctx *ctx, uint32_t a, uint32_t b) NORN_NODISCARD;
/// Rank of input `index` is in [min, max]; an unknown rank passes.
norn_status norn_shape_rank_in(const norn_shape_ctx *ctx, uint32_t index, int32_t min,
                               int32_t max) NORN_NODISCARD;
/// Negative axes count from the end; `rank` is the exclusive bound.
norn_status norn_shape_axis(int64_t axis, int32_t rank, int32_t *out) NORN_NODISCARD;

/// Elements of a small integer tensor as far as known; false when not known.
bool norn_shape_elements(const norn_shape_ctx *ctx, uint32_t index,
                         norn_dim dims[NORN_CONTENTS_MAX], uint32_t *count);
/// The same, all constant.
bool norn_shape_ints(const norn_shape_ctx *ctx, uint32_t index, int64_t values[NORN_CONTENTS_MAX],
                     uint32_t *count);
/// What input `index` holds is not known: OK while compiling. While running everything is known, so
/// it is no list of integers: INVALID_ARGUMENT.
norn_status norn_shape_later(const norn_shape_ctx *ctx, uint32_t index) NORN_NODISCARD;
/// How many elements a rank 0 or 1 input has; -1 when unknown.
int64_t norn_shape_length(const norn_shape_ctx *ctx, uint32_t index);
/// The integer list in attribute `name`, else in input `index` (which newer opsets use).
/// *known is false when the input's value is not known; *present false when there is neither.
norn_status norn_shape_int_list(const norn_shape_ctx *ctx, uint32_t index, const char *name,
                                int64_t values[NORN_CONTENTS_MAX], uint32_t *count, bool *present,
                                bool *known) NORN_NODISCARD;

// ---- dims
/// op(a, b) in the context's symbols.
norn_status norn_shape_dim(const norn_shape_ctx *ctx, norn_dim_op op, norn_dim a, norn_dim b,
                           norn_dim *out) NORN_NODISCARD;
norn_status norn_shape_dim_i64(const norn_shape_ctx *ctx, norn_dim_op op, norn_dim a, int64_t b,
                               norn_dim *out) NORN_NODISCARD;
/// A dimension that follows from data. While running it is -1, which makes the output unknown.
norn_status norn_shape_fresh(const norn_shape_ctx *ctx, norn_dim *out) NORN_NODISCARD;
/// `rank` fresh dimensions.
norn_status norn_shape_fresh_rank(const norn_shape_ctx *ctx, int32_t rank,
                                  norn_shape *out) NORN_NODISCARD;
/// a and b broadcast as numpy does; either may have unknown rank.
norn_status norn_shape_broadcast_pair(const norn_shape_ctx *ctx, const norn_shape *a,
                                      const norn_shape *b, norn_shape *out) NORN_NODISCARD;
/// All inputs from `first` on (omitted ones skipped).
norn_status norn_shape_broadcast_all(const norn_shape_ctx *ctx, uint32_t first,
                                     norn_shape *out) NORN_NODISCARD;
/// Whether the operands go together shows when their sizes are known.
static inline void norn_shape_unproved(const norn_shape_ctx *ctx) {
    if (ctx->unproved) *ctx->unproved = true;
}
/// Input `index` broadcasts to `to`, which it does not make larger.
norn_status norn_shape_broadcasts_to(const norn_shape_ctx *ctx, uint32_t index,
                                     const norn_shape *to, const char *what) NORN_NODISCARD;
/// `dim` must be a multiple of `by` (positive).
norn_status norn_shape_divides(const norn_shape_ctx *ctx, norn_dim dim, int64_t by,
                               const char *what) NORN_NODISCARD;
/// Two dims that must be equal; INVALID_ARGUMENT naming `what` when both are constant and differ.
norn_status norn_shape_match(const norn_shape_ctx *ctx, norn_dim a, norn_dim b,
                             const char *what) NORN_NODISCARD;

// ---- outputs
/// Does nothing for an output that the node does not have.
void norn_shape_put(norn_shape_ctx *ctx, uint32_t index, norn_dtype dtype, const norn_shape *shape);
void norn_shape_put_unknown(norn_shape_ctx *ctx, uint32_t index, norn_dtype dtype);
/// Known elements of output `index`, whose dtype is already set. Ignored while running.
norn_status norn_shape_put_contents(norn_shape_ctx *ctx, uint32_t index, const norn_dim *dims,
                                    uint32_t count) NORN_NODISCARD;

static inline norn_shape norn_shape_vector(norn_dim dim) {
    return (norn_shape){.rank = 1, .dims = {dim}};
}
static inline norn_shape norn_shape_scalar(void) {
    return (norn_shape){.rank = 0};
}

#endif
