#include "serve/protocol/kserve_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/// A ModelInferRequest that is being written: one input 'x' of `datatype` and three elements.
typedef struct draft {
    norn_buffer out;
    size_t input;
} draft;

static draft begin(const char *datatype, uint64_t elems) {
    draft d;
    norn_buffer_init(&d.out, norn_alloc_heap());
    norn_wire_put_text(&d.out, 1, "m");
    d.input = norn_wire_begin(&d.out, 5);
    norn_wire_put_text(&d.out, 1, "x");
    norn_wire_put_text(&d.out, 2, datatype);
    norn_wire_put_varint(&d.out, 3, elems);
    return d;
}

/// Decode and free. NULL with `wanted` checked when it is not OK.
static norn_request *end(draft *d, norn_status wanted) {
    const char *model, *version;
    norn_request *request;
    assert_int_equal(norn_request_create(norn_alloc_heap(), &request), NORN_OK);
    const norn_status status = norn_kserve_proto_request(norn_span_of(d->out.bytes, d->out.count),
                                                         request, &model, &version);
    if (status != wanted) print_error("%s\n", norn_message());
    assert_int_equal(status, wanted);
    norn_buffer_deinit(&d->out); // typed contents live in the arena
    if (status == NORN_OK) return request;
    norn_request_destroy(request);
    return NULL;
}

static void refused(draft *d, norn_status status, const char *words) {
    assert_null(end(d, status));
    if (!strstr(norn_message(), words)) print_error("message: %s\n", norn_message());
    assert_non_null(strstr(norn_message(), words));
}

static draft typed(const char *datatype, uint32_t field, const int64_t *values, size_t count) {
    draft d = begin(datatype, count);
    const size_t contents = norn_wire_begin(&d.out, 5), packed = norn_wire_begin(&d.out, field);
    for (size_t i = 0; i < count; i++) norn_wire_put_varint_raw(&d.out, (uint64_t)values[i]);
    norn_wire_end(&d.out, packed);
    norn_wire_end(&d.out, contents);
    norn_wire_end(&d.out, d.input);
    return d;
}

static void typed_integers_keep_the_ends_of_their_datatype_and_nothing_beyond(void **state) {
    static const struct {
        const char *datatype;
        uint32_t field;
        int64_t low, high;
    } types[] = {
        {"INT8", 2, -128, 127}, {"INT16", 2, -32768, 32767}, {"INT32", 2, INT32_MIN, INT32_MAX},
        {"UINT8", 4, 0, 255},   {"UINT16", 4, 0, 65535},     {"UINT32", 4, 0, UINT32_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const int64_t ends[] = {types[i].low, types[i].high};
        draft d = typed(types[i].datatype, types[i].field, ends, 2);
        norn_request *request = end(&d, NORN_OK);
        const uint8_t *bytes = request->inputs[0].view.data;
        assert_int_equal(bytes[0], (uint8_t)types[i].low);
        norn_request_destroy(request);
        for (int side = 0; side < 2; side++) {
            const int64_t beyond[] = {0, side ? types[i].high + 1 : types[i].low - 1};
            d = typed(types[i].datatype, types[i].field, beyond, 2);
            refused(&d, NORN_INVALID_ARGUMENT, "input 'x': element 1, ");
        }
    }
}

static void contents_of_another_field_are_refused_with_the_right_one_named(void **state) {
    static const char *const names[] = {"",
                                        "bool_contents",
                                        "int_contents",
                                        "int64_contents",
                                        "uint_contents",
                                        "uint64_contents",
                                        "fp32_contents",
                                        "fp64_contents"};
    static const struct {
        const char *datatype;
        uint32_t field;
    } types[] = {{"BOOL", 1},   {"INT8", 2}, {"INT64", 3}, {"UINT8", 4},
                 {"UINT64", 5}, {"FP32", 6}, {"FP64", 7}};
    const int64_t one[] = {1};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (uint32_t field = 1; field <= 9; field++) {
            draft d = typed(types[i].datatype, field, one, 1);
            if (field == types[i].field && field < 6) {
                norn_request_destroy(end(&d, NORN_OK));
            } else if (field == types[i].field) {
                refused(&d, NORN_INVALID_ARGUMENT, "input 'x'"); // a varint is no float
            } else {
                refused(&d, NORN_INVALID_ARGUMENT, names[types[i].field]);
            }
        }
    draft d = typed("FP16", 6, one, 1);
    refused(&d, NORN_INVALID_ARGUMENT, "raw_input_contents only");
}

static void an_element_of_another_wire_type_is_refused(void **state) {
    (void)state;
    for (uint32_t field = 2; field <= 6; field += 4) {
        draft d = begin(field == 2 ? "INT32" : "FP32", 1);
        const size_t contents = norn_wire_begin(&d.out, 5);
        norn_wire_put_fixed64(&d.out, field, 1);
        norn_wire_end(&d.out, contents);
        norn_wire_end(&d.out, d.input);
        refused(&d, NORN_INVALID_ARGUMENT, "input 'x'");
    }
}

static void wrong_counts_are_refused_with_the_name_of_the_tensor(void **state) {
    const int64_t values[] = {1, 2, 3};
    (void)state;
    for (uint64_t elems = 2; elems <= 4; elems += 2) {
        draft d = begin("INT64", elems);
        const size_t contents = norn_wire_begin(&d.out, 5), packed = norn_wire_begin(&d.out, 3);
        for (size_t i = 0; i < 3; i++) norn_wire_put_varint_raw(&d.out, (uint64_t)values[i]);
        norn_wire_end(&d.out, packed);
        norn_wire_end(&d.out, contents);
        norn_wire_end(&d.out, d.input);
        refused(&d, NORN_INVALID_ARGUMENT, "input 'x'");
    }
    draft d = begin("INT64", 1);
    norn_wire_end(&d.out, d.input);
    refused(&d, NORN_INVALID_ARGUMENT, "input 'x'"); // neither typed nor raw
}

static void raw_and_typed_contents_together_are_refused(void **state) {
    const int64_t values[] = {1};
    (void)state;
    draft d = typed("INT64", 3, values, 1);
    norn_wire_put_bytes(&d.out, 7, "12345678", 8);
    refused(&d, NORN_INVALID_ARGUMENT, "input 'x' has typed contents");
    d = begin("INT64", 1);
    norn_wire_end(&d.out, d.input);
    norn_wire_put_bytes(&d.out, 7, "12345678", 8);
    norn_wire_put_bytes(&d.out, 7, "12345678", 8);
    refused(&d, NORN_INVALID_ARGUMENT, "2 raw_input_contents");
}

static void texts_are_utf8_without_a_nul_or_refused(void **state) {
    (void)state;
    for (uint32_t field = 1; field <= 3; field++) {
        draft d = begin("INT64", 0);
        norn_wire_end(&d.out, d.input);
        norn_wire_put_bytes(&d.out, field, "a\0b", 3);
        refused(&d, NORN_INVALID_ARGUMENT, "NUL");
        d = begin("INT64", 0);
        norn_wire_end(&d.out, d.input);
        norn_wire_put_bytes(&d.out, field, "a\xc3", 2);
        refused(&d, NORN_INVALID_ARGUMENT, "UTF-8");
        d = begin("INT64", 0);
        norn_wire_end(&d.out, d.input);
        norn_wire_put_bytes(&d.out, field, "\xc3\xa9\xe6\xbc\xa2", 5);
        norn_request_destroy(end(&d, NORN_OK));
    }
}

/// parameters = 4 of a request: {key = 1, value = 2 {field: number}}.
static draft with_parameter(const char *name, uint32_t field, uint64_t value) {
    draft d = begin("INT64", 0);
    norn_wire_end(&d.out, d.input);
    const size_t entry = norn_wire_begin(&d.out, 4);
    norn_wire_put_text(&d.out, 1, name);
    const size_t mark = norn_wire_begin(&d.out, 2);
    norn_wire_put_varint(&d.out, field, value);
    norn_wire_end(&d.out, mark);
    norn_wire_end(&d.out, entry);
    return d;
}

static void parameters_are_honoured_or_refused_by_the_name_of_their_extension(void **state) {
    static const struct {
        const char *name;
        uint32_t field;
        uint64_t value;
        const char *words; ///< NULL: accepted
    } cases[] = {
        {"sequence_id", 2, 7, "sequence extension"},
        {"sequence_id", 5, UINT64_MAX, "sequence extension"},
        {"sequence_start", 1, 1, "sequence extension"},
        {"sequence_id", 2, 0, NULL},
        {"sequence_end", 1, 0, NULL},
        {"priority", 5, 1, "schedule policy"},
        {"priority", 5, 0, NULL},
        {"temperature", 2, 0, "'temperature'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        draft d = with_parameter(cases[i].name, cases[i].field, cases[i].value);
        if (cases[i].words) {
            refused(&d, NORN_UNIMPLEMENTED, cases[i].words);
        } else {
            norn_request_destroy(end(&d, NORN_OK));
        }
    }
    draft d = with_parameter("timeout", 2, 1000);
    norn_request *request = end(&d, NORN_OK);
    assert_int_equal(request->deadline_ns, 1000000); // the arrival is 0 here
    norn_request_destroy(request);
    d = with_parameter("timeout", 2, (uint64_t)-1);
    refused(&d, NORN_INVALID_ARGUMENT, "timeout");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typed_integers_keep_the_ends_of_their_datatype_and_nothing_beyond),
        cmocka_unit_test(contents_of_another_field_are_refused_with_the_right_one_named),
        cmocka_unit_test(an_element_of_another_wire_type_is_refused),
        cmocka_unit_test(wrong_counts_are_refused_with_the_name_of_the_tensor),
        cmocka_unit_test(raw_and_typed_contents_together_are_refused),
        cmocka_unit_test(texts_are_utf8_without_a_nul_or_refused),
        cmocka_unit_test(parameters_are_honoured_or_refused_by_the_name_of_their_extension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
