/// Shapes that the model declares, where inference can only say "known while running".
/// Planning goes by them, and a run checks that they hold (norn_step.check).
#include "onnx/importer.h"

#include <string.h>

typedef struct declared {
    norn_onnx_value_info info;
    bool is_output;
} declared;

static norn_status collect(norn_importer *importer, const norn_onnx_spans *infos, bool is_output) {
    for (uint32_t i = 0; i < infos->count; i++) {
        declared *one;
        NORN_TRY(NORN_TAKE(&importer->scratch, &one));
        one->is_output = is_output;
        NORN_TRY(norn_onnx_read_value_info(infos->at[i], &importer->scratch, &one->info));
        bool useful = one->info.kind == NORN_ONNX_TYPE_TENSOR && one->info.has_shape &&
                      one->info.rank <= NORN_MAX_RANK;
        if (useful) NORN_TRY(norn_name_map_put(&importer->declared, one->info.name, one));
    }
    return NORN_OK;
}

norn_status norn_declared_collect(norn_importer *importer, const norn_onnx_graph *proto) {
    importer->declared = norn_name_map_in(&importer->scratch);
    NORN_TRY(collect(importer, &proto->value_infos, false));
    return collect(importer, &proto->outputs, true);
}

/// Does `dim` follow from something that only a run knows?
static bool is_open(const norn_symbols *symbols, norn_dim dim, int depth) {
    if (norn_dim_is_const(dim)) return false;
    const norn_symbol *symbol = &symbols->at[dim.symbol];
    if (symbol->kind == NORN_SYMBOL_RUNTIME || depth == 0) return true;
    return symbol->kind == NORN_SYMBOL_DERIVED &&
           (is_open(symbols, symbol->a, depth - 1) || is_open(symbols, symbol->b, depth - 1));
}

/// A dimension that an input has too, under the name that the model gives it.
static bool find_symbol(const norn_importer *importer, const norn_symbols *symbols,
                        const char *name, norn_dim *out) {
    if (!*name) return false;
    name = norn_unify_alias(importer, name);
    for (int32_t i = 0; i < symbols->count; i++) {
        if (symbols->at[i].kind != NORN_SYMBOL_INPUT || strcmp(symbols->at[i].name, name) != 0)
            continue;
        *out = norn_dim_symbol(i);
        return true;
    }
    return false;
}

/// What the declaration says of dimension `d`. A number is believed of an output only, and not of
/// its first dimension: there exporters leave the batch that they traced with.
static bool said_of(const norn_importer *importer, const norn_graph *graph, const declared *one,
                    uint32_t d, norn_dim *out) {
    const norn_onnx_dim *dim = &one->info.dims[d];
    if (dim->value < 0) return find_symbol(importer, &graph->symbols, dim->param, out);
    if (!one->is_output || d == 0) return false;
    *out = norn_dim_const(dim->value);
    return true;
}

/// Is the rank open because a Squeeze without axes made it so? Then a declared rank is only that of
/// most runs. `budget`: values to look at.
static bool is_squeezed(const norn_value *value, int *budget) {
    const norn_node *node = value->producer;
    if (value->shape.rank >= 0 || !node || (*budget)-- <= 0) return false;
    if (norn_node_is(node, NORN_OP_Squeeze) && node->in_count == 1) return true;
    for (uint32_t i = 0; i < node->in_count; i++)
        if (node->in[i].value && is_squeezed(node->in[i].value, budget)) return true;
    return false;
}

norn_status norn_declared_apply(norn_importer *importer, norn_graph *graph, const char *name,
                                norn_value *value) {
    const declared *one = norn_name_map_find(&importer->declared, name);
    norn_shape *shape = &value->shape;
    int budget = 256;
    if (!one || value->data) return NORN_OK;
    if (shape->rank < 0) {
        if (is_squeezed(value, &budget)) return NORN_OK;
        shape->rank = (int32_t)one->info.rank;
        for (int32_t d = 0; d < shape->rank; d++)
            NORN_TRY(norn_symbol_runtime(&graph->symbols, &shape->dims[d]));
    }
    if (shape->rank != (int32_t)one->info.rank) return NORN_OK;
    for (int32_t d = 0; d < shape->rank; d++) {
        norn_dim said;
        if (is_open(&graph->symbols, shape->dims[d], 8) &&
            said_of(importer, graph, one, (uint32_t)d, &said))
            shape->dims[d] = said;
    }
    return NORN_OK;
}
