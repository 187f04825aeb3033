#include "fma_peak.h"

#include <immintrin.h>

int64_t norn_fma_peak__avx2(int64_t rounds) {
    enum { CHAINS = 12 };
    __m256 x[CHAINS];
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    for (int i = 0; i < CHAINS; i++) x[i] = _mm256_set1_ps((float)i);
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) x[i] = _mm256_fmadd_ps(x[i], a, b);
    for (int i = 1; i < CHAINS; i++) x[0] = _mm256_add_ps(x[0], x[i]);
    volatile float sink = _mm256_cvtss_f32(x[0]);
    (void)sink;
    return rounds * CHAINS * 8 * 2;
}
