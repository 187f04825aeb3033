#include "base/file.h"
#include "base/file_writer.h"
#include "testing/memory_sweep.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/norn_file_XXXXXX";
static char path[64], missing[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/data", folder);
    snprintf(missing, sizeof missing, "%s/no/data", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); // fails if a temporary was left behind
}

static norn_status write_text(norn_alloc alloc, const char *text, norn_file_writer **writer) {
    NORN_TRY(norn_file_writer_open(path, alloc, writer));
    return norn_file_writer_append(*writer, text, strlen(text));
}

static void assert_content(const char *text) {
    norn_file *file;
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
    assert_true(norn_span_equal(norn_file_bytes(file), text));
    assert_string_equal(norn_file_path(file), path);
    norn_file_release(file);
}

static void a_written_file_reads_back_byte_for_byte(void **state) {
    (void)state;
    enum { COUNT = 1 << 20 };
    norn_file_writer *writer;
    norn_file *file;
    unsigned char *bytes = malloc(COUNT);
    assert_non_null(bytes);
    for (size_t i = 0; i < COUNT; i++) bytes[i] = (unsigned char)(i * 31 >> 3);
    assert_int_equal(norn_file_writer_open(path, norn_alloc_heap(), &writer), NORN_OK);
    // Small, buffer-sized and larger appends, with padding between.
    size_t sizes[] = {1, 262143, 262144, 0, 300000, 5}, at = 0, expect = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(norn_file_writer_append(writer, bytes + at, sizes[i]), NORN_OK);
        assert_int_equal(norn_file_writer_align(writer, 4096), NORN_OK);
        at += sizes[i];
        expect = (expect + sizes[i] + 4095) / 4096 * 4096;
        assert_int_equal(norn_file_writer_offset(writer), expect);
    }
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
    norn_span span = norn_file_bytes(file);
    assert_int_equal(span.count, expect);
    size_t from = 0, in_file = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_memory_equal(span.bytes + in_file, bytes + from, sizes[i]);
        from += sizes[i];
        size_t end = (in_file + sizes[i] + 4095) / 4096 * 4096;
        for (size_t j = in_file + sizes[i]; j < end; j++) assert_int_equal(span.bytes[j], 0);
        in_file = end;
    }
    norn_file_release(file);
    free(bytes);
}

static void an_aborted_write_leaves_the_old_file(void **state) {
    (void)state;
    norn_file_writer *writer;
    assert_int_equal(write_text(norn_alloc_heap(), "old", &writer), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    assert_int_equal(write_text(norn_alloc_heap(), "new and longer", &writer), NORN_OK);
    assert_content("old");
    norn_file_writer_abort(writer);
    assert_content("old");
    assert_int_equal(write_text(norn_alloc_heap(), "new", &writer), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    assert_content("new");
    norn_file_writer_abort(NULL);
}

static void a_new_file_has_the_mode_that_the_umask_leaves(void **state) {
    (void)state;
    norn_file_writer *writer;
    struct stat facts;
    mode_t old = umask(027);
    assert_int_equal(write_text(norn_alloc_heap(), "x", &writer), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    umask(old);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
}

static void an_empty_file_is_an_empty_span(void **state) {
    (void)state;
    norn_file_writer *writer;
    assert_int_equal(write_text(norn_alloc_heap(), "", &writer), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    assert_content("");
}

static void what_cannot_be_read_or_written_is_named(void **state) {
    (void)state;
    norn_file *file;
    norn_file_writer *writer;
    char fifo[64];
    assert_int_equal(norn_file_read(missing, norn_alloc_heap(), &file), NORN_NOT_FOUND);
    assert_null(file);
    assert_non_null(strstr(norn_message(), missing));
    assert_int_equal(norn_file_read(folder, norn_alloc_heap(), &file), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "folder"));
    assert_int_equal(norn_file_writer_open(missing, norn_alloc_heap(), &writer), NORN_NOT_FOUND);
    assert_null(writer);
    // A FIFO must not hang the open.
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(norn_file_read(fifo, norn_alloc_heap(), &file), NORN_INVALID_ARGUMENT);
    unlink(fifo);
    assert_true(norn_path_is_dir(folder));
    assert_false(norn_path_is_file(folder));
    assert_true(norn_path_is_file(path));
    assert_false(norn_path_is_dir(path));
    assert_false(norn_path_is_file(missing));
}

static void a_failed_commit_names_the_path_and_removes_its_temporary(void **state) {
    (void)state;

    norn_file_writer *writer;
    char inside[80];
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(inside, sizeof inside, "%s/x", path);
    assert_int_equal(close(open(inside, O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(write_text(norn_alloc_heap(), "x", &writer), NORN_OK);
    assert_int_not_equal(norn_file_writer_commit(writer), NORN_OK);
    assert_non_null(strstr(norn_message(), path));
    unlink(inside);
    assert_int_equal(rmdir(path), 0);
}

// ---- files that change

/// Bytes of the process's own memory, the pages of files apart.
static size_t own_bytes(void) {
    char line[256];
    size_t kb = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status)) (void)sscanf(line, "RssAnon: %zu", &kb);
    if (status) fclose(status);
    return kb * 1024;
}

enum { LARGE = 40 << 20 }; // read by several threads, into pages of its own

static void write_pattern(size_t count, unsigned char seed) {
    norn_file_writer *writer;
    unsigned char *bytes = malloc(count);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++) bytes[i] = (unsigned char)(i * 7 + (i >> 13) + seed);
    assert_int_equal(norn_file_writer_open(path, norn_alloc_heap(), &writer), NORN_OK);
    assert_int_equal(norn_file_writer_append(writer, bytes, count), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    free(bytes);
}

static void assert_pattern(norn_span bytes, size_t count, unsigned char seed) {
    size_t wrong = 0;
    assert_int_equal(bytes.count, count);
    for (size_t i = 0; i < count; i++)
        wrong += bytes.bytes[i] != (unsigned char)(i * 7 + (i >> 13) + seed);
    assert_int_equal(wrong, 0);
}

static void overwrite_in_place(size_t keep, size_t write_count) {
    char *zeros = calloc(write_count + 1, 1);
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && zeros != NULL);
    assert_int_equal(ftruncate(fd, (off_t)keep), 0);
    assert_int_equal(pwrite(fd, zeros, write_count, 0), write_count);
    close(fd);
    free(zeros);
}

static void what_becomes_of_a_file_does_not_change_what_was_read(void **state) {
    (void)state;
    const size_t sizes[] = {5000, (2 << 20) + 1, LARGE + 4097};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int way = 0; way < 5; way++) {
            norn_file *file;
            write_pattern(sizes[s], (unsigned char)s);
            assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
            assert_int_equal((uintptr_t)norn_file_bytes(file).bytes % NORN_HOST_ALIGN, 0);
            if (way == 0) overwrite_in_place(sizes[s], sizes[s]); // of the same size
            if (way == 1) overwrite_in_place(100, 100);           // shorter
            if (way == 2) overwrite_in_place(0, 0);
            if (way == 3) write_pattern(300, 9); // renamed over it
            if (way == 4) unlink(path);
            assert_pattern(norn_file_bytes(file), sizes[s], (unsigned char)s);
            norn_file_release(file);
        }
    }
}

static void a_retained_file_lives_until_its_last_release(void **state) {
    (void)state;
    norn_file *file;
    write_pattern(LARGE, 1);
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
    norn_file *same = norn_file_retain(file);
    norn_file_release(file);
    assert_pattern(norn_file_bytes(same), LARGE, 1);
    norn_file_release(same);
    norn_file_release(NULL);
}

static void the_head_of_a_file_is_read_and_the_rest_is_zeros(void **state) {
    (void)state;
    norn_file *file;
    write_pattern(LARGE, 3);
    assert_int_equal(norn_file_read_head(path, 4096, norn_alloc_heap(), &file), NORN_OK);
    const norn_span bytes = norn_file_bytes(file);
    assert_int_equal(bytes.count, LARGE);
    assert_int_equal(bytes.bytes[4095], (unsigned char)(4095 * 7 + 3));
    assert_int_equal(bytes.bytes[4096], 0);
    assert_int_equal(bytes.bytes[LARGE - 1], 0);
    norn_file_release(file);
    write_pattern(10, 3);
    assert_int_equal(norn_file_read_head(path, 4096, norn_alloc_heap(), &file), NORN_OK);
    assert_pattern(norn_file_bytes(file), 10, 3);
    norn_file_release(file);
}

static void a_copy_is_as_its_bytes_were(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 5000, LARGE + 1};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        norn_file *file;
        unsigned char *bytes = malloc(sizes[s] + 1);
        assert_non_null(bytes);
        for (size_t i = 0; i < sizes[s]; i++) bytes[i] = (unsigned char)(i * 7 + (i >> 13));
        assert_int_equal(
            norn_file_copy(norn_span_of(bytes, sizes[s]), "name", norn_alloc_heap(), &file),
            NORN_OK);
        memset(bytes, 0, sizes[s]);
        assert_pattern(norn_file_bytes(file), sizes[s], 0);
        assert_string_equal(norn_file_path(file), "name");
        norn_file_release(file);
        free(bytes);
    }
}

static void trimming_keeps_what_is_used_and_gives_back_the_rest(void **state) {
    (void)state;
    norn_file *file;
    write_pattern(LARGE, 2);
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
    const unsigned char *bytes = norn_file_bytes(file).bytes;
    // Overlapping, out of order, at odd bytes, and the last byte.
    norn_span used[] = {norn_span_of(bytes + LARGE - 1, 1), norn_span_of(bytes + 5000001, 3000000),
                        norn_span_of(bytes + 9, 10), norn_span_of(bytes + 6000000, 7777),
                        norn_span_of(bytes + 30000000, 0)};
    const size_t before = own_bytes();
    norn_file *other = norn_file_retain(file);
    norn_file_trim(file, used, sizeof used / sizeof *used); // another holds it: nothing happens
    assert_true(own_bytes() > before - LARGE / 4);
    norn_file_release(other);
    norn_file_trim(file, used, sizeof used / sizeof *used);
    assert_true(own_bytes() < before - LARGE / 2);
    for (size_t i = 9; i < 19; i++) assert_int_equal(bytes[i], (unsigned char)(i * 7 + 2));
    size_t wrong = 0;
    for (size_t i = 5000001; i < 8000001; i++)
        wrong += bytes[i] != (unsigned char)(i * 7 + (i >> 13) + 2);
    assert_int_equal(wrong, 0);
    const size_t last = LARGE - 1;
    assert_int_equal(bytes[last], (unsigned char)(last * 7 + (last >> 13) + 2));
    norn_file_release(file);
}

static atomic_bool stop_writing;

/// Truncates and fills the file, over and over, as `cp` over a file does.
static void *rewrite(void *context) {
    const int fd = open(path, O_WRONLY);
    char *some = calloc(1, LARGE);
    (void)context;
    if (fd < 0 || !some) return NULL;
    while (!atomic_load(&stop_writing)) {
        if (ftruncate(fd, 0) != 0 || pwrite(fd, some, LARGE, 0) < 0) break;
    }
    free(some);
    close(fd);
    return NULL;
}

static void a_file_that_changes_while_it_is_read_is_an_error_with_its_sizes(void **state) {
    (void)state;
    pthread_t writer;
    int torn = 0;
    write_pattern(LARGE, 5);
    atomic_store(&stop_writing, false);
    assert_int_equal(pthread_create(&writer, NULL, rewrite, NULL), 0);
    for (int i = 0; i < 100000 && torn < 2; i++) {
        norn_file *file;
        const norn_status status = norn_file_read(path, norn_alloc_heap(), &file);
        if (status == NORN_OK) {
            norn_file_release(file);
            continue;
        }
        assert_int_equal(status, NORN_DATA_LOSS);
        assert_null(file);
        assert_non_null(strstr(norn_message(), path));
        assert_non_null(strstr(norn_message(), "while it was read"));
        assert_non_null(strstr(norn_message(), "rename"));
        torn++;
    }
    atomic_store(&stop_writing, true);
    pthread_join(writer, NULL);
    assert_int_equal(torn, 2);
}

static void the_memory_that_is_left_is_a_part_of_the_machine(void **state) {
    (void)state;
    const uint64_t left = norn_memory_left_bytes();
    assert_true(left > 0);
    assert_true(left <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void a_file_larger_than_memory_is_refused_with_the_way_out(void **state) {
    (void)state;
    norn_file *file;
    write_pattern(1, 0);
    if (truncate(path, (off_t)1 << 43) != 0) skip(); // a hole: not every file system makes one
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_RESOURCE_EXHAUSTED);
    assert_null(file);
    assert_non_null(strstr(norn_message(), "chattr +i"));
    assert_int_equal(truncate(path, (off_t)1 << 34), 0);
    assert_int_equal(norn_file_read_head(path, 10, norn_alloc_heap(), &file), NORN_OK);
    assert_int_equal(norn_file_bytes(file).count, (size_t)1 << 34);
    norn_file_release(file);
}

/// Sets or clears the attribute; false where the file system or the user cannot.
static bool set_immutable(bool on) {
    const int fd = open(path, O_RDONLY);
    int flags = 0;
    bool done = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
    flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    done = done && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
    close(fd);
    return done;
}

static void a_file_that_nobody_can_write_takes_no_memory(void **state) {
    (void)state;
    norn_file *file;
    write_pattern(LARGE, 8);
    if (!set_immutable(true)) skip();
    const size_t before = own_bytes();
    const norn_status status = norn_file_read(path, norn_alloc_heap(), &file);
    const size_t after = own_bytes();
    assert_true(set_immutable(false));
    assert_int_equal(status, NORN_OK);
    assert_pattern(norn_file_bytes(file), LARGE, 8);
    assert_true(after < before + LARGE / 4);
    norn_file_release(file);
}

static void running_out_of_memory_leaks_nothing(void **state) {
    (void)state;
    norn_file *file;
    norn_file_writer *writer;
    assert_int_equal(write_text(norn_alloc_heap(), "x", &writer), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    NORN_MEMORY_SWEEP(norn_file_read(path, alloc, &file), file, norn_file_release(file));
    NORN_MEMORY_SWEEP(norn_file_copy(norn_span_of("x", 1), "name", alloc, &file), file,
                      norn_file_release(file));
    NORN_MEMORY_SWEEP(norn_file_writer_open(path, alloc, &writer), writer,
                      norn_file_writer_abort(writer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_file_reads_back_byte_for_byte),
        cmocka_unit_test(an_aborted_write_leaves_the_old_file),
        cmocka_unit_test(a_new_file_has_the_mode_that_the_umask_leaves),
        cmocka_unit_test(an_empty_file_is_an_empty_span),
        cmocka_unit_test(what_cannot_be_read_or_written_is_named),
        cmocka_unit_test(a_failed_commit_names_the_path_and_removes_its_temporary),
        cmocka_unit_test(what_becomes_of_a_file_does_not_change_what_was_read),
        cmocka_unit_test(a_retained_file_lives_until_its_last_release),
        cmocka_unit_test(the_head_of_a_file_is_read_and_the_rest_is_zeros),
        cmocka_unit_test(a_copy_is_as_its_bytes_were),
        cmocka_unit_test(trimming_keeps_what_is_used_and_gives_back_the_rest),
        cmocka_unit_test(a_file_that_changes_while_it_is_read_is_an_error_with_its_sizes),
        cmocka_unit_test(the_memory_that_is_left_is_a_part_of_the_machine),
        cmocka_unit_test(a_file_larger_than_memory_is_refused_with_the_way_out),
        cmocka_unit_test(a_file_that_nobody_can_write_takes_no_memory),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
