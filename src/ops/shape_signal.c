// Shapes of spectra and windows.
#include "ops/shape.h"

#include "tensor/dtype.h"

/// The one integer of input `index` as a dim; fresh when not known.
static norn_status scalar_dim(const norn_shape_ctx *ctx, uint32_t index, norn_dim *out,
                              bool *known) {
    norn_dim dims[NORN_CONTENTS_MAX];
    uint32_t count;
    *known = norn_shape_elements(ctx, index, dims, &count) && count == 1;
    if (!*known) return norn_shape_fresh(ctx, out);
    *out = dims[0];
    if (norn_dim_is_const(*out) && out->constant < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "input %u is %lld", index,
                         (long long)out->constant);
    return NORN_OK;
}

static norn_status half(const norn_shape_ctx *ctx, norn_dim length, norn_dim *out) {
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, length, 2, out));
    return norn_shape_dim_i64(ctx, NORN_DIM_ADD, *out, 1, out);
}

norn_status norn_shape_dft(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    int64_t axis_value[NORN_CONTENTS_MAX];
    uint32_t count;
    if (out.rank < 0 || (norn_shape_has(ctx, 2) && !norn_shape_ints(ctx, 2, axis_value, &count))) {
        if (out.rank >= 0) NORN_TRY(norn_shape_fresh_rank(ctx, out.rank, &out));
        norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
        return NORN_OK;
    }
    int32_t axis;
    NORN_TRY(norn_shape_axis(norn_shape_has(ctx, 2) && count == 1 ? axis_value[0] : -2, out.rank,
                             &axis));
    if (axis == out.rank - 1)
        return norn_fail(NORN_INVALID_ARGUMENT, "the last axis holds real and imaginary parts");
    bool inverse = norn_attr_i64(ctx->attrs, "inverse", 0) != 0,
         onesided = norn_attr_i64(ctx->attrs, "onesided", 0) != 0;
    norn_dim length = out.dims[axis];
    bool known;
    if (norn_shape_has(ctx, 1)) {
        NORN_TRY(scalar_dim(ctx, 1, &length, &known));
    } else if (inverse && onesided) {
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, length, -1, &length));
        NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, length, 2, &length));
    }
    out.dims[axis] = length;
    if (onesided && !inverse) NORN_TRY(half(ctx, length, &out.dims[axis]));
    out.dims[out.rank - 1] = norn_dim_const(onesided && inverse ? 1 : 2);
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_stft(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, 3));
    const norn_shape *in = &ctx->in[0].shape;
    norn_shape out = {.rank = 4};
    NORN_TRY(norn_shape_fresh_rank(ctx, 4, &out));
    if (in->rank >= 2) {
        bool known = true, step_known;
        norn_dim frame = in->dims[1], step;
        if (norn_shape_has(ctx, 3))
            NORN_TRY(scalar_dim(ctx, 3, &frame, &known));
        else if (norn_shape_has(ctx, 2) && norn_shape_in(ctx, 2)->rank == 1)
            frame = ctx->in[2].shape.dims[0];
        NORN_TRY(scalar_dim(ctx, 1, &step, &step_known));
        out.dims[0] = in->dims[0];
        out.dims[3] = norn_dim_const(2);
        if (known) {
            out.dims[2] = frame;
            if (norn_attr_i64(ctx->attrs, "onesided", 1)) NORN_TRY(half(ctx, frame, &out.dims[2]));
        }
        if (known && step_known) {
            if (norn_dim_is_const(step) && step.constant < 1)
                return norn_fail(NORN_INVALID_ARGUMENT, "frame_step is %lld",
                                 (long long)step.constant);
            norn_dim room;
            NORN_TRY(norn_dim_sub(ctx->symbols, in->dims[1], frame, &room));
            if (norn_dim_is_const(room) && room.constant < 0)
                return norn_fail(NORN_INVALID_ARGUMENT, "the frame is longer than the signal");
            NORN_TRY(norn_shape_dim(ctx, NORN_DIM_FLOORDIV, room, step, &out.dims[1]));
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_ADD, out.dims[1], 1, &out.dims[1]));
        }
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

static norn_status dtype_attr(const norn_shape_ctx *ctx, norn_dtype *out) {
    int64_t dtype = norn_attr_i64(ctx->attrs, "output_datatype", NORN_F32);
    if (dtype <= NORN_DTYPE_NONE || dtype >= NORN_DTYPE_COUNT || dtype == NORN_STRING)
        return norn_fail(NORN_INVALID_ARGUMENT, "output_datatype %lld is no number",
                         (long long)dtype);
    *out = (norn_dtype)dtype;
    return NORN_OK;
}

norn_status norn_shape_window(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape out = {.rank = 1};
    bool known;
    norn_dtype dtype;
    NORN_TRY(dtype_attr(ctx, &dtype));
    NORN_TRY(scalar_dim(ctx, 0, &out.dims[0], &known));
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_mel_weights(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 5));
    norn_shape out = {.rank = 2};
    bool known;
    norn_dtype dtype;
    NORN_TRY(dtype_attr(ctx, &dtype));
    NORN_TRY(scalar_dim(ctx, 1, &out.dims[0], &known));
    if (known) NORN_TRY(half(ctx, out.dims[0], &out.dims[0]));
    NORN_TRY(scalar_dim(ctx, 0, &out.dims[1], &known));
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}
