/// Tensor-core products of tf32 numbers, summed in fp32.
#pragma once
#include <stdint.h>

/// Rounded to nearest, ties away from zero.
static __device__ __forceinline__ uint32_t norn_tf32(float x) {
    uint32_t u;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u) : "f"(x));
    return u;
}

static __device__ __forceinline__ void norn_tf32x4(float4 v, uint32_t (&out)[4]) {
    out[0] = norn_tf32(v.x), out[1] = norn_tf32(v.y);
    out[2] = norn_tf32(v.z), out[3] = norn_tf32(v.w);
}

/// d[16 x 8] += a[16 x 8] * b[8 x 8]. With g = lane / 4 and t = lane % 4: a0..a3 are (g, t),
/// (g + 8, t), (g, t + 4), (g + 8, t + 4); b0, b1 are (t, g), (t + 4, g); d0..d3 are (g, 2t),
/// (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). PTX ISA, "Matrix fragments for mma.m16n8k8".
static __device__ __forceinline__ void norn_mma_tf32(float (&d)[4], uint32_t a0, uint32_t a1,
                                                     uint32_t a2, uint32_t a3, uint32_t b0,
                                                     uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
                 "{%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
