/// Every product says in which types it multiplies, adds up and writes (graph/numbers.h): as its
/// values have them, which is what this pass may change.
///
///   tf32          F32 by F32 is multiplied in tf32, where that was asked for and a GPU does it
///   fp16, bf16    on a GPU, layers of halves (make_halves.h)
///   on the CPU    a constant B of a half type is widened to F32, once and exactly, so that
///                 pack_weights can lay it out and no run converts it again
#include "base/status.h"
#include "graph/numbers.h"
#include "ops/op.h"
#include "passes/make_halves.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

static norn_status widen_b(norn_graph *graph, norn_remade **done, norn_node *node) {
    norn_value *b = norn_node_in(node, 1), *wide;
    if (!norn_node_is(node, NORN_OP_GemmRegion) || !b->data || norn_sum_dtype(b->dtype) == b->dtype)
        return NORN_OK;
    NORN_TRY(norn_rewrite_convert(graph, done, b, norn_sum_dtype(b->dtype), &wide));
    norn_node_set_input(node, 1, wide);
    return NORN_OK;
}

/// NONE: float32 stays.
static norn_dtype half_of(norn_precision precision) {
    return precision == NORN_PRECISION_FP16   ? NORN_F16
           : precision == NORN_PRECISION_BF16 ? NORN_BF16
                                              : NORN_DTYPE_NONE;
}

norn_status norn_pass_assign_precision(norn_pass_context *context, norn_graph *graph) {
    const norn_precision asked =
        context->target ? context->options->precision : NORN_PRECISION_FP32;
    norn_remade *done = NULL;
    // Bodies run on the host where they are small.
    if (half_of(asked) != NORN_DTYPE_NONE && !graph->parent)
        NORN_TRY(norn_make_halves(graph, half_of(asked)));
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (node->dead || !(node->op->flags & NORN_OP_PRODUCT)) continue;
        if (!context->target) NORN_TRY(widen_b(graph, &done, node));
        node->numbers = norn_numbers_of(node);
        node->numbers.tf32 = asked != NORN_PRECISION_FP32 && node->numbers.a == NORN_F32 &&
                             node->numbers.b == NORN_F32;
    }
    return NORN_OK;
}
