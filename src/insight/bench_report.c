#include "insight/bench_report.h"

#include <stdbool.h>

static const struct {
    const char *name;
    double quantile;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}};
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
    norn_buffer_format(out, "batch %lld, %d caller%s, %d thread%s each, %.2f s, %lld runs\n",
                       (long long)result->rows, options->concurrency,
                       options->concurrency == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
                       result->elapsed_s, (long long)result->runs);
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
    norn_buffer_format(
        out,
        "{\"batch\":%lld,\"concurrency\":%d,\"threads\":%d,\"duration_s\":%.3f,\"runs\":%lld,"
        "\"throughput_per_s\":%.3f,\"rows_per_s\":%.1f",
        (long long)result->rows, options->concurrency, threads, result->elapsed_s,
        (long long)result->runs, per_second(result, result->runs),
        per_second(result, result->runs * result->rows));
    const char *comma = "";
    norn_buffer_format(out, ",\"of_few_runs\":[");
    for (int q = 0; q < QUANTILE_COUNT; q++) {
        if (!is_of_few(result, q)) continue;
        norn_buffer_format(out, "%s\"%s\"", comma, quantiles[q].name);
        comma = ",";
    }
    norn_buffer_format(out, "]");
    for (int p = 0; p < NORN_BENCH_PHASES; p++) {
        const norn_histogram *phase = &result->phase[p];
        norn_buffer_format(out, ",\"%s\":{\"min_us\":%.3f,\"mean_us\":%.3f",
                           norn_bench_phase_name((norn_bench_phase)p), us((double)phase->min_ns),
                           us(norn_histogram_mean(phase)));
        for (int q = 0; q < QUANTILE_COUNT; q++)
            norn_buffer_format(out, ",\"%s_us\":%.3f", quantiles[q].name,
                               us(norn_histogram_quantile(phase, quantiles[q].quantile)));
        norn_buffer_format(out, ",\"max_us\":%.3f}", us((double)phase->max_ns));
    }
    norn_buffer_format(out, "}\n");
}
