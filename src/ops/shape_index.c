// Shapes of operators that pick, scatter, count and draw.
#include "ops/shape.h"

#include "tensor/dtype.h"

static norn_status index_dtype(const norn_shape_ctx *ctx, uint32_t index) {
    norn_dtype dtype = ctx->in[index].dtype;
    if (dtype == NORN_I64 || dtype == NORN_I32) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "indices are %s, they must be int32 or int64",
                     norn_dtype_name(dtype));
}

norn_status norn_shape_gather(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 1, NORN_MAX_RANK));
    NORN_TRY(index_dtype(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape, *indices = &ctx->in[1].shape;
    norn_shape out = norn_shape_unknown();
    int32_t axis = 0;
    if (in->rank >= 0 && indices->rank >= 0) {
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", 0), in->rank, &axis));
        out.rank = in->rank + indices->rank - 1;
        if (out.rank > NORN_MAX_RANK)
            return norn_fail(NORN_INVALID_ARGUMENT, "a result of rank %d; the largest is %d",
                             out.rank, NORN_MAX_RANK);
        for (int32_t i = 0; i < axis; i++) out.dims[i] = in->dims[i];
        for (int32_t i = 0; i < indices->rank; i++) out.dims[axis + i] = indices->dims[i];
        for (int32_t i = axis + 1; i < in->rank; i++) out.dims[i + indices->rank - 1] = in->dims[i];
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    norn_dim from[NORN_CONTENTS_MAX], picked[NORN_CONTENTS_MAX];
    int64_t at[NORN_CONTENTS_MAX];
    uint32_t count, picks;
    if (!ctx->arena || in->rank != 1 || !norn_shape_elements(ctx, 0, from, &count) ||
        !norn_shape_ints(ctx, 1, at, &picks))
        return NORN_OK;
    for (uint32_t i = 0; i < picks; i++) {
        int64_t index = at[i] < 0 ? at[i] + count : at[i];
        if (index < 0 || index >= count)
            return norn_fail(NORN_INVALID_ARGUMENT, "index %lld is outside an axis of %u",
                             (long long)at[i], count);
        picked[i] = from[index];
    }
    return norn_shape_put_contents(ctx, 0, picked, picks);
}

/// Beside `axis` the indices have no more entries along a dim than the data.
static norn_status at_most_as_many(const norn_shape_ctx *ctx, int32_t axis) {
    const norn_shape *data = &ctx->in[0].shape, *indices = &ctx->in[1].shape;
    for (int32_t d = 0; d < indices->rank; d++) {
        const norn_dim has = data->dims[d], wants = indices->dims[d];
        if (d == axis || norn_dim_equal(has, wants)) continue;
        if (!norn_dim_is_const(has) || !norn_dim_is_const(wants)) {
            norn_shape_unproved(ctx);
        } else if (wants.constant > has.constant) {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "the indices have %lld entries along dim %d, the data %lld",
                             (long long)wants.constant, (int)d, (long long)has.constant);
        }
    }
    return NORN_OK;
}

norn_status norn_shape_gather_elements(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(index_dtype(ctx, 1));
    int32_t rank = ctx->in[0].shape.rank, axis;
    if (rank >= 0) {
        NORN_TRY(norn_shape_rank_in(ctx, 1, rank, rank));
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", 0), rank, &axis));
        NORN_TRY(at_most_as_many(ctx, axis));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &ctx->in[1].shape);
    return NORN_OK;
}

norn_status norn_shape_gather_nd(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 1, 1, NORN_MAX_RANK));
    const norn_shape *in = &ctx->in[0].shape, *indices = &ctx->in[1].shape;
    int64_t batch = norn_attr_i64(ctx->attrs, "batch_dims", 0);
    norn_shape out = norn_shape_unknown();
    if (in->rank >= 0 && indices->rank >= 1 &&
        norn_dim_is_const(indices->dims[indices->rank - 1])) {
        int64_t depth = indices->dims[indices->rank - 1].constant;
        if (batch < 0 || batch >= indices->rank || depth < 0 || batch + depth > in->rank)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "indices of %lld coordinate%s into rank %d with batch_dims %lld",
                             (long long)depth, norn_plural(depth), in->rank, (long long)batch);
        int64_t rank = indices->rank - 1 + in->rank - depth - batch;
        if (rank > NORN_MAX_RANK)
            return norn_fail(NORN_INVALID_ARGUMENT, "a result of rank %lld", (long long)rank);
        out.rank = 0;
        for (int32_t i = 0; i < indices->rank - 1; i++) out.dims[out.rank++] = indices->dims[i];
        for (int64_t i = batch + depth; i < in->rank; i++) out.dims[out.rank++] = in->dims[i];
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_one_hot(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    const norn_shape *indices = &ctx->in[0].shape;
    norn_shape out = norn_shape_unknown();
    if (indices->rank >= 0) {
        int32_t axis;
        if (indices->rank == NORN_MAX_RANK)
            return norn_fail(NORN_INVALID_ARGUMENT, "the indices have rank %d", indices->rank);
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", -1), indices->rank + 1, &axis));
        norn_dim depth;
        const norn_view *data = ctx->in[1].data;
        norn_dim known[NORN_CONTENTS_MAX];
        uint32_t count;
        if (data && norn_view_elems(data) == 1) {
            depth = norn_dim_const(norn_element_i64(data->dtype, data->data, 0));
            if (depth.constant < 0)
                return norn_fail(NORN_INVALID_ARGUMENT, "depth is %lld", (long long)depth.constant);
        } else if (norn_shape_elements(ctx, 1, known, &count) && count == 1) {
            depth = known[0];
        } else {
            NORN_TRY(norn_shape_fresh(ctx, &depth));
        }
        out.rank = indices->rank + 1;
        for (int32_t i = 0, from = 0; i < out.rank; i++)
            out.dims[i] = i == axis ? depth : indices->dims[from++];
    }
    norn_shape_put(ctx, 0, ctx->in[2].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_top_k(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 1, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    norn_dim k[NORN_CONTENTS_MAX];
    uint32_t count;
    int32_t axis;
    if (out.rank >= 0) {
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", -1), out.rank, &axis));
        norn_dim whole = out.dims[axis];
        const bool known = norn_shape_elements(ctx, 1, k, &count);
        if (known && count != 1)
            return norn_fail(NORN_INVALID_ARGUMENT, "k has %u value%s, not one", count,
                             norn_plural(count));
        if (!known) NORN_TRY(norn_shape_later(ctx, 1));
        if (known)
            out.dims[axis] = k[0];
        else
            NORN_TRY(norn_shape_fresh(ctx, &out.dims[axis]));
        if (!norn_dim_equal(whole, out.dims[axis])) norn_shape_unproved(ctx);
        bool numbers = norn_dim_is_const(whole) && norn_dim_is_const(out.dims[axis]) && known;
        if (numbers && (out.dims[axis].constant < 0 || out.dims[axis].constant > whole.constant))
            return norn_fail(NORN_INVALID_ARGUMENT, "k is %lld, the axis has %lld",
                             (long long)out.dims[axis].constant, (long long)whole.constant);
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    norn_shape_put(ctx, 1, NORN_I64, &out);
    return NORN_OK;
}

norn_status norn_shape_non_zero(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape out = {.rank = 2};
    int32_t rank = ctx->in[0].shape.rank;
    NORN_TRY(norn_shape_fresh_rank(ctx, 2, &out));
    if (rank >= 0) out.dims[0] = norn_dim_const(rank);
    norn_shape_put(ctx, 0, NORN_I64, &out);
    return NORN_OK;
}

norn_status norn_shape_unique(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape out = ctx->in[0].shape, vector = {.rank = 1}, inverse = {.rank = 1};
    const norn_attr *attr = norn_attr_find(ctx->attrs, "axis");
    NORN_TRY(norn_shape_fresh(ctx, &vector.dims[0]));
    if (!attr) {
        if (out.rank >= 0)
            NORN_TRY(norn_shape_product(ctx->symbols, &out, 0, out.rank, &inverse.dims[0]));
        else
            NORN_TRY(norn_shape_fresh(ctx, &inverse.dims[0]));
        out = vector;
    } else if (out.rank >= 0) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(attr->i64, out.rank, &axis));
        inverse.dims[0] = out.dims[axis];
        out.dims[axis] = vector.dims[0];
    } else {
        NORN_TRY(norn_shape_fresh(ctx, &inverse.dims[0]));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    norn_shape_put(ctx, 1, NORN_I64, &vector);
    norn_shape_put(ctx, 2, NORN_I64, &inverse);
    norn_shape_put(ctx, 3, NORN_I64, &vector);
    return NORN_OK;
}

norn_status norn_shape_compress(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 1, 1, 1));
    norn_shape out = ctx->in[0].shape;
    const norn_attr *attr = norn_attr_find(ctx->attrs, "axis");
    if (!attr) {
        NORN_TRY(norn_shape_fresh_rank(ctx, 1, &out));
    } else if (out.rank >= 0) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(attr->i64, out.rank, &axis));
        NORN_TRY(norn_shape_fresh(ctx, &out.dims[axis]));
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_non_max_suppression(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, 3));
    NORN_TRY(norn_shape_rank_in(ctx, 1, 3, 3));
    norn_shape out = {.rank = 2, .dims = {{0}, norn_dim_const(3)}};
    NORN_TRY(norn_shape_fresh(ctx, &out.dims[0]));
    norn_shape_put(ctx, 0, NORN_I64, &out);
    return NORN_OK;
}

static norn_status random_dtype(const norn_shape_ctx *ctx, norn_dtype fallback, norn_dtype *out) {
    int64_t dtype = norn_attr_i64(ctx->attrs, "dtype", fallback);
    if (dtype <= NORN_DTYPE_NONE || dtype >= NORN_DTYPE_COUNT)
        return norn_fail(NORN_INVALID_ARGUMENT, "dtype %lld is no element type", (long long)dtype);
    *out = (norn_dtype)dtype;
    return NORN_OK;
}

norn_status norn_shape_random(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 0));
    const int64_t *dims;
    uint32_t rank = norn_attr_ints(ctx->attrs, "shape", &dims);
    norn_dtype dtype;
    NORN_TRY(random_dtype(ctx, NORN_F32, &dtype));
    if (rank > NORN_MAX_RANK) return norn_fail(NORN_INVALID_ARGUMENT, "a result of rank %u", rank);
    norn_shape out = {.rank = (int32_t)rank};
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "shape has %lld", (long long)dims[i]);
        out.dims[i] = norn_dim_const(dims[i]);
    }
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_random_like(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_dtype dtype;
    NORN_TRY(random_dtype(ctx, ctx->in[0].dtype, &dtype));
    norn_shape_put(ctx, 0, dtype, &ctx->in[0].shape);
    return NORN_OK;
}

norn_status norn_shape_multinomial(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, 2));
    int64_t samples = norn_attr_i64(ctx->attrs, "sample_size", 1);
    norn_shape out = ctx->in[0].shape;
    norn_dtype dtype;
    NORN_TRY(random_dtype(ctx, NORN_I32, &dtype));
    if (samples < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "sample_size is %lld", (long long)samples);
    if (out.rank == 2) out.dims[1] = norn_dim_const(samples);
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}
