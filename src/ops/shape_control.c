// Shapes of If, Loop and Scan, from what is known of their bodies' outputs.
#include "ops/shape.h"
#include "tensor/dtype.h"

static const norn_graph *body_of(const norn_shape_ctx *ctx, const char *name) {
    const norn_attr *attr = norn_attr_find(ctx->attrs, name);
    return attr && attr->kind == NORN_ATTR_GRAPH ? attr->graph : NULL;
}

/// Inputs that are the operator's; the rest are values of the graph around that the body reads.
static int64_t own_inputs(const norn_shape_ctx *ctx) {
    int64_t own = norn_attr_i64(ctx->attrs, "norn_own_inputs", ctx->in_count);
    return own < 0 || own > ctx->in_count ? ctx->in_count : own;
}

/// A body's symbols mean nothing outside it: constants stay, the rest is fresh.
static norn_status lift(const norn_shape_ctx *ctx, const norn_shape *inner, norn_shape *out) {
    if (inner->rank < 0) {
        *out = norn_shape_unknown();
        return NORN_OK;
    }
    NORN_TRY(norn_shape_fresh_rank(ctx, inner->rank, out));
    for (int32_t i = 0; i < inner->rank; i++)
        if (norn_dim_is_const(inner->dims[i])) out->dims[i] = inner->dims[i];
    return NORN_OK;
}

/// What two shapes that may both come have in common.
static norn_status meet(const norn_shape_ctx *ctx, const norn_shape *a, const norn_shape *b,
                        norn_shape *out) {
    if (a->rank != b->rank || a->rank < 0) {
        *out = norn_shape_unknown();
        return NORN_OK;
    }
    norn_shape result;
    NORN_TRY(norn_shape_fresh_rank(ctx, a->rank, &result));
    for (int32_t i = 0; i < a->rank; i++)
        if (norn_dim_is_const(a->dims[i]) && norn_dim_equal(a->dims[i], b->dims[i]))
            result.dims[i] = a->dims[i];
    *out = result;
    return NORN_OK;
}

static norn_status need_outputs(const norn_graph *body, uint32_t count) {
    if (!body) return norn_fail(NORN_INVALID_ARGUMENT, "a body is missing");
    if (body->output_count < count)
        return norn_fail(NORN_INVALID_ARGUMENT, "a body has %u output%s, the node needs %u",
                         body->output_count, norn_plural(body->output_count), count);
    return NORN_OK;
}

norn_status norn_shape_if(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_graph *yes = body_of(ctx, "then_branch"), *no = body_of(ctx, "else_branch");
    NORN_TRY(need_outputs(yes, ctx->out_count));
    NORN_TRY(need_outputs(no, ctx->out_count));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        const norn_value *a = yes->outputs[i].value, *b = no->outputs[i].value;
        norn_shape shape = norn_shape_unknown();
        if (ctx->symbols) NORN_TRY(meet(ctx, &a->shape, &b->shape, &shape));
        norn_shape_put(ctx, i, a->dtype != NORN_DTYPE_NONE ? a->dtype : b->dtype, &shape);
    }
    return NORN_OK;
}

/// Values that come once an iteration, or go out once, are tensors.
static norn_status need_tensor(norn_dtype dtype) {
    if (!norn_dtype_holds_tensors(dtype)) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "a %s cannot be scanned", norn_dtype_name(dtype));
}

/// `inner` stacked once an iteration along `axis`.
static norn_status stack(const norn_shape_ctx *ctx, const norn_value *inner, int64_t axis,
                         norn_dim length, norn_shape *out) {
    norn_shape lifted;
    NORN_TRY(lift(ctx, &inner->shape, &lifted));
    *out = lifted;
    if (lifted.rank < 0) return NORN_OK;
    int32_t at;
    if (lifted.rank == NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "a scan output of rank %d", lifted.rank + 1);
    NORN_TRY(norn_shape_axis(axis, lifted.rank + 1, &at));
    out->rank = lifted.rank + 1;
    for (int32_t i = 0, from = 0; i < out->rank; i++)
        out->dims[i] = i == at ? length : lifted.dims[from++];
    return NORN_OK;
}

norn_status norn_shape_loop(norn_shape_ctx *ctx) {
    const norn_graph *body = body_of(ctx, "body");
    NORN_TRY(need_outputs(body, ctx->out_count + 1));
    // Body: (iteration, condition, carried..., outer...) -> (condition, carried..., scanned...).
    int64_t carried = own_inputs(ctx) - 2;
    if (carried < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "%u input%s; Loop has at least 2", ctx->in_count,
                         norn_plural(ctx->in_count));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        const norn_value *inner = body->outputs[i + 1].value;
        norn_shape shape = norn_shape_unknown();
        if (ctx->symbols && i < carried) {
            NORN_TRY(meet(ctx, &inner->shape, &ctx->in[i + 2].shape, &shape));
        } else if (ctx->symbols) {
            norn_dim length;
            NORN_TRY(norn_shape_fresh(ctx, &length));
            NORN_TRY(stack(ctx, inner, 0, length, &shape));
        }
        if (i >= carried) NORN_TRY(need_tensor(inner->dtype));
        norn_shape_put(ctx, i, inner->dtype, &shape);
    }
    return NORN_OK;
}

norn_status norn_shape_scan(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    const norn_graph *body = body_of(ctx, "body");
    NORN_TRY(need_outputs(body, ctx->out_count));
    int64_t scanned = norn_attr_i64(ctx->attrs, "num_scan_inputs", 0);
    int64_t states = own_inputs(ctx) - scanned;
    if (scanned < 1 || states < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "num_scan_inputs is %lld of %u input%s",
                         (long long)scanned, ctx->in_count, norn_plural(ctx->in_count));
    for (int64_t i = states; i < states + scanned; i++) NORN_TRY(need_tensor(ctx->in[i].dtype));
    const int64_t *axes;
    uint32_t axis_count = norn_attr_ints(ctx->attrs, "scan_input_axes", &axes);
    const norn_shape *first = &ctx->in[states].shape;
    norn_dim length;
    if (first->rank > 0) {
        int32_t axis;
        NORN_TRY(norn_shape_axis(axis_count ? axes[0] : 0, first->rank, &axis));
        length = first->dims[axis];
    } else {
        NORN_TRY(norn_shape_fresh(ctx, &length));
    }
    axis_count = norn_attr_ints(ctx->attrs, "scan_output_axes", &axes);
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        const norn_value *inner = body->outputs[i].value;
        norn_shape shape = norn_shape_unknown();
        if (ctx->symbols && i < states) {
            NORN_TRY(meet(ctx, &inner->shape, &ctx->in[i].shape, &shape));
        } else if (ctx->symbols) {
            uint32_t at = i - (uint32_t)states;
            NORN_TRY(stack(ctx, inner, at < axis_count ? axes[at] : 0, length, &shape));
        }
        if (i >= states) NORN_TRY(need_tensor(inner->dtype));
        norn_shape_put(ctx, i, inner->dtype, &shape);
    }
    return NORN_OK;
}
