#include "store/log/log_check.h"

#include "base/cmocka_all.h"
#include "store/log/file_log.h"
#include "store/log/log_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

enum { PARTITIONS = 2, STEPS = 3 };

static char folder[64];
static norn_position cut_at[PARTITIONS]; ///< after the first step
static const norn_table_form form = {
    .name = "user", .dtype = NORN_F32, .dim = 2, .row_bytes = 8, .rows = 10};

static norn_log_writer *open_writer(norn_delta_log *log) {
    const norn_log_writer_options options = {"m", 1, &form, 1};
    norn_log_writer *writer;
    OK(norn_log_writer_create(log, &options, norn_alloc_heap(), &writer));
    return writer;
}

/// A log of three steps by two writers.
static int make_log(void **state) {
    const float rows[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    norn_delta_log *log;
    uint64_t step;
    (void)state;
    strcpy(folder, "/tmp/norn-check-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    OK(norn_file_log_create(folder, PARTITIONS, norn_alloc_heap()));
    OK(norn_file_log_open(folder, norn_alloc_heap(), &log));
    norn_log_writer *writer = open_writer(log);
    for (int64_t s = 1; s <= STEPS; s++) {
        OK(norn_log_writer_put(writer, 0, (int64_t[]){-3, 4, 5, 60 + s}, rows, 4));
        OK(norn_log_writer_seal(writer, &step));
        assert_int_equal(step, s);
        if (s > 1) continue;
        memcpy(cut_at, norn_log_writer_cut(writer).positions, sizeof cut_at);
        norn_log_writer_destroy(writer);
        writer = open_writer(log);
    }
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    return 0;
}

static int remove_log(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *segment(uint32_t partition) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%05u/%020d.ndl", folder, partition, 1);
    return path;
}

static void change(uint32_t partition, off_t at) {
    char byte;
    const int fd = open(segment(partition), O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static norn_status check(const norn_cut *cut, norn_log_facts *facts) {
    return norn_log_check(folder, cut, NULL, norn_alloc_heap(), facts);
}

static void expect_wrong(const norn_cut *cut, norn_status status, const char *words) {
    norn_log_facts facts;
    assert_int_equal(check(cut, &facts), status);
    if (!strstr(norn_message(), words))
        fail_msg("'%s' says nothing of '%s'", norn_message(), words);
}

static void test_what_is_in_it_is_counted(void **state) {
    norn_log_facts facts;
    struct stat stats;
    uint64_t bytes = 0;
    (void)state;
    OK(check(&(norn_cut){1, PARTITIONS, cut_at}, &facts));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(stat(segment(p), &stats), 0);
        bytes += (uint64_t)stats.st_size;
    }
    assert_int_equal(facts.bytes, bytes);
    assert_int_equal(facts.segments, PARTITIONS);
    assert_int_equal(facts.epoch, 2);
    assert_int_equal(facts.base, 1);
    assert_int_equal(facts.steps, STEPS);
    assert_int_equal(facts.first_step, 1);
    assert_int_equal(facts.step, STEPS);
    assert_int_equal(facts.rows, 4 * STEPS);
    assert_int_equal(facts.open_frames, 0);
    assert_int_equal(facts.torn_bytes, 0);
    assert_true(facts.published_ns > 0);
}

static void test_any_changed_byte_but_padding_is_found(void **state) {
    norn_log_facts facts;
    struct stat stats;
    (void)state;
    assert_int_equal(stat(segment(0), &stats), 0);
    // The last frame may be torn, which is no damage; payloads here are multiples of 8: no padding,
    // but for the opening text.
    for (off_t at = 96 * 3; at < stats.st_size - 200; at += 11) {
        change(0, at);
        assert_int_equal(check(NULL, &facts), NORN_DATA_LOSS);
        assert_non_null(strstr(norn_message(), "00000/00000000000000000001.ndl"));
        change(0, at);
    }
    OK(check(NULL, &facts));
}

static void test_a_torn_tail_is_no_damage_and_its_step_not_whole(void **state) {
    norn_log_facts facts;
    struct stat stats;
    (void)state;
    assert_int_equal(stat(segment(1), &stats), 0);
    assert_int_equal(truncate(segment(1), stats.st_size - 8), 0);
    OK(check(NULL, &facts));
    assert_int_equal(facts.step, STEPS - 1);
    assert_int_equal(facts.steps, STEPS - 1);
    assert_true(facts.torn_bytes > 0);
}

static void test_a_step_that_one_partition_lacks_in_the_middle(void **state) {
    norn_delta_log *log;
    uint64_t step;
    (void)state;
    // Partition 1 put back to before the second writer, and another writer on top: it seals step 2
    // in both, where partition 0 has a step 2 and 3 already.
    struct stat stats;
    assert_int_equal(stat(segment(1), &stats), 0);
    assert_int_equal(truncate(segment(1), stats.st_size / 2), 0);
    OK(norn_file_log_open(folder, norn_alloc_heap(), &log));
    norn_log_writer *writer = open_writer(log); // voids what partition 0 has alone
    OK(norn_log_writer_put(writer, 0, (int64_t[]){4}, NULL, 1));
    OK(norn_log_writer_seal(writer, &step));
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_log_facts facts;
    OK(check(NULL, &facts));
    assert_int_equal(facts.step, step);
    assert_int_equal(facts.steps, step);
}

static void test_a_cut_of_elsewhere_is_refused(void **state) {
    norn_position at[PARTITIONS];
    const norn_cut cut = {1, PARTITIONS, at};
    (void)state;
    memcpy(at, cut_at, sizeof at);
    at[1].chain ^= 1;
    expect_wrong(&cut, NORN_DATA_LOSS, "another log");
    memcpy(at, cut_at, sizeof at);
    at[0].sequence = 1000;
    expect_wrong(&cut, NORN_DATA_LOSS, "ends at sequence");
    expect_wrong(&(norn_cut){1, 1, at}, NORN_DATA_LOSS, "2 partitions");
    assert_int_equal(unlink(segment(1)), 0);
    memcpy(at, cut_at, sizeof at);
    expect_wrong(&cut, NORN_DATA_LOSS, "ends at sequence 0");
}

int main(void) {
#define CASE(test) cmocka_unit_test_setup_teardown(test, make_log, remove_log)
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_in_it_is_counted),
        CASE(test_any_changed_byte_but_padding_is_found),
        CASE(test_a_torn_tail_is_no_damage_and_its_step_not_whole),
        CASE(test_a_step_that_one_partition_lacks_in_the_middle),
        CASE(test_a_cut_of_elsewhere_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
