// Products of all pairs of rows with AVX-512: 4 x 4 products at a time, sixteen lanes of each.
#include "cpu/micro/gram_f32.h"

#include <immintrin.h>

enum { ROWS = 4, COLUMNS = 4, LANES = 16 };

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static inline __m256 halves(__m512 x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}

/// The sums of the lanes of four vectors.
static inline __m128 sums_of(const __m512 s[COLUMNS]) {
    __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(halves(s[0]), halves(s[1])),
                                  _mm256_hadd_ps(halves(s[2]), halves(s[3])));
    return _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

static inline void gram_block(int64_t dim, const float *const x[ROWS],
                              const float *const y[COLUMNS], __m128 out[ROWS]) {
    __m512 s[ROWS][COLUMNS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        UNROLL for (int c = 0; c < COLUMNS; c++) s[r][c] = _mm512_setzero_ps();
    }
    for (int64_t p = 0; p < dim; p += LANES) {
        const __mmask16 part =
            dim - p >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << (dim - p)) - 1u);
        __m512 b[COLUMNS];
        UNROLL for (int c = 0; c < COLUMNS; c++) b[c] = _mm512_maskz_loadu_ps(part, y[c] + p);
        UNROLL for (int r = 0; r < ROWS; r++) {
            const __m512 a = _mm512_maskz_loadu_ps(part, x[r] + p);
            UNROLL for (int c = 0; c < COLUMNS; c++) s[r][c] = _mm512_fmadd_ps(a, b[c], s[r][c]);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++) out[r] = sums_of(s[r]);
}

void norn_f32_gram__avx512(int64_t count, int64_t dim, const float *const *rows, float *gram,
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
            const __mmask8 kept =
                count - j >= COLUMNS ? (__mmask8)0xf : (__mmask8)((1u << (count - j)) - 1u);
            for (int64_t r = 0; r < ROWS && i + r < count; r++)
                _mm_mask_storeu_ps(gram + (i + r) * ld + j, kept, sums[r]);
        }
    }
}
