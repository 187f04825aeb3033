#include "ops/shape.h"

#include "tensor/dtype.h"

#include <math.h>

const norn_shape *norn_shape_in(const norn_shape_ctx *ctx, uint32_t index) {
    static const norn_shape unknown = {.rank = -1};
    return norn_shape_has(ctx, index) ? &ctx->in[index].shape : &unknown;
}

norn_status norn_shape_inputs(const norn_shape_ctx *ctx, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (!norn_shape_has(ctx, i))
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u is missing (it needs %u)", i, count);
    if (ctx->out_count == 0) return norn_fail(NORN_INVALID_ARGUMENT, "it has no output");
    return NORN_OK;
}

norn_status norn_shape_same_dtype(const norn_shape_ctx *ctx, uint32_t a, uint32_t b) {
    norn_dtype left = ctx->in[a].dtype, right = ctx->in[b].dtype;
    if (left == right) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "input %u is %s but input %u is %s; they must be of one type", a,
                     norn_dtype_name(left), b, norn_dtype_name(right));
}

norn_status norn_shape_rank_in(const norn_shape_ctx *ctx, uint32_t index, int32_t min,
                               int32_t max) {
    int32_t rank = norn_shape_in(ctx, index)->rank;
    if (rank < 0 || (rank >= min && rank <= max)) return NORN_OK;
    if (min == max)
        return norn_fail(NORN_INVALID_ARGUMENT, "input %u has rank %d, it must have rank %d", index,
                         rank, min);
    return norn_fail(NORN_INVALID_ARGUMENT, "input %u has rank %d, it must be from %d to %d", index,
                     rank, min, max);
}

norn_status norn_shape_axis(int64_t axis, int32_t rank, int32_t *out) {
    if (axis < -rank || axis >= rank)
        return norn_fail(NORN_INVALID_ARGUMENT, "axis %lld is outside rank %d", (long long)axis,
                         rank);
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return NORN_OK;
}

/// Exporters divide sizes in floats (`int(a / b)`): whole numbers that a float holds exactly.
static bool is_wide_float(norn_dtype dtype) {
    return dtype == NORN_F32 || dtype == NORN_F64;
}

static bool whole_floats(const norn_shape_io *io, norn_dim dims[NORN_CONTENTS_MAX],
                         uint32_t *count) {
    const double exact = 1 << 24;
    int64_t elems = norn_view_elems(io->data);
    if (elems < 0 || elems > NORN_CONTENTS_MAX) return false;
    for (int64_t i = 0; i < elems; i++) {
        double value = norn_element_f64(io->dtype, io->data->data, i);
        if (!(value >= -exact && value <= exact) || value != floor(value)) return false;
        dims[i] = norn_dim_const((int64_t)value);
    }
    *count = (uint32_t)elems;
    return true;
}

bool norn_shape_elements(const norn_shape_ctx *ctx, uint32_t index,
                         norn_dim dims[NORN_CONTENTS_MAX], uint32_t *count) {
    *count = 0;
    if (!norn_shape_has(ctx, index)) return false;
    const norn_shape_io *io = &ctx->in[index];
    if (io->data && io->data->rank <= 1 && is_wide_float(io->dtype))
        return whole_floats(io, dims, count);
    if (io->data && io->data->rank <= 1 &&
        (norn_dtype_is_integer(io->dtype) || io->dtype == NORN_BOOL)) {
        int64_t elems = norn_view_elems(io->data);
        if (elems < 0 || elems > NORN_CONTENTS_MAX) return false;
        for (int64_t i = 0; i < elems; i++) {
            int64_t element = norn_element_i64(io->dtype, io->data->data, i);
            if (io->dtype == NORN_U64 && element == INT64_MAX) return false; // that, or above it
            dims[i] = norn_dim_const(element);
        }
        *count = (uint32_t)elems;
        return true;
    }
    if (!io->contents || io->contents_count > NORN_CONTENTS_MAX) return false;
    for (uint32_t i = 0; i < io->contents_count; i++) dims[i] = io->contents[i];
    *count = io->contents_count;
    return true;
}

bool norn_shape_ints(const norn_shape_ctx *ctx, uint32_t index, int64_t values[NORN_CONTENTS_MAX],
                     uint32_t *count) {
    norn_dim dims[NORN_CONTENTS_MAX];
    if (!norn_shape_elements(ctx, index, dims, count)) return false;
    for (uint32_t i = 0; i < *count; i++) {
        if (!norn_dim_is_const(dims[i])) return false;
        values[i] = dims[i].constant;
    }
    return true;
}

int64_t norn_shape_length(const norn_shape_ctx *ctx, uint32_t index) {
    const norn_shape *shape = norn_shape_in(ctx, index);
    if (shape->rank == 0) return 1;
    if (shape->rank == 1 && norn_dim_is_const(shape->dims[0])) return shape->dims[0].constant;
    return -1;
}

norn_status norn_shape_later(const norn_shape_ctx *ctx, uint32_t index) {
    if (ctx->symbols || ctx->sizes_only) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "input %u must be a list of at most %d integers", index,
                     (int)NORN_CONTENTS_MAX);
}

norn_status norn_shape_int_list(const norn_shape_ctx *ctx, uint32_t index, const char *name,
                                int64_t values[NORN_CONTENTS_MAX], uint32_t *count, bool *present,
                                bool *known) {
    const int64_t *ints = NULL;
    uint32_t n = name ? norn_attr_ints(ctx->attrs, name, &ints) : 0;
    *present = *known = true;
    *count = n;
    if (ints) {
        if (n > NORN_CONTENTS_MAX)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "attribute %s has %u value%s, at most %d are taken", name, n,
                             norn_plural(n), NORN_CONTENTS_MAX);
        for (uint32_t i = 0; i < n; i++) values[i] = ints[i];
        return NORN_OK;
    }
    *present = norn_shape_has(ctx, index);
    if (!*present) return NORN_OK;
    *known = norn_shape_ints(ctx, index, values, count);
    return *known ? NORN_OK : norn_shape_later(ctx, index);
}

norn_status norn_shape_dim(const norn_shape_ctx *ctx, norn_dim_op op, norn_dim a, norn_dim b,
                           norn_dim *out) {
    return norn_dim_apply(ctx->symbols, op, a, b, out);
}

norn_status norn_shape_dim_i64(const norn_shape_ctx *ctx, norn_dim_op op, norn_dim a, int64_t b,
                               norn_dim *out) {
    return norn_shape_dim(ctx, op, a, norn_dim_const(b), out);
}

norn_status norn_shape_fresh(const norn_shape_ctx *ctx, norn_dim *out) {
    *out = norn_dim_const(-1);
    return ctx->symbols ? norn_symbol_runtime(ctx->symbols, out) : NORN_OK;
}

norn_status norn_shape_fresh_rank(const norn_shape_ctx *ctx, int32_t rank, norn_shape *out) {
    if (rank > NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "a result of rank %d; the largest is %d", rank,
                         NORN_MAX_RANK);
    *out = (norn_shape){.rank = rank};
    for (int32_t i = 0; i < rank; i++) NORN_TRY(norn_shape_fresh(ctx, &out->dims[i]));
    return NORN_OK;
}

/// The dimension of a broadcast. Of two different symbols one is the
/// other or 1, which is the larger.
static norn_status broadcast_dim(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    const norn_dim one = norn_dim_const(1);
    if (norn_dim_equal(a, b) || norn_dim_equal(b, one)) {
        *out = a;
    } else if (norn_dim_equal(a, one)) {
        *out = b;
    } else if (norn_dim_is_const(a) && norn_dim_is_const(b)) {
        return norn_fail(NORN_INVALID_ARGUMENT, "dimensions %lld and %lld do not broadcast",
                         (long long)a.constant, (long long)b.constant);
    } else if (norn_dim_is_const(a) || norn_dim_is_const(b)) {
        norn_shape_unproved(ctx);
        *out = norn_dim_is_const(a) ? a : b;
    } else {
        norn_shape_unproved(ctx);
        return norn_shape_dim(ctx, NORN_DIM_MAX, a, b, out);
    }
    return NORN_OK;
}

norn_status norn_shape_broadcast_pair(const norn_shape_ctx *ctx, const norn_shape *a,
                                      const norn_shape *b, norn_shape *out) {
    if (a->rank < 0 || b->rank < 0) {
        *out = norn_shape_unknown();
        return NORN_OK;
    }
    int32_t rank = a->rank > b->rank ? a->rank : b->rank;
    norn_shape result = {.rank = rank};
    for (int32_t i = 0; i < rank; i++) {
        int32_t ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        norn_dim da = ia < 0 ? norn_dim_const(1) : a->dims[ia];
        norn_dim db = ib < 0 ? norn_dim_const(1) : b->dims[ib];
        NORN_TRY(broadcast_dim(ctx, da, db, &result.dims[i]));
    }
    *out = result;
    return NORN_OK;
}

norn_status norn_shape_broadcast_all(const norn_shape_ctx *ctx, uint32_t first, norn_shape *out) {
    *out = norn_shape_scalar();
    for (uint32_t i = first; i < ctx->in_count; i++)
        if (norn_shape_has(ctx, i))
            NORN_TRY(norn_shape_broadcast_pair(ctx, out, &ctx->in[i].shape, out));
    return NORN_OK;
}

norn_status norn_shape_broadcasts_to(const norn_shape_ctx *ctx, uint32_t index,
                                     const norn_shape *to, const char *what) {
    const norn_shape *in = norn_shape_in(ctx, index);
    if (in->rank < 0 || to->rank < 0) return NORN_OK;
    if (in->rank > to->rank)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s has rank %d, the input %d", what, in->rank,
                         to->rank);
    for (int32_t d = 0; d < in->rank; d++) {
        norn_dim own = in->dims[d];
        if (norn_dim_is_const(own) && own.constant == 1) continue;
        NORN_TRY(norn_shape_match(ctx, own, to->dims[to->rank - in->rank + d], what));
    }
    return NORN_OK;
}

norn_status norn_shape_divides(const norn_shape_ctx *ctx, norn_dim dim, int64_t by,
                               const char *what) {
    if (by == 1) return NORN_OK;
    if (!norn_dim_is_const(dim)) {
        bool always = dim.constant % by == 0 && dim.coef % by == 0;
        if (!always) norn_shape_unproved(ctx);
        return NORN_OK;
    }
    if (dim.constant < 0 || dim.constant % by == 0) return NORN_OK; // below 0: not known
    return norn_fail(NORN_INVALID_ARGUMENT, "%s is %lld, not a multiple of %lld", what,
                     (long long)dim.constant, (long long)by);
}

norn_status norn_shape_match(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, const char *what) {
    if (norn_dim_equal(a, b)) return NORN_OK;
    if (!norn_dim_is_const(a) || !norn_dim_is_const(b)) {
        norn_shape_unproved(ctx);
        return NORN_OK;
    }
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: %lld and %lld must be equal", what,
                     (long long)a.constant, (long long)b.constant);
}

void norn_shape_put(norn_shape_ctx *ctx, uint32_t index, norn_dtype dtype,
                    const norn_shape *shape) {
    if (index >= ctx->out_count) return;
    ctx->out[index].dtype = dtype;
    ctx->out[index].shape = *shape;
    for (int32_t i = 0; i < shape->rank; i++)
        if (norn_dim_is_const(shape->dims[i]) && shape->dims[i].constant < 0)
            ctx->out[index].shape.rank = -1;
}

void norn_shape_put_unknown(norn_shape_ctx *ctx, uint32_t index, norn_dtype dtype) {
    norn_shape unknown = norn_shape_unknown();
    norn_shape_put(ctx, index, dtype, &unknown);
}

/// Arithmetic on dims does not wrap as that of `dtype` does: what is outside it is not known here.
static bool holds(norn_dtype dtype, norn_dim dim) {
    uint64_t element = 0;
    if (!norn_dim_is_const(dim)) return true; // it counts things
    if (dtype == NORN_U64) return dim.constant >= 0;
    norn_element_set_i64(dtype, &element, 0, dim.constant);
    return norn_element_i64(dtype, &element, 0) == dim.constant;
}

norn_status norn_shape_put_contents(norn_shape_ctx *ctx, uint32_t index, const norn_dim *dims,
                                    uint32_t count) {
    if (!ctx->arena || index >= ctx->out_count || count > NORN_CONTENTS_MAX) return NORN_OK;
    norn_dtype dtype = ctx->out[index].dtype;
    if (ctx->out[index].shape.rank > 1 ||
        (!norn_dtype_is_integer(dtype) && dtype != NORN_BOOL && !is_wide_float(dtype)))
        return NORN_OK;
    for (uint32_t i = 0; i < count; i++)
        if (!holds(dtype, dims[i])) return NORN_OK;
    norn_dim *copy;
    NORN_TRY(NORN_TAKE_ARRAY(ctx->arena, count ? count : 1, &copy));
    for (uint32_t i = 0; i < count; i++) copy[i] = dims[i];
    ctx->out[index].contents = copy;
    ctx->out[index].contents_count = count;
    return NORN_OK;
}
