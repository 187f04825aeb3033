/// GemmRegion(A, B) with constant B -> GemmRegion(A, packed B) for CPU plans: panels of 16 columns,
/// [ceil(n / 16)][k][16], zero-padded, which kernels of any ISA read in order, where there is a
/// kernel that reads them in B's type. A matrix that several regions read is packed once.
#include "passes/has_kernel.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

static void pack(const norn_view *b, int64_t k, int64_t n, bool transposed, char *out) {
    const size_t size = norn_dtype_bits(b->dtype) / 8;
    const char *from = b->data;
    int64_t panels = (n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL;
    for (int64_t p = 0; p < panels; p++) {
        const int64_t first = p * NORN_GEMM_PANEL;
        const int64_t columns = n - first < NORN_GEMM_PANEL ? n - first : NORN_GEMM_PANEL;
        for (int64_t i = 0; i < k; i++) {
            char *row = out + (size_t)(p * k + i) * NORN_GEMM_PANEL * size;
            if (!transposed)
                memcpy(row, from + (size_t)(i * n + first) * size, (size_t)columns * size);
            for (int64_t j = 0; transposed && j < columns; j++)
                memcpy(row + (size_t)j * size, from + (size_t)((first + j) * k + i) * size, size);
        }
    }
}

static norn_status pack_matrix(norn_graph *graph, norn_remade **all, const norn_value *b,
                               const norn_gemm_region *gemm, norn_value **packed) {
    int64_t dims[3] = {(gemm->n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL, gemm->k, NORN_GEMM_PANEL};
    void *data;
    *packed = norn_remade_find(*all, b, gemm->b_layout);
    if (*packed) return NORN_OK;
    NORN_TRY(norn_rewrite_constant(graph, b->name, b->dtype, 3, dims, packed, &data));
    pack(b->data, gemm->k, gemm->n, gemm->b_layout == NORN_GEMM_COLUMNS, data);
    return norn_remade_keep(graph, all, b, gemm->b_layout, *packed);
}

static bool reads_panels(const norn_pass_context *context, const norn_node *node,
                         const norn_region *region) {
    const norn_wanted wanted = {.op = NORN_OP_GemmRegion,
                                .region = region,
                                .in = {node->in[0].value, node->in[1].value},
                                .in_count = 2,
                                .out = node->out[0]->dtype,
                                .shape = &node->out[0]->shape,
                                .numbers = node->numbers};
    return norn_pass_has_kernel(context, &wanted);
}

static norn_status pack_region(const norn_pass_context *context, norn_graph *graph,
                               norn_remade **all, norn_node *node) {
    const norn_value *b = norn_node_in(node, 1);
    norn_region *region;
    norn_value *packed;
    if (!b || !b->data || node->region->gemm.b_layout == NORN_GEMM_PANELS) return NORN_OK;
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    *region = *node->region;
    region->gemm.b_layout = NORN_GEMM_PANELS;
    if (!reads_panels(context, node, region)) return NORN_OK;
    NORN_TRY(pack_matrix(graph, all, b, &node->region->gemm, &packed));
    node->region = region;
    norn_node_set_input(node, 1, packed);
    return NORN_OK;
}

norn_status norn_pass_pack_weights(norn_pass_context *context, norn_graph *graph) {
    norn_remade *all = NULL;
    if (context->target) return NORN_OK;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (!node->dead && norn_node_is(node, NORN_OP_GemmRegion))
            NORN_TRY(pack_region(context, graph, &all, node));
    }
    return NORN_OK;
}
