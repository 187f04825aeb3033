// Products of all pairs of rows with AVX2: 3 x 4 products at a time,
// eight lanes of each in a register.
#include "cpu/micro/gram_f32.h"

#include <immintrin.h>

enum { ROWS = 3, COLUMNS = 4, LANES = 8 };

static inline __m256i lanes_below(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

/// The sums of the lanes of four vectors.
static inline __m128 sums_of(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

#define STEP(LOAD)                                                            \
    do {                                                                      \
        const __m256 y0 = LOAD(y[0] + p), y1 = LOAD(y[1] + p);                \
        const __m256 y2 = LOAD(y[2] + p), y3 = LOAD(y[3] + p);                \
        __m256 a = LOAD(x[0] + p);                                            \
        s00 = _mm256_fmadd_ps(a, y0, s00), s01 = _mm256_fmadd_ps(a, y1, s01); \
        s02 = _mm256_fmadd_ps(a, y2, s02), s03 = _mm256_fmadd_ps(a, y3, s03); \
        a = LOAD(x[1] + p);                                                   \
        s10 = _mm256_fmadd_ps(a, y0, s10), s11 = _mm256_fmadd_ps(a, y1, s11); \
        s12 = _mm256_fmadd_ps(a, y2, s12), s13 = _mm256_fmadd_ps(a, y3, s13); \
        a = LOAD(x[2] + p);                                                   \
        s20 = _mm256_fmadd_ps(a, y0, s20), s21 = _mm256_fmadd_ps(a, y1, s21); \
        s22 = _mm256_fmadd_ps(a, y2, s22), s23 = _mm256_fmadd_ps(a, y3, s23); \
    } while (0)
#define LOAD_ALL(at) _mm256_loadu_ps(at)
#define LOAD_PART(at) _mm256_maskload_ps(at, part)

static inline void gram_block(int64_t dim, const float *const x[ROWS],
                              const float *const y[COLUMNS], __m128 out[ROWS]) {
    __m256 s00 = _mm256_setzero_ps(), s01 = s00, s02 = s00, s03 = s00;
    __m256 s10 = s00, s11 = s00, s12 = s00, s13 = s00, s20 = s00, s21 = s00, s22 = s00, s23 = s00;
    int64_t p = 0;
    for (; p + LANES <= dim; p += LANES) STEP(LOAD_ALL);
    if (p < dim) {
        const __m256i part = lanes_below(dim - p);
        STEP(LOAD_PART);
    }
    out[0] = sums_of(s00, s01, s02, s03);
    out[1] = sums_of(s10, s11, s12, s13);
    out[2] = sums_of(s20, s21, s22, s23);
}

void norn_f32_gram__avx2(int64_t count, int64_t dim, const float *const *rows, float *gram,
                         int64_t ld) {
    for (int64_t i = 0; i < count; i += ROWS) {
        // Past the last row the last row stands in; what it gives is not stored.
        const float *x[ROWS];
        for (int64_t r = 0; r < ROWS; r++) x[r] = rows[i + r < count ? i + r : count - 1];
        for (int64_t j = 0; j < count && j < i + ROWS; j += COLUMNS) {
            const float *y[COLUMNS];
            __m128 sums[ROWS];
            for (int64_t c = 0; c < COLUMNS; c++) y[c] = rows[j + c < count ? j + c : count - 1];
            gram_block(dim, x, y, sums);
            for (int64_t r = 0; r < ROWS && i + r < count; r++) {
                float *to = gram + (i + r) * ld + j;
                if (j + COLUMNS <= count)
                    _mm_storeu_ps(to, sums[r]);
                else
                    _mm_maskstore_ps(to, _mm256_castsi256_si128(lanes_below(count - j)), sums[r]);
            }
        }
    }
}
