/// Tens to hundreds of rows on Hopper's tensor cores (tf32): tiles of 64 rows by 32 or 64 columns, a
/// warpgroup each, k split over a cluster.
///
/// Nothing but weights goes through shared memory on the way in. They were packed in the order that
/// the tensor cores read, rounded to tf32, so a stage is one plain copy a panel of 32 k, and the
/// first ones are under way before the kernel ahead has ended. A thread reads its own rows into
/// registers: of a run of 16 k, lane t holds k = 4t..4t+3, which is a permutation of k that the
/// packed weights share. In the end the blocks of a cluster hand each other their sums, each
/// finishing a share of the tile's rows.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/gemm_kernels.h"
#include "cuda/kernels/tf32.cuh"
#include "cuda/kernels/wgmma.cuh"

#include <cooperative_groups.h>

namespace cg = cooperative_groups;

enum { ROWS = 64, THREADS = 128, PANEL_K = 32, STAGE_K = 64, RING = 4, RUNS = STAGE_K / 16 };

static __host__ __device__ __forceinline__ int panel_rows(int n) {
    return (n + 31) / 32 * 32;
}

// ---- packing

/// [k / 32][n rounded up to 32][32], zeros beyond k and n. In a run of 16 k, place 8h + q is k = 4q + 2h, and from q = 4
/// on k = 4 (q - 4) + 2h + 1; the 16-byte units of row r are exchanged by r % 8.
static __global__ void pack_panels(const float *b, int transposed, int n, int k, int packed_k,
                                   float *panels) {
    const int rows = panel_rows(n);
    const int64_t total = (int64_t)rows * packed_k;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * blockDim.x) {
        const int place = (int)(i % PANEL_K), row = (int)(i / PANEL_K % rows);
        const int unit = place / 4 ^ (row & 7), at = unit * 4 + place % 4;
        const int half = at % 16 / 8, q = at % 8;
        const int source =
            (int)(i / PANEL_K / rows) * PANEL_K + at / 16 * 16 + q % 4 * 4 + 2 * half + q / 4;
        const float x = source >= k || row >= n ? 0.0f
                        : transposed            ? b[(int64_t)row * k + source]
                                                : b[(int64_t)source * n + row];
        panels[i] = __uint_as_float(norn_tf32(x));
    }
}

extern "C" cudaError_t norn_cuda_gemm_panels_launch(const float *b, int32_t transposed, int32_t n,
                                                    int32_t k, float *panels, cudaStream_t stream) {
    const int packed_k = (k + STAGE_K - 1) / STAGE_K * STAGE_K;
    const int64_t total = (int64_t)panel_rows(n) * packed_k;
    const int blocks = (int)(total / 256 + 1 < 2048 ? total / 256 + 1 : 2048);
    pack_panels<<<blocks, 256, 0, stream>>>(b, transposed, n, k, packed_k, panels);
    return cudaGetLastError();
}

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define NORN_WGMMA 1
#endif

// ---- barriers in shared memory that count bytes
#ifdef NORN_WGMMA

static __device__ __forceinline__ void barrier_init(uint32_t barrier) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier) : "memory");
}
static __device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}
static __device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
    asm volatile("{ .reg .pred done; again: "
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; "
                 "@!done bra again; }" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}
/// Contiguous bytes from global to shared memory, counted by the barrier.
static __device__ __forceinline__ void copy_bulk(uint32_t to, const float *from, uint32_t bytes,
                                                 uint32_t barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
        "[%3];" ::"r"(to),
        "l"(from), "r"(bytes), "r"(barrier)
        : "memory");
}
static __device__ __forceinline__ void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
static __device__ __forceinline__ void cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// ---- the product

/// A stage of two of a warp's rows, g and g + 8: four k of every run of 16.
struct stage_rows {
    float4 x[2][RUNS];
};

static __device__ __forceinline__ float4 load_row(const float *row, int left, bool aligned) {
    if (aligned && left >= 4) return norn_load_ahead(row, true);
    float4 v = {0, 0, 0, 0};
    if (left > 0) v.x = row[0];
    if (left > 1) v.y = row[1];
    if (left > 2) v.z = row[2];
    if (left > 3) v.w = row[3];
    return v;
}

static __device__ __forceinline__ void load_stage(const norn_cuda_gemm_args &p, int row, int at,
                                                  bool aligned, stage_rows &to) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int run = 0; run < RUNS; run++) {
            const int k = at + run * 16, left = row + half * 8 < p.m ? p.k - k : 0;
            to.x[half][run] = load_row(p.a + (int64_t)(row + half * 8) * p.lda + k, left, aligned);
        }
}

/// The rows of `from` times the stage of weights at `weights`.
template <int COLUMNS>
static __device__ __forceinline__ void multiply(const stage_rows &from, uint32_t weights,
                                                float (&sum)[COLUMNS / 2]) {
    uint32_t a[RUNS][2][4];
#pragma unroll
    for (int run = 0; run < RUNS; run++) {
        uint32_t low[4], high[4];
        norn_tf32x4(from.x[0][run], low);
        norn_tf32x4(from.x[1][run], high);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            a[run][half][0] = low[2 * half], a[run][half][1] = high[2 * half];
            a[run][half][2] = low[2 * half + 1], a[run][half][3] = high[2 * half + 1];
        }
    }
    norn_wgmma_fence();
#pragma unroll
    for (int step = 0; step < 2 * RUNS; step++)
        norn_wgmma(sum, a[step / 2][step % 2],
                   norn_wgmma_panel(weights + step / 4 * (COLUMNS * PANEL_K * 4) + step % 4 * 32));
    norn_wgmma_commit();
    norn_wgmma_wait();
}

static __device__ __forceinline__ void finish(const norn_cuda_gemm_args &p, int row, int column,
                                              float4 sum, const float *bias) {
    if (row >= p.m) return;
    float *out = p.d + (int64_t)row * p.ldd + column;
    float y[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int j = 0; j < 4; j++) y[j] = norn_activate(y[j] + bias[j], p.activation);
    if (((uintptr_t)p.d & 15) == 0 && p.ldd % 4 == 0 && column + 4 <= p.n)
        *(float4 *)out = {y[0], y[1], y[2], y[3]};
    else
        for (int j = 0; j < 4 && column + j < p.n; j++) out[j] = y[j];
}

#endif

/// SPLIT blocks of a cluster.
template <int COLUMNS, int SPLIT>
static __global__ void __launch_bounds__(THREADS)
    tile(const __grid_constant__ norn_cuda_gemm_args p) {
#ifdef NORN_WGMMA
    constexpr int SHARE = ROWS / SPLIT, PITCH = COLUMNS + 4, QUADS = COLUMNS / 4;
    constexpr uint32_t PANEL_BYTES = COLUMNS * PANEL_K * 4, STAGE_BYTES = 2 * PANEL_BYTES;
    extern __shared__ __align__(1024) char shared[];
    __shared__ uint64_t barriers[RING];
    __shared__ float bias[COLUMNS];
    cg::cluster_group cluster = cg::this_cluster();
    const int rank = SPLIT > 1 ? (int)cluster.block_rank() : 0;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int column = (int)(blockIdx.x / SPLIT) * COLUMNS, first = (int)blockIdx.y * ROWS;
    const bool aligned = ((uintptr_t)p.a & 15) == 0 && p.lda % 4 == 0;
    const int rows = panel_rows(p.n);
    const int stages = (p.k + STAGE_K - 1) / STAGE_K;
    const int begin = stages * rank / SPLIT, end = stages * (rank + 1) / SPLIT;
    const int most = (stages + SPLIT - 1) / SPLIT;
    const uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared);
    const uint32_t barrier = (uint32_t)__cvta_generic_to_shared(barriers);
    float *incoming = (float *)(shared + (most < RING ? most : RING) * STAGE_BYTES);

    const auto fetch = [&](int s) {
        const uint32_t slot = (s - begin) % RING, to = ring + slot * STAGE_BYTES;
        const float *from = p.b + ((int64_t)s * 2 * rows + column) * PANEL_K;
        barrier_expect(barrier + slot * 8, STAGE_BYTES);
        copy_bulk(to, from, PANEL_BYTES, barrier + slot * 8);
        copy_bulk(to + PANEL_BYTES, from + (int64_t)rows * PANEL_K, PANEL_BYTES,
                  barrier + slot * 8);
    };
    norn_let_next_start();
    if (threadIdx.x == 0) {
        for (int i = 0; i < RING; i++) barrier_init(barrier + i * 8);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        for (int s = begin; s < begin + RING && s < end; s++) fetch(s);
    }
    for (int i = (int)threadIdx.x; i < COLUMNS; i += THREADS)
        bias[i] = (p.bias && column + i < p.n ? p.bias[column + i] : 0.0f) + p.bias_value;
    __syncthreads();
    if (SPLIT > 1) cluster_arrive(); // this block's memory may be written to
    norn_wait_before();

    const int row = first + warp * 16 + g;
    stage_rows now, next;
    float sum[COLUMNS / 2];
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) sum[i] = 0;
    if (begin < end) load_stage(p, row, begin * STAGE_K + t * 4, aligned, now);
    for (int s = begin; s < end; s++) {
        const uint32_t slot = (s - begin) % RING;
        if (s + 1 < end) load_stage(p, row, (s + 1) * STAGE_K + t * 4, aligned, next);
        barrier_wait(barrier + slot * 8, (s - begin) / RING & 1);
        multiply<COLUMNS>(now, ring + slot * STAGE_BYTES, sum);
        if (s + RING < end) {
            __syncthreads(); // every warp has read this stage
            if (threadIdx.x == 0) fetch(s + RING);
        }
        now = next;
    }
    if (SPLIT > 1) cluster_wait();
        // Two lanes exchange pairs: the even one then has four columns of 8j.., the odd one of 8j + 8...
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int r = warp * 16 + half * 8 + g;
        float *to = incoming + (rank * SHARE + r % SHARE) * PITCH;
        if (SPLIT > 1) to = cluster.map_shared_rank(to, r / SHARE);
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j += 2) {
            const float *mine = sum + j * 4 + half * 2, *other = mine + 4;
            const bool odd = t & 1;
            const float x = __shfl_xor_sync(0xffffffffu, odd ? mine[0] : other[0], 1);
            const float y = __shfl_xor_sync(0xffffffffu, odd ? mine[1] : other[1], 1);
            const float4 quad =
                odd ? float4{x, y, other[0], other[1]} : float4{mine[0], mine[1], x, y};
            const int c = (j + (odd ? 1 : 0)) * 8 + (t & 2) * 2;
            if (SPLIT > 1)
                *(float4 *)(to + c) = quad;
            else
                finish(p, first + r, column + c, quad, bias + c);
        }
    }
    if (SPLIT == 1) return;
    cluster_arrive();
    cluster_wait();
    for (int i = (int)threadIdx.x; i < SHARE * QUADS; i += THREADS) {
        const int r = i / QUADS, c = i % QUADS * 4;
        float4 total = {0, 0, 0, 0};
#pragma unroll
        for (int other = 0; other < SPLIT; other++) {
            const float4 part = *(const float4 *)(incoming + (other * SHARE + r) * PITCH + c);
            total.x += part.x, total.y += part.y, total.z += part.z, total.w += part.w;
        }
        finish(p, first + rank * SHARE + r, column + c, total, bias + c);
    }
#endif
}

template <int COLUMNS, int SPLIT>
static cudaError_t launch(const norn_cuda_gemm_args *p, cudaStream_t stream) {
    const int stages = (p->k + STAGE_K - 1) / STAGE_K, most = (stages + SPLIT - 1) / SPLIT;
    const size_t stage = COLUMNS * STAGE_K * sizeof(float);
    const size_t sums = SPLIT > 1 ? ROWS * (COLUMNS + 4) * sizeof(float) : 0;
    const dim3 grid((unsigned)(panel_rows(p->n) / COLUMNS * SPLIT),
                    (unsigned)((p->m + ROWS - 1) / ROWS));
    if (grid.y > 65535) return cudaErrorInvalidConfiguration;
    cudaError_t error =
        cudaFuncSetAttribute(tile<COLUMNS, SPLIT>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)(stage * RING + sums));
    if (error != cudaSuccess) return error;
    return norn_launch(tile<COLUMNS, SPLIT>, grid, THREADS,
                       stage * (size_t)(most < RING ? most : RING) + sums, stream, SPLIT, *p);
}

template <int COLUMNS>
static cudaError_t launch_split(const norn_cuda_gemm_args *p, int32_t split, cudaStream_t stream) {
    if (split == 1) return launch<COLUMNS, 1>(p, stream);
    if (split == 2) return launch<COLUMNS, 2>(p, stream);
    if (split == 4) return launch<COLUMNS, 4>(p, stream);
    return launch<COLUMNS, 8>(p, stream);
}

extern "C" cudaError_t norn_cuda_gemm_tile_launch(const norn_cuda_gemm_args *p, int32_t split,
                                                  int32_t groups, cudaStream_t stream) {
    return groups == 4 ? launch_split<64>(p, split, stream) : launch_split<32>(p, split, stream);
}
