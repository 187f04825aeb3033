/// A Concat along an earlier axis than the last, of rows with a whole
/// number of elements, is one of rows:
///   Concat(axis 1)(Unsqueeze(x [B, D]), Unsqueeze(y [B, D]))  -> Reshape(Concat(axis 1)(x, y))
/// so that stacking features is placing columns. Along axis 0 it stays: those are whole tensors.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

/// Elements of dims (axis, rank), constant; -1 otherwise.
static int64_t inner_elems(const norn_shape *shape, int32_t axis) {
    norn_shape inner = {.rank = shape->rank - axis};
    for (int32_t i = 0; i < inner.rank; i++) inner.dims[i] = shape->dims[axis + i];
    return norn_shape_elems(&inner);
}

/// [outer.., width]: the dims before `axis`, and the rest as one.
static bool as_rows(const norn_shape *shape, int32_t axis, norn_shape *rows) {
    int64_t width = inner_elems(shape, axis);
    if (width < 0) return false;
    rows->rank = axis + 1;
    for (int32_t i = 0; i < axis; i++) rows->dims[i] = shape->dims[i];
    rows->dims[axis] = norn_dim_const(width);
    return true;
}

/// A Concat of rows in place of one along an axis before the last.
static norn_status flatten(norn_graph *graph, norn_node *concat, int32_t axis) {
    norn_value **in, *reshaped;
    norn_node *made;
    norn_shape rows;
    for (uint32_t i = 0; i < concat->in_count; i++) {
        const norn_value *value = concat->in[i].value;
        if (!norn_shape_is_static(graph, &value->shape) || !as_rows(&value->shape, axis, &rows))
            return NORN_OK;
    }
    if (!norn_shape_is_static(graph, &concat->out[0]->shape)) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, concat->in_count, &in));
    for (uint32_t i = 0; i < concat->in_count; i++) {
        norn_value *value = concat->in[i].value;
        if (!as_rows(&value->shape, axis, &rows)) return NORN_OK;
        if (value->data) { // its bytes under another shape
            norn_view view = *value->data;
            view.rank = axis + 1;
            for (int32_t j = 0; j < axis; j++) view.dims[j] = rows.dims[j].constant;
            view.dims[axis] = rows.dims[axis].constant;
            NORN_TRY(norn_graph_constant(graph, value->name, &view, &in[i]));
        } else {
            NORN_TRY(norn_rewrite_reshape(graph, concat, value, &rows, concat, &in[i]));
        }
    }
    if (!as_rows(&concat->out[0]->shape, axis, &rows)) return NORN_OK;
    norn_attr attr = norn_attr_int_of("axis", axis);
    NORN_TRY(norn_rewrite_node(graph, concat, NORN_OP_Concat, in, concat->in_count,
                               (norn_attrs){&attr, 1}, concat->out[0]->dtype, &rows, concat,
                               &made));
    NORN_TRY(norn_rewrite_reshape(graph, concat, made->out[0], &concat->out[0]->shape, concat,
                                  &reshaped));
    norn_rewrite_replace(graph, concat, 0, reshaped);
    return NORN_OK;
}

static norn_status flatten_one(norn_graph *graph, norn_node *concat) {
    int32_t rank = concat->out[0] ? concat->out[0]->shape.rank : -1;
    int64_t axis = norn_attr_i64(concat->attrs, "axis", 0);
    if (axis < 0) axis += rank;
    if (axis < 1 || axis >= rank - 1) return NORN_OK;
    for (uint32_t i = 0; i < concat->in_count; i++) {
        if (!concat->in[i].value || concat->in[i].value->shape.rank != rank) return NORN_OK;
    }
    return flatten(graph, concat, (int32_t)axis);
}

norn_status norn_pass_flatten_concat(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (!node->dead && norn_node_is(node, NORN_OP_Concat)) NORN_TRY(flatten_one(graph, node));
    }
    norn_graph_sweep(graph);
    // A stack and a concat of the same vectors are one now; and what fed
    // a stack may be read once only.
    NORN_TRY(norn_pass_cse(context, graph));
    norn_graph_sweep(graph);
    return norn_pass_dead_code(context, graph);
}
