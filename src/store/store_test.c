#include "base/hash.h"
#include "base/memory.h"
#include "kernel/host_rows.h"
#include "store/store.h"
#include "store/table.h"
#include "tensor/dtype.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"
#include "testing/failing_alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

static char folder[64];

static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/norn-store-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static norn_safetensor tensor(const char *name, norn_dtype dtype, int32_t rank, int64_t d0,
                              int64_t d1, void *data) {
    return (norn_safetensor){name, norn_view_of(dtype, rank, (int64_t[]){d0, d1}, data)};
}

/// rows[i][j] = base + 10 i + j.
static void write_table(const char *file, const int64_t *keys, int64_t count, int64_t dim,
                        float base) {
    float *rows = calloc((size_t)(count * dim) + 1, sizeof *rows);
    for (int64_t i = 0; i < count * dim; i++) rows[i] = base + (float)(i / dim * 10 + i % dim);
    norn_safetensor all[] = {tensor("rows", NORN_F32, 2, count, dim, rows),
                             tensor("keys", NORN_I64, 1, count, 0, (void *)(uintptr_t)keys)};
    OK(norn_safetensors_write(file, all, keys ? 2 : 1, norn_alloc_heap()));
    free(rows);
}

static norn_snapshot *snapshot_of_dir(const char *dir) {
    norn_store *store;
    norn_snapshot *snapshot;
    OK(norn_store_create(norn_alloc_heap(), &store));
    norn_status status = norn_store_open_dir(store, dir);
    if (status != NORN_OK) print_error("%s\n", norn_message());
    OK(status);
    OK(norn_store_snapshot(store, &snapshot));
    norn_store_destroy(store); // a snapshot holds its tables by itself
    return snapshot;
}

static const float *row_of(const norn_table_binding *table, int64_t key) {
    const norn_table_view *view = &table->view;
    const void *row = NULL;
    if (view->kind == NORN_TABLE_HOST_INDEX)
        norn_host_rows_find(view->host.rows, view->host.step, &key, 1, &row);
    else if (key >= 0 && key < view->row_count)
        row = (const char *)view->dense.rows + key * view->row_bytes;
    return row;
}

static void a_folder_of_tables_is_found_by_name(void **state) {
    (void)state;
    int64_t keys[] = {7, -3, INT64_MAX, INT64_MIN, 0};
    assert_int_equal(mkdir(in_folder("both"), 0700), 0);
    write_table(in_folder("both/user.safetensors"), keys, 5, 3, 100);
    write_table(in_folder("both/item.safetensors"), NULL, 4, 2, 0);
    FILE *other = fopen(in_folder("both/notes.txt"), "w");
    fclose(other);
    norn_snapshot *snapshot = snapshot_of_dir(in_folder("both"));
    const norn_table_binding *user = snapshot->find(snapshot, "user"),
                             *item = snapshot->find(snapshot, "item");
    assert_non_null(user);
    assert_non_null(item);
    assert_null(snapshot->find(snapshot, "use"));
    assert_null(snapshot->find(snapshot, "notes"));
    assert_int_equal(item->view.kind, NORN_TABLE_DENSE);
    assert_int_equal(item->view.missing, NORN_MISSING_ERROR);
    assert_int_equal(item->view.row_count, 4);
    assert_int_equal(item->dim, 2);
    assert_true(row_of(item, 3)[1] == 31);
    assert_int_equal(user->view.kind, NORN_TABLE_HOST_INDEX);
    assert_int_equal(user->view.missing, NORN_MISSING_DEFAULT);
    for (int i = 0; i < 5; i++) assert_true(row_of(user, keys[i])[2] == (float)(102 + 10 * i));
    assert_null(row_of(user, 1));
    assert_int_equal(norn_snapshot_table_count(snapshot), 2);
    assert_string_equal(norn_snapshot_table_stat(snapshot, 0).name, "item");
    assert_true(norn_snapshot_table_stat(snapshot, 0).dense);
    assert_int_equal(norn_snapshot_table_stat(snapshot, 1).rows, 5);
    norn_snapshot_release(snapshot);
}

static void int8_rows_carry_their_scale_behind_them(void **state) {
    (void)state;
    int8_t rows[3][5] = {{1, 2, 3, 4, 5}, {-1, -2, -3, -4, -5}, {127, -128, 0, 1, 2}};
    float scales[3] = {0.5f, 0.25f, 2};
    norn_table *table;
    norn_safetensor all[] = {tensor("rows", NORN_I8, 2, 3, 5, rows),
                             tensor("scales", NORN_F32, 1, 3, 0, scales)};
    OK(norn_safetensors_write(in_folder("int8.safetensors"), all, 2, norn_alloc_heap()));
    OK(norn_table_open(in_folder("int8.safetensors"), "int8", norn_alloc_heap(), &table));
    assert_int_equal(table->binding.view.row_bytes, 12);
    for (int i = 0; i < 3; i++) {
        const char *row =
            (const char *)table->binding.view.dense.rows + i * table->binding.view.row_bytes;
        float scale;
        assert_memory_equal(row, rows[i], 5);
        memcpy(&scale, row + norn_table_scale_offset(5), sizeof scale);
        assert_true(scale == scales[i]);
    }
    norn_table_release(table);
}

static void a_default_row_is_bound_when_the_file_has_one(void **state) {
    (void)state;
    float rows[2][2] = {{1, 2}, {3, 4}}, fallback[2] = {9, 8};
    int64_t keys[2] = {10, 20};
    norn_table *table;
    norn_safetensor all[] = {tensor("rows", NORN_F32, 2, 2, 2, rows),
                             tensor("keys", NORN_I64, 1, 2, 0, keys),
                             tensor("default", NORN_F32, 1, 2, 0, fallback)};
    OK(norn_safetensors_write(in_folder("default.safetensors"), all, 3, norn_alloc_heap()));
    OK(norn_table_open(in_folder("default.safetensors"), "t", norn_alloc_heap(), &table));
    assert_memory_equal(table->binding.view.default_row, fallback, sizeof fallback);
    norn_table_release(table);
}

static void expect_bad(const norn_safetensor *all, size_t count, const char *what) {
    norn_table *table;
    OK(norn_safetensors_write(in_folder("bad.safetensors"), all, count, norn_alloc_heap()));
    assert_int_equal(
        norn_table_open(in_folder("bad.safetensors"), "bad", norn_alloc_heap(), &table),
        NORN_INVALID_ARGUMENT);
    assert_null(table);
    assert_non_null(strstr(norn_message(), "bad.safetensors"));
    if (!strstr(norn_message(), what)) print_error("%s lacks %s\n", norn_message(), what);
    assert_non_null(strstr(norn_message(), what));
}

static void a_table_that_cannot_be_names_its_file_and_tensor(void **state) {
    (void)state;
    float f[12] = {0};
    int64_t keys[3] = {5, 6, 5};
    norn_safetensor rows = tensor("rows", NORN_F32, 2, 3, 4, f);
    expect_bad(&(norn_safetensor){"other", rows.view}, 1, "no tensor 'rows'");
    expect_bad((norn_safetensor[]){rows, tensor("keys", NORN_I64, 1, 3, 0, keys)}, 2,
               "'keys': key 5 comes twice, in rows 0 and 2");
    expect_bad((norn_safetensor[]){rows, tensor("keys", NORN_I64, 1, 2, 0, keys)}, 2,
               "'keys' is int64[2]");
    expect_bad((norn_safetensor[]){rows, tensor("keys", NORN_F32, 1, 3, 0, f)}, 2,
               "'keys' is float32[3]");
    expect_bad((norn_safetensor[]){tensor("rows", NORN_I64, 2, 1, 3, keys)}, 1,
               "'rows' is int64[1,3]");
    expect_bad((norn_safetensor[]){tensor("rows", NORN_F32, 1, 12, 0, f)}, 1,
               "'rows' is float32[12]");
    expect_bad((norn_safetensor[]){tensor("rows", NORN_F32, 2, 3, 0, f)}, 1,
               "'rows' is float32[3,0]");
    expect_bad((norn_safetensor[]){tensor("rows", NORN_I8, 2, 3, 4, f)}, 1, "'scales'");
    expect_bad((norn_safetensor[]){rows, tensor("scales", NORN_F32, 1, 3, 0, f)}, 2, "'scales' is");
    expect_bad((norn_safetensor[]){rows, tensor("default", NORN_F32, 1, 3, 0, f)}, 2,
               "'default' is float32[3]");
}

static void a_truncated_table_is_data_loss(void **state) {
    (void)state;
    norn_store *store;
    struct stat facts;
    assert_int_equal(mkdir(in_folder("cut"), 0700), 0);
    write_table(in_folder("cut/t.safetensors"), NULL, 50, 4, 0);
    assert_int_equal(stat(in_folder("cut/t.safetensors"), &facts), 0);
    assert_int_equal(truncate(in_folder("cut/t.safetensors"), facts.st_size - 5), 0);
    OK(norn_store_create(norn_alloc_heap(), &store));
    assert_int_equal(norn_store_open_dir(store, in_folder("cut")), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "cut/t.safetensors"));
    assert_int_equal(norn_store_open_dir(store, in_folder("nowhere")), NORN_NOT_FOUND);
    norn_store_destroy(store);
}

static void a_snapshot_keeps_the_tables_that_it_was_taken_of(void **state) {
    (void)state;
    norn_store *store;
    norn_snapshot *old, *new;
    assert_int_equal(mkdir(in_folder("v1"), 0700), 0);
    assert_int_equal(mkdir(in_folder("v2"), 0700), 0);
    write_table(in_folder("v1/t.safetensors"), NULL, 3, 2, 0);
    write_table(in_folder("v2/t.safetensors"), NULL, 3, 2, 1000);
    write_table(in_folder("v2/a.safetensors"), NULL, 3, 2, 5);
    OK(norn_store_create(norn_alloc_heap(), &store));
    OK(norn_store_open_dir(store, in_folder("v1")));
    OK(norn_store_snapshot(store, &old));
    OK(norn_store_open_dir(store, in_folder("v2")));
    OK(norn_store_snapshot(store, &new));
    norn_store_destroy(store);
    assert_true(row_of(old->find(old, "t"), 0)[0] == 0);
    assert_null(old->find(old, "a"));
    assert_true(row_of(new->find(new, "t"), 0)[0] == 1000);
    assert_true(row_of(new->find(new, "a"), 0)[0] == 5);
    norn_snapshot_release(old);
    assert_true(row_of(new->find(new, "t"), 2)[1] == 1021);
    norn_snapshot_release(new);
}

typedef struct reader {
    norn_snapshot *snapshot;
    int bad;
} reader;

static void *read_many(void *argument) {
    reader *r = argument;
    const norn_table_binding *table = r->snapshot->find(r->snapshot, "t");
    for (int64_t i = 0; i < 20000; i++) {
        const float *row = row_of(table, i % 3000 * 7);
        r->bad += i % 3000 < 1000 ? !row || row[0] != (float)(i % 3000 * 10) : row != NULL;
    }
    return NULL;
}

static void many_threads_resolve_at_once(void **state) {
    (void)state;
    int64_t keys[1000];
    for (int64_t i = 0; i < 1000; i++) keys[i] = i * 7;
    assert_int_equal(mkdir(in_folder("threads"), 0700), 0);
    write_table(in_folder("threads/t.safetensors"), keys, 1000, 4, 0);
    norn_snapshot *snapshot = snapshot_of_dir(in_folder("threads"));
    pthread_t threads[4];
    reader readers[4];
    for (int i = 0; i < 4; i++) {
        readers[i] = (reader){snapshot, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &readers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].bad, 0);
    }
    norn_snapshot_release(snapshot);
}

static void opening_a_folder_cleans_up_wherever_memory_ends(void **state) {
    (void)state;
    int64_t keys[3] = {4, 5, 6};
    assert_int_equal(mkdir(in_folder("oom"), 0700), 0);
    write_table(in_folder("oom/a.safetensors"), keys, 3, 2, 0);
    write_table(in_folder("oom/b.safetensors"), NULL, 3, 2, 0);
    norn_status status = NORN_RESOURCE_EXHAUSTED;
    for (size_t at = 0; status != NORN_OK; at++) {
        norn_alloc_faulty faulty = {.fail_at = at};
        norn_store *store = NULL;
        norn_snapshot *snapshot = NULL;
        assert_true(at < 1000);
        status = norn_store_create(norn_alloc_failing(&faulty), &store);
        if (status == NORN_OK) status = norn_store_open_dir(store, in_folder("oom"));
        if (status == NORN_OK) status = norn_store_snapshot(store, &snapshot);
        if (status != NORN_OK) assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
        norn_snapshot_release(snapshot);
        norn_store_destroy(store);
        assert_int_equal(faulty.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_tables_is_found_by_name),
        cmocka_unit_test(int8_rows_carry_their_scale_behind_them),
        cmocka_unit_test(a_default_row_is_bound_when_the_file_has_one),
        cmocka_unit_test(a_table_that_cannot_be_names_its_file_and_tensor),
        cmocka_unit_test(a_truncated_table_is_data_loss),
        cmocka_unit_test(a_snapshot_keeps_the_tables_that_it_was_taken_of),
        cmocka_unit_test(many_threads_resolve_at_once),
        cmocka_unit_test(opening_a_folder_cleans_up_wherever_memory_ends),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
