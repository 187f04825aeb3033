#include "store/table_file.h"

#include "base/cmocka_all.h"
#include "base/file.h"
#include "store/table.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"
#include "testing/memory_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/norn-table-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/// A path in the test's folder; four at a time.
static const char *at(const char *name) {
    static char paths[4][160];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_npy(const char *name, norn_dtype dtype, int32_t rank, const int64_t *dims,
                      void *data) {
    const norn_view view = norn_view_of(dtype, rank, dims, data);
    OK(norn_npy_write(at(name), &view, norn_alloc_heap()));
}

static void write_parts(void) {
    static int64_t keys[] = {9, -3, 1};
    static int8_t rows[] = {1, 2, 3, 4, 5, 6};
    static float scales[] = {0.5f, 2, 4};
    write_npy("k.npy", NORN_I64, 1, (int64_t[]){3}, keys);
    write_npy("r.npy", NORN_I8, 2, (int64_t[]){3, 2}, rows);
    write_npy("s.npy", NORN_F32, 1, (int64_t[]){3}, scales);
}

static bool same_files(const char *a, const char *b) {
    norn_file *x, *y;
    OK(norn_file_read(at(a), norn_alloc_heap(), &x));
    OK(norn_file_read(at(b), norn_alloc_heap(), &y));
    const norn_span s = norn_file_bytes(x), t = norn_file_bytes(y);
    const bool same = s.count == t.count && memcmp(s.bytes, t.bytes, s.count) == 0;
    norn_file_release(x);
    norn_file_release(y);
    return same;
}

static void test_parts_come_back_bit_for_bit(void **state) {
    char rows[160], keys[160], scales[160], table[160];
    (void)state;
    write_parts();
    strcpy(rows, at("r.npy")), strcpy(keys, at("k.npy")), strcpy(scales, at("s.npy"));
    strcpy(table, at("t.safetensors"));
    const norn_table_parts parts = {.rows = rows, .keys = keys, .scales = scales};
    OK(norn_table_import(&parts, table, norn_alloc_heap()));
    strcpy(rows, at("r2.npy")), strcpy(keys, at("k2.npy")), strcpy(scales, at("s2.npy"));
    OK(norn_table_export(table, &parts, norn_alloc_heap()));
    assert_true(same_files("r.npy", "r2.npy"));
    assert_true(same_files("k.npy", "k2.npy"));
    assert_true(same_files("s.npy", "s2.npy"));
}

static void test_a_part_without_a_file_is_refused_before_any_is_written(void **state) {
    char rows[160], table[160];
    (void)state;
    strcpy(rows, at("r3.npy")), strcpy(table, at("t.safetensors"));
    const norn_table_parts parts = {.rows = rows};
    assert_int_equal(norn_table_export(table, &parts, norn_alloc_heap()), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "--keys"));
    assert_int_equal(access(rows, F_OK), -1);
}

static void test_the_head_says_what_the_table_says(void **state) {
    norn_table_form form;
    norn_table *table;
    uint64_t bytes;
    (void)state;
    const char *path = at("t.safetensors");
    OK(norn_table_head_read(path, "t", norn_alloc_heap(), &form, &bytes));
    OK(norn_table_open(path, "t", norn_alloc_heap(), &table));
    assert_int_equal(form.dtype, NORN_I8);
    assert_false(form.dense);
    assert_int_equal(form.dim, 2);
    assert_int_equal(form.rows, 3);
    assert_int_equal(form.row_bytes, table->binding.view.row_bytes);
    assert_int_equal(bytes, norn_file_bytes(table->file).count);
    norn_table_release(table);
}

static void test_rows_of_a_step_are_written_in_order_of_key(void **state) {
    norn_safetensors all;
    norn_arena arena;
    norn_table *table;
    norn_file *file;
    (void)state;
    OK(norn_table_open(at("t.safetensors"), "t", norn_alloc_heap(), &table));
    char row[8] = {7, 8};
    const float scale = 3;
    memcpy(row + 4, &scale, sizeof scale);
    OK(norn_host_table_put(&table->rows, 5, 100, row));
    OK(norn_host_table_put(&table->rows, 5, 9, NULL));
    norn_host_table_commit(&table->rows, 1);
    const norn_table_form form = {.name = "t", .dtype = NORN_I8, .dim = 2, .row_bytes = 8};
    OK(norn_table_write(&form, &table->rows.rows, 5, at("w.safetensors"), norn_alloc_heap()));
    norn_table_release(table);
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    OK(norn_file_read(at("w.safetensors"), norn_alloc_heap(), &file));
    OK(norn_safetensors_decode(norn_file_bytes(file), "w", &arena, &all));
    const int64_t *keys = norn_safetensors_find(&all, "keys")->data;
    const int8_t *rows = norn_safetensors_find(&all, "rows")->data;
    const float *scales = norn_safetensors_find(&all, "scales")->data;
    assert_int_equal(norn_safetensors_find(&all, "rows")->dims[0], 3);
    assert_memory_equal(keys, ((int64_t[]){-3, 1, 100}), 24);
    assert_memory_equal(rows, ((int8_t[]){3, 4, 5, 6, 7, 8}), 6);
    assert_memory_equal(scales, ((float[]){2, 4, 3}), 12);
    norn_file_release(file);
    norn_arena_deinit(&arena);
}

static norn_status import_again(norn_alloc alloc, const char **done) {
    char rows[160], keys[160], scales[160], table[160];
    strcpy(rows, at("r.npy")), strcpy(keys, at("k.npy")), strcpy(scales, at("s.npy"));
    strcpy(table, at("again.safetensors"));
    const norn_table_parts parts = {.rows = rows, .keys = keys, .scales = scales};
    const norn_status status = norn_table_import(&parts, table, alloc);
    *done = status == NORN_OK ? "done" : NULL;
    return status;
}

static void test_memory_may_end_at_every_allocation(void **state) {
    const char *done;
    (void)state;
    NORN_MEMORY_SWEEP(import_again(alloc, &done), done, (void)done);
    assert_true(same_files("t.safetensors", "again.safetensors"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_come_back_bit_for_bit),
        cmocka_unit_test(test_a_part_without_a_file_is_refused_before_any_is_written),
        cmocka_unit_test(test_the_head_says_what_the_table_says),
        cmocka_unit_test(test_rows_of_a_step_are_written_in_order_of_key),
        cmocka_unit_test(test_memory_may_end_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
