// Shapes of operators over sequences: recurrent cells and attention.
#include "ops/shape.h"

#include <string.h>

norn_status norn_shape_rnn(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    for (uint32_t i = 0; i < 3; i++) NORN_TRY(norn_shape_rank_in(ctx, i, 3, 3));
    const norn_shape *x = &ctx->in[0].shape, *w = &ctx->in[1].shape, *r = &ctx->in[2].shape;
    norn_dtype dtype = ctx->in[0].dtype;
    norn_shape y, h;
    NORN_TRY(norn_shape_fresh_rank(ctx, 4, &y));
    if (x->rank < 0 || r->rank < 0) {
        norn_shape_put_unknown(ctx, 0, dtype);
        norn_shape_put_unknown(ctx, 1, dtype);
        norn_shape_put_unknown(ctx, 2, dtype);
        return NORN_OK;
    }
    bool batch_first = norn_attr_i64(ctx->attrs, "layout", 0) != 0;
    norn_dim seq = x->dims[batch_first], batch = x->dims[!batch_first], dirs = r->dims[0],
             hidden = r->dims[2];
    const char *direction = norn_attr_string(ctx->attrs, "direction", "forward");
    NORN_TRY(norn_shape_match(ctx, dirs,
                              norn_dim_const(strcmp(direction, "bidirectional") == 0 ? 2 : 1),
                              "directions of the weights and of the attribute"));
    NORN_TRY(norn_shape_match(
        ctx, hidden, norn_dim_const(norn_attr_i64(ctx->attrs, "hidden_size", hidden.constant)),
        "hidden_size"));
    if (w->rank == 3)
        NORN_TRY(norn_shape_match(ctx, w->dims[2], x->dims[2], "input size of X and of W"));
    y = batch_first ? (norn_shape){.rank = 4, .dims = {batch, seq, dirs, hidden}}
                    : (norn_shape){.rank = 4, .dims = {seq, dirs, batch, hidden}};
    h = batch_first ? (norn_shape){.rank = 3, .dims = {batch, dirs, hidden}}
                    : (norn_shape){.rank = 3, .dims = {dirs, batch, hidden}};
    norn_shape_put(ctx, 0, dtype, &y);
    norn_shape_put(ctx, 1, dtype, &h);
    norn_shape_put(ctx, 2, dtype, &h);
    return NORN_OK;
}

/// [batch, heads, length, size] of a 4D operand, or of a 3D one [batch, length, heads * size].
static norn_status heads_of(const norn_shape_ctx *ctx, uint32_t index, const char *attr,
                            norn_shape *out) {
    const norn_shape *in = norn_shape_in(ctx, index);
    NORN_TRY(norn_shape_rank_in(ctx, index, 3, 4));
    *out = *in;
    if (in->rank != 3) return NORN_OK;
    int64_t heads = norn_attr_i64(ctx->attrs, attr, 0);
    if (heads <= 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "inputs of rank 3 need attribute %s", attr);
    NORN_TRY(norn_shape_divides(ctx, in->dims[2], heads, "the width of all heads"));
    *out = (norn_shape){.rank = 4,
                        .dims = {in->dims[0], norn_dim_const(heads), in->dims[1], in->dims[2]}};
    return norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, in->dims[2], heads, &out->dims[3]);
}

norn_status norn_shape_attention(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    norn_shape q, k, v;
    NORN_TRY(heads_of(ctx, 0, "q_num_heads", &q));
    NORN_TRY(heads_of(ctx, 1, "kv_num_heads", &k));
    NORN_TRY(heads_of(ctx, 2, "kv_num_heads", &v));
    norn_dtype dtype = ctx->in[0].dtype, v_dtype = ctx->in[2].dtype;
    if (q.rank != 4 || k.rank != 4 || v.rank != 4) {
        for (uint32_t i = 0; i < 4; i++) norn_shape_put_unknown(ctx, i, i == 2 ? v_dtype : dtype);
        return NORN_OK;
    }
    NORN_TRY(norn_shape_match(ctx, q.dims[3], k.dims[3], "head sizes of Q and K"));
    NORN_TRY(norn_shape_match(ctx, k.dims[1], v.dims[1], "heads of K and V"));
    NORN_TRY(norn_shape_match(ctx, k.dims[2], v.dims[2], "lengths of K and V"));
    NORN_TRY(norn_shape_match(ctx, q.dims[0], k.dims[0], "batches of Q and K"));
    NORN_TRY(norn_shape_match(ctx, q.dims[0], v.dims[0], "batches of Q and V"));
    norn_dim total = k.dims[2];
    const norn_shape *past = norn_shape_in(ctx, 4);
    if (norn_shape_has(ctx, 4)) {
        NORN_TRY(norn_shape_rank_in(ctx, 4, 4, 4));
        if (past->rank == 4)
            NORN_TRY(norn_shape_dim(ctx, NORN_DIM_ADD, total, past->dims[2], &total));
        else
            NORN_TRY(norn_shape_fresh(ctx, &total));
    }
    norn_shape y = {.rank = 4, .dims = {q.dims[0], q.dims[1], q.dims[2], v.dims[3]}};
    if (ctx->in[0].shape.rank == 3) {
        y = (norn_shape){.rank = 3, .dims = {q.dims[0], q.dims[2]}};
        NORN_TRY(norn_shape_dim(ctx, NORN_DIM_MUL, q.dims[1], v.dims[3], &y.dims[2]));
    }
    norn_shape present_k = {.rank = 4, .dims = {k.dims[0], k.dims[1], total, k.dims[3]}};
    norn_shape present_v = {.rank = 4, .dims = {v.dims[0], v.dims[1], total, v.dims[3]}};
    norn_shape scores = {.rank = 4, .dims = {q.dims[0], q.dims[1], q.dims[2], total}};
    norn_shape_put(ctx, 0, dtype, &y);
    norn_shape_put(ctx, 1, dtype, &present_k);
    norn_shape_put(ctx, 2, v_dtype, &present_v);
    norn_shape_put(ctx, 3, dtype, &scores);
    return NORN_OK;
}

norn_status norn_shape_linear_attention(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    for (uint32_t i = 0; i < 3; i++) NORN_TRY(norn_shape_rank_in(ctx, i, 3, 3));
    norn_shape q = ctx->in[0].shape, k = ctx->in[1].shape, v = ctx->in[2].shape;
    int64_t q_heads = norn_attr_i64(ctx->attrs, "q_num_heads", 0),
            kv_heads = norn_attr_i64(ctx->attrs, "kv_num_heads", 0);
    if (q_heads <= 0 || kv_heads <= 0 || q_heads % kv_heads)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "q_num_heads must be a positive multiple of kv_num_heads");
    norn_dtype dtype = ctx->in[0].dtype,
               state_dtype = norn_shape_has(ctx, 3) ? ctx->in[3].dtype : dtype;
    if (q.rank != 3 || k.rank != 3 || v.rank != 3) {
        norn_shape_put_unknown(ctx, 0, dtype);
        norn_shape_put_unknown(ctx, 1, state_dtype);
        return NORN_OK;
    }
    norn_shape y = q, state = {.rank = 4, .dims = {q.dims[0], norn_dim_const(kv_heads)}};
    NORN_TRY(norn_shape_divides(ctx, k.dims[2], kv_heads, "the width of K"));
    NORN_TRY(norn_shape_divides(ctx, v.dims[2], kv_heads, "the width of V"));
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, k.dims[2], kv_heads, &state.dims[2]));
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, v.dims[2], kv_heads, &state.dims[3]));
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, state.dims[3], q_heads, &y.dims[2]));
    norn_shape_put(ctx, 0, dtype, &y);
    norn_shape_put(ctx, 1, state_dtype, &state);
    return NORN_OK;
}
