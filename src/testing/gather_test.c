/// Runs whose tables lie in a tier that is not in memory: the same answers as from memory, late rows
/// by rule, and no answer of two steps.
#include "runtime/instance.h"
#include "testing/gather_fixture.h"
#include "testing/memory_sweep.h"
#include "testing/slow_tier.h"

#include <string.h>

enum { MS = 1000000 };

static gather_world open_world(norn_fetch_rule rule) {
    norn_tier *tier;
    norn_version *version;
    OK(norn_slow_tier_create(norn_alloc_heap(), &tier));
    OK(tier->ops->load(tier, 1, norn_tier_version_dir(1), &version));
    return gather_open_world(tier, version, rule);
}

static uint64_t late_of(const gather_world *w, size_t table) {
    norn_snapshot *snapshot = gather_snapshot(w->store);
    const uint64_t late = norn_snapshot_table_stat(snapshot, table).late;
    norn_snapshot_release(snapshot);
    return late;
}
static uint64_t missing_of(const gather_world *w, size_t table) {
    norn_snapshot *snapshot = gather_snapshot(w->store);
    const uint64_t missing = norn_snapshot_table_stat(snapshot, table).missing;
    norn_snapshot_release(snapshot);
    return missing;
}

// ---- tests

static void rows_come_once_each_in_as_few_fetches_as_keys_are_known(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_answer a;
    norn_slow_tier_delay(w.tier, MS);
    for (uint64_t i = 1; i <= 3; i++) {
        OK(gather_run(w.session, gather_keys, gather_later, &a));
        gather_expect_step(&a, 0);
        assert_int_equal(norn_slow_tier_fetches(w.tier), 2 * i);
        // hashed 1 4 7, dense 0 199 5, wide 4 118 1; later 10 4 7
        assert_int_equal(norn_slow_tier_keys(w.tier), (9 + 3) * i);
    }
    for (size_t t = 0; t < TIER_TABLES; t++) {
        assert_int_equal(late_of(&w, t), 0);
        assert_int_equal(missing_of(&w, t), 0);
    }
    gather_close_world(&w);
}

static void a_run_sees_the_step_of_its_snapshot(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_answer a;
    norn_snapshot *snapshot = gather_snapshot(w.store);
    assert_int_equal(snapshot->version, 1);
    assert_int_equal(snapshot->sequence, 0);
    norn_snapshot_release(snapshot);
    gather_write_all(w.tier, w.version, 6);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_use_newest(&w);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 6);
    snapshot = gather_snapshot(w.store);
    assert_int_equal(snapshot->sequence, 6);
    norn_snapshot_release(snapshot);
    gather_close_world(&w);
}

static void absent_keys_follow_the_tables_policy_as_in_memory(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_answer a;
    int64_t keys[GATHER_BATCH][TIER_TABLES];
    memcpy(keys, gather_keys, sizeof keys);
    keys[2][TIER_HASHED] = keys[3][TIER_HASHED] = 2;
    OK(gather_run(w.session, keys, gather_later, &a));
    assert_true(a.first[2][0] == 0 && a.first[3][3] == 0);
    assert_true(a.first[2][4] == norn_tier_cell(1, 0, 0));
    assert_int_equal(missing_of(&w, TIER_HASHED), 2);
    keys[4][TIER_DENSE] = TIER_DENSE_ROWS;
    assert_int_equal(gather_run(w.session, keys, gather_later, &a), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "'b_dense'"));
    assert_non_null(strstr(norn_message(), "200"));
    assert_int_equal(missing_of(&w, TIER_DENSE), 1);
    gather_close_world(&w);
}

static void rows_after_the_deadline_are_the_default_and_counted(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, 3 * MS});
    gather_answer a;
    norn_slow_tier_delay(w.tier, INT64_C(3600) * 1000 * MS);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, NORN_TIER_NONE);
    norn_table_set *tables = norn_session_pin_tables(w.session);
    assert_int_equal(norn_table_set_late(tables, TIER_HASHED), 3 + 3);
    assert_int_equal(norn_table_set_late(tables, TIER_DENSE), 3);
    norn_table_set_release(tables);
    assert_int_equal(late_of(&w, TIER_HASHED), 3 + 3);
    assert_int_equal(late_of(&w, TIER_DENSE), 3);
    assert_int_equal(late_of(&w, TIER_WIDE), 3);
    for (size_t t = 0; t < TIER_TABLES; t++) assert_int_equal(missing_of(&w, t), 0);
    gather_close_world(&w);
    w = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, INT64_C(60000) * MS});
    OK(gather_run(w.session, gather_keys, gather_later, &a)); // in time
    gather_expect_step(&a, 0);
    assert_int_equal(late_of(&w, TIER_HASHED), 0);
    gather_close_world(&w);
}

static void a_table_that_never_waits_takes_what_has_come(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){.policy = NORN_FETCH_DEFAULT});
    gather_answer a;
    norn_slow_tier_delay(w.tier, 150 * MS);
    for (int i = 1; i <= 3; i++) { // the first fetch is on its way: nobody asks again
        OK(gather_run(w.session, gather_keys, gather_later, &a));
        gather_expect_step(&a, NORN_TIER_NONE);
        assert_int_equal(late_of(&w, TIER_WIDE), 3 * i);
        assert_int_equal(norn_slow_tier_fetches(w.tier), 1);
    }
    gather_use_newest(&w); // what is on its way holds the snapshot that it is of
    gather_close_world(&w);
}

static void a_tier_that_fails_fails_the_run_or_is_late(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_answer a;
    norn_slow_tier_fail(w.tier, NORN_UNAVAILABLE);
    assert_int_equal(gather_run(w.session, gather_keys, gather_later, &a), NORN_UNAVAILABLE);
    assert_non_null(strstr(norn_message(), "table 'a_hashed': the slow tier failed"));
    assert_non_null(strstr(norn_message(), "'look'"));
    norn_slow_tier_fail(w.tier, NORN_OK);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_close_world(&w);
    w = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, INT64_C(60000) * MS});
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    norn_slow_tier_fail(w.tier, NORN_UNAVAILABLE);
    OK(gather_run(w.session, gather_keys, gather_later, &a)); // defaults, where rows were
    gather_expect_step(&a, NORN_TIER_NONE);
    assert_int_equal(late_of(&w, TIER_DENSE), 3);
    gather_close_world(&w);
}

static void tables_in_memory_and_elsewhere_go_together(void **state) {
    (void)state;
    norn_tier *tier;
    norn_version *version;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_answer a;
    OK(norn_store_open_version(w.store, "ranker", 1, norn_tier_version_dir(1)));
    gather_use_newest(&w); // all from memory now
    const uint64_t fetches = norn_slow_tier_fetches(w.tier);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    assert_int_equal(norn_slow_tier_fetches(w.tier), fetches);
    norn_table_set *tables = norn_session_pin_tables(w.session);
    assert_int_equal(norn_table_set_late(tables, TIER_HASHED), 0);
    norn_table_set_release(tables);
    norn_snapshot *snapshot = gather_snapshot(w.store);
    assert_string_equal(snapshot->model, "ranker");
    assert_int_equal(snapshot->version, 1);
    norn_snapshot_release(snapshot);
    tier = norn_store_tier(w.store);
    version = norn_store_version(w.store);
    gather_write_all(tier, version, 2);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_close_world(&w);
}

static void the_steady_state_allocates_nothing(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    norn_alloc_faulty counter = {.fail_at = SIZE_MAX};
    norn_session *session;
    norn_snapshot *snapshot = gather_snapshot(w.store);
    gather_answer a;
    OK(norn_session_create(w.plan, &(norn_session_options){.threads = 1, .snapshot = snapshot},
                           norn_alloc_failing(&counter), &session));
    norn_snapshot_release(snapshot);
    for (int i = 0; i < 2; i++) OK(gather_run(session, gather_keys, gather_later, &a));
    const size_t before = counter.count;
    for (int i = 0; i < 20; i++) OK(gather_run(session, gather_keys, gather_later, &a));
    assert_int_equal(counter.count, before);
    gather_expect_step(&a, 0);
    norn_session_destroy(session);
    assert_int_equal(counter.live, 0);
    gather_close_world(&w);
}

static norn_status run_once(const gather_world *w, norn_snapshot *snapshot, norn_alloc alloc,
                            norn_session **out) {
    gather_answer a;
    NORN_TRY(norn_session_create(
        w->plan, &(norn_session_options){.threads = 1, .snapshot = snapshot}, alloc, out));
    const norn_status status = gather_run(*out, gather_keys, gather_later, &a);
    if (status == NORN_OK) return NORN_OK;
    norn_session_destroy(*out);
    *out = NULL;
    return status;
}

static void a_gathered_run_cleans_up_wherever_memory_ends(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    norn_snapshot *snapshot = gather_snapshot(w.store);
    norn_session *session;
    NORN_MEMORY_SWEEP(run_once(&w, snapshot, alloc, &session), session,
                      norn_session_destroy(session));
    norn_snapshot_release(snapshot);
    gather_close_world(&w);
}

// ---- deltas beside runs

static void no_answer_mixes_steps_of_tables_in_memory(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    OK(norn_store_open_version(w.store, "", 1, norn_tier_version_dir(1)));
    gather_use_newest(&w);
    gather_mixing m = {
        .w = &w, .tier = norn_store_tier(w.store), .version = norn_store_version(w.store)};
    gather_race(&m);
    gather_close_world(&w);
}

static void no_answer_mixes_steps_of_tables_elsewhere(void **state) {
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_mixing m = {.w = &w, .tier = w.tier, .version = w.version};
    gather_race(&m);
    gather_close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_once_each_in_as_few_fetches_as_keys_are_known),
        cmocka_unit_test(a_run_sees_the_step_of_its_snapshot),
        cmocka_unit_test(absent_keys_follow_the_tables_policy_as_in_memory),
        cmocka_unit_test(rows_after_the_deadline_are_the_default_and_counted),
        cmocka_unit_test(a_table_that_never_waits_takes_what_has_come),
        cmocka_unit_test(a_tier_that_fails_fails_the_run_or_is_late),
        cmocka_unit_test(tables_in_memory_and_elsewhere_go_together),
        cmocka_unit_test(the_steady_state_allocates_nothing),
        cmocka_unit_test(a_gathered_run_cleans_up_wherever_memory_ends),
        cmocka_unit_test(no_answer_mixes_steps_of_tables_in_memory),
        cmocka_unit_test(no_answer_mixes_steps_of_tables_elsewhere),
    };
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
