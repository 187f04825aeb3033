#include "cpu/micro/thin_f32.h"

void norn_f32_thin__scalar(int64_t rows, int64_t k, const float *a, int64_t lda, const float *w,
                           float *out) {
    for (int64_t i = 0; i < rows; i++) {
        float sum = 0;
        for (int64_t p = 0; p < k; p++) sum += a[i * lda + p] * w[p];
        out[i] = sum;
    }
}

norn_thin_fn norn_thin_f32_of(norn_isa isa) {
#if defined(__x86_64__)
    if (isa >= NORN_ISA_AVX2) return norn_f32_thin__avx2;
#else
    (void)isa;
#endif
    return norn_f32_thin__scalar;
}
