/// On a GPU the rows that a product reads begin at multiples of 16 bytes, or its matrix units cannot:
///   GemmRegion(Interaction(..) [B, 479], W [479, n]) of halves
///       -> GemmRegion(Interaction(..) [B, 480], W [480, n])
/// The interaction ends its rows with zeros, and so do the weights their sums; where others read the
/// interaction it stays.
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

enum { ROW_UNIT_BYTES = 16 };

/// Elements to the next multiple.
static int64_t missing(int64_t count, norn_dtype dtype) {
    const int64_t unit = ROW_UNIT_BYTES * 8 / norn_dtype_bits(dtype);
    return (unit - count % unit) % unit;
}

/// As their A, with a constant B, of products.
static bool only_multiplied(const norn_value *value) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node || use->index != 0 || !norn_node_is(use->node, NORN_OP_GemmRegion))
            return false;
        if (!norn_node_in(use->node, 1)->data ||
            use->node->region->gemm.b_layout == NORN_GEMM_PANELS)
            return false;
    }
    return value->uses != NULL;
}

/// B with `more` rows of zeros.
static norn_status widen_b(norn_graph *graph, norn_node *node, int64_t more) {
    const norn_gemm_region *gemm = &node->region->gemm;
    const norn_value *b = norn_node_in(node, 1);
    const bool turned = gemm->b_layout == NORN_GEMM_COLUMNS;
    const int64_t k = gemm->k + more, dims[2] = {turned ? gemm->n : k, turned ? k : gemm->n};
    const size_t size = norn_dtype_bits(b->dtype) / 8;
    const size_t rows = (size_t)(turned ? gemm->n : 1),
                 row = (size_t)(turned ? gemm->k : gemm->k * gemm->n) * size,
                 pitch = turned ? (size_t)k * size : row;
    norn_region *region;
    norn_value *wide;
    void *data;
    NORN_TRY(norn_rewrite_constant(graph, b->name, b->dtype, 2, dims, &wide, &data));
    for (size_t i = 0; i < rows; i++)
        memcpy((char *)data + i * pitch, (const char *)b->data->data + i * row, row);
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    *region = *node->region;
    region->gemm.k = k;
    node->region = region;
    norn_node_set_input(node, 1, wide);
    return NORN_OK;
}

static norn_status align(norn_graph *graph, norn_node *interaction, int64_t more) {
    norn_value *out = interaction->out[0];
    norn_region *region;
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    *region = *interaction->region;
    region->interaction.pad += more;
    interaction->region = region;
    out->shape.dims[out->shape.rank - 1].constant += more;
    for (const norn_use *use = out->uses; use; use = use->next)
        NORN_TRY(widen_b(graph, use->node, more));
    return NORN_OK;
}

norn_status norn_pass_align_rows(norn_pass_context *context, norn_graph *graph) {
    if (!context->target) return NORN_OK;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (node->dead || !norn_node_is(node, NORN_OP_Interaction)) continue;
        const norn_value *out = node->out[0];
        const norn_shape *shape = &out->shape;
        if (node->region->interaction.kind != NORN_INTERACTION_DOT || shape->rank != 2 ||
            !norn_dim_is_const(shape->dims[1]) || !only_multiplied(out))
            continue;
        const int64_t more = missing(shape->dims[1].constant, out->dtype);
        if (more) NORN_TRY(align(graph, node, more));
    }
    return NORN_OK;
}
