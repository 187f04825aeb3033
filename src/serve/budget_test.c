#include "serve/budget.h"

#include "base/cmocka_all.h"

#include <pthread.h>

enum { MIB = 1 << 20 };

static void what_does_not_fit_is_refused_and_leaves_nothing_taken(void **state) {
    norn_budget budget;
    (void)state;
    norn_budget_init(&budget, 8 * MIB);
    assert_true(norn_budget_could_take(&budget, 4 * MIB));
    assert_true(norn_budget_take(&budget, 4 * MIB));
    assert_false(norn_budget_could_take(&budget, 4 * MIB));
    assert_true(norn_budget_could_take(&budget, 3 * MIB));
    assert_false(norn_budget_take(&budget, 4 * MIB));
    assert_int_equal(budget.held_bytes, 4 * MIB);
    assert_int_equal(budget.refused, 1);
    assert_true(norn_budget_take(&budget, 3 * MIB));
    norn_budget_give(&budget, 7 * MIB);
    assert_int_equal(budget.held_bytes, 0);
    assert_int_equal(budget.peak_bytes, 7 * MIB);
}

static void the_last_eighth_is_for_small_takes(void **state) {
    norn_budget budget;
    (void)state;
    norn_budget_init(&budget, 8 * MIB);
    assert_true(norn_budget_take(&budget, 7 * MIB));
    assert_false(norn_budget_take(&budget, NORN_BUDGET_SMALL_BYTES + 1));
    for (int i = 0; i < MIB / NORN_BUDGET_SMALL_BYTES; i++)
        assert_true(norn_budget_take(&budget, NORN_BUDGET_SMALL_BYTES));
    assert_false(norn_budget_take(&budget, 1));
}

static void sizes_near_the_end_of_the_type_do_not_wrap(void **state) {
    norn_budget budget;
    (void)state;
    norn_budget_init(&budget, 8 * MIB);
    assert_true(norn_budget_take(&budget, MIB));
    assert_false(norn_budget_take(&budget, INT64_MAX));
    assert_false(norn_budget_fits(&budget, INT64_MAX));
    assert_false(norn_budget_fits(&budget, 7 * MIB + 1));
    assert_true(norn_budget_fits(&budget, 7 * MIB));
    assert_int_equal(budget.held_bytes, MIB);
}

static void what_is_there_already_counts_against_those_who_ask(void **state) {
    norn_budget budget;
    (void)state;
    norn_budget_init(&budget, MIB);
    norn_budget_force(&budget, 2 * MIB);
    assert_false(norn_budget_take(&budget, 1));
    norn_budget_give(&budget, 2 * MIB);
    assert_true(norn_budget_take(&budget, 1));
}

static void a_trim_is_wanted_once_after_a_high_peak(void **state) {
    norn_budget budget;
    (void)state;
    norn_budget_init(&budget, 1024ll * MIB);
    norn_budget_force(&budget, 10 * MIB);
    norn_budget_give(&budget, 10 * MIB);
    assert_false(norn_budget_wants_trim(&budget)); // the peak was low
    norn_budget_force(&budget, 400ll * MIB);
    norn_budget_give(&budget, 200ll * MIB);
    assert_false(norn_budget_wants_trim(&budget)); // half is still held
    norn_budget_give(&budget, 150ll * MIB);
    assert_true(norn_budget_wants_trim(&budget));
    assert_false(norn_budget_wants_trim(&budget));
}

/// From a peak of 64 MiB on, once no more than a quarter of it is held.
static void a_trim_is_wanted_from_its_bounds_on(void **state) {
    static const struct {
        int64_t peak, held;
        bool wanted;
    } cases[] = {{64ll * MIB, 16ll * MIB, true},   {64ll * MIB, 16ll * MIB + 1, false},
                 {64ll * MIB - 1, 0, false},       {64ll * MIB, 0, true},
                 {400ll * MIB, 100ll * MIB, true}, {400ll * MIB, 100ll * MIB + 1, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_budget budget;
        norn_budget_init(&budget, 1024ll * MIB);
        norn_budget_force(&budget, cases[i].peak);
        norn_budget_give(&budget, cases[i].peak - cases[i].held);
        assert_int_equal(norn_budget_wants_trim(&budget), cases[i].wanted);
        assert_int_equal(budget.peak_bytes, cases[i].wanted ? cases[i].held : cases[i].peak);
    }
}

/// Takes of each size fill the budget to their own bound and not a byte further.
static void the_last_byte_fits_and_the_next_does_not(void **state) {
    static const struct {
        int64_t bytes, room;
    } cases[] = {{NORN_BUDGET_SMALL_BYTES, 8 * MIB},
                 {NORN_BUDGET_SMALL_BYTES + 1, 7 * MIB},
                 {1, 8 * MIB},
                 {2 * MIB, 7 * MIB}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int over = 0; over < 2; over++) {
            norn_budget budget;
            norn_budget_init(&budget, 8 * MIB);
            norn_budget_force(&budget, cases[i].room - cases[i].bytes + over);
            assert_int_equal(norn_budget_could_take(&budget, cases[i].bytes), !over);
            assert_true(norn_budget_fits(&budget, cases[i].bytes));
            assert_int_equal(norn_budget_take(&budget, cases[i].bytes), !over);
            assert_int_equal(budget.refused, over);
            assert_int_equal(budget.held_bytes,
                             over ? cases[i].room - cases[i].bytes + 1 : cases[i].room);
        }
}

static void *take_and_give(void *context) {
    norn_budget *budget = context;
    for (int i = 0; i < 20000; i++)
        if (norn_budget_take(budget, 100)) norn_budget_give(budget, 100);
    return NULL;
}

static void threads_never_hold_more_than_the_limit(void **state) {
    norn_budget budget;
    pthread_t threads[4];
    (void)state;
    norn_budget_init(&budget, 250); // two of four fit
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(budget.held_bytes, 0);
    assert_in_range(budget.peak_bytes, 100, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_refused_and_leaves_nothing_taken),
        cmocka_unit_test(the_last_eighth_is_for_small_takes),
        cmocka_unit_test(sizes_near_the_end_of_the_type_do_not_wrap),
        cmocka_unit_test(what_is_there_already_counts_against_those_who_ask),
        cmocka_unit_test(a_trim_is_wanted_once_after_a_high_peak),
        cmocka_unit_test(a_trim_is_wanted_from_its_bounds_on),
        cmocka_unit_test(the_last_byte_fits_and_the_next_does_not),
        cmocka_unit_test(threads_never_hold_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
