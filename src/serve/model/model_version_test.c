#include "serve/model/model_version.h"

#include "base/log.h"
#include "tensor/view.h"
#include "testing/memory_sweep.h"
#include "testing/package_build.h"

/// y[B, T] = -x[B, T].
static void build_neg(const char *path) {
    norn_buffer graph, model;
    norn_buffer_init(&graph, norn_alloc_heap());
    norn_buffer_init(&model, norn_alloc_heap());
    norn_wire_end(&graph, build_node(&graph, 1, "Neg", "", "neg", NAMES("x"), NAMES("y")));
    norn_wire_put_text(&graph, 2, "g");
    build_value(&graph, 11, "x", BUILD_F32, "B,T");
    build_value(&graph, 12, "y", BUILD_F32, "B,T");
    build_model(&model, &graph, 18, NULL);
    build_file(path, model.bytes, model.count);
    norn_buffer_deinit(&graph);
    norn_buffer_deinit(&model);
}

/// y[B] = table[k[B]]: an id outside the table shows only while computing.
static void build_pick(const char *path) {
    static const float table[] = {10, 11, 12, 13};
    norn_buffer graph, model;
    norn_buffer_init(&graph, norn_alloc_heap());
    norn_buffer_init(&model, norn_alloc_heap());
    norn_wire_end(&graph,
                  build_node(&graph, 1, "Gather", "", "pick", NAMES("table", "k"), NAMES("y")));
    norn_wire_put_text(&graph, 2, "g");
    build_tensor(&graph, 5, "table", BUILD_F32, (int64_t[]){4}, 1, table, sizeof table);
    build_value(&graph, 11, "k", BUILD_I64, "B");
    build_value(&graph, 12, "y", BUILD_F32, "B");
    build_model(&model, &graph, 18, NULL);
    build_file(path, model.bytes, model.count);
    norn_buffer_deinit(&graph);
    norn_buffer_deinit(&model);
}

static norn_model_version *serve(const char *name, void (*build)(const char *path)) {
    static const norn_serving_defaults defaults = {.instances = 1, .threads = 1, .max_batch = 4};
    norn_model_version *version;
    build(build_path("%s/1/model.onnx", name));
    assert_int_equal(norn_model_version_create(name, 1, build_path("%s/1", name), &defaults, NULL,
                                               norn_alloc_heap(), &version),
                     NORN_OK);
    return version;
}

static uint64_t executions(norn_model_version *version) {
    return atomic_load(&version->servable.stats.execution_count);
}

static norn_status try_request(norn_model_version *version, const char *input, norn_view view,
                               norn_request **out) {
    assert_int_equal(norn_request_create(norn_alloc_heap(), out), NORN_OK);
    assert_int_equal(NORN_TAKE_ARRAY(&(*out)->arena, 1, &(*out)->inputs), NORN_OK);
    (*out)->inputs[0] = (norn_request_input){.name = input, .view = view, .bytes = -1};
    (*out)->input_count = 1;
    return norn_model_version_admit(&version->servable, *out);
}

/// [rows, width] of numbers that begin with `first`.
static norn_request *neg_request(norn_model_version *version, int64_t rows, int64_t width,
                                 float first) {
    static float numbers[64][256];
    static unsigned turn;
    float *x = numbers[turn++ % 64];
    norn_request *request;
    assert_in_range(rows * width, 0, 256);
    for (int64_t i = 0; i < rows * width; i++) x[i] = first + (float)i;
    const norn_view view = norn_view_of(NORN_F32, 2, (int64_t[]){rows, width}, x);
    assert_int_equal(try_request(version, "x", view, &request), NORN_OK);
    return request;
}

static void check_neg(const norn_request *request) {
    const norn_view *x = &request->inputs[0].view, *y = &request->outputs[0].view;
    assert_int_equal(request->status, NORN_OK);
    assert_int_equal(y->rank, 2);
    assert_int_equal(y->dims[0], x->dims[0]);
    assert_int_equal(y->dims[1], x->dims[1]);
    for (int64_t i = 0; i < norn_view_elems(x); i++)
        assert_true(((const float *)y->data)[i] == -((const float *)x->data)[i]);
}

static void run_list(norn_model_version *version, norn_request **at, int count) {
    for (int i = 0; i + 1 < count; i++) at[i]->next = at[i + 1];
    norn_session *session;
    norn_engine *engine = norn_engine_enter(&version->engine, &session);
    norn_batch_run(&version->batch, session, at[0]);
    norn_engine_leave(engine);
}

static void destroy_all(norn_request **at, int count) {
    for (int i = 0; i < count; i++) norn_request_destroy(at[i]);
}

// ---- tests

static void joined_requests_are_one_run_and_get_their_own_rows(void **state) {
    norn_model_version *version = serve("neg", build_neg);
    norn_request *at[4];
    (void)state;
    const int64_t rows[] = {1, 3, 0, 2};
    for (int i = 0; i < 4; i++) at[i] = neg_request(version, rows[i], 5, (float)(100 * i));
    assert_true(norn_request_can_join(at[0], at[1]));
    run_list(version, at, 4);
    for (int i = 0; i < 4; i++) check_neg(at[i]);
    assert_int_equal(executions(version), 1);
    destroy_all(at, 4);
    norn_servable_release(&version->servable);
}

static void a_large_request_runs_in_pieces(void **state) {
    norn_model_version *version = serve("neg", build_neg);
    (void)state;
    norn_request *request = neg_request(version, 11, 3, 7);
    run_list(version, &request, 1);
    check_neg(request);
    assert_int_equal(executions(version), 3); // 4 + 4 + 3
    norn_request_destroy(request);
    norn_servable_release(&version->servable);
}

static void what_is_left_is_not_run_for_a_client_that_has_gone(void **state) {
    norn_model_version *version = serve("neg", build_neg);
    (void)state;
    norn_request *gone = neg_request(version, 11, 3, 7), *late = neg_request(version, 11, 3, 7);
    norn_request_cancel(gone);
    late->deadline_ns = 1;
    run_list(version, &gone, 1);
    run_list(version, &late, 1);
    assert_int_equal(gone->status, NORN_CANCELLED);
    assert_int_equal(late->status, NORN_DEADLINE_EXCEEDED);
    assert_int_equal(executions(version), 0);
    norn_request_destroy(gone);
    norn_request_destroy(late);
    norn_servable_release(&version->servable);
}

static void a_shape_that_got_into_the_wrong_batch_meets_nobody_elses_bytes(void **state) {
    norn_model_version *version = serve("neg", build_neg);
    norn_request *at[3];
    (void)state;
    at[0] = neg_request(version, 2, 3, 0);
    at[1] = neg_request(version, 1, 60, 50);
    at[2] = neg_request(version, 2, 3, 200);
    assert_false(norn_request_can_join(at[0], at[1]));
    run_list(version, at, 3); // as if the queue had not looked
    for (int i = 0; i < 3; i++) check_neg(at[i]);
    assert_int_equal(executions(version), 3);
    destroy_all(at, 3);
    norn_servable_release(&version->servable);
}

static void one_bad_request_fails_alone_and_costs_few_runs(void **state) {
    enum { REQUESTS = 64, BAD = 37 };
    norn_model_version *version = serve("pick", build_pick);
    int64_t keys[REQUESTS];
    norn_request *at[REQUESTS];
    (void)state;
    for (int i = 0; i < REQUESTS; i++) {
        keys[i] = i == BAD ? 4 : i % 4;
        const norn_view view = norn_view_of(NORN_I64, 1, (int64_t[]){1}, &keys[i]);
        assert_int_equal(try_request(version, "k", view, &at[i]), NORN_OK);
    }
    run_list(version, at, REQUESTS);
    for (int i = 0; i < REQUESTS; i++) {
        assert_int_equal(at[i]->status == NORN_OK, i != BAD);
        if (i != BAD)
            assert_true(*(const float *)at[i]->outputs[0].view.data == 10 + (float)(i % 4));
    }
    assert_int_equal(executions(version), 6); // the halves that were good: 32, 16, 8, 4, 2, 1
    destroy_all(at, REQUESTS);
    norn_servable_release(&version->servable);
}

static void more_requests_than_one_batch_takes_are_several(void **state) {
    enum { REQUESTS = NORN_BATCH_REQUESTS_MAX + 7 };
    static norn_request *at[REQUESTS];
    norn_model_version *version = serve("pick", build_pick);
    int64_t key = 2;
    (void)state;
    for (int i = 0; i < REQUESTS; i++)
        assert_int_equal(
            try_request(version, "k", norn_view_of(NORN_I64, 1, (int64_t[]){1}, &key), &at[i]),
            NORN_OK);
    run_list(version, at, REQUESTS);
    for (int i = 0; i < REQUESTS; i++)
        assert_true(*(const float *)at[i]->outputs[0].view.data == 12);
    assert_int_equal(executions(version), 2);
    destroy_all(at, REQUESTS);
    norn_servable_release(&version->servable);
}

static void no_rows_are_answered_without_a_run_in_their_shape(void **state) {
    norn_model_version *version = serve("neg", build_neg);
    norn_request *request;
    (void)state;
    const norn_view none = norn_view_of(NORN_F32, 2, (int64_t[]){0, 9}, NULL);
    assert_int_equal(try_request(version, "x", none, &request), NORN_OK);
    assert_true(norn_batch_is_empty(&version->batch, request));
    assert_int_equal(norn_batch_answer_empty(&version->batch, request), NORN_OK);
    assert_int_equal(request->outputs[0].view.rank, 2);
    assert_int_equal(request->outputs[0].view.dims[0], 0);
    assert_int_equal(request->outputs[0].view.dims[1], 9);
    assert_int_equal(executions(version), 0);
    norn_request_destroy(request);
    norn_servable_release(&version->servable);
}

static void rows_are_bounded_at_admission(void **state) {
    norn_model_version *version = serve("neg", build_neg);
    (void)state;
    const struct {
        int64_t rows, width;
        norn_status status;
    } cases[] = {{4, 0, NORN_OK},
                 {5, 0, NORN_INVALID_ARGUMENT}, // more than a batch of nothing
                 {INT64_C(1) << 40, 0, NORN_INVALID_ARGUMENT},
                 {NORN_REQUEST_ROWS_MAX, 1, NORN_OK},
                 {NORN_REQUEST_ROWS_MAX + 1, 1, NORN_INVALID_ARGUMENT},
                 {INT64_C(1) << 62, 4, NORN_INVALID_ARGUMENT},
                 {-1, 4, NORN_INVALID_ARGUMENT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        norn_request *request; // its data is never read: admission looks at shapes
        const norn_view view =
            norn_view_of(NORN_F32, 2, (int64_t[]){cases[i].rows, cases[i].width}, NULL);
        assert_int_equal(try_request(version, "x", view, &request), cases[i].status);
        if (cases[i].status == NORN_OK) assert_int_equal(request->rows, cases[i].rows);
        norn_request_destroy(request);
    }
    norn_servable_release(&version->servable);
}

static norn_status try_create(norn_alloc alloc, norn_servable **out) {
    static const norn_serving_defaults defaults = {.instances = 2, .threads = 1, .max_batch = 4};
    norn_model_version *version;
    const norn_status status = norn_model_version_create("sweep", 1, build_path("sweep/1"),
                                                         &defaults, NULL, alloc, &version);
    *out = version ? &version->servable : NULL;
    return status;
}

static void without_memory_there_is_no_version_and_nothing_is_left(void **state) {
    norn_servable *servable;
    (void)state;
    build_pick(build_path("sweep/1/model.onnx"));
    NORN_MEMORY_SWEEP(try_create(alloc, &servable), servable, norn_servable_release(servable));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_requests_are_one_run_and_get_their_own_rows),
        cmocka_unit_test(a_large_request_runs_in_pieces),
        cmocka_unit_test(what_is_left_is_not_run_for_a_client_that_has_gone),
        cmocka_unit_test(a_shape_that_got_into_the_wrong_batch_meets_nobody_elses_bytes),
        cmocka_unit_test(one_bad_request_fails_alone_and_costs_few_runs),
        cmocka_unit_test(more_requests_than_one_batch_takes_are_several),
        cmocka_unit_test(no_rows_are_answered_without_a_run_in_their_shape),
        cmocka_unit_test(rows_are_bounded_at_admission),
        cmocka_unit_test(without_memory_there_is_no_version_and_nothing_is_left),
    };
    norn_log_set_level(NORN_LOG_ERROR);
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
