/// BatchNormalization at inference is y = x * s + t with s = scale / sqrt(var + epsilon),
/// t = bias - mean * s, all constant:
///   BatchNormalization(Gemm(x, W, c))  -> Gemm(x, W * s, c * s + t)
///   BatchNormalization(Conv(x, W, c))  -> Conv(x, W * s, c * s + t)
///   BatchNormalization(x)              -> Add(Mul(x, s), t), which fuses with its neighbours
/// Products are in double, rounded once.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

#include <math.h>

typedef struct affine {
    int64_t channels;
    const float *scale, *bias, *mean, *var;
    double epsilon;
} affine;

static double affine_scale(const affine *a, int64_t c) {
    return (double)a->scale[c] / sqrt((double)a->var[c] + a->epsilon);
}
static double affine_shift(const affine *a, int64_t c) {
    return (double)a->bias[c] - (double)a->mean[c] * affine_scale(a, c);
}

static const float *f32_vector(const norn_value *value, int64_t count) {
    if (!value || !value->data || value->dtype != NORN_F32 || norn_view_elems(value->data) != count)
        return NULL;
    return value->data->data;
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
    a->scale = f32_vector(scale, a->channels);
    a->bias = f32_vector(norn_node_in(norm, 2), a->channels);
    a->mean = f32_vector(norn_node_in(norm, 3), a->channels);
    a->var = f32_vector(norn_node_in(norm, 4), a->channels);
    return a->scale && a->bias && a->mean && a->var && norm->out[0]->dtype == NORN_F32;
}

/// Whether `value` is a constant [channels] or one element, read as such by the producer.
static bool constant_bias(const norn_value *value, int64_t channels) {
    if (!value) return true;
    if (!value->data || value->dtype != NORN_F32) return false;
    int64_t elems = norn_view_elems(value->data);
    if (elems == 1) return true;
    return elems == channels && value->data->dims[value->data->rank - 1] == channels;
}

/// The producer with weights of its own, W * s along `axis` of W, and c * beta * s + t.
static norn_status fold_into(norn_graph *graph, norn_node *norm, const affine *a, int32_t axis,
                             double beta) {
    norn_node *before = norm->in[0].value->producer;
    const norn_value *weight = before->in[1].value, *bias = norn_node_in(before, 2);
    norn_value *in[3], *folded;
    void *data;
    NORN_TRY(norn_rewrite_constant(graph, weight->name, NORN_F32, weight->data->rank,
                                   weight->data->dims, &folded, &data));
    int64_t inner = norn_dims_product(weight->data->dims, axis + 1, weight->data->rank);
    int64_t elems = norn_view_elems(weight->data);
    const float *from = weight->data->data;
    for (int64_t i = 0; i < elems; i++) {
        ((float *)data)[i] = (float)((double)from[i] * affine_scale(a, i / inner % a->channels));
    }
    in[0] = before->in[0].value, in[1] = folded;
    NORN_TRY(norn_rewrite_constant(graph, bias ? bias->name : norm->name, NORN_F32, 1, &a->channels,
                                   &in[2], &data));
    for (int64_t c = 0; c < a->channels; c++) {
        double old = 0;
        if (bias)
            old =
                (double)((const float *)bias->data->data)[norn_view_elems(bias->data) == 1 ? 0 : c];
        ((float *)data)[c] = (float)(old * beta * affine_scale(a, c) + affine_shift(a, c));
    }
    norn_node *node;
    NORN_TRY(norn_rewrite_node(graph, before, (norn_op_id)before->op->id, in, 3, before->attrs,
                               NORN_F32, &norm->out[0]->shape, before, &node));
    NORN_TRY(norn_node_add_origin(graph, node, norm));
    if (norn_node_is(node, NORN_OP_Gemm)) {
        norn_attr one = {.name = "beta", .kind = NORN_ATTR_FLOAT, .f32 = 1};
        NORN_TRY(norn_node_set_attr(graph, node, &one));
    }
    norn_rewrite_replace(graph, norm, 0, node->out[0]);
    norn_graph_kill(graph, before);
    return NORN_OK;
}

static norn_status scale_and_shift(norn_graph *graph, norn_node *norm, const affine *a) {
    norn_value *x = norm->in[0].value, *scale, *shift;
    void *scales, *shifts;
    int64_t dims[NORN_MAX_RANK] = {a->channels, 1, 1, 1, 1, 1, 1, 1};
    if (x->shape.rank < 2) return NORN_OK;
    int32_t rank = x->shape.rank - 1;
    NORN_TRY(norn_rewrite_constant(graph, norm->name, NORN_F32, rank, dims, &scale, &scales));
    NORN_TRY(norn_rewrite_constant(graph, norm->name, NORN_F32, rank, dims, &shift, &shifts));
    for (int64_t c = 0; c < a->channels; c++) {
        ((float *)scales)[c] = (float)affine_scale(a, c);
        ((float *)shifts)[c] = (float)affine_shift(a, c);
    }
    norn_node *mul, *add;
    norn_attrs none = {NULL, 0};
    NORN_TRY(norn_rewrite_node(graph, norm, NORN_OP_Mul, (norn_value *[]){x, scale}, 2, none,
                               NORN_F32, &x->shape, norm, &mul));
    NORN_TRY(norn_rewrite_node(graph, norm, NORN_OP_Add, (norn_value *[]){mul->out[0], shift}, 2,
                               none, NORN_F32, &x->shape, norm, &add));
    norn_rewrite_replace(graph, norm, 0, add->out[0]);
    return NORN_OK;
}

static norn_status fold_one(norn_graph *graph, norn_node *norm) {
    affine a;
    if (!affine_of(norm, &a) || a.channels < 1) return NORN_OK;
    const norn_value *x = norm->in[0].value;
    const norn_node *before = x->producer;
    const norn_value *weight = before && before->in_count >= 2 ? before->in[1].value : NULL;
    bool constant = weight && weight->data && weight->dtype == NORN_F32 &&
                    norn_value_only_reader(x) == norm &&
                    constant_bias(norn_node_in(before, 2), a.channels);
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
