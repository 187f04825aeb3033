#include "serve/observe/metrics.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

typedef struct metric_page {
    norn_buffer *out;
    norn_servable *servable; ///< whose rows are put
    void (*row)(struct metric_page *page);
} metric_page;

/// Label values: backslash, quote and newline are escaped.
static void put_label(norn_buffer *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') norn_buffer_append(out, "\\", 1);
        norn_buffer_append(out, *text == '\n' ? " " : text, 1);
    }
}

static void put_name(norn_buffer *out, const char *metric, const norn_servable *servable,
                     const char *more) {
    norn_buffer_format(out, "%s{model=\"", metric);
    put_label(out, servable->name);
    norn_buffer_format(out, "\",version=\"%lld\"%s} ", (long long)servable->version, more);
}

static void put_row(norn_buffer *out, const char *metric, const norn_servable *servable,
                    uint64_t value) {
    put_name(out, metric, servable, "");
    norn_buffer_format(out, "%llu\n", (unsigned long long)value);
}

#define COUNTER_ROW(function, metric, expression)                     \
    static void function(metric_page *page) {                         \
        const norn_servable *servable = page->servable;               \
        put_row(page->out, metric, servable, (uint64_t)(expression)); \
    }
COUNTER_ROW(row_success, "nv_inference_request_success", servable->stats.success.count)
COUNTER_ROW(row_count, "nv_inference_count", servable->stats.inference_count)
COUNTER_ROW(row_exec, "nv_inference_exec_count", servable->stats.execution_count)
COUNTER_ROW(row_request_us, "nv_inference_request_duration_us", servable->stats.success.ns / 1000)
COUNTER_ROW(row_queue_us, "nv_inference_queue_duration_us", servable->stats.queue.ns / 1000)
COUNTER_ROW(row_input_us, "nv_inference_compute_input_duration_us",
            servable->stats.compute_input.ns / 1000)
COUNTER_ROW(row_infer_us, "nv_inference_compute_infer_duration_us",
            servable->stats.compute_infer.ns / 1000)
COUNTER_ROW(row_output_us, "nv_inference_compute_output_duration_us",
            servable->stats.compute_output.ns / 1000)
COUNTER_ROW(row_pending, "nv_inference_pending_request_count",
            servable->calls->pending ? servable->calls->pending(servable) : 0)

static void row_failure(metric_page *page) {
    const norn_servable *servable = page->servable;
    static const char *const reasons[NORN_FAILURE_COUNT] = {"REJECTED", "CANCELED", "BACKEND",
                                                            "OTHER"};
    for (size_t i = 0; i < NORN_FAILURE_COUNT; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, ",reason=\"%s\"", reasons[i]);
        put_name(page->out, "nv_inference_request_failure", servable, label);
        norn_buffer_format(page->out, "%llu\n", (unsigned long long)servable->stats.failure[i]);
    }
}

static void row_load(metric_page *page) {
    put_name(page->out, "nv_model_load_duration_secs", page->servable, "");
    norn_buffer_format(page->out, "%.6f\n", (double)page->servable->stats.load_ns / 1e9);
}

/// Buckets at powers of two from 16 us: cumulative, so that pages of many servers add up.
static void row_latency(metric_page *page) {
    const norn_servable *servable = page->servable;
    const norn_histogram *histogram = &servable->stats.request;
    uint64_t below = 0;
    size_t bucket = 0;
    char label[64];
    for (int bit = 14; bit <= 32; bit++) { // 2^14 ns = 16 us
        // Bucket of value v >= 2^SUB_BITS: ((msb - SUB_BITS + 1) << SUB_BITS) + next SUB_BITS bits.
        const size_t end = (size_t)(bit - NORN_HISTOGRAM_SUB_BITS + 1) << NORN_HISTOGRAM_SUB_BITS;
        for (; bucket < end && bucket < NORN_HISTOGRAM_BUCKETS; bucket++)
            below += histogram->bucket[bucket];
        (void)snprintf(label, sizeof label, ",le=\"%.9g\"", (double)(1ull << bit) / 1e9);
        put_name(page->out, "norn_request_seconds_bucket", servable, label);
        norn_buffer_format(page->out, "%llu\n", (unsigned long long)below);
    }
    put_name(page->out, "norn_request_seconds_bucket", servable, ",le=\"+Inf\"");
    norn_buffer_format(page->out, "%llu\n", (unsigned long long)histogram->count);
    put_name(page->out, "norn_request_seconds_sum", servable, "");
    norn_buffer_format(page->out, "%.9f\n", (double)histogram->sum_ns / 1e9);
    put_row(page->out, "norn_request_seconds_count", servable, histogram->count);
}

/// The labels of a table's row but the last, which ends the braces.
static void put_table(const metric_page *page, const char *metric, const norn_table_stat *stat) {
    norn_buffer_format(page->out, "%s{model=\"", metric);
    put_label(page->out, page->servable->name);
    norn_buffer_format(page->out, "\",version=\"%lld\",table=\"",
                       (long long)page->servable->version);
    put_label(page->out, stat->table);
    norn_buffer_text(page->out, "\"");
}

static void put_missing_keys(void *context, const norn_table_stat *stat) {
    const metric_page *page = context;
    put_table(page, "norn_table_missing_keys_total", stat);
    norn_buffer_format(page->out, ",policy=\"%s\"} %llu\n", stat->refuses ? "error" : "default",
                       (unsigned long long)stat->missing);
}

static void put_late_keys(void *context, const norn_table_stat *stat) {
    const metric_page *page = context;
    put_table(page, "norn_table_late_keys_total", stat);
    norn_buffer_format(page->out, "} %llu\n", (unsigned long long)stat->late);
}

static void each_table(metric_page *page, norn_table_stat_fn put) {
    const norn_servable_calls *calls = page->servable->calls;
    if (calls->tables) calls->tables(page->servable, put, page);
}

static void row_missing_keys(metric_page *page) {
    each_table(page, put_missing_keys);
}

static void row_late_keys(metric_page *page) {
    each_table(page, put_late_keys);
}

/// One value of how a version stands in its log, where it follows one.
static void put_follow(const metric_page *page, const char *metric,
                       double (*value)(const norn_follower_stat *stat)) {
    norn_follower_stat stat;
    const norn_servable_calls *calls = page->servable->calls;
    if (!calls->follow || !calls->follow(page->servable, &stat)) return;
    put_name(page->out, metric, page->servable, "");
    norn_buffer_format(page->out, "%.15g\n", value(&stat));
}

#define FOLLOW_ROW(function, metric, expression)                  \
    static double function##_of(const norn_follower_stat *stat) { \
        return (double)(expression);                              \
    }                                                             \
    static void function(metric_page *page) {                     \
        put_follow(page, metric, function##_of);                  \
    }
FOLLOW_ROW(row_step, "norn_delta_step", stat->applied.step)
FOLLOW_ROW(row_published, "norn_delta_published_seconds", (double)stat->applied.published_ns / 1e9)
FOLLOW_ROW(row_epoch, "norn_delta_epoch", stat->applied.epoch)
FOLLOW_ROW(row_steps, "norn_delta_steps_total", stat->applied.steps)
FOLLOW_ROW(row_delta_rows, "norn_delta_rows_total", stat->applied.rows)
FOLLOW_ROW(row_delta_deletes, "norn_delta_deletes_total", stat->applied.deletes)
FOLLOW_ROW(row_delta_bytes, "norn_delta_bytes_total", stat->applied.bytes)
FOLLOW_ROW(row_delta_errors, "norn_delta_errors_total", stat->errors)
FOLLOW_ROW(row_stalled, "norn_delta_stalled", stat->error[0] != 0)

static void put_cached(const metric_page *page, const char *metric, bool hits) {
    norn_cache_stat stat;
    const norn_servable_calls *calls = page->servable->calls;
    if (!calls->cached || !calls->cached(page->servable, &stat)) return;
    put_row(page->out, metric, page->servable, hits ? stat.hits : stat.misses);
}

static void row_cached(metric_page *page) {
    put_cached(page, "norn_tier_cached_keys_total", true);
}

static void row_fetched(metric_page *page) {
    put_cached(page, "norn_tier_fetched_keys_total", false);
}

static const struct metric {
    const char *name, *type, *help;
    void (*row)(metric_page *page);
} metrics[] = {
    {"nv_inference_request_success", "counter", "Requests answered", row_success},
    {"nv_inference_request_failure", "counter", "Requests refused or failed, by reason",
     row_failure},
    {"nv_inference_count", "counter", "Rows scored", row_count},
    {"nv_inference_exec_count", "counter", "Batches run", row_exec},
    {"nv_inference_request_duration_us", "counter", "Time from arrival to answer, summed",
     row_request_us},
    {"nv_inference_queue_duration_us", "counter", "Time in the queue, summed", row_queue_us},
    {"nv_inference_compute_input_duration_us", "counter", "Time to place inputs, summed",
     row_input_us},
    {"nv_inference_compute_infer_duration_us", "counter", "Time to compute, summed", row_infer_us},
    {"nv_inference_compute_output_duration_us", "counter", "Time to take outputs, summed",
     row_output_us},
    {"nv_inference_pending_request_count", "gauge", "Requests in the queue now", row_pending},
    {"nv_model_load_duration_secs", "gauge", "Time the version took to load", row_load},
    {"norn_table_missing_keys_total", "counter",
     "Keys that a table had no row for, by policy: default rows taken, or requests refused",
     row_missing_keys},
    {"norn_table_late_keys_total", "counter",
     "Keys that got the default row because theirs did not come from its tier in time",
     row_late_keys},
    {"norn_tier_cached_keys_total", "counter",
     "Keys of the model's tier whose rows were in memory, over all its versions", row_cached},
    {"norn_tier_fetched_keys_total", "counter", "Keys that were fetched from the tier",
     row_fetched},
    {"norn_delta_step", "gauge", "Step of the delta log that the version stands at", row_step},
    {"norn_delta_published_seconds", "gauge",
     "Unix time at which that step was published; 0: none was", row_published},
    {"norn_delta_epoch", "gauge", "Epoch of the writer of that step", row_epoch},
    {"norn_delta_stalled", "gauge",
     "1 while the log cannot be followed (a gap, damage, rows that do not fit): the server's log "
     "says why",
     row_stalled},
    {"norn_delta_errors_total", "counter", "Times that the log could not be followed",
     row_delta_errors},
    {"norn_delta_steps_total", "counter", "Steps applied since the version was loaded", row_steps},
    {"norn_delta_rows_total", "counter", "Rows that these wrote", row_delta_rows},
    {"norn_delta_deletes_total", "counter", "Rows that these deleted", row_delta_deletes},
    {"norn_delta_bytes_total", "counter", "Bytes of the log that were read for them",
     row_delta_bytes},
    {"norn_request_seconds", "histogram", "Time from arrival to answer", row_latency},
};

static void visit_row(void *context, const norn_index_model *model,
                      const norn_index_version *version) {
    metric_page *page = context;
    (void)model;
    page->servable = version->servable;
    if (page->servable) page->row(page);
}

/// By model, not by version: a version that cannot be loaded has no row of its own.
static void put_load_failures(void *context, const norn_index_model *model,
                              const norn_index_version *version) {
    norn_buffer *out = context;
    if (version != model->versions) return;
    norn_buffer_text(out, "norn_model_load_failures_total{model=\"");
    put_label(out, model->name);
    norn_buffer_format(out, "\"} %llu\n", (unsigned long long)model->load_failures);
}

static void put_failed_versions(void *context, const norn_index_model *model,
                                const norn_index_version *version) {
    norn_buffer *out = context;
    if (!version->failed || version->version < 0) return;
    norn_buffer_text(out, "norn_model_version_failed{model=\"");
    put_label(out, model->name);
    norn_buffer_format(out, "\",version=\"%lld\"} 1\n", (long long)version->version);
}

static void put_head(norn_buffer *out, const char *name, const char *type, const char *help) {
    norn_buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_reaper(norn_service *service, norn_buffer *out) {
    const norn_reaper_stat stat = norn_repository_reaped(service->repository);
    put_head(out, "norn_versions_retiring", "gauge",
             "Versions that were replaced and are not freed yet");
    norn_buffer_format(out, "norn_versions_retiring %lld\n", (long long)stat.waiting);
    put_head(out, "norn_versions_retiring_seconds", "gauge",
             "How long the oldest of them has been waiting");
    norn_buffer_format(out, "norn_versions_retiring_seconds %.3f\n", (double)stat.oldest_ns / 1e9);
    put_head(out, "norn_versions_freed_total", "counter", "Versions that were freed");
    norn_buffer_format(out, "norn_versions_freed_total %llu\n", (unsigned long long)stat.done);
}

static void put_clients(const norn_service *service, norn_buffer *out) {
    put_head(out, "norn_requests_in_flight", "gauge", "Requests being answered");
    norn_buffer_format(out, "norn_requests_in_flight %lld\n", (long long)service->in_flight);
    put_head(out, "norn_connections", "gauge", "Connections that are open");
    norn_buffer_format(out, "norn_connections %lld\n", (long long)service->connections);
    put_head(out, "norn_memory_held_bytes", "gauge", "Held for clients, of --memory-budget");
    norn_buffer_format(out, "norn_memory_held_bytes %lld\n", (long long)service->budget.held_bytes);
    put_head(out, "norn_memory_refused_total", "counter",
             "Times that --memory-budget had no room for what a client asked");
    norn_buffer_format(out, "norn_memory_refused_total %llu\n",
                       (unsigned long long)service->budget.refused);
}

void norn_metrics_put(norn_service *service, norn_buffer *out) {
    metric_page page = {.out = out};
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        put_head(out, metrics[i].name, metrics[i].type, metrics[i].help);
        page.row = metrics[i].row;
        norn_repository_visit(service->repository, visit_row, &page);
    }
    put_head(out, "norn_model_load_failures_total", "counter", "Loads that failed");
    norn_repository_visit(service->repository, put_load_failures, out);
    put_head(out, "norn_model_version_failed", "gauge",
             "1 for every version that the last load of its model tried in vain");
    norn_repository_visit(service->repository, put_failed_versions, out);
    put_reaper(service, out);
    put_clients(service, out);
    put_head(out, "norn_uptime_seconds", "gauge", "Time since the server started");
    norn_buffer_format(out, "norn_uptime_seconds %.3f\n",
                       (double)(norn_clock_now_ns() - service->start_ns) / 1e9);
}
