#include "onnx/importer.h"

#include "tensor/dtype.h"

#include <stdio.h>
#include <string.h>

/// What a body's own input is known to be before the first iteration. Sizes of carried values may
/// change from one iteration to the next, whatever the model declares, so only the rank is kept.
static norn_status own_input(norn_scope *body, const norn_onnx_value_info *info,
                             const norn_value *given, int32_t drop_dims, bool of_map,
                             norn_value **out) {
    norn_dtype dtype = NORN_DTYPE_NONE;
    norn_shape shape = norn_shape_unknown();
    char name[NORN_DIM_TEXT + 64];
    if (given && of_map) { // one tensor of a sequence, or a whole tensor
        dtype = norn_dtype_element(given->dtype);
        if (dtype == given->dtype) shape.rank = given->shape.rank;
    } else if (given) {
        dtype = given->dtype;
        if (given->shape.rank >= drop_dims) shape.rank = given->shape.rank - drop_dims;
    } else if (info->kind != NORN_ONNX_TYPE_NONE) {
        NORN_TRY(norn_import_dtype(info, &dtype));
        if (info->has_shape && info->rank <= NORN_MAX_RANK) shape.rank = (int32_t)info->rank;
    }
    if (dtype == NORN_DTYPE_NONE) {
        return norn_fail(NORN_INVALID_ARGUMENT, "body '%s': input '%s' has no element type",
                         body->graph->name, info->name);
    }
    for (int32_t i = 0; i < shape.rank; i++) {
        int32_t symbol;
        snprintf(name, sizeof name, "%.80s.%d", info->name, (int)i);
        NORN_TRY(norn_symbol_input(&body->graph->symbols, name, &symbol));
        shape.dims[i] = norn_dim_symbol(symbol);
    }
    return norn_graph_value(body->graph, info->name, dtype, &shape, out);
}

/// Which input of the node feeds body input `index`: -1 none (the iteration number).
static int64_t feeding_input(const norn_onnx_call *call, uint32_t index) {
    if (strcmp(call->op_type, "Loop") == 0) return index == 0 ? -1 : (int64_t)index;
    return (int64_t)index;
}

/// The iteration number and the condition of a Loop are scalars.
static norn_status loop_scalar(norn_scope *body, const norn_onnx_value_info *info, uint32_t index,
                               norn_value **out) {
    norn_shape scalar = {.rank = 0};
    return norn_graph_value(body->graph, info->name, index == 0 ? NORN_I64 : NORN_BOOL, &scalar,
                            out);
}

static norn_status own_inputs(norn_onnx_call *call, norn_scope *body,
                              const norn_onnx_graph *proto) {
    bool is_loop = strcmp(call->op_type, "Loop") == 0, is_scan = strcmp(call->op_type, "Scan") == 0;
    int64_t scanned = is_scan ? norn_attr_i64(norn_call_attrs(call), "num_scan_inputs", 1) : 0;
    bool is_map = strcmp(call->op_type, "SequenceMap") == 0;
    uint32_t expected = is_loop || is_scan || is_map ? call->in_count : 0;
    if (is_loop && expected < 2) expected = 2;
    if (proto->inputs.count != expected) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s' (%s): its body '%s' has %u input%s, it needs %u", call->name,
                         call->op_type, proto->name, proto->inputs.count,
                         norn_plural(proto->inputs.count), expected);
    }
    for (uint32_t i = 0; i < proto->inputs.count; i++) {
        norn_onnx_value_info info;
        norn_value *value;
        NORN_TRY(norn_onnx_read_value_info(proto->inputs.at[i], &body->importer->scratch, &info));
        int64_t from = feeding_input(call, i);
        const norn_value *given = from >= 0 && from < call->in_count ? call->in[from] : NULL;
        if (is_loop && i < 2) {
            NORN_TRY(loop_scalar(body, &info, i, &value));
        } else {
            bool is_slice = is_scan && (int64_t)i >= (int64_t)call->in_count - scanned;
            NORN_TRY(own_input(body, &info, given, is_slice ? 1 : 0, is_map, &value));
        }
        NORN_TRY(norn_graph_add_input(body->graph, value));
        NORN_TRY(norn_scope_define(body, info.name, value));
    }
    return NORN_OK;
}

static norn_status import_body(norn_onnx_call *call, norn_scope *body, const norn_onnx_attr *attr) {
    norn_onnx_graph proto;
    NORN_TRY(norn_onnx_read_graph(attr->bytes, &body->importer->scratch, &proto));
    NORN_TRY(norn_graph_create_body(call->scope->graph, proto.name, &body->graph));
    NORN_TRY(own_inputs(call, body, &proto));
    NORN_TRY(norn_scope_inherit(body, 0)); // what earlier bodies of this node read
    return norn_import_graph(body, &proto);
}

static norn_status append_captures(norn_onnx_call *call, const norn_captures *captures) {
    norn_value **in;
    uint32_t own = call->in_count;
    norn_arena *scratch = &call->scope->importer->scratch;
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)own + captures->count + NORN_ONNX_CALL_ROOM, &in));
    if (own) memcpy(in, call->in, own * sizeof *in);
    for (uint32_t i = 0; i < captures->count; i++) in[own + i] = captures->at[i].outer;
    call->in = in;
    call->in_count = own + captures->count;
    return NORN_OK;
}

norn_status norn_import_bodies(norn_onnx_call *call, norn_captures *captures,
                               const norn_onnx_attr *graphs, uint32_t count) {
    enum { BODIES_MAX = 2 };
    norn_importer *importer = call->scope->importer;
    norn_scope bodies[BODIES_MAX];
    uint32_t taken[BODIES_MAX], own = call->in_count;
    norn_status status = NORN_OK;
    if (count > BODIES_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (%s) has %u bodies", call->name,
                         call->op_type, count);
    }
    if (importer->depth == NORN_ONNX_DEPTH_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s': functions and bodies are nested more than %d deep", call->name,
                         (int)NORN_ONNX_DEPTH_MAX);
    }
    importer->depth++;
    for (uint32_t i = 0; i < count && status == NORN_OK; i++) {
        bodies[i] = (norn_scope){.importer = importer,
                                 .names = norn_name_map_in(&importer->scratch),
                                 .outer = call->scope,
                                 .captures = captures,
                                 .opsets = call->scope->opsets,
                                 .frame = call->scope->frame,
                                 .prefix = call->scope->prefix};
        status = import_body(call, &bodies[i], &graphs[i]);
        taken[i] = captures->count;
    }
    importer->depth--;
    NORN_TRY(status);
    for (uint32_t i = 0; i < count; i++) { // an earlier body takes what a later one asked for
        NORN_TRY(norn_scope_inherit(&bodies[i], taken[i]));
        norn_attr *attr = &call->attrs[call->attr_count++];
        *attr = (norn_attr){.kind = NORN_ATTR_GRAPH, .graph = bodies[i].graph};
        NORN_TRY(norn_arena_string(&call->scope->graph->arena, graphs[i].name,
                                   strlen(graphs[i].name), &attr->name));
    }
    call->attrs[call->attr_count++] =
        (norn_attr){.name = "norn_own_inputs", .kind = NORN_ATTR_INT, .i64 = own};
    return append_captures(call, captures);
}
