/// What a body of If, Loop or Scan uses from around it is passed to it;
/// what of that is constant becomes a constant of the body, so that the passes see
/// the weights there. The inputs stay, unread.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

static norn_status bind(norn_graph *body, const norn_node *node, uint32_t own) {
    // A body's inputs after its own are the node's after its own,
    // in order; count both from the end.
    uint32_t outer = node->in_count - own;
    if (body->input_count < outer) return NORN_OK;
    for (uint32_t i = 0; i < outer; i++) {
        norn_value *inside = body->inputs[body->input_count - outer + i], *constant;
        const norn_value *outside = node->in[own + i].value;
        if (!outside || !outside->data || !inside->readers) continue;
        NORN_TRY(norn_graph_constant(body, outside->name, outside->data, &constant));
        norn_graph_forward(body, inside, constant);
    }
    return NORN_OK;
}

norn_status norn_pass_bind_bodies(norn_pass_context *context, norn_graph *graph) {
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        if (node->dead || !(node->op->flags & NORN_OP_SUBGRAPH)) continue;
        int64_t own = norn_attr_i64(node->attrs, "norn_own_inputs", -1);
        if (own < 0 || own > node->in_count) continue;
        for (uint32_t i = 0; i < node->attrs.count; i++) {
            const norn_attr *attr = &node->attrs.at[i];
            if (attr->kind != NORN_ATTR_GRAPH) continue;
            NORN_TRY(bind(attr->graph, node, (uint32_t)own));
            NORN_TRY(norn_pass_bind_bodies(context, attr->graph)); // from the outside in
        }
    }
    return NORN_OK;
}
