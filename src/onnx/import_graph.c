#include "onnx/importer.h"

#include "base/log.h"
#include "tensor/dtype.h"

#include <stdlib.h>
#include <string.h>

norn_status norn_import_dtype(const norn_onnx_value_info *info, norn_dtype *out) {
    static const char *const kinds[] = {
        [NORN_ONNX_TYPE_NONE] = "of no type",
        [NORN_ONNX_TYPE_TENSOR] = "a tensor",
        [NORN_ONNX_TYPE_SEQUENCE] = "a sequence",
        [NORN_ONNX_TYPE_MAP] = "a map",
        [NORN_ONNX_TYPE_OPTIONAL] = "an optional",
        [NORN_ONNX_TYPE_OPTIONAL_SEQUENCE] = "an optional sequence",
        [NORN_ONNX_TYPE_SPARSE_TENSOR] = "a sparse tensor",
    };
    static const uint32_t bits[] = {
        [NORN_ONNX_TYPE_SEQUENCE] = NORN_SEQUENCE,
        [NORN_ONNX_TYPE_OPTIONAL] = NORN_OPTIONAL,
        [NORN_ONNX_TYPE_OPTIONAL_SEQUENCE] = NORN_SEQUENCE | NORN_OPTIONAL,
        [NORN_ONNX_TYPE_SPARSE_TENSOR] = 0,
    };
    bool holds = bits[info->kind] != 0;
    if (info->kind != NORN_ONNX_TYPE_TENSOR && (!holds || info->elem_type == 0)) {
        return norn_fail(info->kind == NORN_ONNX_TYPE_NONE ? NORN_INVALID_ARGUMENT
                                                           : NORN_UNIMPLEMENTED,
                         "'%s' is %s%s; Norn takes tensors, and sequences and optionals of them",
                         info->name, kinds[info->kind], holds ? " of what is no tensor" : "");
    }
    if (info->elem_type <= 0 || info->elem_type >= NORN_DTYPE_COUNT) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "'%s' has element type %lld, which is not one of ONNX's", info->name,
                         (long long)info->elem_type);
    }
    *out = norn_dtype_with((norn_dtype)info->elem_type, bits[info->kind]);
    return NORN_OK;
}

// ---- inputs of the model

/// A dimension's name may be an expression: exporters write "batch + 1" (CSR offsets)
/// and "2*s0". Splits `text`, "NAME", "NAME + K" or "K*NAME", into a name and what
/// is done to it; else it is a name.
static norn_status split_dim_name(norn_importer *importer, const char *text, const char **name,
                                  int64_t *coef, int64_t *constant) {
    const char *plus = strchr(text, '+'), *times = strchr(text, '*');
    *name = text, *coef = 1, *constant = 0;
    if ((plus != NULL) == (times != NULL)) return NORN_OK;
    char *end;
    const char *number = plus ? plus + 1 : text, *rest = plus ? text : times + 1;
    long long value = strtoll(number, &end, 10);
    while (*end == ' ') end++;
    if (end == number || value < 1 || value > INT32_MAX || *end != (plus ? '\0' : '*')) {
        return NORN_OK;
    }
    while (*rest == ' ') rest++;
    size_t count = plus ? (size_t)(plus - rest) : strlen(rest);
    while (count && rest[count - 1] == ' ') count--;
    for (size_t i = 0; i < count; i++) {
        if (strchr("+-*/() ", rest[i])) return NORN_OK;
    }
    if (count == 0 || (rest[0] >= '0' && rest[0] <= '9')) return NORN_OK;
    *(plus ? constant : coef) = value;
    return norn_arena_string(&importer->scratch, rest, count, name);
}

static norn_status input_shape(norn_scope *scope, const norn_onnx_value_info *info,
                               norn_shape *out) {
    norn_importer *importer = scope->importer;
    *out = norn_shape_unknown();
    if (info->kind != NORN_ONNX_TYPE_TENSOR) return NORN_OK; // its bytes are counted when it comes
    if (!info->has_shape) {
        return norn_fail(NORN_UNIMPLEMENTED,
                         "input '%s' has no shape, not even a rank; export it with its dimensions "
                         "(they may be dynamic)",
                         info->name);
    }
    if (info->rank > NORN_MAX_RANK) {
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' has rank %u; the largest is %d",
                         info->name, info->rank, (int)NORN_MAX_RANK);
    }
    out->rank = (int32_t)info->rank;
    for (uint32_t i = 0; i < info->rank; i++) {
        const char *name;
        int64_t coef, constant;
        int32_t symbol;
        if (info->dims[i].value >= 0) {
            out->dims[i] = norn_dim_const(info->dims[i].value);
            continue;
        }
        NORN_TRY(norn_unify_dim_name(importer, info, i, &name));
        NORN_TRY(split_dim_name(importer, name, &name, &coef, &constant));
        NORN_TRY(
            norn_symbol_input(&scope->graph->symbols, norn_unify_alias(importer, name), &symbol));
        out->dims[i] = (norn_dim){constant, coef, symbol};
    }
    return NORN_OK;
}

enum { FALLBACK_IR_VERSION = 4 };

/// A default must be what the input is declared to be.
static norn_status check_fallback(const norn_value *input, const norn_view *fallback) {
    bool same = fallback->dtype == input->dtype && fallback->rank == input->shape.rank;
    for (int32_t d = 0; d < fallback->rank && same; d++) {
        norn_dim dim = input->shape.dims[d];
        same = !norn_dim_is_const(dim) || dim.constant == fallback->dims[d];
    }
    if (same) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "input '%s' is declared another type or shape than its initializer has",
                     input->name);
}

norn_status norn_import_top_inputs(norn_scope *scope, const norn_onnx_graph *proto) {
    for (uint32_t i = 0; i < proto->inputs.count; i++) {
        norn_onnx_value_info info;
        norn_dtype dtype;
        norn_shape shape;
        norn_value *value;
        NORN_TRY(norn_onnx_read_value_info(proto->inputs.at[i], &scope->importer->scratch, &info));
        const norn_value *old = norn_name_map_find(&scope->names, info.name);
        const norn_view *fallback = old ? old->data : NULL;
        // Before IR 4 every initializer had to be listed; since then it is a default.
        if (fallback && scope->importer->proto.ir_version < FALLBACK_IR_VERSION) continue;
        if (old && !fallback)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' is there twice", info.name);
        NORN_TRY(norn_import_dtype(&info, &dtype));
        NORN_TRY(input_shape(scope, &info, &shape));
        NORN_TRY(norn_graph_value(scope->graph, info.name, dtype, &shape, &value));
        if (fallback) NORN_TRY(check_fallback(value, fallback));
        value->fallback = fallback;
        NORN_TRY(norn_graph_add_input(scope->graph, value));
        NORN_TRY(norn_name_map_put(&scope->names, info.name, value));
    }
    return NORN_OK;
}

// ---- initializers

static norn_status import_initializers(norn_scope *scope, const norn_onnx_spans *spans,
                                       bool sparse) {
    for (uint32_t i = 0; i < spans->count; i++) {
        const char *name;
        norn_value *value;
        NORN_TRY(norn_scope_constant(scope, spans->at[i], sparse, &name, &value));
        if (!*name) return norn_fail(NORN_INVALID_ARGUMENT, "an initializer has no name");
        NORN_TRY(norn_scope_define(scope, name, value));
    }
    return NORN_OK;
}

// ---- outputs

/// A declared output: its type must be right; its shape is only
/// a claim, and a wrong one is reported.
static norn_status check_output(const norn_scope *scope, const norn_onnx_value_info *info,
                                const norn_value *value) {
    norn_dtype dtype;
    if (info->kind == NORN_ONNX_TYPE_NONE) return NORN_OK;
    NORN_TRY(norn_import_dtype(info, &dtype));
    if (dtype != value->dtype) {
        return norn_fail(NORN_INVALID_ARGUMENT, "output '%s' is declared %s but computed as %s",
                         info->name, norn_dtype_name(dtype), norn_dtype_name(value->dtype));
    }
    if (!info->has_shape || value->shape.rank < 0) return NORN_OK;
    bool differs = info->rank != (uint32_t)value->shape.rank;
    for (uint32_t i = 0; !differs && i < info->rank; i++) {
        norn_dim dim = value->shape.dims[i];
        differs = info->dims[i].value >= 0 && norn_dim_is_const(dim) &&
                  dim.constant != info->dims[i].value;
    }
    if (differs) {
        norn_log(NORN_LOG_WARN, "%s: output '%s' does not have the shape that the model declares",
                 scope->graph->path, info->name);
    }
    return NORN_OK;
}

static norn_status import_outputs(norn_scope *scope, const norn_onnx_graph *proto) {
    norn_graph *graph = scope->graph;
    norn_name_map seen = norn_name_map_in(&scope->importer->scratch);
    for (uint32_t i = 0; i < proto->outputs.count; i++) {
        norn_onnx_value_info info;
        norn_value *value;
        NORN_TRY(norn_onnx_read_value_info(proto->outputs.at[i], &scope->importer->scratch, &info));
        NORN_TRY(norn_scope_find(scope, info.name, &value));
        if (!value)
            return norn_fail(NORN_INVALID_ARGUMENT, "output '%s' is not made by any node",
                             info.name);
        if (!scope->outer) {
            if (norn_name_map_find(&seen, info.name)) {
                return norn_fail(NORN_INVALID_ARGUMENT, "output '%s' is there twice", info.name);
            }
            NORN_TRY(norn_name_map_put(&seen, info.name, value));
            NORN_TRY(check_output(scope, &info, value));
        }
        NORN_TRY(norn_graph_add_output(graph, value));
        NORN_TRY(norn_arena_string(&graph->arena, info.name, strlen(info.name),
                                   &graph->output_names[graph->output_count - 1]));
    }
    return NORN_OK;
}

norn_status norn_import_graph(norn_scope *scope, const norn_onnx_graph *proto) {
    NORN_TRY(import_initializers(scope, &proto->initializers, false));
    NORN_TRY(import_initializers(scope, &proto->sparse_initializers, true));
    if (!scope->outer) NORN_TRY(norn_import_top_inputs(scope, proto));
    norn_onnx_node *nodes;
    NORN_TRY(norn_import_node_order(scope->importer, &proto->nodes, &nodes));
    for (uint32_t i = 0; i < proto->nodes.count; i++) NORN_TRY(norn_import_node(scope, &nodes[i]));
    if (!scope->outer && proto->outputs.count == 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "the graph has no output; is the file a model?");
    return import_outputs(scope, proto);
}
