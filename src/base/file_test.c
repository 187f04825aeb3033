#include "base/file.h"
#include "base/memory_sweep.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    assert_int_equal(norn_file_map(path, norn_alloc_heap(), &file), NORN_OK);
    assert_true(norn_span_equal(norn_file_bytes(file), text));
    assert_string_equal(norn_file_path(file), path);
    norn_file_unmap(file);
}

static void a_written_file_maps_back_byte_for_byte(void **state) {
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
    assert_int_equal(norn_file_map(path, norn_alloc_heap(), &file), NORN_OK);
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
    norn_file_unmap(file);
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
    assert_int_equal(norn_file_map(missing, norn_alloc_heap(), &file), NORN_NOT_FOUND);
    assert_null(file);
    assert_non_null(strstr(norn_message(), missing));
    assert_int_equal(norn_file_map(folder, norn_alloc_heap(), &file), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "folder"));
    assert_int_equal(norn_file_writer_open(missing, norn_alloc_heap(), &writer), NORN_NOT_FOUND);
    assert_null(writer);
    // A FIFO must not hang the open.
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(norn_file_map(fifo, norn_alloc_heap(), &file), NORN_INVALID_ARGUMENT);
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

static void running_out_of_memory_leaks_nothing(void **state) {
    (void)state;
    norn_file *file;
    norn_file_writer *writer;
    assert_int_equal(write_text(norn_alloc_heap(), "x", &writer), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
    NORN_MEMORY_SWEEP(norn_file_map(path, alloc, &file), file, norn_file_unmap(file));
    NORN_MEMORY_SWEEP(norn_file_writer_open(path, alloc, &writer), writer,
                      norn_file_writer_abort(writer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_file_maps_back_byte_for_byte),
        cmocka_unit_test(an_aborted_write_leaves_the_old_file),
        cmocka_unit_test(a_new_file_has_the_mode_that_the_umask_leaves),
        cmocka_unit_test(an_empty_file_is_an_empty_span),
        cmocka_unit_test(what_cannot_be_read_or_written_is_named),
        cmocka_unit_test(a_failed_commit_names_the_path_and_removes_its_temporary),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
