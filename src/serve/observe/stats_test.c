/// What a request adds to its version's statistics, by how it ended.
#include "serve/observe/stats.h"

#include "base/cmocka_all.h"

static norn_stats stats;

static const norn_request_times usual = {.arrival_ns = 1000,
                                         .dequeue_ns = 1200,
                                         .input_ns = 30,
                                         .compute_ns = 500,
                                         .output_ns = 60,
                                         .done_ns = 3000};

static void expect(const norn_stat *stat, uint64_t count, uint64_t ns) {
    assert_int_equal(atomic_load(&stat->count), count);
    assert_int_equal(atomic_load(&stat->ns), ns);
}

static void an_answer_counts_its_rows_and_every_part_of_its_time(void **state) {
    (void)state;
    norn_stats_init(&stats);
    assert_int_equal(stats.load_ns, 0);
    norn_request_times times = usual;
    norn_stats_count(&stats, NORN_OK, 7, &times);
    times.done_ns = 4000;
    norn_stats_count(&stats, NORN_OK, 3, &times);
    expect(&stats.success, 2, 2000 + 3000);
    expect(&stats.queue, 2, 2 * 200);
    expect(&stats.compute_input, 2, 2 * 30);
    expect(&stats.compute_infer, 2, 2 * 500);
    expect(&stats.compute_output, 2, 2 * 60);
    expect(&stats.fail, 0, 0);
    assert_int_equal(atomic_load(&stats.inference_count), 10);
    assert_int_equal(atomic_load(&stats.execution_count), 0); // the batch's, not a request's
    assert_true(atomic_load(&stats.last_inference_ms) > 1600000000000u); // 2020 at the earliest
    assert_true(atomic_load(&stats.last_inference_ms) < 10000000000000u);
    assert_int_equal(atomic_load(&stats.request.count), 2);
    assert_int_equal(atomic_load(&stats.request.sum_ns), 5000);
    for (int i = 0; i < NORN_FAILURE_COUNT; i++) assert_int_equal(stats.failure[i], 0);
}

static void a_failure_counts_once_with_its_reason_and_as_no_answer(void **state) {
    (void)state;
    static const struct {
        norn_status status;
        norn_failure_reason reason;
    } cases[] = {{NORN_RESOURCE_EXHAUSTED, NORN_FAILURE_REJECTED},
                 {NORN_UNAVAILABLE, NORN_FAILURE_REJECTED},
                 {NORN_DEADLINE_EXCEEDED, NORN_FAILURE_CANCELED},
                 {NORN_CANCELLED, NORN_FAILURE_CANCELED},
                 {NORN_INVALID_ARGUMENT, NORN_FAILURE_OTHER},
                 {NORN_OUT_OF_RANGE, NORN_FAILURE_OTHER},
                 {NORN_INTERNAL, NORN_FAILURE_BACKEND},
                 {NORN_UNIMPLEMENTED, NORN_FAILURE_BACKEND},
                 {NORN_DATA_LOSS, NORN_FAILURE_BACKEND}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_stats_init(&stats);
        norn_stats_count(&stats, cases[i].status, 7, &usual);
        expect(&stats.fail, 1, 2000);
        for (int r = 0; r < NORN_FAILURE_COUNT; r++)
            assert_int_equal(stats.failure[r], r == (int)cases[i].reason);
        expect(&stats.success, 0, 0);
        expect(&stats.queue, 0, 0);
        expect(&stats.compute_infer, 0, 0);
        assert_int_equal(stats.inference_count, 0);
        assert_int_equal(stats.last_inference_ms, 0);
        assert_int_equal(stats.request.count, 0);
    }
}

/// One that was refused before its times were taken.
static void a_time_that_runs_backwards_adds_nothing(void **state) {
    (void)state;
    norn_stats_init(&stats);
    norn_request_times times = usual;
    times.dequeue_ns = 0, times.done_ns = 999, times.input_ns = 1;
    norn_stats_count(&stats, NORN_OK, 7, &times);
    expect(&stats.success, 1, 0);
    expect(&stats.queue, 1, 0);
    expect(&stats.compute_input, 1, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_counts_its_rows_and_every_part_of_its_time),
        cmocka_unit_test(a_failure_counts_once_with_its_reason_and_as_no_answer),
        cmocka_unit_test(a_time_that_runs_backwards_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
