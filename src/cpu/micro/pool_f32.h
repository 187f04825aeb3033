/// Sums of float32 rows that lie anywhere: what embedding bags are.
#ifndef NORN_CPU_MICRO_POOL_F32_H
#define NORN_CPU_MICRO_POOL_F32_H

#include "cpu/isa.h"

#include <stdbool.h>
#include <stdint.h>

/// out[i] = (adds ? out[i] : 0) + weights[0] rows[0][i] + weights[1] rows[1][i] + …, one after another.
/// A NULL row is zeros; `weights` NULL: all are 1. No alignment is needed.
typedef void (*norn_pool_f32_fn)(float *out, const void *const *rows, const float *weights,
                                 int64_t count, int64_t dim, bool adds);

void norn_pool_f32__scalar(float *out, const void *const *rows, const float *weights, int64_t count,
                           int64_t dim, bool adds);
void norn_pool_f32__avx2(float *out, const void *const *rows, const float *weights, int64_t count,
                         int64_t dim, bool adds);
void norn_pool_f32__avx512(float *out, const void *const *rows, const float *weights, int64_t count,
                           int64_t dim, bool adds);
norn_pool_f32_fn norn_pool_f32_of(norn_isa isa);

#endif
