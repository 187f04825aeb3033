/// Tens of rows on tf32 tensor cores: the weights are read once, spread over the whole chip.
///
/// A cluster of blocks shares the sum of one tile of 16 or 32 columns; within a block the warps
/// share the block's part of k. Fragments come straight from memory: of a run of 16 k, lane t holds
/// k = 4t..4t+3 of both operands, which is a permutation of k that the product does not see.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/gemm_kernels.h"
#include "cuda/kernels/tf32.cuh"

#include <cooperative_groups.h>

namespace cg = cooperative_groups;

enum { WARPS = 4, CHUNK = 16 };

static __device__ __forceinline__ float4 load_a(const float *row, int at, int k, bool inside,
                                                bool aligned) {
    float4 v = {0, 0, 0, 0};
    if (!inside || at >= k) return v;
    if (aligned && at + 4 <= k) return *(const float4 *)(row + at);
    v.x = row[at];
    if (at + 1 < k) v.y = row[at + 1];
    if (at + 2 < k) v.z = row[at + 2];
    if (at + 3 < k) v.w = row[at + 3];
    return v;
}

/// What a warp holds of one run of 16 k: float4s of its columns' weights and of its rows.
template <int TILES, int GROUPS> struct fragments { float4 w[GROUPS][2], x[TILES]; };

/// TILES tiles of eight rows; GROUPS of 16 columns.
template <int TILES, int GROUPS>
static __global__ void __launch_bounds__(WARPS * 32)
    skinny(const __grid_constant__ norn_cuda_gemm_args p) {
    constexpr int COLUMNS = GROUPS * 16, PITCH = COLUMNS + 1, ROWS = TILES * 8;
    extern __shared__ float part[]; // [WARPS][ROWS][PITCH]
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    cg::cluster_group cluster = cg::this_cluster();
    const int split = (int)cluster.num_blocks(), rank = (int)cluster.block_rank();
    const int column = (int)(blockIdx.x / split) * COLUMNS, first = (int)blockIdx.y * ROWS;
    const bool aligned = ((uintptr_t)p.a & 15) == 0 && p.lda % 4 == 0;
    const float *w = (const float *)p.b + (int64_t)(column + g) * p.packed_k + t * 4;
    const int chunks = p.packed_k / CHUNK, step = split * WARPS;
    float sum[GROUPS][TILES][4] = {};
    fragments<TILES, GROUPS> now, next;
    const auto load_weights = [&](int chunk, fragments<TILES, GROUPS> &f) {
#pragma unroll
        for (int n = 0; n < GROUPS; n++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                f.w[n][half] = norn_load_ahead(
                    w + (int64_t)(n * 16 + half * 8) * p.packed_k + chunk * CHUNK, chunk < chunks);
    };
    const auto load_rows = [&](int chunk, fragments<TILES, GROUPS> &f) {
        const int at = chunk * CHUNK + t * 4;
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            const int row = first + i * 8 + g;
            const float *from = (const float *)p.a + (int64_t)row * p.lda;
            const bool inside = row < p.m && chunk < chunks;
            if (aligned && p.k % 4 == 0)
                f.x[i] = norn_load_ahead(from + at, inside && at < p.k);
            else
                f.x[i] = load_a(from, at, p.k, inside, aligned);
        }
    };
    norn_let_next_start();
    int chunk = rank * WARPS + warp;
    load_weights(chunk, now); // the first weights do not wait for the kernel before
    norn_wait_before();
    load_rows(chunk, now);
    for (; chunk < chunks; chunk += step) {
        load_weights(chunk + step, next);
        load_rows(chunk + step, next);
#pragma unroll
        for (int n = 0; n < GROUPS; n++) {
            const float4 a = now.w[n][0], b = now.w[n][1];
            uint32_t u[4], v[4];
            norn_tf32x4(a, u);
            norn_tf32x4(b, v);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                uint32_t x[4];
                norn_tf32x4(now.x[i], x);
                norn_mma_tf32(sum[n][i], u[0], v[0], u[1], v[1], x[0], x[1]);
                norn_mma_tf32(sum[n][i], u[2], v[2], u[3], v[3], x[2], x[3]);
            }
        }
        now = next;
    }
    // Lane holds columns g and g + 8 of rows 2t and 2t + 1.
    float *mine = part + warp * ROWS * PITCH;
#pragma unroll
    for (int n = 0; n < GROUPS; n++)
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            float *at = mine + (i * 8 + 2 * t) * PITCH + n * 16 + g;
            at[0] = sum[n][i][0];
            at[PITCH] = sum[n][i][1];
            at[8] = sum[n][i][2];
            at[PITCH + 8] = sum[n][i][3];
        }
    // First the warps' shares, here; then those of the other blocks,
    // which are several times as far away.
    __syncthreads();
    for (int i = (int)threadIdx.x; i < ROWS * COLUMNS; i += WARPS * 32) {
        float *at = part + i / COLUMNS * PITCH + i % COLUMNS;
#pragma unroll
        for (int v = 1; v < WARPS; v++) at[0] += at[v * ROWS * PITCH];
    }
    cluster.sync();
    // The blocks of the cluster divide the tile's results among themselves.
    for (int i = rank * WARPS * 32 + (int)threadIdx.x; i < ROWS * COLUMNS;
         i += split * WARPS * 32) {
        const int r = i / COLUMNS, c = i % COLUMNS;
        float total = (p.bias ? ((const float *)p.bias)[column + c] : 0.0f) + p.bias_value;
        for (int other = 0; other < split; other++)
            total += cluster.map_shared_rank(part, other)[r * PITCH + c];
        if (first + r < p.m)
            ((float *)p.d)[(int64_t)(first + r) * p.ldd + column + c] =
                norn_activate(total, p.activation);
    }
    cluster.sync(); // nobody leaves while its part is being read
}

template <int TILES, int GROUPS>
static cudaError_t launch(const norn_cuda_gemm_args *p, int32_t split, cudaStream_t stream) {
    const dim3 grid((unsigned)(p->n / (GROUPS * 16) * split),
                    (unsigned)((p->m + TILES * 8 - 1) / (TILES * 8)));
    const size_t bytes = WARPS * TILES * 8 * (GROUPS * 16 + 1) * sizeof(float);
    if (grid.y > 65535) return cudaErrorInvalidConfiguration;
    return norn_launch(skinny<TILES, GROUPS>, grid, WARPS * 32, bytes, stream, (unsigned)split, *p);
}

template <int GROUPS>
static cudaError_t launch_rows(const norn_cuda_gemm_args *p, int32_t split, cudaStream_t stream) {
    if (p->m <= 8) return launch<1, GROUPS>(p, split, stream);
    if (p->m <= 16) return launch<2, GROUPS>(p, split, stream);
    if (p->m <= 32) return launch<4, GROUPS>(p, split, stream);
    return launch<8, GROUPS>(p, split, stream);
}

extern "C" cudaError_t norn_cuda_gemm_skinny_launch(const norn_cuda_gemm_args *p, int32_t split,
                                                    int32_t groups, cudaStream_t stream) {
    return groups == 2 ? launch_rows<2>(p, split, stream) : launch_rows<1>(p, split, stream);
}
