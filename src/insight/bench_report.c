#include "insight/bench_report.h"

#include "base/json.h"

static const struct {
    const char *name, *key;
    double quantile;
} quantiles[] = {{"p50", "p50_us", 0.5},
                 {"p90", "p90_us", 0.9},
                 {"p95", "p95_us", 0.95},
                 {"p99", "p99_us", 0.99}};
enum { QUANTILE_COUNT = sizeof quantiles / sizeof quantiles[0] };

static double us(double ns) {
    return ns / 1e3;
}

/// Too few runs for the slowest of them to say what this quantile is.
static bool is_of_few(const norn_bench_result *result, int q) {
    return (double)result->runs * (1 - quantiles[q].quantile) < 1;
}

static double per_second(const norn_bench_result *result, int64_t count) {
    return result->elapsed_s > 0 ? (double)count / result->elapsed_s : 0;
}

void norn_bench_text(const norn_bench_result *result, const norn_bench_options *options,
                     int32_t threads, norn_buffer *out) {
    norn_buffer_format(out, "batch %lld, %d caller%s, %d thread%s each, %.2f s, %lld run%s\n",
                       (long long)result->rows, options->concurrency,
                       norn_plural(options->concurrency), threads, norn_plural(threads),
                       result->elapsed_s, (long long)result->runs, norn_plural(result->runs));
    norn_buffer_format(out, "throughput %.1f runs/s, %.0f rows/s\n\n%-10s %10s %10s",
                       per_second(result, result->runs),
                       per_second(result, result->runs * result->rows), "us", "min", "mean");
    for (int q = 0; q < QUANTILE_COUNT; q++) norn_buffer_format(out, " %10s", quantiles[q].name);
    norn_buffer_format(out, " %10s\n", "max");
    for (int p = 0; p < NORN_BENCH_PHASES; p++) {
        const norn_histogram *phase = &result->phase[p];
        norn_buffer_format(out, "%-10s %10.2f %10.2f", norn_bench_phase_name((norn_bench_phase)p),
                           us((double)phase->min_ns), us(norn_histogram_mean(phase)));
        for (int q = 0; q < QUANTILE_COUNT; q++)
            norn_buffer_format(out, " %*.2f%s", is_of_few(result, q) ? 9 : 10,
                               us(norn_histogram_quantile(phase, quantiles[q].quantile)),
                               is_of_few(result, q) ? "*" : "");
        norn_buffer_format(out, " %10.2f\n", us((double)phase->max_ns));
    }
    if (is_of_few(result, QUANTILE_COUNT - 1))
        norn_buffer_format(out, "\n* of too few runs: the slowest of all\n");
}

void norn_bench_json(const norn_bench_result *result, const norn_bench_options *options,
                     int32_t threads, norn_buffer *out) {
    norn_json_writer json = {.buffer = out};
    norn_json_begin_object(&json, NULL);
    norn_json_add_i64(&json, "batch", result->rows);
    norn_json_add_i64(&json, "concurrency", options->concurrency);
    norn_json_add_i64(&json, "threads", threads);
    norn_json_add_fixed(&json, "duration_s", result->elapsed_s, 3);
    norn_json_add_i64(&json, "runs", result->runs);
    norn_json_add_fixed(&json, "throughput_per_s", per_second(result, result->runs), 3);
    norn_json_add_fixed(&json, "rows_per_s", per_second(result, result->runs * result->rows), 1);
    norn_json_begin_array(&json, "of_few_runs");
    for (int q = 0; q < QUANTILE_COUNT; q++)
        if (is_of_few(result, q)) norn_json_add_text(&json, NULL, quantiles[q].name);
    norn_json_end(&json);
    for (int p = 0; p < NORN_BENCH_PHASES; p++) {
        const norn_histogram *phase = &result->phase[p];
        norn_json_begin_object(&json, norn_bench_phase_name((norn_bench_phase)p));
        norn_json_add_fixed(&json, "min_us", us((double)phase->min_ns), 3);
        norn_json_add_fixed(&json, "mean_us", us(norn_histogram_mean(phase)), 3);
        for (int q = 0; q < QUANTILE_COUNT; q++)
            norn_json_add_fixed(&json, quantiles[q].key,
                                us(norn_histogram_quantile(phase, quantiles[q].quantile)), 3);
        norn_json_add_fixed(&json, "max_us", us((double)phase->max_ns), 3);
        norn_json_end(&json);
    }
    norn_json_end(&json);
    norn_buffer_text(out, "\n");
}
