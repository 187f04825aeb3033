/// BatchNormalization at inference is y = x * s + t with s = scale / sqrt(var + epsilon),
/// t = bias - mean * s, all constant:
///   BatchNormalization(Gemm(x, W, c))  -> Gemm(x, W * s, c * s + t)
///   BatchNormalization(Conv(x, W, c))  -> Conv(x, W * s, c * s + t)
///   BatchNormalization(x)              -> Add(Mul(x, s), t), which fuses with its neighbours
/// Products are in double, rounded once.
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <math.h>

typedef struct affine {
    int64_t channels;
    const norn_view *scale, *bias, *mean, *var; ///< float vectors of `channels`
    double epsilon;
    norn_dtype dtype; ///< of the input and of the result; those of the vectors may be wider
} affine;

static double at(const norn_view *vector, int64_t c) {
    return norn_element_f64(vector->dtype, vector->data, c);
}
static double affine_scale(const affine *a, int64_t c) {
    return at(a->scale, c) / sqrt(at(a->var, c) + a->epsilon);
}
static double affine_shift(const affine *a, int64_t c) {
    return at(a->bias, c) - at(a->mean, c) * affine_scale(a, c);
}

static const norn_view *float_vector(const norn_value *value, int64_t count) {
    if (!value || !value->data || !norn_dtype_is_float(value->dtype) ||
        norn_view_elems(value->data) != count)
        return NULL;
    return value->data;
}

static bool affine_of(const norn_node *norm, affine *a) {
    const norn_value *scale = norn_node_in(norm, 1);
    if (norn_attr_i64(norm->attrs, "training_mode", 0) != 0 || !norn_node_in(norm, 0)) return false;
    for (uint32_t i = 1; i < norm->out_count; i++) {
        if (norm->out[i] && norm->out[i]->readers) return false;
    }
    if (!scale || !scale->data || scale->data->rank != 1) return false;
    a->channels = scale->data->dims[0];
    a->epsilon = (double)norn_attr_f32(norm->attrs, "epsilon", 1e-5f);
    a->scale = float_vector(scale, a->channels);
    a->bias = float_vector(norn_node_in(norm, 2), a->channels);
    a->mean = float_vector(norn_node_in(norm, 3), a->channels);
    a->var = float_vector(norn_node_in(norm, 4), a->channels);
    a->dtype = norm->out[0]->dtype;
    return a->scale && a->bias && a->mean && a->var && norm->in[0].value->dtype == a->dtype &&
           norn_scalar_register_dtype(a->dtype) == norn_sum_dtype(a->dtype);
}

/// Whether `value` is a constant [channels] or one element, read as such by the producer.
static bool constant_bias(const norn_value *value, const affine *a) {
    if (!value) return true;
    if (!value->data || value->dtype != a->dtype) return false;
    int64_t elems = norn_view_elems(value->data);
    if (elems == 1) return true;
    return elems == a->channels && value->data->dims[value->data->rank - 1] == a->channels;
}

/// The producer with weights of its own, W * s along `axis` of W, and c * beta * s + t.
static norn_status fold_into(norn_graph *graph, norn_node *norm, const affine *a, int32_t axis,
                             double beta) {
    norn_node *before = norm->in[0].value->producer;
    const norn_value *weight = before->in[1].value, *bias = norn_node_in(before, 2);
    norn_value *in[3], *folded;
    void *data;
    NORN_TRY(norn_rewrite_constant(graph, weight->name, a->dtype, weight->data->rank,
                                   weight->data->dims, &folded, &data));
    int64_t inner = norn_dims_product(weight->data->dims, axis + 1, weight->data->rank);
    int64_t elems = norn_view_elems(weight->data);
    for (int64_t i = 0; i < elems; i++)
        norn_element_set_f64(a->dtype, data, i,
                             at(weight->data, i) * affine_scale(a, i / inner % a->channels));
    in[0] = before->in[0].value, in[1] = folded;
    NORN_TRY(norn_rewrite_constant(graph, bias ? bias->name : norm->name, a->dtype, 1, &a->channels,
                                   &in[2], &data));
    for (int64_t c = 0; c < a->channels; c++) {
        const double old = bias ? at(bias->data, norn_view_elems(bias->data) == 1 ? 0 : c) : 0;
        norn_element_set_f64(a->dtype, data, c,
                             old * beta * affine_scale(a, c) + affine_shift(a, c));
    }
    norn_node *node;
    NORN_TRY(norn_rewrite_node(graph, before, (norn_op_id)before->op->id, in, 3, before->attrs,
                               a->dtype, &norm->out[0]->shape, before, &node));
    NORN_TRY(norn_node_add_origin(graph, node, norm));
    if (norn_node_is(node, NORN_OP_Gemm)) {
        norn_attr one = {.name = "beta", .kind = NORN_ATTR_FLOAT, .f32 = 1};
        NORN_TRY(norn_node_set_attr(graph, node, &one));
    }
    norn_rewrite_replace(graph, norm, 0, node->out[0]);
    norn_graph_kill(graph, before);
    return NORN_OK;
}

static norn_status cast(norn_graph *graph, norn_node *norm, norn_value *x, norn_dtype to,
                        norn_value **out) {
    norn_attr attr = norn_attr_int_of("to", to);
    norn_node *node;
    *out = x;
    if (x->dtype == to) return NORN_OK;
    NORN_TRY(norn_rewrite_node(graph, norm, NORN_OP_Cast, &x, 1, (norn_attrs){&attr, 1}, to,
                               &x->shape, norm, &node));
    *out = node->out[0];
    return NORN_OK;
}

static norn_status combine(norn_graph *graph, norn_node *norm, norn_op_id op, norn_value *x,
                           norn_value *vector, norn_value **out) {
    norn_node *node;
    NORN_TRY(norn_rewrite_node(graph, norm, op, (norn_value *[]){x, vector}, 2,
                               (norn_attrs){NULL, 0}, x->dtype, &x->shape, norm, &node));
    *out = node->out[0];
    return NORN_OK;
}

/// In the type that sums have: a half's x * s and t may be much larger than what is left of them.
static norn_status scale_and_shift(norn_graph *graph, norn_node *norm, const affine *a) {
    norn_value *x = norm->in[0].value, *scale, *shift;
    const norn_dtype wide = norn_sum_dtype(a->dtype);
    void *scales, *shifts;
    int64_t dims[NORN_MAX_RANK] = {a->channels, 1, 1, 1, 1, 1, 1, 1};
    if (x->shape.rank < 2) return NORN_OK;
    int32_t rank = x->shape.rank - 1;
    NORN_TRY(norn_rewrite_constant(graph, norm->name, wide, rank, dims, &scale, &scales));
    NORN_TRY(norn_rewrite_constant(graph, norm->name, wide, rank, dims, &shift, &shifts));
    for (int64_t c = 0; c < a->channels; c++) {
        norn_element_set_f64(wide, scales, c, affine_scale(a, c));
        norn_element_set_f64(wide, shifts, c, affine_shift(a, c));
    }
    NORN_TRY(cast(graph, norm, x, wide, &x));
    NORN_TRY(combine(graph, norm, NORN_OP_Mul, x, scale, &x));
    NORN_TRY(combine(graph, norm, NORN_OP_Add, x, shift, &x));
    NORN_TRY(cast(graph, norm, x, a->dtype, &x));
    norn_rewrite_replace(graph, norm, 0, x);
    return NORN_OK;
}

static norn_status fold_one(norn_graph *graph, norn_node *norm) {
    affine a;
    if (!affine_of(norm, &a) || a.channels < 1) return NORN_OK;
    const norn_value *x = norm->in[0].value;
    const norn_node *before = x->producer;
    const norn_value *weight = before && before->in_count >= 2 ? before->in[1].value : NULL;
    bool constant = weight && weight->data && weight->dtype == a.dtype &&
                    norn_value_only_reader(x) == norm && constant_bias(norn_node_in(before, 2), &a);
    if (constant && norn_node_is(before, NORN_OP_Gemm) && weight->data->rank == 2) {
        int32_t axis = norn_attr_i64(before->attrs, "transB", 0) ? 0 : 1;
        if (weight->data->dims[axis] == a.channels) {
            return fold_into(graph, norm, &a, axis,
                             (double)norn_attr_f32(before->attrs, "beta", 1));
        }
    }
    if (constant && norn_node_is(before, NORN_OP_Conv) && weight->data->rank >= 3 &&
        weight->data->dims[0] == a.channels) {
        return fold_into(graph, norm, &a, 0, 1);
    }
    return scale_and_shift(graph, norm, &a);
}

norn_status norn_pass_fold_batchnorm(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (!node->dead && norn_node_is(node, NORN_OP_BatchNormalization) && node->out[0]) {
            NORN_TRY(fold_one(graph, node));
        }
    }
    return NORN_OK;
}
