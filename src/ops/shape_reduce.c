// Shapes of reductions and normalisations.
#include "ops/shape.h"

norn_status norn_shape_reduce(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    norn_dtype dtype = ctx->in[0].dtype;
    bool keep = norn_attr_i64(ctx->attrs, "keepdims", 1) == 1;
    bool noop = norn_attr_i64(ctx->attrs, "noop_with_empty_axes", 0) != 0;
    int64_t axes[NORN_CONTENTS_MAX];
    uint32_t count;
    bool present, known, reduced[NORN_MAX_RANK] = {false};
    NORN_TRY(norn_shape_int_list(ctx, 1, "axes", axes, &count, &present, &known));
    norn_shape out = norn_shape_unknown();
    if (in->rank >= 0 && !known) {
        int64_t length = norn_shape_length(ctx, 1);
        if (keep)
            NORN_TRY(norn_shape_fresh_rank(ctx, in->rank, &out));
        else if (length > 0 && length <= in->rank)
            NORN_TRY(norn_shape_fresh_rank(ctx, in->rank - (int32_t)length, &out));
    } else if (in->rank >= 0) {
        for (uint32_t i = 0; i < count; i++) {
            int32_t axis;
            NORN_TRY(norn_shape_axis(axes[i], in->rank, &axis));
            reduced[axis] = true;
        }
        out.rank = 0;
        for (int32_t i = 0; i < in->rank; i++) {
            bool drop = count ? reduced[i] : !noop;
            if (!drop)
                out.dims[out.rank++] = in->dims[i];
            else if (keep)
                out.dims[out.rank++] = norn_dim_const(1);
        }
    }
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_arg_reduce(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    norn_shape out = norn_shape_unknown();
    if (in->rank >= 0) {
        int32_t axis = 0;
        if (in->rank > 0)
            NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", 0), in->rank, &axis));
        bool keep = norn_attr_i64(ctx->attrs, "keepdims", 1) == 1;
        out.rank = 0;
        for (int32_t i = 0; i < in->rank; i++) {
            if (i != axis)
                out.dims[out.rank++] = in->dims[i];
            else if (keep)
                out.dims[out.rank++] = norn_dim_const(1);
        }
    }
    norn_shape_put(ctx, 0, NORN_I64, &out);
    return NORN_OK;
}

norn_status norn_shape_layer_norm(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    const norn_shape *in = &ctx->in[0].shape;
    norn_shape stats = *in;
    int32_t axis = 0;
    if (in->rank > 0)
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", -1), in->rank, &axis));
    for (int32_t i = axis; i < in->rank; i++) stats.dims[i] = norn_dim_const(1);
    NORN_TRY(norn_shape_broadcasts_to(ctx, 1, in, "the scale"));
    if (norn_shape_has(ctx, 2)) NORN_TRY(norn_shape_broadcasts_to(ctx, 2, in, "the bias"));
    norn_dtype stash = (norn_dtype)norn_attr_i64(ctx->attrs, "stash_type", NORN_F32);
    if (stash != NORN_F32 && stash != NORN_F64 && stash != NORN_F16 && stash != NORN_BF16)
        return norn_fail(NORN_INVALID_ARGUMENT, "stash_type %d is not a floating type", (int)stash);
    norn_shape_put(ctx, 0, ctx->in[0].dtype, in);
    norn_shape_put(ctx, 1, stash, &stats);
    norn_shape_put(ctx, 2, stash, &stats);
    return NORN_OK;
}

norn_status norn_shape_rms_norm(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_same_axis(ctx));
    return norn_shape_broadcasts_to(ctx, 1, &ctx->in[0].shape, "the scale");
}

norn_status norn_shape_batch_norm(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 5));
    const norn_shape *in = &ctx->in[0].shape;
    norn_dim channels = in->rank > 1 ? in->dims[1] : norn_dim_const(1);
    for (uint32_t i = 1; i < 5; i++) {
        NORN_TRY(norn_shape_rank_in(ctx, i, 1, 1));
        if (in->rank >= 0 && ctx->in[i].shape.rank == 1)
            NORN_TRY(norn_shape_match(ctx, ctx->in[i].shape.dims[0], channels,
                                      "channels of X and of a parameter"));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, in);
    norn_shape_put(ctx, 1, ctx->in[3].dtype, &ctx->in[3].shape);
    norn_shape_put(ctx, 2, ctx->in[4].dtype, &ctx->in[4].shape);
    return NORN_OK;
}

/// [N, C, d...] and [N, d...]: the loss is [N, d...] or, reduced, a scalar.
static norn_status loss(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, NORN_MAX_RANK));
    norn_shape scalar = norn_shape_scalar();
    const char *reduction = norn_attr_string(ctx->attrs, "reduction", "mean");
    bool none = reduction[0] == 'n';
    norn_shape_put(ctx, 0, ctx->in[0].dtype, none ? &ctx->in[1].shape : &scalar);
    return NORN_OK;
}

norn_status norn_shape_nll_loss(norn_shape_ctx *ctx) {
    return loss(ctx);
}

norn_status norn_shape_softmax_loss(norn_shape_ctx *ctx) {
    NORN_TRY(loss(ctx));
    norn_shape_put(ctx, 1, ctx->in[0].dtype, &ctx->in[0].shape);
    return NORN_OK;
}
