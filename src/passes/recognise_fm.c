/// The second-order term of a factorisation machine, X [B, F, D], sums over axis 1:
///   Sub(sum(X)^2, sum(X^2)) * 0.5            -> Interaction{fm}(parts of X)
///   ReduceSum(Sub(sum(X)^2, sum(X^2))) * 0.5 -> ReduceSum(Interaction{fm}(parts of X))
/// A square is Pow(x, 2) or Mul(x, x); half is Mul by 0.5 or Div by 2.
#include "passes/parts.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

/// What `value` is the square of; NULL if it is none.
static norn_value *squared(const norn_value *value) {
    const norn_node *node = value->producer;
    norn_value *x = node ? norn_node_in(node, 0) : NULL;
    if (norn_node_is(node, NORN_OP_Pow) && norn_value_is_scalar(norn_node_in(node, 1), 2) &&
        norn_shape_equal(&x->shape, &value->shape)) {
        return x;
    }
    return norn_node_is(node, NORN_OP_Mul) && norn_node_in(node, 1) == x ? x : NULL;
}

/// What `value` is the sum over axis 1 of, a tensor of rank 3; NULL if it is none.
static norn_value *summed(const norn_value *value) {
    int32_t axes[NORN_MAX_RANK];
    uint32_t count;
    if (!norn_node_is(value->producer, NORN_OP_ReduceSum)) return NULL;
    norn_value *x = norn_node_in(value->producer, 0);
    if (!x || x->shape.rank != 3 || !norn_node_axes(value->producer, 1, "axes", 3, axes, &count))
        return NULL;
    return count == 1 && axes[0] == 1 ? x : NULL;
}

/// X of Sub(sum(X)^2, sum(X^2)).
static norn_value *operand_of(const norn_node *sub) {
    norn_value *left = norn_node_in(sub, 0), *right = norn_node_in(sub, 1);
    if (!left || !right || !norn_shape_equal(&left->shape, &right->shape)) return NULL;
    norn_value *sum = squared(left), *square = summed(right);
    norn_value *x = sum ? summed(sum) : NULL;
    return x && square && squared(square) == x ? x : NULL;
}

/// The node that halves `value`, its only reader.
static norn_node *halved(const norn_value *value) {
    norn_node *node = value->readers == 1 ? norn_value_only_reader(value) : NULL;
    if (!norn_node_is_binary(node)) return NULL;
    if (norn_node_is(node, NORN_OP_Div)) {
        return node->in[0].value == value && norn_value_is_scalar(node->in[1].value, 2) ? node
                                                                                        : NULL;
    }
    if (!norn_node_is(node, NORN_OP_Mul)) return NULL;
    const norn_value *other = node->in[node->in[0].value == value ? 1 : 0].value;
    bool half =
        norn_value_is_scalar(other, 0.5) && norn_shape_equal(&node->out[0]->shape, &value->shape);
    return half ? node : NULL;
}

static norn_status make_region(const norn_pass_context *context, norn_graph *graph, norn_node *sub,
                               const norn_value *x, const norn_parts *parts, norn_node *sum,
                               norn_node *half) {
    norn_shape shape = {.rank = 2, .dims = {parts->batch, norn_dim_const(parts->dim)}};
    norn_region *region;
    norn_node *made;
    norn_value *out;
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    region->interaction = (norn_interaction_region){.kind = NORN_INTERACTION_FM,
                                                    .features = parts->features,
                                                    .dim = parts->dim,
                                                    .part_count = parts->count,
                                                    .pass_input = NORN_NO_INPUT};
    if (!norn_parts_have_kernel(context, x, region, &shape)) return NORN_OK;
    NORN_TRY(norn_rewrite_node(graph, sub, NORN_OP_Interaction, parts->at, parts->count,
                               (norn_attrs){NULL, 0}, x->dtype, &shape, sub->in[0].value->producer,
                               &made));
    made->region = region;
    NORN_TRY(norn_node_add_origin(graph, made, sub->in[1].value->producer));
    NORN_TRY(norn_node_add_origin(graph, made, sub));
    NORN_TRY(norn_node_add_origin(graph, made, half));
    NORN_TRY(norn_rewrite_reshape(graph, sub, made->out[0], &sub->out[0]->shape, sub, &out));
    if (sum) norn_rewrite_replace(graph, half, 0, sum->out[0]);
    norn_rewrite_replace(graph, sum ? sub : half, 0, out);
    return NORN_OK;
}

norn_status norn_pass_recognise_fm(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        norn_parts parts;
        bool found;
        norn_value *x = !node->dead && norn_node_is(node, NORN_OP_Sub) ? operand_of(node) : NULL;
        if (!x || node->out[0]->readers != 1) continue;
        norn_node *sum = norn_value_only_reader(node->out[0]), *half = halved(node->out[0]);
        if (half) {
            sum = NULL;
        } else {
            half = norn_node_is(sum, NORN_OP_ReduceSum) ? halved(sum->out[0]) : NULL;
        }
        if (!half || !norn_shape_is_static(graph, &node->out[0]->shape)) continue;
        NORN_TRY(norn_parts_of(graph, x, &parts, &found));
        if (found) NORN_TRY(make_region(context, graph, node, x, &parts, sum, half));
    }
    norn_graph_sweep(graph);
    return norn_pass_dead_code(context, graph);
}
