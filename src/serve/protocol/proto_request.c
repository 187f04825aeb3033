/// ModelInferRequest. Tensors come as raw_input_contents (one entry an input,
/// in order) or typed in `contents`.
#include "serve/protocol/kserve_proto.h"
#include "serve/protocol/parameters.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

enum { TENSORS_MAX = 4096 };

static norn_status take_text(norn_arena *arena, const norn_wire_field *field, const char *what,
                             const char **out) {
    if (field->type != NORN_WIRE_BYTES)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s (protobuf field %u) is not a string", what,
                         field->number);
    return norn_request_text(arena, what, field->bytes, out);
}

norn_status norn_kserve_proto_names(norn_span message, norn_arena *arena, const char **first,
                                    const char **second) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    *first = *second = "";
    while (norn_wire_each(&reader, &field)) {
        if (field.number == 1) NORN_TRY(take_text(arena, &field, "the name", first));
        if (field.number == 2) NORN_TRY(take_text(arena, &field, "the version", second));
    }
    return reader.status;
}

/// Counts of the repeated fields, so that the arrays are taken once.
static norn_status count_tensors(norn_span message, uint32_t *inputs, uint32_t *outputs,
                                 uint32_t *raws) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    *inputs = *outputs = *raws = 0;
    while (norn_wire_each(&reader, &field)) {
        if (field.type != NORN_WIRE_BYTES) continue;
        *inputs += field.number == 5;
        *outputs += field.number == 6;
        *raws += field.number == 7;
    }
    NORN_TRY(reader.status);
    if (*inputs > TENSORS_MAX || *outputs > TENSORS_MAX || *raws > TENSORS_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "the request names more than %d tensors",
                         TENSORS_MAX);
    return NORN_OK;
}

bool norn_kserve_proto_is_raw(norn_span message) {
    uint32_t inputs, outputs, raws;
    return count_tensors(message, &inputs, &outputs, &raws) == NORN_OK && raws > 0;
}

static norn_status add_dim(norn_view *view, uint64_t value, const char *name) {
    if (view->rank == NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' has more than %d dimensions",
                         name ? name : "?", NORN_MAX_RANK);
    view->dims[view->rank++] = (int64_t)value;
    return NORN_OK;
}

static norn_status refuse_parameter(norn_parameter_place place, norn_span entry,
                                    const char *tensor) {
    norn_parameter parameter;
    NORN_TRY(norn_parameter_decode(entry, &parameter));
    const norn_status status = norn_parameter_refuse(place, &parameter);
    if (status != NORN_OK)
        norn_note("%s '%s'", place == NORN_PARAMETER_OF_INPUT ? "input" : "output",
                  tensor ? tensor : "?");
    return status;
}

// ---- typed contents

/// The field of InferTensorContents that carries a datatype: its number
/// and how its elements are written.
static uint32_t contents_field(norn_dtype dtype) {
    if (dtype == NORN_BOOL) return 1;
    if (dtype == NORN_I8 || dtype == NORN_I16 || dtype == NORN_I32) return 2;
    if (dtype == NORN_I64) return 3;
    if (dtype == NORN_U8 || dtype == NORN_U16 || dtype == NORN_U32) return 4;
    if (dtype == NORN_U64) return 5;
    if (dtype == NORN_F32) return 6;
    if (dtype == NORN_F64) return 7;
    return 0; // FP16 and BF16 travel raw only
}

static const char *contents_name(norn_dtype dtype) {
    static const char *const names[] = {"",
                                        "bool_contents",
                                        "int_contents",
                                        "int64_contents",
                                        "uint_contents",
                                        "uint64_contents",
                                        "fp32_contents",
                                        "fp64_contents"};
    return names[contents_field(dtype)];
}

/// Does a varint of a typed field (sign-extended to 64 bits) fit the datatype? protobuf has no
/// integers of less than 32 bits, so the wider field must be checked.
static bool fits(norn_dtype dtype, uint64_t value) {
    const uint32_t bits = norn_dtype_bits(dtype);
    if (dtype == NORN_BOOL || bits == 64) return true;
    if (!norn_dtype_is_signed(dtype)) return value >> bits == 0;
    const int64_t whole = (int64_t)value, limit = (int64_t)1 << (bits - 1);
    return whole >= -limit && whole < limit;
}

static norn_status put_varint(const norn_request_input *input, int64_t elems, int64_t *count,
                              uint64_t value) {
    const norn_view *view = &input->view;
    if (*count >= elems)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents have more elements than the shape (%lld)",
                         input->name, (long long)elems);
    if (!fits(view->dtype, value)) {
        char text[32];
        if (norn_dtype_is_signed(view->dtype)) {
            (void)snprintf(text, sizeof text, "%lld", (long long)value);
        } else {
            (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
        }
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': element %lld, %s, does not fit datatype %s", input->name,
                         (long long)*count, text, norn_dtype_kserve_name(view->dtype));
    }
    if (view->dtype == NORN_BOOL) value = value != 0;
    norn_element_set_i64(view->dtype, view->data, (*count)++, (int64_t)value);
    return NORN_OK;
}

/// FP32 and FP64: packed, or one a field. The machine is little-endian, as the wire is.
static norn_status put_reals(const norn_request_input *input, const norn_wire_field *field,
                             int64_t elems, int64_t *count) {
    const norn_view *view = &input->view;
    const size_t size = view->dtype == NORN_F32 ? 4 : 8;
    const norn_span one = norn_span_of(&field->value, size);
    const norn_span run = field->type == NORN_WIRE_BYTES ? field->bytes : one;
    if (run.count % size || (int64_t)(run.count / size) > elems - *count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents do not fit the shape, which has %lld element%s",
                         input->name, (long long)elems, norn_plural(elems));
    if (run.count) memcpy((uint8_t *)view->data + (size_t)*count * size, run.bytes, run.count);
    *count += (int64_t)(run.count / size);
    return NORN_OK;
}

/// How an element that is not packed is written.
static norn_wire_type single_type(norn_dtype dtype) {
    return dtype == NORN_F32   ? NORN_WIRE_FIXED32
           : dtype == NORN_F64 ? NORN_WIRE_FIXED64
                               : NORN_WIRE_VARINT;
}

static norn_status put_contents(const norn_request_input *input, const norn_wire_field *field,
                                int64_t elems, int64_t *count) {
    const norn_dtype dtype = input->view.dtype;
    norn_span packed = field->bytes;
    if (field->number != contents_field(dtype) ||
        (field->type != NORN_WIRE_BYTES && field->type != single_type(dtype)))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents are in field %u, datatype %s belongs into %s",
                         input->name, field->number, norn_dtype_kserve_name(dtype),
                         contents_name(dtype));
    if (dtype == NORN_F32 || dtype == NORN_F64) return put_reals(input, field, elems, count);
    if (field->type == NORN_WIRE_VARINT) return put_varint(input, elems, count, field->value);
    while (packed.count) {
        uint64_t value;
        NORN_TRY(norn_wire_varint(&packed, &value));
        NORN_TRY(put_varint(input, elems, count, value));
    }
    return NORN_OK;
}

static norn_status read_contents(norn_request *request, norn_span contents,
                                 norn_request_input *input) {
    const int64_t elems = norn_view_elems(&input->view);
    norn_wire_reader reader = {.rest = contents};
    norn_wire_field field;
    int64_t count = 0;
    size_t bytes;
    if (!contents_field(input->view.dtype))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': datatype %s travels in raw_input_contents only", input->name,
                         norn_dtype_kserve_name(input->view.dtype));
    // An element takes at least one byte, so a small message cannot claim a large tensor.
    if (elems < 0 || (uint64_t)elems > contents.count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents have fewer elements than the shape", input->name);
    NORN_TRY(norn_view_bytes(&input->view, &bytes));
    NORN_TRY(norn_request_hold(request, bytes));
    NORN_TRY(norn_arena_take(&request->arena, bytes + 1, 1, 64, &input->view.data));
    while (norn_wire_each(&reader, &field)) {
        NORN_TRY(put_contents(input, &field, elems, &count));
    }
    NORN_TRY(reader.status);
    if (count != elems)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents have %lld element%s, the shape has %lld",
                         input->name, (long long)count, norn_plural(count), (long long)elems);
    input->bytes = -1;
    return NORN_OK;
}

// ---- tensors

static norn_status read_input(norn_arena *arena, norn_span message, norn_request_input *input,
                              norn_span *contents) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    const char *datatype = "";
    uint64_t value;
    *contents = (norn_span){NULL, 0};
    while (norn_wire_each(&reader, &field)) {
        if (field.number == 1) NORN_TRY(take_text(arena, &field, "an input's name", &input->name));
        if (field.number == 2) NORN_TRY(take_text(arena, &field, "a datatype", &datatype));
        if (field.number == 3 && field.type == NORN_WIRE_VARINT)
            NORN_TRY(add_dim(&input->view, field.value, input->name));
        while (field.number == 3 && field.type == NORN_WIRE_BYTES && field.bytes.count) {
            NORN_TRY(norn_wire_varint(&field.bytes, &value));
            NORN_TRY(add_dim(&input->view, value, input->name));
        }
        if (field.number == 4 && field.type == NORN_WIRE_BYTES)
            NORN_TRY(refuse_parameter(NORN_PARAMETER_OF_INPUT, field.bytes, input->name));
        if (field.number != 5 || field.type != NORN_WIRE_BYTES || !field.bytes.count) continue;
        if (contents->count)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' has contents twice",
                             input->name ? input->name : "?");
        *contents = field.bytes;
    }
    NORN_TRY(reader.status);
    if (!input->name)
        return norn_fail(NORN_INVALID_ARGUMENT, "an input of the request has no name");
    input->view.dtype = norn_dtype_from_kserve(datatype);
    if (input->view.dtype == NORN_DTYPE_NONE)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': no such datatype '%s'", input->name,
                         datatype);
    if (input->view.dtype == NORN_STRING)
        return norn_fail(NORN_UNIMPLEMENTED, "input '%s': datatype BYTES is not supported",
                         input->name);
    for (int32_t d = 0; d < input->view.rank; d++)
        if (input->view.dims[d] < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': dim %d is negative", input->name,
                             (int)d);
    return NORN_OK;
}

static norn_status read_output(norn_arena *arena, norn_span message, norn_request_output *output) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    while (norn_wire_each(&reader, &field)) {
        if (field.number == 1)
            NORN_TRY(take_text(arena, &field, "an output's name", &output->name));
        if (field.number == 2 && field.type == NORN_WIRE_BYTES)
            NORN_TRY(refuse_parameter(NORN_PARAMETER_OF_OUTPUT, field.bytes, output->name));
    }
    NORN_TRY(reader.status);
    if (!output->name)
        return norn_fail(NORN_INVALID_ARGUMENT, "an output of the request has no name");
    return NORN_OK;
}

/// The data of every input: all raw, in the order of the inputs, or all typed.
static norn_status place_data(norn_request *request, const norn_span *contents,
                              const norn_span *raw, uint32_t raws) {
    for (uint32_t i = 0; i < request->input_count; i++) {
        norn_request_input *input = &request->inputs[i];
        if (!raws) {
            NORN_TRY(read_contents(request, contents[i], input));
            continue;
        }
        if (contents[i].count)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s' has typed contents and the request raw_input_contents; "
                             "send one of them",
                             input->name);
        if (i >= raws)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s' has no raw_input_contents: %u input%s, %u entries",
                             input->name, request->input_count, norn_plural(request->input_count),
                             raws);
        // Read only, as in kserve_parse.c.
        memcpy(&input->view.data, &raw[i].bytes, sizeof input->view.data);
        input->bytes = (int64_t)raw[i].count;
    }
    if (raws > request->input_count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the request has %u input%s but %u raw_input_contents",
                         request->input_count, norn_plural(request->input_count), raws);
    return NORN_OK;
}

static norn_status read_parameter(norn_span entry, norn_request *request) {
    norn_parameter parameter;
    NORN_TRY(norn_parameter_decode(entry, &parameter));
    return norn_parameter_apply(&parameter, request);
}

norn_status norn_kserve_proto_request(norn_span message, norn_request *request, const char **model,
                                      const char **version) {
    norn_arena *arena = &request->arena;
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    norn_span *contents, *raw_contents;
    uint32_t inputs, outputs, raws, raw = 0;
    *model = *version = "";
    NORN_TRY(count_tensors(message, &inputs, &outputs, &raws));
    NORN_TRY(NORN_TAKE_ARRAY(arena, inputs, &request->inputs));
    NORN_TRY(NORN_TAKE_ARRAY(arena, outputs, &request->outputs));
    NORN_TRY(NORN_TAKE_ARRAY(arena, inputs, &contents));
    NORN_TRY(NORN_TAKE_ARRAY(arena, raws, &raw_contents));
    while (norn_wire_each(&reader, &field)) {
        if (field.number == 1) NORN_TRY(take_text(arena, &field, "model_name", model));
        if (field.number == 2) NORN_TRY(take_text(arena, &field, "model_version", version));
        if (field.number == 3) NORN_TRY(take_text(arena, &field, "id", &request->id));
        if (field.type != NORN_WIRE_BYTES) continue;
        if (field.number == 4) NORN_TRY(read_parameter(field.bytes, request));
        if (field.number == 5) {
            NORN_TRY(read_input(arena, field.bytes, &request->inputs[request->input_count],
                                &contents[request->input_count]));
            ++request->input_count;
        }
        if (field.number == 6)
            NORN_TRY(read_output(arena, field.bytes, &request->outputs[request->output_count++]));
        if (field.number == 7) raw_contents[raw++] = field.bytes;
    }
    NORN_TRY(reader.status);
    return place_data(request, contents, raw_contents, raws);
}
