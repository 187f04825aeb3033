#include "base/cmocka_all.h"
#include "base/log.h"

#include <fcntl.h>
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

static int lines_with(const char *words) {
    int lines = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) lines++;
    return lines;
}

static void log_through_the_writer(void) {
    assert_int_equal(norn_log_start(), NORN_OK);
    assert_int_equal(norn_log_start(), NORN_OK);
    log_from_threads();
    norn_log_stop(10000);
    norn_log(NORN_LOG_INFO, "after the writer");
}

static void the_writer_loses_nothing_while_it_is_read(void **state) {
    (void)state;
    norn_log_set_level(NORN_LOG_INFO);
    capture(log_through_the_writer);
    assert_int_equal(lines_with("Z info thread "), 800);
    assert_int_equal(lines_with("after the writer\n"), 1);
    assert_int_equal(lines_with("left out"), 0);
}

static void repeat_an_event(void) {
    for (int i = 0; i < 1000; i++) NORN_LOG_LIMITED(NORN_LOG_WARN, "event %d", i);
}

static void an_event_that_repeats_is_one_line_a_second(void **state) {
    (void)state;
    capture(repeat_an_event);
    assert_int_equal(lines_with("warn event 0\n"), 1);
    assert_in_range(lines_with("event"), 1, 3); // a slow machine may see a second go by
    usleep(1100000);
    capture(repeat_an_event);
    assert_non_null(strstr(text, "more like it)\n"));
}

/// Last: a log that was stopped while stuck stays silent.
static void a_pipe_that_nobody_reads_blocks_nobody(void **state) {
    int ends[2];
    const int kept = dup(STDERR_FILENO);
    char line[1000];
    size_t got = 0;
    (void)state;
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    assert_int_equal(norn_log_start(), NORN_OK);
    for (int i = 0; i < 1000; i++)
        norn_log(NORN_LOG_INFO, "%d %s", i, line); // 1 MB: pipe + ring are less
    // Read until the log says what it had to leave out.
    while (got < sizeof text - 1) {
        const ssize_t count = read(ends[0], text + got, sizeof text - 1 - got);
        assert_true(count > 0);
        got += (size_t)count;
        text[got] = '\0';
        if (strstr(text, "lines were left out: nobody read the log\n")) break;
    }
    assert_true(got < sizeof text - 1);
    assert_non_null(strstr(text, "info 0 xxx"));
    assert_null(strstr(text, "info 999 xxx"));
    for (int i = 0; i < 1000; i++) norn_log(NORN_LOG_INFO, "%d %s", i, line);
    norn_log_stop(50); // gives up
    norn_log(NORN_LOG_INFO, "to nobody");
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    close(ends[1]);
    while (read(ends[0], text, sizeof text) > 0) { // lets the writer go
    }
    close(ends[0]);
    dup2(kept, STDERR_FILENO);
    close(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_above_the_level_are_left_out),
        cmocka_unit_test(an_event_is_one_line_whatever_it_quotes),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(the_writer_loses_nothing_while_it_is_read),
        cmocka_unit_test(an_event_that_repeats_is_one_line_a_second),
        cmocka_unit_test(a_pipe_that_nobody_reads_blocks_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
