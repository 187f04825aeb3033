#include "serve/repository/labels.h"

#include "testing/package_build.h"

static norn_labels labels;

static norn_status read(const char *text) {
    build_text(build_path("labels/labels.json"), text);
    return norn_labels_read(build_path("labels"), norn_alloc_heap(), &labels);
}

static void labels_are_names_for_versions(void **state) {
    (void)state;
    assert_int_equal(norn_labels_read(build_path("nowhere"), norn_alloc_heap(), &labels), NORN_OK);
    assert_int_equal(labels.count, 0);
    assert_int_equal(read("{}"), NORN_OK);
    assert_int_equal(labels.count, 0);
    assert_int_equal(read("{\"stable\": 0, \"v-1_x.Y\": 9223372036854775807}\n"), NORN_OK);
    assert_int_equal(labels.count, 2);
    assert_int_equal(norn_labels_find(labels.at, labels.count, "stable"), 0);
    assert_int_equal(norn_labels_find(labels.at, labels.count, "v-1_x.Y"), INT64_MAX);
    assert_int_equal(norn_labels_find(labels.at, labels.count, "v-1_x"), -1);
}

static void what_is_no_such_list_is_refused_by_name(void **state) {
    static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "JSON"},
        {"[1]", "it is not an object"},
        {"{\"stable\": 1} 2", "JSON"},
        {"{\"stable\": 1.5}", "label 'stable' stands for a version"},
        {"{\"stable\": -1}", "label 'stable' stands for a version"},
        {"{\"stable\": \"1\"}", "label 'stable' stands for a version"},
        {"{\"stable\": [1]}", "label 'stable' stands for a version"},
        {"{\"stable\": 9223372036854775808}", "label 'stable' stands for a version"},
        {"{\"stable\": 1, \"stable\": 2}", "label 'stable' is there twice"},
        {"{\"1\": 1}", "label '1': a label is a letter"},
        {"{\"\": 1}", "label '': a label is a letter"},
        {"{\"a/b\": 1}", "label 'a/b': a label is a letter"},
        {"{\"a\\u0062\": 1}", "a label is a letter"},
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read(cases[i].text), NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), "labels.json"));
        if (strcmp(cases[i].said, "JSON") != 0)
            assert_non_null(strstr(norn_message(), cases[i].said));
    }
    (void)snprintf(text, sizeof text, "{\"%s\": 1}", longest);
    assert_int_equal(read(text), NORN_OK);
    (void)snprintf(text, sizeof text, "{\"%sx\": 1}", longest);
    assert_int_equal(read(text), NORN_INVALID_ARGUMENT);
}

static void a_model_has_sixteen_at_most(void **state) {
    char text[512] = "{";
    (void)state;
    for (int count = 1; count <= NORN_LABELS_MAX + 1; count++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used - (count > 1), sizeof text - used, "%s\"l%d\": %d}",
                       count > 1 ? ", " : "", count, count);
        assert_int_equal(read(text), count <= NORN_LABELS_MAX ? NORN_OK : NORN_INVALID_ARGUMENT);
    }
    assert_non_null(strstr(norn_message(), "label 'l17': a model has at most 16"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_names_for_versions),
        cmocka_unit_test(what_is_no_such_list_is_refused_by_name),
        cmocka_unit_test(a_model_has_sixteen_at_most),
    };
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
