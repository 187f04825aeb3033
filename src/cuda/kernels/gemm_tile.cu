/// Tens to hundreds of rows on Hopper's tensor cores (tf32, fp16, bf16): tiles of 64 rows by 32 or 64
/// columns, a warpgroup each, k split over a cluster.
///
/// Nothing but weights goes through shared memory on the way in. They were packed in the order that
/// the tensor cores read, float rounded to tf32, so a stage is one plain copy a panel, and the first
/// ones are under way before the kernel ahead has ended. A thread reads its own rows into registers:
/// of a run of 64 bytes, lane t holds the 16 bytes t, which is a permutation of k that the packed
/// weights share. In the end the blocks of a cluster hand each other their sums, each
/// finishing a share of the tile's rows.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/elem.cuh"
#include "cuda/kernels/gemm_kernels.h"
#include "cuda/kernels/tf32.cuh"
#include "cuda/kernels/wgmma.cuh"

#include <cooperative_groups.h>

namespace cg = cooperative_groups;

enum { ROWS = 64, THREADS = 128, RING = 4, RUNS = 4 };
enum { PANEL_ROW = 128, STAGE_ROW = 2 * PANEL_ROW }; // bytes of k

/// Elements of k in so many bytes.
template <typename T> static __host__ __device__ constexpr int in_bytes(int bytes) {
    return bytes / (int)sizeof(T);
}

static __host__ __device__ __forceinline__ int panel_rows(int n) {
    return (n + 31) / 32 * 32;
}

// ---- packing

/// What a register of A's holds of the run of 64 bytes of k: of floats, place 8h + q of 16 is k = 4q + 2h, and from
/// q = 4 on k = 4 (q - 4) + 2h + 1; of halves, place 16h + q of 32 is k = 8 (q / 2) + 4h + q % 2, and from q = 8 on
/// the same + 2 of q - 8.
static __device__ __forceinline__ int source_of(int place, float) {
    const int half = place / 8, q = place % 8;
    return q % 4 * 4 + 2 * half + q / 4;
}
template <typename T> static __device__ __forceinline__ int source_of(int place, T) {
    const int half = place / 16, q = place % 16;
    return q % 8 / 2 * 8 + 4 * half + q / 8 * 2 + q % 2;
}

static __device__ __forceinline__ float as_multiplied(float x) {
    return __uint_as_float(norn_tf32(x));
}
template <typename T> static __device__ __forceinline__ T as_multiplied(T x) {
    return x;
}

/// [k by 128 bytes][n rounded up to 32][128 bytes], zeros beyond k and n; the 16-byte units of row r are exchanged
/// by r % 8.
template <typename T>
static __global__ void pack_panels(const T *b, int transposed, int n, int k, int packed_k,
                                   T *panels) {
    constexpr int PANEL_K = in_bytes<T>(PANEL_ROW), UNIT = in_bytes<T>(16), RUN = in_bytes<T>(64);
    const int rows = panel_rows(n);
    const int64_t total = (int64_t)rows * packed_k;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * blockDim.x) {
        const int place = (int)(i % PANEL_K), row = (int)(i / PANEL_K % rows);
        const int unit = place / UNIT ^ (row & 7), at = unit * UNIT + place % UNIT;
        const int source =
            (int)(i / PANEL_K / rows) * PANEL_K + at / RUN * RUN + source_of(at % RUN, T());
        const T x = source >= k || row >= n ? T(0.0f)
                    : transposed            ? b[(int64_t)row * k + source]
                                            : b[(int64_t)source * n + row];
        panels[i] = as_multiplied(x);
    }
}

template <typename T>
static cudaError_t panels_launch(const void *b, int32_t transposed, int32_t n, int32_t k,
                                 void *panels, cudaStream_t stream) {
    constexpr int STAGE_K = in_bytes<T>(STAGE_ROW);
    const int packed_k = (k + STAGE_K - 1) / STAGE_K * STAGE_K;
    const int64_t total = (int64_t)panel_rows(n) * packed_k;
    const int blocks = (int)(total / 256 + 1 < 2048 ? total / 256 + 1 : 2048);
    pack_panels<<<blocks, 256, 0, stream>>>((const T *)b, transposed, n, k, packed_k, (T *)panels);
    return cudaGetLastError();
}

extern "C" cudaError_t norn_cuda_gemm_panels_launch(const void *b, norn_cuda_elem elem,
                                                    int32_t transposed, int32_t n, int32_t k,
                                                    void *panels, cudaStream_t stream) {
    if (elem == NORN_CUDA_ELEM_F16)
        return panels_launch<__half>(b, transposed, n, k, panels, stream);
    if (elem == NORN_CUDA_ELEM_BF16)
        return panels_launch<__nv_bfloat16>(b, transposed, n, k, panels, stream);
    return panels_launch<float>(b, transposed, n, k, panels, stream);
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
static __device__ __forceinline__ void copy_bulk(uint32_t to, const char *from, uint32_t bytes,
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

/// A stage of two of a warp's rows, g and g + 8: sixteen bytes of every run of 64.
struct stage_rows {
    float4 x[2][RUNS];
};

template <typename T>
static __device__ __forceinline__ void load_stage(const norn_cuda_gemm_args &p, int row, int at,
                                                  bool aligned, stage_rows &to) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int run = 0; run < RUNS; run++) {
            const int k = at + run * in_bytes<T>(64), left = row + half * 8 < p.m ? p.k - k : 0;
            const T *from = (const T *)p.a + (int64_t)(row + half * 8) * p.lda + k;
            to.x[half][run] = aligned && left >= norn_pack<T>::COUNT
                                  ? norn_load_ahead((const float *)from, true)
                                  : norn_load_part(from, left);
        }
}

static __device__ __forceinline__ void registers_of(float4 v, uint32_t (&out)[4], float) {
    norn_tf32x4(v, out);
}
template <typename T>
static __device__ __forceinline__ void registers_of(float4 v, uint32_t (&out)[4], T) {
    out[0] = __float_as_uint(v.x), out[1] = __float_as_uint(v.y);
    out[2] = __float_as_uint(v.z), out[3] = __float_as_uint(v.w);
}

/// The rows of `from` times the stage of weights at `weights`.
template <typename T, int COLUMNS>
static __device__ __forceinline__ void multiply(const stage_rows &from, uint32_t weights,
                                                float (&sum)[COLUMNS / 2]) {
    uint32_t a[RUNS][2][4];
#pragma unroll
    for (int run = 0; run < RUNS; run++) {
        uint32_t low[4], high[4];
        registers_of(from.x[0][run], low, T());
        registers_of(from.x[1][run], high, T());
#pragma unroll
        for (int half = 0; half < 2; half++) {
            a[run][half][0] = low[2 * half], a[run][half][1] = high[2 * half];
            a[run][half][2] = low[2 * half + 1], a[run][half][3] = high[2 * half + 1];
        }
    }
    norn_wgmma_fence();
#pragma unroll
    for (int step = 0; step < 2 * RUNS; step++)
        norn_wgmma<T>(sum, a[step / 2][step % 2],
                      norn_wgmma_panel(weights + step / 4 * (COLUMNS * PANEL_ROW) + step % 4 * 32));
    norn_wgmma_commit();
    norn_wgmma_wait();
}

/// Four neighbours of a dense operand of the ending.
template <typename T>
static __device__ __forceinline__ void load_four(const void *from, int64_t at, bool wide, int left,
                                                 float (&x)[4]) {
    union {
        T at[4];
        float4 four;
        float2 two;
    } v;
    v.four = {0, 0, 0, 0};
    const T *source = (const T *)from + at;
    if (!wide) {
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (j < left) v.at[j] = source[j];
    } else if constexpr (sizeof(T) == 4) {
        v.four = *(const float4 *)source;
    } else {
        v.two = *(const float2 *)source;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = norn_to_f32(v.at[j]);
}

template <typename T, typename OUT>
static __device__ __forceinline__ void finish(const norn_cuda_gemm_args &p, int row, int column,
                                              float4 sum, const float *bias) {
    if (row >= p.m) return;
    OUT *out = (OUT *)p.d + (int64_t)row * p.ldd + column;
    float y[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int j = 0; j < 4; j++) y[j] = norn_activate(y[j] + bias[j], p.activation);
    if (p.times) {
        const bool wide = (((uintptr_t)p.times | (uintptr_t)p.plus) & 4 * sizeof(T) - 1) == 0 &&
                          p.n % 4 == 0 && column + 4 <= p.n;
        const int64_t at = (int64_t)row * p.n + column;
        float x[4], z[4];
        load_four<T>(p.times, at, wide, p.n - column, x);
        load_four<T>(p.plus, at, wide, p.n - column, z);
#pragma unroll
        for (int j = 0; j < 4; j++) y[j] = y[j] * x[j] + z[j];
    }
    norn_store_four(
        out, y, ((uintptr_t)p.d & 4 * sizeof(OUT) - 1) == 0 && p.ldd % 4 == 0 && column + 4 <= p.n,
        p.n - column);
}

#endif

/// SPLIT blocks of a cluster.
template <typename T, typename OUT, int COLUMNS, int SPLIT>
static __global__ void __launch_bounds__(THREADS)
    tile(const __grid_constant__ norn_cuda_gemm_args p) {
#ifdef NORN_WGMMA
    constexpr int SHARE = ROWS / SPLIT, PITCH = COLUMNS + 4, QUADS = COLUMNS / 4;
    constexpr int STAGE_K = in_bytes<T>(STAGE_ROW);
    constexpr uint32_t PANEL_BYTES = COLUMNS * PANEL_ROW, STAGE_BYTES = 2 * PANEL_BYTES;
    extern __shared__ __align__(1024) char shared[];
    __shared__ uint64_t barriers[RING];
    __shared__ float bias[COLUMNS];
    cg::cluster_group cluster = cg::this_cluster();
    const int rank = SPLIT > 1 ? (int)cluster.block_rank() : 0;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int column = (int)(blockIdx.x / SPLIT) * COLUMNS, first = (int)blockIdx.y * ROWS;
    const bool aligned = ((uintptr_t)p.a & 15) == 0 && p.lda % norn_pack<T>::COUNT == 0;
    const int rows = panel_rows(p.n);
    const int stages = (p.k + STAGE_K - 1) / STAGE_K;
    const int begin = stages * rank / SPLIT, end = stages * (rank + 1) / SPLIT;
    const int most = (stages + SPLIT - 1) / SPLIT;
    const uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared);
    const uint32_t barrier = (uint32_t)__cvta_generic_to_shared(barriers);
    float *incoming = (float *)(shared + (most < RING ? most : RING) * STAGE_BYTES);

    const auto fetch = [&](int s) {
        const uint32_t slot = (s - begin) % RING, to = ring + slot * STAGE_BYTES;
        const char *from = (const char *)p.b + ((int64_t)s * 2 * rows + column) * PANEL_ROW;
        barrier_expect(barrier + slot * 8, STAGE_BYTES);
        copy_bulk(to, from, PANEL_BYTES, barrier + slot * 8);
        copy_bulk(to + PANEL_BYTES, from + (int64_t)rows * PANEL_ROW, PANEL_BYTES,
                  barrier + slot * 8);
    };
    norn_let_next_start();
    if (threadIdx.x == 0) {
        for (int i = 0; i < RING; i++) barrier_init(barrier + i * 8);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        for (int s = begin; s < begin + RING && s < end; s++) fetch(s);
    }
    for (int i = (int)threadIdx.x; i < COLUMNS; i += THREADS)
        bias[i] =
            (p.bias && column + i < p.n ? norn_to_f32(((const OUT *)p.bias)[column + i]) : 0.0f) +
            p.bias_value;
    __syncthreads();
    if (SPLIT > 1) cluster_arrive(); // this block's memory may be written to
    norn_wait_before();

    const int row = first + warp * 16 + g;
    stage_rows now, next;
    float sum[COLUMNS / 2];
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) sum[i] = 0;
    if (begin < end) load_stage<T>(p, row, begin * STAGE_K + t * norn_pack<T>::COUNT, aligned, now);
    for (int s = begin; s < end; s++) {
        const uint32_t slot = (s - begin) % RING;
        if (s + 1 < end)
            load_stage<T>(p, row, (s + 1) * STAGE_K + t * norn_pack<T>::COUNT, aligned, next);
        barrier_wait(barrier + slot * 8, (s - begin) / RING & 1);
        multiply<T, COLUMNS>(now, ring + slot * STAGE_BYTES, sum);
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
                finish<T, OUT>(p, first + r, column + c, quad, bias + c);
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
        finish<T, OUT>(p, first + rank * SHARE + r, column + c, total, bias + c);
    }
#endif
}

template <typename T, typename OUT, int COLUMNS, int SPLIT>
static cudaError_t launch(const norn_cuda_gemm_args *p, cudaStream_t stream) {
    constexpr int STAGE_K = in_bytes<T>(STAGE_ROW);
    const int stages = (p->k + STAGE_K - 1) / STAGE_K, most = (stages + SPLIT - 1) / SPLIT;
    const size_t stage = COLUMNS * STAGE_ROW;
    const size_t sums = SPLIT > 1 ? ROWS * (COLUMNS + 4) * sizeof(float) : 0;
    const dim3 grid((unsigned)(panel_rows(p->n) / COLUMNS * SPLIT),
                    (unsigned)((p->m + ROWS - 1) / ROWS));
    if (grid.y > 65535) return cudaErrorInvalidConfiguration;
    cudaError_t error = cudaFuncSetAttribute(tile<T, OUT, COLUMNS, SPLIT>,
                                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             (int)(stage * RING + sums));
    if (error != cudaSuccess) return error;
    return norn_launch(tile<T, OUT, COLUMNS, SPLIT>, grid, THREADS,
                       stage * (size_t)(most < RING ? most : RING) + sums, stream, SPLIT, *p);
}

template <typename T, typename OUT, int COLUMNS>
static cudaError_t launch_split(const norn_cuda_gemm_args *p, int32_t split, cudaStream_t stream) {
    if (split == 1) return launch<T, OUT, COLUMNS, 1>(p, stream);
    if (split == 2) return launch<T, OUT, COLUMNS, 2>(p, stream);
    if (split == 4) return launch<T, OUT, COLUMNS, 4>(p, stream);
    return launch<T, OUT, COLUMNS, 8>(p, stream);
}

template <typename T, typename OUT>
static cudaError_t launch_wide(const norn_cuda_gemm_args *p, int32_t split, int32_t groups,
                               cudaStream_t stream) {
    return groups == 4 ? launch_split<T, OUT, 64>(p, split, stream)
                       : launch_split<T, OUT, 32>(p, split, stream);
}

extern "C" cudaError_t norn_cuda_gemm_tile_launch(const norn_cuda_gemm_args *p, int32_t split,
                                                  int32_t groups, cudaStream_t stream) {
    const bool same = p->out == p->elem;
    if (p->elem == NORN_CUDA_ELEM_F16)
        return same ? launch_wide<__half, __half>(p, split, groups, stream)
                    : launch_wide<__half, float>(p, split, groups, stream);
    if (p->elem == NORN_CUDA_ELEM_BF16)
        return same ? launch_wide<__nv_bfloat16, __nv_bfloat16>(p, split, groups, stream)
                    : launch_wide<__nv_bfloat16, float>(p, split, groups, stream);
    return launch_wide<float, float>(p, split, groups, stream);
}
