/// Times of the steps of one run: clock reads on the CPU, events on a device.
#ifndef NORN_RUNTIME_TRACE_H
#define NORN_RUNTIME_TRACE_H

#include "norn/session.h"
#include "runtime/frame.h"

typedef struct norn_trace {
    norn_frame *frame; ///< the instance's top frame: bodies count to their step
    norn_step_trace *steps;
    char **origins;                     ///< text by step
    norn_event *start[NORN_PLACES_MAX]; ///< by place; NULL on the CPU
    norn_event **before, **after;       ///< by step
    int64_t start_ns;
} norn_trace;

norn_status norn_trace_create(norn_frame *frame, norn_trace **out) NORN_NODISCARD;
void norn_trace_destroy(norn_trace *trace); ///< takes NULL

/// Around the whole run, and around each step.
norn_status norn_trace_start(norn_trace *trace) NORN_NODISCARD;
norn_status norn_trace_begin(norn_trace *trace, uint32_t step) NORN_NODISCARD;
norn_status norn_trace_end(norn_trace *trace, uint32_t step) NORN_NODISCARD;
/// Once all work is done: fills in device times and the cost of each step.
norn_status norn_trace_finish(norn_trace *trace) NORN_NODISCARD;

#endif
