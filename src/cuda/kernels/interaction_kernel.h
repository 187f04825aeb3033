/// Launchers of the interaction kernels. Plain C: read by .c and .cu.
#ifndef NORN_CUDA_INTERACTION_KERNEL_H
#define NORN_CUDA_INTERACTION_KERNEL_H

#include "cuda/kernels/gemm_kernels.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

enum { NORN_CUDA_INTERACTION_FEATURES = 128 };

/// Row f of a sample's X is at feature[f] + sample * stride[f], `dim` elements.
/// pairs[p] = i * 256 + j, i >= j.
typedef struct norn_cuda_interaction_args {
    const void *feature[NORN_CUDA_INTERACTION_FEATURES];
    int32_t stride[NORN_CUDA_INTERACTION_FEATURES];
    const uint16_t *pairs;
    const void *pass;
    void *out;
    int64_t batch, out_stride;
    int32_t features, dim, pair_count, pass_count, pass_stride;
    int32_t pad;      ///< zeros after the pairs
    int32_t aligned;  ///< every feature row is 16-byte aligned
    uint8_t elem, to; ///< norn_cuda_elem: of the parts; of the output (that, or F32)
} norn_cuda_interaction_args;

#ifdef __cplusplus
extern "C" {
#endif
/// Tensor cores, F32 in tf32: features <= 32, rows of a multiple of 64 bytes, aligned.
cudaError_t norn_cuda_dot_cores_launch(const norn_cuda_interaction_args *args, cudaStream_t stream);
/// Multiplied in fp32; INVALID when X of a sample does not fit shared memory.
cudaError_t norn_cuda_dot_exact_launch(const norn_cuda_interaction_args *args, cudaStream_t stream);
cudaError_t norn_cuda_fm_launch(const norn_cuda_interaction_args *args, cudaStream_t stream);
/// Bytes of shared memory that the exact kernel takes a sample.
static inline int64_t norn_cuda_dot_exact_bytes(int64_t features, int64_t dim) {
    return ((features + 3) / 4 * 4 * (dim + 4) + features * (features + 1) / 2) * 4;
}
#ifdef __cplusplus
}
#endif
#endif
