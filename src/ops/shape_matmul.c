// Shapes of matrix products.
#include "ops/einsum.h"
#include "ops/shape.h"

#include "tensor/dtype.h"

static norn_status matmul(norn_shape_ctx *ctx, uint32_t left, uint32_t right, norn_dtype dtype) {
    norn_shape a = *norn_shape_in(ctx, left), b = *norn_shape_in(ctx, right);
    if (a.rank < 0 || b.rank < 0) {
        norn_shape_put_unknown(ctx, 0, dtype);
        return NORN_OK;
    }
    NORN_TRY(norn_shape_rank_in(ctx, left, 1, NORN_MAX_RANK));
    NORN_TRY(norn_shape_rank_in(ctx, right, 1, NORN_MAX_RANK));
    norn_dim k_a = a.dims[a.rank - 1], k_b = b.dims[b.rank > 1 ? b.rank - 2 : 0];
    if (norn_dim_is_const(k_a) && norn_dim_is_const(k_b) && k_a.constant != k_b.constant)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input %u has %lld column%s, input %u has %lld row%s; was the model "
                         "exported with another feature list?",
                         left, (long long)k_a.constant, norn_plural(k_a.constant), right,
                         (long long)k_b.constant, norn_plural(k_b.constant));
    if (!norn_dim_equal(k_a, k_b)) norn_shape_unproved(ctx);
    norn_shape batch_a = {.rank = a.rank > 2 ? a.rank - 2 : 0},
               batch_b = {.rank = b.rank > 2 ? b.rank - 2 : 0}, out;
    for (int32_t i = 0; i < batch_a.rank; i++) batch_a.dims[i] = a.dims[i];
    for (int32_t i = 0; i < batch_b.rank; i++) batch_b.dims[i] = b.dims[i];
    NORN_TRY(norn_shape_broadcast_pair(ctx, &batch_a, &batch_b, &out));
    if (a.rank > 1) out.dims[out.rank++] = a.dims[a.rank - 2];
    if (b.rank > 1) out.dims[out.rank++] = b.dims[b.rank - 1];
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_matmul(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_same_dtype(ctx, 0, 1));
    return matmul(ctx, 0, 1, ctx->in[0].dtype);
}

norn_status norn_shape_matmul_integer(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    return matmul(ctx, 0, 1, NORN_I32);
}

norn_status norn_shape_qlinear_matmul(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 8));
    return matmul(ctx, 0, 3, ctx->in[7].dtype);
}

norn_status norn_shape_gemm(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_same_dtype(ctx, 0, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 1, 2, 2));
    const norn_shape *a = &ctx->in[0].shape, *b = &ctx->in[1].shape;
    bool ta = norn_attr_i64(ctx->attrs, "transA", 0) != 0,
         tb = norn_attr_i64(ctx->attrs, "transB", 0) != 0;
    norn_shape out = {.rank = 2};
    NORN_TRY(norn_shape_fresh_rank(ctx, 2, &out));
    if (a->rank == 2) out.dims[0] = a->dims[ta];
    if (b->rank == 2) out.dims[1] = b->dims[!tb];
    if (a->rank == 2 && b->rank == 2) {
        norn_dim k_a = a->dims[!ta], k_b = b->dims[tb];
        if (norn_dim_is_const(k_a) && norn_dim_is_const(k_b) && k_a.constant != k_b.constant)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input A has %lld column%s, input B has %lld row%s; was the model "
                             "exported with another feature list?",
                             (long long)k_a.constant, norn_plural(k_a.constant),
                             (long long)k_b.constant, norn_plural(k_b.constant));
        if (!norn_dim_equal(k_a, k_b)) norn_shape_unproved(ctx);
    }
    if (norn_shape_has(ctx, 2)) {
        norn_shape with_c;
        NORN_TRY(norn_shape_same_dtype(ctx, 0, 2));
        NORN_TRY(norn_shape_rank_in(ctx, 2, 0, 2));
        NORN_TRY(norn_shape_broadcast_pair(ctx, &out, &ctx->in[2].shape, &with_c));
        for (int32_t i = 0; with_c.rank == 2 && i < 2; i++)
            NORN_TRY(
                norn_shape_match(ctx, with_c.dims[i], out.dims[i], "C broadcasts to the product"));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_einsum(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    int32_t ranks[NORN_EINSUM_INPUT_MAX];
    norn_dtype dtype = ctx->in[0].dtype;
    if (ctx->in_count > NORN_EINSUM_INPUT_MAX)
        return norn_fail(NORN_UNIMPLEMENTED, "Einsum of %u input%s; at most %d are taken",
                         ctx->in_count, norn_plural(ctx->in_count), NORN_EINSUM_INPUT_MAX);
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        ranks[i] = norn_shape_in(ctx, i)->rank;
        if (ranks[i] < 0) {
            norn_shape_put_unknown(ctx, 0, dtype);
            return NORN_OK;
        }
    }
    norn_einsum einsum;
    NORN_TRY(norn_einsum_parse(norn_attr_string(ctx->attrs, "equation", ""), ranks, ctx->in_count,
                               &einsum));
    norn_dim sizes[NORN_EINSUM_INDEX_MAX];
    for (int32_t i = 0; i < einsum.index_count; i++) sizes[i] = norn_dim_const(1);
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        for (int32_t d = 0; d < ranks[i]; d++) {
            norn_shape one = norn_shape_vector(sizes[einsum.in[i][d]]),
                       two = norn_shape_vector(ctx->in[i].shape.dims[d]), both;
            NORN_TRY(norn_shape_broadcast_pair(ctx, &one, &two, &both));
            sizes[einsum.in[i][d]] = both.dims[0];
        }
    }
    norn_shape out = {.rank = einsum.out_rank};
    for (int32_t d = 0; d < einsum.out_rank; d++) out.dims[d] = sizes[einsum.out[d]];
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_det(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    if (out.rank >= 2) {
        NORN_TRY(norn_shape_match(ctx, out.dims[out.rank - 1], out.dims[out.rank - 2],
                                  "rows and columns"));
        out.rank -= 2;
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}
