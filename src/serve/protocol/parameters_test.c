/// Parameters by place, name and kind of value, in JSON and in protobuf: what is kept to, what asks for nothing, what is
/// refused and by which extension's name.
#include "serve/protocol/parameters.h"

#include "base/cmocka_all.h"

#include <string.h>

/// A parameter from the text of a JSON value.
static norn_parameter of_json(const char *name, const char *value) {
    norn_json_reader reader;
    norn_json_token token;
    norn_json_init(&reader, norn_span_text(value));
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    return norn_parameter_of_json(norn_span_text(name), &token);
}

static void json_values_have_a_kind(void **state) {
    (void)state;
    static const struct {
        const char *text;
        norn_parameter_kind kind;
        int64_t whole;
    } cases[] = {{"true", NORN_PARAMETER_BOOL, 1},
                 {"false", NORN_PARAMETER_BOOL, 0},
                 {"-7", NORN_PARAMETER_WHOLE, -7},
                 {"9223372036854775807", NORN_PARAMETER_WHOLE, INT64_MAX},
                 {"9223372036854775808", NORN_PARAMETER_REAL, 0},
                 {"1.5", NORN_PARAMETER_REAL, 0},
                 {"\"a\"", NORN_PARAMETER_TEXT, 0},
                 {"null", NORN_PARAMETER_OTHER, 0},
                 {"[1]", NORN_PARAMETER_OTHER, 0},
                 {"{}", NORN_PARAMETER_OTHER, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_parameter parameter = of_json("p", cases[i].text);
        assert_int_equal(parameter.kind, cases[i].kind);
        if (parameter.kind == NORN_PARAMETER_BOOL || parameter.kind == NORN_PARAMETER_WHOLE)
            assert_true(parameter.whole == cases[i].whole);
    }
    assert_true(of_json("p", "1.5").real == 1.5);
    assert_true(norn_span_equal(of_json("p", "\"a\"").text, "a"));
    assert_true(norn_span_equal(of_json("p", "1").name, "p"));
}

static void protobuf_values_have_a_kind_by_their_field(void **state) {
    (void)state;
    norn_buffer entry;
    norn_buffer_init(&entry, norn_alloc_heap());
    for (int form = 0; form < 9; form++) {
        norn_parameter parameter;
        norn_buffer_clear(&entry);
        norn_wire_put_text(&entry, 1, "name");
        const size_t mark = norn_wire_begin(&entry, 2);
        if (form == 0) norn_wire_put_varint(&entry, 1, 5);
        if (form == 1) norn_wire_put_varint(&entry, 1, 0);
        if (form == 2) norn_wire_put_signed(&entry, 2, -7);
        if (form == 3) norn_wire_put_text(&entry, 3, "text");
        if (form == 4) norn_wire_put_fixed64(&entry, 4, 0x3ff8000000000000); // 1.5
        if (form == 5) norn_wire_put_varint(&entry, 5, 8);
        if (form == 6) norn_wire_put_varint(&entry, 5, UINT64_C(1) << 63);
        if (form == 7) norn_wire_put_text(&entry, 4, "bytes");
        if (form == 8) norn_wire_put_varint(&entry, 6, 1);
        norn_wire_end(&entry, mark);
        assert_int_equal(norn_parameter_decode(norn_span_of(entry.bytes, entry.count), &parameter),
                         NORN_OK);
        assert_true(norn_span_equal(parameter.name, "name"));
        static const norn_parameter_kind kinds[] = {
            NORN_PARAMETER_BOOL,  NORN_PARAMETER_BOOL, NORN_PARAMETER_WHOLE,
            NORN_PARAMETER_TEXT,  NORN_PARAMETER_REAL, NORN_PARAMETER_WHOLE,
            NORN_PARAMETER_WHOLE, NORN_PARAMETER_TEXT, NORN_PARAMETER_OTHER};
        static const int64_t wholes[] = {1, 0, -7, 0, 0, 8, INT64_MAX, 0, 0};
        assert_int_equal(parameter.kind, kinds[form]);
        assert_true(parameter.whole == wholes[form]);
        if (form == 4) assert_true(parameter.real == 1.5);
        if (form == 3) assert_true(norn_span_equal(parameter.text, "text"));
        if (form == 7) assert_true(norn_span_equal(parameter.text, "bytes"));
    }
    norn_buffer_deinit(&entry);
}

static void extensions_are_refused_by_place_name_and_value(void **state) {
    (void)state;
    static const norn_parameter_place places[] = {
        NORN_PARAMETER_OF_REQUEST, NORN_PARAMETER_OF_INPUT, NORN_PARAMETER_OF_OUTPUT};
    static const struct {
        const char *name;
        int place;
        const char *words; ///< at its place; elsewhere it is simply not supported
    } names[] = {{"sequence_id", 0, "the sequence extension"},
                 {"sequence_", 0, "the sequence extension"},
                 {"priority", 0, "the schedule policy extension"},
                 {"shared_memory_region", 1, "shared memory is not supported; send the data"},
                 {"shared_memory", 2, "shared memory is not supported; the data comes"},
                 {"classification", 2, "the classification extension"},
                 {"sequence", -1, NULL},
                 {"priority2", -1, NULL},
                 {"shared_memor", -1, NULL},
                 {"classification_", -1, NULL},
                 {"", -1, NULL}};
    static const struct {
        const char *text;
        bool nothing;
    } values[] = {{"0", true},     {"1", false},     {"-1", false},   {"false", true},
                  {"true", false}, {"0.0", true},    {"0.5", false},  {"-0.5", false},
                  {"\"\"", true},  {"\"a\"", false}, {"null", false}, {"[]", false}};
    static const char *const where[] = {"of the request", "of an input", "of an output"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (int place = 0; place < 3; place++)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                const norn_parameter parameter = of_json(names[n].name, values[v].text);
                // Input and output both know shared memory.
                const bool memory = strncmp(names[n].name, "shared_memory", 13) == 0 && place > 0;
                const bool known = place == names[n].place || memory;
                const norn_status want = known && values[v].nothing ? NORN_OK : NORN_UNIMPLEMENTED;
                const norn_status got = norn_parameter_refuse(places[place], &parameter);
                if (got != want)
                    fail_msg("%s = %s at %d: %d", names[n].name, values[v].text, place, (int)got);
                if (got == NORN_OK) continue;
                const char *words = !known                    ? where[place]
                                    : place == names[n].place ? names[n].words
                                                              : "shared memory is not supported";
                if (!strstr(norn_message(), words))
                    fail_msg("'%s' does not say '%s'", norn_message(), words);
            }
}

static void a_timeout_is_microseconds_from_the_arrival(void **state) {
    (void)state;
    static const struct {
        const char *value;
        norn_status status;
        int64_t deadline_ns;
    } cases[] = {{"1", NORN_OK, 5000 + 1000},
                 {"250000", NORN_OK, 5000 + 250000000},
                 {"0", NORN_OK, 0},
                 {"9223372036853", NORN_OK, 5000 + 9223372036853000},
                 {"9223372036854", NORN_OK, 0}, // never
                 {"9223372036854775807", NORN_OK, 0},
                 {"-1", NORN_INVALID_ARGUMENT, 0},
                 {"1.0", NORN_INVALID_ARGUMENT, 0},
                 {"true", NORN_INVALID_ARGUMENT, 0},
                 {"\"1\"", NORN_INVALID_ARGUMENT, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_request request = {.times = {.arrival_ns = 5000}};
        const norn_parameter parameter = of_json("timeout", cases[i].value);
        assert_int_equal(norn_parameter_apply(&parameter, &request), cases[i].status);
        assert_true(request.deadline_ns == cases[i].deadline_ns);
    }
    norn_request request = {.times = {.arrival_ns = 5000}};
    norn_parameter parameter = of_json("triton_enable_empty_final_response", "false");
    assert_int_equal(norn_parameter_apply(&parameter, &request), NORN_OK);
    parameter = of_json("triton_enable_empty_final_response", "1");
    assert_int_equal(norn_parameter_apply(&parameter, &request), NORN_UNIMPLEMENTED);
    parameter = of_json("timeout_us", "1");
    assert_int_equal(norn_parameter_apply(&parameter, &request), NORN_UNIMPLEMENTED);
}

static void bodies_of_the_repository_extension_say_what_they_may(void **state) {
    (void)state;
    static const struct {
        const char *body;
        norn_status index, load, unload;
    } cases[] = {
        {"", NORN_OK, NORN_OK, NORN_OK},
        {"{}", NORN_OK, NORN_OK, NORN_OK},
        {"{\"ready\":true}", NORN_OK, NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT},
        {"{\"ready\":1}", NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT},
        {"{\"parameters\":{}}", NORN_INVALID_ARGUMENT, NORN_OK, NORN_OK},
        {"{\"parameters\":[]}", NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT,
         NORN_INVALID_ARGUMENT},
        {"{\"parameters\":{\"unload_dependents\":true}}", NORN_INVALID_ARGUMENT, NORN_UNIMPLEMENTED,
         NORN_OK},
        {"{\"parameters\":{\"unload_dependents\":1}}", NORN_INVALID_ARGUMENT, NORN_UNIMPLEMENTED,
         NORN_INVALID_ARGUMENT},
        {"{\"parameters\":{\"config\":\"{}\"}}", NORN_INVALID_ARGUMENT, NORN_UNIMPLEMENTED,
         NORN_UNIMPLEMENTED},
        {"{\"parameters\":{\"file:1/model.onnx\":\"\"}}", NORN_INVALID_ARGUMENT, NORN_UNIMPLEMENTED,
         NORN_UNIMPLEMENTED},
        {"{} {}", NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT},
        {"[]", NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_span body = norn_span_text(cases[i].body);
        norn_repository_ask ask = {.ready = true};
        assert_int_equal(norn_repository_parse_index(body, &ask), cases[i].index);
        if (cases[i].index == NORN_OK) assert_int_equal(ask.ready, i == 2);
        assert_int_equal(norn_repository_parse_load(body, true), cases[i].load);
        assert_int_equal(norn_repository_parse_load(body, false), cases[i].unload);
    }
    assert_int_equal(
        norn_repository_parse_load(norn_span_text("{\"parameters\":{\"config\":\"\"}}"), true),
        NORN_UNIMPLEMENTED);
    assert_non_null(strstr(norn_message(), "norn.json"));
    assert_int_equal(
        norn_repository_parse_load(norn_span_text("{\"parameters\":{\"file:\":\"\"}}"), true),
        NORN_UNIMPLEMENTED);
    assert_non_null(strstr(norn_message(), "files in the request"));
}

/// A map entry of a load or unload request: name, and a bool.
static void put_flag(norn_buffer *out, const char *name, bool value) {
    const size_t entry = norn_wire_begin(out, 3);
    norn_wire_put_text(out, 1, name);
    const size_t mark = norn_wire_begin(out, 2);
    norn_wire_put_varint(out, 1, value);
    norn_wire_end(out, mark);
    norn_wire_end(out, entry);
}

static void messages_of_the_repository_extension_say_what_they_may(void **state) {
    (void)state;
    norn_buffer out;
    norn_arena arena;
    norn_buffer_init(&out, norn_alloc_heap());
    norn_arena_init(&arena, norn_alloc_heap(), 256);
    static const struct {
        const char *repository, *model, *parameter; ///< NULL: not in the message
        norn_status load, unload;
    } cases[] = {{NULL, "m", NULL, NORN_OK, NORN_OK},
                 {"", "m", NULL, NORN_OK, NORN_OK},
                 {"other", "m", NULL, NORN_UNIMPLEMENTED, NORN_UNIMPLEMENTED},
                 {NULL, "m", "unload_dependents", NORN_UNIMPLEMENTED, NORN_OK},
                 {NULL, "m", "config", NORN_UNIMPLEMENTED, NORN_UNIMPLEMENTED},
                 {NULL, "m", "file:1/a", NORN_UNIMPLEMENTED, NORN_UNIMPLEMENTED},
                 {NULL, "\xff", NULL, NORN_INVALID_ARGUMENT, NORN_INVALID_ARGUMENT},
                 {NULL, NULL, NULL, NORN_OK, NORN_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int load = 0; load < 2; load++) {
            const char *model;
            norn_buffer_clear(&out);
            norn_wire_put_varint(&out, 2, 7); // no text, so not the name
            if (cases[i].repository) norn_wire_put_text(&out, 1, cases[i].repository);
            if (cases[i].model) norn_wire_put_text(&out, 2, cases[i].model);
            if (cases[i].parameter) put_flag(&out, cases[i].parameter, true);
            const norn_status want = load ? cases[i].load : cases[i].unload;
            const norn_status got = norn_repository_decode_load(norn_span_of(out.bytes, out.count),
                                                                load, &arena, &model);
            if (got != want) fail_msg("case %zu: %s", i, norn_message());
            if (got == NORN_OK) assert_string_equal(model, cases[i].model ? cases[i].model : "");
        }
    for (int ready = 0; ready < 3; ready++) {
        norn_repository_ask ask;
        norn_buffer_clear(&out);
        norn_wire_put_text(&out, 1, ready == 2 ? "other" : "");
        norn_wire_put_varint(&out, 2, (uint64_t)ready);
        norn_wire_put_varint(&out, 3, 1); // of a later protocol
        assert_int_equal(norn_repository_decode_index(norn_span_of(out.bytes, out.count), &ask),
                         ready == 2 ? NORN_UNIMPLEMENTED : NORN_OK);
        if (ready < 2) assert_int_equal(ask.ready, ready);
    }
    norn_buffer_clear(&out);
    norn_wire_put_varint(&out, 1, 0); // a repository's name is text
    norn_repository_ask ask;
    assert_int_equal(norn_repository_decode_index(norn_span_of(out.bytes, out.count), &ask),
                     NORN_UNIMPLEMENTED);
    norn_arena_deinit(&arena);
    norn_buffer_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_values_have_a_kind),
        cmocka_unit_test(protobuf_values_have_a_kind_by_their_field),
        cmocka_unit_test(extensions_are_refused_by_place_name_and_value),
        cmocka_unit_test(a_timeout_is_microseconds_from_the_arrival),
        cmocka_unit_test(messages_of_the_repository_extension_say_what_they_may),
        cmocka_unit_test(bodies_of_the_repository_extension_say_what_they_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
