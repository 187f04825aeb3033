/// Reading infer requests. "data" may come before the shape and type that say how to read it, so an
/// input's members are gathered first and its data is read when the input ends.
#include "base/checked.h"
#include "base/clock.h"
#include "serve/protocol/kserve_json.h"
#include "serve/protocol/parameters.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

enum { TENSORS_MAX = 4096, LONG_TEXT = 4096 };

typedef struct infer_parser {
    norn_json_reader json;
    norn_request *request;
    norn_span binary; ///< what is left of the bytes after the JSON
    size_t input_capacity, output_capacity;
    uint32_t seen; ///< members of the request
} infer_parser;

/// An input as far as it was read.
typedef struct input_draft {
    norn_request_input input;
    int64_t binary_bytes; ///< -1: none
    uint32_t seen;        ///< members of the input
    bool has_shape, has_data;
    norn_json_reader data; ///< stands before the value of "data"
} input_draft;

typedef norn_status (*member_fn)(infer_parser *parser, norn_span key, const norn_json_token *value,
                                 void *context);

static norn_status bad(const infer_parser *parser, const norn_json_token *token, const char *what) {
    (void)parser;
    return norn_fail(NORN_INVALID_ARGUMENT, "request JSON, byte %zu: %s", token->offset, what);
}

static norn_status each_member(infer_parser *parser, const norn_json_token *begin, member_fn member,
                               void *context) {
    if (begin->kind != NORN_JSON_OBJECT_BEGIN) return bad(parser, begin, "an object belongs here");
    for (;;) {
        norn_json_token key, value;
        NORN_TRY(norn_json_next(&parser->json, &key));
        if (key.kind == NORN_JSON_OBJECT_END) return NORN_OK;
        NORN_TRY(norn_json_next(&parser->json, &value));
        NORN_TRY(member(parser, key.text, &value, context));
    }
}

/// A member that comes twice is refused: readers differ in which of the two they take.
static norn_status once(const infer_parser *parser, const norn_json_token *value, int member,
                        uint32_t *seen) {
    if (*seen >> member & 1) return bad(parser, value, "this member of its object comes twice");
    *seen |= 1u << member;
    return NORN_OK;
}

/// Which of `names` is `key`; -1: none.
static int member_of(norn_span key, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (norn_span_equal(key, names[i])) return i;
    return -1;
}

static norn_status skip(infer_parser *parser, const norn_json_token *value) {
    return norn_json_skip(&parser->json, value);
}

static norn_status take_text(infer_parser *parser, const norn_json_token *token, const char **out) {
    char *text;
    size_t count = token->text.count;
    if (token->kind != NORN_JSON_STRING) return bad(parser, token, "a string belongs here");
    if (count > LONG_TEXT) NORN_TRY(norn_request_hold(parser->request, count));
    NORN_TRY(norn_arena_take(&parser->request->arena, count + 1, 1, 1, (void **)&text));
    if (token->escaped) {
        NORN_TRY(norn_json_unescape(token->text, text, &count));
    } else if (count) {
        memcpy(text, token->text.bytes, count);
    }
    text[count] = 0;
    if (strlen(text) != count) return bad(parser, token, "a NUL character belongs nowhere");
    *out = text;
    return NORN_OK;
}

/// A parameter that this place does not know.
static norn_status refuse_parameter(infer_parser *parser, norn_parameter_place place,
                                    norn_span name, const norn_json_token *value) {
    const norn_parameter parameter = norn_parameter_of_json(name, value);
    NORN_TRY(norn_parameter_refuse(place, &parameter));
    return skip(parser, value);
}

static norn_status take_i64(const infer_parser *parser, const norn_json_token *token,
                            int64_t *out) {
    if (token->kind != NORN_JSON_NUMBER || !norn_json_i64(token->text, out))
        return bad(parser, token, "a whole number belongs here");
    return NORN_OK;
}

static norn_status take_bool(const infer_parser *parser, const norn_json_token *token, bool *out) {
    if (token->kind != NORN_JSON_TRUE && token->kind != NORN_JSON_FALSE)
        return bad(parser, token, "true or false belongs here");
    *out = token->kind == NORN_JSON_TRUE;
    return NORN_OK;
}

// ---- tensors in JSON

static norn_status too_large(const infer_parser *parser, const norn_json_token *token) {
    return bad(parser, token, "the number does not fit the tensor's datatype");
}

/// Infinity that a client wrote is taken; a number that only becomes infinite is refused.
static norn_status put_real(const infer_parser *parser, const norn_json_token *token,
                            norn_view *view, int64_t index) {
    const bool says_infinity = token->text.bytes[token->text.count - 1] == 'y';
    double number;
    if (!norn_json_f64(token->text, &number)) return bad(parser, token, "a number belongs here");
    if (view->dtype == NORN_F32) {
        const float single = (float)number;
        ((float *)view->data)[index] = single;
        return isinf(single) && !says_infinity ? too_large(parser, token) : NORN_OK;
    }
    norn_element_set_f64(view->dtype, view->data, index, number);
    if (isinf(norn_element_f64(view->dtype, view->data, index)) && !says_infinity)
        return too_large(parser, token);
    return NORN_OK;
}

static norn_status put_whole(const infer_parser *parser, const norn_json_token *token,
                             norn_view *view, int64_t index) {
    int64_t whole;
    if (view->dtype == NORN_U64) {
        if (norn_json_u64(token->text, (uint64_t *)view->data + index)) return NORN_OK;
    } else if (norn_json_i64(token->text, &whole)) {
        norn_element_set_i64(view->dtype, view->data, index, whole);
        if (view->dtype == NORN_BOOL ? whole == 0 || whole == 1
                                     : norn_element_i64(view->dtype, view->data, index) == whole)
            return NORN_OK;
    }
    for (size_t i = token->text.bytes[0] == '-'; i < token->text.count; i++)
        if (token->text.bytes[i] < '0' || token->text.bytes[i] > '9')
            return bad(parser, token, "a whole number belongs here");
    return too_large(parser, token);
}

static norn_status put_element(const infer_parser *parser, const norn_json_token *token,
                               norn_view *view, int64_t index) {
    const bool is_word = token->kind == NORN_JSON_TRUE || token->kind == NORN_JSON_FALSE;
    if (is_word && view->dtype == NORN_BOOL) {
        norn_element_set_i64(NORN_BOOL, view->data, index, token->kind == NORN_JSON_TRUE);
        return NORN_OK;
    }
    if (token->kind != NORN_JSON_NUMBER) return bad(parser, token, "a number belongs here");
    return norn_dtype_is_float(view->dtype) ? put_real(parser, token, view, index)
                                            : put_whole(parser, token, view, index);
}

/// `data`: numbers in any nesting, read in order.
static norn_status read_data(infer_parser *parser, input_draft *draft) {
    norn_view *view = &draft->input.view;
    const int64_t elems = norn_view_elems(view);
    norn_json_token token;
    int64_t count = 0;
    uint32_t depth = 0;
    size_t bytes;
    // An element takes at least two bytes of JSON, so a small request cannot claim a large tensor.
    if (elems < 0 || (uint64_t)elems > (draft->data.text.count - draft->data.position) / 2)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': \"data\" has fewer elements than its shape",
                         draft->input.name);
    NORN_TRY(norn_view_bytes(view, &bytes));
    NORN_TRY(norn_request_hold(parser->request, bytes));
    NORN_TRY(norn_arena_take(&parser->request->arena, bytes + 1, 1, 64, &view->data));
    do {
        NORN_TRY(norn_json_next(&draft->data, &token));
        if (token.kind == NORN_JSON_ARRAY_BEGIN) {
            ++depth;
        } else if (token.kind == NORN_JSON_ARRAY_END) {
            --depth;
        } else if (depth == 0) {
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': \"data\" must be a list",
                             draft->input.name);
        } else if (count == elems) {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s': \"data\" has more elements than its shape (%lld)",
                             draft->input.name, (long long)elems);
        } else {
            NORN_TRY(put_element(parser, &token, view, count++));
        }
    } while (depth > 0);
    if (count != elems)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': \"data\" has %lld element%s, its shape has %lld",
                         draft->input.name, (long long)count, norn_plural(count), (long long)elems);
    draft->input.bytes = -1;
    return NORN_OK;
}

// ---- members

static norn_status read_shape(infer_parser *parser, const norn_json_token *begin,
                              input_draft *draft) {
    norn_view *view = &draft->input.view;
    norn_json_token token;
    if (begin->kind != NORN_JSON_ARRAY_BEGIN)
        return bad(parser, begin, "\"shape\" must be a list of whole numbers");
    for (view->rank = 0;;) {
        NORN_TRY(norn_json_next(&parser->json, &token));
        if (token.kind == NORN_JSON_ARRAY_END) break;
        if (view->rank == NORN_MAX_RANK)
            return bad(parser, &token, "a tensor has at most 8 dimensions");
        NORN_TRY(take_i64(parser, &token, &view->dims[view->rank]));
        if (view->dims[view->rank++] < 0)
            return bad(parser, &token, "a dimension must not be negative");
    }
    draft->has_shape = true;
    return NORN_OK;
}

static norn_status input_parameter(infer_parser *parser, norn_span key,
                                   const norn_json_token *value, void *context) {
    input_draft *draft = context;
    if (norn_span_equal(key, "binary_data_size")) {
        if (draft->binary_bytes >= 0)
            return bad(parser, value, "this member of its object comes twice");
        NORN_TRY(take_i64(parser, value, &draft->binary_bytes));
        if (draft->binary_bytes < 0)
            return bad(parser, value, "binary_data_size must not be negative");
        return NORN_OK;
    }
    return refuse_parameter(parser, NORN_PARAMETER_OF_INPUT, key, value);
}

static norn_status read_datatype(infer_parser *parser, const norn_json_token *value,
                                 input_draft *draft) {
    const char *text;
    NORN_TRY(take_text(parser, value, &text));
    draft->input.view.dtype = norn_dtype_from_kserve(text);
    if (draft->input.view.dtype == NORN_DTYPE_NONE) return bad(parser, value, "no such datatype");
    return NORN_OK;
}

/// Only where it begins: the shape and the datatype may still be to come.
static norn_status note_data(infer_parser *parser, const norn_json_token *value,
                             input_draft *draft) {
    if (value->kind != NORN_JSON_ARRAY_BEGIN) return bad(parser, value, "\"data\" must be a list");
    norn_json_init(&draft->data, parser->json.text);
    draft->data.position = value->offset;
    draft->data.specials = true;
    draft->has_data = true;
    return skip(parser, value);
}

static norn_status input_member(infer_parser *parser, norn_span key, const norn_json_token *value,
                                void *context) {
    enum { NAME, SHAPE, DATATYPE, DATA, PARAMETERS, COUNT };
    static const char *const names[COUNT] = {"name", "shape", "datatype", "data", "parameters"};
    input_draft *draft = context;
    const int member = member_of(key, names, COUNT);
    if (member < 0) return skip(parser, value);
    NORN_TRY(once(parser, value, member, &draft->seen));
    switch (member) {
    case NAME:
        return take_text(parser, value, &draft->input.name);
    case SHAPE:
        return read_shape(parser, value, draft);
    case DATATYPE:
        return read_datatype(parser, value, draft);
    case DATA:
        return note_data(parser, value, draft);
    default:
        return each_member(parser, value, input_parameter, draft);
    }
}

static norn_status finish_input(infer_parser *parser, input_draft *draft) {
    norn_request_input *input = &draft->input;
    if (!input->name)
        return norn_fail(NORN_INVALID_ARGUMENT, "an input of the request has no \"name\"");
    if (!draft->has_shape)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' has no \"shape\"", input->name);
    if (input->view.dtype == NORN_DTYPE_NONE)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' has no \"datatype\"", input->name);
    if (input->view.dtype == NORN_STRING)
        return norn_fail(NORN_UNIMPLEMENTED, "input '%s': datatype BYTES is not supported",
                         input->name);
    if (draft->binary_bytes >= 0) {
        const size_t bytes = (size_t)draft->binary_bytes;
        if (draft->has_data)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s' has both \"data\" and binary_data_size", input->name);
        if (bytes > parser->binary.count)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s': binary_data_size is %zu, %zu byte%s left in the body",
                             input->name, bytes, parser->binary.count,
                             norn_number(parser->binary.count, " is", "s are"));
        // Inputs are only read; the view's pointer is not const because outputs share the type.
        memcpy(&input->view.data, &parser->binary.bytes, sizeof input->view.data);
        input->bytes = draft->binary_bytes;
        parser->binary.bytes += bytes;
        parser->binary.count -= bytes;
        return NORN_OK;
    }
    if (!draft->has_data)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s' has no \"data\" and no binary_data_size", input->name);
    return read_data(parser, draft);
}

static norn_status within_limit(uint32_t count) {
    if (count < TENSORS_MAX) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "the request names more than %d tensors", TENSORS_MAX);
}

static norn_status read_inputs(infer_parser *parser, const norn_json_token *begin) {
    norn_request *request = parser->request;
    norn_json_token token;
    if (begin->kind != NORN_JSON_ARRAY_BEGIN)
        return bad(parser, begin, "\"inputs\" must be a list");
    for (;;) {
        input_draft draft = {.binary_bytes = -1};
        NORN_TRY(norn_json_next(&parser->json, &token));
        if (token.kind == NORN_JSON_ARRAY_END) return NORN_OK;
        NORN_TRY(each_member(parser, &token, input_member, &draft));
        NORN_TRY(finish_input(parser, &draft));
        NORN_TRY(within_limit(request->input_count));
        NORN_TRY(NORN_TAKE_MORE(&request->arena, &request->inputs, request->input_count,
                                &parser->input_capacity));
        request->inputs[request->input_count++] = draft.input;
    }
}

static norn_status output_parameter(infer_parser *parser, norn_span key,
                                    const norn_json_token *value, void *context) {
    norn_request_output *output = context;
    if (norn_span_equal(key, "binary_data")) return take_bool(parser, value, &output->binary);
    return refuse_parameter(parser, NORN_PARAMETER_OF_OUTPUT, key, value);
}

static norn_status output_member(infer_parser *parser, norn_span key, const norn_json_token *value,
                                 void *context) {
    norn_request_output *output = context;
    if (norn_span_equal(key, "name")) {
        if (output->name) return bad(parser, value, "this member of its object comes twice");
        return take_text(parser, value, &output->name);
    }
    if (norn_span_equal(key, "parameters"))
        return each_member(parser, value, output_parameter, output);
    return skip(parser, value);
}

static norn_status read_outputs(infer_parser *parser, const norn_json_token *begin) {
    norn_request *request = parser->request;
    norn_json_token token;
    if (begin->kind != NORN_JSON_ARRAY_BEGIN)
        return bad(parser, begin, "\"outputs\" must be a list");
    for (;;) {
        norn_request_output output = {.binary = parser->request->binary_outputs};
        NORN_TRY(norn_json_next(&parser->json, &token));
        if (token.kind == NORN_JSON_ARRAY_END) return NORN_OK;
        NORN_TRY(each_member(parser, &token, output_member, &output));
        if (!output.name)
            return norn_fail(NORN_INVALID_ARGUMENT, "an output of the request has no \"name\"");
        NORN_TRY(within_limit(request->output_count));
        NORN_TRY(NORN_TAKE_MORE(&request->arena, &request->outputs, request->output_count,
                                &parser->output_capacity));
        request->outputs[request->output_count++] = output;
    }
}

static norn_status request_parameter(infer_parser *parser, norn_span key,
                                     const norn_json_token *value, void *context) {
    (void)context;
    if (norn_span_equal(key, "binary_data_output"))
        return take_bool(parser, value, &parser->request->binary_outputs);
    const norn_parameter parameter = norn_parameter_of_json(key, value);
    NORN_TRY(norn_parameter_apply(&parameter, parser->request));
    return skip(parser, value);
}

static norn_status request_member(infer_parser *parser, norn_span key, const norn_json_token *value,
                                  void *context) {
    enum { ID, PARAMETERS, INPUTS, OUTPUTS, COUNT };
    static const char *const names[COUNT] = {"id", "parameters", "inputs", "outputs"};
    const int member = member_of(key, names, COUNT);
    (void)context;
    if (member < 0) return skip(parser, value);
    NORN_TRY(once(parser, value, member, &parser->seen));
    switch (member) {
    case ID:
        return take_text(parser, value, &parser->request->id);
    case PARAMETERS:
        return each_member(parser, value, request_parameter, NULL);
    case INPUTS:
        return read_inputs(parser, value);
    default:
        return read_outputs(parser, value);
    }
}

norn_status norn_kserve_json_request(norn_span body, size_t json_bytes, norn_request *request) {
    infer_parser parser = {.request = request};
    norn_json_token token;
    norn_span json;
    if (!norn_span_slice(body, 0, json_bytes, &json))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "Inference-Header-Content-Length is %zu, the body has %zu byte%s",
                         json_bytes, body.count, norn_plural(body.count));
    parser.binary = (norn_span){body.bytes + json_bytes, body.count - json_bytes};
    norn_json_init(&parser.json, json);
    parser.json.specials = true;
    NORN_TRY(norn_json_next(&parser.json, &token));
    NORN_TRY(each_member(&parser, &token, request_member, NULL));
    NORN_TRY(norn_json_next(&parser.json, &token));
    if (parser.binary.count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%zu byte%s of the body belong%s to no input; check binary_data_size",
                         parser.binary.count, norn_plural(parser.binary.count),
                         norn_number(parser.binary.count, "s", ""));
    return NORN_OK;
}
