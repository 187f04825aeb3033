/// Every product says in which types it multiplies, adds up and writes (graph/numbers.h):
///   as its values have them; F32 by F32 in tf32 where that was asked for and a GPU does it.
/// On the CPU a constant B of a half type is widened to F32 here, once and exactly, so that
/// pack_weights can lay it out and no run converts it again:
///   GemmRegion(A f16, B f16) -> GemmRegion(A f16, B f32)
#include "graph/numbers.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

/// A matrix that is widened already.
typedef struct widening {
    const norn_value *from;
    norn_value *to;
    struct widening *next;
} widening;

static norn_status widen(norn_graph *graph, widening **all, norn_value *b, norn_value **to) {
    for (const widening *w = *all; w; w = w->next) {
        *to = w->to;
        if (w->from == b) return NORN_OK;
    }
    const norn_view *from = b->data;
    const int64_t count = norn_view_elems(from);
    widening *added;
    void *data;
    NORN_TRY(norn_rewrite_constant(graph, b->name, NORN_F32, from->rank, from->dims, to, &data));
    for (int64_t i = 0; i < count; i++)
        ((float *)data)[i] = (float)norn_element_f64(from->dtype, from->data, i);
    NORN_TRY(NORN_TAKE(&graph->arena, &added));
    *added = (widening){b, *to, *all};
    *all = added;
    return NORN_OK;
}

static norn_status widen_b(norn_graph *graph, widening **all, norn_node *node) {
    norn_value *b = norn_node_in(node, 1), *wide;
    if (!norn_node_is(node, NORN_OP_GemmRegion) || !b->data || norn_sum_dtype(b->dtype) == b->dtype)
        return NORN_OK;
    NORN_TRY(widen(graph, all, b, &wide));
    norn_node_set_input(node, 1, wide);
    return NORN_OK;
}

norn_status norn_pass_assign_precision(norn_pass_context *context, norn_graph *graph) {
    const bool tf32 = context->options->precision == NORN_PRECISION_TF32 && !context->cpu_device;
    widening *all = NULL;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (node->dead || !(node->op->flags & NORN_OP_PRODUCT)) continue;
        if (context->cpu_device) NORN_TRY(widen_b(graph, &all, node));
        node->numbers = norn_numbers_of(node);
        node->numbers.tf32 = tf32 && node->numbers.a == NORN_F32 && node->numbers.b == NORN_F32;
    }
    return NORN_OK;
}
