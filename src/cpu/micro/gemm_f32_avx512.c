// Float32 product tiles with AVX-512: up to 14 x 32 (28 of the 32 registers for C), and for few
// rows 64 columns wide. Lanes past the last column are masked: they are never read or written.
#include "cpu/micro/gemm_f32.h"

#include <immintrin.h>

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/// `chains`: independent sums over k, so that few rows still keep both multipliers busy.
__attribute__((always_inline)) static inline void
gemm_avx512(const norn_gemm_tile *t, const int rows, const int panels, const int chains) {
    __mmask16 lanes[NORN_GEMM_PANELS_MAX];
    __m512 sum[4][NORN_GEMM_ROWS_MAX][NORN_GEMM_PANELS_MAX];
    UNROLL for (int v = 0; v < panels; v++) {
        int64_t left = t->columns - v * NORN_GEMM_PANEL;
        lanes[v] = left >= NORN_GEMM_PANEL ? (__mmask16)0xffff
                   : left <= 0             ? (__mmask16)0
                                           : (__mmask16)((1u << left) - 1u);
    }
    UNROLL for (int s = 0; s < chains; s++) {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < panels; v++) sum[s][i][v] = _mm512_setzero_ps();
        }
    }
    const float *a = t->a, *b = t->b;
    const int64_t lda = t->lda, ldb = t->ldb, panel = t->b_panel;
    int64_t k = t->k;
    for (; k >= chains; k -= chains) {
        UNROLL for (int s = 0; s < chains; s++) {
            __m512 y[NORN_GEMM_PANELS_MAX];
            UNROLL for (int v = 0; v < panels; v++) y[v] =
                _mm512_maskz_loadu_ps(lanes[v], b + v * panel + s * ldb);
            UNROLL for (int i = 0; i < rows; i++) {
                const __m512 x = _mm512_set1_ps(a[i * lda + s]);
                UNROLL for (int v = 0; v < panels; v++) sum[s][i][v] =
                    _mm512_fmadd_ps(x, y[v], sum[s][i][v]);
            }
        }
        a += chains;
        b += chains * ldb;
    }
    for (; k > 0; k--, a++, b += ldb) { // fewer than `chains` are left
        UNROLL for (int v = 0; v < panels; v++) {
            const __m512 y = _mm512_maskz_loadu_ps(lanes[v], b + v * panel);
            UNROLL for (int i = 0; i < rows; i++) sum[0][i][v] =
                _mm512_fmadd_ps(_mm512_set1_ps(a[i * lda]), y, sum[0][i][v]);
        }
    }
    const __m512 floor = _mm512_set1_ps(t->floor);
    UNROLL for (int v = 0; v < panels; v++) {
        __m512 bias = _mm512_setzero_ps();
        if (t->bias) bias = _mm512_maskz_loadu_ps(lanes[v], t->bias + v * NORN_GEMM_PANEL);
        UNROLL for (int i = 0; i < rows; i++) {
            float *c = t->c + i * t->ldc + v * NORN_GEMM_PANEL;
            __m512 x = sum[0][i][v];
            UNROLL for (int s = 1; s < chains; s++) x = _mm512_add_ps(x, sum[s][i][v]);
            if (t->accumulate) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(lanes[v], c));
            // maxps gives its second operand when one is NaN, and a NaN must stay.
            _mm512_mask_storeu_ps(c, lanes[v], _mm512_max_ps(floor, _mm512_add_ps(x, bias)));
        }
    }
}

#define KERNEL(rows, columns, panels, chains)                                   \
    void norn_f32_gemm__avx512_##rows##x##columns(const norn_gemm_tile *tile) { \
        gemm_avx512(tile, rows, panels, chains);                                \
    }

KERNEL(1, 16, 1, 4)
KERNEL(2, 16, 1, 4)
KERNEL(3, 16, 1, 4)
KERNEL(4, 16, 1, 2)
KERNEL(5, 16, 1, 2)
KERNEL(6, 16, 1, 2)
KERNEL(7, 16, 1, 2)
KERNEL(8, 16, 1, 1)
KERNEL(14, 16, 1, 1)
KERNEL(1, 32, 2, 4)
KERNEL(2, 32, 2, 4)
KERNEL(3, 32, 2, 2)
KERNEL(4, 32, 2, 2)
KERNEL(5, 32, 2, 1)
KERNEL(6, 32, 2, 1)
KERNEL(7, 32, 2, 1)
KERNEL(8, 32, 2, 1)
KERNEL(9, 32, 2, 1)
KERNEL(10, 32, 2, 1)
KERNEL(11, 32, 2, 1)
KERNEL(12, 32, 2, 1)
KERNEL(13, 32, 2, 1)
KERNEL(14, 32, 2, 1)
KERNEL(1, 64, 4, 2)
KERNEL(2, 64, 4, 1)
KERNEL(3, 64, 4, 1)
KERNEL(4, 64, 4, 1)
KERNEL(5, 64, 4, 1)
KERNEL(6, 64, 4, 1)
