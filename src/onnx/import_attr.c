#include "onnx/importer.h"

#include <string.h>

static norn_status take_string(norn_arena *arena, norn_span bytes, norn_string *out) {
    out->count = bytes.count;
    return norn_arena_string(arena, (const char *)bytes.bytes, bytes.count, &out->bytes);
}

static norn_status take_strings(norn_arena *arena, const norn_onnx_attr *proto, norn_attr *out) {
    norn_string *strings;
    NORN_TRY(NORN_TAKE_ARRAY(arena, proto->count, &strings));
    for (uint32_t i = 0; i < proto->count; i++) {
        NORN_TRY(take_string(arena, proto->strings[i], &strings[i]));
    }
    out->strings = strings;
    return NORN_OK;
}

static norn_status take_numbers(norn_arena *arena, const void *from, uint32_t count, size_t size,
                                void *out) {
    void *copy;
    NORN_TRY(norn_arena_take(arena, count, size, 16, &copy));
    if (count) memcpy(copy, from, count * size);
    memcpy(out, &copy, sizeof copy);
    return NORN_OK;
}

static norn_status take_tensor(norn_scope *scope, norn_span bytes, bool sparse, norn_attr *out) {
    norn_view *view;
    norn_arena *arena = &scope->graph->arena;
    NORN_TRY(NORN_TAKE(arena, &view));
    NORN_TRY((sparse ? norn_sparse_tensor_proto_decode : norn_tensor_proto_decode)(
        bytes, &scope->importer->external, arena, view, NULL));
    out->tensor = view;
    return NORN_OK;
}

/// A type is kept as the number of its norn_dtype.
static norn_status take_type(norn_scope *scope, const norn_onnx_attr *proto, norn_attr *out) {
    norn_onnx_value_info info;
    norn_dtype dtype;
    NORN_TRY(norn_onnx_read_type(proto->bytes, &scope->importer->scratch, &info));
    info.name = proto->name;
    NORN_TRY(norn_import_dtype(&info, &dtype));
    out->kind = NORN_ATTR_INT;
    out->i64 = dtype;
    return NORN_OK;
}

norn_status norn_import_attr(norn_scope *scope, const norn_onnx_attr *proto, norn_attr *out,
                             bool *present) {
    norn_arena *arena = &scope->graph->arena;
    *out = (norn_attr){.count = proto->count};
    *present = true;
    if (*proto->ref_name) {
        const norn_attr *given = norn_attr_find(scope->frame, proto->ref_name);
        *present = given != NULL;
        if (given) *out = *given;
        return norn_arena_string(arena, proto->name, strlen(proto->name), &out->name);
    }
    NORN_TRY(norn_arena_string(arena, proto->name, strlen(proto->name), &out->name));
    switch (proto->type) {
    case NORN_ONNX_ATTR_INT:
        out->kind = NORN_ATTR_INT;
        out->i64 = proto->i64;
        return NORN_OK;
    case NORN_ONNX_ATTR_FLOAT:
        out->kind = NORN_ATTR_FLOAT;
        out->f32 = proto->f32;
        return NORN_OK;
    case NORN_ONNX_ATTR_STRING:
        out->kind = NORN_ATTR_STRING;
        return take_string(arena, proto->bytes, &out->string);
    case NORN_ONNX_ATTR_INTS:
        out->kind = NORN_ATTR_INTS;
        return take_numbers(arena, proto->ints, proto->count, sizeof *proto->ints, &out->ints);
    case NORN_ONNX_ATTR_FLOATS:
        out->kind = NORN_ATTR_FLOATS;
        return take_numbers(arena, proto->floats, proto->count, sizeof *proto->floats,
                            &out->floats);
    case NORN_ONNX_ATTR_STRINGS:
        out->kind = NORN_ATTR_STRINGS;
        return take_strings(arena, proto, out);
    case NORN_ONNX_ATTR_TENSOR:
    case NORN_ONNX_ATTR_SPARSE_TENSOR:
        out->kind = NORN_ATTR_TENSOR;
        return take_tensor(scope, proto->bytes, proto->type == NORN_ONNX_ATTR_SPARSE_TENSOR, out);
    case NORN_ONNX_ATTR_GRAPH:
        *present = false;
        return NORN_OK;
    case NORN_ONNX_ATTR_TYPE:
        return take_type(scope, proto, out);
    default:
        return norn_fail(NORN_UNIMPLEMENTED,
                         "attribute '%s' is of a kind (%u) that Norn does not take", proto->name,
                         proto->type);
    }
}
