// Shapes of operators that compute each element from the elements at its place.
#include "ops/shape.h"

#include "tensor/dtype.h"

norn_status norn_shape_same(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &ctx->in[0].shape);
    return NORN_OK;
}

/// As the input; the bounds are one number each.
norn_status norn_shape_clip(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    for (uint32_t i = 1; i < ctx->in_count && i < 3; i++)
        for (int32_t d = 0; d < ctx->in[i].shape.rank; d++)
            NORN_TRY(norn_shape_match(ctx, ctx->in[i].shape.dims[d], norn_dim_const(1),
                                      "a bound is one number"));
    return norn_shape_same(ctx);
}

/// As the input; the second input is the axis.
norn_status norn_shape_cumulate(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    return norn_shape_same(ctx);
}

/// As the input; an `axis` attribute must be inside its rank.
norn_status norn_shape_same_axis(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    int32_t axis;
    if (ctx->in[0].shape.rank >= 0)
        NORN_TRY(
            norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", -1), ctx->in[0].shape.rank, &axis));
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &ctx->in[0].shape);
    return NORN_OK;
}

/// Floor, Ceil, Round: whole elements stay what they are.
norn_status norn_shape_whole(norn_shape_ctx *ctx) {
    norn_dim dims[NORN_CONTENTS_MAX];
    uint32_t count;
    NORN_TRY(norn_shape_same(ctx));
    if (!ctx->arena || !norn_shape_elements(ctx, 0, dims, &count)) return NORN_OK;
    return norn_shape_put_contents(ctx, 0, dims, count);
}

norn_status norn_shape_test(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape_put(ctx, 0, NORN_BOOL, &ctx->in[0].shape);
    return NORN_OK;
}

/// Every input broadcasts and all are of one type, which `dtype` NONE takes for the output.
static norn_status broadcast(norn_shape_ctx *ctx, uint32_t inputs, norn_dtype dtype) {
    NORN_TRY(norn_shape_inputs(ctx, inputs));
    for (uint32_t i = 1; i < ctx->in_count; i++)
        if (norn_shape_has(ctx, i)) NORN_TRY(norn_shape_same_dtype(ctx, 0, i));
    norn_shape shape;
    NORN_TRY(norn_shape_broadcast_all(ctx, 0, &shape));
    norn_shape_put(ctx, 0, dtype == NORN_DTYPE_NONE ? ctx->in[0].dtype : dtype, &shape);
    return NORN_OK;
}

norn_status norn_shape_broadcast(norn_shape_ctx *ctx) {
    return broadcast(ctx, 1, NORN_DTYPE_NONE);
}

norn_status norn_shape_binary(norn_shape_ctx *ctx) {
    return broadcast(ctx, 2, NORN_DTYPE_NONE);
}

norn_status norn_shape_compare(norn_shape_ctx *ctx) {
    return broadcast(ctx, 2, NORN_BOOL);
}

norn_status norn_shape_logic(norn_shape_ctx *ctx) {
    return broadcast(ctx, 2, NORN_BOOL);
}

norn_status norn_shape_pow(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    norn_shape shape;
    NORN_TRY(norn_shape_broadcast_all(ctx, 0, &shape));
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &shape);
    return NORN_OK;
}

/// False where the result is not an element that dims can express.
typedef bool (*element_fn)(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out);

/// Arithmetic on shapes: when both operands are known small vectors, so is the result.
static norn_status fold_elements(norn_shape_ctx *ctx, element_fn element) {
    norn_dim a[NORN_CONTENTS_MAX], b[NORN_CONTENTS_MAX], out[NORN_CONTENTS_MAX];
    uint32_t na, nb;
    if (!ctx->arena || ctx->in_count != 2 || ctx->out[0].shape.rank > 1) return NORN_OK;
    if (!norn_shape_elements(ctx, 0, a, &na) || !norn_shape_elements(ctx, 1, b, &nb))
        return NORN_OK;
    if (na != nb && na != 1 && nb != 1) return NORN_OK;
    uint32_t n = na == 1 ? nb : na;
    for (uint32_t i = 0; i < n; i++)
        if (!element(ctx, a[na == 1 ? 0 : i], b[nb == 1 ? 0 : i], &out[i])) return NORN_OK;
    return norn_shape_put_contents(ctx, 0, out, n);
}

static bool apply(const norn_shape_ctx *ctx, norn_dim_op op, norn_dim a, norn_dim b,
                  norn_dim *out) {
    return norn_dim_apply(ctx->symbols, op, a, b, out) == NORN_OK;
}
/// Dims count things, so that a symbolic one is at least 0 when its parts are.
static bool not_negative(norn_dim dim) {
    return dim.constant >= 0 && (norn_dim_is_const(dim) || dim.coef >= 0);
}
static bool element_add(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    return apply(ctx, NORN_DIM_ADD, a, b, out);
}
static bool element_sub(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    return norn_dim_sub(ctx->symbols, a, b, out) == NORN_OK;
}
static bool element_mul(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    return apply(ctx, NORN_DIM_MUL, a, b, out);
}
/// A quotient of floats is a size where nothing is left over.
static bool element_quotient(norn_dim a, norn_dim b, norn_dim *out) {
    int64_t by = b.constant;
    if (!norn_dim_is_const(b) || by <= 0 || a.constant % by || a.coef % by) return false;
    *out = a;
    out->constant /= by;
    out->coef /= by;
    return true;
}
static bool element_div(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    if (norn_dtype_is_float(ctx->in[0].dtype)) return element_quotient(a, b, out);
    return not_negative(a) && norn_dim_is_const(b) && b.constant > 0 &&
           apply(ctx, NORN_DIM_FLOORDIV, a, b, out);
}
static bool element_mod(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    return not_negative(a) && norn_dim_is_const(b) && b.constant > 0 &&
           apply(ctx, NORN_DIM_MOD, a, b, out);
}
static bool element_min(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    return apply(ctx, NORN_DIM_MIN, a, b, out);
}
static bool element_max(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    return apply(ctx, NORN_DIM_MAX, a, b, out);
}
static bool element_equal(const norn_shape_ctx *ctx, norn_dim a, norn_dim b, norn_dim *out) {
    (void)ctx;
    bool same = norn_dim_equal(a, b);
    bool differ = (norn_dim_is_const(a) && norn_dim_is_const(b)) ||
                  (not_negative(a) && norn_dim_is_const(b) && b.constant < 0) ||
                  (not_negative(b) && norn_dim_is_const(a) && a.constant < 0);
    *out = norn_dim_const(same);
    return same || differ;
}

static norn_status arithmetic(norn_shape_ctx *ctx, element_fn element) {
    NORN_TRY(broadcast(ctx, 1, NORN_DTYPE_NONE));
    return fold_elements(ctx, element);
}

static norn_status arithmetic_of_two(norn_shape_ctx *ctx, element_fn element) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    if (ctx->in_count != 2)
        return norn_fail(NORN_INVALID_ARGUMENT, "it has %u input%s, its operator takes 2",
                         ctx->in_count, norn_plural(ctx->in_count));
    return arithmetic(ctx, element);
}

norn_status norn_shape_add(norn_shape_ctx *ctx) {
    return arithmetic_of_two(ctx, element_add);
}
norn_status norn_shape_sub(norn_shape_ctx *ctx) {
    return arithmetic_of_two(ctx, element_sub);
}
norn_status norn_shape_mul(norn_shape_ctx *ctx) {
    return arithmetic_of_two(ctx, element_mul);
}
norn_status norn_shape_div(norn_shape_ctx *ctx) {
    return arithmetic_of_two(ctx, element_div);
}
norn_status norn_shape_mod(norn_shape_ctx *ctx) {
    return arithmetic_of_two(ctx, element_mod);
}
norn_status norn_shape_min(norn_shape_ctx *ctx) {
    return arithmetic(ctx, element_min);
}
norn_status norn_shape_max(norn_shape_ctx *ctx) {
    return arithmetic(ctx, element_max);
}
norn_status norn_shape_compare_equal(norn_shape_ctx *ctx) {
    NORN_TRY(broadcast(ctx, 2, NORN_BOOL));
    return fold_elements(ctx, element_equal);
}

norn_status norn_shape_where(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    NORN_TRY(norn_shape_same_dtype(ctx, 1, 2));
    if (ctx->in[0].dtype != NORN_BOOL)
        return norn_fail(NORN_INVALID_ARGUMENT, "the condition is %s, it must be bool",
                         norn_dtype_name(ctx->in[0].dtype));
    norn_shape shape;
    NORN_TRY(norn_shape_broadcast_all(ctx, 0, &shape));
    norn_shape_put(ctx, 0, ctx->in[1].dtype, &shape);

    norn_dim condition[NORN_CONTENTS_MAX], yes[NORN_CONTENTS_MAX], no[NORN_CONTENTS_MAX];
    uint32_t nc, ny, nn;
    if (!ctx->arena || !norn_shape_elements(ctx, 0, condition, &nc) ||
        !norn_shape_elements(ctx, 1, yes, &ny) || !norn_shape_elements(ctx, 2, no, &nn))
        return NORN_OK;
    uint32_t n = nc == 1 ? (ny == 1 ? nn : ny) : nc;
    if ((nc != n && nc != 1) || (ny != n && ny != 1) || (nn != n && nn != 1)) return NORN_OK;
    norn_dim out[NORN_CONTENTS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        norn_dim which = condition[nc == 1 ? 0 : i];
        if (!norn_dim_is_const(which)) return NORN_OK;
        out[i] = which.constant ? yes[ny == 1 ? 0 : i] : no[nn == 1 ? 0 : i];
    }
    return norn_shape_put_contents(ctx, 0, out, n);
}

/// The same elements in another type.
static norn_status convert(norn_shape_ctx *ctx, norn_dtype dtype) {
    norn_shape_put(ctx, 0, dtype, &ctx->in[0].shape);
    norn_dim dims[NORN_CONTENTS_MAX];
    uint32_t count;
    bool wide = dtype == NORN_I64 || dtype == NORN_I32 || dtype == NORN_F32 || dtype == NORN_F64;
    if (!ctx->arena || !wide || !norn_shape_elements(ctx, 0, dims, &count)) return NORN_OK;
    return norn_shape_put_contents(ctx, 0, dims, count);
}

norn_status norn_shape_cast(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    int64_t to = norn_attr_i64(ctx->attrs, "to", 0);
    if (to <= NORN_DTYPE_NONE || to >= NORN_DTYPE_COUNT)
        return norn_fail(NORN_INVALID_ARGUMENT, "attribute to=%lld is no element type",
                         (long long)to);
    return convert(ctx, (norn_dtype)to);
}

norn_status norn_shape_cast_like(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    return convert(ctx, ctx->in[1].dtype);
}
