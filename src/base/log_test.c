#include "base/cmocka_all.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 20];

/// Runs `act` with stderr in a file; its text is in `text` after.
static void capture(void (*act)(void)) {
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    assert_non_null(file);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    act();
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
}

static void log_each_level(void) {
    for (int i = NORN_LOG_ERROR; i <= NORN_LOG_DEBUG; i++)
        norn_log((norn_log_level)i, "level %d", i);
}

static void events_above_the_level_are_left_out(void **state) {
    (void)state;
    norn_log_set_level(NORN_LOG_WARN);
    capture(log_each_level);
    assert_non_null(strstr(text, "Z error level 0\n"));
    assert_non_null(strstr(text, "Z warn level 1\n"));
    assert_null(strstr(text, "level 2"));
    norn_log_set_level(NORN_LOG_DEBUG);
    assert_int_equal(norn_log_get_level(), NORN_LOG_DEBUG);
    capture(log_each_level);
    assert_non_null(strstr(text, "Z debug level 3\n"));
    assert_int_equal(text[4], '-');
    assert_int_equal(text[10], 'T');
}

static void log_hostile(void) {
    char *large = malloc(5000);
    memset(large, 'x', 4999);
    large[4999] = '\0';
    norn_log(NORN_LOG_INFO, "model 'a\nb\x1b[31m' %s", large);
    free(large);
}

static void an_event_is_one_line_whatever_it_quotes(void **state) {
    (void)state;
    norn_log_set_level(NORN_LOG_INFO);
    capture(log_hostile);
    assert_non_null(strstr(text, "model 'a b [31m' xxx"));
    char *newline = strchr(text, '\n');
    assert_non_null(newline);
    assert_int_equal(newline[1], '\0');
    assert_in_range(newline - text, 2000, 2048);
}

static void *log_many(void *argument) {
    for (int i = 0; i < 200; i++)
        norn_log(NORN_LOG_INFO, "thread %s event", (const char *)argument);
    return NULL;
}

static void log_from_threads(void) {
    static char names[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, log_many, names[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    norn_log_set_level(NORN_LOG_INFO);
    capture(log_from_threads);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        char *tail = strstr(line, "Z info thread ");
        assert_non_null(tail);
        assert_string_equal(tail + strlen("Z info thread x"), " event");
    }
    assert_int_equal(lines, 800);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_above_the_level_are_left_out),
        cmocka_unit_test(an_event_is_one_line_whatever_it_quotes),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
