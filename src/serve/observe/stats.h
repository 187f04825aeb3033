/// Counters of one servable: what KServe statistics and the metrics page show.
/// Threads  any; relaxed atomics.
#ifndef NORN_SERVE_OBSERVE_STATS_H
#define NORN_SERVE_OBSERVE_STATS_H

#include "base/histogram.h"
#include "base/status.h"

/// Where the time of a request went.
typedef struct norn_request_times {
    int64_t arrival_ns;                      ///< the request was read
    int64_t dequeue_ns;                      ///< a batch took it
    int64_t input_ns, compute_ns, output_ns; ///< durations of its batch
    int64_t done_ns;
} norn_request_times;

typedef struct norn_stat {
    _Atomic uint64_t count, ns;
} norn_stat;

typedef enum norn_failure_reason {
    NORN_FAILURE_REJECTED, ///< queue full or stopping
    NORN_FAILURE_CANCELED, ///< deadline passed
    NORN_FAILURE_BACKEND,
    NORN_FAILURE_OTHER, ///< bad requests
    NORN_FAILURE_COUNT
} norn_failure_reason;

typedef struct norn_stats {
    norn_stat success, fail, queue, compute_input, compute_infer, compute_output;
    _Atomic uint64_t failure[NORN_FAILURE_COUNT];
    _Atomic uint64_t inference_count, execution_count, last_inference_ms;
    norn_histogram request; ///< arrival to answer
    int64_t load_ns;
} norn_stats;

void norn_stats_init(norn_stats *stats);
/// Count one request of `rows` rows that ended with `status`, failed ones by their status.
void norn_stats_count(norn_stats *stats, norn_status status, int64_t rows,
                      const norn_request_times *times);

#endif
