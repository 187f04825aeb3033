/// Products by a constant matrix, with the pointwise work that follows, as one region:
///   Gemm(A, B, C), B constant, not transA
///       -> GemmRegion(A, B, C...), alpha and beta in the epilogue
///   MatMul(A[.., K], B[K, N]), B constant
///       -> GemmRegion(A, B), the leading dims of A as rows
///   pointwise(GemmRegion(..), operands)
///       -> GemmRegion(.., operands), as far as nothing else reads what lies between:
///          bias, Relu, x0 * (x W + b) + x
/// Operands of the epilogue repeat over rows, over columns or not at all. One floating type: the half
/// types add up in F32 and round where the product they come from did.
#include "passes/fuse.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

typedef struct product {
    norn_value *a, *b, *c; ///< c: addend, or NULL
    bool transposed;       ///< b is [n, k]
    double alpha, beta;
    int64_t k, n;
    norn_dtype dtype; ///< of a, b, c and the result
    bool only_acc;    ///< alpha and beta are 1 and there is no c
} product;

static bool is_constant_matrix(const norn_value *value) {
    return value && value->data && norn_scalar_register_dtype(value->dtype) != NORN_DTYPE_NONE &&
           norn_dtype_is_float(value->dtype) && value->data->rank == 2 &&
           value->data->dims[0] > 0 && value->data->dims[1] > 0;
}

static bool product_of(const norn_node *node, product *p) {
    *p = (product){.a = norn_node_in(node, 0), .b = norn_node_in(node, 1), .alpha = 1, .beta = 1};
    if (!p->a || p->a->data || !is_constant_matrix(p->b) || !node->out[0]) return false;
    if (norn_node_is(node, NORN_OP_Gemm)) {
        p->c = norn_node_in(node, 2);
        p->transposed = norn_attr_i64(node->attrs, "transB", 0) != 0;
        p->alpha = (double)norn_attr_f32(node->attrs, "alpha", 1);
        p->beta = (double)norn_attr_f32(node->attrs, "beta", 1);
        if (norn_attr_i64(node->attrs, "transA", 0) != 0) return false;
    } else if (!norn_node_is(node, NORN_OP_MatMul)) {
        return false;
    }
    const norn_shape *a = &p->a->shape, *out = &node->out[0]->shape;
    p->dtype = p->b->dtype;
    p->k = p->b->data->dims[p->transposed ? 1 : 0];
    p->n = p->b->data->dims[p->transposed ? 0 : 1];
    return p->a->dtype == p->dtype && node->out[0]->dtype == p->dtype && a->rank >= 2 &&
           out->rank == a->rank && norn_shape_dim_is(a, a->rank - 1, p->k) &&
           norn_shape_dim_is(out, out->rank - 1, p->n);
}

/// ACC * alpha + beta * C in a register, rounded once.
static norn_status begin_epilogue(norn_fuse *fuse, product *p, norn_value *seed, bool *fits) {
    uint16_t acc, factor, addend;
    norn_scalar_builder *b = &fuse->builder;
    const norn_dtype sum = norn_sum_dtype(p->dtype);
    *fits = true;
    NORN_TRY(norn_fuse_acc(fuse, p->dtype, &acc));
    if (p->alpha < 1 || p->alpha > 1) {
        NORN_TRY(norn_scalar_const(b, sum, p->alpha, 0, &factor));
        NORN_TRY(norn_scalar_emit(b, NORN_SCALAR_MUL, sum, acc, factor, 0, &acc));
    }
    if (p->c && (p->beta < 0 || p->beta > 0)) {
        NORN_TRY(norn_fuse_load(fuse, p->c, &addend, fits));
        if (!*fits) return NORN_OK;
        if (p->beta < 1 || p->beta > 1) {
            NORN_TRY(norn_scalar_const(b, sum, p->beta, 0, &factor));
            NORN_TRY(norn_scalar_emit(b, NORN_SCALAR_MUL, sum, addend, factor, 0, &addend));
        }
        NORN_TRY(norn_scalar_emit(b, NORN_SCALAR_ADD, sum, acc, addend, 0, &acc));
    }
    p->only_acc = fuse->builder.instr_count == 1;
    NORN_TRY(norn_fuse_round(fuse, p->dtype, &acc));
    norn_fuse_bind(fuse, seed, acc);
    return NORN_OK;
}

/// The node of the region, in place of the last of the nodes that it does the work of.
static norn_status place(norn_graph *graph, norn_node *node, const product *p, norn_fuse *fuse,
                         norn_node **followers, uint32_t count, norn_value *result) {
    norn_region *region;
    norn_node *made, *last = count ? followers[count - 1] : node;
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    region->gemm = (norn_gemm_region){
        .k = p->k, .n = p->n, .b_layout = p->transposed ? NORN_GEMM_COLUMNS : NORN_GEMM_ROWS};
    // What is ACC alone, written as it is, needs no program.
    if (!p->only_acc || (count && fuse->builder.instr_count > 1)) {
        NORN_TRY(norn_fuse_finish(fuse, &result, 1, &region->gemm.epilogue));
    }
    NORN_TRY(norn_rewrite_node(graph, last, NORN_OP_GemmRegion, fuse->inputs, fuse->input_count,
                               (norn_attrs){NULL, 0}, p->dtype, &result->shape, node, &made));
    made->region = region;
    made->note = last->note;
    for (uint32_t i = 0; i < count; i++) NORN_TRY(norn_node_add_origin(graph, made, followers[i]));
    norn_graph_forward(graph, result, made->out[0]);
    for (uint32_t i = count; i-- > 0;) norn_graph_kill(graph, followers[i]);
    norn_graph_kill(graph, node);
    return NORN_OK;
}

static norn_status make_region(norn_graph *graph, norn_node *node, product *p) {
    norn_value *first[2] = {p->a, p->b}, *result;
    norn_node *followers[NORN_FUSE_CHAIN_MAX];
    norn_fuse_loops loops = norn_fuse_loops_rows(&node->out[0]->shape);
    norn_fuse fuse;
    uint32_t count;
    bool fits;
    norn_fuse_init(&fuse, graph, &loops, first, 2);
    fuse.operands = p->dtype;
    NORN_TRY(begin_epilogue(&fuse, p, node->out[0], &fits));
    if (!fits) return NORN_OK;
    NORN_TRY(norn_fuse_follow(&fuse, node->out[0], followers, &count, &result));
    return place(graph, node, p, &fuse, followers, count, result);
}

norn_status norn_pass_gemm(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    norn_fuse_number(graph);
    for (norn_node *node = graph->nodes; node; node = node->next) {
        product p;
        if (node->dead || node->region || !product_of(node, &p)) continue;
        NORN_TRY(make_region(graph, node, &p));
    }
    return NORN_OK;
}
