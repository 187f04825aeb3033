#include "base/clock.h"
#include "base/memory.h"
#include "runtime/instance.h"
#include "testing/failing_alloc.h"
#include "testing/hand_graph.h"

#include <pthread.h>
#include <unistd.h>

static void fill(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = (float)((i * 5 + 1) % 7 - 3);
}

static norn_status run_mlp(norn_session *session, int64_t batch, int64_t deadline_ns) {
    float *x = calloc((size_t)batch * 4 + 1, sizeof *x),
          *y = calloc((size_t)batch * 3 + 1, sizeof *y), want[3];
    fill(x, batch * 4);
    norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x), out = {.data = y};
    size_t room = (size_t)batch * 3 * sizeof *y;
    norn_status status = norn_session_run(session, &(norn_run_args){.inputs = &in,
                                                                    .outputs = &out,
                                                                    .output_bytes = &room,
                                                                    .deadline_ns = deadline_ns});
    if (status == NORN_OK &&
        (out.dtype != NORN_F32 || out.rank != 2 || out.dims[0] != batch || out.dims[1] != 3))
        status = NORN_INTERNAL;
    for (int64_t r = 0; r < batch && status == NORN_OK; r++) {
        hand_mlp_row(x + r * 4, want);
        if (memcmp(y + r * 3, want, sizeof want) != 0) status = NORN_INTERNAL;
    }
    free(x);
    free(y);
    return status;
}

static norn_session *session_of(norn_plan *plan, int32_t instances) {
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.instances = instances, .threads = 1},
                                norn_alloc_heap(), &session));
    norn_plan_release(plan);
    return session;
}

static void an_mlp_gives_the_right_scores_at_any_batch(void **state) {
    (void)state;
    static const int64_t batches[] = {1, 7, 16, 3, 0, 16, 50, 1, 200};
    norn_session *session = session_of(hand_mlp(norn_alloc_heap(), "cpu", 16), 1);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        HAND_OK(run_mlp(session, batches[i], 0));
    norn_session_destroy(session);
}

static void a_saved_and_loaded_plan_gives_the_same_scores(void **state) {
    (void)state;
    char path[] = "/tmp/norn-session-XXXXXX";
    close(mkstemp(path));
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 16);
    HAND_OK(norn_plan_save(plan, path));
    norn_plan_release(plan);
    HAND_OK(norn_plan_read(path, norn_alloc_heap(), &plan));
    norn_session *session = session_of(plan, 1);
    HAND_OK(run_mlp(session, 9, 0));
    norn_session_destroy(session);
    unlink(path);
}

// ---- what is refused

/// a[B, 2], ids[B], n[1]: shapes that can disagree.
static norn_session *three_inputs(void) {
    hand h = hand_begin(norn_alloc_heap(), 8);
    norn_value *a = hand_input(&h, "a", NORN_F32, hand_rows(&h, 2));
    hand_input(&h, "ids", NORN_I64, hand_rows(&h, 0));
    hand_output(&h, hand_gemm(&h, "y", a, 2, 1, false));
    return session_of(hand_plan(&h, "cpu"), 1);
}

static void expect_refused(norn_session *session, norn_view a, norn_view ids, const char *message) {
    float y[64];
    norn_view in[2] = {a, ids}, out = {.data = y};
    size_t room = sizeof y;
    assert_int_equal(
        norn_session_run(session,
                         &(norn_run_args){.inputs = in, .outputs = &out, .output_bytes = &room}),
        NORN_INVALID_ARGUMENT);
    assert_string_equal(norn_message(), message);
}

static void a_wrong_input_is_refused_by_name(void **state) {
    (void)state;
    float data[64] = {0};
    int64_t keys[16] = {0};
    norn_session *session = three_inputs();
    norn_view a = norn_view_of(NORN_F32, 2, (int64_t[]){3, 2}, data),
              ids = norn_view_of(NORN_I64, 1, (int64_t[]){3}, keys), bad;
    bad = norn_view_of(NORN_F32, 2, (int64_t[]){3, 5}, data);
    expect_refused(session, bad, ids, "input 'a': dim 1 is 5, the model expects 2");
    bad = norn_view_of(NORN_F32, 1, (int64_t[]){3}, data);
    expect_refused(session, bad, ids, "input 'a': it has 1 dim, the model expects 2");
    bad = norn_view_of(NORN_I32, 2, (int64_t[]){3, 2}, data);
    expect_refused(session, bad, ids, "input 'a': its type is int32, the model expects float32");
    bad = norn_view_of(NORN_I64, 1, (int64_t[]){4}, keys);
    expect_refused(session, a, bad, "input 'ids': dim 0 is 4, but input 'a' makes B 3");
    bad = norn_view_of(NORN_I64, 1, (int64_t[]){-1}, keys);
    expect_refused(session, a, bad, "input 'ids': a tensor of int64[-1] has no valid size");
    bad = norn_view_of(NORN_F32, 2, (int64_t[]){3, 2}, NULL);
    expect_refused(session, bad, ids, "input 'a': it has no data");
    bad = a;
    bad.row_stride = 7;
    expect_refused(session, bad, ids, "input 'a': it must be dense");
    norn_view in[2] = {a, ids}, out = {.data = data};
    size_t room = 11;
    assert_int_equal(
        norn_session_run(session,
                         &(norn_run_args){.inputs = in, .outputs = &out, .output_bytes = &room}),
        NORN_INVALID_ARGUMENT);
    assert_string_equal(norn_message(), "output 'y': it needs 12 bytes, there is room for 11");
    norn_session_destroy(session);
}

static void an_instance_lacks_an_input_that_was_not_given_since_it_was_acquired(void **state) {
    (void)state;
    norn_session *session = three_inputs();
    norn_instance *instance;
    void *data;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    HAND_OK(norn_instance_input(instance, 0, 2, (int64_t[]){1, 2}, &data));
    memset(data, 0, 8);
    assert_int_equal(norn_instance_run(instance), NORN_INVALID_ARGUMENT);
    assert_string_equal(norn_message(), "input 'ids' is missing");
    HAND_OK(norn_instance_input(instance, 1, 1, (int64_t[]){1}, &data));
    HAND_OK(norn_instance_run(instance));
    norn_instance_release(instance);
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    assert_int_equal(norn_instance_run(instance), NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_instance_input(instance, 0, 3, (int64_t[]){1, 2, 3}, &data),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_instance_input(instance, 2, 1, (int64_t[]){1}, &data),
                     NORN_INVALID_ARGUMENT);
    norn_instance_release(instance);
    norn_session_destroy(session);
}

static void inputs_given_in_any_order_keep_their_memory_as_others_grow(void **state) {
    (void)state;
    norn_session *session = three_inputs();
    norn_instance *instance;
    void *ids, *a;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    HAND_OK(norn_instance_input(instance, 1, 1, (int64_t[]){500}, &ids)); // far above the profile
    memset(ids, 0, 500 * sizeof(int64_t));
    HAND_OK(norn_instance_input(instance, 0, 2, (int64_t[]){500, 2}, &a));
    for (int i = 0; i < 1000; i++) ((float *)a)[i] = (float)(i % 5);
    HAND_OK(norn_instance_run(instance));
    const norn_view *y = norn_instance_output(instance, 0);
    assert_int_equal(y->dims[0], 500);
    for (int i = 0; i < 500; i++) {
        float want;
        hand_gemm_row((float *)a + i * 2, 2, 1, false, &want);
        assert_true(((const float *)y->data)[i] == want);
    }
    assert_null(norn_instance_output(instance, 1));
    norn_instance_release(instance);
    norn_session_destroy(session);
}

// ---- many at once

static void a_deadline_passes_while_every_instance_is_taken(void **state) {
    (void)state;
    norn_session *session = session_of(hand_mlp(norn_alloc_heap(), "cpu", 16), 1);
    norn_instance *taken;
    HAND_OK(norn_instance_acquire(session, 0, &taken));
    int64_t begin = norn_clock_now_ns();
    assert_int_equal(run_mlp(session, 1, begin + 20 * 1000 * 1000), NORN_DEADLINE_EXCEEDED);
    assert_true(norn_clock_now_ns() - begin >= 20 * 1000 * 1000);
    norn_instance_release(taken);
    HAND_OK(run_mlp(session, 1, norn_clock_now_ns() + 1000 * 1000 * 1000));
    norn_session_destroy(session);
}

typedef struct worker {
    norn_session *session;
    int64_t first;
    norn_status status;
} worker;

static void *work(void *argument) {
    worker *w = argument;
    for (int64_t i = 0; i < 300 && w->status == NORN_OK; i++)
        w->status = run_mlp(w->session, (w->first * 13 + i * 7) % 40, 0);
    return NULL;
}

static void more_threads_than_instances_all_get_their_own_scores(void **state) {
    (void)state;
    enum { THREADS = 6 };
    norn_session *session = session_of(hand_mlp(norn_alloc_heap(), "cpu", 16), 3);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){session, i, NORN_OK};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].status, NORN_OK);
    }
    norn_session_destroy(session);
}

// ---- tables

/// keys[B] -> rows of table 'emb', dim 2.
static norn_plan *lookup_plan(const norn_view *own_rows) {
    hand h = hand_begin(norn_alloc_heap(), 32);
    norn_value *keys = hand_input(&h, "keys", NORN_I64, hand_rows(&h, 0)),
               *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 2));
    norn_region *region;
    norn_lookup_column *column;
    HAND_OK(NORN_TAKE(&h.graph->arena, &region));
    HAND_OK(NORN_TAKE(&h.graph->arena, &column));
    *column = (norn_lookup_column){.dim = 2,
                                   .form = NORN_KEYS_ONE,
                                   .rows_input = NORN_NO_INPUT,
                                   .keys_input = 0,
                                   .offsets_input = NORN_NO_INPUT,
                                   .weights_input = NORN_NO_INPUT,
                                   .keys_count = 1};
    region->lookup = (norn_lookup_region){1, column};
    hand_node(&h, NORN_OP_Lookup, "emb", &keys, 1, &y, 1, (norn_attrs){0}, region);
    hand_output(&h, y);
    norn_plan *plan = hand_plan(&h, "cpu");
    HAND_OK(NORN_TAKE(&plan->arena, &plan->tables));
    plan->tables[0] = (norn_plan_table){.name = "emb",
                                        .dim = 2,
                                        .dtype = NORN_F32,
                                        .data = own_rows,
                                        .rows = own_rows ? own_rows->dims[0] : 0,
                                        .source = "emb"};
    plan->table_count = 1;
    return plan;
}

typedef struct one_table {
    norn_snapshot base;
    norn_table_binding table;
    atomic_int *destroyed;
} one_table;

static const norn_table_binding *find_one(const norn_snapshot *self, const char *name) {
    const one_table *one = (const one_table *)(const void *)self;
    return strcmp(name, "emb") == 0 ? &one->table : NULL;
}
static void destroy_one(norn_snapshot *self) {
    one_table *one = (one_table *)(void *)self;
    atomic_fetch_add(one->destroyed, 1);
    free((void *)(uintptr_t)one->table.view.dense.rows);
    free(one);
}

/// Row k of version v: {v, k}. Freed rows are overwritten by malloc soon:
/// a run that lost its pin shows it.
static norn_snapshot *version(float v, int64_t rows, int64_t dim, atomic_int *destroyed) {
    one_table *one = calloc(1, sizeof *one);
    float *data = calloc((size_t)(rows * dim), sizeof *data);
    for (int64_t k = 0; k < rows; k++) data[k * dim] = v, data[k * dim + 1] = (float)k;
    one->base.find = find_one;
    one->base.destroy = destroy_one;
    atomic_init(&one->base.references, 1);
    one->table = (norn_table_binding){.name = "emb",
                                      .source = "tables/emb.safetensors",
                                      .dtype = NORN_F32,
                                      .dim = dim,
                                      .view = {.kind = NORN_TABLE_DENSE,
                                               .missing = NORN_MISSING_ERROR,
                                               .row_count = rows,
                                               .row_bytes = dim * 4,
                                               .dense = {data}}};
    one->destroyed = destroyed;
    return &one->base;
}

static norn_status look_up(norn_session *session, float *v) {
    int64_t keys[8] = {5, 0, 31, 2, 2, 9, 17, 30};
    float y[16];
    norn_view in = norn_view_of(NORN_I64, 1, (int64_t[]){8}, keys), out = {.data = y};
    size_t room = sizeof y;
    NORN_TRY(norn_session_run(
        session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
    for (int i = 0; i < 8; i++)
        if (y[i * 2] != y[0] || y[i * 2 + 1] != (float)keys[i])
            return norn_fail(NORN_INTERNAL, "rows of two versions");
    *v = y[0];
    return NORN_OK;
}

static void a_swapped_snapshot_is_seen_by_later_runs_and_freed_when_unused(void **state) {
    (void)state;
    atomic_int destroyed = 0;
    norn_snapshot *one = version(1, 32, 2, &destroyed), *two = version(2, 32, 2, &destroyed);
    norn_plan *plan = lookup_plan(NULL);
    norn_session *session;
    float v;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1, .snapshot = one},
                                norn_alloc_heap(), &session));
    norn_plan_release(plan);
    norn_snapshot_release(one);
    HAND_OK(look_up(session, &v));
    assert_true(v == 1);
    HAND_OK(norn_session_set_snapshot(session, two));
    norn_snapshot_release(two);
    assert_int_equal(destroyed, 1);
    HAND_OK(look_up(session, &v));
    assert_true(v == 2);
    norn_session_destroy(session);
    assert_int_equal(destroyed, 2);
}

static void a_table_that_does_not_fit_or_is_missing_is_refused_by_name(void **state) {
    (void)state;
    atomic_int destroyed = 0;
    norn_snapshot *narrow = version(1, 4, 3, &destroyed);
    norn_plan *plan = lookup_plan(NULL);
    norn_session *session;
    norn_session_options options = {.threads = 1, .snapshot = narrow};
    assert_int_equal(norn_session_create(plan, &options, norn_alloc_heap(), &session),
                     NORN_INVALID_ARGUMENT);
    assert_string_equal(
        norn_message(),
        "table 'emb': 3 elements a row in tables/emb.safetensors, the model expects 2");
    options.snapshot = NULL;
    assert_int_equal(norn_session_create(plan, &options, norn_alloc_heap(), &session),
                     NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "emb.safetensors"));
    norn_snapshot_release(narrow);
    norn_plan_release(plan);
}

static void rows_that_the_plan_holds_need_no_store_and_give_way_to_one(void **state) {
    (void)state;
    float rows[32][2], v;
    atomic_int destroyed = 0;
    for (int k = 0; k < 32; k++) rows[k][0] = 9, rows[k][1] = (float)k;
    norn_view view = norn_view_of(NORN_F32, 2, (int64_t[]){32, 2}, rows);
    norn_session *session = session_of(lookup_plan(&view), 1);
    HAND_OK(look_up(session, &v));
    assert_true(v == 9);
    norn_snapshot *one = version(4, 32, 2, &destroyed);
    HAND_OK(norn_session_set_snapshot(session, one));
    norn_snapshot_release(one);
    HAND_OK(look_up(session, &v));
    assert_true(v == 4);
    int64_t key = 32;
    float y[2];
    norn_view in = norn_view_of(NORN_I64, 1, (int64_t[]){1}, &key), out = {.data = y};
    size_t room = sizeof y;
    assert_int_equal(
        norn_session_run(session,
                         &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}),
        NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "key 32"));
    norn_session_destroy(session);
}

static void a_table_that_was_an_initializer_is_saved_beside_the_plan(void **state) {
    (void)state;
    char folder[] = "/tmp/norn-tables-XXXXXX", path[64], file[96];
    float rows[32][2], v;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.norn", folder);
    snprintf(file, sizeof file, "%s.tables/emb.safetensors", path);
    for (int k = 0; k < 32; k++) rows[k][0] = 6, rows[k][1] = (float)k;
    norn_view view = norn_view_of(NORN_F32, 2, (int64_t[]){32, 2}, rows);
    norn_plan *plan = lookup_plan(&view);
    HAND_OK(norn_plan_save(plan, path));
    norn_plan_release(plan);
    memset(rows, 0, sizeof rows);
    HAND_OK(norn_plan_read(path, norn_alloc_heap(), &plan));
    norn_session *session = session_of(plan, 1);
    HAND_OK(look_up(session, &v));
    assert_true(v == 6);
    norn_session_destroy(session);
    assert_int_equal(truncate(file, 100), 0);
    assert_int_equal(norn_plan_read(path, norn_alloc_heap(), &plan), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "emb.safetensors"));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(norn_plan_read(path, norn_alloc_heap(), &plan), NORN_NOT_FOUND);
    assert_non_null(strstr(norn_message(), "table 'emb'"));
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void *look_up_often(void *argument) {
    worker *w = argument;
    float v = 0, last = 0;
    for (int i = 0; i < 2000 && w->status == NORN_OK; i++, last = v) {
        w->status = look_up(w->session, &v);
        if (w->status == NORN_OK && v < last) w->status = NORN_INTERNAL; // versions only go forward
    }
    return NULL;
}

static void runs_never_mix_versions_while_these_are_swapped(void **state) {
    (void)state;
    atomic_int destroyed = 0;
    norn_snapshot *first = version(1, 32, 2, &destroyed);
    norn_plan *plan = lookup_plan(NULL);
    norn_session *session;
    HAND_OK(norn_session_create(
        plan, &(norn_session_options){.threads = 1, .instances = 2, .snapshot = first},
        norn_alloc_heap(), &session));
    norn_snapshot_release(first);
    norn_plan_release(plan);
    pthread_t threads[3];
    worker workers[3];
    for (int i = 0; i < 3; i++) {
        workers[i] = (worker){session, i, NORN_OK};
        assert_int_equal(pthread_create(&threads[i], NULL, look_up_often, &workers[i]), 0);
    }
    for (int v = 2; v < 200; v++) {
        norn_snapshot *next = version((float)v, 32, 2, &destroyed);
        HAND_OK(norn_session_set_snapshot(session, next));
        norn_snapshot_release(next);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].status, NORN_OK);
    }
    norn_session_destroy(session);
    assert_int_equal(destroyed, 199);
}

// ---- memory that ends

static void creating_and_running_clean_up_wherever_memory_ends(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 16);
    norn_status status = NORN_RESOURCE_EXHAUSTED;
    for (size_t at = 0; status != NORN_OK; at++) {
        norn_alloc_faulty faulty = {.fail_at = at};
        norn_session *session;
        assert_true(at < 2000);
        status = norn_session_create(plan, &(norn_session_options){.threads = 1, .instances = 2},
                                     norn_alloc_failing(&faulty), &session);
        if (status == NORN_OK) {
            faulty.fail_at = SIZE_MAX;
            HAND_OK(run_mlp(session, 10, 0));
            size_t before = faulty.count;
            faulty.fail_at = before; // from now on there is none
            assert_int_equal(run_mlp(session, 100000, 0), NORN_RESOURCE_EXHAUSTED);
            HAND_OK(run_mlp(session, 10, 0)); // what fits goes on
            faulty.fail_at = SIZE_MAX;
            HAND_OK(run_mlp(session, 100000, 0));
            norn_session_destroy(session);
        } else {
            assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
        }
        assert_int_equal(faulty.live, 0);
    }
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_mlp_gives_the_right_scores_at_any_batch),
        cmocka_unit_test(a_saved_and_loaded_plan_gives_the_same_scores),
        cmocka_unit_test(a_wrong_input_is_refused_by_name),
        cmocka_unit_test(an_instance_lacks_an_input_that_was_not_given_since_it_was_acquired),
        cmocka_unit_test(inputs_given_in_any_order_keep_their_memory_as_others_grow),
        cmocka_unit_test(a_deadline_passes_while_every_instance_is_taken),
        cmocka_unit_test(more_threads_than_instances_all_get_their_own_scores),
        cmocka_unit_test(a_swapped_snapshot_is_seen_by_later_runs_and_freed_when_unused),
        cmocka_unit_test(a_table_that_does_not_fit_or_is_missing_is_refused_by_name),
        cmocka_unit_test(rows_that_the_plan_holds_need_no_store_and_give_way_to_one),
        cmocka_unit_test(a_table_that_was_an_initializer_is_saved_beside_the_plan),
        cmocka_unit_test(runs_never_mix_versions_while_these_are_swapped),
        cmocka_unit_test(creating_and_running_clean_up_wherever_memory_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
