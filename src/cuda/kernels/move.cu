/// Copies between strided layouts: Transpose, Slice, Concat, Split, Expand, Tile.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/move_kernel.h"

typedef norn_cuda_move_args args;

template <class UNIT, int RANK>
static __global__ void __launch_bounds__(256) move(const __grid_constant__ args p) {
    const norn_cuda_move_segment &s = p.segment[blockIdx.y];
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < s.total;
         i += (int64_t)gridDim.x * 256) {
        int64_t rest = i, from = 0, to = 0;
#pragma unroll
        for (int d = RANK - 1; d > 0; d--) {
            // Most sizes fit 32 bits, where a division is several times cheaper.
            const int64_t at = (rest | s.dims[d]) >> 32
                                   ? rest % s.dims[d]
                                   : (int64_t)((uint32_t)rest % (uint32_t)s.dims[d]);
            rest = (rest | s.dims[d]) >> 32 ? rest / s.dims[d]
                                            : (int64_t)((uint32_t)rest / (uint32_t)s.dims[d]);
            from += at * s.src_stride[d];
            to += at * s.dst_stride[d];
        }
        from += rest * s.src_stride[0];
        to += rest * s.dst_stride[0];
        ((UNIT *)s.dst)[to] = ((const UNIT *)s.src)[from];
    }
}

template <class UNIT>
static cudaError_t launch_unit(const args *p, dim3 grid, cudaStream_t stream) {
    switch (p->rank) {
    case 1:
        return norn_launch(move<UNIT, 1>, grid, 256, 0, stream, 1, *p);
    case 2:
        return norn_launch(move<UNIT, 2>, grid, 256, 0, stream, 1, *p);
    case 3:
        return norn_launch(move<UNIT, 3>, grid, 256, 0, stream, 1, *p);
    case 4:
        return norn_launch(move<UNIT, 4>, grid, 256, 0, stream, 1, *p);
    default:
        return norn_launch(move<UNIT, 8>, grid, 256, 0, stream, 1, *p);
    }
}

extern "C" cudaError_t norn_cuda_move_launch(const args *p, cudaStream_t stream) {
    int64_t most = 1;
    for (int i = 0; i < p->count; i++)
        most = p->segment[i].total > most ? p->segment[i].total : most;
    const int64_t blocks = (most + 255) / 256;
    const dim3 grid((unsigned)(blocks < 4096 ? blocks : 4096), (unsigned)p->count);
    switch (p->unit) {
    case 1:
        return launch_unit<uint8_t>(p, grid, stream);
    case 2:
        return launch_unit<uint16_t>(p, grid, stream);
    case 4:
        return launch_unit<uint32_t>(p, grid, stream);
    case 8:
        return launch_unit<uint2>(p, grid, stream);
    default:
        return launch_unit<uint4>(p, grid, stream);
    }
}
