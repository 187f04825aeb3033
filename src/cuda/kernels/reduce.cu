/// Reductions over any set of axes: a thread a result, or a block where there are few.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/rows_kernel.h"

#include <math_constants.h>

typedef norn_cuda_reduce_args args;

template <class T> static __device__ __forceinline__ T lowest();
template <> __device__ __forceinline__ float lowest<float>() {
    return -CUDART_INF_F;
}
template <> __device__ __forceinline__ double lowest<double>() {
    return -CUDART_INF;
}
template <> __device__ __forceinline__ int lowest<int>() {
    return -2147483647 - 1;
}
template <> __device__ __forceinline__ long long lowest<long long>() {
    return -9223372036854775807ll - 1;
}
template <class T> static __device__ __forceinline__ T highest() {
    return (T)(-(lowest<T>() + (T)1));
}
template <> __device__ __forceinline__ float highest<float>() {
    return CUDART_INF_F;
}
template <> __device__ __forceinline__ double highest<double>() {
    return CUDART_INF;
}

template <class T> static __device__ __forceinline__ T identity(int kind) {
    if (kind == NORN_CUDA_REDUCE_MAX) return lowest<T>();
    if (kind == NORN_CUDA_REDUCE_MIN) return highest<T>();
    return kind == NORN_CUDA_REDUCE_PROD ? (T)1 : (T)0;
}
template <class T> static __device__ __forceinline__ T combine(int kind, T x, T y) {
    if (kind == NORN_CUDA_REDUCE_MAX) return x != x ? x : y != y ? y : x > y ? x : y;
    if (kind == NORN_CUDA_REDUCE_MIN) return x != x ? x : y != y ? y : x < y ? x : y;
    return kind == NORN_CUDA_REDUCE_PROD ? x * y : x + y;
}
template <class T> static __device__ __forceinline__ T before(int kind, T x, T top) {
    if (kind == NORN_CUDA_REDUCE_L1) return x < (T)0 ? -x : x;
    if (kind == NORN_CUDA_REDUCE_L2 || kind == NORN_CUDA_REDUCE_SUM_SQUARE) return x * x;
    return kind == NORN_CUDA_REDUCE_LOG_SUM_EXP ? (T)exp((double)(x - top)) : x;
}
template <class T> static __device__ __forceinline__ T after(int kind, T x, T top, int64_t count) {
    if (kind == NORN_CUDA_REDUCE_MEAN) return count > 0 ? x / (T)count : (T)0;
    if (kind == NORN_CUDA_REDUCE_L2) return (T)sqrt((double)x);
    if (kind == NORN_CUDA_REDUCE_LOG_SUM) return (T)log((double)x);
    return kind == NORN_CUDA_REDUCE_LOG_SUM_EXP ? (T)log((double)x) + top : x;
}

static __device__ __forceinline__ int64_t offset_of(int64_t i, int rank, const int64_t *dims,
                                                    const int64_t *stride) {
    int64_t at = 0;
    for (int d = rank - 1; d >= 0; d--) {
        at += i % dims[d] * stride[d];
        i /= dims[d];
    }
    return at;
}

/// Over all threads of the block, which all get the result.
template <class T> static __device__ T block_combine(int kind, T x) {
    __shared__ T part[8];
#pragma unroll
    for (int s = 16; s; s >>= 1) x = combine(kind, x, __shfl_xor_sync(0xffffffffu, x, s));
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    x = part[0];
    for (int w = 1; w < 8; w++) x = combine(kind, x, part[w]);
    return x;
}

template <class T, bool BLOCK>
static __global__ void __launch_bounds__(256) reduce(const __grid_constant__ args p) {
    const T *in = (const T *)p.in;
    const int64_t step = BLOCK ? gridDim.x : (int64_t)gridDim.x * 256, by = BLOCK ? 256 : 1;
    const int64_t begin = BLOCK ? threadIdx.x : 0;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t o = BLOCK ? blockIdx.x : (int64_t)blockIdx.x * 256 + threadIdx.x; o < p.outputs;
         o += step) {
        const T *base = in + offset_of(o, p.kept_rank, p.kept, p.kept_stride);
        T top = 0;
        if (p.kind == NORN_CUDA_REDUCE_LOG_SUM_EXP) {
            top = lowest<T>();
            for (int64_t i = begin; i < p.count; i += by)
                top = combine(NORN_CUDA_REDUCE_MAX, top,
                              base[offset_of(i, p.reduced_rank, p.reduced, p.reduced_stride)]);
            if (BLOCK) top = block_combine(NORN_CUDA_REDUCE_MAX, top);
            if (top == lowest<T>() || top == highest<T>())
                top = 0; // all -inf, or inf: exp would give NaN
        }
        T sum = identity<T>(p.kind);
        for (int64_t i = begin; i < p.count; i += by)
            sum = combine(p.kind, sum,
                          before(p.kind,
                                 base[offset_of(i, p.reduced_rank, p.reduced, p.reduced_stride)],
                                 top));
        if (BLOCK) sum = block_combine(p.kind, sum);
        if (!BLOCK || threadIdx.x == 0) ((T *)p.out)[o] = after(p.kind, sum, top, p.count);
    }
}

template <class T> static cudaError_t launch(const args *p, cudaStream_t stream) {
    const bool block = p->count >= 64 && p->outputs < 65536;
    const int64_t blocks = block ? p->outputs : (p->outputs + 255) / 256;
    const unsigned grid = (unsigned)(blocks < 16384 ? blocks : 16384);
    if (block) return norn_launch(reduce<T, true>, grid, 256, 0, stream, 1, *p);
    return norn_launch(reduce<T, false>, grid, 256, 0, stream, 1, *p);
}

extern "C" cudaError_t norn_cuda_reduce_launch(const args *p, cudaStream_t stream) {
    switch (p->type) {
    case NORN_CUDA_REDUCE_F32:
        return launch<float>(p, stream);
    case NORN_CUDA_REDUCE_F64:
        return launch<double>(p, stream);
    case NORN_CUDA_REDUCE_I32:
        return launch<int>(p, stream);
    default:
        return launch<long long>(p, stream);
    }
}
