#include "testing/tier_cases.h"
#include "testing/memory_sweep.h"
#include "testing/tier_fixture.h"
#include "testing/tier_races.h"

#include <stdlib.h>
#include <string.h>

static norn_tier_create_fn create_tier;

typedef struct subject {
    norn_tier *tier;
    norn_version *version;
} subject;

static int open_tier(void **state) {
    subject *s = calloc(1, sizeof *s);
    *state = s;
    if (create_tier(norn_alloc_heap(), &s->tier) != NORN_OK) return -1;
    return s->tier->ops->load(s->tier, 1, norn_tier_version_dir(1), &s->version) == NORN_OK ? 0
                                                                                            : -1;
}

static int close_tier(void **state) {
    subject *s = *state;
    norn_tier_close(s->tier);
    free(s);
    return 0;
}

static norn_pin pin_of(const subject *s) {
    norn_pin pin;
    OK(s->tier->ops->pin(s->tier, s->version, &pin));
    assert_ptr_equal(pin.version, s->version);
    return pin;
}
static void unpin(const subject *s, norn_pin *pin) {
    s->tier->ops->unpin(s->tier, pin);
    assert_null(pin->version);
    s->tier->ops->unpin(s->tier, pin); // one of nothing
}
static norn_status put(const subject *s, uint64_t step, uint32_t table, int64_t key) {
    return norn_tier_write(s->tier, s->version, step, table, &key, 1, false);
}
static norn_status erase(const subject *s, uint64_t step, uint32_t table, int64_t key) {
    return norn_tier_write(s->tier, s->version, step, table, &key, 1, true);
}
static norn_status commit(const subject *s, uint64_t step) {
    return norn_tier_commit(s->tier, s->version, step);
}
static void expect(const subject *s, const norn_pin *pin, uint32_t table, int64_t key,
                   uint64_t step) {
    norn_tier_expect(s->tier, pin, table, key, step);
}

/// In memory a table is viewed as of the step that changed it last, so that one that stays is the same.
static void expect_view(const subject *s, const norn_pin *pin, uint32_t table, uint64_t step) {
    norn_table_binding found;
    if (!s->tier->ops->view) return;
    s->tier->ops->view(s->tier, pin, table, &found);
    assert_int_equal(found.view.kind, NORN_TABLE_HOST_INDEX);
    assert_int_equal(found.view.host.step, step);
}

// ---- full versions

static void a_loaded_version_has_every_row_of_its_folder_and_no_other(void **state) {
    const subject *s = *state;
    norn_pin pin = pin_of(s);
    assert_int_equal(pin.step, 0);
    assert_int_equal(s->version->number, 1);
    assert_int_equal(s->version->table_count, TIER_TABLES);
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        const norn_table_form *form = &s->version->tables[t];
        assert_string_equal(form->name, norn_tier_names[t]);
        assert_non_null(strstr(form->source, norn_tier_names[t]));
        assert_int_equal(form->dtype, NORN_F32);
        assert_int_equal(form->dense, t == TIER_DENSE);
        assert_int_equal(form->dim, norn_tier_dims[t]);
        assert_int_equal(form->row_bytes, norn_tier_dims[t] * 4);
        assert_int_equal(form->rows, norn_tier_rows[t]);
        assert_null(form->default_row);
        for (int64_t i = 0; i < norn_tier_rows[t]; i++)
            expect(s, &pin, t, t == TIER_DENSE ? i : 3 * i + 1, 0);
        expect(s, &pin, t, -1, NORN_TIER_NONE);
        expect(s, &pin, t, 3 * norn_tier_rows[t] + 1, NORN_TIER_NONE);
        expect(s, &pin, t, INT64_MAX, NORN_TIER_NONE);
        expect(s, &pin, t, INT64_MIN, NORN_TIER_NONE);
    }
    assert_int_equal(norn_tier_read(s->tier, &pin, TIER_HASHED, 2).state, NORN_ROW_ABSENT);
    unpin(s, &pin);
}

static void what_cannot_be_loaded_leaves_nothing_behind(void **state) {
    const subject *s = *state;
    norn_version *version = s->version;
    uint64_t step = 9;
    assert_int_equal(s->tier->ops->load(s->tier, 2, "/nowhere", &version), NORN_NOT_FOUND);
    assert_null(version);
    assert_int_equal(s->tier->ops->load(s->tier, 2, norn_tier_broken_dir(), &version),
                     NORN_DATA_LOSS);
    assert_null(version);
    assert_int_equal(s->tier->ops->load(s->tier, 1, norn_tier_version_dir(1), &version),
                     NORN_ALREADY_EXISTS);
    assert_null(version);
    OK(s->tier->ops->found(s->tier, 0, &version, &step));
    assert_ptr_equal(version, s->version);
    assert_int_equal(step, 0);
    assert_int_equal(s->tier->ops->found(s->tier, 1, &version, &step), NORN_NOT_FOUND);
}

static void versions_lie_beside_each_other_and_go_with_their_pins(void **state) {
    const subject *s = *state;
    subject two = *s;
    norn_version *version;
    norn_pin none;
    uint64_t step;
    OK(s->tier->ops->load(s->tier, 2, norn_tier_version_dir(2), &two.version));
    OK(put(s, 5, TIER_HASHED, 4));
    OK(commit(s, 5));
    OK(put(&two, 3, TIER_HASHED, 4));
    OK(commit(&two, 3));
    norn_pin one_pin = pin_of(s), two_pin = pin_of(&two);
    expect(s, &one_pin, TIER_HASHED, 4, 5);
    expect(s, &one_pin, TIER_HASHED, 7, 0);
    expect(s, &two_pin, TIER_HASHED, 4, 3);
    expect(s, &two_pin, TIER_HASHED, 7, 0);
    OK(s->tier->ops->found(s->tier, 0, &version, &step));
    assert_true(version == s->version && step == 5);
    OK(s->tier->ops->found(s->tier, 1, &version, &step));
    assert_true(version == two.version && step == 3);
    s->tier->ops->drop(s->tier, s->version);
    OK(s->tier->ops->found(s->tier, 0, &version, &step));
    assert_ptr_equal(version, two.version);
    assert_int_equal(s->tier->ops->found(s->tier, 1, &version, &step), NORN_NOT_FOUND);
    assert_int_equal(s->tier->ops->pin(s->tier, s->version, &none), NORN_NOT_FOUND);
    assert_null(none.version);
    expect(s, &one_pin, TIER_HASHED, 4, 5);
    unpin(s, &one_pin);
    expect(s, &two_pin, TIER_HASHED, 4, 3);
    unpin(s, &two_pin);
    s->tier->ops->drop(s->tier, two.version);
    assert_int_equal(s->tier->ops->found(s->tier, 0, &version, &step), NORN_NOT_FOUND);
}

static void a_tier_says_what_it_holds(void **state) {
    const subject *s = *state;
    norn_tier_stat before, after;
    norn_pin pins[2] = {pin_of(s), pin_of(s)};
    s->tier->ops->stat(s->tier, s->version, &before);
    assert_int_equal(before.pins, 2);
    assert_int_equal(before.step, 0);
    assert_int_equal(before.rows, TIER_HASHED_ROWS + TIER_DENSE_ROWS + TIER_WIDE_ROWS);
    unpin(s, &pins[0]);
    OK(put(s, 8, TIER_DENSE, 4));
    OK(commit(s, 8));
    s->tier->ops->stat(s->tier, s->version, &after);
    assert_int_equal(after.pins, 1);
    assert_int_equal(after.step, 8);
    if (s->tier->ops->traits & NORN_TIER_POINTERS)
        assert_true(after.delta_bytes > before.delta_bytes);
    unpin(s, &pins[1]);
}

// ---- fetches

static void one_fetch_reads_all_tables(void **state) {
    const subject *s = *state;
    const norn_row_key keys[5] = {
        {4, TIER_HASHED}, {5, TIER_HASHED}, {199, TIER_DENSE}, {200, TIER_DENSE}, {118, TIER_WIDE}};
    const uint64_t row_at[5] = {400, 0, 16, 32, 200};
    const uint8_t wanted[5] = {NORN_ROW_FOUND, NORN_ROW_ABSENT, NORN_ROW_FOUND, NORN_ROW_ABSENT,
                               NORN_ROW_FOUND};
    float rows[128] = {0};
    uint64_t step[5];
    uint8_t states[5];
    norn_pin pin = pin_of(s);
    norn_fetch fetch = {&pin,   keys,      5,    (char *)rows, row_at,        step,
                        states, INT64_MAX, NULL, NULL,         NORN_INTERNAL, NULL};
    OK(norn_tier_fetch_and_wait(s->tier, &fetch));
    assert_memory_equal(states, wanted, sizeof wanted);
    for (int i = 0; i < 5; i++)
        if (wanted[i] == NORN_ROW_FOUND)
            assert_true(rows[row_at[i] / 4] == norn_tier_cell(1, 0, keys[i].key));
    fetch.count = 0;
    fetch.status = NORN_INTERNAL;
    OK(norn_tier_fetch_and_wait(s->tier, &fetch)); // nothing asked is answered too
    const norn_row_key nowhere = {4, TIER_TABLES};
    fetch.count = 1;
    fetch.keys = &nowhere;
    assert_int_equal(norn_tier_fetch_and_wait(s->tier, &fetch), NORN_INVALID_ARGUMENT);
    unpin(s, &pin);
}

// ---- deltas

static void applied_rows_are_seen_by_pins_after_the_commit_alone(void **state) {
    const subject *s = *state;
    norn_pin before = pin_of(s);
    OK(put(s, 3, TIER_HASHED, 1));
    OK(put(s, 3, TIER_HASHED, 2)); // a new key
    OK(put(s, 3, TIER_DENSE, 0));
    OK(put(s, 3, TIER_DENSE, TIER_DENSE_ROWS - 1));
    OK(erase(s, 3, TIER_WIDE, 4));
    OK(erase(s, 3, TIER_WIDE, 5)); // was never there
    norn_pin beside = pin_of(s);
    OK(commit(s, 3));
    norn_pin after = pin_of(s);
    assert_int_equal(before.step, 0);
    assert_int_equal(beside.step, 0);
    assert_int_equal(after.step, 3);
    const norn_pin *olds[2] = {&before, &beside};
    for (int i = 0; i < 2; i++) {
        expect(s, olds[i], TIER_HASHED, 1, 0);
        expect(s, olds[i], TIER_HASHED, 2, NORN_TIER_NONE);
        expect(s, olds[i], TIER_DENSE, 0, 0);
        expect(s, olds[i], TIER_DENSE, TIER_DENSE_ROWS - 1, 0);
        expect(s, olds[i], TIER_WIDE, 4, 0);
        if (!(s->tier->ops->traits & NORN_TIER_SHARED))
            assert_int_equal(norn_tier_read(s->tier, olds[i], TIER_HASHED, 2).state,
                             NORN_ROW_ABSENT);
    }
    expect(s, &after, TIER_HASHED, 1, 3);
    expect(s, &after, TIER_HASHED, 2, 3);
    expect(s, &after, TIER_HASHED, 4, 0);
    expect(s, &after, TIER_DENSE, 0, 3);
    expect(s, &after, TIER_DENSE, 1, 0);
    expect(s, &after, TIER_DENSE, TIER_DENSE_ROWS - 1, 3);
    expect(s, &after, TIER_WIDE, 4, NORN_TIER_NONE);
    const tier_row gone = norn_tier_read(s->tier, &after, TIER_WIDE, 4);
    assert_int_equal(gone.state, NORN_ROW_DELETED);
    assert_int_equal(gone.step, 3);
    OK(put(s, 4, TIER_WIDE, 4)); // comes back
    OK(commit(s, 4));
    norn_pin last = pin_of(s);
    expect(s, &last, TIER_WIDE, 4, 4);
    expect(s, &after, TIER_WIDE, 4, NORN_TIER_NONE);
    expect_view(s, &after, TIER_DENSE, 3);
    expect_view(s, &last, TIER_DENSE, 3);
    expect_view(s, &after, TIER_WIDE, 3);
    expect_view(s, &last, TIER_WIDE, 4);
    unpin(s, &before);
    unpin(s, &beside);
    unpin(s, &after);
    unpin(s, &last);
}

static void an_abort_forgets_what_was_applied_and_no_more(void **state) {
    const subject *s = *state;
    OK(put(s, 1, TIER_HASHED, 1));
    OK(put(s, 1, TIER_DENSE, 9));
    OK(commit(s, 1));
    for (int round = 0; round < 3; round++) {
        OK(put(s, 5, TIER_HASHED, 1));
        OK(put(s, 5, TIER_HASHED, 2));
        OK(put(s, 6, TIER_HASHED, 2));
        OK(put(s, 6, TIER_HASHED, 4));
        OK(put(s, 6, TIER_DENSE, 9));
        OK(put(s, 6, TIER_DENSE, 8));
        OK(erase(s, 6, TIER_WIDE, 4));
        s->tier->ops->abort(s->tier, s->version);
        s->tier->ops->abort(s->tier, s->version); // nothing more to forget
        norn_pin pin = pin_of(s);
        assert_int_equal(pin.step, 1);
        expect(s, &pin, TIER_HASHED, 1, 1);
        expect(s, &pin, TIER_HASHED, 2, NORN_TIER_NONE);
        expect(s, &pin, TIER_HASHED, 4, 0);
        expect(s, &pin, TIER_DENSE, 9, 1);
        expect(s, &pin, TIER_DENSE, 8, 0);
        expect(s, &pin, TIER_WIDE, 4, 0);
        unpin(s, &pin);
    }
    OK(put(s, 2, TIER_HASHED, 2)); // earlier than what was forgotten
    OK(commit(s, 2));
    norn_pin pin = pin_of(s);
    expect(s, &pin, TIER_HASHED, 2, 2);
    expect(s, &pin, TIER_HASHED, 1, 1);
    expect(s, &pin, TIER_DENSE, 9, 1);
    unpin(s, &pin);
}

static void steps_and_tables_that_cannot_be_are_refused(void **state) {
    const subject *s = *state;
    const int64_t key = 1;
    const float row[8] = {0};
    norn_delta delta = {.step = 7,
                        .table = TIER_HASHED,
                        .count = 1,
                        .keys = &key,
                        .rows = (const char *)row,
                        .row_bytes = 12};
    assert_int_equal(put(s, 0, TIER_HASHED, 1), NORN_FAILED_PRECONDITION); // the full version's
    OK(put(s, 7, TIER_HASHED, 1));
    OK(put(s, 7, TIER_HASHED, 4));
    assert_int_equal(put(s, 6, TIER_HASHED, 4), NORN_FAILED_PRECONDITION);
    assert_int_equal(commit(s, 6), NORN_FAILED_PRECONDITION);
    OK(commit(s, 7));
    assert_int_equal(put(s, 7, TIER_HASHED, 7), NORN_FAILED_PRECONDITION);
    assert_int_equal(commit(s, 6), NORN_FAILED_PRECONDITION);
    OK(commit(s, 7)); // nothing new
    delta.step = 8;
    assert_int_equal(s->tier->ops->apply(s->tier, s->version, &delta), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), norn_tier_names[TIER_HASHED]));
    delta.row_bytes = 16;
    delta.table = TIER_TABLES;
    assert_int_equal(s->tier->ops->apply(s->tier, s->version, &delta), NORN_INVALID_ARGUMENT);
    assert_int_equal(put(s, 8, TIER_DENSE, TIER_DENSE_ROWS), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), norn_tier_names[TIER_DENSE]));
    assert_int_equal(put(s, 8, TIER_DENSE, -1), NORN_INVALID_ARGUMENT);
    s->tier->ops->abort(s->tier, s->version);
    norn_pin pin = pin_of(s);
    assert_int_equal(pin.step, 7);
    expect(s, &pin, TIER_HASHED, 1, 7);
    expect(s, &pin, TIER_HASHED, 7, 0);
    unpin(s, &pin);
}

static void of_several_writes_to_a_key_the_last_holds(void **state) {
    const subject *s = *state;
    norn_pin before = pin_of(s);
    for (uint32_t t = 0; t < TIER_TABLES; t++) OK(put(s, 2, t, 1));
    for (uint32_t t = 0; t < TIER_TABLES; t++) OK(put(s, 4, t, 1));
    OK(erase(s, 4, TIER_HASHED, 7));
    OK(put(s, 4, TIER_HASHED, 7)); // within a step too
    OK(put(s, 4, TIER_HASHED, 10));
    OK(erase(s, 4, TIER_HASHED, 10));
    OK(commit(s, 5));
    norn_pin after = pin_of(s);
    assert_int_equal(after.step, 5);
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        expect(s, &before, t, 1, 0);
        expect(s, &after, t, 1, 4);
    }
    expect(s, &after, TIER_HASHED, 7, 4);
    expect(s, &after, TIER_HASHED, 10, NORN_TIER_NONE);
    unpin(s, &before);
    unpin(s, &after);
}

static void every_pin_keeps_its_step_however_many_come_after(void **state) {
    enum { STEPS = 40, KEYS = 30 };
    const subject *s = *state;
    norn_pin pins[STEPS];
    for (uint64_t step = 0; step < STEPS; step++) {
        for (int64_t k = 0; step > 0 && k < KEYS; k++)
            for (uint32_t t = 0; t < TIER_TABLES; t++) // keys that are there, and new ones
                if (k % (int64_t)step == 0) OK(put(s, step, t, k));
        if (step > 0) OK(commit(s, step));
        pins[step] = pin_of(s);
    }
    for (int half = 0; half < 2; half++) { // then with every other pin released
        for (uint64_t p = 0; p < STEPS; p++) {
            if (half && p % 2) continue;
            for (int64_t k = 0; k < KEYS; k++)
                for (uint32_t t = 0; t < TIER_TABLES; t++) {
                    uint64_t wanted = p;
                    while (wanted > 0 && k % (int64_t)wanted != 0) wanted--;
                    const bool in_file = t == TIER_DENSE || k % 3 == 1;
                    expect(s, &pins[p], t, k, wanted || in_file ? wanted : NORN_TIER_NONE);
                }
            if (!half && p % 2) unpin(s, &pins[p]);
        }
        OK(put(s, STEPS + (uint64_t)half, TIER_HASHED, 1));
        OK(commit(s, STEPS + (uint64_t)half));
    }
    for (uint64_t p = 0; p < STEPS; p += 2) unpin(s, &pins[p]);
}

static void thousands_of_new_keys_are_all_found(void **state) {
    enum { KEYS = 6000, STEPS = 12 };
    const subject *s = *state;
    int64_t *keys = calloc(KEYS, sizeof *keys);
    for (int64_t i = 0; i < KEYS; i++) keys[i] = 1000000 + i * (i % 2 ? 1 : 1 << 20);
    norn_pin half = {0};
    for (uint64_t step = 1; step <= STEPS; step++) {
        const uint32_t n = KEYS / STEPS;
        OK(norn_tier_write(s->tier, s->version, step, TIER_HASHED, keys + (step - 1) * n, n,
                           false));
        OK(commit(s, step));
        if (step == STEPS / 2) half = pin_of(s);
    }
    norn_pin pin = pin_of(s);
    for (uint64_t i = 0; i < KEYS; i++) {
        const uint64_t step = i / (KEYS / STEPS) + 1;
        expect(s, &pin, TIER_HASHED, keys[i], step);
        if (i % 50 == 0)
            expect(s, &half, TIER_HASHED, keys[i], step <= STEPS / 2 ? step : NORN_TIER_NONE);
    }
    unpin(s, &half);
    unpin(s, &pin);
    free(keys);
}

// ---- fill

static void fill_keeps_what_is_newer_here(void **state) {
    const subject *s = *state;
    enum { KEYS = 8 };
    OK(put(s, 5, TIER_HASHED, 1));
    OK(erase(s, 5, TIER_HASHED, 4));
    OK(put(s, 5, TIER_HASHED, 7));
    OK(commit(s, 6));
    norn_pin before = pin_of(s);
    const norn_row_key keys[KEYS] = {{1, TIER_HASHED},  {4, TIER_HASHED},  {7, TIER_HASHED},
                                     {10, TIER_HASHED}, {13, TIER_HASHED}, {2, TIER_HASHED},
                                     {5, TIER_HASHED},  {16, TIER_HASHED}};
    uint64_t step[KEYS] = {4, 5, 6, 0, 6, 2, 7, 3}, row_at[KEYS];
    uint8_t states[KEYS] = {NORN_ROW_FOUND, NORN_ROW_FOUND, NORN_ROW_FOUND, NORN_ROW_FOUND,
                            NORN_ROW_LATE,  NORN_ROW_FOUND, NORN_ROW_FOUND, NORN_ROW_DELETED};
    float rows[KEYS][4];
    uint32_t kept = 99;
    for (int i = 0; i < KEYS; i++) {
        row_at[i] = (uint64_t)i * sizeof rows[0];
        for (int c = 0; c < 4; c++) rows[i][c] = norn_tier_cell(1, step[i], keys[i].key);
    }
    norn_fetch fetched = {.keys = keys,
                          .count = KEYS,
                          .rows = (char *)rows,
                          .row_at = row_at,
                          .step = step,
                          .state = states};
    OK(s->tier->ops->fill(s->tier, s->version, &fetched, &kept));
    assert_int_equal(kept, 3);
    norn_pin pin = pin_of(s);
    expect(s, &pin, TIER_HASHED, 1, 5);              // older there
    expect(s, &pin, TIER_HASHED, 4, NORN_TIER_NONE); // deleted here by the same step
    expect(s, &pin, TIER_HASHED, 7, 6);              // newer there
    expect_view(s, &pin, TIER_HASHED, 6);
    expect(s, &pin, TIER_HASHED, 10, 0);             // the full version's, here too
    expect(s, &pin, TIER_HASHED, 13, 0);             // it was late
    expect(s, &pin, TIER_HASHED, 2, 2);              // not here before
    expect(s, &pin, TIER_HASHED, 5, NORN_TIER_NONE); // of a step that is not visible here
    assert_int_equal(norn_tier_read(s->tier, &pin, TIER_HASHED, 16).state, NORN_ROW_DELETED);
    unpin(s, &pin);
    OK(put(s, 8, TIER_HASHED, 2)); // a delta goes over what was filled
    OK(commit(s, 8));
    pin = pin_of(s);
    expect(s, &pin, TIER_HASHED, 2, 8);
    expect(s, &pin, TIER_HASHED, 7, 6);
    unpin(s, &pin);
    unpin(s, &before);
    const norn_row_key nowhere = {1, TIER_TABLES};
    fetched.keys = &nowhere;
    fetched.count = 1;
    assert_int_equal(s->tier->ops->fill(s->tier, s->version, &fetched, &kept),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(kept, 0);
}

// ---- memory

static norn_status whole_life(norn_alloc alloc, norn_tier **out) {
    norn_tier *tier = NULL;
    norn_version *version;
    norn_pin pin = {0};
    norn_status status;
    int64_t keys[100];
    for (int64_t i = 0; i < 100; i++) keys[i] = i;
    *out = NULL;
    NORN_TRY(create_tier(alloc, &tier));
    NORN_TRY_DONE(tier->ops->load(tier, 1, norn_tier_version_dir(1), &version));
    NORN_TRY_DONE(tier->ops->pin(tier, version, &pin));
    for (uint64_t step = 1; step < 4; step++) {
        for (uint32_t t = 0; t < TIER_TABLES; t++) {
            status = norn_tier_write(tier, version, step, t, keys, 100, false);
            if (status != NORN_OK) { // what was applied can always be taken back
                tier->ops->abort(tier, version);
                if (!(tier->ops->traits & NORN_TIER_SHARED)) // whose fetches need memory
                    norn_tier_expect(tier, &pin, TIER_DENSE, 5, 0);
                goto done;
            }
        }
        NORN_TRY_DONE(norn_tier_commit(tier, version, step));
    }
done:
    if (pin.version) tier->ops->unpin(tier, &pin);
    if (status == NORN_OK)
        *out = tier;
    else
        norn_tier_close(tier);
    return status;
}

static void a_tier_cleans_up_wherever_memory_ends(void **state) {
    norn_tier *tier;
    (void)state;
    (void)norn_tier_version_dir(1);
    NORN_MEMORY_SWEEP(whole_life(alloc, &tier), tier, norn_tier_close(tier));
}

static void no_answer_mixes_steps_while_deltas_go_in(void **state) {
    const subject *s = *state;
    norn_tier_race(s->tier, s->version);
}

int norn_tier_cases_run(const char *name, norn_tier_create_fn create) {
#define CASE(test) cmocka_unit_test_setup_teardown(test, open_tier, close_tier)
    const struct CMUnitTest tests[] = {
        CASE(a_loaded_version_has_every_row_of_its_folder_and_no_other),
        CASE(what_cannot_be_loaded_leaves_nothing_behind),
        CASE(versions_lie_beside_each_other_and_go_with_their_pins),
        CASE(a_tier_says_what_it_holds),
        CASE(one_fetch_reads_all_tables),
        CASE(applied_rows_are_seen_by_pins_after_the_commit_alone),
        CASE(an_abort_forgets_what_was_applied_and_no_more),
        CASE(steps_and_tables_that_cannot_be_are_refused),
        CASE(of_several_writes_to_a_key_the_last_holds),
        CASE(every_pin_keeps_its_step_however_many_come_after),
        CASE(thousands_of_new_keys_are_all_found),
        CASE(fill_keeps_what_is_newer_here),
        CASE(no_answer_mixes_steps_while_deltas_go_in),
        cmocka_unit_test(a_tier_cleans_up_wherever_memory_ends),
    };
    create_tier = create;
    return cmocka_run_group_tests_name(name, tests, norn_tier_make_folder, norn_tier_remove_folder);
}
