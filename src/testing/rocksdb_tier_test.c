/// The RocksDB tier: the contract of every tier, and what it does beside: versions that are there
/// after an open, many keys at once, deadlines, files of any order.
#include "base/clock.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"
#include "testing/rocksdb_fixture.h"
#include "testing/tier_cases.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static norn_tier *open_at(const char *path) {
    norn_tier *tier;
    OK(norn_rocksdb_tier_open(path, &rocksdb_small, norn_alloc_heap(), &tier));
    return tier;
}

static norn_version *load(norn_tier *tier, uint64_t number, const char *dir) {
    norn_version *version;
    OK(tier->ops->load(tier, number, dir, &version));
    return version;
}

static void write_step(norn_tier *tier, norn_version *version, uint64_t step, int64_t key) {
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        OK(norn_tier_write(tier, version, step, t, &key, 1, false));
}

static void expect(norn_tier *tier, norn_version *version, uint32_t table, int64_t key,
                   uint64_t step) {
    norn_pin pin;
    OK(tier->ops->pin(tier, version, &pin));
    norn_tier_expect(tier, &pin, table, key, step);
    tier->ops->unpin(tier, &pin);
}

/// The versions of a tier, which must be these: numbers and steps, ended by a number of 0.
static void expect_found(norn_tier *tier, uint64_t (*wanted)[2], norn_version **out) {
    norn_version *version;
    uint64_t step;
    uint32_t i = 0;
    for (; wanted[i][0]; i++) {
        OK(tier->ops->found(tier, i, &version, &step));
        assert_int_equal(version->number, wanted[i][0]);
        assert_int_equal(step, wanted[i][1]);
        if (out) out[i] = version;
    }
    assert_int_equal(tier->ops->found(tier, i, &version, &step), NORN_NOT_FOUND);
}

// ---- opening again

static void versions_are_there_after_an_open_with_their_cut(void **state) {
    char path[128];
    norn_version *versions[2];
    (void)state;
    strcpy(path, rocksdb_new_path());
    norn_tier *tier = open_at(path);
    norn_version *two = load(tier, 2, norn_tier_version_dir(2)),
                 *one = load(tier, 1, norn_tier_version_dir(1));
    assert_int_equal(tier->ops->cut(tier, one).partition_count, 0);
    const norn_position positions[3] = {{7, 1, 0xffffffff}, {0, UINT64_MAX, 5}, {7, 3, 6}};
    write_step(tier, two, 3, 4);
    OK(tier->ops->commit(tier, two, &(norn_cut){5, 3, positions}));
    write_step(tier, two, 6, 4); // and is never committed
    norn_tier_close(tier);
    for (int again = 0; again < 2; again++) {
        tier = open_at(path);
        expect_found(tier, (uint64_t[][2]){{2, 5}, {1, 0}, {0, 0}}, versions);
        two = versions[0];
        const norn_cut cut = tier->ops->cut(tier, two);
        assert_int_equal(cut.step, 5);
        assert_int_equal(cut.partition_count, 3);
        for (int p = 0; p < 3; p++) {
            assert_int_equal(cut.positions[p].epoch, positions[p].epoch);
            assert_true(cut.positions[p].sequence == positions[p].sequence);
            assert_int_equal(cut.positions[p].chain, positions[p].chain);
        }
        assert_int_equal(tier->ops->cut(tier, versions[1]).partition_count, 0);
        for (uint32_t t = 0; t < TIER_TABLES; t++) {
            const norn_table_form *form = &two->tables[t];
            assert_string_equal(form->name, norn_tier_names[t]);
            assert_non_null(strstr(form->source, norn_tier_names[t]));
            assert_int_equal(form->dtype, NORN_F32);
            assert_int_equal(form->dense, t == TIER_DENSE);
            assert_int_equal(form->dim, norn_tier_dims[t]);
            assert_int_equal(form->row_bytes, norn_tier_dims[t] * 4);
            assert_int_equal(form->rows, norn_tier_rows[t]);
            assert_null(form->default_row);
            expect(tier, two, t, 4, 3);
            expect(tier, two, t, 7, 0);
            expect(tier, versions[1], t, 4, 0);
        }
        assert_int_equal(norn_tier_write(tier, two, 5, 0, &(int64_t){1}, 1, false),
                         NORN_FAILED_PRECONDITION);
        tier->ops->abort(tier, two);
        norn_tier_close(tier);
    }
    tier = open_at(path);
    expect_found(tier, (uint64_t[][2]){{2, 5}, {1, 0}, {0, 0}}, versions);
    write_step(tier, versions[0], 6, 7); // goes on
    OK(norn_tier_commit(tier, versions[0], 6));
    expect(tier, versions[0], TIER_WIDE, 7, 6);
    norn_tier_close(tier);
}

static void a_dropped_version_stays_dropped_and_its_number_is_free(void **state) {
    char path[128];
    norn_version *versions[2];
    norn_pin pin;
    (void)state;
    strcpy(path, rocksdb_new_path());
    norn_tier *tier = open_at(path);
    norn_version *old = load(tier, 1, norn_tier_version_dir(1));
    write_step(tier, old, 3, 4);
    OK(norn_tier_commit(tier, old, 3));
    OK(tier->ops->pin(tier, old, &pin));
    tier->ops->drop(tier, old);
    expect_found(tier, (uint64_t[][2]){{0, 0}}, NULL);
    norn_version *new = load(tier, 1, norn_tier_version_dir(1)); // beside what is still held
    norn_tier_expect(tier, &pin, TIER_HASHED, 4, 3);
    expect(tier, new, TIER_HASHED, 4, 0);
    tier->ops->unpin(tier, &pin);
    expect(tier, new, TIER_HASHED, 4, 0);
    norn_tier_close(tier);
    tier = open_at(path);
    expect_found(tier, (uint64_t[][2]){{1, 0}, {0, 0}}, versions);
    expect(tier, versions[0], TIER_HASHED, 4, 0);
    tier->ops->drop(tier, versions[0]);
    norn_tier_close(tier);
    tier = open_at(path);
    expect_found(tier, (uint64_t[][2]){{0, 0}}, NULL);
    norn_tier_close(tier);
}

static void a_folder_is_opened_once_and_must_be_a_tiers(void **state) {
    char path[128], inner[160];
    norn_tier *second;
    (void)state;
    strcpy(path, rocksdb_new_path());
    norn_tier *tier = open_at(path);
    assert_int_equal(norn_rocksdb_tier_open(path, NULL, norn_alloc_heap(), &second),
                     NORN_FAILED_PRECONDITION);
    assert_null(second);
    assert_non_null(strstr(norn_message(), path));
    assert_non_null(strstr(norn_message(), "open already"));
    norn_tier_close(tier);
    assert_int_equal(norn_rocksdb_tier_open("/nowhere/at/all", NULL, norn_alloc_heap(), &second),
                     NORN_NOT_FOUND);
    snprintf(inner, sizeof inner, "%s/db/CURRENT", path);
    FILE *file = fopen(inner, "w");
    fputs("MANIFEST-none\n", file);
    fclose(file);
    assert_int_not_equal(norn_rocksdb_tier_open(path, NULL, norn_alloc_heap(), &second), NORN_OK);
    assert_null(second);
    assert_non_null(strstr(norn_message(), path));
}

// ---- many keys

/// All keys of the full version twice over, with some that are not there, in one fetch.
static void a_fetch_of_many_keys_has_them_all(void **state) {
    enum { ABSENT = 5000, COUNT = TIER_HASHED_ROWS + TIER_DENSE_ROWS + TIER_WIDE_ROWS + ABSENT };
    (void)state;
    norn_row_key *keys = calloc(COUNT, sizeof *keys);
    uint64_t *row_at = calloc(COUNT, sizeof *row_at), *steps = calloc(COUNT, sizeof *steps);
    uint8_t *states = calloc(COUNT, 1);
    float *rows = calloc(COUNT, TIER_WIDEST * sizeof *rows);
    norn_tier *tier = open_at(rocksdb_new_path());
    norn_version *version = load(tier, 1, norn_tier_version_dir(1));
    norn_pin pin;
    OK(tier->ops->pin(tier, version, &pin));
    uint32_t count = 0;
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        for (int64_t i = norn_tier_rows[t]; i-- > 0;) // against their order
            keys[count++] = (norn_row_key){t == TIER_DENSE ? i : 3 * i + 1, t};
    for (int64_t i = 0; i < ABSENT; i++) keys[count++] = (norn_row_key){3 * i - 9000, TIER_WIDE};
    assert_int_equal(count, COUNT);
    for (uint32_t i = 0; i < count; i++) row_at[i] = i * TIER_WIDEST * sizeof *rows;
    norn_fetch fetch = {.pin = &pin,
                        .keys = keys,
                        .count = count,
                        .rows = (char *)rows,
                        .row_at = row_at,
                        .step = steps,
                        .state = states,
                        .deadline_ns = norn_clock_now_ns() + INT64_C(600000000000)};
    OK(norn_tier_fetch_and_wait(tier, &fetch));
    for (uint32_t i = 0; i < count; i++) {
        const bool wanted = i < COUNT - ABSENT;
        assert_int_equal(states[i], wanted ? NORN_ROW_FOUND : NORN_ROW_ABSENT);
        assert_int_equal(steps[i], 0);
        assert_true(!wanted || rows[i * TIER_WIDEST] == norn_tier_cell(1, 0, keys[i].key));
    }
    fetch.deadline_ns = norn_clock_now_ns() - 1;
    OK(norn_tier_fetch_and_wait(tier, &fetch));
    for (uint32_t i = 0; i < count; i++) assert_int_equal(states[i], NORN_ROW_LATE);
    tier->ops->unpin(tier, &pin);
    norn_tier_close(tier);
    free(keys), free(row_at), free(steps), free(states), free(rows);
}

typedef struct crowd {
    norn_tier *tier;
    norn_version *version;
} crowd;

static void *ask_often(void *argument) {
    const crowd *c = argument;
    for (int i = 0; i < 300; i++) expect(c->tier, c->version, TIER_HASHED, 3 * (i % 300) + 1, 0);
    return NULL;
}

static void more_threads_ask_than_there_are_readers(void **state) {
    enum { THREADS = 9 };
    pthread_t threads[THREADS];
    (void)state;
    crowd c = {.tier = open_at(rocksdb_new_path())};
    c.version = load(c.tier, 1, norn_tier_version_dir(1));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &c), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    norn_tier_close(c.tier);
}

// ---- what is loaded

static const char *new_dir(const char *name) {
    static char dir[160];
    snprintf(dir, sizeof dir, "%s/%s", norn_tier_folder(), name);
    assert_int_equal(mkdir(dir, 0700), 0);
    return dir;
}

static void keys_of_any_order_and_sign_are_found(void **state) {
    enum { ROWS = 500 };
    static int64_t keys[ROWS];
    static float data[ROWS];
    const int64_t count = ROWS;
    char path[192];
    (void)state;
    const char *dir = new_dir("unsorted");
    for (int64_t i = 0; i < ROWS; i++) { // 500 different ones, far apart
        keys[i] = (int64_t)((uint64_t)(i * 7919 % ROWS) * UINT64_C(0x83126e978d4fdf));
        data[i] = (float)i;
    }
    keys[3] = INT64_MAX, keys[4] = INT64_MIN, keys[5] = -1;
    const norn_safetensor all[2] = {{"rows", norn_view_of(NORN_F32, 2, (int64_t[]){ROWS, 1}, data)},
                                    {"keys", norn_view_of(NORN_I64, 1, &count, keys)}};
    snprintf(path, sizeof path, "%s/t.safetensors", dir);
    OK(norn_safetensors_write(path, all, 2, norn_alloc_heap()));
    norn_tier *tier = open_at(rocksdb_new_path());
    norn_version *version = load(tier, 1, dir);
    norn_pin pin;
    OK(tier->ops->pin(tier, version, &pin));
    for (int i = 0; i < ROWS; i++) {
        float row = -1;
        uint64_t at = 0, step;
        uint8_t row_state;
        const norn_row_key key = {keys[i], 0};
        norn_fetch fetch = {.pin = &pin,
                            .keys = &key,
                            .count = 1,
                            .rows = (char *)&row,
                            .row_at = &at,
                            .step = &step,
                            .state = &row_state,
                            .deadline_ns = INT64_MAX};
        OK(norn_tier_fetch_and_wait(tier, &fetch));
        assert_int_equal(row_state, NORN_ROW_FOUND);
        assert_true(row == data[i]);
    }
    tier->ops->unpin(tier, &pin);
    norn_tier_close(tier);
}

/// int8 rows with scales, a default row, and a table without rows; and a folder without tables.
static void forms_of_every_kind_come_back(void **state) {
    static const int8_t bytes[2][5] = {{1, 2, 3, 4, 5}, {-1, -2, -3, -4, -5}};
    static const float scales[2] = {0.5f, 2}, fallback[3] = {7, 8, 9};
    static const int64_t keys[2] = {-8, 90};
    char path[128], file[192], row[12];
    norn_version *versions[2];
    norn_pin pin;
    (void)state;
    const char *dir = new_dir("kinds");
    const norn_safetensor packed[3] = {
        {"rows", norn_view_of(NORN_I8, 2, (int64_t[]){2, 5}, (void *)(uintptr_t)bytes)},
        {"keys", norn_view_of(NORN_I64, 1, (int64_t[]){2}, (void *)(uintptr_t)keys)},
        {"scales", norn_view_of(NORN_F32, 1, (int64_t[]){2}, (void *)(uintptr_t)scales)}};
    const norn_safetensor none[3] = {
        {"rows", norn_view_of(NORN_F32, 2, (int64_t[]){0, 3}, row)},
        {"keys", norn_view_of(NORN_I64, 1, (int64_t[]){0}, row)},
        {"default", norn_view_of(NORN_F32, 1, (int64_t[]){3}, (void *)(uintptr_t)fallback)}};
    snprintf(file, sizeof file, "%s/packed.safetensors", dir);
    OK(norn_safetensors_write(file, packed, 3, norn_alloc_heap()));
    snprintf(file, sizeof file, "%s/none.safetensors", dir);
    OK(norn_safetensors_write(file, none, 3, norn_alloc_heap()));
    strcpy(path, rocksdb_new_path());
    norn_tier *tier = open_at(path);
    (void)load(tier, 4, dir);
    (void)load(tier, 5, new_dir("empty"));
    norn_tier_close(tier);
    tier = open_at(path);
    expect_found(tier, (uint64_t[][2]){{4, 0}, {5, 0}, {0, 0}}, versions);
    assert_int_equal(versions[1]->table_count, 0);
    assert_int_equal(versions[0]->table_count, 2);
    const norn_table_form *forms = versions[0]->tables;
    assert_string_equal(forms[0].name, "none");
    assert_int_equal(forms[0].rows, 0);
    assert_memory_equal(forms[0].default_row, fallback, sizeof fallback);
    assert_int_equal(forms[1].dtype, NORN_I8);
    assert_int_equal(forms[1].dim, 5);
    assert_int_equal(forms[1].row_bytes, 12);
    OK(tier->ops->pin(tier, versions[0], &pin));
    const norn_row_key key = {90, 1};
    uint64_t at = 0, step;
    uint8_t row_state;
    norn_fetch fetch = {.pin = &pin,
                        .keys = &key,
                        .count = 1,
                        .rows = row,
                        .row_at = &at,
                        .step = &step,
                        .state = &row_state,
                        .deadline_ns = INT64_MAX};
    OK(norn_tier_fetch_and_wait(tier, &fetch));
    assert_int_equal(row_state, NORN_ROW_FOUND);
    assert_memory_equal(row, bytes[1], 5);
    assert_memory_equal(row + 8, &scales[1], sizeof scales[1]);
    tier->ops->unpin(tier, &pin);
    norn_tier_close(tier);
}

static void a_step_that_is_too_large_is_refused_whole(void **state) {
    enum { KEYS = 4000 };
    static int64_t keys[KEYS];
    norn_rocksdb_options options = rocksdb_small;
    norn_tier *tier;
    (void)state;
    for (int64_t i = 0; i < KEYS; i++) keys[i] = i;
    options.step_bytes = 200000;
    OK(norn_rocksdb_tier_open(rocksdb_new_path(), &options, norn_alloc_heap(), &tier));
    norn_version *version = load(tier, 1, norn_tier_version_dir(1));
    OK(norn_tier_write(tier, version, 1, TIER_HASHED, keys, KEYS, false));
    assert_int_equal(norn_tier_write(tier, version, 1, TIER_HASHED, keys, KEYS, false),
                     NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "step 1"));
    tier->ops->abort(tier, version);
    expect(tier, version, TIER_HASHED, 4, 0);
    OK(norn_tier_write(tier, version, 1, TIER_HASHED, keys, KEYS, false));
    OK(norn_tier_commit(tier, version, 1));
    expect(tier, version, TIER_HASHED, 4, 1);
    norn_tier_close(tier);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_there_after_an_open_with_their_cut),
        cmocka_unit_test(a_dropped_version_stays_dropped_and_its_number_is_free),
        cmocka_unit_test(a_folder_is_opened_once_and_must_be_a_tiers),
        cmocka_unit_test(a_fetch_of_many_keys_has_them_all),
        cmocka_unit_test(more_threads_ask_than_there_are_readers),
        cmocka_unit_test(keys_of_any_order_and_sign_are_found),
        cmocka_unit_test(forms_of_every_kind_come_back),
        cmocka_unit_test(a_step_that_is_too_large_is_refused_whole),
    };
    if (!rocksdb_is_there()) return 0;
    const int failed =
        cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
    return norn_tier_cases_run("the RocksDB tier", rocksdb_create) + failed;
}
