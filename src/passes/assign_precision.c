/// Every product says in which types it multiplies, adds up and writes (graph/numbers.h): as its
/// values have them, which is what this pass may change.
///
///   tf32          F32 by F32 is multiplied in tf32, where that was asked for and a GPU does it
///   fp16, bf16    on a GPU, products of F32 by a constant matrix become products of halves:
///                     GemmRegion(A, B, C…) -> GemmRegion(cast(A), B half, C…)
///                 what only such products read is written as a half in the first place, its
///                 constant column vectors too, so that a chain of layers casts once; all others
///                 write F32. Thin products (fewer than 16 columns or terms) are no faster in halves
///                 and stay, and those of two activations are multiplied in tf32
///   on the CPU    a constant B of a half type is widened to F32, once and exactly, so that
///                 pack_weights can lay it out and no run converts it again
#include "base/status.h"
#include "graph/numbers.h"
#include "ops/op.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

enum { THIN = 16 };

typedef struct assignment {
    norn_graph *graph;
    norn_dtype half;   ///< NONE: F32 stays
    norn_remade *done; ///< by type
} assignment;

/// A constant in `dtype`, made once.
static norn_status convert_constant(assignment *a, norn_value *value, norn_dtype dtype,
                                    norn_value **to) {
    const norn_view *from = value->data;
    const int64_t count = norn_view_elems(from);
    void *data;
    *to = norn_remade_find(a->done, value, dtype);
    if (*to) return NORN_OK;
    NORN_TRY(
        norn_rewrite_constant(a->graph, value->name, dtype, from->rank, from->dims, to, &data));
    for (int64_t i = 0; i < count; i++)
        norn_element_set_f64(dtype, data, i, norn_element_f64(from->dtype, from->data, i));
    return norn_remade_keep(a->graph, &a->done, value, dtype, *to);
}

static norn_status widen_b(assignment *a, norn_node *node) {
    norn_value *b = norn_node_in(node, 1), *wide;
    if (!norn_node_is(node, NORN_OP_GemmRegion) || !b->data || norn_sum_dtype(b->dtype) == b->dtype)
        return NORN_OK;
    NORN_TRY(convert_constant(a, b, NORN_F32, &wide));
    norn_node_set_input(node, 1, wide);
    return NORN_OK;
}

// ---- halves

static bool becomes_half(const norn_node *node) {
    if (!node || node->dead || !norn_node_is(node, NORN_OP_GemmRegion)) return false;
    const norn_gemm_region *gemm = &node->region->gemm;
    const norn_value *b = norn_node_in(node, 1);
    return b->data && b->dtype == NORN_F32 && gemm->n >= THIN && gemm->k >= THIN;
}

/// Is `value` made by a product of halves and read by such alone, as their A?
static bool is_half_between(const norn_value *value) {
    if (!value->producer || !value->producer->note || !value->uses) return false;
    for (const norn_use *use = value->uses; use; use = use->next)
        if (!use->node || !use->node->note || use->index != 0) return false;
    return true;
}

static norn_status cast(assignment *a, norn_node *before, norn_value *value, norn_value **to) {
    norn_scalar_builder builder = {.arena = &a->graph->arena};
    const norn_scalar_load load = {.input = 0, .dtype = value->dtype};
    norn_region *region;
    norn_node *made;
    uint16_t reg;
    *to = norn_remade_find(a->done, value, a->half);
    if (*to) return NORN_OK;
    NORN_TRY(NORN_TAKE(&a->graph->arena, &region));
    NORN_TRY(norn_scalar_load_of(&builder, &load, &reg));
    NORN_TRY(norn_scalar_finish(&builder, &reg, 1, &region->pointwise.program));
    NORN_TRY(norn_rewrite_node(a->graph, before, NORN_OP_Pointwise, &value, 1,
                               (norn_attrs){NULL, 0}, a->half, &value->shape, before, &made));
    made->region = region;
    *to = made->out[0];
    return norn_remade_keep(a->graph, &a->done, value, a->half, *to);
}

/// The loads of an epilogue as its operands are now: A is a half; so are, where the result is, constant
/// columns, which a product on a GPU adds by itself.
static norn_status retype_loads(assignment *a, norn_node *node, norn_gemm_region *gemm) {
    norn_scalar_program *program = &gemm->epilogue;
    norn_scalar_load *loads;
    NORN_TRY(NORN_TAKE_ARRAY(&a->graph->arena, program->load_count, &loads));
    for (uint32_t i = 0; i < program->load_count; i++) {
        loads[i] = program->loads[i];
        if (loads[i].input == NORN_SCALAR_ACC) continue;
        norn_value *value = norn_node_in(node, loads[i].input), *narrow;
        const bool column = value->data && value->dtype == NORN_F32 && loads[i].broadcast[0];
        if (column && gemm->out == a->half) {
            NORN_TRY(convert_constant(a, value, a->half, &narrow));
            norn_node_set_input(node, loads[i].input, narrow);
        }
        loads[i].dtype = norn_node_in(node, loads[i].input)->dtype;
    }
    program->loads = loads;
    return NORN_OK;
}

static norn_status make_half(assignment *a, norn_node *node) {
    norn_value *in = norn_node_in(node, 0), *b;
    norn_region *region;
    NORN_TRY(NORN_TAKE(&a->graph->arena, &region));
    *region = *node->region;
    region->gemm.out = NORN_F32;
    NORN_TRY(convert_constant(a, norn_node_in(node, 1), a->half, &b));
    norn_node_set_input(node, 1, b);
    if (in->dtype == NORN_F32) { // not written as a half by the layer before
        NORN_TRY(cast(a, node, in, &in));
        norn_node_set_input(node, 0, in);
    }
    if (is_half_between(node->out[0])) node->out[0]->dtype = region->gemm.out = a->half;
    node->region = region;
    return retype_loads(a, node, &region->gemm);
}

static norn_status make_halves(assignment *a) {
    for (norn_node *node = a->graph->nodes; node; node = node->next)
        node->note = becomes_half(node) ? node : NULL;
    for (norn_node *node = a->graph->nodes; node; node = node->next)
        if (node->note) NORN_TRY(make_half(a, node));
    return NORN_OK;
}

norn_status norn_pass_assign_precision(norn_pass_context *context, norn_graph *graph) {
    const norn_precision asked =
        context->target ? context->options->precision : NORN_PRECISION_FP32;
    assignment a = {.graph = graph,
                    // Bodies run on the host where they are small.
                    .half = graph->parent                  ? NORN_DTYPE_NONE
                            : asked == NORN_PRECISION_FP16 ? NORN_F16
                            : asked == NORN_PRECISION_BF16 ? NORN_BF16
                                                           : NORN_DTYPE_NONE};
    if (a.half != NORN_DTYPE_NONE) NORN_TRY(make_halves(&a));
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (node->dead || !(node->op->flags & NORN_OP_PRODUCT)) continue;
        if (!context->target) NORN_TRY(widen_b(&a, node));
        node->numbers = norn_numbers_of(node);
        node->numbers.tf32 = asked != NORN_PRECISION_FP32 && node->numbers.a == NORN_F32 &&
                             node->numbers.b == NORN_F32;
    }
    return NORN_OK;
}
