/// Launchers of operators over rows: softmax, norms, reductions. Plain C: read by .c and .cu.
#ifndef NORN_CUDA_ROWS_KERNEL_H
#define NORN_CUDA_ROWS_KERNEL_H

#include <cuda_runtime_api.h>
#include <stdint.h>

/// [outer, n, inner] float32; `in` and `out` alike.
typedef struct norn_cuda_softmax_args {
    const float *in;
    float *out;
    int64_t outer, n, inner;
    int32_t log;
} norn_cuda_softmax_args;

/// Rows of n: y = (x - mean) * inv * scale + bias; scale and bias have n elements or are NULL.
/// rms: y = x * inv * scale with inv = 1 / sqrt(mean(x^2) + epsilon).
typedef struct norn_cuda_norm_args {
    const float *in, *scale, *bias;
    float *out, *mean_out, *inv_out; ///< the last two by row, or NULL
    int64_t rows, n;
    float epsilon;
    int32_t rms;
} norn_cuda_norm_args;

/// [outer, channels, inner]: y = (x - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + bias[c].
typedef struct norn_cuda_batch_norm_args {
    const float *in, *scale, *bias, *mean, *var;
    float *out;
    int64_t outer, channels, inner;
    float epsilon;
} norn_cuda_batch_norm_args;

enum { NORN_CUDA_REDUCE_RANK = 8 };
enum {
    NORN_CUDA_REDUCE_SUM,
    NORN_CUDA_REDUCE_MEAN,
    NORN_CUDA_REDUCE_MAX,
    NORN_CUDA_REDUCE_MIN,
    NORN_CUDA_REDUCE_PROD,
    NORN_CUDA_REDUCE_L1,
    NORN_CUDA_REDUCE_L2,
    NORN_CUDA_REDUCE_SUM_SQUARE,
    NORN_CUDA_REDUCE_LOG_SUM,
    NORN_CUDA_REDUCE_LOG_SUM_EXP,
};
enum { NORN_CUDA_REDUCE_F32, NORN_CUDA_REDUCE_F64, NORN_CUDA_REDUCE_I32, NORN_CUDA_REDUCE_I64 };

/// out[kept] = reduction over the reduced dims; strides of `in` in elements, both lists row-major.
typedef struct norn_cuda_reduce_args {
    const void *in;
    void *out;
    int64_t outputs, count; ///< results; elements reduced into each
    int64_t kept[NORN_CUDA_REDUCE_RANK], kept_stride[NORN_CUDA_REDUCE_RANK];
    int64_t reduced[NORN_CUDA_REDUCE_RANK], reduced_stride[NORN_CUDA_REDUCE_RANK];
    int32_t kept_rank, reduced_rank, kind, type;
} norn_cuda_reduce_args;

#ifdef __cplusplus
extern "C" {
#endif
cudaError_t norn_cuda_softmax_launch(const norn_cuda_softmax_args *args, cudaStream_t stream);
cudaError_t norn_cuda_norm_launch(const norn_cuda_norm_args *args, cudaStream_t stream);
cudaError_t norn_cuda_batch_norm_launch(const norn_cuda_batch_norm_args *args, cudaStream_t stream);
cudaError_t norn_cuda_reduce_launch(const norn_cuda_reduce_args *args, cudaStream_t stream);
#ifdef __cplusplus
}
#endif
#endif
