/// Gather along an axis, GatherElements, GatherND. A bad index reads nothing: zeros and a fault.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/move_kernel.h"

static __device__ __forceinline__ int64_t index_at(const void *indices, bool narrow, int64_t at) {
    return narrow ? (int64_t)((const int *)indices)[at] : ((const int64_t *)indices)[at];
}

/// The index counted from the front; -1 and a fault when outside.
static __device__ __forceinline__ int64_t checked(int64_t index, int64_t limit,
                                                  norn_cuda_fault *fault,
                                                  const norn_cuda_site *site) {
    const int64_t at = index < 0 ? index + limit : index;
    if (at >= 0 && at < limit) return at;
    norn_cuda_raise(fault, site, 0, index, limit);
    return -1;
}

template <class UNIT>
static __global__ void __launch_bounds__(256)
    gather(const __grid_constant__ norn_cuda_gather_args p) {
    const int64_t total = p.outer * p.count * p.inner;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * 256) {
        const int64_t inner = i % p.inner, row = i / p.inner, which = row % p.count,
                      outer = row / p.count;
        const int64_t at =
            checked(index_at(p.indices, p.indices_32, which), p.axis, p.fault, p.site);
        UNIT value = {};
        if (at >= 0) value = ((const UNIT *)p.in)[(outer * p.axis + at) * p.inner + inner];
        ((UNIT *)p.out)[i] = value;
    }
}

template <class UNIT>
static __global__ void __launch_bounds__(256)
    gather_elements(const __grid_constant__ norn_cuda_gather_args p) {
    const int64_t total = p.outer * p.count * p.inner;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * 256) {
        const int64_t inner = i % p.inner, outer = i / p.inner / p.count;
        const int64_t at = checked(index_at(p.indices, p.indices_32, i), p.axis, p.fault, p.site);
        UNIT value = {};
        if (at >= 0) value = ((const UNIT *)p.in)[(outer * p.axis + at) * p.inner + inner];
        ((UNIT *)p.out)[i] = value;
    }
}

template <class UNIT>
static __global__ void __launch_bounds__(256)
    gather_nd(const __grid_constant__ norn_cuda_gather_nd_args p) {
    const int64_t total = p.batch * p.count * p.inner;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * 256) {
        const int64_t inner = i % p.inner, row = i / p.inner;
        int64_t from = row / p.count * p.batch_stride + inner;
        bool inside = true;
        for (int d = 0; d < p.depth; d++) {
            const int64_t at = checked(p.indices[row * p.depth + d], p.dims[d], p.fault, p.site);
            inside &= at >= 0;
            from += at * p.stride[d];
        }
        UNIT value = {};
        if (inside) value = ((const UNIT *)p.in)[from];
        ((UNIT *)p.out)[i] = value;
    }
}

static dim3 grid_for(int64_t total) {
    const int64_t blocks = (total + 255) / 256;
    return dim3((unsigned)(blocks < 16384 ? blocks : 16384));
}

#define NORN_BY_UNIT(kernel, p, total, stream)                                          \
    switch ((p)->unit) {                                                                \
    case 1:                                                                             \
        return norn_launch(kernel<uint8_t>, grid_for(total), 256, 0, stream, 1, *(p));  \
    case 2:                                                                             \
        return norn_launch(kernel<uint16_t>, grid_for(total), 256, 0, stream, 1, *(p)); \
    case 4:                                                                             \
        return norn_launch(kernel<uint32_t>, grid_for(total), 256, 0, stream, 1, *(p)); \
    case 8:                                                                             \
        return norn_launch(kernel<uint2>, grid_for(total), 256, 0, stream, 1, *(p));    \
    default:                                                                            \
        return norn_launch(kernel<uint4>, grid_for(total), 256, 0, stream, 1, *(p));    \
    }

extern "C" cudaError_t norn_cuda_gather_launch(const norn_cuda_gather_args *p,
                                               cudaStream_t stream) {
    NORN_BY_UNIT(gather, p, p->outer * p->count * p->inner, stream)
}

extern "C" cudaError_t norn_cuda_gather_elements_launch(const norn_cuda_gather_elements_args *p,
                                                        cudaStream_t stream) {
    NORN_BY_UNIT(gather_elements, p, p->outer * p->count * p->inner, stream)
}

extern "C" cudaError_t norn_cuda_gather_nd_launch(const norn_cuda_gather_nd_args *p,
                                                  cudaStream_t stream) {
    NORN_BY_UNIT(gather_nd, p, p->batch * p->count * p->inner, stream)
}
