#include "package/package_open.h"

#include "package/package_ready.h"
#include "plan/plan.h"
#include "testing/memory_sweep.h"
#include "testing/package_build.h"

static const norn_package_options no_options = {0};

static norn_package *open_good(const char *path, const norn_package_options *options) {
    norn_package *package;
    const norn_status status = norn_package_open(path, options, norn_alloc_heap(), &package);
    if (status != NORN_OK) print_error("%s\n", norn_message());
    assert_int_equal(status, NORN_OK);
    return package;
}

static void assert_refused(const char *path, const char *word) {
    norn_package *package;
    assert_int_not_equal(norn_package_open(path, &no_options, norn_alloc_heap(), &package),
                         NORN_OK);
    assert_null(package);
    assert_non_null(strstr(norn_message(), word));
}

static void a_folder_a_model_and_a_plan_are_opened_alike(void **state) {
    (void)state;
    build_scale(build_path("three/1/model.onnx"), 3);
    norn_package *folder = open_good(build_path("three/1"), &no_options);
    assert_true(folder->compiled);
    assert_int_equal(norn_plan_save(folder->plan, build_path("three/p.norn")), NORN_OK);
    norn_package *model = open_good(build_path("three/1/model.onnx"), &no_options);
    norn_package *plan = open_good(build_path("three/p.norn"), &no_options);
    assert_true(model->compiled);
    assert_false(plan->compiled);
    char path[NORN_PACKAGE_PATH];
    assert_true(norn_package_plan_path(build_path("three/p.norn"), path));
    assert_string_equal(path, build_path("three/p.norn"));
    assert_false(norn_package_plan_path(build_path("three/1"), path));
    norn_package *all[] = {folder, model, plan};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(norn_plan_input_count(all[i]->plan), 1);
        assert_string_equal(norn_plan_input(all[i]->plan, 0)->name, "x");
        assert_null(all[i]->store);
        assert_int_equal(all[i]->note_count, 0);
        norn_package_close(all[i]);
    }
    norn_package_close(NULL);
}

static void command_line_then_norn_json_then_defaults(void **state) {
    (void)state;
    const norn_compile_options said = {.max_batch = 5};
    const norn_package_options defaults = {.max_batch = 7},
                               both = {.compile = &said, .max_batch = 7};
    build_scale(build_path("order/1/model.onnx"), 1);
    norn_package *package = open_good(build_path("order/1"), &defaults);
    assert_int_equal(norn_plan_max_batch(package->plan), 7);
    norn_package_close(package);
    build_text(build_path("order/1/norn.json"), "{\"profile\": {\"max_batch\": 6}}");
    package = open_good(build_path("order/1"), &defaults);
    assert_int_equal(norn_plan_max_batch(package->plan), 6);
    norn_package_close(package);
    package = open_good(build_path("order/1"), &both);
    assert_int_equal(norn_plan_max_batch(package->plan), 5);
    norn_package_close(package);
}

static void what_a_plan_has_settled_is_noted_and_what_it_has_not_holds(void **state) {
    (void)state;
    const norn_package_options options = {.device = "cuda:3", .max_batch = 9};
    const norn_serving_defaults defaults = {.instances = 4, .queue_limit = 11};
    build_scale(build_path("settled/model.onnx"), 1);
    norn_package *package = open_good(build_path("settled/model.onnx"), &no_options);
    assert_int_equal(norn_plan_save(package->plan, build_path("settled/1/model.norn")), NORN_OK);
    norn_package_close(package);
    package = open_good(build_path("settled/1"), &options);
    assert_int_equal(package->note_count, 2);
    assert_non_null(strstr(package->notes[0], "--device \"cuda:3\""));
    assert_non_null(strstr(package->notes[1], "--max-batch 9"));
    norn_package_close(package);
    build_text(build_path("settled/1/norn.json"),
               "{\"precision\": \"tf32\", \"profile\": {\"max_batch\": 1024, \"opt\": {\"x\": [3, "
               "2]}}, \"instances\": 2, \"batching\": {\"max_delay_us\": 50}}");
    package = open_good(build_path("settled/1"), &no_options);
    assert_int_equal(package->note_count, 2); // 1024 is what the plan has
    assert_non_null(strstr(package->notes[0], "\"precision\" \"tf32\""));
    assert_non_null(strstr(package->notes[1], "\"profile\""));
    norn_serving serving;
    assert_int_equal(norn_package_serving(package, &defaults, &serving), NORN_OK);
    assert_int_equal(serving.instances, 2);
    assert_int_equal(serving.batch_delay_us, 50);
    assert_int_equal(serving.queue_limit, 11);
    assert_int_equal(serving.max_rows, 1024);
    assert_true(serving.warm_up);
    norn_package_close(package);
}

static void what_norn_json_names_must_be_there(void **state) {
    (void)state;
    build_scale(build_path("names/1/model.onnx"), 1);
    build_text(build_path("names/1/norn.json"), "{\"inputs\": {\"z\": {\"batch\": \"user\"}}}");
    assert_refused(build_path("names/1"), "no input 'z'");
    build_text(build_path("names/1/norn.json"), "{\"tables\": {\"t\": {\"missing\": \"error\"}}}");
    assert_refused(build_path("names/1"), "no table 't'");
    build_text(build_path("names/1/norn.json"), "\xff\xfe{");
    assert_refused(build_path("names/1"), "UTF-16");
    build_text(build_path("names/1/norn.json"), "\xef\xbb\xbf{\"warmup\": 3}");
    assert_refused(build_path("names/1"), "\"warmup\"");
    build_text(build_path("names/1/norn.json"), "\xef\xbb\xbf{\"warmup\": false}");
    norn_package_close(open_good(build_path("names/1"), &no_options));
    assert_refused(build_path("names/none"), "none");
}

static void running_out_of_memory_leaks_nothing(void **state) {
    (void)state;
    norn_package *package;
    build_scale(build_path("sweep/1/model.onnx"), 1);
    build_text(build_path("sweep/1/norn.json"), "{\"inputs\": {\"x\": {\"batch\": \"user\"}}}");
    NORN_MEMORY_SWEEP(norn_package_open(build_path("sweep/1"), &no_options, alloc, &package),
                      package, norn_package_close(package));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_a_model_and_a_plan_are_opened_alike),
        cmocka_unit_test(command_line_then_norn_json_then_defaults),
        cmocka_unit_test(what_a_plan_has_settled_is_noted_and_what_it_has_not_holds),
        cmocka_unit_test(what_norn_json_names_must_be_there),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
