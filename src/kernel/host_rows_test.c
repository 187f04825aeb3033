#include "base/cmocka_all.h"
#include "base/hash.h"
#include "base/memory.h"
#include "kernel/host_rows.h"
#include "testing/memory_sweep.h"

#include <stdlib.h>
#include <string.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

static void the_index_finds_every_key_and_no_other_while_it_grows(void **state) {
    (void)state;
    enum { COUNT = 50000 };
    norn_key_index index;
    norn_random random;
    int64_t *keys = calloc(COUNT, sizeof *keys);
    uint64_t *rows = calloc(COUNT, sizeof *rows);
    norn_random_init(&random, 3);
    OK(norn_key_index_init(&index, 0, norn_alloc_heap()));
    for (int64_t i = 0; i < COUNT; i++) {
        // Runs, multiples of a large power of two, and noise: what real ids look like.
        keys[i] = i % 3 == 0   ? i
                  : i % 3 == 1 ? i << 40
                               : (int64_t)(norn_random_u64(&random) | 1u << 31);
        uint64_t row = (uint64_t)i;
        bool added;
        OK(norn_key_index_add(&index, keys[i], &row, &added));
        assert_true(added);
    }
    norn_key_index_find(&index, keys, COUNT, rows);
    for (int64_t i = 0; i < COUNT; i++) assert_int_equal(rows[i], i);
    for (int64_t i = 0; i < COUNT; i++) keys[i] = -2 - i;
    norn_key_index_find(&index, keys, COUNT, rows);
    for (int64_t i = 0; i < COUNT; i++) assert_true(rows[i] == NORN_NO_ROW);
    uint64_t row = 77;
    bool added;
    OK(norn_key_index_add(&index, 0, &row, &added));
    assert_false(added);
    assert_int_equal(row, 0);
    norn_key_index_deinit(&index);
    free(keys);
    free(rows);
}

static void an_entry_is_swapped_where_it_stands(void **state) {
    (void)state;
    norn_key_index index;
    int64_t keys[2] = {3, 4};
    uint64_t rows[2], row = 0;
    bool added;
    OK(norn_key_index_init(&index, 2, norn_alloc_heap()));
    for (int i = 0; i < 2; i++, row++) OK(norn_key_index_add(&index, keys[i], &row, &added));
    assert_null(norn_key_index_at(&index, 5));
    assert_int_equal(*norn_key_index_at(&index, 4), 1);
    atomic_store(norn_key_index_at(&index, 4), 70);
    norn_key_index_find(&index, keys, 2, rows);
    assert_int_equal(rows[0], 0);
    assert_int_equal(rows[1], 70);
    norn_key_index_clear(&index);
    norn_key_index_find(&index, keys, 2, rows);
    assert_true(rows[0] == NORN_NO_ROW && rows[1] == NORN_NO_ROW);
    for (int64_t k = 0; k < 100; k++) { // and it grows again
        row = (uint64_t)k;
        OK(norn_key_index_add(&index, k, &row, &added));
        assert_true(added);
    }
    assert_int_equal(index.count, 100);
    norn_key_index_deinit(&index);
}

// ---- rows

enum { ROWS = 1000 };
static float data[ROWS][2];
static int64_t keys_of[ROWS];

static void fill_data(void) {
    for (int64_t r = 0; r < ROWS; r++) keys_of[r] = 7 * r - 500, data[r][0] = (float)r;
}

static void rows_of_a_file_are_found_by_key_in_any_number(void **state) {
    (void)state;
    static int64_t asked[2 * ROWS];
    static const void *found[2 * ROWS];
    norn_host_rows table;
    fill_data();
    OK(norn_host_rows_init(&table, keys_of, data, ROWS, 8, norn_alloc_heap()));
    for (int64_t i = 0; i < ROWS; i++) asked[2 * i] = keys_of[i], asked[2 * i + 1] = keys_of[i] + 1;
    norn_host_rows_find(&table, 0, asked, 2 * ROWS, found);
    for (int64_t i = 0; i < ROWS; i++) {
        assert_ptr_equal(found[2 * i], data[i]);
        assert_null(found[2 * i + 1]);
    }
    assert_true(norn_host_rows_index_bytes(&table) >= ROWS * sizeof(norn_key_slot));
    norn_host_rows_deinit(&table);
    OK(norn_host_rows_init(&table, NULL, data, ROWS, 8, norn_alloc_heap()));
    const int64_t dense[4] = {0, ROWS - 1, ROWS, -1};
    norn_host_rows_find(&table, 0, dense, 4, found);
    assert_ptr_equal(found[0], data[0]);
    assert_ptr_equal(found[1], data[ROWS - 1]);
    assert_null(found[2]);
    assert_null(found[3]);
    assert_int_equal(norn_host_rows_index_bytes(&table), 0);
    norn_host_rows_deinit(&table);
}

static void a_key_that_comes_twice_is_named(void **state) {
    (void)state;
    const int64_t keys[3] = {8, 9, 8};
    norn_host_rows table;
    assert_int_equal(norn_host_rows_init(&table, keys, data, 3, 8, norn_alloc_heap()),
                     NORN_INVALID_ARGUMENT);
    assert_string_equal(norn_message(), "key 8 comes twice, in rows 0 and 2");
}

static norn_status make(norn_host_rows *table, norn_alloc alloc, const norn_host_rows **made) {
    const norn_status status = norn_host_rows_init(table, keys_of, data, ROWS, 8, alloc);
    *made = status == NORN_OK ? table : NULL;
    return status;
}

static void an_index_cleans_up_wherever_memory_ends(void **state) {
    (void)state;
    norn_host_rows table;
    const norn_host_rows *made;
    fill_data();
    NORN_MEMORY_SWEEP(make(&table, alloc, &made), made, norn_host_rows_deinit(&table));
}

/// A version with one float pair, made by hand as the writer makes it.
typedef struct hand_row {
    norn_row_version version;
    float row[2];
} hand_row;

static float first_of(const norn_host_rows *table, uint64_t step, int64_t key) {
    const void *row;
    norn_host_rows_find(table, step, &key, 1, &row);
    assert_ptr_equal(row, norn_host_rows_get(table, step, key).row);
    return row ? *(const float *)row : -1;
}

static void a_reader_sees_the_newest_row_up_to_its_step(void **state) {
    (void)state;
    norn_host_rows table;
    fill_data();
    hand_row at5 = {{.step = 5, .base = 3}, {50, 0}};
    hand_row at7 = {{.step = 7, .base = 3, .deleted = 1}, {0}};
    hand_row at9 = {{.step = 9, .base = 3}, {90, 0}};
    atomic_store(&at7.version.older, &at5.version);
    atomic_store(&at9.version.older, &at7.version);
    const struct {
        uint64_t step, wrote;
        float row;
        bool deleted;
    } wanted[] = {{0, 0, 3, 0},  {4, 0, 3, 0},  {5, 5, 50, 0},         {6, 5, 50, 0},
                  {7, 7, -1, 1}, {8, 7, -1, 1}, {UINT64_MAX, 9, 90, 0}};
    norn_row_version *_Atomic newest[ROWS] = {0};
    for (int dense = 0; dense < 2; dense++) {
        OK(norn_host_rows_init(&table, dense ? NULL : keys_of, data, ROWS, 8, norn_alloc_heap()));
        const int64_t key = dense ? 3 : keys_of[3], other = dense ? 4 : keys_of[4];
        if (dense) {
            newest[3] = &at9.version;
            table.newest = newest;
        } else {
            *norn_key_index_at(&table.index, key) = norn_row_place(&at9.version);
        }
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            assert_true(first_of(&table, wanted[i].step, key) == wanted[i].row);
            assert_true(first_of(&table, wanted[i].step, other) == 4);
            const norn_row_found found = norn_host_rows_get(&table, wanted[i].step, key);
            assert_int_equal(found.step, wanted[i].wrote);
            assert_int_equal(found.deleted, wanted[i].deleted);
        }
        norn_host_rows_deinit(&table);
    }
}

static void keys_that_only_deltas_have_are_found_and_listed(void **state) {
    (void)state;
    norn_host_rows table;
    enum { SLOTS = 8 };
    norn_added_keys *added = calloc(1, sizeof *added + SLOTS * sizeof *added->slots);
    hand_row row[3];
    fill_data();
    OK(norn_host_rows_init(&table, keys_of, data, 3, 8, norn_alloc_heap()));
    assert_true(first_of(&table, 9, 1) == -1);
    added->mask = SLOTS - 1;
    for (int i = 0; i < 3; i++) {
        norn_added_slot *slot = norn_added_slot_of(added, i + 1);
        assert_null(slot->newest);
        row[i] = (hand_row){{.step = (uint64_t)i + 2, .base = NORN_NO_ROW}, {(float)(100 + i), 0}};
        slot->key = i + 1;
        slot->newest = &row[i].version;
        assert_ptr_equal(norn_added_slot_of(added, i + 1), slot);
    }
    table.added = added;
    assert_true(first_of(&table, 2, 1) == 100);
    assert_true(first_of(&table, 2, 2) == -1);
    assert_true(first_of(&table, 9, 3) == 102);
    assert_true(first_of(&table, 9, 4) == -1);
    for (uint64_t step = 1; step < 6; step++) {
        int64_t keys[2], n, total = 0, sum = 0;
        const void *rows[2];
        uint64_t cursor = 0;
        while ((n = norn_host_rows_list(&table, step, &cursor, 2, keys, rows)) > 0)
            for (int64_t i = 0; i < n; i++, total++) {
                assert_ptr_equal(rows[i], norn_host_rows_get(&table, step, keys[i]).row);
                sum += keys[i];
            }
        const int64_t extra = (int64_t)(step - 1 < 3 ? step - 1 : 3);
        assert_int_equal(total, 3 + extra);
        assert_int_equal(sum, keys_of[0] + keys_of[1] + keys_of[2] + extra * (extra + 1) / 2);
    }
    norn_host_rows_deinit(&table);
    free(added);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_finds_every_key_and_no_other_while_it_grows),
        cmocka_unit_test(an_entry_is_swapped_where_it_stands),
        cmocka_unit_test(rows_of_a_file_are_found_by_key_in_any_number),
        cmocka_unit_test(a_key_that_comes_twice_is_named),
        cmocka_unit_test(an_index_cleans_up_wherever_memory_ends),
        cmocka_unit_test(a_reader_sees_the_newest_row_up_to_its_step),
        cmocka_unit_test(keys_that_only_deltas_have_are_found_and_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
