/// Softmax, layer and RMS norm, batch norm: a warp a row, or a thread a row where rows are strided.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/rows_kernel.h"

#include <math_constants.h>

static __device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int s = 16; s; s >>= 1) x += __shfl_xor_sync(0xffffffffu, x, s);
    return x;
}
static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int s = 16; s; s >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, s));
    return x;
}

static __device__ __forceinline__ float softmax_value(float x, float top, float sum, float log_sum,
                                                      int log) {
    return log ? x - top - log_sum : expf(x - top) / sum;
}

/// inner == 1.
static __global__ void __launch_bounds__(256)
    softmax_row(const __grid_constant__ norn_cuda_softmax_args p) {
    const int lane = threadIdx.x % 32;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.x / 32; row < p.outer;
         row += (int64_t)gridDim.x * 8) {
        const float *in = p.in + row * p.n;
        float *out = p.out + row * p.n;
        float top = -CUDART_INF_F, sum = 0;
        for (int64_t i = lane; i < p.n; i += 32) top = fmaxf(top, in[i]);
        top = warp_max(top);
        for (int64_t i = lane; i < p.n; i += 32) sum += expf(in[i] - top);
        sum = warp_sum(sum);
        const float log_sum = logf(sum);
        for (int64_t i = lane; i < p.n; i += 32)
            out[i] = softmax_value(in[i], top, sum, log_sum, p.log);
    }
}

static __global__ void __launch_bounds__(256)
    softmax_column(const __grid_constant__ norn_cuda_softmax_args p) {
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < p.outer * p.inner;
         i += (int64_t)gridDim.x * 256) {
        const int64_t base = i / p.inner * p.n * p.inner + i % p.inner;
        float top = -CUDART_INF_F, sum = 0;
        for (int64_t k = 0; k < p.n; k++) top = fmaxf(top, p.in[base + k * p.inner]);
        for (int64_t k = 0; k < p.n; k++) sum += expf(p.in[base + k * p.inner] - top);
        const float log_sum = logf(sum);
        for (int64_t k = 0; k < p.n; k++)
            p.out[base + k * p.inner] =
                softmax_value(p.in[base + k * p.inner], top, sum, log_sum, p.log);
    }
}

static unsigned blocks_for(int64_t items, int64_t a_block) {
    const int64_t blocks = (items + a_block - 1) / a_block;
    return (unsigned)(blocks < 16384 ? blocks : 16384);
}

extern "C" cudaError_t norn_cuda_softmax_launch(const norn_cuda_softmax_args *p,
                                                cudaStream_t stream) {
    if (p->inner == 1)
        return norn_launch(softmax_row, blocks_for(p->outer, 8), 256, 0, stream, 1, *p);
    return norn_launch(softmax_column, blocks_for(p->outer * p->inner, 256), 256, 0, stream, 1, *p);
}

// ---- norms
static __global__ void __launch_bounds__(256) norm(const __grid_constant__ norn_cuda_norm_args p) {
    const int lane = threadIdx.x % 32;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.x / 32; row < p.rows;
         row += (int64_t)gridDim.x * 8) {
        const float *in = p.in + row * p.n;
        float sum = 0, squares = 0;
        if (!p.rms)
            for (int64_t i = lane; i < p.n; i += 32) sum += in[i];
        const float mean = warp_sum(sum) / (float)p.n;
        for (int64_t i = lane; i < p.n; i += 32)
            squares = fmaf(in[i] - mean, in[i] - mean, squares);
        const float inv = 1.0f / sqrtf(warp_sum(squares) / (float)p.n + p.epsilon);
        for (int64_t i = lane; i < p.n; i += 32) {
            const float y = (in[i] - mean) * inv * (p.scale ? p.scale[i] : 1.0f);
            p.out[row * p.n + i] = y + (p.bias ? p.bias[i] : 0.0f);
        }
        if (lane == 0 && p.mean_out) p.mean_out[row] = mean;
        if (lane == 0 && p.inv_out) p.inv_out[row] = inv;
    }
}

extern "C" cudaError_t norn_cuda_norm_launch(const norn_cuda_norm_args *p, cudaStream_t stream) {
    return norn_launch(norm, blocks_for(p->rows, 8), 256, 0, stream, 1, *p);
}

static __global__ void __launch_bounds__(256)
    batch_norm(const __grid_constant__ norn_cuda_batch_norm_args p) {
    const int64_t total = p.outer * p.channels * p.inner;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * 256) {
        const int64_t c = i / p.inner % p.channels;
        p.out[i] = (p.in[i] - p.mean[c]) / sqrtf(p.var[c] + p.epsilon) * p.scale[c] + p.bias[c];
    }
}

extern "C" cudaError_t norn_cuda_batch_norm_launch(const norn_cuda_batch_norm_args *p,
                                                   cudaStream_t stream) {
    return norn_launch(batch_norm, blocks_for(p->outer * p->channels * p->inner, 256), 256, 0,
                       stream, 1, *p);
}
