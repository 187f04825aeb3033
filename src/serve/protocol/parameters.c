#include "serve/protocol/parameters.h"

#include "base/utf8.h"

#include <string.h>

enum { SHOWN_MAX = 64 }; ///< of a client's name, in a message

static int shown(norn_span text) {
    return text.count < SHOWN_MAX ? (int)text.count : SHOWN_MAX;
}

static void set_protobuf_value(const norn_wire_field *field, norn_parameter *out) {
    if (field->number == 1 && field->type == NORN_WIRE_VARINT) {
        out->kind = NORN_PARAMETER_BOOL;
        out->whole = field->value != 0;
    } else if (field->number == 2 && field->type == NORN_WIRE_VARINT) {
        out->kind = NORN_PARAMETER_WHOLE;
        out->whole = (int64_t)field->value;
    } else if (field->number == 5 && field->type == NORN_WIRE_VARINT) {
        out->kind = NORN_PARAMETER_WHOLE;
        out->whole = field->value > INT64_MAX ? INT64_MAX : (int64_t)field->value;
    } else if (field->number == 4 && field->type == NORN_WIRE_FIXED64) {
        out->kind = NORN_PARAMETER_REAL;
        out->real = norn_wire_double(field);
    } else if ((field->number == 3 || field->number == 4) && field->type == NORN_WIRE_BYTES) {
        out->kind = NORN_PARAMETER_TEXT;
        out->text = field->bytes;
    }
}

norn_status norn_parameter_decode(norn_span entry, norn_parameter *out) {
    norn_wire_reader reader = {.rest = entry}, value = {0};
    norn_wire_field field;
    *out = (norn_parameter){.kind = NORN_PARAMETER_OTHER};
    while (norn_wire_each(&reader, &field)) {
        if (field.type != NORN_WIRE_BYTES) continue;
        if (field.number == 1) out->name = field.bytes;
        if (field.number == 2) value.rest = field.bytes;
    }
    NORN_TRY(reader.status);
    while (norn_wire_each(&value, &field)) {
        set_protobuf_value(&field, out);
    }
    return value.status;
}

norn_parameter norn_parameter_of_json(norn_span name, const norn_json_token *value) {
    norn_parameter parameter = {.name = name, .kind = NORN_PARAMETER_OTHER};
    if (value->kind == NORN_JSON_TRUE || value->kind == NORN_JSON_FALSE) {
        parameter.kind = NORN_PARAMETER_BOOL;
        parameter.whole = value->kind == NORN_JSON_TRUE;
    } else if (value->kind == NORN_JSON_STRING) {
        parameter.kind = NORN_PARAMETER_TEXT;
        parameter.text = value->text;
    } else if (value->kind == NORN_JSON_NUMBER && norn_json_i64(value->text, &parameter.whole)) {
        parameter.kind = NORN_PARAMETER_WHOLE;
    } else if (value->kind == NORN_JSON_NUMBER && norn_json_f64(value->text, &parameter.real)) {
        parameter.kind = NORN_PARAMETER_REAL;
    }
    return parameter;
}

static bool asks_for_nothing(const norn_parameter *parameter) {
    switch (parameter->kind) {
    case NORN_PARAMETER_BOOL:
    case NORN_PARAMETER_WHOLE:
        return parameter->whole == 0;
    case NORN_PARAMETER_REAL:
        return parameter->real >= 0 && parameter->real <= 0;
    case NORN_PARAMETER_TEXT:
        return parameter->text.count == 0;
    case NORN_PARAMETER_OTHER:
        return false;
    }
    return false;
}

/// Extensions that Norn does not have, by the parameters that ask for them.
static const struct {
    norn_parameter_place place;
    const char *name;
    bool prefix;
    const char *refusal;
} refusals[] = {
    {NORN_PARAMETER_OF_REQUEST, "sequence_", true,
     "the sequence extension is not supported; send requests without a sequence"},
    {NORN_PARAMETER_OF_REQUEST, "priority", false,
     "priorities (the schedule policy extension) are not supported; leave priority out"},
    {NORN_PARAMETER_OF_INPUT, "shared_memory", true,
     "shared memory is not supported; send the data in the request"},
    {NORN_PARAMETER_OF_OUTPUT, "shared_memory", true,
     "shared memory is not supported; the data comes in the answer"},
    {NORN_PARAMETER_OF_OUTPUT, "classification", false,
     "the classification extension is not supported; ask for the scores"},
};

norn_status norn_parameter_refuse(norn_parameter_place place, const norn_parameter *parameter) {
    const norn_span name = parameter->name;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const size_t length = strlen(refusals[i].name);
        const bool named =
            refusals[i].prefix
                ? name.count >= length && memcmp(name.bytes, refusals[i].name, length) == 0
                : norn_span_equal(name, refusals[i].name);
        if (refusals[i].place != place || !named) continue;
        if (asks_for_nothing(parameter)) return NORN_OK;
        return norn_fail(NORN_UNIMPLEMENTED, "parameter '%.*s': %s", shown(name),
                         (const char *)name.bytes, refusals[i].refusal);
    }
    return norn_fail(NORN_UNIMPLEMENTED,
                     "parameter '%.*s' of %s is not supported, and would be without effect; leave "
                     "it out",
                     shown(name), name.count ? (const char *)name.bytes : "",
                     place == NORN_PARAMETER_OF_REQUEST ? "the request"
                     : place == NORN_PARAMETER_OF_INPUT ? "an input"
                                                        : "an output");
}

norn_status norn_parameter_apply(const norn_parameter *parameter, norn_request *request) {
    // Asks how a stream of many answers ends. A unary call has one, so both values are kept to;
    // perf_analyzer always sends it.
    if (norn_span_equal(parameter->name, "triton_enable_empty_final_response") &&
        parameter->kind == NORN_PARAMETER_BOOL)
        return NORN_OK;
    if (!norn_span_equal(parameter->name, "timeout"))
        return norn_parameter_refuse(NORN_PARAMETER_OF_REQUEST, parameter);
    if (parameter->kind != NORN_PARAMETER_WHOLE || parameter->whole < 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "parameter 'timeout' must be a whole number of microseconds, 0 for none");
    if (parameter->whole > 0 && parameter->whole < INT64_MAX / 1000000) // else it never comes
        request->deadline_ns = request->times.arrival_ns + 1000 * parameter->whole;
    return NORN_OK;
}

norn_status norn_request_text(norn_arena *arena, const char *what, norn_span text,
                              const char **out) {
    if (text.count && memchr(text.bytes, 0, text.count))
        return norn_fail(NORN_INVALID_ARGUMENT, "%s must not hold a NUL character", what);
    for (size_t at = 0, length; at < text.count; at += length) {
        length = norn_utf8_length(text.bytes + at, text.count - at);
        if (length == 0) return norn_fail(NORN_INVALID_ARGUMENT, "%s is not UTF-8", what);
    }
    return norn_arena_string(arena, (const char *)text.bytes, text.count, out);
}

// ---- the model repository extension

/// Norn keeps what a version is served with beside the version, so that a restart serves the same.
static norn_status load_parameter(const norn_parameter *parameter, bool load) {
    const norn_span name = parameter->name;
    if (!load && norn_span_equal(name, "unload_dependents")) {
        if (parameter->kind == NORN_PARAMETER_BOOL) return NORN_OK; // no model depends on another
        return norn_fail(NORN_INVALID_ARGUMENT, "unload_dependents must be true or false");
    }
    if (load && norn_span_equal(name, "config"))
        return norn_fail(NORN_UNIMPLEMENTED,
                         "load: 'config' is not supported; write norn.json into the model's "
                         "version folder, and load without it");
    if (load && name.count >= 5 && memcmp(name.bytes, "file:", 5) == 0)
        return norn_fail(NORN_UNIMPLEMENTED,
                         "load: '%.*s': files in the request are not supported; put them into a "
                         "version folder of the repository, and load without them",
                         shown(name), (const char *)name.bytes);
    return norn_fail(NORN_UNIMPLEMENTED, "%s: no parameter '%.*s'; leave it out",
                     load ? "load" : "unload", shown(name),
                     name.count ? (const char *)name.bytes : "");
}

typedef norn_status (*member_fn)(norn_json_reader *json, norn_span key,
                                 const norn_json_token *value, void *context);

static norn_status each_member(norn_json_reader *json, const norn_json_token *begin,
                               const char *what, member_fn member, void *context) {
    if (begin->kind != NORN_JSON_OBJECT_BEGIN)
        return norn_fail(NORN_INVALID_ARGUMENT, "request JSON, byte %zu: %s must be an object",
                         begin->offset, what);
    for (;;) {
        norn_json_token key, value;
        NORN_TRY(norn_json_next(json, &key));
        if (key.kind == NORN_JSON_OBJECT_END) return NORN_OK;
        NORN_TRY(norn_json_next(json, &value));
        NORN_TRY(member(json, key.text, &value, context));
    }
}

static norn_status no_member(norn_span key, const char *wanted) {
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "request JSON: no member \"%.*s\" here; %s belongs here", shown(key),
                     key.count ? (const char *)key.bytes : "", wanted);
}

static norn_status index_member(norn_json_reader *json, norn_span key, const norn_json_token *value,
                                void *context) {
    norn_repository_ask *ask = context;
    (void)json;
    if (!norn_span_equal(key, "ready")) return no_member(key, "\"ready\"");
    if (value->kind != NORN_JSON_TRUE && value->kind != NORN_JSON_FALSE)
        return norn_fail(NORN_INVALID_ARGUMENT, "\"ready\" must be true or false");
    ask->ready = value->kind == NORN_JSON_TRUE;
    return NORN_OK;
}

static norn_status load_parameter_member(norn_json_reader *json, norn_span key,
                                         const norn_json_token *value, void *context) {
    const norn_parameter parameter = norn_parameter_of_json(key, value);
    (void)json;
    return load_parameter(&parameter, *(const bool *)context); // a list or object is refused here
}

static norn_status load_member(norn_json_reader *json, norn_span key, const norn_json_token *value,
                               void *context) {
    if (!norn_span_equal(key, "parameters")) return no_member(key, "\"parameters\"");
    return each_member(json, value, "\"parameters\"", load_parameter_member, context);
}

static norn_status parse(norn_span body, member_fn member, void *context) {
    norn_json_reader json;
    norn_json_token token;
    if (body.count == 0) return NORN_OK;
    norn_json_init(&json, body);
    NORN_TRY(norn_json_next(&json, &token));
    NORN_TRY(each_member(&json, &token, "the body", member, context));
    return norn_json_next(&json, &token);
}

norn_status norn_repository_parse_index(norn_span body, norn_repository_ask *out) {
    *out = (norn_repository_ask){.ready = false};
    return parse(body, index_member, out);
}

norn_status norn_repository_parse_load(norn_span body, bool load) {
    return parse(body, load_member, &load);
}

/// `repository_name`: there is one repository, and it has no name.
static norn_status check_repository(const norn_wire_field *field) {
    if (field->type == NORN_WIRE_BYTES && field->bytes.count == 0) return NORN_OK;
    return norn_fail(NORN_UNIMPLEMENTED,
                     "repository_name is not supported: a server has one repository; leave it out");
}

norn_status norn_repository_decode_index(norn_span message, norn_repository_ask *out) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    *out = (norn_repository_ask){.ready = false};
    while (norn_wire_each(&reader, &field)) {
        if (field.number == 1) NORN_TRY(check_repository(&field));
        if (field.number == 2 && field.type == NORN_WIRE_VARINT) out->ready = field.value != 0;
    }
    return reader.status;
}

norn_status norn_repository_decode_load(norn_span message, bool load, norn_arena *arena,
                                        const char **model) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    norn_parameter parameter;
    *model = "";
    while (norn_wire_each(&reader, &field)) {
        if (field.number == 1) NORN_TRY(check_repository(&field));
        if (field.type != NORN_WIRE_BYTES) continue;
        if (field.number == 2)
            NORN_TRY(norn_request_text(arena, "the model's name", field.bytes, model));
        if (field.number == 3) {
            NORN_TRY(norn_parameter_decode(field.bytes, &parameter));
            NORN_TRY(load_parameter(&parameter, load));
        }
    }
    return reader.status;
}
