/// Disks that are full, fail or lie under the RocksDB tier: what it says, that it stays as it was,
/// and how it comes back.
#include "base/clock.h"
#include "base/hash.h"
#include "testing/io_faults.h"
#include "testing/rocksdb_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct subject {
    char path[128];
    norn_tier *tier;
    norn_version *version;
} subject;

static void reopen(subject *s) {
    uint64_t step;
    OK(norn_rocksdb_tier_open(s->path, &rocksdb_small, norn_alloc_heap(), &s->tier));
    OK(s->tier->ops->found(s->tier, 0, &s->version, &step));
}

static int open_subject(void **state) {
    subject *s = calloc(1, sizeof *s);
    *state = s;
    strcpy(s->path, rocksdb_new_path());
    OK(norn_rocksdb_tier_open(s->path, &rocksdb_small, norn_alloc_heap(), &s->tier));
    OK(s->tier->ops->load(s->tier, 1, norn_tier_version_dir(1), &s->version));
    return 0;
}
static int close_subject(void **state) {
    subject *s = *state;
    io_faults_fail(0);
    norn_tier_close(s->tier);
    free(s);
    return 0;
}

static norn_status step_once(subject *s, uint64_t step) {
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        OK(norn_tier_write(s->tier, s->version, step, t, (int64_t[]){1, 4}, 2, false));
    const norn_status status = norn_tier_commit(s->tier, s->version, step);
    if (status != NORN_OK) s->tier->ops->abort(s->tier, s->version);
    return status;
}

static void expect_step(subject *s, uint64_t step) {
    norn_pin pin;
    OK(s->tier->ops->pin(s->tier, s->version, &pin));
    assert_int_equal(pin.step, step);
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        norn_tier_expect(s->tier, &pin, t, 1, step);
        norn_tier_expect(s->tier, &pin, t, 4, step);
        norn_tier_expect(s->tier, &pin, t, 7, 0);
    }
    s->tier->ops->unpin(s->tier, &pin);
}

// ---- full and failing

static void a_commit_is_on_the_disk_when_it_is_done(void **state) {
    subject *s = *state;
    const long before = io_faults_syncs();
    OK(step_once(s, 1));
    assert_true(io_faults_syncs() > before);
}

static void a_full_disk_refuses_a_step_until_there_is_room(void **state) {
    subject *s = *state;
    OK(step_once(s, 1));
    io_faults_fail(ENOSPC);
    assert_int_equal(step_once(s, 2), NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), s->path));
    assert_non_null(strstr(norn_message(), "make room"));
    expect_step(s, 1);
    assert_int_not_equal(step_once(s, 2), NORN_OK);
    expect_step(s, 1);
    io_faults_fail(0);
    const int64_t until = norn_clock_now_ns() + INT64_C(60000000000);
    norn_status status;
    while ((status = step_once(s, 2)) != NORN_OK && norn_clock_now_ns() < until) usleep(100000);
    OK(status);
    expect_step(s, 2);
    norn_tier_close(s->tier);
    reopen(s);
    expect_step(s, 2);
}

static void a_failing_disk_refuses_steps_until_the_tier_is_opened_again(void **state) {
    subject *s = *state;
    OK(step_once(s, 1));
    io_faults_fail(EIO);
    assert_int_equal(step_once(s, 2), NORN_UNAVAILABLE);
    assert_non_null(strstr(norn_message(), "open the tier again"));
    expect_step(s, 1);
    io_faults_fail(0);
    norn_tier_close(s->tier);
    reopen(s);
    const uint64_t step = s->tier->ops->cut(s->tier, s->version).step;
    assert_true(step == 1 || step == 2); // it was not told, and either is whole
    expect_step(s, step);
    OK(step_once(s, step + 1));
    expect_step(s, step + 1);
}

static void a_full_disk_does_not_open(void **state) {
    subject *s = *state;
    norn_tier *tier;
    char path[128];
    OK(step_once(s, 1));
    norn_tier_close(s->tier);
    io_faults_fail(ENOSPC);
    assert_int_equal(norn_rocksdb_tier_open(s->path, &rocksdb_small, norn_alloc_heap(), &tier),
                     NORN_RESOURCE_EXHAUSTED);
    assert_null(tier);
    strcpy(path, rocksdb_new_path());
    assert_int_not_equal(norn_rocksdb_tier_open(path, &rocksdb_small, norn_alloc_heap(), &tier),
                         NORN_OK);
    io_faults_fail(0);
    OK(norn_rocksdb_tier_open(path, &rocksdb_small, norn_alloc_heap(), &tier));
    norn_tier_close(tier);
    reopen(s);
    expect_step(s, 1);
}

static int files_in(const char *path) {
    int count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void a_load_onto_a_full_disk_leaves_nothing(void **state) {
    subject *s = *state;
    norn_version *version = s->version;
    char dir[160], loading[160];
    strcpy(dir, norn_tier_version_dir(2));
    snprintf(loading, sizeof loading, "%s/loading", s->path);
    io_faults_fail(ENOSPC);
    assert_int_equal(s->tier->ops->load(s->tier, 2, dir, &version), NORN_RESOURCE_EXHAUSTED);
    assert_null(version);
    io_faults_fail(0);
    assert_int_equal(files_in(loading), 0);
    expect_step(s, 0);
    OK(step_once(s, 1));
    OK(s->tier->ops->load(s->tier, 2, dir, &version));
    assert_int_equal(files_in(loading), 0);
    expect_step(s, 1);
}

static void a_drop_that_cannot_be_written_is_one_until_the_next_open(void **state) {
    subject *s = *state;
    norn_version *version;
    uint64_t step;
    io_faults_fail(EIO);
    s->tier->ops->drop(s->tier, s->version);
    assert_int_equal(s->tier->ops->found(s->tier, 0, &version, &step), NORN_NOT_FOUND);
    norn_tier_close(s->tier);
    io_faults_fail(0);
    reopen(s);
    expect_step(s, 0);
}

// ---- damage

typedef void (*file_fn)(const char *path, void *context);

/// Files of the database whose name ends so.
static void each_file(const subject *s, const char *end, file_fn fn, void *context) {
    char path[512];
    snprintf(path, sizeof path, "%s/db", s->path);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        const size_t count = strlen(entry->d_name), tail = strlen(end);
        if (count < tail || strcmp(entry->d_name + count - tail, end) != 0) continue;
        snprintf(path, sizeof path, "%s/db/%s", s->path, entry->d_name);
        fn(path, context);
    }
    closedir(folder);
}

static void flip_at(const char *path, long at) {
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 0x10, file);
    assert_int_equal(fclose(file), 0);
}

static void flip_a_row(const char *path, void *context) {
    flip_at(path, 100);
    ++*(int *)context;
}

/// State of a row, or the error of its fetch.
static norn_status fetch_one(const subject *s, uint32_t table, int64_t key, uint8_t *state,
                             float *row) {
    const norn_row_key asked = {key, table};
    uint64_t at = 0, step;
    norn_pin pin;
    OK(s->tier->ops->pin(s->tier, s->version, &pin));
    norn_fetch fetch = {.pin = &pin,
                        .keys = &asked,
                        .count = 1,
                        .rows = (char *)row,
                        .row_at = &at,
                        .step = &step,
                        .state = state,
                        .deadline_ns = INT64_MAX};
    const norn_status status = norn_tier_fetch_and_wait(s->tier, &fetch);
    s->tier->ops->unpin(s->tier, &pin);
    return status;
}

static void damaged_rows_fail_their_fetch_and_no_other(void **state) {
    subject *s = *state;
    float row[TIER_WIDEST];
    uint8_t row_state;
    int damaged = 0, failed = 0, found = 0;
    norn_version *version;
    norn_tier_close(s->tier);
    each_file(s, ".sst", flip_a_row, &damaged);
    assert_true(damaged > 2);
    reopen(s);
    for (int64_t key = 0; key < TIER_DENSE_ROWS; key++) {
        const norn_status status = fetch_one(s, TIER_DENSE, key, &row_state, row);
        if (status == NORN_OK) {
            assert_int_equal(row_state, NORN_ROW_FOUND);
            assert_true(row[0] == norn_tier_cell(1, 0, key));
            found++;
        } else {
            assert_int_equal(status, NORN_DATA_LOSS);
            failed++;
        }
    }
    assert_true(failed > 0);
    assert_int_equal(found + failed, TIER_DENSE_ROWS);
    OK(s->tier->ops->load(s->tier, 2, norn_tier_version_dir(2), &version)); // the way out
    s->tier->ops->drop(s->tier, s->version);
    s->version = version;
    OK(fetch_one(s, TIER_DENSE, 0, &row_state, row));
    assert_true(row[0] == norn_tier_cell(2, 0, 0));
}

static void note_path(const char *path, void *context) {
    strcpy(context, path);
}

/// The log of what is not in sorted files yet, cut where a power loss may cut it.
static void a_log_that_is_cut_anywhere_ends_at_a_whole_step(void **state) {
    enum { STEPS = 6, CUTS = 60 };
    subject *s = *state;
    char whole[160], command[512], log[512];
    struct stat facts;
    uint64_t last = 0;
    for (uint64_t step = 1; step <= STEPS; step++) OK(step_once(s, step));
    snprintf(whole, sizeof whole, "%s-whole", s->path);
    snprintf(command, sizeof command, "cp -r %s %s", s->path, whole);
    assert_int_equal(system(command), 0);
    for (int cut = 0; cut <= CUTS; cut++) {
        norn_tier_close(s->tier);
        snprintf(command, sizeof command, "rm -r %s && cp -r %s %s", s->path, whole, s->path);
        assert_int_equal(system(command), 0);
        each_file(s, ".log", note_path, log);
        if (cut == 0) {
            // It is longer than what was written: the system was asked to keep room for it.
            assert_int_equal(stat(log, &facts), 0);
            assert_true(facts.st_size > STEPS * TIER_WIDEST);
        }
        assert_int_equal(truncate(log, facts.st_size * cut / CUTS), 0);
        uint64_t step = 0;
        if (norn_rocksdb_tier_open(s->path, &rocksdb_small, norn_alloc_heap(), &s->tier) !=
            NORN_OK) {
            assert_int_equal(last, 0); // before the tier had said what it is
            s->tier = NULL;
            continue;
        }
        if (s->tier->ops->found(s->tier, 0, &s->version, &step) != NORN_OK) {
            assert_int_equal(last, 0); // before the version was ready
            continue;
        }
        expect_step(s, step);
        assert_true(step >= last && step <= STEPS);
        assert_int_equal(s->tier->ops->cut(s->tier, s->version).step, step);
        last = step;
    }
    assert_int_equal(last, STEPS);
}

/// Rows of some step, or an error.
static void expect_truth(subject *s, uint64_t steps) {
    norn_version *version;
    uint64_t step;
    if (s->tier->ops->found(s->tier, 0, &version, &step) != NORN_OK) return;
    assert_true(version->number == 1 && step <= steps);
    s->version = version;
    for (uint32_t t = 0; t < version->table_count && t < TIER_TABLES; t++)
        for (int64_t key = 0; key < 40; key++) {
            float row[TIER_WIDEST];
            uint8_t row_state;
            if (fetch_one(s, t, key, &row_state, row) != NORN_OK) continue;
            const bool stepped = step && (key == 1 || key == 4);
            assert_true(row_state != NORN_ROW_FOUND ||
                        row[0] == norn_tier_cell(1, stepped ? step : 0, key));
        }
}

static void a_flipped_byte_is_an_error_or_harmless(void **state) {
    enum { STEPS = 3, ROUNDS = 60 };
    static const char *const kinds[] = {".log", ".sst", "CURRENT", ""};
    subject *s = *state;
    char whole[160], command[512], file[512];
    struct stat facts;
    norn_random random;
    const char *seed = getenv("NORN_SEED");
    const uint64_t used = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("NORN_SEED=%llu\n", (unsigned long long)used);
    norn_random_init(&random, used);
    for (uint64_t step = 1; step <= STEPS; step++) OK(step_once(s, step));
    norn_tier_close(s->tier);
    snprintf(whole, sizeof whole, "%s-whole", s->path);
    snprintf(command, sizeof command, "cp -r %s %s", s->path, whole);
    assert_int_equal(system(command), 0);
    for (int round = 0; round < ROUNDS; round++) {
        snprintf(command, sizeof command, "rm -r %s && cp -r %s %s", s->path, whole, s->path);
        assert_int_equal(system(command), 0);
        each_file(s, kinds[norn_random_u64(&random) % 4], note_path,
                  file); // the last that is listed
        assert_int_equal(stat(file, &facts), 0);
        if (facts.st_size > 0)
            flip_at(file, (long)(norn_random_u64(&random) % (uint64_t)facts.st_size));
        if (norn_rocksdb_tier_open(s->path, &rocksdb_small, norn_alloc_heap(), &s->tier) !=
            NORN_OK) {
            assert_non_null(strstr(norn_message(), s->path));
            continue;
        }
        expect_truth(s, STEPS);
        norn_tier_close(s->tier);
    }
    OK(norn_rocksdb_tier_open(rocksdb_new_path(), &rocksdb_small, norn_alloc_heap(), &s->tier));
}

int main(void) {
#define CASE(test) cmocka_unit_test_setup_teardown(test, open_subject, close_subject)
    const struct CMUnitTest tests[] = {
        CASE(a_commit_is_on_the_disk_when_it_is_done),
        CASE(a_full_disk_refuses_a_step_until_there_is_room),
        CASE(a_failing_disk_refuses_steps_until_the_tier_is_opened_again),
        CASE(a_full_disk_does_not_open),
        CASE(a_load_onto_a_full_disk_leaves_nothing),
        CASE(a_drop_that_cannot_be_written_is_one_until_the_next_open),
        CASE(damaged_rows_fail_their_fetch_and_no_other),
        CASE(a_log_that_is_cut_anywhere_ends_at_a_whole_step),
        CASE(a_flipped_byte_is_an_error_or_harmless),
    };
    if (!rocksdb_is_there()) return 0;
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
