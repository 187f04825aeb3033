// Types of sequences and optionals. What they hold is known while running only, so that their own
// size and the shapes of what is taken out of them are the kernels' to say.
#include "ops/shape.h"
#include "tensor/dtype.h"

static norn_status need(const norn_shape_ctx *ctx, uint32_t index, uint32_t bits) {
    norn_dtype dtype = ctx->in[index].dtype;
    const char *wanted = bits == 0               ? "a tensor"
                         : bits == NORN_SEQUENCE ? "a sequence"
                                                 : "an optional";
    if (((uint32_t)dtype & (NORN_SEQUENCE | NORN_OPTIONAL)) == bits) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "input %u is %s, it must be %s", index,
                     norn_dtype_name(dtype), wanted);
}

/// Inputs [first, in_count) are tensors of `element`.
static norn_status need_elements(const norn_shape_ctx *ctx, uint32_t first, norn_dtype element) {
    for (uint32_t i = first; i < ctx->in_count; i++) {
        if (!norn_shape_has(ctx, i) || ctx->in[i].dtype != element)
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u is %s, the sequence is of %s", i,
                             norn_dtype_name(ctx->in[i].dtype), norn_dtype_name(element));
    }
    return NORN_OK;
}

/// Input 0 is a sequence, input `index`, if it is there, a position in it.
static norn_status sequence_and_position(const norn_shape_ctx *ctx, uint32_t index) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(need(ctx, 0, NORN_SEQUENCE));
    if (!norn_shape_has(ctx, index)) return NORN_OK;
    norn_dtype dtype = ctx->in[index].dtype;
    if (dtype != NORN_I64 && dtype != NORN_I32)
        return norn_fail(NORN_INVALID_ARGUMENT, "input %u is %s; a position is int32 or int64",
                         index, norn_dtype_name(dtype));
    return NORN_OK;
}

norn_status norn_shape_sequence_empty(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 0));
    int64_t dtype = norn_attr_i64(ctx->attrs, "dtype", NORN_F32);
    if (dtype <= NORN_DTYPE_NONE || dtype >= NORN_DTYPE_COUNT)
        return norn_fail(NORN_INVALID_ARGUMENT, "attribute dtype is %lld", (long long)dtype);
    norn_shape_put_unknown(ctx, 0, norn_dtype_with((norn_dtype)dtype, NORN_SEQUENCE));
    return NORN_OK;
}

norn_status norn_shape_sequence_construct(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(need(ctx, 0, 0));
    NORN_TRY(need_elements(ctx, 1, ctx->in[0].dtype));
    norn_shape_put_unknown(ctx, 0, norn_dtype_with(ctx->in[0].dtype, NORN_SEQUENCE));
    return NORN_OK;
}

norn_status norn_shape_sequence_insert(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(sequence_and_position(ctx, 2));
    if (ctx->in[1].dtype != norn_dtype_element(ctx->in[0].dtype))
        return norn_fail(NORN_INVALID_ARGUMENT, "input 1 is %s, the sequence is of %s",
                         norn_dtype_name(ctx->in[1].dtype),
                         norn_dtype_name(norn_dtype_element(ctx->in[0].dtype)));
    norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype);
    return NORN_OK;
}

norn_status norn_shape_sequence_erase(norn_shape_ctx *ctx) {
    NORN_TRY(sequence_and_position(ctx, 1));
    norn_shape_put_unknown(ctx, 0, ctx->in[0].dtype);
    return NORN_OK;
}

norn_status norn_shape_sequence_at(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(sequence_and_position(ctx, 1));
    norn_shape_put_unknown(ctx, 0, norn_dtype_element(ctx->in[0].dtype));
    return NORN_OK;
}

norn_status norn_shape_sequence_length(norn_shape_ctx *ctx) {
    NORN_TRY(sequence_and_position(ctx, UINT32_MAX));
    norn_shape out = norn_shape_scalar();
    norn_shape_put(ctx, 0, NORN_I64, &out);
    return NORN_OK;
}

norn_status norn_shape_split_to_sequence(norn_shape_ctx *ctx) {
    int32_t axis;
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(need(ctx, 0, 0));
    const norn_shape *in = &ctx->in[0].shape;
    NORN_TRY(norn_shape_rank_in(ctx, 0, 1, NORN_MAX_RANK));
    if (in->rank > 0)
        NORN_TRY(norn_shape_axis(norn_attr_i64(ctx->attrs, "axis", 0), in->rank, &axis));
    if (norn_shape_has(ctx, 1) && !norn_dtype_is_integer(ctx->in[1].dtype))
        return norn_fail(NORN_INVALID_ARGUMENT, "input 1 is %s; sizes are integers",
                         norn_dtype_name(ctx->in[1].dtype));
    norn_shape_put_unknown(ctx, 0, norn_dtype_with(ctx->in[0].dtype, NORN_SEQUENCE));
    return NORN_OK;
}

norn_status norn_shape_concat_from_sequence(norn_shape_ctx *ctx) {
    NORN_TRY(sequence_and_position(ctx, UINT32_MAX));
    if (!norn_attr_find(ctx->attrs, "axis"))
        return norn_fail(NORN_INVALID_ARGUMENT, "attribute axis is missing");
    norn_shape_put_unknown(ctx, 0, norn_dtype_element(ctx->in[0].dtype));
    return NORN_OK;
}

norn_status norn_shape_sequence_map(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(need(ctx, 0, NORN_SEQUENCE));
    const norn_attr *attr = norn_attr_find(ctx->attrs, "body");
    if (!attr || attr->kind != NORN_ATTR_GRAPH || attr->graph->output_count < ctx->out_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "its body does not make its %u output%s",
                         ctx->out_count, norn_plural(ctx->out_count));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        norn_dtype dtype = attr->graph->outputs[i].value->dtype;
        if (norn_dtype_holds_tensors(dtype))
            return norn_fail(NORN_INVALID_ARGUMENT, "its body makes a %s", norn_dtype_name(dtype));
        norn_shape_put_unknown(ctx, i, norn_dtype_with(dtype, NORN_SEQUENCE));
    }
    return NORN_OK;
}

/// Without an input the attribute `type` says of what it has none.
norn_status norn_shape_optional(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 0));
    int64_t dtype =
        norn_shape_has(ctx, 0) ? ctx->in[0].dtype : norn_attr_i64(ctx->attrs, "type", 0);
    if (dtype < 0 || !norn_dtype_is_known((uint64_t)dtype) || (dtype & NORN_OPTIONAL))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "it needs an input or a type, a tensor's or a sequence's");
    norn_shape_put_unknown(ctx, 0, norn_dtype_with((norn_dtype)dtype, NORN_OPTIONAL));
    return NORN_OK;
}

norn_status norn_shape_optional_has_element(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 0));
    norn_shape out = norn_shape_scalar();
    norn_shape_put(ctx, 0, NORN_BOOL, &out);
    return NORN_OK;
}

/// What is no optional has itself.
norn_status norn_shape_optional_get_element(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    uint32_t dtype = (uint32_t)ctx->in[0].dtype & ~(uint32_t)NORN_OPTIONAL;
    bool is_tensor = norn_dtype_element(ctx->in[0].dtype) == ctx->in[0].dtype;
    norn_shape shape = is_tensor ? ctx->in[0].shape : norn_shape_unknown();
    norn_shape_put(ctx, 0, (norn_dtype)dtype, &shape);
    return NORN_OK;
}
