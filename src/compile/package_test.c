/// norn.json, key by key: what each says, at its bounds and one beyond.
#include "compile/package.h"

#include "base/cmocka_all.h"
#include "base/memory.h"
#include "cpu/cpu_device.h"

#include <stdio.h>
#include <string.h>

static norn_arena arena;
static norn_package_config config;

static norn_status parse(const char *text) {
    return norn_package_parse("p/norn.json", norn_span_text(text), &arena, &config);
}

static void must(const char *text) {
    if (parse(text) != NORN_OK) fail_msg("%s: %s", text, norn_message());
}

static void refused(const char *text, const char *part) {
    if (parse(text) != NORN_INVALID_ARGUMENT) fail_msg("%s was taken", text);
    if (!strstr(norn_message(), part) || !strstr(norn_message(), "p/norn.json"))
        fail_msg("%s: '%s' does not say '%s'", text, norn_message(), part);
}

static void expect_defaults(void) {
    assert_int_equal(config.input_count, 0);
    assert_int_equal(config.table_count, 0);
    assert_int_equal(config.min_shapes.count + config.opt_shapes.count + config.max_shapes.count,
                     0);
    assert_null(config.device);
    assert_int_equal(config.precision, NORN_PRECISION_FP32);
    assert_int_equal(config.max_batch, 0);
    assert_int_equal(config.instances, 0);
    assert_int_equal(config.threads, 0);
    assert_int_equal(config.max_memory_bytes, 0);
    assert_int_equal(config.batch_rows, -1);
    assert_int_equal(config.batch_delay_us, -1);
    assert_int_equal(config.queue_limit, -1);
    assert_int_equal(config.max_wait_ms, -1);
    assert_int_equal(config.join, NORN_PACKAGE_ROWS_PROVED);
    assert_int_equal(config.split, NORN_PACKAGE_ROWS_PROVED);
    assert_int_equal(config.max_request_rows, 0);
    assert_true(config.warmup);
    assert_false(config.freeze_initializers);
}

static void what_is_not_said_has_its_default(void **state) {
    (void)state;
    static const char *const texts[] = {"{}", " {\"inputs\":{},\"tables\":{}} ",
                                        "{\"profile\":{},\"batching\":{}}",
                                        "{\"profile\":{\"min\":{},\"opt\":{},\"max\":{}}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        must(texts[i]);
        expect_defaults();
    }
    assert_int_equal(norn_package_parse("", (norn_span){NULL, 0}, &arena, &config), NORN_OK);
    expect_defaults();
}

/// A number's path, bounds, and where it goes.
static void every_number_is_taken_from_its_least_to_its_most(void **state) {
    (void)state;
    static const struct {
        const char *before, *key, *after;
        int64_t least, most;
        size_t offset;
        int bytes;
        int64_t unit;
    } numbers[] = {
#define NUMBER(before, key, after, least, most, field, unit) \
    {before,                                                 \
     key,                                                    \
     after,                                                  \
     least,                                                  \
     most,                                                   \
     offsetof(norn_package_config, field),                   \
     (int)sizeof config.field,                               \
     unit}
        NUMBER("{\"profile\":{", "max_batch", "}}", 1, INT32_MAX, max_batch, 1),
        NUMBER("{", "instances", "}", 0, 1024, instances, 1),
        NUMBER("{", "threads", "}", 0, 1024, threads, 1),
        NUMBER("{", "max_memory_mb", "}", 1, INT32_MAX, max_memory_bytes, 1 << 20),
        NUMBER("{\"batching\":{", "max_batch", "}}", 1, INT32_MAX, batch_rows, 1),
        NUMBER("{\"batching\":{", "max_delay_us", "}}", 0, 10000000, batch_delay_us, 1),
        NUMBER("{\"batching\":{", "max_queue", "}}", 1, INT32_MAX, queue_limit, 1),
        NUMBER("{\"batching\":{", "max_wait_ms", "}}", 0, 86400000, max_wait_ms, 1),
        NUMBER("{\"batching\":{", "max_request_rows", "}}", 1, INT32_MAX, max_request_rows, 1),
#undef NUMBER
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const int64_t values[] = {numbers[i].least, numbers[i].least + 1, numbers[i].most};
        char text[200], part[200];
        for (size_t v = 0; v < 3; v++) {
            snprintf(text, sizeof text, "%s\"%s\": %lld%s", numbers[i].before, numbers[i].key,
                     (long long)values[v], numbers[i].after);
            must(text);
            const char *at = (const char *)&config + numbers[i].offset;
            int64_t got;
            if (numbers[i].bytes == 8) {
                memcpy(&got, at, 8);
            } else {
                int32_t small;
                memcpy(&small, at, 4);
                got = small;
            }
            assert_true(got == values[v] * numbers[i].unit);
        }
        snprintf(part, sizeof part, "\"%s\" must be a whole number from %lld to %lld",
                 numbers[i].key, (long long)numbers[i].least, (long long)numbers[i].most);
        static const char *const bad[] = {"\"1\"", "1.5", "true", "null", "[1]", "1e2"};
        for (size_t v = 0; v < 2 + sizeof bad / sizeof *bad; v++) {
            if (v < 2)
                snprintf(text, sizeof text, "%s\"%s\": %lld%s", numbers[i].before, numbers[i].key,
                         (long long)(v ? numbers[i].most + 1 : numbers[i].least - 1),
                         numbers[i].after);
            else
                snprintf(text, sizeof text, "%s\"%s\": %s%s", numbers[i].before, numbers[i].key,
                         bad[v - 2], numbers[i].after);
            refused(text, part);
        }
    }
}

static void every_word_says_what_it_says(void **state) {
    (void)state;
    must("{\"device\":\"cuda:1\",\"precision\":\"tf32\"}");
    assert_string_equal(config.device, "cuda:1");
    assert_int_equal(config.precision, NORN_PRECISION_TF32);
    must("{\"precision\":\"fp32\"}");
    assert_int_equal(config.precision, NORN_PRECISION_FP32);
    must("{\"warmup\":false,\"freeze_initializers\":true}");
    assert_false(config.warmup);
    assert_true(config.freeze_initializers);
    must("{\"warmup\":true,\"freeze_initializers\":false}");
    assert_true(config.warmup);
    assert_false(config.freeze_initializers);
    static const char *const rows[] = {"proved", "never", "always"};
    for (int i = 0; i < 3; i++) {
        char text[80];
        snprintf(text, sizeof text, "{\"batching\":{\"join\":\"%s\"}}", rows[i]);
        must(text);
        assert_int_equal(config.join, i);
        assert_int_equal(config.split, NORN_PACKAGE_ROWS_PROVED);
        snprintf(text, sizeof text, "{\"batching\":{\"split\":\"%s\"}}", rows[i]);
        must(text);
        assert_int_equal(config.split, i);
        assert_int_equal(config.join, NORN_PACKAGE_ROWS_PROVED);
    }
    refused("{\"device\":\"tpu\"}", "\"device\" must be cpu, cuda or cuda:N, not \"tpu\"");
    must("{\"precision\":\"bf16\"}");
    assert_int_equal(config.precision, NORN_PRECISION_BF16);
    refused("{\"precision\":\"fp8\"}", "not \"fp8\"");
    refused("{\"warmup\":1}", "\"warmup\" must be true or false");
    refused("{\"batching\":{\"join\":\"no\"}}",
            "\"join\" must be \"proved\", \"never\" or \"always\", not \"no\"");
    refused("{\"batching\":{\"split\":false}}", "\"split\" must be a string");
}

static void inputs_and_tables_are_found_by_name(void **state) {
    (void)state;
    must("{\"inputs\":{\"u\":{\"batch\":\"user\"},\"i\":{\"batch\":\"item\"},"
         "\"h\":{\"batch\":\"item\",\"offsets\":\"h_offsets\"},\"\\u0061\\n\":{}},"
         "\"tables\":{\"a\":{\"missing\":\"error\"},\"b\":{\"missing\":\"default\"},\"c\":{}}}");
    assert_int_equal(config.input_count, 4);
    assert_true(norn_package_input_find(&config, "u")->user);
    assert_false(norn_package_input_find(&config, "i")->user);
    assert_null(norn_package_input_find(&config, "i")->offsets);
    assert_string_equal(norn_package_input_find(&config, "h")->offsets, "h_offsets");
    assert_false(norn_package_input_find(&config, "a\n")->user);
    assert_null(norn_package_input_find(&config, "x"));
    assert_int_equal(config.table_count, 3);
    assert_string_equal(config.tables[0].name, "a");
    assert_true(config.tables[0].missing_is_error);
    assert_false(config.tables[1].missing_is_error);
    assert_false(config.tables[2].missing_is_error);
    refused("{\"inputs\":{\"u\":{\"batch\":\"users\"}}}",
            "\"batch\" must be \"item\" or \"user\", not \"users\"");
    refused("{\"inputs\":{\"u\":{\"offsets\":7}}}", "\"offsets\" must be a string");
    refused("{\"inputs\":[]}", "\"inputs\" must be an object");
    refused("{\"inputs\":{\"u\":\"user\"}}", "\"u\" must be an object");
    refused("{\"tables\":{\"a\":{\"missing\":\"zero\"}}}", "\"missing\" must be");
}

static void shapes_keep_their_list_their_order_and_up_to_eight_dims(void **state) {
    (void)state;
    must("{\"profile\":{\"min\":{\"x\":[1,0]},\"opt\":{\"x\":[64,26],\"y\":[]},"
         "\"max\":{\"y\":[1,2,3,4,5,6,7,2147483647]}}}");
    assert_int_equal(config.min_shapes.count, 1);
    assert_int_equal(config.min_shapes.at[0].rank, 2);
    assert_true(config.min_shapes.at[0].dims[0] == 1 && config.min_shapes.at[0].dims[1] == 0);
    assert_int_equal(config.opt_shapes.count, 2);
    assert_string_equal(config.opt_shapes.at[0].name, "x");
    assert_true(config.opt_shapes.at[0].dims[0] == 64 && config.opt_shapes.at[0].dims[1] == 26);
    assert_int_equal(config.opt_shapes.at[1].rank, 0);
    assert_int_equal(config.max_shapes.count, 1);
    assert_string_equal(config.max_shapes.at[0].name, "y");
    assert_int_equal(config.max_shapes.at[0].rank, 8);
    assert_true(config.max_shapes.at[0].dims[7] == INT32_MAX);
    refused("{\"profile\":{\"max\":{\"y\":[1,2,3,4,5,6,7,8,9]}}}",
            "\"y\" must be a list of at most 8 dimensions");
    refused("{\"profile\":{\"max\":{\"y\":[-1]}}}", "\"y\" must be a whole number from 0 to");
    refused("{\"profile\":{\"max\":{\"y\":[2147483648]}}}",
            "\"y\" must be a whole number from 0 to");
    refused("{\"profile\":{\"max\":{\"y\":8}}}", "\"y\" must be a list of dimensions");
    refused("{\"profile\":{\"max\":[8]}}", "\"max\" must be an object");
}

static void what_is_not_known_is_refused_where_it_stands(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{\"input\":{}}", "unknown key \"input\"; did you mean \"inputs\"; `norn check --keys`"},
        {"{\"profile\":{\"batch\":1}}", "unknown key \"profile.batch\"; `norn check"},
        {"{\"batching\":{\"maxbatch\":1}}",
         "unknown key \"batching.maxbatch\"; did you mean \"max_batch\"; "},
        {"{\"inputs\":{\"u\":{\"kind\":\"user\"}}}",
         "unknown key \"inputs.NAME.kind\"; `norn check"},
        {"{\"tables\":{\"u\":{\"rows\":1}}}", "unknown key \"tables.NAME.rows\"; `norn check"},
        {"[]", "\"the configuration\" must be an object"},
        {"{\"warmup\":true", "byte 14"},
        {"{} {}", "byte 3"},
        {"\xff\xfe{", "its byte order mark says UTF-16"},
        {"\xff\xfe", "its byte order mark says UTF-16"},
        {"\xfe\xff", "its byte order mark says UTF-16"},
        {"\xfe\xff{", "its byte order mark says UTF-16"},
        {"\xff", "byte 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused(cases[i].text, cases[i].part);
    must("\xef\xbb\xbf{\"threads\":3}");
    assert_int_equal(config.threads, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(every_number_is_taken_from_its_least_to_its_most),
        cmocka_unit_test(every_word_says_what_it_says),
        cmocka_unit_test(inputs_and_tables_are_found_by_name),
        cmocka_unit_test(shapes_keep_their_list_their_order_and_up_to_eight_dims),
        cmocka_unit_test(what_is_not_known_is_refused_where_it_stands),
    };
    norn_device_offer(&norn_cpu_kind);
    norn_device_offer(&(norn_device_kind){.name = "cuda", .open = norn_cpu_open});
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    norn_arena_deinit(&arena);
    return failed;
}
