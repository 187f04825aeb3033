/// Concats along one axis, and slices that a Concat only puts together again:
///   Concat(Concat(x, y), z)          -> Concat(x, y, z), where nobody else reads the inner one
///   Concat(x[:, 0:1], x[:, 1:4], y)  -> Concat(x[:, 0:4], y): exporters slice a dense input by
///                                       feature
///   Concat(x[:, 0:1], x[:, 1:])      -> x
#include "passes/pass_list.h"
#include "passes/rewrite.h"

typedef struct concat {
    norn_graph *graph;
    norn_node *node;
    int32_t axis;
    norn_value **in;
    uint32_t count;
    norn_node **from; ///< nodes whose work the new Concat does
    uint32_t from_count;
    bool changed;
} concat;

static int32_t axis_of(const norn_node *node) {
    int32_t rank = node->out[0] ? node->out[0]->shape.rank : -1;
    int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int32_t)axis : -1;
}

/// A Concat along the same axis that this one alone reads, through nothing
/// or through a Reshape to its own shape.
static norn_node *inner_concat(const concat *c, const norn_value *value) {
    norn_node *node = value->producer;
    if (!norn_node_is(node, NORN_OP_Concat) || value->readers != 1 || axis_of(node) != c->axis)
        return NULL;
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (!node->in[i].value) return NULL;
    }
    return node;
}

static norn_status flatten(concat *c) {
    uint32_t room = 0, nodes = 0;
    for (uint32_t i = 0; i < c->node->in_count; i++) {
        if (!c->node->in[i].value) return NORN_OK;
        const norn_node *inner = inner_concat(c, c->node->in[i].value);
        room += inner ? inner->in_count : 1;
        nodes++;
    }
    NORN_TRY(NORN_TAKE_ARRAY(&c->graph->arena, room, &c->in));
    NORN_TRY(NORN_TAKE_ARRAY(&c->graph->arena, (size_t)room + nodes, &c->from));
    for (uint32_t i = 0; i < c->node->in_count; i++) {
        norn_node *inner = inner_concat(c, c->node->in[i].value);
        if (!inner) {
            c->in[c->count++] = c->node->in[i].value;
            continue;
        }
        for (uint32_t k = 0; k < inner->in_count; k++) c->in[c->count++] = inner->in[k].value;
        c->from[c->from_count++] = inner;
        c->changed = true;
    }
    return NORN_OK;
}

// ---- slices

typedef struct range {
    norn_value *x;
    int64_t first, count;
} range;

static bool range_of_slice(const norn_node *slice, int32_t axis, int64_t size, range *r) {
    int64_t starts[NORN_MAX_RANK], axes[NORN_MAX_RANK], steps[NORN_MAX_RANK];
    uint32_t count, axis_count = 0, step_count = 0;
    if (!norn_value_ints(norn_node_in(slice, 1), starts, NORN_MAX_RANK, &count) || count != 1)
        return false;
    if (norn_node_in(slice, 3)) {
        if (!norn_value_ints(norn_node_in(slice, 3), axes, NORN_MAX_RANK, &axis_count) ||
            axis_count != 1)
            return false;
    } else {
        axes[0] = 0;
    }
    if (norn_node_in(slice, 4)) {
        if (!norn_value_ints(norn_node_in(slice, 4), steps, NORN_MAX_RANK, &step_count))
            return false;
        if (step_count != 1 || steps[0] != 1) return false;
    }
    if (axes[0] != axis && axes[0] != axis - r->x->shape.rank) return false;
    r->first = starts[0] < 0 ? starts[0] + size : starts[0];
    if (r->first < 0) r->first = 0;
    return r->first <= size;
}

/// `value` as a run along `axis` of a tensor.
static bool range_of(const norn_value *value, int32_t axis, range *r) {
    const norn_node *node = value->producer;
    bool slice = norn_node_is(node, NORN_OP_Slice), split = norn_node_is(node, NORN_OP_Split);
    if ((!slice && !split) || !node->in[0].value) return false;
    r->x = node->in[0].value, r->first = 0;
    if (r->x->shape.rank != value->shape.rank || axis >= value->shape.rank) return false;
    if (!norn_dim_is_const(r->x->shape.dims[axis]) || !norn_dim_is_const(value->shape.dims[axis]))
        return false;
    r->count = value->shape.dims[axis].constant;
    int64_t size = r->x->shape.dims[axis].constant;
    if (slice && !range_of_slice(node, axis, size, r)) return false;
    if (split && axis_of(node) != axis && norn_attr_i64(node->attrs, "axis", 0) != axis)
        return false;
    for (uint32_t i = 0; split && i < value->producer_index; i++) {
        if (!node->out[i] || !norn_dim_is_const(node->out[i]->shape.dims[axis])) return false;
        r->first += node->out[i]->shape.dims[axis].constant;
    }
    return r->count >= 0 && r->count <= size - r->first;
}

static norn_status slice_of(concat *c, const range *r, const norn_value *like, norn_value **out) {
    norn_shape shape = like->shape;
    norn_value *in[4] = {r->x, NULL, NULL, NULL};
    const int64_t ints[3] = {r->first, r->first + r->count, c->axis}, one[1] = {1};
    norn_node *made;
    *out = r->x;
    shape.dims[c->axis] = norn_dim_const(r->count);
    if (norn_shape_equal(&shape, &r->x->shape)) return NORN_OK;
    for (int i = 0; i < 3; i++) {
        void *data;
        NORN_TRY(norn_rewrite_constant(c->graph, NULL, NORN_I64, 1, one, &in[1 + i], &data));
        *(int64_t *)data = ints[i];
    }
    NORN_TRY(norn_rewrite_node(c->graph, c->node, NORN_OP_Slice, in, 4, (norn_attrs){NULL, 0},
                               like->dtype, &shape, like->producer, &made));
    *out = made->out[0];
    return NORN_OK;
}

/// Neighbours that are neighbours in one tensor become one slice of it.
static norn_status join_slices(concat *c) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count;) {
        range whole, next;
        uint32_t end = i + 1;
        if (range_of(c->in[i], c->axis, &whole)) {
            while (end < c->count && range_of(c->in[end], c->axis, &next) && next.x == whole.x &&
                   next.first == whole.first + whole.count) {
                whole.count += next.count;
                end++;
            }
        }
        norn_value *value = c->in[i];
        if (end > i + 1) {
            for (uint32_t k = i; k < end; k++) c->from[c->from_count++] = c->in[k]->producer;
            NORN_TRY(slice_of(c, &whole, c->in[i], &value));
            c->changed = true;
        }
        c->in[kept++] = value;
        i = end;
    }
    c->count = kept;
    return NORN_OK;
}

/// *node is the new Concat, NULL when nothing changed or none is left.
static norn_status simplify(norn_graph *graph, norn_node **node) {
    concat c = {.graph = graph, .node = *node, .axis = axis_of(*node)};
    norn_node *made;
    *node = NULL;
    if (c.axis < 0) return NORN_OK;
    NORN_TRY(flatten(&c));
    NORN_TRY(join_slices(&c));
    if (!c.changed) return NORN_OK;
    if (c.count == 1 && (c.in[0]->producer || !norn_value_is_output(c.node->out[0]))) {
        norn_rewrite_replace(graph, c.node, 0, c.in[0]);
        return NORN_OK;
    }
    NORN_TRY(norn_rewrite_node(graph, c.node, NORN_OP_Concat, c.in, c.count, c.node->attrs,
                               c.node->out[0]->dtype, &c.node->out[0]->shape, c.node, &made));
    for (uint32_t i = 0; i < c.from_count; i++)
        NORN_TRY(norn_node_add_origin(graph, made, c.from[i]));
    norn_rewrite_replace(graph, c.node, 0, made->out[0]);
    *node = made;
    return NORN_OK;
}

norn_status norn_pass_simplify_concat(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        norn_node *at = !node->dead && norn_node_is(node, NORN_OP_Concat) ? node : NULL;
        while (at) NORN_TRY(simplify(graph, &at));
    }
    norn_graph_sweep(graph);
    return norn_pass_simplify(context, graph);
}
