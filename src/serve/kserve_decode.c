/// ModelInferRequest. Tensors come as raw_input_contents (one entry an input, in order) or typed in
/// `contents`.
#include "serve/kserve_proto.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <string.h>

enum { TENSORS_MAX = 4096 };

static norn_status take_text(norn_arena *arena, const norn_wire_field *field, const char **out) {
    if (field->type != NORN_WIRE_BYTES)
        return norn_fail(NORN_INVALID_ARGUMENT, "protobuf field %u is not a string", field->number);
    return norn_arena_string(arena, (const char *)field->bytes.bytes, field->bytes.count, out);
}

norn_status norn_kserve_decode_names(norn_span message, norn_arena *arena, const char **first,
                                     const char **second) {
    norn_wire_reader reader = {message};
    norn_wire_field field;
    bool more;
    *first = *second = "";
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) return NORN_OK;
        if (field.number == 1) NORN_TRY(take_text(arena, &field, first));
        if (field.number == 2) NORN_TRY(take_text(arena, &field, second));
    }
}

/// Counts of the repeated fields, so that the arrays are taken once.
static norn_status count_tensors(norn_span message, uint32_t *inputs, uint32_t *outputs,
                                 uint32_t *raws) {
    norn_wire_reader reader = {message};
    norn_wire_field field;
    bool more;
    *inputs = *outputs = *raws = 0;
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) break;
        if (field.type != NORN_WIRE_BYTES) continue;
        *inputs += field.number == 5;
        *outputs += field.number == 6;
        *raws += field.number == 7;
    }
    if (*inputs > TENSORS_MAX || *outputs > TENSORS_MAX || *raws > TENSORS_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "the request names more than %d tensors",
                         TENSORS_MAX);
    return NORN_OK;
}

static norn_status add_dim(norn_view *view, uint64_t value, const char *name) {
    if (view->rank == NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' has more than %d dimensions",
                         name ? name : "?", NORN_MAX_RANK);
    view->dims[view->rank++] = (int64_t)value;
    return NORN_OK;
}

/// A map entry of parameters: key = 1, InferParameter = 2.
static norn_status refuse_shared_memory(norn_span entry) {
    norn_wire_reader reader = {entry};
    norn_wire_field field;
    bool more;
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) return NORN_OK;
        if (field.number == 1 && field.bytes.count >= 13 &&
            memcmp(field.bytes.bytes, "shared_memory", 13) == 0)
            return norn_fail(NORN_UNIMPLEMENTED,
                             "shared memory is not supported; send the data in the request");
        if (field.number == 1 && norn_span_equal(field.bytes, "classification"))
            return norn_fail(NORN_UNIMPLEMENTED, "the classification extension is not supported");
    }
}

// ---- typed contents

/// The field of InferTensorContents that carries a datatype: its number and how its elements are
/// written.
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

static norn_status put_varint(norn_view *view, int64_t elems, int64_t *count, uint64_t value,
                              const char *name) {
    if (*count >= elems)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents have more elements than the shape", name);
    if (view->dtype == NORN_BOOL) value = value != 0;
    norn_element_set_i64(view->dtype, view->data, (*count)++, (int64_t)value);
    return NORN_OK;
}

static norn_status put_contents(norn_infer_input *input, const norn_wire_field *field,
                                int64_t elems, int64_t *count) {
    norn_view *view = &input->view;
    const bool fixed = view->dtype == NORN_F32 || view->dtype == NORN_F64;
    const size_t size = view->dtype == NORN_F32 ? 4 : 8;
    norn_span packed = field->bytes;
    if (fixed) {
        const norn_span one = norn_span_of(&field->value, size); // little-endian machine
        const norn_span run = field->type == NORN_WIRE_BYTES ? packed : one;
        if (run.count % size || (int64_t)(run.count / size) > elems - *count)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': contents do not fit the shape",
                             input->name);
        if (run.count) memcpy((uint8_t *)view->data + (size_t)*count * size, run.bytes, run.count);
        *count += (int64_t)(run.count / size);
        return NORN_OK;
    }
    if (field->type == NORN_WIRE_VARINT)
        return put_varint(view, elems, count, field->value, input->name);
    while (packed.count) {
        uint64_t value;
        NORN_TRY(norn_wire_varint(&packed, &value));
        NORN_TRY(put_varint(view, elems, count, value, input->name));
    }
    return NORN_OK;
}

static norn_status read_contents(norn_arena *arena, norn_span contents, norn_infer_input *input) {
    const int64_t elems = norn_view_elems(&input->view);
    const uint32_t wanted = contents_field(input->view.dtype);
    norn_wire_reader reader = {contents};
    norn_wire_field field;
    int64_t count = 0;
    size_t bytes;
    bool more;
    if (!wanted)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': datatype %s travels in raw_input_contents only", input->name,
                         norn_dtype_kserve_name(input->view.dtype));
    // An element takes at least one byte, so a small message cannot claim a large tensor.
    if (elems < 0 || (uint64_t)elems > contents.count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents have fewer elements than the shape", input->name);
    NORN_TRY(norn_view_bytes(&input->view, &bytes));
    NORN_TRY(norn_arena_take(arena, bytes + 1, 1, 64, &input->view.data));
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) break;
        if (field.number != wanted)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': contents are not of datatype %s",
                             input->name, norn_dtype_kserve_name(input->view.dtype));
        NORN_TRY(put_contents(input, &field, elems, &count));
    }
    if (count != elems)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': contents have %lld elements, the shape has %lld", input->name,
                         (long long)count, (long long)elems);
    input->bytes = -1;
    return NORN_OK;
}

// ---- tensors

static norn_status read_input(norn_arena *arena, norn_span message, norn_infer_input *input,
                              norn_span *contents) {
    norn_wire_reader reader = {message};
    norn_wire_field field;
    const char *datatype = "";
    uint64_t value;
    bool more;
    *contents = (norn_span){NULL, 0};
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) break;
        if (field.number == 1) NORN_TRY(take_text(arena, &field, &input->name));
        if (field.number == 2) NORN_TRY(take_text(arena, &field, &datatype));
        if (field.number == 3 && field.type == NORN_WIRE_VARINT)
            NORN_TRY(add_dim(&input->view, field.value, input->name));
        while (field.number == 3 && field.type == NORN_WIRE_BYTES && field.bytes.count) {
            NORN_TRY(norn_wire_varint(&field.bytes, &value));
            NORN_TRY(add_dim(&input->view, value, input->name));
        }
        if (field.number == 4 && field.type == NORN_WIRE_BYTES)
            NORN_TRY(refuse_shared_memory(field.bytes));
        if (field.number == 5 && field.type == NORN_WIRE_BYTES) *contents = field.bytes;
    }
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

static norn_status read_output(norn_arena *arena, norn_span message, norn_infer_output *output) {
    norn_wire_reader reader = {message};
    norn_wire_field field;
    bool more;
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) break;
        if (field.number == 1) NORN_TRY(take_text(arena, &field, &output->name));
        if (field.number == 2 && field.type == NORN_WIRE_BYTES)
            NORN_TRY(refuse_shared_memory(field.bytes));
    }
    if (!output->name)
        return norn_fail(NORN_INVALID_ARGUMENT, "an output of the request has no name");
    return NORN_OK;
}

/// A request parameter: key = 1, value = 2 {int64 = 2, …}. Only "timeout" (microseconds) means
/// something here.
static norn_status read_parameter(norn_span message, norn_infer *infer) {
    norn_wire_reader reader = {message}, value = {{NULL, 0}};
    norn_wire_field field;
    bool timeout = false, more;
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) break;
        if (field.number == 1) timeout = norn_span_equal(field.bytes, "timeout");
        if (field.number == 2) value.rest = field.bytes;
    }
    while (timeout) {
        NORN_TRY(norn_wire_next(&value, &field, &more));
        if (!more) break;
        if (field.type == NORN_WIRE_VARINT && field.value > 0 && field.value < INT64_MAX / 1000000)
            infer->deadline_ns = infer->times.arrival_ns + 1000 * (int64_t)field.value;
    }
    return NORN_OK;
}

norn_status norn_kserve_decode_infer(norn_span message, norn_infer *infer, const char **model,
                                     const char **version) {
    norn_arena *arena = &infer->arena;
    norn_wire_reader reader = {message};
    norn_wire_field field;
    norn_span *contents;
    uint32_t inputs, outputs, raws, raw = 0;
    bool more;
    *model = *version = "";
    NORN_TRY(count_tensors(message, &inputs, &outputs, &raws));
    NORN_TRY(NORN_TAKE_ARRAY(arena, inputs, &infer->inputs));
    NORN_TRY(NORN_TAKE_ARRAY(arena, outputs, &infer->outputs));
    NORN_TRY(NORN_TAKE_ARRAY(arena, inputs > raws ? inputs : raws, &contents));
    norn_span *raw_contents;
    NORN_TRY(NORN_TAKE_ARRAY(arena, raws, &raw_contents));
    for (;;) {
        NORN_TRY(norn_wire_next(&reader, &field, &more));
        if (!more) break;
        if (field.number == 1) NORN_TRY(take_text(arena, &field, model));
        if (field.number == 2) NORN_TRY(take_text(arena, &field, version));
        if (field.number == 3) NORN_TRY(take_text(arena, &field, &infer->id));
        if (field.type != NORN_WIRE_BYTES) continue;
        if (field.number == 4) NORN_TRY(read_parameter(field.bytes, infer));
        if (field.number == 5) {
            NORN_TRY(read_input(arena, field.bytes, &infer->inputs[infer->input_count],
                                &contents[infer->input_count]));
            ++infer->input_count;
        }
        if (field.number == 6)
            NORN_TRY(read_output(arena, field.bytes, &infer->outputs[infer->output_count++]));
        if (field.number == 7) raw_contents[raw++] = field.bytes;
    }
    if (raws && raws != inputs)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the request has %u inputs but %u raw_input_contents", inputs, raws);
    for (uint32_t i = 0; i < inputs; i++) {
        norn_infer_input *input = &infer->inputs[i];
        if (!raws) {
            NORN_TRY(read_contents(arena, contents[i], input));
            continue;
        }
        memcpy(&input->view.data, &raw_contents[i].bytes,
               sizeof input->view.data); // read only, as in kserve_parse.c
        input->bytes = (int64_t)raw_contents[i].count;
    }
    return NORN_OK;
}
