/// The table of norn.json's keys: what the parser and the documents rely on.
#include "compile/settings.h"

#include "base/cmocka_all.h"
#include "compile/package.h"

#include <string.h>

static const norn_setting *find(norn_setting_scope scope, const char *key) {
    const char *near;
    return norn_setting_find(scope, key, &near);
}

static void every_key_is_found_in_its_scope_alone(void **state) {
    (void)state;
    size_t count;
    const norn_setting *all = norn_settings(&count);
    assert_true(count >= 25);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(find(all[i].scope, all[i].key), &all[i]); // no key twice
        assert_true(*all[i].meaning && *all[i].absent);
        if (*all[i].words) assert_int_equal(all[i].words[strlen(all[i].words) - 1], '|');
    }
    assert_null(find(NORN_SETTINGS_TOP, "max_batch"));
    assert_ptr_not_equal(find(NORN_SETTINGS_PROFILE, "max_batch"),
                         find(NORN_SETTINGS_BATCHING, "max_batch"));
}

static void the_nearest_is_of_the_same_scope(void **state) {
    (void)state;
    const char *near = "";
    assert_null(norn_setting_find(NORN_SETTINGS_BATCHING, "max_bacth", &near));
    assert_string_equal(near, "max_batch");
    assert_null(norn_setting_find(NORN_SETTINGS_INPUT, "max_bacth", &near));
    assert_null(near);
    near = "";
    assert_non_null(norn_setting_find(NORN_SETTINGS_TOP, "device", &near));
    assert_null(near);
}

static void fields_and_prefixes_are_of_the_scope(void **state) {
    (void)state;
    assert_int_equal(find(NORN_SETTINGS_TABLE, "missing")->offset,
                     offsetof(norn_package_table, missing_is_error));
    assert_int_equal(find(NORN_SETTINGS_INPUT, "offsets")->offset,
                     offsetof(norn_package_input, offsets));
    assert_int_equal(find(NORN_SETTINGS_BATCHING, "max_queue")->offset,
                     offsetof(norn_package_config, queue_limit));
    assert_string_equal(norn_setting_prefix(NORN_SETTINGS_TOP), "");
    assert_string_equal(norn_setting_prefix(NORN_SETTINGS_INPUT), "inputs.NAME.");
    assert_string_equal(norn_setting_prefix(NORN_SETTINGS_TABLE), "tables.NAME.");
    assert_string_equal(norn_setting_prefix(NORN_SETTINGS_PROFILE), "profile.");
    assert_string_equal(norn_setting_prefix(NORN_SETTINGS_BATCHING), "batching.");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_found_in_its_scope_alone),
        cmocka_unit_test(the_nearest_is_of_the_same_scope),
        cmocka_unit_test(fields_and_prefixes_are_of_the_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
