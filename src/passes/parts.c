#include "passes/parts.h"

#include "passes/has_kernel.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

/// `value` as whole features: [B, f * D] or [B, f, D].
static bool is_part(const norn_value *value, const norn_parts *parts) {
    const norn_shape *shape = &value->shape;
    if (value->data || (shape->rank != 2 && shape->rank != 3)) return false;
    if (!norn_dim_equal(shape->dims[0], parts->batch) || !norn_dim_is_const(shape->dims[1]))
        return false;
    if (shape->rank == 3) return norn_shape_dim_is(shape, 2, parts->dim);
    return shape->dims[1].constant % parts->dim == 0;
}

norn_status norn_parts_of(norn_graph *graph, norn_value *x, norn_parts *parts, bool *found) {
    const norn_shape *shape = &x->shape;
    *found = false;
    *parts = (norn_parts){.batch = shape->dims[0]};
    if (!norn_dtype_is_float(x->dtype) || x->data || shape->rank != 3 ||
        !norn_dim_is_const(shape->dims[1]) || !norn_dim_is_const(shape->dims[2])) {
        return NORN_OK;
    }
    parts->features = shape->dims[1].constant, parts->dim = shape->dims[2].constant;
    if (parts->features < 1 || parts->dim < 1) return NORN_OK;
    *found = true;
    norn_value *root = norn_value_unreshaped(x);
    const norn_node *concat = root->producer;
    bool split = norn_node_is(concat, NORN_OP_Concat) && root->shape.rank == 2 &&
                 norn_dim_equal(root->shape.dims[0], parts->batch);
    if (split) {
        int64_t axis = norn_attr_i64(concat->attrs, "axis", 0);
        split = axis == 1 || axis == -1;
    }
    for (uint32_t i = 0; split && i < concat->in_count; i++)
        split = is_part(concat->in[i].value, parts);
    parts->count = split ? concat->in_count : 1;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, parts->count, &parts->at));
    parts->at[0] = is_part(root, parts) ? root : x;
    if (!split) return NORN_OK;
    parts->concat = concat;
    for (uint32_t i = 0; i < parts->count; i++) {
        norn_value *in = concat->in[i].value, *below = norn_value_unreshaped(in);
        parts->at[i] = is_part(below, parts) ? below : in;
    }
    return NORN_OK;
}

bool norn_parts_have_kernel(const norn_pass_context *context, const norn_value *x,
                            const norn_region *region, const norn_shape *out) {
    norn_wanted wanted = {.op = NORN_OP_Interaction,
                          .region = region,
                          .in = {x},
                          .in_count = 1,
                          .out = x->dtype,
                          .shape = out};
    wanted.numbers = (norn_numbers){
        .a = x->dtype, .b = x->dtype, .acc = norn_sum_dtype(x->dtype), .out = x->dtype};
    return norn_pass_has_kernel(context, &wanted);
}
