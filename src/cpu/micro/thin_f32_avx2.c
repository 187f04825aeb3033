// Sums along rows with AVX2: four rows at a time, two chains each.
#include "cpu/micro/thin_f32.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 8 };

static inline __m256i lanes_below(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

static inline __m128 sums_of(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

void norn_f32_thin__avx2(int64_t rows, int64_t k, const float *a, int64_t lda, const float *w,
                         float *out) {
    for (int64_t i = 0; i < rows; i += ROWS) {
        // Past the last row the last row stands in; what it gives is not stored.
        const float *x[ROWS];
        __m256 s[ROWS], t[ROWS];
        for (int64_t r = 0; r < ROWS; r++) {
            x[r] = a + (i + r < rows ? i + r : rows - 1) * lda;
            s[r] = t[r] = _mm256_setzero_ps();
        }
        int64_t p = 0;
        for (; p + 2 * LANES <= k; p += 2 * LANES) {
            const __m256 w0 = _mm256_loadu_ps(w + p), w1 = _mm256_loadu_ps(w + p + LANES);
            for (int64_t r = 0; r < ROWS; r++) {
                s[r] = _mm256_fmadd_ps(_mm256_loadu_ps(x[r] + p), w0, s[r]);
                t[r] = _mm256_fmadd_ps(_mm256_loadu_ps(x[r] + p + LANES), w1, t[r]);
            }
        }
        for (; p < k; p += LANES) {
            const __m256i part = lanes_below(k - p);
            const __m256 w0 = _mm256_maskload_ps(w + p, part);
            for (int64_t r = 0; r < ROWS; r++)
                s[r] = _mm256_fmadd_ps(_mm256_maskload_ps(x[r] + p, part), w0, s[r]);
        }
        for (int64_t r = 0; r < ROWS; r++) s[r] = _mm256_add_ps(s[r], t[r]);
        const __m128 sums = sums_of(s[0], s[1], s[2], s[3]);
        if (rows - i >= ROWS)
            _mm_storeu_ps(out + i, sums);
        else
            _mm_maskstore_ps(out + i, _mm256_castsi256_si128(lanes_below(rows - i)), sums);
    }
}
