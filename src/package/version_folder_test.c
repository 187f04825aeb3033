#include "package/version_folder.h"

#include "testing/memory_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/norn_versions_XXXXXX";

static void in_folder(const char *name, char path[128]) {
    snprintf(path, 128, "%s/%s", folder, name);
}

static void make(const char *name) {
    char path[128];
    in_folder(name, path);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void remove_one(const char *name) {
    char path[128];
    in_folder(name, path);
    if (rmdir(path) != 0) assert_int_equal(unlink(path), 0);
}

static void versions_are_digits_that_fit(void **state) {
    (void)state;
    static const char *const wrong[] = {"",    "-1", "+1", " 1", "1 ",
                                        "1.0", "0x", "v1", "1/", "9223372036854775808"};
    int64_t version;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(norn_version_parse(wrong[i], &version));
    assert_true(norn_version_parse("0", &version) && version == 0);
    assert_true(norn_version_parse("007", &version) && version == 7);
    assert_true(norn_version_parse("9223372036854775807", &version) && version == INT64_MAX);
}

static void folders_come_newest_first_and_nothing_else_does(void **state) {
    (void)state;
    static const char *const names[] = {"2", "10", "0", "1", "tmp", ".3", "99999999999999999999"};
    norn_version_folder *found;
    size_t count;
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) make(names[i]);
    in_folder("11", path); // a file
    fclose(fopen(path, "w"));
    assert_int_equal(norn_version_folders(folder, norn_alloc_heap(), &found, &count), NORN_OK);
    assert_int_equal(count, 4);
    const int64_t wanted[] = {10, 2, 1, 0};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(found[i].version, wanted[i]);
        assert_string_equal(found[i].other, "");
        assert_false(found[i].ambiguous);
    }
    norn_free(norn_alloc_heap(), found);
    NORN_MEMORY_SWEEP(norn_version_folders(folder, alloc, &found, &count), found,
                      norn_free(alloc, found));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove_one(names[i]);
    remove_one("11");
}

static void one_number_has_one_folder_whatever_the_order(void **state) {
    (void)state;
    norn_version_folder *found;
    size_t count;
    make("001"), make("1"), make("01"), make("2"), make("03"), make("003"), make("04");
    assert_int_equal(norn_version_folders(folder, norn_alloc_heap(), &found, &count), NORN_OK);
    assert_int_equal(count, 4);
    assert_string_equal(found[0].name, "04"); // alone: it is version 4
    assert_false(found[0].ambiguous);
    assert_string_equal(found[1].name, "003");
    assert_string_equal(found[1].other, "03");
    assert_true(found[1].ambiguous);
    assert_string_equal(found[2].name, "2");
    assert_string_equal(found[3].name, "1");
    assert_string_equal(found[3].other, "001");
    assert_false(found[3].ambiguous);
    norn_free(norn_alloc_heap(), found);
    remove_one("001"), remove_one("1"), remove_one("01"), remove_one("2"), remove_one("03");
    remove_one("003"), remove_one("04");
}

static void a_folder_that_is_not_there_is_named(void **state) {
    (void)state;
    norn_version_folder *found;
    size_t count;
    assert_int_equal(norn_version_folders("/nowhere/x", norn_alloc_heap(), &found, &count),
                     NORN_NOT_FOUND);
    assert_non_null(strstr(norn_message(), "/nowhere/x"));
    assert_null(found);
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_digits_that_fit),
        cmocka_unit_test(folders_come_newest_first_and_nothing_else_does),
        cmocka_unit_test(one_number_has_one_folder_whatever_the_order),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
