#include "base/nearest.h"

#include "base/cmocka_all.h"

#include <string.h>

static const char *const names[] = {"batching",  "instances",
                                    NULL,        "max_batch",
                                    "max_queue", "a_name_that_is_as_long_as_it_may_and_longer"};
#define COUNT (sizeof names / sizeof *names)

static void a_slip_of_the_pen_is_near(void **state) {
    (void)state;
    assert_string_equal(norn_nearest("baching", names, COUNT), "batching");   // left out
    assert_string_equal(norn_nearest("batchinge", names, COUNT), "batching"); // added
    assert_string_equal(norn_nearest("betching", names, COUNT), "batching");  // changed
    assert_string_equal(norn_nearest("maxbatch", names, COUNT), "max_batch");
    assert_string_equal(norn_nearest("max_queue", names, COUNT), "max_queue");
}

static void another_word_is_not(void **state) {
    (void)state;
    assert_null(norn_nearest("warmup", names, COUNT));
    assert_null(norn_nearest("", names + 2, 1)); // NULL is no name
    assert_null(norn_nearest("batching", names, 0));
}

static void one_change_and_one_for_three_letters(void **state) {
    (void)state;
    static const char *const words[] = {"abcdef"};
    assert_non_null(norn_nearest("abcxyz", words, 1)); // 3 of 6
    assert_null(norn_nearest("abwxyz", words, 1));     // 4
    assert_non_null(norn_nearest("abcde", words, 1));
    static const char *const twins[] = {"cat", "bat"};
    assert_ptr_equal(norn_nearest("rat", twins, 2), twins[0]); // the first of equals
}

static void long_words_are_near_themselves_alone(void **state) {
    (void)state;
    assert_string_equal(norn_nearest(names[5], names, COUNT), names[5]);
    assert_null(norn_nearest("a_name_that_is_as_long_as_it_may_and_longe", names, COUNT));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_of_the_pen_is_near),
        cmocka_unit_test(another_word_is_not),
        cmocka_unit_test(one_change_and_one_for_three_letters),
        cmocka_unit_test(long_words_are_near_themselves_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
