/// Layer normalisation as exporters write it before opset 17, over the last axis:
///   d = x - ReduceMean(x);  d / Sqrt(ReduceMean(d^2) + epsilon)  [* scale [+ bias]]
///       -> LayerNormalization(x, scale, bias)
/// A square is Pow(d, 2) or Mul(d, d); dividing may be Mul by a Reciprocal.
#include "passes/has_kernel.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

typedef struct layer_norm {
    norn_node *last; ///< the node whose result the operator makes
    norn_value *x, *scale, *bias;
    double epsilon;
    int64_t width;
    norn_node *nodes[8];
    uint32_t count;
} layer_norm;

/// Input of a ReduceMean over the last axis alone that keeps it.
static norn_value *mean_of(const norn_value *value) {
    int32_t axes[NORN_MAX_RANK];
    uint32_t count;
    const norn_node *node = value ? value->producer : NULL;
    norn_value *x = norn_node_is(node, NORN_OP_ReduceMean) ? norn_node_in(node, 0) : NULL;
    if (!x || x->shape.rank < 1 || norn_attr_i64(node->attrs, "keepdims", 1) != 1) return NULL;
    if (!norn_node_axes(node, 1, "axes", x->shape.rank, axes, &count)) return NULL;
    return count == 1 && axes[0] == x->shape.rank - 1 ? x : NULL;
}

static norn_value *square_of(const norn_value *value) {
    const norn_node *node = value ? value->producer : NULL;
    norn_value *x = node ? norn_node_in(node, 0) : NULL;
    bool pow = norn_node_is(node, NORN_OP_Pow) && norn_value_is_scalar(norn_node_in(node, 1), 2);
    bool mul = norn_node_is(node, NORN_OP_Mul) && norn_node_in(node, 1) == x;
    return x && (pow || mul) ? x : NULL;
}

/// Sqrt(variance + epsilon) of d.
static bool is_deviation(const norn_value *value, const norn_value *d, double *epsilon) {
    const norn_node *sqrt = value ? value->producer : NULL;
    if (!norn_node_is(sqrt, NORN_OP_Sqrt) || !norn_node_in(sqrt, 0)) return false;
    const norn_node *add = sqrt->in[0].value->producer;
    if (!norn_node_is(add, NORN_OP_Add) || !norn_node_is_binary(add)) return false;
    for (uint32_t i = 0; i < 2; i++) {
        const norn_value *square = mean_of(add->in[i].value);
        if (square && square_of(square) == d && norn_value_scalar(add->in[1 - i].value, epsilon))
            return true;
    }
    return false;
}

/// d and the deviation that it is divided by.
static bool divides(const norn_node *node, norn_value **d, norn_value **deviation) {
    *d = norn_node_in(node, 0), *deviation = norn_node_in(node, 1);
    if (norn_node_is(node, NORN_OP_Div)) return true;
    const norn_node *reciprocal =
        norn_node_is(node, NORN_OP_Mul) && *deviation ? (*deviation)->producer : NULL;
    if (!norn_node_is(reciprocal, NORN_OP_Reciprocal)) return false;
    *deviation = norn_node_in(reciprocal, 0);
    return true;
}

/// A constant of `width` elements along the last axis that the only
/// reader of `value` combines it with.
static norn_value *factor_of(const layer_norm *norm, norn_op_id op, norn_node **reader) {
    const norn_value *value = norm->last->out[0];
    *reader = value->readers == 1 ? norn_value_only_reader(value) : NULL;
    if (!norn_node_is(*reader, (int)op) || !norn_node_is_binary(*reader)) return NULL;
    norn_value *factor = (*reader)->in[(*reader)->in[0].value == value ? 1 : 0].value;
    if (!factor || !factor->data || factor->dtype != value->dtype ||
        factor->data->rank > value->shape.rank)
        return NULL;
    int32_t rank = factor->data->rank;
    bool fits = rank >= 1 && factor->data->dims[rank - 1] == norm->width;
    for (int32_t i = 0; i + 1 < rank; i++) fits = fits && factor->data->dims[i] == 1;
    return fits ? factor : NULL;
}

static bool norm_of(norn_node *node, layer_norm *norm) {
    norn_value *d, *deviation;
    *norm = (layer_norm){.last = node};
    if (!divides(node, &d, &deviation) || !d || !deviation) return false;
    const norn_node *sub = d->producer;
    if (!norn_node_is(sub, NORN_OP_Sub) || !is_deviation(deviation, d, &norm->epsilon))
        return false;
    norm->x = norn_node_in(sub, 0);
    if (!norm->x || norm->x->data || !norn_dtype_is_float(norm->x->dtype) ||
        mean_of(norn_node_in(sub, 1)) != norm->x)
        return false;
    const norn_shape *shape = &norm->x->shape;
    if (!norn_dim_is_const(shape->dims[shape->rank - 1])) return false;
    norm->width = shape->dims[shape->rank - 1].constant;
    norm->nodes[norm->count++] = norn_node_in(sub, 1)->producer;
    norm->nodes[norm->count++] = d->producer;
    norm->nodes[norm->count++] = deviation->producer;
    norm->nodes[norm->count++] = node;
    return norm->width >= 1 && norn_shape_equal(&node->out[0]->shape, shape);
}

static norn_status vector_of(norn_graph *graph, const layer_norm *norm, const norn_value *from,
                             norn_value **out) {
    void *data;
    const norn_dtype dtype = norm->x->dtype;
    NORN_TRY(norn_rewrite_constant(graph, from ? from->name : norm->last->name, dtype, 1,
                                   &norm->width, out, &data));
    for (int64_t i = 0; i < norm->width; i++) {
        norn_element_set_f64(dtype, data, i,
                             from ? norn_element_f64(dtype, from->data->data, i) : 1);
    }
    return NORN_OK;
}

static norn_status rewrite(const norn_pass_context *context, norn_graph *graph, layer_norm *norm) {
    norn_value *in[3] = {norm->x, NULL, NULL};
    norn_node *reader, *made;
    norn_attr attrs[2] = {
        norn_attr_int_of("axis", -1),
        {.name = "epsilon", .kind = NORN_ATTR_FLOAT, .f32 = (float)norm->epsilon}};
    norm->scale = factor_of(norm, NORN_OP_Mul, &reader);
    if (norm->scale) norm->last = reader, norm->nodes[norm->count++] = reader;
    norm->bias = factor_of(norm, NORN_OP_Add, &reader);
    if (norm->bias) norm->last = reader, norm->nodes[norm->count++] = reader;
    NORN_TRY(vector_of(graph, norm, norm->scale, &in[1]));
    if (norm->bias) NORN_TRY(vector_of(graph, norm, norm->bias, &in[2]));
    const norn_wanted wanted = {.op = NORN_OP_LayerNormalization,
                                .attrs = {attrs, 2},
                                .in = {in[0], in[1], in[2]},
                                .in_count = norm->bias ? 3 : 2,
                                .out = norm->x->dtype,
                                .shape = &norm->x->shape};
    // The attribute is a float: wider values may have an epsilon that is none.
    const bool exact =
        norn_dtype_bits(wanted.out) <= 32 ||
        !((double)attrs[1].f32 < norm->epsilon || (double)attrs[1].f32 > norm->epsilon);
    if (!exact || !norn_pass_has_kernel(context, &wanted)) return NORN_OK;
    NORN_TRY(norn_rewrite_node(graph, norm->last, NORN_OP_LayerNormalization, in,
                               norm->bias ? 3 : 2, (norn_attrs){attrs, 2}, norm->x->dtype,
                               &norm->x->shape, norm->nodes[0], &made));
    for (uint32_t i = 0; i < norm->count; i++)
        NORN_TRY(norn_node_add_origin(graph, made, norm->nodes[i]));
    norn_rewrite_replace(graph, norm->last, 0, made->out[0]);
    return NORN_OK;
}

norn_status norn_pass_recognise_layer_norm(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        layer_norm norm;
        if (node->dead || node->out_count != 1 || !node->out[0] || !norm_of(node, &norm)) continue;
        NORN_TRY(rewrite(context, graph, &norm));
    }
    norn_graph_sweep(graph);
    return norn_pass_dead_code(context, graph);
}
