/// A latency histogram with fixed log-linear buckets (about 3 % wide), so that histograms of many
/// cores add up. 1 ns to about 70 minutes; above that it saturates.
///
/// Threads  add: any thread (relaxed atomics). Reads are approximate while others add.
#ifndef NORN_BASE_HISTOGRAM_H
#define NORN_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    NORN_HISTOGRAM_SUB_BITS = 5,
    NORN_HISTOGRAM_BUCKETS = (42 - NORN_HISTOGRAM_SUB_BITS + 1) << NORN_HISTOGRAM_SUB_BITS
};

typedef struct norn_histogram {
    _Atomic uint64_t bucket[NORN_HISTOGRAM_BUCKETS];
    _Atomic uint64_t count, sum_ns, min_ns, max_ns;
} norn_histogram;

void norn_histogram_init(norn_histogram *histogram);
void norn_histogram_add(norn_histogram *histogram, int64_t value_ns);
void norn_histogram_merge(norn_histogram *into, const norn_histogram *from);
/// The value below which `quantile` (0..1) of the samples lie,
/// interpolated in its bucket; 0 if empty.
double norn_histogram_quantile(const norn_histogram *histogram, double quantile);
double norn_histogram_mean(const norn_histogram *histogram);

#endif
