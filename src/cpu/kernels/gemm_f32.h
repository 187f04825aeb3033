/// Float32 products on the CPU: blocks of C over threads, tiles over micro-kernels.
#ifndef NORN_CPU_GEMM_F32_H
#define NORN_CPU_GEMM_F32_H

#include "base/thread.h"
#include "cpu/micro/gemm_f32.h"

typedef struct norn_gemm_f32 norn_gemm_f32;

/// Called on a block of C when its sums are complete (bias added, floor applied), by the thread
/// that made it, while it is in the cache: rows [m0, m1), columns [n0, n1).
typedef void (*norn_gemm_finish_fn)(const norn_gemm_f32 *gemm, int64_t m0, int64_t m1, int64_t n0,
                                    int64_t n1);

/// C[m, n] = max(A[m, k] * B[k, n] + bias, floor), then `finish`.
/// Strides in elements, rows contiguous.
struct norn_gemm_f32 {
    int64_t m, n, k;
    const float *a;
    int64_t lda;
    const float *b; ///< column j of row p: b[j / 16 * b_panel + p * ldb + j % 16]
    int64_t ldb, b_panel;
    float *c;
    int64_t ldc;
    const float *bias;          ///< n of it, or NULL
    float floor;                ///< -INFINITY: none
    norn_gemm_finish_fn finish; ///< or NULL
    const void *context;        ///< of `finish`
};

void norn_gemm_f32_run(const norn_gemm_f32 *gemm, norn_pool *pool);
/// The same on the calling thread only.
void norn_gemm_f32_solo(const norn_gemm_f32 *gemm);

/// Panels of `n` columns take this many elements.
static inline int64_t norn_gemm_packed_elems(int64_t k, int64_t n) {
    return (n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL * NORN_GEMM_PANEL * k;
}
/// Pack B ([k, n], rows `row_stride` apart, columns `column_stride` apart) into zero-padded panels.
void norn_gemm_f32_pack(int64_t k, int64_t n, const float *b, int64_t row_stride,
                        int64_t column_stride, float *panels);

#endif
