/// Counters of one model version: what KServe statistics and the metrics page show.
/// Threads  any; relaxed atomics.
#ifndef NORN_SERVE_STATS_H
#define NORN_SERVE_STATS_H

#include "base/histogram.h"
#include "serve/infer.h"

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
/// Count one finished request, failed ones by their status.
void norn_stats_count(norn_stats *stats, const norn_infer *infer);

#endif
