// Shapes of operators that move elements: layout, copies, padding.
#include "ops/shape.h"

#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

static norn_status keep_contents(norn_shape_ctx *ctx, uint32_t out) {
    norn_dim dims[NORN_CONTENTS_MAX];
    uint32_t count;
    if (!ctx->arena || !norn_shape_elements(ctx, 0, dims, &count)) return NORN_OK;
    return norn_shape_put_contents(ctx, out, dims, count);
}

norn_status norn_shape_identity(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &ctx->in[0].shape);
    return keep_contents(ctx, 0);
}

norn_status norn_shape_dropout(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &ctx->in[0].shape);
    norn_shape_put(ctx, 1, NORN_BOOL, &ctx->in[0].shape);
    return NORN_OK;
}

norn_status norn_shape_bit_cast(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    int64_t to = norn_attr_i64(ctx->attrs, "to", 0);
    if (to <= NORN_DTYPE_NONE || to >= NORN_DTYPE_COUNT ||
        norn_dtype_bits((norn_dtype)to) != norn_dtype_bits(ctx->in[0].dtype) || to == NORN_STRING)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s cannot be read as element type %lld: another size",
                         norn_dtype_name(ctx->in[0].dtype), (long long)to);
    norn_shape_put(ctx, 0, (norn_dtype)to, &ctx->in[0].shape);
    return NORN_OK;
}

/// The product of all dims but those marked, or -1 as a constant when unknown.
static norn_status elements_of(const norn_shape_ctx *ctx, const norn_shape *shape, norn_dim *out) {
    return norn_shape_product(ctx->symbols, shape, 0, shape->rank, out);
}

/// Divide out what both sides have in common, so that [B, 4, 8] -> [B, -1] is exact with symbols.
static norn_status infer_dim(const norn_shape_ctx *ctx, const norn_shape *from, norn_shape *to,
                             int32_t missing) {
    bool used[NORN_MAX_RANK] = {false};
    norn_dim rest = norn_dim_const(1), over = norn_dim_const(1);
    for (int32_t i = 0; i < to->rank; i++) {
        if (i == missing) continue;
        int32_t match = -1;
        for (int32_t j = 0; j < from->rank && match < 0; j++)
            if (!used[j] && !norn_dim_is_const(to->dims[i]) &&
                norn_dim_equal(from->dims[j], to->dims[i]))
                match = j;
        if (match >= 0)
            used[match] = true;
        else
            NORN_TRY(norn_shape_dim(ctx, NORN_DIM_MUL, rest, to->dims[i], &rest));
    }
    for (int32_t j = 0; j < from->rank; j++)
        if (!used[j]) NORN_TRY(norn_shape_dim(ctx, NORN_DIM_MUL, over, from->dims[j], &over));
    if (norn_dim_is_const(rest) && rest.constant == 0) {
        to->dims[missing] = norn_dim_const(0);
        return NORN_OK;
    }
    if (norn_dim_is_const(rest) && norn_dim_is_const(over) && over.constant % rest.constant != 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "%lld element%s not reshape into rows of %lld",
                         (long long)over.constant, norn_number(over.constant, " does", "s do"),
                         (long long)rest.constant);
    return norn_shape_dim(ctx, NORN_DIM_FLOORDIV, over, rest, &to->dims[missing]);
}

norn_status norn_shape_reshape(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *from = &ctx->in[0].shape;
    norn_dtype dtype = ctx->in[0].dtype;
    if (norn_attr_i64(ctx->attrs, "norn_static_shape", 0)) { // a pass fixed the shape of the output
        norn_shape_put_unknown(ctx, 0, dtype);
        return NORN_OK;
    }
    NORN_TRY(norn_shape_inputs(ctx, 2));
    norn_dim want[NORN_CONTENTS_MAX];
    uint32_t rank;
    if (!norn_shape_elements(ctx, 1, want, &rank)) {
        NORN_TRY(norn_shape_later(ctx, 1));
        int64_t length = norn_shape_length(ctx, 1);
        norn_shape shape = norn_shape_unknown();
        if (length >= 0 && norn_shape_in(ctx, 1)->rank == 1)
            NORN_TRY(norn_shape_fresh_rank(ctx, (int32_t)(length > 99 ? 99 : length), &shape));
        norn_shape_put(ctx, 0, dtype, &shape);
        return NORN_OK;
    }
    if (rank > NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "reshape to rank %u; the largest is %d", rank,
                         NORN_MAX_RANK);
    bool allow_zero = norn_attr_i64(ctx->attrs, "allowzero", 0) != 0;
    norn_shape to = {.rank = (int32_t)rank};
    int32_t missing = -1;
    for (int32_t i = 0; i < to.rank; i++) {
        to.dims[i] = want[i];
        if (!norn_dim_is_const(want[i])) continue;
        if (want[i].constant == 0 && !allow_zero) {
            if (from->rank < 0) {
                NORN_TRY(norn_shape_fresh(ctx, &to.dims[i]));
                continue;
            }
            if (i >= from->rank)
                return norn_fail(NORN_INVALID_ARGUMENT,
                                 "shape has 0 (copy) at %d, the input has rank %d", i, from->rank);
            to.dims[i] = from->dims[i];
        } else if (want[i].constant == -1) {
            if (missing >= 0) return norn_fail(NORN_INVALID_ARGUMENT, "shape has more than one -1");
            missing = i;
        } else if (want[i].constant < 0) {
            return norn_fail(NORN_INVALID_ARGUMENT, "shape has %lld", (long long)want[i].constant);
        }
    }
    if (from->rank < 0) {
        if (missing >= 0) NORN_TRY(norn_shape_fresh(ctx, &to.dims[missing]));
    } else if (missing >= 0) {
        NORN_TRY(infer_dim(ctx, from, &to, missing));
    }
    if (from->rank >= 0) {
        norn_dim before, after;
        NORN_TRY(elements_of(ctx, from, &before));
        NORN_TRY(elements_of(ctx, &to, &after));
        NORN_TRY(norn_shape_match(ctx, before, after, "elements before and after"));
    }
    norn_shape_put(ctx, 0, dtype, &to);
    return keep_contents(ctx, 0);
}

norn_status norn_shape_flatten(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    norn_shape out = {.rank = 2};
    int64_t axis = norn_attr_i64(ctx->attrs, "axis", 1);
    if (in->rank < 0) {
        NORN_TRY(norn_shape_fresh_rank(ctx, 2, &out));
    } else {
        if (axis < 0) axis += in->rank;
        if (axis < 0 || axis > in->rank)
            return norn_fail(NORN_INVALID_ARGUMENT, "axis %lld is outside rank %d", (long long)axis,
                             in->rank);
        NORN_TRY(norn_shape_product(ctx->symbols, in, 0, (int32_t)axis, &out.dims[0]));
        NORN_TRY(norn_shape_product(ctx->symbols, in, (int32_t)axis, in->rank, &out.dims[1]));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_squeeze(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    int64_t axes[NORN_CONTENTS_MAX];
    uint32_t count;
    bool present, known, drop[NORN_MAX_RANK] = {false};
    NORN_TRY(norn_shape_int_list(ctx, 1, "axes", axes, &count, &present, &known));
    if (in->rank < 0 || !known) {
        norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype);
        return keep_contents(ctx, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(axes[i], in->rank, &axis));
        NORN_TRY(
            norn_shape_match(ctx, in->dims[axis], norn_dim_const(1), "a squeezed dimension and 1"));
        drop[axis] = true;
    }
    norn_shape out = {0};
    for (int32_t i = 0; i < in->rank && !present; i++) {
        if (norn_dim_is_const(in->dims[i])) continue;
        norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype); // 1 or not shows when running
        return NORN_OK;
    }
    for (int32_t i = 0; i < in->rank; i++) {
        bool one = norn_dim_is_const(in->dims[i]) && in->dims[i].constant == 1;
        if (present ? !drop[i] : !one) out.dims[out.rank++] = in->dims[i];
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return keep_contents(ctx, 0);
}

norn_status norn_shape_unsqueeze(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    int64_t axes[NORN_CONTENTS_MAX];
    uint32_t count;
    bool present, known, added[NORN_MAX_RANK] = {false};
    NORN_TRY(norn_shape_int_list(ctx, 1, "axes", axes, &count, &present, &known));
    if (!present) return norn_fail(NORN_INVALID_ARGUMENT, "no axes");
    if (in->rank < 0 || !known) {
        norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype);
        return NORN_OK;
    }
    norn_shape out = {.rank = in->rank + (int32_t)count};
    if (out.rank > NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "a result of rank %d; the largest is %d", out.rank,
                         NORN_MAX_RANK);
    for (uint32_t i = 0; i < count; i++) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(axes[i], out.rank, &axis));
        if (added[axis]) return norn_fail(NORN_INVALID_ARGUMENT, "axis %d is given twice", axis);
        added[axis] = true;
    }
    for (int32_t i = 0, from = 0; i < out.rank; i++)
        out.dims[i] = added[i] ? norn_dim_const(1) : in->dims[from++];
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return keep_contents(ctx, 0);
}

norn_status norn_shape_shape_of(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    norn_shape out = {.rank = 1};
    if (in->rank < 0) {
        NORN_TRY(norn_shape_fresh(ctx, &out.dims[0]));
        norn_shape_put(ctx, 0, NORN_I64, &out);
        return NORN_OK;
    }
    int64_t begin = norn_attr_i64(ctx->attrs, "start", 0),
            end = norn_attr_i64(ctx->attrs, "end", in->rank);
    if (begin < 0) begin += in->rank;
    if (end < 0) end += in->rank;
    begin = begin < 0 ? 0 : begin > in->rank ? in->rank : begin;
    end = end < begin ? begin : end > in->rank ? in->rank : end;
    out.dims[0] = norn_dim_const(end - begin);
    norn_shape_put(ctx, 0, NORN_I64, &out);
    return norn_shape_put_contents(ctx, 0, in->dims + begin, (uint32_t)(end - begin));
}

norn_status norn_shape_size_of(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape scalar = norn_shape_scalar();
    norn_shape_put(ctx, 0, NORN_I64, &scalar);
    if (ctx->in[0].shape.rank < 0) return NORN_OK;
    norn_dim elems;
    NORN_TRY(elements_of(ctx, &ctx->in[0].shape, &elems));
    return norn_shape_put_contents(ctx, 0, &elems, 1);
}

/// The importer makes values of Constants: none becomes a node.
norn_status norn_shape_constant(norn_shape_ctx *ctx) {
    (void)ctx;
    return norn_fail(NORN_INTERNAL, "a Constant is a value of the graph, no node");
}

/// A shape that is an input's elements; unknown ones are fresh.
static norn_status shape_from_input(const norn_shape_ctx *ctx, uint32_t index, norn_shape *out) {
    norn_dim dims[NORN_CONTENTS_MAX];
    uint32_t rank;
    *out = norn_shape_unknown();
    if (!norn_shape_elements(ctx, index, dims, &rank)) {
        int64_t length = norn_shape_length(ctx, index);
        return length < 0 ? NORN_OK
                          : norn_shape_fresh_rank(ctx, (int32_t)(length > 99 ? 99 : length), out);
    }
    if (rank > NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "a result of rank %u; the largest is %d", rank,
                         NORN_MAX_RANK);
    out->rank = (int32_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        if (norn_dim_is_const(dims[i]) && dims[i].constant < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u asks for dimension %lld", index,
                             (long long)dims[i].constant);
        out->dims[i] = dims[i];
    }
    return NORN_OK;
}

norn_status norn_shape_constant_of_shape(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape shape;
    NORN_TRY(shape_from_input(ctx, 0, &shape));
    const norn_attr *value = norn_attr_find(ctx->attrs, "value");
    bool tensor = value && value->kind == NORN_ATTR_TENSOR;
    norn_shape_put(ctx, 0, tensor ? value->tensor->dtype : NORN_F32, &shape);
    // Of a small vector of integers the elements are known too.
    if (!tensor || shape.rank > 1 || !norn_dtype_is_integer(value->tensor->dtype)) return NORN_OK;
    int64_t count = shape.rank == 0                                       ? 1
                    : shape.rank == 1 && norn_dim_is_const(shape.dims[0]) ? shape.dims[0].constant
                                                                          : -1;
    if (count < 0 || count > NORN_CONTENTS_MAX || norn_view_elems(value->tensor) != 1)
        return NORN_OK;
    norn_dim dims[NORN_CONTENTS_MAX];
    for (int64_t i = 0; i < count; i++)
        dims[i] = norn_dim_const(norn_element_i64(value->tensor->dtype, value->tensor->data, 0));
    return norn_shape_put_contents(ctx, 0, dims, (uint32_t)count);
}

norn_status norn_shape_eye_like(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, 2));
    norn_shape_put(ctx, 0, (norn_dtype)norn_attr_i64(ctx->attrs, "dtype", ctx->in[0].dtype),
                   &ctx->in[0].shape);
    return NORN_OK;
}

/// ceil((limit - start) / delta) of known numbers, at least 0; false when they are not known.
static bool range_length(const norn_shape_ctx *ctx, int64_t *length) {
    double v[3];
    for (uint32_t i = 0; i < 3; i++) {
        if (!ctx->in[i].data || norn_view_elems(ctx->in[i].data) != 1) return false;
        v[i] = norn_element_f64(ctx->in[i].dtype, ctx->in[i].data->data, 0);
    }
    double n = ceil((v[1] - v[0]) / v[2]);
    *length = n > 0 ? (n < 0x1p62 ? (int64_t)n : INT64_MAX) : 0;
    return v[2] != 0;
}

norn_status norn_shape_range(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    norn_dim start[NORN_CONTENTS_MAX], limit[NORN_CONTENTS_MAX], delta[NORN_CONTENTS_MAX];
    uint32_t n;
    int64_t length;
    norn_shape shape = {.rank = 1};
    if (range_length(ctx, &length)) {
        if (length > INT64_MAX / 16)
            return norn_fail(NORN_INVALID_ARGUMENT, "the range is endless");
        shape.dims[0] = norn_dim_const(length);
    } else if (norn_shape_elements(ctx, 0, start, &n) && n == 1 &&
               norn_shape_elements(ctx, 1, limit, &n) && n == 1 &&
               norn_shape_elements(ctx, 2, delta, &n) && n == 1 && norn_dim_is_const(delta[0]) &&
               delta[0].constant > 0) {
        norn_dim span;
        NORN_TRY(norn_dim_sub(ctx->symbols, limit[0], start[0], &span));
        if (norn_dim_is_const(start[0]) && start[0].constant != 0)
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MAX, span, 0, &span));
        NORN_TRY(
            norn_shape_dim_i64(ctx, NORN_DIM_CEILDIV, span, delta[0].constant, &shape.dims[0]));
        if (norn_dim_is_const(shape.dims[0]) && shape.dims[0].constant < 0)
            shape.dims[0] = norn_dim_const(0);
    } else {
        NORN_TRY(norn_shape_fresh(ctx, &shape.dims[0]));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &shape);
    return NORN_OK;
}

norn_status norn_shape_transpose(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    const int64_t *perm;
    uint32_t count = norn_attr_ints(ctx->attrs, "perm", &perm);
    int32_t rank = in->rank;
    if (rank < 0) {
        norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype);
        return NORN_OK;
    }
    if (count && count != (uint32_t)rank)
        return norn_fail(NORN_INVALID_ARGUMENT, "perm has %u axes, the input has rank %d", count,
                         rank);
    norn_shape out = {.rank = rank};
    uint32_t seen = 0;
    for (int32_t i = 0; i < rank; i++) {
        int32_t axis = rank - 1 - i;
        if (count) NORN_TRY(norn_shape_axis(perm[i], rank, &axis));
        seen |= 1u << axis;
        out.dims[i] = in->dims[axis];
    }
    if (seen != (1u << rank) - 1)
        return norn_fail(NORN_INVALID_ARGUMENT, "perm names an axis twice");
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_expand(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    norn_shape want, out;
    NORN_TRY(shape_from_input(ctx, 1, &want));
    NORN_TRY(norn_shape_broadcast_pair(ctx, &ctx->in[0].shape, &want, &out));
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_tile(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    const norn_shape *in = &ctx->in[0].shape;
    norn_dim repeats[NORN_CONTENTS_MAX];
    uint32_t count;
    norn_shape out = norn_shape_unknown();
    if (in->rank >= 0 && norn_shape_elements(ctx, 1, repeats, &count)) {
        if (count != (uint32_t)in->rank)
            return norn_fail(NORN_INVALID_ARGUMENT, "%u repeat%s for rank %d", count,
                             norn_plural(count), in->rank);
        out.rank = in->rank;
        for (int32_t i = 0; i < out.rank; i++) {
            if (norn_dim_is_const(repeats[i]) && repeats[i].constant < 0)
                return norn_fail(NORN_INVALID_ARGUMENT, "repeats %lld",
                                 (long long)repeats[i].constant);
            NORN_TRY(norn_shape_dim(ctx, NORN_DIM_MUL, in->dims[i], repeats[i], &out.dims[i]));
        }
    } else if (in->rank >= 0) {
        NORN_TRY(norn_shape_later(ctx, 1));
        NORN_TRY(norn_shape_fresh_rank(ctx, in->rank, &out));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_pad(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    const norn_shape *in = &ctx->in[0].shape;
    int64_t pads[NORN_CONTENTS_MAX], axes[NORN_CONTENTS_MAX];
    uint32_t count, axis_count;
    bool axes_present, axes_known;
    norn_shape out = norn_shape_unknown();
    NORN_TRY(norn_shape_int_list(ctx, 3, NULL, axes, &axis_count, &axes_present, &axes_known));
    if (in->rank >= 0 && norn_shape_ints(ctx, 1, pads, &count) && axes_known) {
        if (!axes_present) {
            axis_count = (uint32_t)in->rank;
            for (uint32_t i = 0; i < axis_count; i++) axes[i] = i;
        }
        if (count != 2 * axis_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "%u pad%s for %u axes; it needs two an axis",
                             count, norn_plural(count), axis_count);
        out = *in;
        for (uint32_t i = 0; i < axis_count; i++) {
            int32_t axis;
            NORN_TRY(norn_shape_axis(axes[i], in->rank, &axis));
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, out.dims[axis],
                                        pads[i] + pads[i + axis_count], &out.dims[axis]));
            if (norn_dim_is_const(out.dims[axis]) && out.dims[axis].constant < 0)
                return norn_fail(NORN_INVALID_ARGUMENT, "axis %d is cut by more than it has", axis);
        }
    } else if (in->rank >= 0) {
        NORN_TRY(norn_shape_later(ctx, 1));
        NORN_TRY(norn_shape_fresh_rank(ctx, in->rank, &out));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_center_crop_pad(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    const norn_shape *in = &ctx->in[0].shape;
    norn_dim want[NORN_CONTENTS_MAX];
    uint32_t count;
    const int64_t *axes;
    uint32_t axis_count = norn_attr_ints(ctx->attrs, "axes", &axes);
    norn_shape out = norn_shape_unknown();
    if (in->rank >= 0 && norn_shape_elements(ctx, 1, want, &count)) {
        if (count != (axes ? axis_count : (uint32_t)in->rank))
            return norn_fail(NORN_INVALID_ARGUMENT, "the shape has %u value%s, not one an axis",
                             count, norn_plural(count));
        out = *in;
        for (uint32_t i = 0; i < count; i++) {
            int32_t axis;
            NORN_TRY(norn_shape_axis(axes ? axes[i] : i, in->rank, &axis));
            out.dims[axis] = want[i];
        }
    } else if (in->rank >= 0) {
        NORN_TRY(norn_shape_later(ctx, 1));
        NORN_TRY(norn_shape_fresh_rank(ctx, in->rank, &out));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}
