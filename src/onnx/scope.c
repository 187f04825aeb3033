#include "onnx/importer.h"

#include <stdio.h>
#include <string.h>

int64_t norn_scope_opset(const norn_scope *scope, const char *domain) {
    for (uint32_t i = 0; i < scope->opsets->count; i++) {
        if (strcmp(scope->opsets->at[i].domain, domain) == 0) return scope->opsets->at[i].version;
    }
    return 1;
}

norn_value *norn_scope_omitted(void) {
    static norn_value omitted = {.name = ""};
    return &omitted;
}

norn_status norn_scope_define(norn_scope *scope, const char *name, norn_value *value) {
    const norn_value *old = norn_name_map_find(&scope->names, name);
    if (old && (old->producer || old->data)) {
        return norn_fail(NORN_INVALID_ARGUMENT, "'%s' is made twice", name);
    }
    return norn_name_map_put(&scope->names, name, value);
}

norn_status norn_scope_constant(norn_scope *scope, norn_span tensor, bool sparse, const char **name,
                                norn_value **out) {
    norn_view view;
    norn_importer *importer = scope->importer;
    NORN_TRY((sparse ? norn_sparse_tensor_proto_decode : norn_tensor_proto_decode)(
        tensor, &importer->external, &scope->graph->arena, &view, name));
    return norn_graph_constant(scope->graph, *name, &view, out);
}

static norn_status tensor_name(void *context, const norn_wire_field *field) {
    norn_span *name = context;
    if (field->number == 8) *name = field->bytes;
    return NORN_OK;
}

static norn_status sparse_name(void *context, const norn_wire_field *field) {
    if (field->number != 1) return NORN_OK; // values, a TensorProto whose name is the tensor's
    return norn_wire_visit(field->bytes, tensor_name, context);
}

static norn_status note_names(norn_importer *importer, const norn_onnx_spans *tensors,
                              norn_wire_field_fn read, norn_name_map *out) {
    for (uint32_t i = 0; i < tensors->count; i++) {
        norn_span name = {0};
        const char *text;
        NORN_TRY(norn_wire_visit(tensors->at[i], read, &name));
        NORN_TRY(norn_onnx_text(&importer->scratch, name, &text));
        NORN_TRY(norn_name_map_put(out, text, importer));
    }
    return NORN_OK;
}

norn_status norn_import_initializer_names(norn_importer *importer, const norn_onnx_graph *proto,
                                          norn_name_map *out) {
    NORN_TRY(note_names(importer, &proto->initializers, tensor_name, out));
    return note_names(importer, &proto->sparse_initializers, sparse_name, out);
}

// ---- values from around a body

/// A body has symbols of its own, so a dimension from around it becomes one of them: inputs'
/// symbols under their name, others under a name that no model can have.
static norn_status carry_dim(const norn_graph *from, norn_dim dim, norn_graph *to, norn_dim *out) {
    char name[NORN_DIM_TEXT + 16];
    int32_t symbol;
    *out = dim;
    if (norn_dim_is_const(dim)) return NORN_OK;
    const norn_symbol *outer = &from->symbols.at[dim.symbol];
    if (outer->kind == NORN_SYMBOL_INPUT) {
        NORN_TRY(norn_symbol_input(&to->symbols, outer->name, &symbol));
    } else {
        snprintf(name, sizeof name, "%.48s@%d", outer->name, (int)dim.symbol);
        NORN_TRY(norn_symbol_input(&to->symbols, name, &symbol));
    }
    out->symbol = symbol;
    return NORN_OK;
}

static norn_status carry_value(const norn_graph *from, const norn_value *outer, norn_graph *to,
                               const char *name, norn_value **out) {
    norn_shape shape = outer->shape;
    for (int32_t i = 0; i < shape.rank; i++) {
        NORN_TRY(carry_dim(from, outer->shape.dims[i], to, &shape.dims[i]));
    }
    NORN_TRY(norn_graph_value(to, name, outer->dtype, &shape, out));
    if (outer->contents_count == 0) return NORN_OK;
    norn_dim *contents;
    NORN_TRY(NORN_TAKE_ARRAY(&to->arena, outer->contents_count, &contents));
    for (uint32_t i = 0; i < outer->contents_count; i++) {
        NORN_TRY(carry_dim(from, outer->contents[i], to, &contents[i]));
    }
    (*out)->contents = contents;
    (*out)->contents_count = outer->contents_count;
    return NORN_OK;
}

static norn_status take_input(norn_scope *scope, const norn_capture *capture, norn_value **out) {
    NORN_TRY(carry_value(scope->outer->graph, capture->outer, scope->graph, capture->name, out));
    NORN_TRY(norn_graph_add_input(scope->graph, *out));
    return norn_name_map_put(&scope->names, capture->name, *out);
}

static norn_status add_capture(norn_scope *scope, const char *name, norn_value *outer) {
    norn_captures *captures = scope->captures;
    NORN_TRY(NORN_TAKE_MORE(&scope->importer->scratch, &captures->at, captures->count,
                            &captures->capacity));
    captures->at[captures->count++] = (norn_capture){name, outer};
    return NORN_OK;
}

norn_status norn_scope_inherit(norn_scope *scope, uint32_t from) {
    norn_value *value;
    for (uint32_t i = from; i < scope->captures->count; i++) {
        NORN_TRY(take_input(scope, &scope->captures->at[i], &value));
    }
    return NORN_OK;
}

norn_status norn_scope_find(norn_scope *scope, const char *name, norn_value **out) {
    norn_value *outer;
    *out = norn_name_map_find(&scope->names, name);
    if (*out || !scope->outer) return NORN_OK;
    NORN_TRY(norn_scope_find(scope->outer, name, &outer));
    if (!outer || outer == norn_scope_omitted()) {
        *out = outer;
        return NORN_OK;
    }
    if (outer->data) { // nothing to pass: the body has the constant too
        NORN_TRY(norn_graph_constant(scope->graph, name, outer->data, out));
        return norn_name_map_put(&scope->names, name, *out);
    }
    NORN_TRY(add_capture(scope, name, outer));
    return take_input(scope, &scope->captures->at[scope->captures->count - 1], out);
}
