#include "serve/repository/index.h"

#include "serve/servable_echo.h"
#include "testing/memory_sweep.h"

static echo_servable two, five;

/// Models "a" (LOADING) and "m" (5 and 2 live, 6 failed) and "z" (failed).
static norn_status make(norn_alloc alloc, norn_index **out) {
    const norn_index_version loading[] = {
        {.version = -1, .state = NORN_MODEL_LOADING, .reason = ""}};
    const norn_index_version live[] = {
        {.version = 5, .state = NORN_MODEL_READY, .reason = "", .servable = &five.servable},
        {.version = 2, .state = NORN_MODEL_READY, .reason = "old", .servable = &two.servable},
        {.version = 6, .state = NORN_MODEL_UNAVAILABLE, .reason = "is damaged", .failed = true}};
    const norn_index_version failed[] = {
        {.version = 1, .state = NORN_MODEL_UNAVAILABLE, .reason = "no file", .failed = true}};
    const norn_label labels[] = {{"stable", 5}, {"previous", 2}, {"next", 6}};
    norn_status status = norn_index_create(3, alloc, out);
    if (status == NORN_OK)
        status = norn_index_add(
            *out, &(norn_index_model){.name = "a", .versions = loading, .version_count = 1});
    if (status == NORN_OK)
        status = norn_index_add(*out, &(norn_index_model){.name = "m",
                                                          .load_failures = 4,
                                                          .versions = live,
                                                          .version_count = 3,
                                                          .labels = labels,
                                                          .label_count = 3});
    if (status == NORN_OK)
        status = norn_index_add(
            *out, &(norn_index_model){.name = "z", .versions = failed, .version_count = 1});
    if (status == NORN_OK) return NORN_OK;
    norn_index_destroy(*out);
    *out = NULL;
    return status;
}

static int set_up(void **state) {
    (void)state;
    echo_init(&two, "m", 2);
    echo_init(&five, "m", 5);
    return 0;
}

static void choose(const norn_index *index, const char *name, const char *version,
                   norn_status wanted, const norn_servable *chosen, const char *words) {
    norn_servable *out;
    const norn_index_model *model = norn_index_find(index, name);
    assert_non_null(model);
    assert_string_equal(model->name, name);
    assert_int_equal(norn_index_choose(model, version, &out), wanted);
    assert_ptr_equal(out, chosen);
    if (words) assert_string_equal(norn_message(), words);
}

static void requests_get_the_first_version_or_the_one_they_name(void **state) {
    norn_index *index;
    (void)state;
    assert_int_equal(make(norn_alloc_heap(), &index), NORN_OK);
    choose(index, "m", "", NORN_OK, &five.servable, NULL);
    choose(index, "m", "5", NORN_OK, &five.servable, NULL);
    choose(index, "m", "2", NORN_OK, &two.servable, NULL);
    choose(index, "m", "6", NORN_UNAVAILABLE, NULL, "model 'm' is not loaded: is damaged");
    choose(index, "m", "3", NORN_NOT_FOUND, NULL,
           "model 'm': version 3 is not loaded, version 5 is");
    choose(index, "m", "stable", NORN_OK, &five.servable, NULL);
    choose(index, "m", "previous", NORN_OK, &two.servable, NULL);
    choose(index, "m", "next", NORN_UNAVAILABLE, NULL, "model 'm' is not loaded: is damaged");
    choose(index, "m", "nex", NORN_NOT_FOUND, NULL,
           "model 'm' has no label 'nex'; it has stable, previous, next");
    choose(index, "z", "stable", NORN_INVALID_ARGUMENT, NULL,
           "version 'stable' is not a whole number, and model 'z' has no labels.json");
    choose(index, "a", "", NORN_UNAVAILABLE, NULL, "model 'a' is still loading");
    choose(index, "a", "1", NORN_UNAVAILABLE, NULL, "model 'a' is still loading");
    choose(index, "z", "", NORN_UNAVAILABLE, NULL, "model 'z' is not loaded: no file");
    choose(index, "z", "1", NORN_UNAVAILABLE, NULL, "model 'z' is not loaded: no file");
    assert_null(norn_index_find(index, "b"));
    assert_null(norn_index_find(index, ""));
    assert_null(norn_index_find(index, "zz"));
    norn_index_destroy(index);
}

static void it_holds_its_servables_and_copies_its_text(void **state) {
    norn_index *index;
    (void)state;
    assert_int_equal(make(norn_alloc_heap(), &index), NORN_OK);
    assert_int_equal(two.servable.references, 2);
    assert_int_equal(index->count, 3);
    assert_string_equal(index->models[1].versions[1].reason, "old");
    assert_int_equal(index->models[1].load_failures, 4);
    norn_servable_release(&two.servable);
    assert_int_equal(two.released, 0);
    norn_index_destroy(index);
    assert_int_equal(two.released, 1);
    assert_int_equal(five.released, 0);
    norn_index_destroy(NULL);
}

static void without_memory_there_is_no_index_and_nothing_is_held(void **state) {
    norn_index *index;
    (void)state;
    NORN_MEMORY_SWEEP(make(alloc, &index), index, norn_index_destroy(index));
    assert_int_equal(two.servable.references, 1);
    assert_int_equal(five.servable.references, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(requests_get_the_first_version_or_the_one_they_name, set_up),
        cmocka_unit_test_setup(it_holds_its_servables_and_copies_its_text, set_up),
        cmocka_unit_test_setup(without_memory_there_is_no_index_and_nothing_is_held, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
