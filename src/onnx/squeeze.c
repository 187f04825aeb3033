/// Squeeze without axes drops what happens to be 1: the rank of [B, 1] squeezed is 1
/// for two rows and 0 for one. Models end in it (`torch.squeeze` of the scores).
/// Where only elementwise work follows, up to outputs, the values keep their dynamic dims
/// and the outputs are squeezed when a run has ended, so that the model keeps its batch;
/// elsewhere the rank is known only while running.
#include "onnx/importer.h"

#include <string.h>

/// On a value that may keep its dims.
typedef struct kept {
    norn_shape shape;
    bool is_root; ///< made by the Squeeze itself
    bool refused;
} kept;

static kept *note_of(const norn_value *value) {
    return value ? value->note : NULL;
}

static bool is_open_squeeze(const norn_node *node) {
    const norn_value *in = norn_node_in(node, 0);
    return norn_node_is(node, NORN_OP_Squeeze) && node->in_count == 1 && node->out_count == 1 &&
           node->out[0] && in->shape.rank >= 0 && node->out[0]->shape.rank < 0;
}

static norn_shape without_ones(const norn_shape *shape) {
    norn_shape out = {.rank = 0};
    for (int32_t d = 0; d < shape->rank; d++)
        if (!norn_dim_equal(shape->dims[d], norn_dim_const(1)))
            out.dims[out.rank++] = shape->dims[d];
    return out;
}

/// The shape that all operands of an elementwise node keep, scalars aside; NULL: they do not.
static const norn_shape *common_shape(const norn_node *node) {
    const norn_shape *shape = NULL;
    if (!(node->op->flags & NORN_OP_POINTWISE) || node->out_count != 1 || !node->out[0])
        return NULL;
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *in = node->in[i].value;
        if (!in || (in->data && in->data->rank == 0)) continue;
        const kept *note = note_of(in);
        if (!note || (shape && !norn_shape_equal(shape, &note->shape))) return NULL;
        shape = &note->shape;
    }
    return shape;
}

static norn_status note_values(norn_importer *importer, norn_graph *graph, bool *any) {
    *any = false;
    for (uint32_t i = 0; i < graph->input_count; i++) graph->inputs[i]->note = NULL;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->out_count; i++)
            if (node->out[i]) node->out[i]->note = NULL;
        for (uint32_t i = 0; i < node->in_count; i++)
            if (node->in[i].value && !node->in[i].value->producer) node->in[i].value->note = NULL;
    }
    for (norn_node *node = graph->nodes; node; node = node->next) {
        kept *note;
        const norn_shape *shape = is_open_squeeze(node) ? &node->in[0].value->shape : NULL;
        const norn_shape *common = shape ? NULL : common_shape(node);
        if (!shape && !common) continue;
        NORN_TRY(NORN_TAKE(&importer->scratch, &note));
        *note = (kept){.shape = shape ? without_ones(shape) : *common, .is_root = shape != NULL};
        node->out[0]->note = note;
        *any = true;
    }
    return NORN_OK;
}

/// Refuse what a refused value needs or makes; true when there was any.
static bool spread(const norn_graph *graph) {
    bool changed = false;
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        kept *out = node->out_count == 1 ? note_of(node->out[0]) : NULL;
        bool inside = out && !out->is_root, refused = !inside || out->refused;
        for (uint32_t i = 0; inside && i < node->in_count; i++)
            refused |= note_of(node->in[i].value) && note_of(node->in[i].value)->refused;
        for (uint32_t i = 0; refused && i < node->in_count; i++) {
            kept *in = note_of(node->in[i].value);
            if (!in || in->refused) continue;
            changed = in->refused = true;
        }
        if (inside && refused && !out->refused) changed = out->refused = true;
    }
    return changed;
}

static norn_status fix_axes(norn_graph *graph, norn_node *node) {
    const norn_shape *in = &node->in[0].value->shape;
    norn_attr attr = {.name = "axes", .kind = NORN_ATTR_INTS};
    int64_t *axes;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, NORN_MAX_RANK, &axes));
    for (int32_t d = 0; d < in->rank; d++)
        if (norn_dim_equal(in->dims[d], norn_dim_const(1))) axes[attr.count++] = d;
    attr.ints = axes;
    return norn_node_set_attr(graph, node, &attr);
}

norn_status norn_import_squeezes(norn_importer *importer, norn_graph *graph) {
    bool any;
    NORN_TRY(note_values(importer, graph, &any));
    if (!any) return NORN_OK;
    while (spread(graph)) {
    }
    for (norn_node *node = graph->nodes; node; node = node->next) {
        const kept *note = node->out_count == 1 ? note_of(node->out[0]) : NULL;
        if (!note || note->refused) continue;
        if (note->is_root) NORN_TRY(fix_axes(graph, node));
        NORN_TRY(norn_node_infer(graph, node));
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const kept *note = note_of(graph->outputs[i].value);
        graph->output_squeezed[i] = note && !note->refused;
    }
    return NORN_OK;
}
