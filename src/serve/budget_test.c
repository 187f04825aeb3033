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
        cmocka_unit_test(threads_never_hold_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
