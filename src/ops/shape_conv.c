// Shapes of convolutions and pools.
#include "ops/shape.h"
#include "ops/window.h"

#include <string.h>

static norn_status window_dim(const norn_shape_ctx *ctx, const norn_window *window, int32_t i,
                              norn_dim in, norn_dim *out) {
    int64_t span = norn_window_span(window, i), stride = window->stride[i],
            pads = window->begin[i] + window->end[i];
    if (window->auto_pad == NORN_PAD_SAME_UPPER || window->auto_pad == NORN_PAD_SAME_LOWER)
        return norn_shape_dim_i64(ctx, NORN_DIM_CEILDIV, in, stride, out);
    norn_dim room;
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, in, pads - span, &room));
    if (norn_dim_is_const(room) && room.constant < 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the window spans %lld, spatial dimension %d with padding only %lld",
                         (long long)span, i, (long long)(room.constant + span));
    NORN_TRY(norn_shape_dim_i64(ctx, window->ceil_mode ? NORN_DIM_CEILDIV : NORN_DIM_FLOORDIV, room,
                                stride, out));
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, *out, 1, out));
    if (!window->ceil_mode) return NORN_OK;
    // A window that begins in the padding at the end is left out.
    norn_dim most;
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, in, window->begin[i], &most));
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_CEILDIV, most, stride, &most));
    return norn_shape_dim(ctx, NORN_DIM_MIN, *out, most, out);
}

/// Spatial dims of weight input `index` as numbers; false when one is not known.
static bool kernel_dims(const norn_shape_ctx *ctx, uint32_t index, int64_t *kernel) {
    const norn_shape *weight = norn_shape_in(ctx, index);
    for (int32_t i = 2; i < weight->rank; i++) {
        if (!norn_dim_is_const(weight->dims[i])) return false;
        kernel[i - 2] = weight->dims[i].constant;
    }
    return weight->rank > 2;
}

static norn_status conv(norn_shape_ctx *ctx, uint32_t weight_index, norn_dtype dtype) {
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, NORN_MAX_RANK));
    norn_shape in = ctx->in[0].shape, out;
    const norn_shape *weight = norn_shape_in(ctx, weight_index);
    if (in.rank < 0) {
        norn_shape_put(ctx, 0, dtype, &in);
        return NORN_OK;
    }
    NORN_TRY(norn_shape_rank_in(ctx, weight_index, in.rank, in.rank));
    int64_t kernel[NORN_MAX_RANK], group = norn_attr_i64(ctx->attrs, "group", 1);
    bool known = kernel_dims(ctx, weight_index, kernel);
    NORN_TRY(norn_shape_fresh_rank(ctx, in.rank, &out));
    out.dims[0] = in.dims[0];
    if (weight->rank > 0) {
        norn_dim taken;
        out.dims[1] = weight->dims[0];
        if (group < 1) return norn_fail(NORN_INVALID_ARGUMENT, "group is %lld", (long long)group);
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, weight->dims[1], group, &taken));
        NORN_TRY(norn_shape_match(ctx, in.dims[1], taken, "channels of X and of the weight"));
        if (norn_dim_is_const(out.dims[1]) && out.dims[1].constant % group)
            return norn_fail(NORN_INVALID_ARGUMENT, "%lld output channels in %lld group%s",
                             (long long)out.dims[1].constant, (long long)group, norn_plural(group));
    }
    const int64_t *given;
    if (known || norn_attr_ints(ctx->attrs, "kernel_shape", &given)) {
        norn_window window;
        NORN_TRY(norn_window_read(ctx->attrs, in.rank - 2, known ? kernel : NULL, &window));
        for (int32_t i = 0; i < window.rank; i++)
            NORN_TRY(window_dim(ctx, &window, i, in.dims[i + 2], &out.dims[i + 2]));
    }
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_conv(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_same_dtype(ctx, 0, 1));
    return conv(ctx, 1, ctx->in[0].dtype);
}
norn_status norn_shape_deform_conv(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    return conv(ctx, 1, ctx->in[0].dtype);
}
norn_status norn_shape_conv_integer(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    return conv(ctx, 1, NORN_I32);
}
norn_status norn_shape_qlinear_conv(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 8));
    return conv(ctx, 3, ctx->in[7].dtype);
}

norn_status norn_shape_causal_conv(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, 3));
    NORN_TRY(norn_shape_rank_in(ctx, 1, 3, 3));
    const norn_shape *in = &ctx->in[0].shape, *weight = &ctx->in[1].shape;
    norn_shape state = *in;
    if (in->rank == 3 && weight->rank == 3) {
        NORN_TRY(
            norn_shape_match(ctx, in->dims[1], weight->dims[0], "channels of input and weight"));
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, weight->dims[2], -1, &state.dims[2]));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, in);
    norn_shape_put(ctx, 1, ctx->in[0].dtype, &state);
    return NORN_OK;
}

norn_status norn_shape_conv_transpose(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_same_dtype(ctx, 0, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, NORN_MAX_RANK));
    norn_shape in = ctx->in[0].shape, out;
    const norn_shape *weight = norn_shape_in(ctx, 1);
    int64_t kernel[NORN_MAX_RANK], group = norn_attr_i64(ctx->attrs, "group", 1);
    if (in.rank < 0 || !kernel_dims(ctx, 1, kernel)) {
        norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype);
        return NORN_OK;
    }
    NORN_TRY(norn_shape_rank_in(ctx, 1, in.rank, in.rank));
    NORN_TRY(norn_shape_fresh_rank(ctx, in.rank, &out));
    NORN_TRY(norn_shape_match(ctx, in.dims[1], weight->dims[0], "channels of X and of the weight"));
    if (group < 1 || (norn_dim_is_const(in.dims[1]) && in.dims[1].constant % group))
        return norn_fail(NORN_INVALID_ARGUMENT, "group is %lld", (long long)group);
    norn_window window;
    NORN_TRY(norn_window_read(ctx->attrs, in.rank - 2, kernel, &window));
    const int64_t *shape, *extra;
    uint32_t shape_count = norn_attr_ints(ctx->attrs, "output_shape", &shape);
    uint32_t extra_count = norn_attr_ints(ctx->attrs, "output_padding", &extra);
    if ((shape && shape_count != (uint32_t)window.rank) ||
        (extra && extra_count != (uint32_t)window.rank))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "output_shape and output_padding have one value a spatial dimension");
    out.dims[0] = in.dims[0];
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, weight->dims[1], group, &out.dims[1]));
    for (int32_t i = 0; i < window.rank; i++) {
        norn_dim *dim = &out.dims[i + 2];
        if (shape) {
            *dim = norn_dim_const(shape[i] < 0 ? 0 : shape[i]);
            continue;
        }
        if (window.auto_pad == NORN_PAD_SAME_UPPER || window.auto_pad == NORN_PAD_SAME_LOWER) {
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, in.dims[i + 2], window.stride[i], dim));
            continue;
        }
        int64_t more =
            (extra ? extra[i] : 0) + norn_window_span(&window, i) - window.begin[i] - window.end[i];
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, in.dims[i + 2], -1, dim));
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, *dim, window.stride[i], dim));
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, *dim, more, dim));
        if (norn_dim_is_const(*dim) && dim->constant < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "spatial dimension %d would be negative", i);
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_pool(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    if (out.rank >= 3) {
        norn_window window;
        NORN_TRY(norn_window_read(ctx->attrs, out.rank - 2, NULL, &window));
        for (int32_t i = 0; i < window.rank; i++)
            NORN_TRY(window_dim(ctx, &window, i, out.dims[i + 2], &out.dims[i + 2]));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    norn_shape_put(ctx, 1, NORN_I64, &out);
    return NORN_OK;
}

norn_status norn_shape_global_pool(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    for (int32_t i = 2; i < out.rank; i++) out.dims[i] = norn_dim_const(1);
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_max_unpool(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    norn_dim dims[NORN_CONTENTS_MAX];
    uint32_t count;
    if (out.rank >= 3 && norn_shape_has(ctx, 2)) {
        if (norn_shape_elements(ctx, 2, dims, &count) && count == (uint32_t)out.rank)
            memcpy(out.dims, dims, count * sizeof *dims);
        else
            NORN_TRY(norn_shape_fresh_rank(ctx, out.rank, &out));
    } else if (out.rank >= 3) {
        norn_window window;
        NORN_TRY(norn_window_read(ctx->attrs, out.rank - 2, NULL, &window));
        for (int32_t i = 0; i < window.rank; i++) {
            norn_dim *dim = &out.dims[i + 2];
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, *dim, -1, dim));
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, *dim, window.stride[i], dim));
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, *dim,
                                        window.kernel[i] - window.begin[i] - window.end[i], dim));
        }
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}
