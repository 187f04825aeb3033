/// The most float32 multiply-adds a core does: the bar for the product kernels.
#ifndef NORN_BENCH_FMA_PEAK_H
#define NORN_BENCH_FMA_PEAK_H

#include <stdint.h>

/// `rounds` of independent fused multiply-adds; returns the operations (two for each lane).
int64_t norn_fma_peak__scalar(int64_t rounds);
int64_t norn_fma_peak__avx2(int64_t rounds);
int64_t norn_fma_peak__avx512(int64_t rounds);

#endif
