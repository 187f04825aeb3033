// Shapes of operators that join, cut and rearrange along an axis.
#include "ops/shape.h"

#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

static norn_status concat_contents(norn_shape_ctx *ctx) {
    norn_dim all[NORN_CONTENTS_MAX], part[NORN_CONTENTS_MAX];
    uint32_t total = 0, count;
    if (!ctx->arena) return NORN_OK;
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        if (!norn_shape_elements(ctx, i, part, &count) || total + count > NORN_CONTENTS_MAX)
            return NORN_OK;
        memcpy(all + total, part, count * sizeof *part);
        total += count;
    }
    return norn_shape_put_contents(ctx, 0, all, total);
}

norn_status norn_shape_concat(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, ctx->in_count ? ctx->in_count : 1));
    norn_shape out = ctx->in[0].shape;
    int32_t axis = 0;
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        NORN_TRY(norn_shape_same_dtype(ctx, 0, i));
        const norn_shape *in = &ctx->in[i].shape;
        if (in->rank < 0 || out.rank < 0) {
            out = norn_shape_unknown();
            continue;
        }
        if (in->rank != out.rank)
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u has rank %d, input 0 has rank %d", i,
                             in->rank, out.rank);
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", 0), out.rank, &axis));
        if (i == 0) continue;
        for (int32_t d = 0; d < out.rank; d++) {
            if (d == axis) {
                NORN_TRY(norn_shape_dim(ctx, NORN_DIM_ADD, out.dims[d], in->dims[d], &out.dims[d]));
            } else {
                NORN_TRY(
                    norn_shape_match(ctx, out.dims[d], in->dims[d], "dimensions beside the axis"));
                if (norn_dim_is_const(in->dims[d])) out.dims[d] = in->dims[d];
            }
        }
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return concat_contents(ctx);
}

/// Size `index` of Split's list, which may be longer than contents that are kept. False: not known.
static bool split_size(const norn_shape_ctx *ctx, uint32_t index, norn_dim *out) {
    const norn_shape_io *sizes = &ctx->in[1];
    if (sizes->data) {
        *out = norn_dim_const(norn_element_i64(sizes->dtype, sizes->data->data, index));
        return true;
    }
    if (!sizes->contents) return false;
    *out = sizes->contents[index];
    return true;
}

/// How many sizes the list has; -1 when not known yet.
static norn_status split_count(const norn_shape_ctx *ctx, int64_t *out) {
    const norn_shape_io *sizes = &ctx->in[1];
    *out = sizes->data       ? norn_view_elems(sizes->data)
           : sizes->contents ? (int64_t)sizes->contents_count
                             : -1;
    if (sizes->shape.rank > 1 || !norn_dtype_is_integer(sizes->dtype))
        return norn_fail(NORN_INVALID_ARGUMENT, "the split sizes are no list of integers");
    if (*out < 0) *out = norn_shape_length(ctx, 1);
    if (*out >= 0 && *out != ctx->out_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "%lld split size%s for %u output%s",
                         (long long)*out, norn_plural(*out), ctx->out_count,
                         norn_plural(ctx->out_count));
    return NORN_OK;
}

static norn_status split_as_listed(norn_shape_ctx *ctx, int32_t axis, norn_shape out) {
    const norn_dim whole = out.dims[axis];
    norn_dim used = norn_dim_const(0);
    int64_t count;
    bool known = true;
    NORN_TRY(split_count(ctx, &count));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        if (!split_size(ctx, i, &out.dims[axis])) {
            known = false;
            NORN_TRY(norn_shape_fresh(ctx, &out.dims[axis]));
        } else if (norn_dim_is_const(out.dims[axis]) && out.dims[axis].constant < 0) {
            return norn_fail(NORN_INVALID_ARGUMENT, "part %u has a negative size", i);
        }
        if (known) NORN_TRY(norn_shape_dim(ctx, NORN_DIM_ADD, used, out.dims[axis], &used));
        norn_shape_put(ctx, i, ctx->in[0].dtype, &out);
    }
    if (!known) return NORN_OK;
    return norn_shape_match(ctx, used, whole, "the sum of the split sizes and the axis");
}

/// Parts of one size, the last smaller; more parts than the axis has: the last are empty.
static norn_status split_evenly(norn_shape_ctx *ctx, int32_t axis, norn_shape out) {
    const norn_dim whole = out.dims[axis];
    norn_dim chunk, used = norn_dim_const(0);
    int64_t parts = norn_attr_i64(ctx->attrs, "num_outputs", ctx->out_count);
    if (parts <= 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "num_outputs is %lld", (long long)parts);
    if (norn_attr_i64(ctx->attrs, "norn_equal", 0)) // opsets before 18
        NORN_TRY(norn_shape_divides(ctx, whole, parts, "the axis that is split equally"));
    NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_CEILDIV, whole, parts, &chunk));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        norn_dim *size = &out.dims[axis];
        if (norn_dim_is_const(whole)) {
            int64_t rest = whole.constant - used.constant;
            *size = norn_dim_const(rest < chunk.constant ? rest : chunk.constant);
        } else if (i + 1 < ctx->out_count) {
            *size = chunk;
        } else {
            NORN_TRY(norn_dim_sub(ctx->symbols, whole, used, size));
        }
        NORN_TRY(norn_shape_dim(ctx, NORN_DIM_ADD, used, *size, &used));
        norn_shape_put(ctx, i, ctx->in[0].dtype, &out);
    }
    return NORN_OK;
}

norn_status norn_shape_split(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_shape *in = &ctx->in[0].shape;
    int32_t axis;
    if (in->rank < 0) {
        for (uint32_t i = 0; i < ctx->out_count; i++)
            norn_shape_put_unknown(ctx, i, ctx->in[0].dtype);
        return NORN_OK;
    }
    NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", 0), in->rank, &axis));
    if (norn_shape_has(ctx, 1)) return split_as_listed(ctx, axis, *in);
    return split_evenly(ctx, axis, *in);
}

/// The length of [start:end:step] over `dim`. False when symbols leave it open.
static norn_status slice_dim(const norn_shape_ctx *ctx, norn_dim dim, norn_dim start, norn_dim end,
                             int64_t step, norn_dim *out, bool *known) {
    *known = true;
    bool numbers = norn_dim_is_const(start) && norn_dim_is_const(end);
    if (norn_dim_is_const(dim) && numbers) {
        int64_t n = dim.constant, a = start.constant, b = end.constant;
        if (a < 0) a = a < -n ? -n + n : a + n; // never overflows: n >= 0
        if (b < 0) b = b < -n ? -1 : b + n;
        if (step > 0) {
            a = a > n ? n : a;
            b = b < 0 ? 0 : b > n ? n : b;
            *out = norn_dim_const(b > a ? (b - a - 1) / step + 1 : 0);
        } else {
            a = a >= n ? n - 1 : a;
            if (start.constant < -n) a = -1;
            b = b >= n ? n - 1 : b;
            *out = norn_dim_const(a > b ? (a - b - 1) / (step == INT64_MIN ? INT64_MAX : -step) + 1
                                        : 0);
        }
        return NORN_OK;
    }
    // With symbols: forward slices whose ends are clear.
    norn_dim from = start, to = end;
    bool far_end = norn_dim_is_const(end) && end.constant >= INT32_MAX;
    if (far_end) to = dim;
    if (norn_dim_is_const(end) && end.constant < 0)
        NORN_TRY(norn_shape_dim(ctx, NORN_DIM_ADD, dim, end, &to));
    if (norn_dim_is_const(start) && start.constant < 0)
        NORN_TRY(norn_shape_dim(ctx, NORN_DIM_ADD, dim, start, &from));
    bool whole = norn_dim_equal(to, dim);
    if (step > 0 && !whole && norn_dim_is_const(to) && to.constant >= 0 &&
        !norn_dim_is_const(dim)) {
        NORN_TRY(norn_shape_dim(ctx, NORN_DIM_MIN, to, dim, &to)); // [:k] of B
        whole = true;
    }
    bool same_symbol = norn_dim_equal(end, to) && end.symbol >= 0 && end.symbol == dim.symbol &&
                       end.coef == dim.coef && end.constant <= dim.constant;
    bool below = !norn_dim_is_const(end) || (norn_dim_is_const(end) && end.constant < 0);
    if (!norn_dim_is_const(start) || !norn_dim_is_const(end)) norn_shape_unproved(ctx);
    // [-5:-2] is three elements of five or more; fewer cut it short, which only a run can tell.
    int64_t least = ctx->symbols ? norn_dim_min(ctx->symbols, dim) : 0;
    int64_t back = norn_dim_is_const(start) && start.constant < 0 ? start.constant : 0;
    if (norn_dim_is_const(end) && end.constant < back) back = end.constant;
    if (back < -least) norn_shape_unproved(ctx);
    if (step > 0 && (whole || below || same_symbol)) {
        norn_dim span;
        if (norn_dim_equal(from, to)) {
            *out = norn_dim_const(0);
            return NORN_OK;
        }
        norn_status status = norn_dim_sub(ctx->symbols, to, from, &span);
        if (status == NORN_OK && whole && norn_dim_is_const(from) && from.constant > 0 &&
            !norn_dim_is_const(span))
            status = norn_dim_apply(ctx->symbols, NORN_DIM_MAX, span, norn_dim_const(0), &span);
        if (status == NORN_OK) return norn_shape_dim_i64(ctx, NORN_DIM_CEILDIV, span, step, out);
    }
    *known = false;
    return NORN_OK;
}

static norn_status slice_contents(norn_shape_ctx *ctx, norn_dim start, norn_dim end, int64_t step) {
    norn_dim dims[NORN_CONTENTS_MAX], out[NORN_CONTENTS_MAX];
    uint32_t count, kept = 0;
    if (!ctx->arena || !norn_shape_elements(ctx, 0, dims, &count)) return NORN_OK;
    if (!norn_dim_is_const(start) || !norn_dim_is_const(end) || ctx->in[0].shape.rank != 1)
        return NORN_OK;
    norn_dim length;
    bool known;
    NORN_TRY(slice_dim(ctx, norn_dim_const(count), start, end, step, &length, &known));
    int64_t at = start.constant < 0 ? start.constant + count : start.constant;
    if (at < 0) at = 0;
    if (at >= count) at = step < 0 ? (int64_t)count - 1 : count;
    for (int64_t i = 0; i < length.constant && at >= 0 && at < count; i++, at += step)
        out[kept++] = dims[at];
    return norn_shape_put_contents(ctx, 0, out, kept);
}

norn_status norn_shape_slice(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 3));
    norn_shape out = ctx->in[0].shape;
    norn_dtype dtype = ctx->in[0].dtype;
    norn_dim starts[NORN_CONTENTS_MAX], ends[NORN_CONTENTS_MAX];
    int64_t axes[NORN_CONTENTS_MAX], steps[NORN_CONTENTS_MAX];
    uint32_t n_start, n_end, n_axes, n_steps;
    bool axes_present, axes_known, steps_present, steps_known;
    NORN_TRY(norn_shape_int_list(ctx, 3, NULL, axes, &n_axes, &axes_present, &axes_known));
    NORN_TRY(norn_shape_int_list(ctx, 4, NULL, steps, &n_steps, &steps_present, &steps_known));
    if (out.rank < 0 || !axes_known) {
        if (out.rank >= 0) NORN_TRY(norn_shape_fresh_rank(ctx, out.rank, &out));
        norn_shape_put(ctx, 0, dtype, &out);
        return NORN_OK;
    }
    bool starts_known = norn_shape_elements(ctx, 1, starts, &n_start),
         ends_known = norn_shape_elements(ctx, 2, ends, &n_end);
    int64_t given = starts_known   ? n_start
                    : ends_known   ? n_end
                    : axes_present ? n_axes
                                   : norn_shape_length(ctx, 1);
    if (given < 0) {
        NORN_TRY(norn_shape_fresh_rank(ctx, out.rank, &out));
        norn_shape_put(ctx, 0, dtype, &out);
        return NORN_OK;
    }
    if ((starts_known && n_start != given) || (ends_known && n_end != given) ||
        (axes_present && n_axes != given) || (steps_present && steps_known && n_steps != given) ||
        given > out.rank)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "starts, ends, axes and steps are not of one length within rank %d",
                         out.rank);
    for (uint32_t i = 0; i < given; i++) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(axes_present ? axes[i] : i, out.rank, &axis));
        int64_t step = steps_present && steps_known ? steps[i] : 1;
        if (step == 0) return norn_fail(NORN_INVALID_ARGUMENT, "step 0");
        bool known = starts_known && ends_known && steps_known;
        if (known)
            NORN_TRY(
                slice_dim(ctx, out.dims[axis], starts[i], ends[i], step, &out.dims[axis], &known));
        if (!known) NORN_TRY(norn_shape_fresh(ctx, &out.dims[axis]));
    }
    norn_shape_put(ctx, 0, dtype, &out);
    if (given == 1 && starts_known && ends_known && steps_known)
        return slice_contents(ctx, starts[0], ends[0], steps_present ? steps[0] : 1);
    return NORN_OK;
}

static norn_status block_shape(norn_shape_ctx *ctx, bool to_space) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(norn_shape_rank_in(ctx, 0, 4, 4));
    norn_shape out = ctx->in[0].shape;
    int64_t block = norn_attr_i64(ctx->attrs, "blocksize", 0);
    if (block <= 0 || block > 4096)
        return norn_fail(NORN_INVALID_ARGUMENT, "blocksize is %lld", (long long)block);
    if (out.rank == 4) {
        static const char *const names[] = {"dimension 1", "dimension 2", "dimension 3"};
        const int64_t divide[3] = {to_space ? block * block : 1, to_space ? 1 : block,
                                   to_space ? 1 : block};
        const int64_t times[3] = {to_space ? 1 : block * block, to_space ? block : 1,
                                  to_space ? block : 1};
        for (int i = 0; i < 3; i++) {
            norn_dim *dim = &out.dims[i + 1];
            NORN_TRY(norn_shape_divides(ctx, *dim, divide[i], names[i]));
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_FLOORDIV, *dim, divide[i], dim));
            NORN_TRY(norn_shape_dim_i64(ctx, NORN_DIM_MUL, *dim, times[i], dim));
        }
    }
    norn_shape_put(ctx, 0, ctx->in[0].dtype, &out);
    return NORN_OK;
}

norn_status norn_shape_depth_to_space(norn_shape_ctx *ctx) {
    return block_shape(ctx, true);
}
norn_status norn_shape_space_to_depth(norn_shape_ctx *ctx) {
    return block_shape(ctx, false);
}
