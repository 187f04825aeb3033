/// Runs whose tables lie in a tier that is not in memory: the same answers as from memory, late rows
/// by rule, and no answer of two steps.
#include "base/cmocka_all.h"
#include "norn/session.h"
#include "runtime/instance.h"
#include "store/store.h"
#include "testing/hand_graph.h"
#include "testing/memory_sweep.h"
#include "testing/slow_tier.h"
#include "testing/tier_fixture.h"

#include <pthread.h>
#include <sched.h>

enum { WIDTH = 4 + 3 + TIER_WIDEST, LATER = 4, BATCH = 5, MS = 1000000 };

static const norn_lookup_column plain = {.form = NORN_KEYS_ONE,
                                         .rows_input = NORN_NO_INPUT,
                                         .offsets_input = NORN_NO_INPUT,
                                         .weights_input = NORN_NO_INPUT};

/// keys[B, 3] -> first[B, 40]: a row of each table. later int32[B] -> Cast -> second[B, 4]: rows of
/// the hashed table, whose keys are not known when the run begins.
static norn_plan *make_plan(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *keys = hand_input(&h, "keys", NORN_I64, hand_rows(&h, TIER_TABLES)),
               *later = hand_input(&h, "later", NORN_I32, hand_rows(&h, 0)),
               *first = hand_value(&h, "first", NORN_F32, hand_rows(&h, WIDTH)),
               *wide = hand_value(&h, "wide", NORN_I64, hand_rows(&h, 0)),
               *second = hand_value(&h, "second", NORN_F32, hand_rows(&h, LATER));
    norn_region *region;
    norn_lookup_column *columns;
    norn_attr *to;
    HAND_OK(NORN_TAKE(&h.graph->arena, &region));
    HAND_OK(NORN_TAKE_ARRAY(&h.graph->arena, TIER_TABLES, &columns));
    for (uint32_t t = 0, at = 0; t < TIER_TABLES; at += (uint32_t)norn_tier_dims[t++]) {
        columns[t] = plain;
        columns[t].table = t;
        columns[t].dim = norn_tier_dims[t];
        columns[t].keys_first = t;
        columns[t].keys_stride = TIER_TABLES;
        columns[t].keys_count = 1;
        columns[t].column = at;
    }
    region->lookup = (norn_lookup_region){TIER_TABLES, columns};
    hand_node(&h, NORN_OP_Lookup, "look", &keys, 1, &first, 1, (norn_attrs){0}, region);
    HAND_OK(NORN_TAKE(&h.graph->arena, &to));
    *to = (norn_attr){.name = "to", .kind = NORN_ATTR_INT, .i64 = 7};
    hand_node(&h, NORN_OP_Cast, "widen", &later, 1, &wide, 1, (norn_attrs){to, 1}, NULL);
    HAND_OK(NORN_TAKE(&h.graph->arena, &region));
    HAND_OK(NORN_TAKE(&h.graph->arena, &columns));
    *columns = plain;
    columns->dim = LATER;
    columns->key_offset = 3;
    columns->keys_count = 1;
    region->lookup = (norn_lookup_region){1, columns};
    hand_node(&h, NORN_OP_Lookup, "look_later", &wide, 1, &second, 1, (norn_attrs){0}, region);
    hand_output(&h, first);
    hand_output(&h, second);
    norn_plan *plan = hand_plan(&h, "cpu");
    HAND_OK(NORN_TAKE_ARRAY(&plan->arena, TIER_TABLES, &plan->tables));
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        plan->tables[t] = (norn_plan_table){
            .name = norn_tier_names[t], .dim = norn_tier_dims[t], .dtype = NORN_F32, .source = ""};
    plan->table_count = TIER_TABLES;
    return plan;
}

typedef struct world {
    norn_tier *tier; ///< slow
    norn_version *version;
    norn_store *store;
    norn_plan *plan;
    norn_session *session;
} world;

static norn_snapshot *snapshot_of(norn_store *store) {
    norn_snapshot *snapshot;
    OK(norn_store_snapshot(store, &snapshot));
    return snapshot;
}

static void use_newest(world *w) {
    norn_snapshot *snapshot = snapshot_of(w->store);
    OK(norn_session_set_snapshot(w->session, snapshot));
    norn_snapshot_release(snapshot);
}

/// All tables by the same rule.
static world open_world(norn_fetch_rule rule) {
    world w = {0};
    const norn_fetch_rule rules[TIER_TABLES] = {rule, rule, rule};
    OK(norn_slow_tier_create(norn_alloc_heap(), &w.tier));
    OK(w.tier->ops->load(w.tier, 1, norn_tier_version_dir(1), &w.version));
    OK(norn_store_create(norn_alloc_heap(), &w.store));
    OK(norn_store_attach(w.store, w.tier, w.version, rules));
    w.plan = make_plan();
    norn_snapshot *snapshot = snapshot_of(w.store);
    OK(norn_session_create(
        w.plan, &(norn_session_options){.threads = 1, .instances = 2, .snapshot = snapshot},
        norn_alloc_heap(), &w.session));
    norn_snapshot_release(snapshot);
    return w;
}

static void close_world(world *w) {
    norn_session_destroy(w->session);
    norn_plan_release(w->plan);
    norn_store_destroy(w->store);
    norn_tier_close(w->tier);
}

typedef struct answer {
    float first[BATCH][WIDTH], second[BATCH][LATER];
} answer;

static norn_status run(norn_session *session, int64_t (*keys)[TIER_TABLES], int32_t *later,
                       answer *out) {
    const norn_view in[2] = {norn_view_of(NORN_I64, 2, (int64_t[]){BATCH, TIER_TABLES}, keys),
                             norn_view_of(NORN_I32, 1, (int64_t[]){BATCH}, later)};
    norn_view views[2] = {{.data = out->first}, {.data = out->second}};
    const size_t room[2] = {sizeof out->first, sizeof out->second};
    memset(out, 0x55, sizeof *out);
    return norn_session_run(session,
                            &(norn_run_args){.inputs = in, .outputs = views, .output_bytes = room});
}

static int64_t keys_of[BATCH][TIER_TABLES] = {
    {1, 0, 4}, {4, 199, 4}, {1, 0, 118}, {7, 5, 1}, {4, 0, 4}};
static int32_t later_of[BATCH] = {7, 7, 1, 4, 7}; // 3 less than the key

/// Every row is that of `step`; step NORN_TIER_NONE: zeros.
static void expect_step(const answer *a, uint64_t step) {
    for (int b = 0; b < BATCH; b++) {
        for (uint32_t t = 0, at = 0; t < TIER_TABLES; t++)
            for (int64_t e = 0; e < norn_tier_dims[t]; e++, at++)
                assert_true(a->first[b][at] ==
                            (step == NORN_TIER_NONE ? 0 : norn_tier_cell(1, step, keys_of[b][t])));
        for (int e = 0; e < LATER; e++)
            assert_true(a->second[b][e] ==
                        (step == NORN_TIER_NONE ? 0 : norn_tier_cell(1, step, later_of[b] + 3)));
    }
}

/// A step that writes every key that is asked for.
static void write_all(norn_tier *tier, norn_version *version, uint64_t step) {
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        int64_t keys[BATCH * 2];
        for (int b = 0; b < BATCH; b++) keys[b] = keys_of[b][t], keys[BATCH + b] = later_of[b] + 3;
        OK(norn_tier_write(tier, version, step, t, keys, BATCH * 2, false));
    }
    OK(norn_tier_commit(tier, version, step));
}

static uint64_t late_of(const world *w, size_t table) {
    norn_snapshot *snapshot = snapshot_of(w->store);
    const uint64_t late = norn_snapshot_table_stat(snapshot, table).late;
    norn_snapshot_release(snapshot);
    return late;
}
static uint64_t missing_of(const world *w, size_t table) {
    norn_snapshot *snapshot = snapshot_of(w->store);
    const uint64_t missing = norn_snapshot_table_stat(snapshot, table).missing;
    norn_snapshot_release(snapshot);
    return missing;
}

// ---- tests

static void rows_come_once_each_in_as_few_fetches_as_keys_are_known(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    answer a;
    norn_slow_tier_delay(w.tier, MS);
    for (uint64_t i = 1; i <= 3; i++) {
        OK(run(w.session, keys_of, later_of, &a));
        expect_step(&a, 0);
        assert_int_equal(norn_slow_tier_fetches(w.tier), 2 * i);
        // hashed 1 4 7, dense 0 199 5, wide 4 118 1; later 10 4 7
        assert_int_equal(norn_slow_tier_keys(w.tier), (9 + 3) * i);
    }
    for (size_t t = 0; t < TIER_TABLES; t++) {
        assert_int_equal(late_of(&w, t), 0);
        assert_int_equal(missing_of(&w, t), 0);
    }
    close_world(&w);
}

static void a_run_sees_the_step_of_its_snapshot(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    answer a;
    norn_snapshot *snapshot = snapshot_of(w.store);
    assert_int_equal(snapshot->version, 1);
    assert_int_equal(snapshot->sequence, 0);
    norn_snapshot_release(snapshot);
    write_all(w.tier, w.version, 6);
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, 0);
    use_newest(&w);
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, 6);
    snapshot = snapshot_of(w.store);
    assert_int_equal(snapshot->sequence, 6);
    norn_snapshot_release(snapshot);
    close_world(&w);
}

static void absent_keys_follow_the_tables_policy_as_in_memory(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    answer a;
    int64_t keys[BATCH][TIER_TABLES];
    memcpy(keys, keys_of, sizeof keys);
    keys[2][TIER_HASHED] = keys[3][TIER_HASHED] = 2;
    OK(run(w.session, keys, later_of, &a));
    assert_true(a.first[2][0] == 0 && a.first[3][3] == 0);
    assert_true(a.first[2][4] == norn_tier_cell(1, 0, 0));
    assert_int_equal(missing_of(&w, TIER_HASHED), 2);
    keys[4][TIER_DENSE] = TIER_DENSE_ROWS;
    assert_int_equal(run(w.session, keys, later_of, &a), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "'b_dense'"));
    assert_non_null(strstr(norn_message(), "200"));
    assert_int_equal(missing_of(&w, TIER_DENSE), 1);
    close_world(&w);
}

static void rows_after_the_deadline_are_the_default_and_counted(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, 3 * MS});
    answer a;
    norn_slow_tier_delay(w.tier, INT64_C(3600) * 1000 * MS);
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, NORN_TIER_NONE);
    norn_table_set *tables = norn_session_pin_tables(w.session);
    assert_int_equal(norn_table_set_late(tables, TIER_HASHED), 3 + 3);
    assert_int_equal(norn_table_set_late(tables, TIER_DENSE), 3);
    norn_table_set_release(tables);
    assert_int_equal(late_of(&w, TIER_HASHED), 3 + 3);
    assert_int_equal(late_of(&w, TIER_DENSE), 3);
    assert_int_equal(late_of(&w, TIER_WIDE), 3);
    for (size_t t = 0; t < TIER_TABLES; t++) assert_int_equal(missing_of(&w, t), 0);
    close_world(&w);
    w = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, INT64_C(60000) * MS});
    OK(run(w.session, keys_of, later_of, &a)); // in time
    expect_step(&a, 0);
    assert_int_equal(late_of(&w, TIER_HASHED), 0);
    close_world(&w);
}

static void a_table_that_never_waits_takes_what_has_come(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){.policy = NORN_FETCH_DEFAULT});
    answer a;
    norn_slow_tier_delay(w.tier, 150 * MS);
    for (int i = 1; i <= 3; i++) { // the first fetch is on its way: nobody asks again
        OK(run(w.session, keys_of, later_of, &a));
        expect_step(&a, NORN_TIER_NONE);
        assert_int_equal(late_of(&w, TIER_WIDE), 3 * i);
        assert_int_equal(norn_slow_tier_fetches(w.tier), 1);
    }
    use_newest(&w); // what is on its way holds the snapshot that it is of
    close_world(&w);
}

static void a_tier_that_fails_fails_the_run_or_is_late(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    answer a;
    norn_slow_tier_fail(w.tier, NORN_UNAVAILABLE);
    assert_int_equal(run(w.session, keys_of, later_of, &a), NORN_UNAVAILABLE);
    assert_non_null(strstr(norn_message(), "table 'a_hashed': the slow tier failed"));
    assert_non_null(strstr(norn_message(), "'look'"));
    norn_slow_tier_fail(w.tier, NORN_OK);
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, 0);
    close_world(&w);
    w = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, INT64_C(60000) * MS});
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, 0);
    norn_slow_tier_fail(w.tier, NORN_UNAVAILABLE);
    OK(run(w.session, keys_of, later_of, &a)); // defaults, where rows were
    expect_step(&a, NORN_TIER_NONE);
    assert_int_equal(late_of(&w, TIER_DENSE), 3);
    close_world(&w);
}

static void tables_in_memory_and_elsewhere_go_together(void **state) {
    (void)state;
    norn_tier *tier;
    norn_version *version;
    world w = open_world((norn_fetch_rule){0});
    answer a;
    OK(norn_store_open_version(w.store, "ranker", 1, norn_tier_version_dir(1)));
    use_newest(&w); // all from memory now
    const uint64_t fetches = norn_slow_tier_fetches(w.tier);
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, 0);
    assert_int_equal(norn_slow_tier_fetches(w.tier), fetches);
    norn_table_set *tables = norn_session_pin_tables(w.session);
    assert_int_equal(norn_table_set_late(tables, TIER_HASHED), 0);
    norn_table_set_release(tables);
    norn_snapshot *snapshot = snapshot_of(w.store);
    assert_string_equal(snapshot->model, "ranker");
    assert_int_equal(snapshot->version, 1);
    norn_snapshot_release(snapshot);
    tier = norn_store_tier(w.store);
    version = norn_store_version(w.store);
    write_all(tier, version, 2);
    OK(run(w.session, keys_of, later_of, &a));
    expect_step(&a, 0);
    close_world(&w);
}

static void the_steady_state_allocates_nothing(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    norn_alloc_faulty counter = {.fail_at = SIZE_MAX};
    norn_session *session;
    norn_snapshot *snapshot = snapshot_of(w.store);
    answer a;
    OK(norn_session_create(w.plan, &(norn_session_options){.threads = 1, .snapshot = snapshot},
                           norn_alloc_failing(&counter), &session));
    norn_snapshot_release(snapshot);
    for (int i = 0; i < 2; i++) OK(run(session, keys_of, later_of, &a));
    const size_t before = counter.count;
    for (int i = 0; i < 20; i++) OK(run(session, keys_of, later_of, &a));
    assert_int_equal(counter.count, before);
    expect_step(&a, 0);
    norn_session_destroy(session);
    assert_int_equal(counter.live, 0);
    close_world(&w);
}

static norn_status run_once(const world *w, norn_snapshot *snapshot, norn_alloc alloc,
                            norn_session **out) {
    answer a;
    NORN_TRY(norn_session_create(
        w->plan, &(norn_session_options){.threads = 1, .snapshot = snapshot}, alloc, out));
    const norn_status status = run(*out, keys_of, later_of, &a);
    if (status == NORN_OK) return NORN_OK;
    norn_session_destroy(*out);
    *out = NULL;
    return status;
}

static void a_gathered_run_cleans_up_wherever_memory_ends(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    norn_snapshot *snapshot = snapshot_of(w.store);
    norn_session *session;
    NORN_MEMORY_SWEEP(run_once(&w, snapshot, alloc, &session), session,
                      norn_session_destroy(session));
    norn_snapshot_release(snapshot);
    close_world(&w);
}

// ---- deltas beside runs

typedef struct mixing {
    world *w;
    norn_tier *tier;
    norn_version *version;
    atomic_bool stop;
    atomic_int runs, mixed;
} mixing;

static void *run_many(void *argument) {
    mixing *m = argument;
    answer a;
    while (!atomic_load(&m->stop)) {
        if (run(m->w->session, keys_of, later_of, &a) != NORN_OK) {
            atomic_fetch_add(&m->mixed, 1);
            continue;
        }
        // 4000000 + 1000 step + key
        const float step = a.first[0][0] - norn_tier_cell(1, 0, keys_of[0][0]);
        for (int b = 0; b < BATCH; b++) {
            for (uint32_t t = 0, at = 0; t < TIER_TABLES; at += (uint32_t)norn_tier_dims[t++])
                if (a.first[b][at] - norn_tier_cell(1, 0, keys_of[b][t]) != step)
                    atomic_fetch_add(&m->mixed, 1);
            if (a.second[b][3] - norn_tier_cell(1, 0, later_of[b] + 3) != step)
                atomic_fetch_add(&m->mixed, 1);
        }
        atomic_fetch_add(&m->runs, 1);
    }
    return NULL;
}

static void race(mixing *m) {
    enum { STEPS = 120, READERS = 2 };
    pthread_t readers[READERS];
    answer a;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, run_many, m), 0);
    while (m->runs == 0 && m->mixed == 0) sched_yield();
    for (uint64_t step = 1; step <= STEPS; step++) {
        write_all(m->tier, m->version, step);
        use_newest(m->w);
    }
    atomic_store(&m->stop, true);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(m->mixed, 0);
    assert_true(m->runs > 0);
    OK(run(m->w->session, keys_of, later_of, &a));
    expect_step(&a, STEPS);
}

static void no_answer_mixes_steps_of_tables_in_memory(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    OK(norn_store_open_version(w.store, "", 1, norn_tier_version_dir(1)));
    use_newest(&w);
    mixing m = {.w = &w, .tier = norn_store_tier(w.store), .version = norn_store_version(w.store)};
    race(&m);
    close_world(&w);
}

static void no_answer_mixes_steps_of_tables_elsewhere(void **state) {
    (void)state;
    world w = open_world((norn_fetch_rule){0});
    mixing m = {.w = &w, .tier = w.tier, .version = w.version};
    race(&m);
    close_world(&w);
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
