/// Launchers of our own matrix products. Plain C: read by .c and .cu.
#ifndef NORN_CUDA_GEMM_KERNELS_H
#define NORN_CUDA_GEMM_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum norn_cuda_activation {
    NORN_CUDA_LINEAR,
    NORN_CUDA_RELU,
    NORN_CUDA_SIGMOID
} norn_cuda_activation;

/// Element types of the kernels; sums are of float32.
typedef enum norn_cuda_elem {
    NORN_CUDA_ELEM_F32,
    NORN_CUDA_ELEM_F16,
    NORN_CUDA_ELEM_BF16
} norn_cuda_elem;

#ifdef __CUDACC__
static __device__ __forceinline__ float norn_activate(float x, int activation) {
    if (activation == NORN_CUDA_RELU) return fmaxf(x, 0.0f);
    return activation == NORN_CUDA_SIGMOID ? 1.0f / (1.0f + expf(-x)) : x;
}
#endif

/// d[m][n] = op(sum_k a[m][k] * b[n][k] + bias[n]), and of a cross layer that times times[m][n], plus plus[m][n].
/// `b` is packed: rows of packed_k
/// (a multiple of 16, >= k, zeros beyond k), 16-byte aligned. `a` needs no alignment.
typedef struct norn_cuda_gemm_args {
    const void *a, *b, *bias;
    const void *times, *plus; ///< dense, as a; NULL: no cross layer. Not of thin k and skinny
    void *d;
    int64_t lda, ldd;
    int32_t m, n, k, packed_k;
    float bias_value;   ///< added to every element as well
    int32_t activation; ///< norn_cuda_activation
    uint8_t elem, out;  ///< norn_cuda_elem: of a and b; of d and bias
} norn_cuda_gemm_args;

/// Any element type, results of it, of F32, or of halves for a F32; multiplied and added up in fp32. A warp computes a column for up to eight rows.
cudaError_t norn_cuda_gemm_dot_launch(const norn_cuda_gemm_args *args, cudaStream_t stream);
/// Exact fp32 with results of any type, k <= 32, n a multiple of 4, ldd a multiple of 4, d 16-byte aligned.
cudaError_t norn_cuda_gemm_thin_k_launch(const norn_cuda_gemm_args *args, cudaStream_t stream);
/// tf32 tensor cores; a block computes `groups` (1 or 2) times 16 columns, of which n is a
/// multiple; `split` blocks of a cluster share the sum: 1, 2, 4 or 8.
cudaError_t norn_cuda_gemm_skinny_launch(const norn_cuda_gemm_args *args, int32_t split,
                                         int32_t groups, cudaStream_t stream);
/// Tensor cores of compute capability 9.0 alone (F32 in tf32), for tens to hundreds of rows: tiles of 64 rows and
/// `groups` (2 or 4) times 16 columns, of which n rounded up to 32 is a multiple; `split` as above. `b` is what
/// norn_cuda_gemm_panels_launch made; packed_k is not read.
cudaError_t norn_cuda_gemm_tile_launch(const norn_cuda_gemm_args *args, int32_t split,
                                       int32_t groups, cudaStream_t stream);
/// Lay B out for it, F32 rounded to tf32, 16-byte aligned, zeros beyond n and k.
cudaError_t norn_cuda_gemm_panels_launch(const void *b, norn_cuda_elem elem, int32_t transposed,
                                         int32_t n, int32_t k, void *panels, cudaStream_t stream);
/// Bytes of that: n rounded up to 32, rows of k rounded up to 256 bytes.
static inline size_t norn_cuda_gemm_panel_bytes(int64_t n, int64_t k, int64_t elem_bytes) {
    return (size_t)((n + 31) / 32 * 32) * (size_t)((k * elem_bytes + 255) / 256 * 256);
}

/// Lay B out as the kernels above want it; b is [n, k] when transposed, else [k, n].
cudaError_t norn_cuda_gemm_pack_launch(const void *b, int32_t elem_bytes, int32_t transposed,
                                       int32_t n, int32_t k, int32_t packed_k, void *packed,
                                       cudaStream_t stream);

/// padded[m][packed_k] = a[m][k], zeros beyond k: rows that vector loads can
/// read. `padded` is 16-byte aligned.
cudaError_t norn_cuda_gemm_pad_launch(const void *a, int32_t elem_bytes, int64_t lda, int64_t m,
                                      int32_t k, int32_t packed_k, void *padded,
                                      cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
