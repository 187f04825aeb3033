#include "base/cmocka_all.h"
#include "base/status.h"

#include <pthread.h>
#include <string.h>

static void a_failure_keeps_its_status_and_its_text(void **state) {
    (void)state;
    assert_int_equal(norn_fail(NORN_NOT_FOUND, "file '%s' row %d", "a.npy", 7), NORN_NOT_FOUND);
    assert_string_equal(norn_message(), "file 'a.npy' row 7");
}

static void a_note_stands_before_the_message(void **state) {
    (void)state;
    (void)norn_fail(NORN_DATA_LOSS, "truncated");
    norn_note("loading plan '%s'", "x");
    norn_note("serving");
    assert_string_equal(norn_message(), "serving: loading plan 'x': truncated");
}

static void a_message_may_quote_the_message_before_it(void **state) {
    (void)state;
    (void)norn_fail(NORN_DATA_LOSS, "inner");
    (void)norn_fail(NORN_DATA_LOSS, "outer (%s)", norn_message());
    assert_string_equal(norn_message(), "outer (inner)");
}

static void long_text_is_cut_with_an_ellipsis_between_characters(void **state) {
    (void)state;
    char text[4001];
    for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa9", 2); // é
    text[4000] = 0;
    for (int shift = 0; shift < 2; shift++) {
        (void)norn_fail(NORN_INTERNAL, "%s%s", shift ? "x" : "", text);
        const char *message = norn_message();
        size_t count = strlen(message);
        assert_in_range(count, 1000, 1023);
        assert_string_equal(message + count - 3, "\xe2\x80\xa6");
        assert_int_equal((count - 3 - (size_t)shift) % 2, 0);
    }
    norn_note("%s", text);
    size_t count = strlen(norn_message());
    assert_in_range(count, 1000, 1023);
    assert_string_equal(norn_message() + count - 3, "\xe2\x80\xa6");
}

static void *fail_elsewhere(void *argument) {
    (void)norn_fail(NORN_INTERNAL, "elsewhere");
    *(int *)argument = strcmp(norn_message(), "elsewhere") == 0;
    return NULL;
}

static void each_thread_has_its_own_message(void **state) {
    (void)state;
    (void)norn_fail(NORN_INTERNAL, "here");
    pthread_t thread;
    int seen = 0;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen);
    assert_string_equal(norn_message(), "here");
}

static void a_status_has_its_grpc_name(void **state) {
    (void)state;
    assert_string_equal(norn_status_name(NORN_OK), "OK");
    assert_string_equal(norn_status_name(NORN_DATA_LOSS), "DATA_LOSS");
    assert_string_equal(norn_status_name((norn_status)16), "UNKNOWN");
    assert_string_equal(norn_status_name((norn_status)-1), "UNKNOWN");
}

static void a_count_and_its_noun_agree(void **state) {
    (void)state;
    for (unsigned count = 0; count < 3; count++) {
        static const char *const wanted[] = {"0 steps are late", "1 step is late",
                                             "2 steps are late"};
        assert_int_equal(
            norn_fail(NORN_INTERNAL, "%u step%s late", count, norn_number(count, " is", "s are")),
            NORN_INTERNAL);
        assert_string_equal(norn_message(), wanted[count]);
    }
    norn_set_message("%d key%s, %d row%s", 1, norn_plural(1), -1, norn_plural(-1));
    assert_string_equal(norn_message(), "1 key, -1 rows");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_and_its_noun_agree),
        cmocka_unit_test(a_failure_keeps_its_status_and_its_text),
        cmocka_unit_test(a_note_stands_before_the_message),
        cmocka_unit_test(a_message_may_quote_the_message_before_it),
        cmocka_unit_test(long_text_is_cut_with_an_ellipsis_between_characters),
        cmocka_unit_test(each_thread_has_its_own_message),
        cmocka_unit_test(a_status_has_its_grpc_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
