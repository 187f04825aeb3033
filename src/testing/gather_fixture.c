#include "testing/gather_fixture.h"
#include "runtime/instance.h"
#include "testing/hand_graph.h"

#include <pthread.h>
#include <sched.h>

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
               *first = hand_value(&h, "first", NORN_F32, hand_rows(&h, GATHER_WIDTH)),
               *wide = hand_value(&h, "wide", NORN_I64, hand_rows(&h, 0)),
               *second = hand_value(&h, "second", NORN_F32, hand_rows(&h, GATHER_LATER));
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
    columns->dim = GATHER_LATER;
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

norn_status gather_run(norn_session *session, int64_t (*keys)[TIER_TABLES], int32_t *later,
                       gather_answer *out) {
    const norn_view in[2] = {
        norn_view_of(NORN_I64, 2, (int64_t[]){GATHER_BATCH, TIER_TABLES}, keys),
        norn_view_of(NORN_I32, 1, (int64_t[]){GATHER_BATCH}, later)};
    norn_view views[2] = {{.data = out->first}, {.data = out->second}};
    const size_t room[2] = {sizeof out->first, sizeof out->second};
    memset(out, 0x55, sizeof *out);
    return norn_session_run(session,
                            &(norn_run_args){.inputs = in, .outputs = views, .output_bytes = room});
}

int64_t gather_keys[GATHER_BATCH][TIER_TABLES] = {
    {1, 0, 4}, {4, 199, 4}, {1, 0, 118}, {7, 5, 1}, {4, 0, 4}};
int32_t gather_later[GATHER_BATCH] = {7, 7, 1, 4, 7}; // 3 less than the key

/// Every row is that of `step`; step NORN_TIER_NONE: zeros.
void gather_expect_step(const gather_answer *a, uint64_t step) {
    for (int b = 0; b < GATHER_BATCH; b++) {
        for (uint32_t t = 0, at = 0; t < TIER_TABLES; t++)
            for (int64_t e = 0; e < norn_tier_dims[t]; e++, at++)
                assert_true(
                    a->first[b][at] ==
                    (step == NORN_TIER_NONE ? 0 : norn_tier_cell(1, step, gather_keys[b][t])));
        for (int e = 0; e < GATHER_LATER; e++)
            assert_true(
                a->second[b][e] ==
                (step == NORN_TIER_NONE ? 0 : norn_tier_cell(1, step, gather_later[b] + 3)));
    }
}

/// A step that writes every key that is asked for.
void gather_write_all(norn_tier *tier, norn_version *version, uint64_t step) {
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        int64_t keys[GATHER_BATCH * 2];
        for (int b = 0; b < GATHER_BATCH; b++)
            keys[b] = gather_keys[b][t], keys[GATHER_BATCH + b] = gather_later[b] + 3;
        OK(norn_tier_write(tier, version, step, t, keys, GATHER_BATCH * 2, false));
    }
    OK(norn_tier_commit(tier, version, step));
}

norn_snapshot *gather_snapshot(norn_store *store) {
    norn_snapshot *snapshot;
    OK(norn_store_snapshot(store, &snapshot));
    return snapshot;
}

void gather_use_newest(gather_world *w) {
    norn_snapshot *snapshot = gather_snapshot(w->store);
    OK(norn_session_set_snapshot(w->session, snapshot));
    norn_snapshot_release(snapshot);
}

gather_world gather_open_world(norn_tier *tier, norn_version *version, norn_fetch_rule rule) {
    gather_world w = {.tier = tier, .version = version};
    const norn_fetch_rule rules[TIER_TABLES] = {rule, rule, rule};
    OK(norn_store_create(norn_alloc_heap(), &w.store));
    OK(norn_store_attach(w.store, w.tier, w.version, rules));
    w.plan = make_plan();
    norn_snapshot *snapshot = gather_snapshot(w.store);
    OK(norn_session_create(
        w.plan, &(norn_session_options){.threads = 1, .instances = 2, .snapshot = snapshot},
        norn_alloc_heap(), &w.session));
    norn_snapshot_release(snapshot);
    return w;
}

void gather_close_world(gather_world *w) {
    norn_session_destroy(w->session);
    norn_plan_release(w->plan);
    norn_store_destroy(w->store);
    norn_tier_close(w->tier);
}

static void *run_many(void *argument) {
    gather_mixing *m = argument;
    gather_answer a;
    while (!atomic_load(&m->stop)) {
        if (gather_run(m->w->session, gather_keys, gather_later, &a) != NORN_OK) {
            atomic_fetch_add(&m->mixed, 1);
            continue;
        }
        // 4000000 + 1000 step + key
        const float step = a.first[0][0] - norn_tier_cell(1, 0, gather_keys[0][0]);
        for (int b = 0; b < GATHER_BATCH; b++) {
            for (uint32_t t = 0, at = 0; t < TIER_TABLES; at += (uint32_t)norn_tier_dims[t++])
                if (a.first[b][at] - norn_tier_cell(1, 0, gather_keys[b][t]) != step)
                    atomic_fetch_add(&m->mixed, 1);
            if (a.second[b][3] - norn_tier_cell(1, 0, gather_later[b] + 3) != step)
                atomic_fetch_add(&m->mixed, 1);
        }
        atomic_fetch_add(&m->runs, 1);
    }
    return NULL;
}

void gather_race(gather_mixing *m) {
    enum { STEPS = 120, READERS = 2 };
    pthread_t readers[READERS];
    gather_answer a;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, run_many, m), 0);
    while (m->runs == 0 && m->mixed == 0) sched_yield();
    for (uint64_t step = 1; step <= STEPS; step++) {
        gather_write_all(m->tier, m->version, step);
        gather_use_newest(m->w);
    }
    atomic_store(&m->stop, true);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(m->mixed, 0);
    assert_true(m->runs > 0);
    OK(gather_run(m->w->session, gather_keys, gather_later, &a));
    gather_expect_step(&a, STEPS);
}
