/// Programmatic dependent launch: a kernel may start while the one before it drains, loads what
/// does not depend on it (weights), and waits before it touches anything else. Every kernel that is
/// launched so calls norn_wait_before() first.
#pragma once
#include <cuda_runtime.h>

static __device__ __forceinline__ void norn_let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
static __device__ __forceinline__ void norn_wait_before() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Sixteen bytes, or zeros where `inside` is false. Volatile, so that a run of loads stays together
/// ahead of what uses them: the compiler would rather save registers than have loads in flight.
static __device__ __forceinline__ float4 norn_load_ahead(const float *from, bool inside) {
    float4 v;
    asm volatile("{ .reg .pred p; setp.ne.s32 p, %5, 0; mov.f32 %0, 0f00000000; mov.f32 %1, "
                 "0f00000000; mov.f32 %2, 0f00000000; "
                 "mov.f32 %3, 0f00000000; @p ld.global.v4.f32 {%0, %1, %2, %3}, [%4]; }"
                 : "=&f"(v.x), "=&f"(v.y), "=&f"(v.z), "=&f"(v.w)
                 : "l"(from), "r"((int)inside)
                 : "memory");
    return v;
}

/// Launch with overlap (and a cluster of `cluster` blocks along x when > 1).
template <class... P, class... A>
static inline cudaError_t norn_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                                      cudaStream_t stream, unsigned cluster, A... args) {
    cudaLaunchAttribute attributes[2];
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = attributes;
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    if (cluster > 1) {
        attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[config.numAttrs].val.clusterDim.x = cluster;
        attributes[config.numAttrs].val.clusterDim.y = 1;
        attributes[config.numAttrs++].val.clusterDim.z = 1;
    }
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}
