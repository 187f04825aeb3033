#include "onnx/importer.h"

#include "onnx/upgrade.h"

#include <string.h>

norn_attrs norn_call_attrs(const norn_onnx_call *call) {
    return (norn_attrs){call->attrs, call->attr_count};
}

// ---- making nodes

/// A node comes from the ONNX node that it was read from.
static norn_status set_origin(norn_graph *graph, norn_node *node) {
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, 1, &node->origin.names));
    node->origin.names[0] = node->name;
    node->origin.count = 1;
    return NORN_OK;
}

norn_status norn_call_emit(norn_onnx_call *call, const char *op_type, norn_value *const *in,
                           uint32_t in_count, const norn_attr *attrs, uint32_t attr_count,
                           const bool *wanted, norn_value **out, uint32_t out_count) {
    norn_graph *graph = call->scope->graph;
    norn_importer *importer = call->scope->importer;
    norn_node *node;
    const norn_op_info *op = norn_op_find(call->domain, op_type);
    if (!op) {
        return norn_fail(NORN_UNIMPLEMENTED, "node '%s': operator '%s%s%s' is not implemented",
                         call->name, call->domain, *call->domain ? "." : "", op_type);
    }
    NORN_TRY(norn_op_check_choices(op, call->name, (norn_attrs){attrs, attr_count}));
    if (importer->nodes_left == 0) {
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "the model has more than %d nodes (functions inlined)",
                         (int)NORN_ONNX_NODES_MAX);
    }
    importer->nodes_left--;
    for (uint32_t i = 0; i < out_count; i++) {
        out[i] = NULL;
        if (wanted && !wanted[i]) continue;
        NORN_TRY(norn_graph_value(graph, NULL, NORN_DTYPE_NONE, NULL, &out[i]));
    }
    NORN_TRY(norn_graph_node(graph, NULL, op, call->name, in, in_count, out, out_count,
                             (norn_attrs){attrs, attr_count}, NULL, &node));
    NORN_TRY(set_origin(graph, node));
    return norn_node_infer(graph, node);
}

// ---- reading the proto

static norn_status full_name(const norn_scope *scope, const norn_onnx_node *proto,
                             const char **out) {
    norn_arena *scratch = &scope->importer->scratch;
    const char *prefix = scope->prefix ? scope->prefix : "";
    if (*proto->name) return norn_arena_format(scratch, out, "%s%s", prefix, proto->name);
    // Unnamed: the operator and what it makes are as good to find it by.
    return norn_arena_format(scratch, out, "%s%s:%s", prefix, proto->op_type,
                             proto->outputs.count ? proto->outputs.at[0] : "");
}

static norn_status read_inputs(norn_onnx_call *call, const norn_onnx_node *proto) {
    NORN_TRY(NORN_TAKE_ARRAY(&call->scope->importer->scratch,
                             (size_t)proto->inputs.count + NORN_ONNX_CALL_ROOM, &call->in));
    for (uint32_t i = 0; i < proto->inputs.count; i++) {
        const char *name = proto->inputs.at[i];
        if (!*name) continue;
        NORN_TRY(norn_scope_find(call->scope, name, &call->in[i]));
        if (!call->in[i]) {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "node '%s' (%s): input %u '%s' is not made by any node", call->name,
                             call->op_type, i, name);
        }
        if (call->in[i] == norn_scope_omitted()) call->in[i] = NULL;
    }
    call->in_count = proto->inputs.count;
    while (call->in_count > 0 && !call->in[call->in_count - 1]) call->in_count--;
    return NORN_OK;
}

typedef struct graph_attrs {
    norn_onnx_attr *at;
    uint32_t count;
} graph_attrs;

static norn_status read_attrs(norn_onnx_call *call, const norn_onnx_node *proto,
                              graph_attrs *graphs) {
    norn_arena *scratch = &call->scope->importer->scratch;
    uint32_t count = proto->attributes.count;
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)count + NORN_ONNX_CALL_ROOM, &call->attrs));
    NORN_TRY(NORN_TAKE_ARRAY(scratch, count, &graphs->at));
    for (uint32_t i = 0; i < count; i++) {
        norn_onnx_attr attr;
        bool present;
        norn_status status = norn_onnx_read_attr(proto->attributes.at[i], scratch, &attr);
        if (status == NORN_OK) {
            status = norn_import_attr(call->scope, &attr, &call->attrs[call->attr_count], &present);
        }
        if (status != NORN_OK) {
            norn_note("node '%s' (%s)", call->name, call->op_type);
            return status;
        }
        if (present) call->attr_count++;
        if (!present && attr.type == NORN_ONNX_ATTR_GRAPH && !*attr.ref_name) {
            graphs->at[graphs->count++] = attr;
        }
    }
    return NORN_OK;
}

static norn_status read_outputs(norn_onnx_call *call, const norn_onnx_node *proto) {
    norn_arena *scratch = &call->scope->importer->scratch;
    uint32_t count = proto->outputs.count;
    while (count > 0 && !*proto->outputs.at[count - 1]) count--;
    NORN_TRY(NORN_TAKE_ARRAY(scratch, count, &call->out));
    NORN_TRY(NORN_TAKE_ARRAY(scratch, count, &call->wanted));
    for (uint32_t i = 0; i < count; i++) call->wanted[i] = *proto->outputs.at[i] != 0;
    call->out_count = count;
    return NORN_OK;
}

// ---- Constant

static norn_status strings_constant(const norn_attr *attr, norn_view *view) {
    const bool one = attr->kind == NORN_ATTR_STRING;
    *view = (norn_view){.dtype = NORN_STRING, .rank = one ? 0 : 1};
    view->dims[0] = attr->count;
    view->data = (void *)(uintptr_t)(one ? &attr->string : attr->strings);
    return NORN_OK;
}

static norn_status constant_view(norn_onnx_call *call, norn_view *view) {
    norn_arena *arena = &call->scope->graph->arena;
    const norn_attr *attr = call->attr_count ? &call->attrs[0] : NULL;
    if (!attr || call->attr_count != 1) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s' (Constant) needs exactly one value attribute", call->name);
    }
    norn_attr *kept; // scalars and strings are read where they lie
    NORN_TRY(NORN_TAKE(arena, &kept));
    *kept = *attr;
    *view = (norn_view){.dtype = NORN_I64, .rank = 1, .dims = {attr->count}};
    switch (attr->kind) {
    case NORN_ATTR_TENSOR:
        *view = *attr->tensor;
        return NORN_OK;
    case NORN_ATTR_INT:
        *view = (norn_view){.dtype = NORN_I64, .rank = 0, .data = &kept->i64};
        return NORN_OK;
    case NORN_ATTR_FLOAT:
        *view = (norn_view){.dtype = NORN_F32, .rank = 0, .data = &kept->f32};
        return NORN_OK;
    case NORN_ATTR_INTS:
        view->data = (void *)(uintptr_t)attr->ints;
        return NORN_OK;
    case NORN_ATTR_FLOATS:
        view->dtype = NORN_F32;
        view->data = (void *)(uintptr_t)attr->floats;
        return NORN_OK;
    case NORN_ATTR_STRING:
    case NORN_ATTR_STRINGS:
        return strings_constant(kept, view);
    case NORN_ATTR_GRAPH:
        break;
    }
    return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (Constant): attribute '%s' is no value",
                     call->name, attr->name);
}

static norn_status import_constant(norn_onnx_call *call) {
    norn_view view;
    NORN_TRY(constant_view(call, &view));
    if (call->out_count == 0) return NORN_OK;
    return norn_graph_constant(call->scope->graph, NULL, &view, &call->out[0]);
}

// ---- nodes

static norn_status make(norn_onnx_call *call, const norn_onnx_node *proto,
                        const graph_attrs *graphs) {
    const norn_onnx_function *function = norn_import_find_function(
        call->scope->importer, proto->domain, proto->op_type, proto->overload);
    if (function) return norn_import_call(call, function, call->out);
    call->opset = norn_scope_opset(call->scope, call->domain);
    if (!*call->domain && strcmp(call->op_type, "Constant") == 0) return import_constant(call);
    NORN_TRY(norn_upgrade(call));
    if (call->done) return NORN_OK;
    if (graphs->count > 0) {
        norn_captures captures = {0};
        NORN_TRY(norn_import_bodies(call, &captures, graphs->at, graphs->count));
    }
    return norn_call_emit(call, call->op_type, call->in, call->in_count, call->attrs,
                          call->attr_count, call->wanted, call->out, call->out_count);
}

static norn_status name_outputs(norn_onnx_call *call, const norn_onnx_node *proto) {
    for (uint32_t i = 0; i < call->out_count; i++) {
        norn_value *value = call->out[i];
        const char *name = proto->outputs.at[i];
        if (!value || !call->wanted[i]) continue;
        if (!*value->name) {
            NORN_TRY(
                norn_arena_string(&call->scope->graph->arena, name, strlen(name), &value->name));
        }
        bool is_top = !call->scope->outer && !call->scope->prefix;
        if (is_top)
            NORN_TRY(norn_declared_apply(call->scope->importer, call->scope->graph, name, value));
        norn_status status = norn_scope_define(call->scope, name, value);
        if (status != NORN_OK) {
            norn_note("node '%s' (%s)", call->name, call->op_type);
            return status;
        }
    }
    return NORN_OK;
}

norn_status norn_import_node(norn_scope *scope, const norn_onnx_node *proto) {
    norn_onnx_call call = {.scope = scope};
    graph_attrs graphs = {0};
    NORN_TRY(full_name(scope, proto, &call.name));
    call.op_type = proto->op_type;
    call.domain = proto->domain;
    NORN_TRY(read_inputs(&call, proto));
    NORN_TRY(read_attrs(&call, proto, &graphs));
    NORN_TRY(read_outputs(&call, proto));
    NORN_TRY(make(&call, proto, &graphs));
    return name_outputs(&call, proto);
}
