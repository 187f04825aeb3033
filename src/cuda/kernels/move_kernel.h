/// Launchers of copies between strided layouts, and of gathers. Plain C: read by .c and .cu.
#ifndef NORN_CUDA_MOVE_KERNEL_H
#define NORN_CUDA_MOVE_KERNEL_H

#include "cuda/kernels/fault.h"

#include <cuda_runtime_api.h>

enum { NORN_CUDA_MOVE_RANK = 8, NORN_CUDA_MOVE_SEGMENTS = 32 };

typedef struct norn_cuda_move_segment {
    const char *src;
    char *dst;
    int64_t total;
    /// Strides in units.
    int64_t dims[NORN_CUDA_MOVE_RANK], src_stride[NORN_CUDA_MOVE_RANK],
        dst_stride[NORN_CUDA_MOVE_RANK];
} norn_cuda_move_segment;

/// Segments of one rank (after merging dims) and unit (1, 2, 4, 8 or 16 bytes).
typedef struct norn_cuda_move_args {
    int32_t count, rank, unit;
    norn_cuda_move_segment segment[NORN_CUDA_MOVE_SEGMENTS];
} norn_cuda_move_args;

/// out[o, i, :] = in[o, index[i], :] with rows of `inner` units.
typedef struct norn_cuda_gather_args {
    const char *in;
    char *out;
    const void *indices;
    int64_t outer, axis, count, inner; ///< units a row after the axis
    int32_t indices_32, unit;
    norn_cuda_fault *fault;
    const norn_cuda_site *site;
} norn_cuda_gather_args;

/// GatherElements: out has the shape of indices, [outer, count, inner]; in is [outer_in, axis,
/// inner_in] and equal to out's shape but along the axis (checked by the caller).
typedef norn_cuda_gather_args norn_cuda_gather_elements_args;

enum { NORN_CUDA_GATHER_ND_DEPTH = 8 };
/// out[b, i, :] = in[b, indices[b, i, 0 .. depth-1], :].
typedef struct norn_cuda_gather_nd_args {
    const char *in;
    char *out;
    const int64_t *indices;
    int64_t batch, count, inner, batch_stride; ///< in units
    int64_t dims[NORN_CUDA_GATHER_ND_DEPTH], stride[NORN_CUDA_GATHER_ND_DEPTH];
    int32_t depth, unit;
    norn_cuda_fault *fault;
    const norn_cuda_site *site;
} norn_cuda_gather_nd_args;

#ifdef __cplusplus
extern "C" {
#endif
cudaError_t norn_cuda_move_launch(const norn_cuda_move_args *args, cudaStream_t stream);
cudaError_t norn_cuda_gather_launch(const norn_cuda_gather_args *args, cudaStream_t stream);
cudaError_t norn_cuda_gather_elements_launch(const norn_cuda_gather_elements_args *args,
                                             cudaStream_t stream);
cudaError_t norn_cuda_gather_nd_launch(const norn_cuda_gather_nd_args *args, cudaStream_t stream);
#ifdef __cplusplus
}
#endif
#endif
