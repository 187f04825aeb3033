#include "package/package_ready.h"

#include "testing/memory_sweep.h"
#include "testing/package_build.h"

static norn_package *open_model(const char *op, uint64_t dtype, const float *k,
                                const char *config) {
    const norn_package_options options = {0};
    norn_package *package;
    build_one_node(build_path("m/1/model.onnx"), op, dtype, k);
    build_text(build_path("m/1/norn.json"), config);
    const norn_status status =
        norn_package_open(build_path("m/1"), &options, norn_alloc_heap(), &package);
    if (status != NORN_OK) print_error("%s\n", norn_message());
    assert_int_equal(status, NORN_OK);
    return package;
}

static norn_status start(norn_package *package, norn_session **session, char warning[512]) {
    const norn_serving_defaults defaults = {.instances = 2, .threads = 1};
    norn_serving serving;
    NORN_TRY(norn_package_serving(package, &defaults, &serving));
    return norn_package_start(package, &serving, session, warning);
}

static void a_model_that_runs_is_ready(void **state) {
    (void)state;
    const float two = 2;
    norn_session *session;
    char warning[512];
    norn_package *package = open_model("Mul", BUILD_F32, &two, "{}");
    assert_int_equal(start(package, &session, warning), NORN_OK);
    assert_string_equal(warning, "");
    norn_session_destroy(session);
    norn_package_close(package);
}

static void strings_make_no_model_ready(void **state) {
    (void)state;
    norn_session *session;
    char warning[512];
    norn_package *package = open_model("Identity", BUILD_STRING, NULL, "{}");
    assert_int_equal(start(package, &session, warning), NORN_UNIMPLEMENTED);
    assert_null(session);
    assert_non_null(strstr(norn_message(), "input 'x' is of strings"));
    norn_package_close(package);
}

static void more_instances_than_can_be_are_refused(void **state) {
    (void)state;
    const float two = 2;
    norn_session *session;
    char warning[512];
    norn_package *package = open_model("Mul", BUILD_F32, &two, "{\"max_memory_mb\": 1}");
    norn_serving serving;
    assert_int_equal(norn_package_serving(package, &(norn_serving_defaults){0}, &serving), NORN_OK);
    assert_int_equal(serving.max_memory_bytes, 1 << 20);
    serving.instances = 5000;
    assert_int_equal(norn_package_start(package, &serving, &session, warning),
                     NORN_INVALID_ARGUMENT);
    assert_null(session);
    norn_package_close(package);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_runs_is_ready),
        cmocka_unit_test(strings_make_no_model_ready),
        cmocka_unit_test(more_instances_than_can_be_are_refused),
    };
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
