/// Shapes that are unknown are inferred; then, in order of the nodes:
///   f(constants)                      -> constant, by the evaluator
///   x with contents known, all whole  -> constant: the shape arithmetic of exporters
///   If(constant) is left to the executor
///
/// Folding must not blow up a plan: a result may be as large as what it is made from, or small.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

#include "base/log.h"
#include "tensor/dtype.h"

enum { SMALL_BYTES = 64 * 1024 };

static bool needs_infer(const norn_graph *graph, const norn_node *node) {
    if (node->region || norn_node_is_static_reshape(node)) return false;
    for (uint32_t i = 0; i < node->out_count; i++) {
        const norn_value *out = node->out[i];
        if (!out) continue;
        if (out->dtype == NORN_DTYPE_NONE || out->shape.rank < 0) return true;
        if (node->op->flags & (NORN_OP_RUNTIME_SHAPE | NORN_OP_SUBGRAPH)) continue;
        if (!norn_shape_is_static(graph, &out->shape)) return true;
    }
    return false;
}

/// Bytes of every present input, and whether all are constant.
static bool inputs_constant(const norn_node *node, size_t *bytes) {
    *bytes = 0;
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *in = node->in[i].value;
        size_t more;
        if (!in) continue;
        if (!in->data || norn_view_bytes(in->data, &more) != NORN_OK) return false;
        *bytes += more;
    }
    return true;
}

static bool is_expander(const norn_node *node) {
    return norn_node_is(node, NORN_OP_Expand) || norn_node_is(node, NORN_OP_Tile) ||
           norn_node_is(node, NORN_OP_ConstantOfShape) || norn_node_is(node, NORN_OP_Range) ||
           norn_node_is(node, NORN_OP_OneHot) || norn_node_is(node, NORN_OP_EyeLike) ||
           norn_node_is(node, NORN_OP_Pad) || norn_node_is(node, NORN_OP_Resize);
}

/// False too when the size of a result is not known before it is computed.
static bool worth_folding(const norn_node *node, size_t in_bytes) {
    size_t out_bytes = 0;
    for (uint32_t i = 0; i < node->out_count; i++) {
        size_t more;
        if (!node->out[i]) continue;
        int64_t elems = norn_shape_elems(&node->out[i]->shape);
        if (elems < 0 || !norn_dtype_bytes(node->out[i]->dtype, elems, &more)) return false;
        out_bytes += more;
    }
    if (out_bytes <= SMALL_BYTES) return true;
    // Four times: int8 weights that are dequantised once instead of on every run.
    return !is_expander(node) && out_bytes / 4 <= in_bytes;
}

static norn_status replace_by_constant(norn_graph *graph, norn_value *value,
                                       const norn_view *data) {
    norn_value *constant;
    NORN_TRY(norn_graph_constant(graph, value->name, data, &constant));
    norn_graph_forward(graph, value, constant);
    return NORN_OK;
}

static norn_status evaluate(norn_pass_context *context, norn_graph *graph, norn_node *node) {
    norn_view *out;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, node->out_count ? node->out_count : 1, &out));
    norn_status status = context->evaluator.eval(context->evaluator.context, graph, node, out);
    if (status == NORN_RESOURCE_EXHAUSTED) return status;
    if (status != NORN_OK) {
        // An invalid value in a branch that is never taken is no error, so it is left to the run.
        norn_log(NORN_LOG_DEBUG, "not folded: node '%s': %s", node->name ? node->name : "",
                 norn_message());
        return NORN_OK;
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (!node->out[i] || !node->out[i]->readers) continue;
        norn_view *kept;
        NORN_TRY(NORN_TAKE(&graph->arena, &kept));
        *kept = out[i];
        NORN_TRY(replace_by_constant(graph, node->out[i], kept));
    }
    norn_graph_kill(graph, node);
    return NORN_OK;
}

/// Contents that are whole numbers become a constant tensor.
static norn_status fold_contents(norn_graph *graph, norn_value *value) {
    int64_t elems[NORN_CONTENTS_MAX];
    uint32_t count;
    if (value->data || !value->contents || !value->readers || value->shape.rank < 0 ||
        value->shape.rank > 1 || norn_dtype_is_float(value->dtype)) { // -0.0 is no whole number
        return NORN_OK;
    }
    if (!norn_value_ints(value, elems, NORN_CONTENTS_MAX, &count)) return NORN_OK;
    norn_value *constant;
    void *data;
    int64_t dims[1] = {count};
    if (value->shape.rank == 0 && count != 1) return NORN_OK;
    NORN_TRY(norn_rewrite_constant(graph, value->name, value->dtype, value->shape.rank, dims,
                                   &constant, &data));
    for (uint32_t i = 0; i < count; i++) norn_element_set_i64(value->dtype, data, i, elems[i]);
    norn_graph_forward(graph, value, constant);
    return NORN_OK;
}

static bool all_unread(const norn_node *node) {
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->out[i] && node->out[i]->readers) return false;
    }
    return true;
}

norn_status norn_pass_fold_constants(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        size_t in_bytes;
        if (node->dead || node->region) continue;
        if (needs_infer(graph, node)) NORN_TRY(norn_node_infer(graph, node));
        if (node->op->flags & (NORN_OP_EFFECT | NORN_OP_SUBGRAPH)) continue;
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->out[i]) NORN_TRY(fold_contents(graph, node->out[i]));
        }
        if (node->out_count && all_unread(node)) {
            norn_graph_kill(graph, node);
            continue;
        }
        if (!context->evaluator.eval || node->op->domain[0] != '\0') continue;
        if (norn_node_is_static_reshape(node) && !node->in[0].value->data) continue;
        if (!inputs_constant(node, &in_bytes) || !worth_folding(node, in_bytes)) continue;
        NORN_TRY(evaluate(context, graph, node));
    }
    return NORN_OK;
}
