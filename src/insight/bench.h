/// A closed loop of callers on one session: what `norn bench` measures.
#ifndef NORN_INSIGHT_BENCH_H
#define NORN_INSIGHT_BENCH_H

#include "base/histogram.h"
#include "runtime/random_input.h"

typedef enum norn_bench_phase {
    NORN_BENCH_ACQUIRE, ///< wait for an instance
    NORN_BENCH_INPUT,   ///< inputs into staging memory, and to the device
    NORN_BENCH_COMPUTE,
    NORN_BENCH_OUTPUT, ///< from the device, and out to the caller
    NORN_BENCH_RUN,    ///< all but acquire
    NORN_BENCH_PHASES
} norn_bench_phase;
const char *norn_bench_phase_name(norn_bench_phase phase);

typedef struct norn_bench_options {
    norn_random_inputs inputs;
    const norn_view *given;   ///< NULL, or one an input; dtype NONE: random. The same in every set
    int32_t concurrency;      ///< callers and instances
    int32_t threads;          ///< of an instance; 0: all cores shared out
    int64_t max_memory_bytes; ///< of an instance; 0: the session's default
    double duration_s, warmup_s;
    int32_t input_sets; ///< different inputs that take turns
    /// May be NULL: what is being done, and how much of it is (0 to 1).
    void (*progress)(void *context, const char *what, double fraction);
    void *progress_context;
} norn_bench_options;

/// Runs that are measured at least, however long they take.
enum { NORN_BENCH_RUNS_MIN = 3 };

typedef struct norn_bench_result {
    norn_histogram phase[NORN_BENCH_PHASES];
    int64_t runs, rows; ///< runs that began in the time to measure; rows: of one run, the batch
    double elapsed_s;   ///< from the first one's begin to the last one's end
} norn_bench_result;

/// `result` is large: keep it off small stacks.
norn_status norn_bench(norn_plan *plan, norn_snapshot *snapshot, const norn_bench_options *options,
                       norn_alloc alloc, norn_bench_result *result) NORN_NODISCARD;

#endif
