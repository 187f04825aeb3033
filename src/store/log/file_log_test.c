#include "base/clock.h"
#include "base/cmocka_all.h"
#include "store/log/file_log.h"
#include "store/log/log_writer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

enum { DIM = 4, ROOM = 2 * NORN_LOG_FRAME_STORED_MAX };

static char folder[64];
static _Alignas(8) char room[ROOM];
static const norn_table_form forms[] = {
    {.name = "item", .dtype = NORN_F32, .dense = true, .dim = DIM, .row_bytes = 16, .rows = 100},
    {.name = "user", .dtype = NORN_F32, .dim = DIM, .row_bytes = 16},
};

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/norn-log-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *path_in(const char *name) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static norn_delta_log *open_log(uint32_t partitions) {
    norn_delta_log *log;
    OK(norn_file_log_create(folder, partitions, norn_alloc_heap()));
    OK(norn_delta_log_open(folder, norn_alloc_heap(), &log));
    assert_int_equal(log->partitions, partitions);
    return log;
}

static norn_log_writer *open_writer(norn_delta_log *log) {
    const norn_log_writer_options options = {"m", 1, forms, 2};
    norn_log_writer *writer;
    OK(norn_log_writer_create(log, &options, norn_alloc_heap(), &writer));
    return writer;
}

/// A step of `count` rows of table "user", keys `first` and on.
static norn_status write_step(norn_log_writer *writer, int64_t first, uint32_t count,
                              uint64_t *step) {
    int64_t *keys = calloc(count, sizeof *keys);
    float *rows = calloc(count * (size_t)DIM, sizeof *rows);
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = first + i;
        for (int d = 0; d < DIM; d++) rows[i * DIM + (uint32_t)d] = (float)(first + i) + (float)d;
    }
    norn_status status = norn_log_writer_put(writer, 1, keys, rows, count);
    if (status == NORN_OK) status = norn_log_writer_seal(writer, step);
    free(keys);
    free(rows);
    return status;
}

/// All frames of a partition from `from` on, checked as a chain; how many there were.
static size_t count_frames(norn_delta_log *log, uint32_t partition, uint64_t from,
                           norn_log_frame *last) {
    norn_log_frame frame;
    size_t frames = 0, got, stored;
    uint32_t chain = 0;
    for (;;) {
        OK(log->ops->read(log, partition, from, room, ROOM, &got));
        if (got == 0) return frames;
        for (size_t at = 0; at < got; at += stored) {
            OK(norn_log_frame_read(norn_span_of(room + at, got - at), &frame, &stored));
            assert_int_equal(frame.header.sequence, from++);
            assert_int_equal(frame.header.partition, partition);
            if (frames++ > 0) assert_int_equal(frame.header.previous_crc, chain);
            chain = frame.header.header_crc;
            if (last) *last = frame;
        }
    }
}

static void test_what_is_written_is_read(void **state) {
    norn_delta_log *log = open_log(1), *reader = open_log(1);
    norn_log_writer *writer = open_writer(log);
    norn_log_frame frame;
    uint64_t step;
    size_t got, stored;
    const int64_t before_ns = norn_clock_wall_ns();
    (void)state;
    OK(write_step(writer, 7, 3, &step));
    assert_int_equal(step, 1);
    OK(write_step(writer, 100, 1, &step));
    assert_int_equal(step, 2);
    // open, rows, seal, rows, seal
    assert_int_equal(count_frames(reader, 0, 1, NULL), 5);
    OK(reader->ops->read(reader, 0, 2, room, ROOM, &got));
    OK(norn_log_frame_read(norn_span_of(room, got), &frame, &stored));
    assert_int_equal(frame.header.kind, NORN_LOG_FRAME_ROWS);
    assert_int_equal(frame.header.epoch, 1);
    assert_int_equal(frame.header.step, 1);
    assert_int_equal(frame.header.base, 1);
    assert_int_equal(frame.header.table, 1);
    assert_int_equal(frame.header.count, 3);
    assert_int_equal(frame.header.row_bytes, 16);
    assert_true(frame.header.published_ns >= before_ns);
    assert_int_equal(norn_log_frame_keys(&frame)[2], 9);
    float cell;
    memcpy(&cell, norn_log_frame_rows(&frame) + 2 * 16 + 3 * 4, sizeof cell);
    assert_true(cell == 12.0f);
    const norn_cut cut = norn_log_writer_cut(writer);
    assert_int_equal(cut.step, 2);
    assert_int_equal(cut.positions[0].sequence, 5);
    assert_int_equal(cut.positions[0].epoch, 1);
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
}

static void test_keys_have_their_partition(void **state) {
    norn_delta_log *log = open_log(3), *reader = open_log(3);
    norn_log_writer *writer = open_writer(log);
    norn_log_frame frame;
    uint64_t step;
    uint32_t keys = 0;
    size_t got, stored;
    (void)state;
    OK(write_step(writer, 0, 300, &step));
    for (uint32_t p = 0; p < 3; p++) {
        assert_int_equal(count_frames(reader, p, 1, &frame), 3);
        assert_int_equal(frame.header.kind, NORN_LOG_FRAME_SEAL);
        for (uint32_t q = 0; q < 3; q++)
            assert_int_equal(norn_log_frame_seal_sequence(&frame, q), 3);
        OK(reader->ops->read(reader, p, 2, room, ROOM, &got));
        OK(norn_log_frame_read(norn_span_of(room, got), &frame, &stored));
        for (uint32_t i = 0; i < frame.header.count; i++)
            assert_int_equal(norn_log_partition_of(norn_log_frame_keys(&frame)[i], 3), p);
        assert_true(frame.header.count > 70);
        keys += frame.header.count;
    }
    assert_int_equal(keys, 300);
    // The number that docs/delta-log.md's rule gives; other programs partition by it.
    assert_int_equal(norn_log_partition_of(42, 1000), 902);
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
}

/// More rows than a frame takes, and more frames than a segment.
static void test_frames_and_segments_are_bounded(void **state) {
    enum { ROWS = 3100000 };
    norn_delta_log *log = open_log(1), *reader = open_log(1);
    norn_log_writer *writer = open_writer(log);
    norn_log_frame frame;
    uint64_t step;
    char name[64];
    (void)state;
    for (int i = 0; i < 3; i++) OK(write_step(writer, 0, ROWS / 2, &step));
    const size_t frames = count_frames(reader, 0, 1, &frame);
    assert_int_equal(frame.header.kind, NORN_LOG_FRAME_SEAL);
    assert_int_equal(frame.header.step, 3);
    assert_int_equal(frames, 1 + 3 * ((ROWS / 2 + 38399) / 38400 + 1)); // 921600 / 24 rows a frame
    snprintf(name, sizeof name, "00000/%020d.ndl", (int)(1 + 2 * 42 + 1));
    assert_int_equal(access(path_in(name), F_OK), 0);
    // From the middle, and after segments are gone.
    assert_int_equal(count_frames(reader, 0, 60, NULL), frames - 59);
    OK(log->ops->trim(log, 0, 87));
    norn_delta_log *late = open_log(1);
    size_t got;
    assert_int_equal(late->ops->read(late, 0, 3, room, ROOM, &got), NORN_OUT_OF_RANGE);
    assert_non_null(strstr(norn_message(), "trimmed"));
    assert_true(count_frames(late, 0, 86, NULL) > 0);
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
    norn_delta_log_close(late);
}

static void cut_file(const char *path, off_t bytes) {
    assert_int_equal(truncate(path, bytes), 0);
}

/// Whatever is left of the last frame, readers see those before it, and a writer goes on behind them.
static void test_torn_at_every_byte(void **state) {
    char segment[160], copy[160], command[400];
    struct stat before, after;
    uint64_t step;
    (void)state;
    strcpy(segment, path_in("00000/00000000000000000001.ndl"));
    strcpy(copy, path_in("copy"));
    norn_delta_log *log = open_log(1);
    norn_log_writer *writer = open_writer(log);
    OK(write_step(writer, 7, 2, &step));
    assert_int_equal(stat(segment, &before), 0);
    OK(write_step(writer, 8, 1, &step));
    assert_int_equal(stat(segment, &after), 0);
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    snprintf(command, sizeof command, "cp %s %s", segment, copy);
    assert_int_equal(system(command), 0);
    const off_t rows_end = before.st_size + 96 + 24;
    for (off_t bytes = before.st_size; bytes < after.st_size; bytes++) {
        snprintf(command, sizeof command, "cat %s > %s", copy, segment);
        if (bytes % 16 == 0 || bytes > after.st_size - 9) {
            assert_int_equal(system(command), 0);
            cut_file(segment, bytes);
            norn_delta_log *reader = open_log(1);
            const size_t whole = bytes < rows_end ? 3 : 4;
            assert_int_equal(count_frames(reader, 0, 1, NULL), whole);
            log = open_log(1);
            writer = open_writer(log);
            OK(write_step(writer, 9, 1, &step));
            assert_int_equal(step, 2); // step 2 had no seal
            norn_log_frame frame;
            assert_int_equal(count_frames(reader, 0, 1, &frame), whole + 3);
            assert_int_equal(frame.header.step, 2);
            norn_log_writer_destroy(writer);
            norn_delta_log_close(log);
            norn_delta_log_close(reader);
        }
    }
}

static void flip(const char *name, long at) {
    FILE *file = fopen(path_in(name), "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    fclose(file);
}

/// A bad byte with whole frames behind it is no torn tail: nobody cuts them away, and readers say so.
static void test_damage_in_the_middle(void **state) {
    norn_log_writer *writer;
    const norn_log_writer_options options = {"m", 1, forms, 2};
    uint64_t step;
    size_t got;
    (void)state;
    norn_delta_log *log = open_log(1), *reader = open_log(1);
    writer = open_writer(log);
    for (int i = 0; i < 3; i++) OK(write_step(writer, 1, 1, &step));
    norn_log_writer_destroy(writer);
    struct stat before, after;
    assert_int_equal(stat(path_in("00000/00000000000000000001.ndl"), &before), 0);
    flip("00000/00000000000000000001.ndl", 400);
    assert_int_equal(norn_log_writer_create(log, &options, norn_alloc_heap(), &writer),
                     NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "with whole frames behind it"));
    assert_int_equal(stat(path_in("00000/00000000000000000001.ndl"), &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    norn_status status = NORN_OK;
    const int64_t begin_ns = norn_clock_now_ns();
    uint64_t from = 1;
    while (status == NORN_OK && norn_clock_now_ns() - begin_ns < INT64_C(10000000000)) {
        status = reader->ops->read(reader, 0, from, room, ROOM, &got);
        if (status == NORN_OK && got > 0) {
            norn_log_frame frame;
            size_t stored;
            for (size_t at = 0; at < got; at += stored, from++)
                OK(norn_log_frame_read(norn_span_of(room + at, got - at), &frame, &stored));
        }
        usleep(10000);
    }
    assert_int_equal(status, NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "is damaged at byte"));
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
}

static void copy_segment_end(const char *name, long from) {
    char command[300];
    snprintf(command, sizeof command, "tail -c +%ld %s/00000/00000000000000000001.ndl > %s/%s",
             from + 1, folder, folder, name);
    assert_int_equal(system(command), 0);
}

/// The last segment may have no seal, or nothing: what it does not say, the one before it says.
static void test_the_end_over_segments(void **state) {
    char name[64];
    norn_log_frame frame;
    uint64_t step;
    (void)state;
    for (int what = 0; what < 2; what++) {
        norn_delta_log *log = open_log(1);
        norn_log_writer *writer = open_writer(log);
        for (int i = 0; i < 2; i++) OK(write_step(writer, 1, 1, &step));
        const uint64_t last = norn_log_writer_cut(writer).positions[0].sequence;
        norn_log_writer_destroy(writer);
        norn_delta_log_close(log);
        // Into a segment of its own: a frame of rows without its seal, or nothing yet.
        struct stat facts;
        assert_int_equal(stat(path_in("00000/00000000000000000001.ndl"), &facts), 0);
        const long seal = 96 + 8, rows = 96 + 24, cut = facts.st_size - seal - rows;
        snprintf(name, sizeof name, "00000/%020llu.ndl", (unsigned long long)last - 1);
        copy_segment_end(name, cut);
        cut_file(path_in("00000/00000000000000000001.ndl"), cut);
        cut_file(path_in(name), what == 0 ? rows : 0);
        log = open_log(1);
        if (what == 1) {
            OK(log->ops->trim(log, 0, last - 1)); // the empty one is not all that is left
            assert_int_equal(access(path_in("00000/00000000000000000001.ndl"), F_OK), 0);
        }
        writer = open_writer(log);
        OK(write_step(writer, 9, 1, &step));
        assert_int_equal(step, 2);
        norn_delta_log *reader = open_log(1);
        (void)count_frames(reader, 0, 1, &frame);
        assert_int_equal(frame.header.step, 2);
        assert_int_equal(frame.header.epoch, 2);
        norn_log_writer_destroy(writer);
        norn_delta_log_close(log);
        norn_delta_log_close(reader);
        char command[160];
        snprintf(command, sizeof command, "rm -r %s/*", folder);
        assert_int_equal(system(command), 0);
    }
}

static void test_an_older_writer_is_refused(void **state) {
    norn_delta_log *first = open_log(1), *second = open_log(1), *reader = open_log(1);
    norn_log_writer *old = open_writer(first);
    uint64_t step;
    (void)state;
    OK(write_step(old, 1, 1, &step));
    norn_log_writer *new = open_writer(second);
    assert_int_equal(write_step(old, 2, 1, &step), NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "epoch 2 has taken over"));
    OK(write_step(new, 3, 1, &step));
    assert_int_equal(step, 2);
    assert_int_equal(write_step(old, 2, 1, &step), NORN_FAILED_PRECONDITION);
    assert_int_equal(count_frames(reader, 0, 1, NULL), 6);
    norn_log_writer_destroy(old);
    norn_log_writer_destroy(new);
    norn_delta_log_close(first);
    norn_delta_log_close(second);
    norn_delta_log_close(reader);
}

static void test_a_full_disk(void **state) {
    norn_delta_log *log = open_log(1), *reader = open_log(1);
    norn_log_writer *writer = open_writer(log);
    struct rlimit limit, small;
    uint64_t step;
    (void)state;
    OK(write_step(writer, 1, 1, &step));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = (struct rlimit){4096, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const norn_status status = write_step(writer, 5, 1000, &step);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
    assert_int_equal(count_frames(reader, 0, 1, NULL), 3);
    assert_int_equal(write_step(writer, 5, 1, &step), NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "seal it again"));
    norn_log_writer_abort(writer); // changes nothing
    OK(norn_log_writer_seal(writer, &step));
    assert_int_equal(step, 2);
    assert_int_equal(count_frames(reader, 0, 1, NULL), 5);
    OK(write_step(writer, 5, 1, &step));
    assert_int_equal(count_frames(reader, 0, 1, NULL), 7);
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
}

static void test_what_cannot_be_put(void **state) {
    norn_delta_log *log = open_log(1), *reader = open_log(1);
    norn_log_writer *writer = open_writer(log);
    const int64_t keys[] = {99, 100};
    const float rows[8] = {1};
    uint64_t step;
    (void)state;
    OK(norn_log_writer_put(writer, 0, keys, rows, 1));
    assert_int_equal(norn_log_writer_put(writer, 0, keys, rows, 2), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "'item': key 100 is outside its 100 rows"));
    assert_int_equal(norn_log_writer_put(writer, 0, (int64_t[]){-1}, rows, 1),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_log_writer_put(writer, 0, keys, NULL, 1), NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_log_writer_put(writer, 2, keys, rows, 1), NORN_INVALID_ARGUMENT);
    const norn_view text = {.dtype = NORN_STRING, .rank = 1, .dims = {1}};
    assert_int_equal(norn_log_writer_put_dense(writer, "w", &text), NORN_INVALID_ARGUMENT);
    norn_log_writer_abort(writer);
    OK(norn_log_writer_seal(writer, &step)); // a step of nothing
    assert_int_equal(count_frames(reader, 0, 1, NULL), 2);
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
}

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(path_in(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_what_is_no_log(void **state) {
    norn_delta_log *log;
    (void)state;
    assert_int_equal(norn_delta_log_open(folder, norn_alloc_heap(), &log), NORN_NOT_FOUND);
    assert_int_equal(norn_delta_log_open("ftp:there", norn_alloc_heap(), &log),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_file_log_create(folder, 0, norn_alloc_heap()), NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_file_log_create(folder, NORN_LOG_PARTITIONS_MAX + 1, norn_alloc_heap()),
                     NORN_INVALID_ARGUMENT);
    OK(norn_file_log_create(folder, 2, norn_alloc_heap()));
    OK(norn_file_log_create(folder, 2, norn_alloc_heap()));
    assert_int_equal(norn_file_log_create(folder, 3, norn_alloc_heap()), NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "2 partitions, not 3"));
    const char *const bad[] = {"{}", "{\"format\": \"norn-log-1\"}",
                               "{\"format\": \"norn-log-1\", \"partitions\": 0}",
                               "{\"format\": \"norn-log-1\", \"partitions\": 1025}",
                               "{\"format\": \"norn-log-2\", \"partitions\": 1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text("LOG.json", bad[i]);
        assert_int_equal(norn_delta_log_open(folder, norn_alloc_heap(), &log), NORN_DATA_LOSS);
    }
    write_text("LOG.json",
               "{\"partitions\": 1, \"format\": \"norn-log-1\", \"note\": {\"a\": [1]}}");
    OK(norn_delta_log_open(folder, norn_alloc_heap(), &log));
    norn_delta_log_close(log);
}

/// A reader that stands after what is there: another log was put in its place.
static void test_a_log_that_ends_before(void **state) {
    norn_delta_log *log = open_log(1), *reader = open_log(1);
    norn_log_writer *writer = open_writer(log);
    uint64_t step;
    size_t got;
    (void)state;
    OK(write_step(writer, 1, 1, &step));
    OK(reader->ops->read(reader, 0, 4, room, ROOM, &got));
    assert_int_equal(got, 0);
    assert_int_equal(reader->ops->read(reader, 0, 5, room, ROOM, &got), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "ends at sequence 3, before 4"));
    norn_log_writer_destroy(writer);
    norn_delta_log_close(log);
    norn_delta_log_close(reader);
}

/// The reader is woken while it waits, and its waits end.
static void test_waits(void **state) {
    norn_delta_log *log = open_log(1);
    (void)state;
    int64_t begin_ns = norn_clock_now_ns();
    log->ops->wait(log, begin_ns + 3000000);
    assert_true(norn_clock_now_ns() - begin_ns >= 3000000);
    log->ops->wake(log);
    log->ops->wait(log, INT64_MAX);
    norn_delta_log_close(log);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_written_is_read),
        TEST(test_keys_have_their_partition),
        TEST(test_frames_and_segments_are_bounded),
        TEST(test_torn_at_every_byte),
        TEST(test_damage_in_the_middle),
        TEST(test_the_end_over_segments),
        TEST(test_an_older_writer_is_refused),
        TEST(test_a_full_disk),
        TEST(test_what_cannot_be_put),
        TEST(test_what_is_no_log),
        TEST(test_a_log_that_ends_before),
        TEST(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
