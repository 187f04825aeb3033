#include "serve/observe/stats.h"

#include "base/clock.h"

static void stat_add(norn_stat *stat, int64_t ns) {
    atomic_fetch_add_explicit(&stat->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stat->ns, ns > 0 ? (uint64_t)ns : 0, memory_order_relaxed);
}

void norn_stats_init(norn_stats *stats) {
    *stats = (norn_stats){.load_ns = 0};
    norn_histogram_init(&stats->request);
}

static norn_failure_reason reason_of(norn_status status) {
    if (status == NORN_RESOURCE_EXHAUSTED || status == NORN_UNAVAILABLE)
        return NORN_FAILURE_REJECTED;
    if (status == NORN_DEADLINE_EXCEEDED || status == NORN_CANCELLED) return NORN_FAILURE_CANCELED;
    if (status == NORN_INVALID_ARGUMENT || status == NORN_OUT_OF_RANGE) return NORN_FAILURE_OTHER;
    return NORN_FAILURE_BACKEND;
}

void norn_stats_count(norn_stats *stats, norn_status status, int64_t rows,
                      const norn_request_times *times) {
    const int64_t total_ns = times->done_ns - times->arrival_ns;
    if (status != NORN_OK) {
        stat_add(&stats->fail, total_ns);
        atomic_fetch_add_explicit(&stats->failure[reason_of(status)], 1, memory_order_relaxed);
        return;
    }
    stat_add(&stats->success, total_ns);
    stat_add(&stats->queue, times->dequeue_ns - times->arrival_ns);
    stat_add(&stats->compute_input, times->input_ns);
    stat_add(&stats->compute_infer, times->compute_ns);
    stat_add(&stats->compute_output, times->output_ns);
    atomic_fetch_add_explicit(&stats->inference_count, (uint64_t)rows, memory_order_relaxed);
    atomic_store_explicit(&stats->last_inference_ms, (uint64_t)(norn_clock_wall_ns() / 1000000),
                          memory_order_relaxed);
    norn_histogram_add(&stats->request, total_ns);
}
