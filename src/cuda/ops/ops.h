/// What the operators of the CUDA backend share on the host.
#ifndef NORN_CUDA_OPS_H
#define NORN_CUDA_OPS_H

#include "cuda/backend.h"

// ---- regions
bool norn_cuda_lookup_supports(const norn_step_spec *spec);
norn_status norn_cuda_lookup_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **state);
void norn_cuda_lookup_unprepare(norn_cuda_device *device, void *state);
bool norn_cuda_interaction_supports(const norn_step_spec *spec);
norn_status norn_cuda_interaction_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                          void **state);
void norn_cuda_interaction_unprepare(norn_cuda_device *device, void *state);

// ---- operators
bool norn_cuda_move_supports(const norn_step_spec *spec);
bool norn_cuda_tile_supports(const norn_step_spec *spec);
bool norn_cuda_slice_supports(const norn_step_spec *spec);
norn_status norn_cuda_slice_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                    void **state);
bool norn_cuda_gather_supports(const norn_step_spec *spec);
norn_status norn_cuda_gather_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **state);
bool norn_cuda_matmul_supports(const norn_step_spec *spec);
norn_status norn_cuda_matmul_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **state);
bool norn_cuda_rows_supports(const norn_step_spec *spec);
bool norn_cuda_reduce_supports(const norn_step_spec *spec);
norn_status norn_cuda_reduce_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **state);
/// For states that are one block of the device's allocator.
void norn_cuda_state_free(norn_cuda_device *device, void *state);

/// An axis attribute or value counted from the front.
static inline int32_t norn_cuda_axis(int64_t axis, int32_t rank) {
    return (int32_t)(axis < 0 ? axis + rank : axis);
}
/// Elements of a constant int32 or int64 input; false when it is not
/// constant or longer than `most`.
bool norn_cuda_constant_ints(const norn_step_spec *spec, uint32_t input, int64_t *values,
                             uint32_t most, uint32_t *count);

// ---- copies between strided layouts
/// Element i of the loop goes from src + i . src_stride to
/// dst + i . dst_stride. Strides in elements.
typedef struct norn_cuda_move {
    const void *src;
    void *dst;
    int32_t rank, element_bytes;
    int64_t dims[NORN_MAX_RANK], src_stride[NORN_MAX_RANK], dst_stride[NORN_MAX_RANK];
} norn_cuda_move;

void norn_cuda_dense_strides(int32_t rank, const int64_t *dims, int64_t *strides);
/// Launches few kernels for many moves; `moves` is changed. Zero elements launch nothing.
norn_status norn_cuda_move_run(norn_call *call, norn_cuda_move *moves,
                               uint32_t count) NORN_NODISCARD;

#endif
