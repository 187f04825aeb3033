#include "serve/protocol/kserve_json.h"

#include "tensor/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static norn_request *parse(const char *json, const char *binary, size_t binary_bytes,
                           norn_status wanted) {
    static uint8_t body[4096];
    norn_request *request;
    const size_t count = strlen(json);
    memcpy(body, json, count);
    if (binary_bytes) memcpy(body + count, binary, binary_bytes);
    assert_int_equal(norn_request_create(norn_alloc_heap(), &request), NORN_OK);
    const norn_status status =
        norn_kserve_json_request(norn_span_of(body, count + binary_bytes), count, request);
    if (status != wanted) print_error("%s\n", norn_message());
    assert_int_equal(status, wanted);
    return request;
}

static void refused(const char *json, const char *words) {
    norn_request_destroy(parse(json, NULL, 0, NORN_INVALID_ARGUMENT));
    if (!strstr(norn_message(), words)) print_error("message: %s\n", norn_message());
    assert_non_null(strstr(norn_message(), words));
}

static void json_tensors_are_read_in_row_major_order_whatever_their_nesting(void **state) {
    norn_request *request =
        parse("{\"id\":\"a\\u0062c\",\"inputs\":[{\"data\":[[1,2.5],[-3e1,4]],\"shape\":[2,2],"
              "\"name\":\"x\",\"datatype\":\"FP32\"},{\"name\":\"k\",\"shape\":[2],\"datatype\":"
              "\"INT64\","
              "\"data\":[9007199254740993,-1]}],\"outputs\":[{\"name\":\"y\"}]}",
              NULL, 0, NORN_OK);
    const float *x = request->inputs[0].view.data;
    const int64_t *k = request->inputs[1].view.data;
    (void)state;
    assert_string_equal(request->id, "abc");
    assert_int_equal(request->input_count, 2);
    assert_int_equal(request->inputs[0].view.rank, 2);
    assert_true(x[0] == 1 && x[1] == 2.5f && x[2] == -30 && x[3] == 4);
    assert_true(k[0] == 9007199254740993 && k[1] == -1);
    assert_int_equal(request->output_count, 1);
    assert_string_equal(request->outputs[0].name, "y");
    assert_false(request->outputs[0].binary);
    norn_request_destroy(request);
}

static void binary_tensors_alias_the_body_in_the_order_of_inputs(void **state) {
    norn_request *request = parse(
        "{\"inputs\":[{\"name\":\"a\",\"shape\":[3],\"datatype\":\"UINT8\",\"parameters\":"
        "{\"binary_data_size\":3}},{\"name\":\"b\",\"shape\":[1],\"datatype\":\"UINT8\","
        "\"parameters\":{\"binary_data_size\":1}}],\"parameters\":{\"binary_data_output\":true}}",
        "abcd", 4, NORN_OK);
    (void)state;
    assert_memory_equal(request->inputs[0].view.data, "abc", 3);
    assert_memory_equal(request->inputs[1].view.data, "d", 1);
    assert_int_equal(request->inputs[0].bytes, 3);
    assert_true(request->binary_outputs);
    norn_request_destroy(request);
}

static void bad_requests_are_refused_with_the_name_of_the_tensor(void **state) {
    (void)state;
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1]}]}",
            "input 'x'");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,2,3]}]}",
            "input 'x'");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1000000000000,1000000000000],\"datatype\":"
            "\"FP32\",\"data\":[1]}]}",
            "x");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\"}]}", "no \"data\"");
    refused("{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"data\":[1]}]}", "no \"shape\"");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[-1],\"datatype\":\"FP32\",\"data\":[]}]}",
            "negative");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP99\",\"data\":[1]}]}",
            "no such datatype");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"UINT8\",\"data\":[256]}]}",
            "does not fit");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[1.5]}]}",
            "whole number");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[\"a\"]}]}",
            "a number belongs");
    refused("{\"inputs\":[{\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}]}", "no \"name\"");
    refused("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"parameters\":{"
            "\"binary_data_size\":4}}]}",
            "binary_data_size");
    refused("{\"inputs\":", "byte");
    refused("[]", "object");
}

static void extensions_that_norn_lacks_are_said_to_be_missing(void **state) {
    (void)state;
    norn_request_destroy(
        parse("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"parameters\":"
              "{\"shared_memory_region\":\"r\"}}]}",
              NULL, 0, NORN_UNIMPLEMENTED));
    norn_request_destroy(parse(
        "{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"a\"]}]}",
        NULL, 0, NORN_UNIMPLEMENTED));
}

static void parameters_of_a_request_are_honoured_or_refused(void **state) {
    static const struct {
        const char *json, *words; ///< words NULL: accepted
    } cases[] = {
        {"{\"sequence_id\":7,\"sequence_start\":true}", "sequence extension"},
        {"{\"sequence_id\":\"s\"}", "sequence extension"},
        {"{\"sequence_id\":0,\"sequence_start\":false,\"sequence_end\":false}", NULL},
        {"{\"sequence_id\":\"\"}", NULL},
        {"{\"priority\":2}", "schedule policy"},
        {"{\"priority\":0}", NULL},
        {"{\"temperature\":{\"a\":[1]}}", "'temperature'"},
        {"{\"triton_enable_empty_final_response\":true}", NULL},
    };
    char json[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(json, sizeof json, "{\"parameters\":%s}", cases[i].json);
        norn_request_destroy(parse(json, NULL, 0, cases[i].words ? NORN_UNIMPLEMENTED : NORN_OK));
        if (cases[i].words) assert_non_null(strstr(norn_message(), cases[i].words));
    }
    refused("{\"parameters\":{\"timeout\":-1}}", "timeout");
    refused("{\"parameters\":{\"timeout\":1.5}}", "timeout");
    refused("{\"parameters\":{\"timeout\":\"soon\"}}", "timeout");
}

static void a_text_with_a_nul_is_refused_not_cut(void **state) {
    (void)state;
    refused("{\"id\":\"a\\u0000b\"}", "NUL");
    refused("{\"inputs\":[{\"name\":\"x\\u0000\"}]}", "NUL");
    refused("{\"outputs\":[{\"name\":\"\\u0000\"}]}", "NUL");
}

/// One input of one element.
static const char *one(const char *datatype, const char *number) {
    static char json[512];
    (void)snprintf(
        json, sizeof json,
        "{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"%s\",\"data\":[%s]}]}", datatype,
        number);
    return json;
}

static const void *read_one(const char *datatype, const char *number, norn_request **request) {
    *request = parse(one(datatype, number), NULL, 0, NORN_OK);
    return (*request)->inputs[0].view.data;
}

static double read_real(const char *datatype, const char *number) {
    norn_request *request;
    const void *data = read_one(datatype, number, &request);
    const double value = norn_element_f64(request->inputs[0].view.dtype, data, 0);
    norn_request_destroy(request);
    return value;
}

static uint64_t read_bits(const char *datatype, const char *number) {
    norn_request *request;
    const void *data = read_one(datatype, number, &request);
    uint64_t value = (uint64_t)norn_element_i64(request->inputs[0].view.dtype, data, 0);
    if (request->inputs[0].view.dtype == NORN_U64) memcpy(&value, data, sizeof value);
    norn_request_destroy(request);
    return value;
}

static void numbers_that_python_writes_are_read(void **state) {
    static const char *const reals[] = {"FP16", "BF16", "FP32", "FP64"};
    (void)state;
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        assert_true(isnan(read_real(reals[i], "NaN")));
        assert_true(read_real(reals[i], "Infinity") == HUGE_VAL);
        assert_true(read_real(reals[i], "-Infinity") == -HUGE_VAL);
        assert_true(read_real(reals[i], "-0.0") == 0 && signbit(read_real(reals[i], "-0.0")));
        assert_true(read_real(reals[i], "1e-500") == 0);
        refused(one(reals[i], "nan"), "byte 61: not a value");
        refused(one(reals[i], "-NaN"), "byte 61");
        refused(one(reals[i], "Inf"), "byte 61: not a value");
        refused(one(reals[i], "+Infinity"), "byte 61");
        refused(one(reals[i], "\"NaN\""), "byte 61: a number belongs here");
        refused(one(reals[i], "null"), "byte 61: a number belongs here");
        refused(one(reals[i], "true"), "byte 61: a number belongs here");
        refused(one(reals[i], "1e400"), "byte 61: the number does not fit");
    }
    assert_true(read_real("FP32", "3.4028235e38") > 3.4e38);
    refused(one("FP32", "1e39"), "does not fit");
    refused(one("FP32", "-3.5e38"), "does not fit");
    assert_true(read_real("FP64", "1e39") > 9e38);
    assert_true(read_real("FP16", "65504") == 65504);
    refused(one("FP16", "65520"), "does not fit"); // rounds to infinity
    refused(one("BF16", "3.4028235e38"), "does not fit");
}

static void whole_numbers_are_exact_to_the_ends_of_their_types(void **state) {
    (void)state;
    assert_true(read_bits("UINT64", "18446744073709551615") == UINT64_MAX);
    assert_true(read_bits("UINT64", "9223372036854775808") == UINT64_C(1) << 63);
    assert_true(read_bits("UINT64", "-0") == 0);
    refused(one("UINT64", "18446744073709551616"), "does not fit");
    refused(one("UINT64", "-1"), "does not fit");
    assert_true((int64_t)read_bits("INT64", "-9223372036854775808") == INT64_MIN);
    refused(one("INT64", "9223372036854775808"), "byte 62: the number does not fit");
    refused(one("INT64", "-9223372036854775809"), "does not fit");
    assert_true((int64_t)read_bits("INT8", "-128") == -128);
    refused(one("INT8", "-129"), "does not fit");
    refused(one("UINT32", "4294967296"), "does not fit");
    refused(one("INT32", "99999999999999999999999999999999999999"), "does not fit");
    refused(one("INT64", "1e2"), "whole number");
    refused(one("INT64", "1.0"), "whole number");
    refused(one("INT64", "NaN"), "whole number");
    refused(one("INT64", "true"), "a number belongs here");
    assert_true(read_bits("BOOL", "true") == 1 && read_bits("BOOL", "false") == 0);
    assert_true(read_bits("BOOL", "1") == 1 && read_bits("BOOL", "0") == 0);
    refused(one("BOOL", "2"), "does not fit");
    refused(one("BOOL", "-1"), "does not fit");
}

/// The message names the byte where `number` stands.
static void refused_at(const char *json, const char *number) {
    char words[32];
    (void)snprintf(words, sizeof words, "byte %zu: ", (size_t)(strstr(json, number) - json));
    refused(json, words);
}

static void a_message_names_the_byte_of_its_number(void **state) {
    (void)state;
    refused_at(
        "{\"inputs\":[{\"data\":[1, 2, 1e99],\"name\":\"x\",\"shape\":[3],\"datatype\":\"FP32\"}]}",
        "1e99");
    refused_at("{\"inputs\":[{\"name\":\"a\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]},"
               "{\"name\":\"b\",\"shape\":[1],\"datatype\":\"INT8\",\"data\":[  300]}]}",
               "300");
    refused_at(
        "{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[[null]]}]}",
        "null");
}

static void a_member_that_comes_twice_is_refused(void **state) {
    static const char x[] = "{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]";
    static const char *const twice[] = {"\"name\":\"y\"", "\"shape\":[2]", "\"datatype\":\"FP64\"",
                                        "\"data\":[2]"};
    char json[512];
    (void)state;
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
        (void)snprintf(json, sizeof json, "{\"inputs\":[%s,%s}]}", x, twice[i]);
        refused(json, "twice");
    }
    (void)snprintf(json, sizeof json, "{\"inputs\":[%s}],\"inputs\":[]}", x);
    refused(json, "twice");
    refused("{\"id\":\"a\",\"id\":\"b\"}", "twice");
    refused("{\"outputs\":[{\"name\":\"a\",\"name\":\"b\"}]}", "twice");
    refused("{\"inputs\":[{\"name\":\"a\",\"parameters\":{\"binary_data_size\":0,"
            "\"binary_data_size\":1}}]}",
            "twice");
}

static void tensors_and_long_texts_are_taken_from_the_budget(void **state) {
    static char json[200000];
    norn_budget budget;
    norn_request *request;
    (void)state;
    // 20000 doubles, and an id of 9000 bytes.
    size_t used = (size_t)snprintf(json, sizeof json,
                                   "{\"id\":\"%09000d\",\"inputs\":[{\"name\":"
                                   "\"x\",\"shape\":[20000],\"datatype\":\"FP64\",\"data\":[0",
                                   0);
    for (int i = 1; i < 20000; i++, used += 2) memcpy(json + used, ",0", 2);
    used += (size_t)snprintf(json + used, sizeof json - used, "]}]}");
    const struct {
        int64_t budget_bytes;
        norn_status status;
        int64_t held_bytes;
    } cases[] = {{1 << 20, NORN_OK, 160000 + 9000},
                 {200000, NORN_UNAVAILABLE, 9000}, // 7/8 of it are enough but for the id
                 {170000, NORN_RESOURCE_EXHAUSTED, 9000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        norn_budget_init(&budget, cases[i].budget_bytes);
        if (cases[i].status == NORN_UNAVAILABLE) norn_budget_force(&budget, 10000);
        const int64_t before = budget.held_bytes;
        assert_int_equal(norn_request_create(norn_alloc_heap(), &request), NORN_OK);
        request->budget = &budget;
        assert_int_equal(norn_kserve_json_request(norn_span_of(json, used), used, request),
                         cases[i].status);
        assert_int_equal(budget.held_bytes - before, cases[i].held_bytes);
        norn_request_destroy(request);
        assert_int_equal(budget.held_bytes, before);
    }
}

static void a_text_of_a_page_is_taken_from_nowhere(void **state) {
    static char json[8192];
    (void)state;
    for (int count = 4095; count <= 4097; count++) {
        norn_budget budget;
        norn_request *request;
        const int used = snprintf(json, sizeof json,
                                  "{\"id\":\"%0*d\",\"inputs\":[{\"name\":\"x\",\"shape\":[1],"
                                  "\"datatype\":\"INT8\",\"data\":[0]}]}",
                                  count, 0);
        norn_budget_init(&budget, 1 << 20);
        assert_int_equal(norn_request_create(norn_alloc_heap(), &request), NORN_OK);
        request->budget = &budget;
        assert_int_equal(
            norn_kserve_json_request(norn_span_of(json, (size_t)used), (size_t)used, request),
            NORN_OK);
        assert_int_equal(budget.held_bytes, 1 + (count > 4096 ? count : 0));
        norn_request_destroy(request);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_tensors_are_read_in_row_major_order_whatever_their_nesting),
        cmocka_unit_test(binary_tensors_alias_the_body_in_the_order_of_inputs),
        cmocka_unit_test(bad_requests_are_refused_with_the_name_of_the_tensor),
        cmocka_unit_test(extensions_that_norn_lacks_are_said_to_be_missing),
        cmocka_unit_test(parameters_of_a_request_are_honoured_or_refused),
        cmocka_unit_test(a_text_with_a_nul_is_refused_not_cut),
        cmocka_unit_test(numbers_that_python_writes_are_read),
        cmocka_unit_test(whole_numbers_are_exact_to_the_ends_of_their_types),
        cmocka_unit_test(a_message_names_the_byte_of_its_number),
        cmocka_unit_test(a_member_that_comes_twice_is_refused),
        cmocka_unit_test(a_text_of_a_page_is_taken_from_nowhere),
        cmocka_unit_test(tensors_and_long_texts_are_taken_from_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
