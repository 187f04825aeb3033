/// "Concat is an address": a Concat along the last axis is marked norn_place=1 with norn_placed,
/// one int an input: 1 where a region that honours strides on its output makes the input for this
/// Concat alone, so that the plan lets it write where the value belongs (see pass.h).
#include "passes/pass_list.h"
#include "passes/rewrite.h"

static bool last_is_const(const norn_value *value) {
    const norn_shape *shape = &value->shape;
    return shape->rank >= 1 && norn_dim_is_const(shape->dims[shape->rank - 1]);
}

static bool is_placeable(const norn_value *value) {
    const norn_node *producer = value->producer;
    return producer && (producer->op->flags & NORN_OP_STRIDED) && value->readers == 1;
}

static bool along_last_axis(const norn_node *concat) {
    const norn_value *out = concat->out[0];
    int64_t axis = norn_attr_i64(concat->attrs, "axis", 0);
    if (!out || !last_is_const(out)) return false;
    for (uint32_t i = 0; i < concat->in_count; i++) {
        const norn_value *in = concat->in[i].value;
        // Constant widths: a column's offset does not move with the run.
        if (!in || !last_is_const(in) || in->shape.rank != out->shape.rank) return false;
    }
    return axis == -1 || axis == out->shape.rank - 1;
}

norn_status norn_pass_place_concat(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        int64_t *placed;
        bool any = false;
        if (node->dead || !norn_node_is(node, NORN_OP_Concat) || !along_last_axis(node)) continue;
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, node->in_count, &placed));
        for (uint32_t i = 0; i < node->in_count; i++) {
            placed[i] = is_placeable(node->in[i].value);
            any = any || placed[i];
        }
        if (!any) continue;
        norn_attr place = norn_attr_int_of("norn_place", 1);
        norn_attr list = {
            .name = "norn_placed", .kind = NORN_ATTR_INTS, .count = node->in_count, .ints = placed};
        NORN_TRY(norn_node_set_attr(graph, node, &place));
        NORN_TRY(norn_node_set_attr(graph, node, &list));
    }
    return NORN_OK;
}
