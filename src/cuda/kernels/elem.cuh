/// Element types of our own kernels: float and the half types, read sixteen bytes at a time.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

static __device__ __forceinline__ float norn_to_f32(float x) {
    return x;
}
static __device__ __forceinline__ float norn_to_f32(__half x) {
    return __half2float(x);
}
static __device__ __forceinline__ float norn_to_f32(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

/// Rounded to nearest even.
template <typename T> static __device__ __forceinline__ T norn_from_f32(float x);
template <> __device__ __forceinline__ float norn_from_f32<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ __half norn_from_f32<__half>(float x) {
    return __float2half_rn(x);
}
template <> __device__ __forceinline__ __nv_bfloat16 norn_from_f32<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

/// Sixteen bytes as floats.
template <typename T> struct norn_pack {
    enum { COUNT = 16 / sizeof(T) };
    union {
        float4 raw;
        T at[COUNT];
    };
    __device__ __forceinline__ norn_pack() : raw{0, 0, 0, 0} {}
    __device__ __forceinline__ explicit norn_pack(float4 bytes) : raw(bytes) {}
};

/// The elements of a row from `row` on, of which `left` are inside, zeros for the others.
template <typename T>
static __device__ __forceinline__ float4 norn_load_part(const T *row, int left) {
    norn_pack<T> v;
#pragma unroll
    for (int i = 0; i < norn_pack<T>::COUNT; i++)
        if (i < left) v.at[i] = row[i];
    return v.raw;
}

/// Four neighbouring results: at once where `wide`, else those that are inside.
template <typename T>
static __device__ __forceinline__ void norn_store_four(T *to, const float (&y)[4], bool wide,
                                                       int left) {
    if (wide) {
        union {
            T at[4];
            float4 four;
            float2 two;
        } v;
#pragma unroll
        for (int j = 0; j < 4; j++) v.at[j] = norn_from_f32<T>(y[j]);
        if constexpr (sizeof(T) == 4)
            *(float4 *)to = v.four;
        else
            *(float2 *)to = v.two;
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (j < left) to[j] = norn_from_f32<T>(y[j]);
}
