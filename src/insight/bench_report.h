/// What `norn bench` says of a measurement: a table, or one JSON object a line.
#ifndef NORN_INSIGHT_BENCH_REPORT_H
#define NORN_INSIGHT_BENCH_REPORT_H

#include "base/wire.h"
#include "insight/bench.h"

/// `threads`: of an instance. `options`: concurrency.
void norn_bench_text(const norn_bench_result *result, const norn_bench_options *options,
                     int32_t threads, norn_buffer *out);
void norn_bench_json(const norn_bench_result *result, const norn_bench_options *options,
                     int32_t threads, norn_buffer *out);

#endif
