/// Operators that change nothing, or only the shape:
///   Identity(x), Dropout(x), Cast to its own type, Concat(x), Sum(x), Mul(x, 1), ...  -> x
///   Slice, Expand, Tile, Pad, Reshape to the shape that x has                         -> x
///   Transpose(Transpose(x))                                              -> Transpose(x) or x
///   Reshape, Flatten, Squeeze, Unsqueeze to a shape that is known        -> static Reshape
///   Transpose that moves only dims of one; Reduce over dims of one       -> static Reshape
///   pointwise(Expand(x), y) of the shape that it has without the Expand  -> pointwise(x, y)
/// A static Reshape (norn_static_shape=1, see pass.h) needs no shape input,
/// so the arithmetic that computed it dies.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

#include "tensor/dtype.h"

typedef struct simplifier {
    norn_graph *graph;
    norn_node *node;
    norn_value *x;   ///< input 0, present
    norn_value *out; ///< output 0
    bool changed;
} simplifier;

static norn_status becomes(simplifier *s, norn_value *value) {
    // An output that is an input or a constant needs a node that writes it.
    if (!value->producer && norn_value_is_output(s->out)) return NORN_OK;
    norn_rewrite_replace(s->graph, s->node, 0, value);
    s->changed = true;
    return NORN_OK;
}

static norn_status becomes_reshape(simplifier *s) {
    norn_value *reshaped;
    if (s->x->data || !norn_shape_is_static(s->graph, &s->out->shape) ||
        !norn_shape_is_static(s->graph, &s->x->shape)) {
        return NORN_OK;
    }
    if (norn_node_is_static_reshape(s->node)) {
        norn_value *root = norn_value_unreshaped(s->x);
        if (norn_shape_equal(&root->shape, &s->out->shape)) return becomes(s, root);
        if (root == s->x) return NORN_OK;
        norn_node_set_input(s->node, 0, root);
        s->changed = true;
        return NORN_OK;
    }
    NORN_TRY(norn_rewrite_reshape(s->graph, s->node, s->x, &s->out->shape, s->node, &reshaped));
    return becomes(s, reshaped);
}

static bool same_shape(const simplifier *s) {
    return s->x->shape.rank >= 0 && norn_shape_equal(&s->x->shape, &s->out->shape);
}

/// Only output 0 is wanted.
static bool single_output(const norn_node *node) {
    for (uint32_t i = 1; i < node->out_count; i++) {
        if (node->out[i] && node->out[i]->readers) return false;
    }
    return true;
}

static bool steps_are_one(const norn_node *slice) {
    int64_t steps[NORN_MAX_RANK];
    uint32_t count;
    if (!norn_node_in(slice, 4)) return true;
    if (!norn_value_ints(norn_node_in(slice, 4), steps, NORN_MAX_RANK, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i] != 1) return false;
    }
    return true;
}

/// x * 1, x / 1, x - 0, x ^ 1 of x's own shape and type. Not x + 0: that makes +0 of -0.
static bool is_neutral(const simplifier *s) {
    double neutral = norn_node_is(s->node, NORN_OP_Sub) ? 0 : 1;
    return s->node->in_count == 2 && same_shape(s) &&
           norn_value_is_scalar(norn_node_in(s->node, 1), neutral);
}

static bool perm_of(const norn_node *transpose, int32_t rank, int64_t perm[NORN_MAX_RANK]) {
    const int64_t *listed;
    uint32_t count = norn_attr_ints(transpose->attrs, "perm", &listed);
    if (rank < 0 || rank > NORN_MAX_RANK) return false;
    for (int32_t i = 0; i < rank; i++) perm[i] = count ? -1 : rank - 1 - i;
    if (count && count != (uint32_t)rank) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (listed[i] < 0 || listed[i] >= rank) return false;
        perm[i] = listed[i];
    }
    return true;
}

/// The dims that are not one keep their order.
static bool moves_only_ones(const simplifier *s, const int64_t perm[NORN_MAX_RANK]) {
    int64_t last = -1;
    for (int32_t i = 0; i < s->x->shape.rank; i++) {
        if (norn_shape_dim_is(&s->x->shape, (int32_t)perm[i], 1)) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

static norn_status simplify_transpose(simplifier *s) {
    int64_t perm[NORN_MAX_RANK], inner[NORN_MAX_RANK], *both;
    int32_t rank = s->x->shape.rank;
    bool same = true;
    if (!perm_of(s->node, rank, perm)) return NORN_OK;
    for (int32_t i = 0; i < rank; i++) same = same && perm[i] == i;
    if (same) return becomes(s, s->x);
    if (moves_only_ones(s, perm)) return becomes_reshape(s);
    norn_node *before = s->x->producer;
    if (!norn_node_is(before, NORN_OP_Transpose) || !perm_of(before, rank, inner)) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(&s->graph->arena, NORN_MAX_RANK, &both));
    for (int32_t i = 0; i < rank; i++) both[i] = inner[perm[i]];
    norn_attr attr = {
        .name = "perm", .kind = NORN_ATTR_INTS, .count = (uint32_t)rank, .ints = both};
    NORN_TRY(norn_node_set_attr(s->graph, s->node, &attr));
    NORN_TRY(norn_node_add_origin(s->graph, s->node, before));
    norn_node_set_input(s->node, 0, before->in[0].value);
    s->changed = true;
    return NORN_OK;
}

/// A reduction of one element is that element, for these kinds.
static norn_status simplify_reduce(simplifier *s) {
    int32_t axes[NORN_MAX_RANK], rank = s->x->shape.rank;
    uint32_t count;
    if (rank < 0 || !norn_node_axes(s->node, 1, "axes", rank, axes, &count)) return NORN_OK;
    if (count == 0) {
        bool noop = norn_attr_i64(s->node->attrs, "noop_with_empty_axes", 0) != 0;
        return noop ? becomes(s, s->x) : NORN_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!norn_shape_dim_is(&s->x->shape, axes[i], 1)) return NORN_OK;
    }
    return becomes_reshape(s);
}

/// Whether the other operands of `node` alone have its output's shape.
static bool others_give_shape(const norn_node *node, uint32_t skipped) {
    const norn_shape *out = &node->out[0]->shape;
    for (int32_t axis = 0; axis < out->rank; axis++) {
        bool given = false;
        for (uint32_t i = 0; i < node->in_count && !given; i++) {
            const norn_value *in = node->in[i].value;
            if (!in || i == skipped || in->shape.rank < 0) continue;
            int32_t at = axis - out->rank + in->shape.rank;
            given = at >= 0 && norn_dim_equal(in->shape.dims[at], out->dims[axis]);
        }
        if (!given) return false;
    }
    return out->rank >= 0;
}

/// PRelu's slope may not be larger than its input, and Clip's bounds are scalars: position matters.
static bool takes_any_broadcast(const norn_node *node) {
    return (node->op->flags & NORN_OP_POINTWISE) && node->in_count >= 2 &&
           !norn_node_is(node, NORN_OP_PRelu) && !norn_node_is(node, NORN_OP_Clip) &&
           !norn_node_is(node, NORN_OP_CastLike);
}

static void drop_expands(simplifier *s) {
    if (!takes_any_broadcast(s->node)) return;
    for (uint32_t i = 0; i < s->node->in_count; i++) {
        const norn_value *in = s->node->in[i].value;
        if (!in || !norn_node_is(in->producer, NORN_OP_Expand)) continue;
        norn_value *small = in->producer->in[0].value;
        if (small->shape.rank < 0 || small->shape.rank > in->shape.rank) continue;
        if (!others_give_shape(s->node, i)) continue;
        norn_node_set_input(s->node, i, small);
        s->changed = true;
    }
}

static norn_status simplify_node(simplifier *s) {
    switch (s->node->op->id) {
    case NORN_OP_Identity:
        return becomes(s, s->x);
    case NORN_OP_Dropout: {
        const norn_value *training = norn_node_in(s->node, 2);
        return !training || norn_value_is_scalar(training, 0) ? becomes(s, s->x) : NORN_OK;
    }
    case NORN_OP_Cast:
    case NORN_OP_CastLike:
        return s->x->dtype == s->out->dtype ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Sum:
    case NORN_OP_Mean:
    case NORN_OP_Min:
    case NORN_OP_Max:
        return s->node->in_count == 1 ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Mul:
    case NORN_OP_Div:
    case NORN_OP_Sub:
    case NORN_OP_Pow:
        return is_neutral(s) ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Slice:
        return same_shape(s) && steps_are_one(s->node) ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Expand:
    case NORN_OP_Tile:
        return same_shape(s) ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Split:
        return same_shape(s) ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Concat:
        return s->node->in_count == 1 ? becomes(s, s->x) : NORN_OK;
    case NORN_OP_Transpose:
        return simplify_transpose(s);
    case NORN_OP_ReduceSum:
    case NORN_OP_ReduceMean:
    case NORN_OP_ReduceMax:
    case NORN_OP_ReduceMin:
    case NORN_OP_ReduceProd:
        return simplify_reduce(s);
    case NORN_OP_Reshape:
    case NORN_OP_Flatten:
    case NORN_OP_Squeeze:
    case NORN_OP_Unsqueeze:
        return becomes_reshape(s);
    default:
        return NORN_OK;
    }
}

norn_status norn_pass_simplify(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    // A rewrite uncovers others only downstream, but for Expand, so a few rounds do.
    bool changed = true;
    for (int round = 0; round < 8 && changed; round++) {
        changed = false;
        for (norn_node *node = graph->nodes; node; node = node->next) {
            if (node->dead || node->region || !node->out_count || !node->out[0] ||
                !norn_node_in(node, 0))
                continue;
            if (!single_output(node)) continue;
            simplifier s = {
                .graph = graph, .node = node, .x = node->in[0].value, .out = node->out[0]};
            drop_expands(&s);
            s.x = node->in[0].value;
            NORN_TRY(simplify_node(&s));
            changed = changed || s.changed;
        }
        norn_graph_sweep(graph);
        NORN_TRY(norn_pass_dead_code(context, graph));
        norn_graph_sweep(graph);
    }
    return NORN_OK;
}
