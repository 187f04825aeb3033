// Shapes of operators on images and regions of interest.
#include "ops/shape.h"

#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

/// dim * scale, rounded down. Symbols stay for whole factors and simple fractions.
static norn_status scale_dim(const norn_shape_ctx *ctx, norn_dim dim, double scale, norn_dim *out) {
    if (!(scale > 0) || scale > 1e9) return norn_fail(NORN_INVALID_ARGUMENT, "scale %g", scale);
    if (norn_dim_is_const(dim)) {
        *out = norn_dim_const((int64_t)floor((double)dim.constant * (double)(float)scale));
        return NORN_OK;
    }
    if (scale == floor(scale))
        return norn_shape_dim_i64(ctx, NORN_DIM_MUL, dim, (int64_t)scale, out);
    if (1 / scale == floor(1 / scale))
        return norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, dim, (int64_t)(1 / scale), out);
    return norn_shape_fresh(ctx, out);
}

/// One factor for all axes, so that none is above (not_larger)
/// or below (not_smaller) what is asked.
static norn_status keep_aspect(norn_shape_ctx *ctx, norn_shape *out, const int64_t *axes,
                               const norn_dim *sizes, uint32_t count, bool smallest) {
    double factor = 0;
    for (uint32_t i = 0; i < count; i++) {
        norn_dim dim = out->dims[axes[i]];
        if (!norn_dim_is_const(dim) || !norn_dim_is_const(sizes[i]) || dim.constant == 0) {
            for (uint32_t j = 0; j < count; j++)
                NORN_TRY(norn_shape_fresh(ctx, &out->dims[axes[j]]));
            return NORN_OK;
        }
        double ratio = (double)sizes[i].constant / (double)dim.constant;
        if (i == 0 || (smallest ? ratio < factor : ratio > factor)) factor = ratio;
    }
    for (uint32_t i = 0; i < count; i++) {
        norn_dim *dim = &out->dims[axes[i]];
        *dim = norn_dim_const((int64_t)floor((double)dim->constant * factor + 0.5));
    }
    return NORN_OK;
}

norn_status norn_shape_resize(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    norn_shape out = ctx->in[0].shape;
    norn_dtype dtype = ctx->in[0].dtype;
    if (out.rank < 0) {
        norn_shape_put(ctx, 0, dtype, &out);
        return NORN_OK;
    }
    const int64_t *given;
    int64_t axes[NORN_MAX_RANK];
    uint32_t count = norn_attr_ints(ctx->attrs, "axes", &given);
    if (!given) count = (uint32_t)out.rank;
    if (count > (uint32_t)out.rank)
        return norn_fail(NORN_INVALID_ARGUMENT, "%u axes for rank %d", count, out.rank);
    for (uint32_t i = 0; i < count; i++) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(given ? given[i] : i, out.rank, &axis));
        axes[i] = axis;
    }
    const norn_view *scales = norn_shape_has(ctx, 2) ? ctx->in[2].data : NULL;
    bool by_sizes = norn_shape_has(ctx, 3) && norn_shape_length(ctx, 3) != 0;
    norn_dim sizes[NORN_CONTENTS_MAX];
    uint32_t size_count;
    if (by_sizes && norn_shape_elements(ctx, 3, sizes, &size_count)) {
        if (size_count != count)
            return norn_fail(NORN_INVALID_ARGUMENT, "%u size%s for %u axes", size_count,
                             norn_plural(size_count), count);
        const char *policy = norn_attr_string(ctx->attrs, "keep_aspect_ratio_policy", "stretch");
        if (strcmp(policy, "stretch") != 0)
            NORN_TRY(keep_aspect(ctx, &out, axes, sizes, count, strcmp(policy, "not_larger") == 0));
        else
            for (uint32_t i = 0; i < count; i++) out.dims[axes[i]] = sizes[i];
    } else if (!by_sizes && scales && norn_view_elems(scales) > 0) {
        if (norn_view_elems(scales) != count)
            return norn_fail(NORN_INVALID_ARGUMENT, "%lld scale%s for %u axes",
                             (long long)norn_view_elems(scales),
                             norn_plural(norn_view_elems(scales)), count);
        for (uint32_t i = 0; i < count; i++) {
            double scale = norn_element_f64(scales->dtype, scales->data, i);
            NORN_TRY(scale_dim(ctx, out.dims[axes[i]], scale, &out.dims[axes[i]]));
        }
    } else {
        for (uint32_t i = 0; i < count; i++) NORN_TRY(norn_shape_fresh(ctx, &out.dims[axes[i]]));
    }
    norn_shape_put(ctx, 0, dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_col2im(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, 3));
    const norn_shape *in = &ctx->in[0].shape;
    norn_dim image[NORN_CONTENTS_MAX];
    int64_t block[NORN_CONTENTS_MAX], block_elems = 1;
    uint32_t rank, block_rank;
    norn_shape out = norn_shape_unknown();
    if (in->rank == 3 && norn_shape_elements(ctx, 1, image, &rank) &&
        norn_shape_ints(ctx, 2, block, &block_rank)) {
        if (rank != block_rank || rank + 2 > NORN_MAX_RANK)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "image_shape has %u dimension%s, block_shape %u", rank,
                             norn_plural(rank), block_rank);
        for (uint32_t i = 0; i < rank; i++) {
            if (block[i] < 1 || block[i] > 65536)
                return norn_fail(NORN_INVALID_ARGUMENT, "block_shape has %lld",
                                 (long long)block[i]);
            block_elems *= block[i] > INT32_MAX / block_elems ? 1 : block[i];
        }
        out = (norn_shape){.rank = (int32_t)rank + 2, .dims = {in->dims[0]}};
        NORN_TRY(
            norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, in->dims[1], block_elems, &out.dims[1]));
        memcpy(out.dims + 2, image, rank * sizeof *image);
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_grid_sample(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, NORN_MAX_RANK));
    norn_shape out = ctx->in[0].shape;
    const norn_shape *grid = &ctx->in[1].shape;
    if (out.rank >= 0) NORN_TRY(norn_shape_rank_in(ctx, 1, out.rank, out.rank));
    if (out.rank >= 0 && grid->rank >= 0) {
        NORN_TRY(norn_shape_match(ctx, grid->dims[grid->rank - 1], norn_dim_const(out.rank - 2),
                                  "grid coordinates and spatial dimensions"));
        NORN_TRY(norn_shape_match(ctx, grid->dims[0], out.dims[0], "batches of X and grid"));
        for (int32_t i = 2; i < out.rank; i++) out.dims[i] = grid->dims[i - 1];
    } else {
        out = norn_shape_unknown();
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_affine_grid(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 3, 3));
    norn_dim size[NORN_CONTENTS_MAX];
    uint32_t count;
    norn_shape out = norn_shape_unknown();
    if (norn_shape_elements(ctx, 1, size, &count)) {
        if (count != 4 && count != 5)
            return norn_fail(NORN_INVALID_ARGUMENT, "size has %u value%s, not 4 or 5", count,
                             norn_plural(count));
        out = (norn_shape){.rank = (int32_t)count, .dims = {size[0]}};
        for (uint32_t i = 2; i < count; i++) out.dims[i - 1] = size[i];
        out.dims[count - 1] = norn_dim_const(count - 2);
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

static norn_status pooled_rois(norn_shape_ctx *ctx, int64_t height, int64_t width) {
    NORN_TRY(norn_shape_rank_in(ctx, 0, 4, 4));
    NORN_TRY(norn_shape_rank_in(ctx, 1, 2, 2));
    norn_shape out = {.rank = 4};
    NORN_TRY(norn_shape_fresh_rank(ctx, 4, &out));
    if (height < 1 || width < 1)
        return norn_fail(NORN_INVALID_ARGUMENT, "an output of %lld by %lld", (long long)height,
                         (long long)width);
    if (ctx->in[1].shape.rank == 2) out.dims[0] = ctx->in[1].shape.dims[0];
    if (ctx->in[0].shape.rank == 4) out.dims[1] = ctx->in[0].shape.dims[1];
    out.dims[2] = norn_dim_const(height);
    out.dims[3] = norn_dim_const(width);
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_roi_align(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    return pooled_rois(ctx, norn_attr_i64(ctx->attrs, "output_height", 1),
                       norn_attr_i64(ctx->attrs, "output_width", 1));
}

norn_status norn_shape_max_roi_pool(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    const int64_t *pooled;
    if (norn_attr_ints(ctx->attrs, "pooled_shape", &pooled) != 2)
        return norn_fail(NORN_INVALID_ARGUMENT, "pooled_shape must have two values");
    return pooled_rois(ctx, pooled[0], pooled[1]);
}
