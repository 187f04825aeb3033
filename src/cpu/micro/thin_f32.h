/// Products with very few columns: sums along rows of A, where a panel would be mostly padding.
#ifndef NORN_CPU_MICRO_THIN_F32_H
#define NORN_CPU_MICRO_THIN_F32_H

#include "cpu/isa.h"

#include <stdint.h>

/// out[i] = a[i * lda ..] . w for i < rows; both of `k` elements.
typedef void (*norn_thin_fn)(int64_t rows, int64_t k, const float *a, int64_t lda, const float *w,
                             float *out);

void norn_f32_thin__scalar(int64_t rows, int64_t k, const float *a, int64_t lda, const float *w,
                           float *out);
void norn_f32_thin__avx2(int64_t rows, int64_t k, const float *a, int64_t lda, const float *w,
                         float *out);
norn_thin_fn norn_thin_f32_of(norn_isa isa);

#endif
