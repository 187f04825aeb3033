// Float32 product tiles with AVX2 and FMA: up to 6 x 16, that is 12 of the 16 registers for C.
#include "cpu/micro/gemm_f32.h"

#include <immintrin.h>

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/// Lanes [0, count) of eight.
static inline __m256i lanes_below(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

/// `chains`: independent sums over k, so that few rows still keep both multipliers busy (a fused
/// multiply-add takes four cycles, two start in each). `masked`: fewer than 16 columns.
__attribute__((always_inline)) static inline void gemm_avx2(const norn_gemm_tile *t, const int rows,
                                                            const int chains, const bool masked) {
    const __m256i low = lanes_below(t->columns), high = lanes_below(t->columns - 8);
    __m256 sum[4][6][2];
    UNROLL for (int s = 0; s < chains; s++) {
        UNROLL for (int i = 0; i < rows; i++) sum[s][i][0] = sum[s][i][1] = _mm256_setzero_ps();
    }
    const float *a = t->a, *b = t->b;
    const int64_t lda = t->lda, ldb = t->ldb;
    int64_t k = t->k;
    for (; k >= chains; k -= chains) {
        UNROLL for (int s = 0; s < chains; s++) {
            __m256 b0, b1;
            if (masked) {
                b0 = _mm256_maskload_ps(b + s * ldb, low);
                b1 = _mm256_maskload_ps(b + s * ldb + 8, high);
            } else {
                b0 = _mm256_loadu_ps(b + s * ldb);
                b1 = _mm256_loadu_ps(b + s * ldb + 8);
            }
            UNROLL for (int i = 0; i < rows; i++) {
                __m256 x = _mm256_broadcast_ss(a + i * lda + s);
                sum[s][i][0] = _mm256_fmadd_ps(x, b0, sum[s][i][0]);
                sum[s][i][1] = _mm256_fmadd_ps(x, b1, sum[s][i][1]);
            }
        }
        a += chains;
        b += chains * ldb;
    }
    for (; k > 0; k--, a++, b += ldb) { // fewer than `chains` are left
        __m256 b0 = masked ? _mm256_maskload_ps(b, low) : _mm256_loadu_ps(b);
        __m256 b1 = masked ? _mm256_maskload_ps(b + 8, high) : _mm256_loadu_ps(b + 8);
        UNROLL for (int i = 0; i < rows; i++) {
            __m256 x = _mm256_broadcast_ss(a + i * lda);
            sum[0][i][0] = _mm256_fmadd_ps(x, b0, sum[0][i][0]);
            sum[0][i][1] = _mm256_fmadd_ps(x, b1, sum[0][i][1]);
        }
    }
    UNROLL for (int s = 1; s < chains; s++) {
        UNROLL for (int i = 0; i < rows; i++) {
            sum[0][i][0] = _mm256_add_ps(sum[0][i][0], sum[s][i][0]);
            sum[0][i][1] = _mm256_add_ps(sum[0][i][1], sum[s][i][1]);
        }
    }
    __m256 bias0 = _mm256_setzero_ps(), bias1 = bias0;
    if (t->bias) {
        bias0 = masked ? _mm256_maskload_ps(t->bias, low) : _mm256_loadu_ps(t->bias);
        bias1 = masked ? _mm256_maskload_ps(t->bias + 8, high) : _mm256_loadu_ps(t->bias + 8);
    }
    const __m256 floor = _mm256_set1_ps(t->floor);
    UNROLL for (int i = 0; i < rows; i++) {
        float *c = t->c + i * t->ldc;
        __m256 x0 = sum[0][i][0], x1 = sum[0][i][1];
        if (t->accumulate) {
            x0 = _mm256_add_ps(x0, masked ? _mm256_maskload_ps(c, low) : _mm256_loadu_ps(c));
            x1 = _mm256_add_ps(x1,
                               masked ? _mm256_maskload_ps(c + 8, high) : _mm256_loadu_ps(c + 8));
        }
        // maxps gives its second operand when one is NaN, and a NaN must stay.
        x0 = _mm256_max_ps(floor, _mm256_add_ps(x0, bias0));
        x1 = _mm256_max_ps(floor, _mm256_add_ps(x1, bias1));
        if (masked) {
            _mm256_maskstore_ps(c, low, x0);
            _mm256_maskstore_ps(c + 8, high, x1);
        } else {
            _mm256_storeu_ps(c, x0);
            _mm256_storeu_ps(c + 8, x1);
        }
    }
}

#define KERNEL(rows, chains)                                           \
    void norn_f32_gemm__avx2_##rows##x16(const norn_gemm_tile *tile) { \
        if (tile->columns == NORN_GEMM_PANEL)                          \
            gemm_avx2(tile, rows, chains, false);                      \
        else                                                           \
            gemm_avx2(tile, rows, chains, true);                       \
    }

KERNEL(1, 4)
KERNEL(2, 2)
KERNEL(3, 2)
KERNEL(4, 1)
KERNEL(5, 1)
KERNEL(6, 1)
