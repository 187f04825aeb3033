/// The figures of a report on samples that are known: every one of them, in text and in JSON.
#include "base/cmocka_all.h"
#include "insight/bench_report.h"
#include "testing/hand_graph.h"

static norn_bench_result result; // too large for a stack
static norn_bench_options options;
static norn_buffer report;

/// `runs` runs of 8 rows in 2 seconds: phase p of run i takes (p + 1) * (i + 1) microseconds.
static void measure(int64_t runs) {
    memset(&result, 0, sizeof result);
    for (int p = 0; p < NORN_BENCH_PHASES; p++) {
        norn_histogram_init(&result.phase[p]);
        for (int64_t i = 0; i < runs; i++)
            norn_histogram_add(&result.phase[p], (p + 1) * (i + 1) * 1000);
    }
    result.runs = runs;
    result.rows = 8;
    result.elapsed_s = 2;
    options.concurrency = 3;
}

static const char *text_of(void (*print)(const norn_bench_result *, const norn_bench_options *,
                                         int32_t, norn_buffer *),
                           int32_t threads) {
    norn_buffer_clear(&report);
    print(&result, &options, threads, &report);
    norn_buffer_append(&report, "", 1);
    assert_int_equal(norn_buffer_status(&report), NORN_OK);
    return (const char *)report.bytes;
}

static void expect(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("'%s' is not in\n%s", part, text);
}

/// The number that follows `key` after `from`.
static double number_after(const char *text, const char *from, const char *key) {
    const char *at = strstr(text, from);
    assert_non_null(at);
    at = strstr(at, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void json_has_every_figure_of_every_phase(void **state) {
    (void)state;
    measure(200);
    const char *json = text_of(norn_bench_json, 5);
    expect(json, "{\"batch\":8,\"concurrency\":3,\"threads\":5,\"duration_s\":2.000,\"runs\":200,"
                 "\"throughput_per_s\":100.000,\"rows_per_s\":800.0,\"of_few_runs\":[],");
    static const char *const phases[] = {
        "\"acquire\":", "\"input\":", "\"compute\":", "\"output\":", "\"run\":"};
    static const struct {
        const char *key;
        double of_first; ///< microseconds in phase 0
        double within;
    } figures[] = {{"\"min_us\":", 1, 1e-9},   {"\"mean_us\":", 100.5, 1e-9},
                   {"\"p50_us\":", 100, 0.04}, {"\"p90_us\":", 180, 0.04},
                   {"\"p95_us\":", 190, 0.04}, {"\"p99_us\":", 198, 0.04},
                   {"\"max_us\":", 200, 1e-9}};
    for (int p = 0; p < NORN_BENCH_PHASES; p++)
        for (size_t f = 0; f < sizeof figures / sizeof *figures; f++) {
            const double got = number_after(json, phases[p], figures[f].key),
                         want = (p + 1) * figures[f].of_first;
            if (!(got >= want * (1 - figures[f].within) && got <= want * (1 + figures[f].within)))
                fail_msg("%s %s is %g, not %g", phases[p], figures[f].key, got, want);
        }
    assert_string_equal(json + strlen(json) - 3, "}}\n");
    int lines = 0, braces = 0;
    for (const char *at = json; *at; at++) lines += *at == '\n', braces += *at == '{';
    assert_int_equal(lines, 1);
    assert_int_equal(braces, 1 + NORN_BENCH_PHASES);
}

/// A quantile is of few runs while less than one run is slower than it: up to 9, 19 and 99 runs.
static void quantiles_of_too_few_runs_are_marked(void **state) {
    (void)state;
    static const struct {
        int64_t runs;
        const char *few;
        int marks; ///< a phase, in the text
    } cases[] = {
        {1, "[\"p50\",\"p90\",\"p95\",\"p99\"]", 4},
        {2, "[\"p90\",\"p95\",\"p99\"]", 3},
        {9, "[\"p90\",\"p95\",\"p99\"]", 3},
        {11, "[\"p95\",\"p99\"]", 2},
        {19, "[\"p95\",\"p99\"]", 2},
        {21, "[\"p99\"]", 1},
        {99, "[\"p99\"]", 1},
        {101, "[]", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[80];
        measure(cases[i].runs);
        snprintf(want, sizeof want, "\"of_few_runs\":%s,", cases[i].few);
        expect(text_of(norn_bench_json, 1), want);
        int marks = 0;
        const char *text = text_of(norn_bench_text, 1);
        for (const char *at = text; *at; at++) marks += *at == '*';
        const int note = cases[i].marks ? 1 : 0;
        assert_int_equal(marks, cases[i].marks * NORN_BENCH_PHASES + note);
        assert_int_equal(strstr(text, "\n* of too few runs: the slowest of all\n") != NULL, note);
    }
}

static void the_table_has_a_line_a_phase_and_counts_in_words(void **state) {
    (void)state;
    measure(200);
    const char *text = text_of(norn_bench_text, 5);
    expect(text, "batch 8, 3 callers, 5 threads each, 2.00 s, 200 runs\n"
                 "throughput 100.0 runs/s, 800 rows/s\n\n"
                 "us                min       mean        p50        p90        p95        p99"
                 "        max\n"
                 "acquire          1.00     100.50 ");
    expect(text, "     200.00\ninput            2.00     201.00 ");
    expect(text, "     400.00\ncompute          3.00     301.50 ");
    expect(text, "     600.00\noutput           4.00     402.00 ");
    expect(text, "     800.00\nrun              5.00     502.50 ");
    int lines = 0;
    for (const char *at = text; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, 4 + NORN_BENCH_PHASES);
    options.concurrency = 1;
    expect(text_of(norn_bench_text, 1), "batch 8, 1 caller, 1 thread each, ");
}

static void no_time_is_no_throughput(void **state) {
    (void)state;
    measure(3);
    result.elapsed_s = 0;
    expect(text_of(norn_bench_json, 1), "\"throughput_per_s\":0.000,\"rows_per_s\":0.0,");
}

// ---- measuring

static void a_measurement_adds_up(void **state) {
    (void)state;
    static const struct {
        int32_t concurrency;
        double duration_s, warmup_s;
        int64_t batch;
    } cases[] = {{1, 0, 0, 5}, {2, 0.05, 0.02, 0}, {3, 0, 0.01, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 64);
        const norn_bench_options how = {.inputs = {.batch = cases[i].batch, .seed = 1},
                                        .concurrency = cases[i].concurrency,
                                        .threads = 1,
                                        .duration_s = cases[i].duration_s,
                                        .warmup_s = cases[i].warmup_s,
                                        .input_sets = 2};
        HAND_OK(norn_bench(plan, NULL, &how, norn_alloc_heap(), &result));
        assert_true(result.runs >= NORN_BENCH_RUNS_MIN);
        assert_int_equal(result.rows, cases[i].batch ? cases[i].batch : 1);
        assert_true(result.elapsed_s >= cases[i].duration_s * 0.5);
        uint64_t parts_ns = 0, run_ns = 0;
        for (int p = 0; p < NORN_BENCH_PHASES; p++) {
            assert_int_equal(result.phase[p].count, result.runs);
            const uint64_t sum_ns = result.phase[p].sum_ns;
            if (p == NORN_BENCH_RUN)
                run_ns = sum_ns;
            else if (p != NORN_BENCH_ACQUIRE)
                parts_ns += sum_ns;
        }
        assert_true(run_ns > 0);
        assert_true(run_ns == parts_ns); // input, compute and output are all of a run
        assert_true(result.phase[NORN_BENCH_RUN].max_ns <= (uint64_t)(result.elapsed_s * 1e9) + 1);
        norn_plan_release(plan);
    }
}

static void told(void *context, const char *what, double fraction) {
    (void)what;
    assert_true(fraction >= 0 && fraction <= 1);
    ++*(int *)context;
}

static void what_a_caller_could_not_run_is_the_answer(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 64);
    int count = 0;
    norn_bench_options how = {.inputs = {.batch = 200000, .seed = 1},
                              .concurrency = 2,
                              .threads = 1,
                              .max_memory_bytes = 1 << 20,
                              .duration_s = 1000,
                              .input_sets = 1,
                              .progress = told,
                              .progress_context = &count};
    assert_int_equal(norn_bench(plan, NULL, &how, norn_alloc_heap(), &result),
                     NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "'x'"));
    how.inputs.batch = 4, how.duration_s = 0.01;
    HAND_OK(norn_bench(plan, NULL, &how, norn_alloc_heap(), &result));
    assert_true(count > 0);
    norn_plan_release(plan);
}

static void phases_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"acquire", "input", "compute", "output", "run"};
    for (int p = 0; p < NORN_BENCH_PHASES; p++)
        assert_string_equal(norn_bench_phase_name((norn_bench_phase)p), names[p]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_every_figure_of_every_phase),
        cmocka_unit_test(quantiles_of_too_few_runs_are_marked),
        cmocka_unit_test(the_table_has_a_line_a_phase_and_counts_in_words),
        cmocka_unit_test(no_time_is_no_throughput),
        cmocka_unit_test(a_measurement_adds_up),
        cmocka_unit_test(what_a_caller_could_not_run_is_the_answer),
        cmocka_unit_test(phases_have_names),
    };
    norn_buffer_init(&report, norn_alloc_heap());
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    norn_buffer_deinit(&report);
    return failed;
}
