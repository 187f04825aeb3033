/// Sums and extremes of contiguous float32, in many partial results (pairwise where it matters).
#ifndef NORN_CPU_MICRO_REDUCE_F32_H
#define NORN_CPU_MICRO_REDUCE_F32_H

#include "cpu/isa.h"

#include <stdint.h>

typedef struct norn_reduce_f32 {
    double (*sum)(const float *x, int64_t n);
    double (*sum_squares)(const float *x, float minus, int64_t n); ///< of x - minus
    float (*max)(const float *x, int64_t n);                       ///< n >= 1; NaN spreads
    float (*min)(const float *x, int64_t n);
    double (*dot)(const float *x, const float *y, int64_t n);
    /// sum[i] += x[r * n + i] for every r < rows; rows may be 0.
    void (*add_rows)(float *sum, const float *x, int64_t rows, int64_t n);
} norn_reduce_f32;

extern const norn_reduce_f32 norn_reduce_f32__scalar;
extern const norn_reduce_f32 norn_reduce_f32__avx2;
const norn_reduce_f32 *norn_reduce_f32_of(norn_isa isa);

#endif
