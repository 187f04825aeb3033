/// Tens of rows on tf32 tensor cores: the weights are read once, spread over the whole chip.
///
/// A cluster of blocks shares the sum of one tile of 16 columns; within a block the warps share the
/// block's part of k. Fragments come straight from memory: of a run of 16 k, lane t holds k = 4t..4t+3 of
/// both operands, which is a permutation of k that the product does not see.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/gemm_kernels.h"

#include <cooperative_groups.h>

namespace cg = cooperative_groups;

enum { WARPS = 4, COLUMNS = 16, CHUNK = 16 };

static __device__ __forceinline__ uint32_t to_tf32(float x) {
    uint32_t u;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u) : "f"(x));
    return u;
}

static __device__ __forceinline__ void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ float4 load_a(const float *row, int at, int k, bool inside, bool aligned) {
    float4 v = {0, 0, 0, 0};
    if (!inside || at >= k) return v;
    if (aligned && at + 4 <= k) return *(const float4 *)(row + at);
    v.x = row[at];
    if (at + 1 < k) v.y = row[at + 1];
    if (at + 2 < k) v.z = row[at + 2];
    if (at + 3 < k) v.w = row[at + 3];
    return v;
}

/// TILES tiles of eight rows.
template <int TILES> static __global__ void __launch_bounds__(WARPS * 32) skinny(const __grid_constant__ norn_cuda_gemm_args p) {
    __shared__ float part[WARPS][TILES * 8][COLUMNS + 1];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    cg::cluster_group cluster = cg::this_cluster();
    const int split = (int)cluster.num_blocks(), rank = (int)cluster.block_rank();
    const int column = (int)(blockIdx.x / split) * COLUMNS, first = (int)blockIdx.y * TILES * 8;
    const bool aligned = ((uintptr_t)p.a & 15) == 0 && p.lda % 4 == 0;
    const float *w0 = p.b + (int64_t)(column + g) * p.packed_k, *w1 = w0 + (int64_t)8 * p.packed_k;
    const int chunks = p.packed_k / CHUNK, step = split * WARPS;
    float sum[TILES][4] = {};
    norn_let_next_start();
    int chunk = rank * WARPS + warp;
    float4 wa = {}, wb = {};
    if (chunk < chunks) wa = *(const float4 *)(w0 + chunk * CHUNK + t * 4), wb = *(const float4 *)(w1 + chunk * CHUNK + t * 4);
    norn_wait_before();
    for (; chunk < chunks; chunk += step) {
        const int at = chunk * CHUNK + t * 4;
        float4 x[TILES], na = {}, nb = {};
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            const int row = first + i * 8 + g;
            x[i] = load_a(p.a + (int64_t)row * p.lda, at, p.k, row < p.m, aligned);
        }
        if (chunk + step < chunks) {
            na = *(const float4 *)(w0 + at + step * CHUNK);
            nb = *(const float4 *)(w1 + at + step * CHUNK);
        }
        const uint32_t a[8] = {to_tf32(wa.x), to_tf32(wb.x), to_tf32(wa.y), to_tf32(wb.y),
                               to_tf32(wa.z), to_tf32(wb.z), to_tf32(wa.w), to_tf32(wb.w)};
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            mma(sum[i], a[0], a[1], a[2], a[3], to_tf32(x[i].x), to_tf32(x[i].y));
            mma(sum[i], a[4], a[5], a[6], a[7], to_tf32(x[i].z), to_tf32(x[i].w));
        }
        wa = na, wb = nb;
    }
    // Lane holds columns g and g + 8 of rows 2t and 2t + 1.
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        part[warp][i * 8 + 2 * t][g] = sum[i][0];
        part[warp][i * 8 + 2 * t + 1][g] = sum[i][1];
        part[warp][i * 8 + 2 * t][g + 8] = sum[i][2];
        part[warp][i * 8 + 2 * t + 1][g + 8] = sum[i][3];
    }
    cluster.sync();
    // The blocks of the cluster divide the tile's results among themselves.
    const int results = TILES * 8 * COLUMNS;
    for (int i = rank * WARPS * 32 + (int)threadIdx.x; i < results; i += split * WARPS * 32) {
        const int r = i / COLUMNS, c = i % COLUMNS;
        float total = (p.bias ? p.bias[column + c] : 0.0f) + p.bias_value;
        for (int other = 0; other < split; other++) {
            const float *far = cluster.map_shared_rank(&part[0][0][0], other) + r * (COLUMNS + 1) + c;
#pragma unroll
            for (int w = 0; w < WARPS; w++) total += far[w * TILES * 8 * (COLUMNS + 1)];
        }
        if (first + r < p.m) p.d[(int64_t)(first + r) * p.ldd + column + c] = norn_activate(total, p.activation);
    }
    cluster.sync(); // nobody leaves while its part is being read
}

extern "C" cudaError_t norn_cuda_gemm_skinny_launch(const norn_cuda_gemm_args *p, int32_t split, cudaStream_t stream) {
    const int tiles = p->m <= 8 ? 1 : p->m <= 16 ? 2 : p->m <= 32 ? 4 : 8;
    const dim3 grid((unsigned)(p->n / COLUMNS * split), (unsigned)((p->m + tiles * 8 - 1) / (tiles * 8)));
    const unsigned cluster = (unsigned)split;
    if (grid.y > 65535) return cudaErrorInvalidConfiguration;
    if (tiles == 1) return norn_launch(skinny<1>, grid, WARPS * 32, 0, stream, cluster, *p);
    if (tiles == 2) return norn_launch(skinny<2>, grid, WARPS * 32, 0, stream, cluster, *p);
    if (tiles == 4) return norn_launch(skinny<4>, grid, WARPS * 32, 0, stream, cluster, *p);
    return norn_launch(skinny<8>, grid, WARPS * 32, 0, stream, cluster, *p);
}
