#include "onnx/proto.h"

#include <string.h>

norn_status norn_onnx_text(norn_arena *arena, norn_span bytes, const char **out) {
    if (bytes.count && memchr(bytes.bytes, 0, bytes.count)) {
        return norn_fail(NORN_INVALID_ARGUMENT, "a name holds a zero byte");
    }
    return norn_arena_string(arena, (const char *)bytes.bytes, bytes.count, out);
}

// Lists are read in two passes: the first counts, the second fills.
typedef struct reader {
    norn_arena *arena;
    void *out;
    bool fill;
} reader;

static norn_status read_twice(norn_span bytes, norn_wire_field_fn fn, reader *r,
                              norn_status (*make_room)(reader *r)) {
    NORN_TRY(norn_wire_visit(bytes, fn, r));
    NORN_TRY(make_room(r));
    r->fill = true;
    return norn_wire_visit(bytes, fn, r);
}

static norn_status span_room(reader *r, norn_onnx_spans *spans) {
    NORN_TRY(NORN_TAKE_ARRAY(r->arena, spans->count, &spans->at));
    spans->count = 0;
    return NORN_OK;
}

static norn_status name_room(reader *r, norn_onnx_names *names) {
    NORN_TRY(NORN_TAKE_ARRAY(r->arena, names->count, &names->at));
    names->count = 0;
    return NORN_OK;
}

static norn_status opset_room(reader *r, norn_onnx_opsets *opsets) {
    NORN_TRY(NORN_TAKE_ARRAY(r->arena, opsets->count, &opsets->at));
    opsets->count = 0;
    return NORN_OK;
}

static norn_status add_span(const reader *r, norn_onnx_spans *spans, const norn_wire_field *field) {
    if (r->fill) spans->at[spans->count] = field->bytes;
    spans->count++;
    return NORN_OK;
}

static norn_status add_name(const reader *r, norn_onnx_names *names, const norn_wire_field *field) {
    uint32_t i = names->count++;
    return r->fill ? norn_onnx_text(r->arena, field->bytes, &names->at[i]) : NORN_OK;
}

static norn_status put_text(const reader *r, const norn_wire_field *field, const char **out) {
    return r->fill ? norn_onnx_text(r->arena, field->bytes, out) : NORN_OK;
}

// ---- opsets

static norn_status opset_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_opset *opset = r->out;
    if (field->number == 1) return norn_onnx_text(r->arena, field->bytes, &opset->domain);
    if (field->number == 2) opset->version = (int64_t)field->value;
    return NORN_OK;
}

static norn_status add_opset(const reader *r, norn_onnx_opsets *opsets,
                             const norn_wire_field *field) {
    uint32_t i = opsets->count++;
    if (!r->fill) return NORN_OK;
    opsets->at[i].domain = "";
    reader inner = {r->arena, &opsets->at[i], true};
    NORN_TRY(norn_wire_visit(field->bytes, opset_field, &inner));
    if (strcmp(opsets->at[i].domain, "ai.onnx") == 0) opsets->at[i].domain = "";
    return NORN_OK;
}

// ---- model

static norn_status model_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_model *model = r->out;
    switch (field->number) {
    case 1:
        model->ir_version = (int64_t)field->value;
        break;
    case 2:
        return put_text(r, field, &model->producer_name);
    case 3:
        return put_text(r, field, &model->producer_version);
    case 7:
        model->graph = field->bytes;
        model->has_graph = true;
        break;
    case 8:
        return add_opset(r, &model->opsets, field);
    case 25:
        return add_span(r, &model->functions, field);
    default:
        break;
    }
    return NORN_OK;
}

static norn_status model_room(reader *r) {
    norn_onnx_model *model = r->out;
    NORN_TRY(opset_room(r, &model->opsets));
    return span_room(r, &model->functions);
}

norn_status norn_onnx_read_model(norn_span bytes, norn_arena *arena, norn_onnx_model *out) {
    *out = (norn_onnx_model){.producer_name = "", .producer_version = ""};
    reader r = {arena, out, false};
    return read_twice(bytes, model_field, &r, model_room);
}

// ---- graph

static norn_status graph_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_graph *graph = r->out;
    switch (field->number) {
    case 1:
        return add_span(r, &graph->nodes, field);
    case 2:
        return put_text(r, field, &graph->name);
    case 5:
        return add_span(r, &graph->initializers, field);
    case 11:
        return add_span(r, &graph->inputs, field);
    case 12:
        return add_span(r, &graph->outputs, field);
    case 13:
        return add_span(r, &graph->value_infos, field);
    case 15:
        return add_span(r, &graph->sparse_initializers, field);
    default:
        break;
    }
    return NORN_OK;
}

static norn_status graph_room(reader *r) {
    norn_onnx_graph *graph = r->out;
    norn_onnx_spans *const lists[] = {&graph->nodes,   &graph->initializers,
                                      &graph->inputs,  &graph->sparse_initializers,
                                      &graph->outputs, &graph->value_infos};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) NORN_TRY(span_room(r, lists[i]));
    return NORN_OK;
}

norn_status norn_onnx_read_graph(norn_span bytes, norn_arena *arena, norn_onnx_graph *out) {
    *out = (norn_onnx_graph){.name = ""};
    reader r = {arena, out, false};
    return read_twice(bytes, graph_field, &r, graph_room);
}

// ---- node

static norn_status node_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_node *node = r->out;
    switch (field->number) {
    case 1:
        return add_name(r, &node->inputs, field);
    case 2:
        return add_name(r, &node->outputs, field);
    case 3:
        return put_text(r, field, &node->name);
    case 4:
        return put_text(r, field, &node->op_type);
    case 5:
        return add_span(r, &node->attributes, field);
    case 7:
        return put_text(r, field, &node->domain);
    case 8:
        return put_text(r, field, &node->overload);
    default:
        break;
    }
    return NORN_OK;
}

static norn_status node_room(reader *r) {
    norn_onnx_node *node = r->out;
    NORN_TRY(name_room(r, &node->inputs));
    NORN_TRY(name_room(r, &node->outputs));
    return span_room(r, &node->attributes);
}

norn_status norn_onnx_read_node(norn_span bytes, norn_arena *arena, norn_onnx_node *out) {
    *out = (norn_onnx_node){.name = "", .op_type = "", .domain = "", .overload = ""};
    reader r = {arena, out, false};
    NORN_TRY(read_twice(bytes, node_field, &r, node_room));
    if (strcmp(out->domain, "ai.onnx") == 0) out->domain = "";
    return NORN_OK;
}

// ---- function

static norn_status function_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_function *function = r->out;
    switch (field->number) {
    case 1:
        return put_text(r, field, &function->name);
    case 4:
        return add_name(r, &function->inputs, field);
    case 5:
        return add_name(r, &function->outputs, field);
    case 7:
        return add_span(r, &function->nodes, field);
    case 9:
        return add_opset(r, &function->opsets, field);
    case 10:
        return put_text(r, field, &function->domain);
    case 11:
        return add_span(r, &function->default_attributes, field);
    case 12:
        return add_span(r, &function->value_infos, field);
    case 13:
        return put_text(r, field, &function->overload);
    default:
        break;
    }
    return NORN_OK;
}

static norn_status function_room(reader *r) {
    norn_onnx_function *function = r->out;
    NORN_TRY(name_room(r, &function->inputs));
    NORN_TRY(name_room(r, &function->outputs));
    NORN_TRY(span_room(r, &function->nodes));
    NORN_TRY(span_room(r, &function->default_attributes));
    NORN_TRY(span_room(r, &function->value_infos));
    return opset_room(r, &function->opsets);
}

norn_status norn_onnx_read_function(norn_span bytes, norn_arena *arena, norn_onnx_function *out) {
    *out = (norn_onnx_function){.name = "", .domain = "", .overload = ""};
    reader r = {arena, out, false};
    NORN_TRY(read_twice(bytes, function_field, &r, function_room));
    if (strcmp(out->domain, "ai.onnx") == 0) out->domain = "";
    return NORN_OK;
}

// ---- attribute

typedef struct attr_reader {
    reader base;
    uint32_t floats, ints, strings;
} attr_reader;

/// Repeated numbers come packed, or one a field.
static norn_status add_ints(attr_reader *a, const norn_wire_field *field) {
    norn_onnx_attr *attr = a->base.out;
    norn_span packed = field->bytes;
    if (field->type != NORN_WIRE_BYTES) {
        if (a->base.fill) attr->ints[a->ints] = (int64_t)field->value;
        a->ints++;
        return NORN_OK;
    }
    while (packed.count) {
        uint64_t value;
        NORN_TRY(norn_wire_varint(&packed, &value));
        if (a->base.fill) attr->ints[a->ints] = (int64_t)value;
        a->ints++;
    }
    return NORN_OK;
}

static norn_status add_floats(attr_reader *a, const norn_wire_field *field) {
    norn_onnx_attr *attr = a->base.out;
    if (field->type != NORN_WIRE_BYTES) {
        if (a->base.fill) attr->floats[a->floats] = norn_wire_float(field);
        a->floats++;
        return NORN_OK;
    }
    if (field->bytes.count % sizeof(float) != 0) {
        return norn_fail(NORN_INVALID_ARGUMENT, "a list of floats is cut short");
    }
    uint32_t count = (uint32_t)(field->bytes.count / sizeof(float));
    if (a->base.fill && count) {
        memcpy(attr->floats + a->floats, field->bytes.bytes, field->bytes.count);
    }
    a->floats += count;
    return NORN_OK;
}

static norn_status attr_field(void *context, const norn_wire_field *field) {
    attr_reader *a = context;
    norn_onnx_attr *attr = a->base.out;
    uint32_t seen = NORN_ONNX_ATTR_NONE;
    switch (field->number) {
    case 1:
        return put_text(&a->base, field, &attr->name);
    case 21:
        return put_text(&a->base, field, &attr->ref_name);
    case 20:
        attr->type = field->value > UINT32_MAX ? UINT32_MAX : (uint32_t)field->value;
        return NORN_OK;
    case 2:
        attr->f32 = norn_wire_float(field);
        seen = NORN_ONNX_ATTR_FLOAT;
        break;
    case 3:
        attr->i64 = (int64_t)field->value;
        seen = NORN_ONNX_ATTR_INT;
        break;
    case 4:
    case 5:
    case 6:
    case 14:
    case 22:
        attr->bytes = field->bytes;
        seen = field->number == 14   ? NORN_ONNX_ATTR_TYPE
               : field->number == 22 ? NORN_ONNX_ATTR_SPARSE_TENSOR
                                     : field->number - 1;
        break;
    case 7:
        NORN_TRY(add_floats(a, field));
        seen = NORN_ONNX_ATTR_FLOATS;
        break;
    case 8:
        NORN_TRY(add_ints(a, field));
        seen = NORN_ONNX_ATTR_INTS;
        break;
    case 9:
        if (a->base.fill) attr->strings[a->strings] = field->bytes;
        a->strings++;
        seen = NORN_ONNX_ATTR_STRINGS;
        break;
    default:
        return NORN_OK;
    }
    // IR version 1 had no `type`: what is filled in says it.
    if (attr->type == NORN_ONNX_ATTR_NONE && a->base.fill) attr->type = seen;
    return NORN_OK;
}

norn_status norn_onnx_read_attr(norn_span bytes, norn_arena *arena, norn_onnx_attr *out) {
    *out = (norn_onnx_attr){.name = "", .ref_name = ""};
    attr_reader a = {.base = {arena, out, false}};
    NORN_TRY(norn_wire_visit(bytes, attr_field, &a));
    NORN_TRY(NORN_TAKE_ARRAY(arena, a.ints, &out->ints));
    NORN_TRY(NORN_TAKE_ARRAY(arena, a.floats, &out->floats));
    NORN_TRY(NORN_TAKE_ARRAY(arena, a.strings, &out->strings));
    a.ints = a.floats = a.strings = 0;
    a.base.fill = true;
    NORN_TRY(norn_wire_visit(bytes, attr_field, &a));
    out->count = out->type == NORN_ONNX_ATTR_FLOATS    ? a.floats
                 : out->type == NORN_ONNX_ATTR_INTS    ? a.ints
                 : out->type == NORN_ONNX_ATTR_STRINGS ? a.strings
                                                       : 0;
    return NORN_OK;
}

// ---- value info

static norn_status dim_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_dim *dim = r->out;
    if (field->number == 1) dim->value = (int64_t)field->value;
    if (field->number == 2) {
        dim->value = -1;
        return norn_onnx_text(r->arena, field->bytes, &dim->param);
    }
    return NORN_OK;
}

static norn_status shape_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_value_info *info = r->out;
    if (field->number != 1) return NORN_OK;
    uint32_t i = info->rank++;
    if (!r->fill) return NORN_OK;
    info->dims[i] = (norn_onnx_dim){-1, ""};
    reader inner = {r->arena, &info->dims[i], true};
    NORN_TRY(norn_wire_visit(field->bytes, dim_field, &inner));
    if (info->dims[i].value < 0) info->dims[i].value = -1;
    return NORN_OK;
}

static norn_status tensor_type_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_value_info *info = r->out;
    if (field->number == 1) info->elem_type = (int64_t)field->value;
    if (field->number != 2) return NORN_OK;
    reader shape = {r->arena, info, false};
    info->has_shape = true;
    info->rank = 0;
    NORN_TRY(norn_wire_visit(field->bytes, shape_field, &shape));
    NORN_TRY(NORN_TAKE_ARRAY(r->arena, info->rank, &info->dims));
    info->rank = 0;
    shape.fill = true;
    return norn_wire_visit(field->bytes, shape_field, &shape);
}

static norn_status type_field(void *context, const norn_wire_field *field);

/// What a sequence or an optional holds. Values are at most an optional sequence of tensors, so the
/// reader goes no deeper than that.
static norn_status held_type_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_value_info *info = r->out, held = {.name = ""};
    if (field->number != 1) return NORN_OK;
    bool nests = info->kind == NORN_ONNX_TYPE_OPTIONAL;
    reader inner = {r->arena, &held, nests};
    NORN_TRY(norn_wire_visit(field->bytes, type_field, &inner));
    if (held.kind == NORN_ONNX_TYPE_TENSOR) {
        info->elem_type = held.elem_type;
    } else if (held.kind == NORN_ONNX_TYPE_SEQUENCE && nests) {
        info->kind = NORN_ONNX_TYPE_OPTIONAL_SEQUENCE;
        info->elem_type = held.elem_type;
    }
    return NORN_OK;
}

static norn_status type_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_value_info *info = r->out;
    switch (field->number) {
    case 1:
        info->kind = NORN_ONNX_TYPE_TENSOR;
        return norn_wire_visit(field->bytes, tensor_type_field, r);
    case 4:
        info->kind = NORN_ONNX_TYPE_SEQUENCE;
        return r->fill ? norn_wire_visit(field->bytes, held_type_field, r) : NORN_OK;
    case 5:
        info->kind = NORN_ONNX_TYPE_MAP;
        break;
    case 8:
        info->kind = NORN_ONNX_TYPE_SPARSE_TENSOR;
        break;
    case 9:
        info->kind = NORN_ONNX_TYPE_OPTIONAL;
        return r->fill ? norn_wire_visit(field->bytes, held_type_field, r) : NORN_OK;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status value_info_field(void *context, const norn_wire_field *field) {
    reader *r = context;
    norn_onnx_value_info *info = r->out;
    if (field->number == 1) return norn_onnx_text(r->arena, field->bytes, &info->name);
    if (field->number == 2) return norn_wire_visit(field->bytes, type_field, r);
    return NORN_OK;
}

norn_status norn_onnx_read_type(norn_span bytes, norn_arena *arena, norn_onnx_value_info *out) {
    *out = (norn_onnx_value_info){.name = ""};
    reader r = {arena, out, true};
    return norn_wire_visit(bytes, type_field, &r);
}

norn_status norn_onnx_read_value_info(norn_span bytes, norn_arena *arena,
                                      norn_onnx_value_info *out) {
    *out = (norn_onnx_value_info){.name = ""};
    reader r = {arena, out, true};
    return norn_wire_visit(bytes, value_info_field, &r);
}
