/// Hopper's asynchronous tensor-core products of tf32 numbers or halves: a warpgroup (128 threads) multiplies
/// 64 rows from its registers by N columns from shared memory. PTX ISA, "wgmma".
#pragma once
#include "cuda/kernels/elem.cuh"

#include <stdint.h>

template <typename T> struct norn_is_bf16 {
    enum { value = 0 };
};
template <> struct norn_is_bf16<__nv_bfloat16> {
    enum { value = 1 };
};

/// A panel in shared memory, as the instruction is told of it: rows of 128 bytes (32 k of tf32, 64 of halves), 128-byte swizzle, eight
/// rows after each other. `address` is of the first k, 32 bytes a step of eight or sixteen.
static __device__ __forceinline__ uint64_t norn_wgmma_panel(uint32_t address) {
    return (uint64_t)((address & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

static __device__ __forceinline__ void norn_wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void norn_wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void norn_wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/// d[64 x N] += a[64 x 8] * b[8 x N]; of halves a[64 x 16] * b[16 x N]. With g = lane / 4, t = lane % 4 and 16 rows a warp: a0..a3 are
/// (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); d[4j]..d[4j + 3] are (g, 8j + 2t), (g, 8j + 2t + 1)
/// and the same of row g + 8. Of halves a register of a holds two: (g, 2t) and (g, 2t + 1), .., (g, 2t + 8) ..
#define NORN_D8(d, o)                                                                           \
    "+f"(d[o]), "+f"(d[o + 1]), "+f"(d[o + 2]), "+f"(d[o + 3]), "+f"(d[o + 4]), "+f"(d[o + 5]), \
        "+f"(d[o + 6]), "+f"(d[o + 7])
/// `type` is the operands', `k` a step of theirs; `order`: more of the instruction's numbers, of halves whether B is
/// turned.
#define NORN_WGMMA_32(type, k, order)                                                        \
    asm volatile("wgmma.mma_async.sync.aligned.m64n32k" k ".f32." type "." type              \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, " \
                 "{%16, %17, %18, %19}, %20, 1, 1, 1" order ";"                              \
                 : NORN_D8(d, 0), NORN_D8(d, 8)                                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define NORN_WGMMA_64(type, k, order)                                                            \
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k" k ".f32." type "." type                  \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, " \
                 "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "  \
                 "{%32, %33, %34, %35}, %36, 1, 1, 1" order ";"                                  \
                 : NORN_D8(d, 0), NORN_D8(d, 8), NORN_D8(d, 16), NORN_D8(d, 24)                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))

template <typename T, int HALF_N>
static __device__ __forceinline__ void norn_wgmma(float (&d)[HALF_N], const uint32_t (&a)[4],
                                                  uint64_t b) {
    static_assert(HALF_N == 16 || HALF_N == 32, "32 or 64 columns");
    if constexpr (sizeof(T) == 4) {
        if constexpr (HALF_N == 16)
            NORN_WGMMA_32("tf32", "8", "");
        else
            NORN_WGMMA_64("tf32", "8", "");
    } else if constexpr (norn_is_bf16<T>::value) {
        if constexpr (HALF_N == 16)
            NORN_WGMMA_32("bf16", "16", ", 0");
        else
            NORN_WGMMA_64("bf16", "16", ", 0");
    } else {
        if constexpr (HALF_N == 16)
            NORN_WGMMA_32("f16", "16", ", 0");
        else
            NORN_WGMMA_64("f16", "16", ", 0");
    }
}
#undef NORN_WGMMA_32
#undef NORN_WGMMA_64
#undef NORN_D8
