/// Products of every pair of rows: the dot-interaction of one sample.
#ifndef NORN_CPU_MICRO_GRAM_F32_H
#define NORN_CPU_MICRO_GRAM_F32_H

#include "cpu/isa.h"

#include <stdint.h>

/// gram[i * ld + j] = rows[i] . rows[j] for j <= i < count, each row of `dim` elements. What lies
/// above the diagonal may be overwritten, up to column `count`.
typedef void (*norn_gram_fn)(int64_t count, int64_t dim, const float *const *rows, float *gram,
                             int64_t ld);

void norn_f32_gram__scalar(int64_t count, int64_t dim, const float *const *rows, float *gram,
                           int64_t ld);
void norn_f32_gram__avx2(int64_t count, int64_t dim, const float *const *rows, float *gram,
                         int64_t ld);
void norn_f32_gram__avx512(int64_t count, int64_t dim, const float *const *rows, float *gram,
                           int64_t ld);
norn_gram_fn norn_gram_f32_of(norn_isa isa);

#endif
