/// GemmRegion(A, B) with constant B -> GemmRegion(A, packed B) for CPU plans: panels of 16 columns,
/// [ceil(n / 16)][k][16], zero-padded, which kernels of any ISA read in order. A matrix that
/// several regions read is packed once.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

static void pack(const float *b, int64_t k, int64_t n, bool transposed, float *out) {
    int64_t panels = (n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL;
    for (int64_t p = 0; p < panels; p++) {
        int64_t columns =
            n - p * NORN_GEMM_PANEL < NORN_GEMM_PANEL ? n - p * NORN_GEMM_PANEL : NORN_GEMM_PANEL;
        for (int64_t i = 0; i < k; i++) {
            float *row = out + (p * k + i) * NORN_GEMM_PANEL;
            for (int64_t j = 0; j < columns; j++) {
                int64_t column = p * NORN_GEMM_PANEL + j;
                row[j] = transposed ? b[column * k + i] : b[i * n + column];
            }
        }
    }
}

/// A matrix that is packed already.
typedef struct packing {
    const norn_value *from;
    norn_gemm_layout layout;
    norn_value *packed;
    struct packing *next;
} packing;

static norn_status pack_matrix(norn_graph *graph, packing **all, norn_value *b,
                               const norn_gemm_region *gemm, norn_value **packed) {
    for (const packing *p = *all; p; p = p->next) {
        *packed = p->packed;
        if (p->from == b && p->layout == gemm->b_layout) return NORN_OK;
    }
    int64_t dims[3] = {(gemm->n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL, gemm->k, NORN_GEMM_PANEL};
    packing *added;
    void *data;
    NORN_TRY(norn_rewrite_constant(graph, b->name, NORN_F32, 3, dims, packed, &data));
    pack(b->data->data, gemm->k, gemm->n, gemm->b_layout == NORN_GEMM_COLUMNS, data);
    NORN_TRY(NORN_TAKE(&graph->arena, &added));
    *added = (packing){b, gemm->b_layout, *packed, *all};
    *all = added;
    return NORN_OK;
}

static norn_status pack_region(norn_graph *graph, packing **all, norn_node *node) {
    const norn_gemm_region *gemm = &node->region->gemm;
    norn_value *b = norn_node_in(node, 1), *packed;
    norn_region *region;
    if (!b || !b->data || gemm->b_layout == NORN_GEMM_PANELS || b->dtype != NORN_F32)
        return NORN_OK;
    NORN_TRY(pack_matrix(graph, all, b, gemm, &packed));
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    *region = *node->region;
    region->gemm.b_layout = NORN_GEMM_PANELS;
    node->region = region;
    norn_node_set_input(node, 1, packed);
    return NORN_OK;
}

norn_status norn_pass_pack_weights(norn_pass_context *context, norn_graph *graph) {
    packing *all = NULL;
    if (!context->cpu_device) return NORN_OK;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (!node->dead && norn_node_is(node, NORN_OP_GemmRegion))
            NORN_TRY(pack_region(graph, &all, node));
    }
    return NORN_OK;
}
