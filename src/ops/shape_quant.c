// Shapes of quantisation.
#include "ops/shape.h"

norn_status norn_shape_quantize(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    int64_t dtype = norn_attr_i64(ctx->attrs, "output_dtype", 0);
    if (dtype < 0 || dtype >= NORN_DTYPE_COUNT)
        return norn_fail(NORN_INVALID_ARGUMENT, "output_dtype %lld is no element type",
                         (long long)dtype);
    if (norn_shape_has(ctx, 2)) dtype = ctx->in[2].dtype;
    norn_shape_put(ctx, 0, dtype ? (norn_dtype)dtype : NORN_U8, &ctx->in[0].shape);
    return NORN_OK;
}

norn_status norn_shape_dequantize(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    int64_t dtype = norn_attr_i64(ctx->attrs, "output_dtype", 0);
    if (dtype < 0 || dtype >= NORN_DTYPE_COUNT)
        return norn_fail(NORN_INVALID_ARGUMENT, "output_dtype %lld is no element type",
                         (long long)dtype);
    norn_shape_put(ctx, 0, dtype ? (norn_dtype)dtype : ctx->in[1].dtype, &ctx->in[0].shape);
    return NORN_OK;
}

norn_status norn_shape_dynamic_quantize(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape scalar = norn_shape_scalar();
    norn_shape_put(ctx, 0, NORN_U8, &ctx->in[0].shape);
    norn_shape_put(ctx, 1, NORN_F32, &scalar);
    norn_shape_put(ctx, 2, NORN_U8, &scalar);
    return NORN_OK;
}
