/// Pairwise dots of the rows of X [F, D] of each sample, beside a copied pass-through; and FM.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/elem.cuh"
#include "cuda/kernels/interaction_kernel.h"
#include "cuda/kernels/tf32.cuh"

typedef norn_cuda_interaction_args args;

/// Row g of a tile of eight rows serves as a row of A and as a column of B: `low` and `high` are its
/// registers of a step of k.
static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1, float) {
    norn_mma_tf32(d, a[0], a[1], a[2], a[3], b0, b1);
}
#define NORN_MMA_HALF(type)                                                                    \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, " \
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                      \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1, __half) {
    NORN_MMA_HALF("f16");
}
static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1, __nv_bfloat16) {
    NORN_MMA_HALF("bf16");
}
#undef NORN_MMA_HALF

static __device__ __forceinline__ uint32_t word_of(float x, float) {
    return norn_tf32(x);
}
template <typename T> static __device__ __forceinline__ uint32_t word_of(float x, T) {
    return __float_as_uint(x);
}

// ---- tensor cores
enum { WARPS = 4, GRAM = 33, CHUNKS = 4 }; // CHUNKS of 64 bytes of k in flight

/// A warp a sample; SPLIT: a block a sample, its warps sharing k. X X^T needs one set of fragments:
/// row g of tile i serves as an A row and as a B column. Of 64 bytes of k, lane t holds the 16 bytes
/// t: a permutation of k that the dot does not see.
template <typename T, typename OUT, bool SPLIT>
static __global__ void __launch_bounds__(WARPS * 32, 4) dot_cores(const __grid_constant__ args p) {
    __shared__ float gram[WARPS][32 * GRAM];
    constexpr int COUNT = 16 / sizeof(T), RUN = 4 * COUNT;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int begin = SPLIT ? warp * (p.dim / WARPS) : 0,
              end = SPLIT ? begin + p.dim / WARPS : p.dim;
    const T *row[4];
    int stride[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int f = i * 8 + g;
        row[i] = f < p.features ? (const T *)p.feature[f] + t * COUNT : nullptr;
        stride[i] = f < p.features ? p.stride[f] : 0;
    }
    norn_let_next_start();
    norn_wait_before();
    const int64_t first = SPLIT ? blockIdx.x : (int64_t)blockIdx.x * WARPS + warp,
                  step = SPLIT ? gridDim.x : (int64_t)gridDim.x * WARPS;
    for (int64_t sample = first; sample < p.batch; sample += step) {
        float sum[6][4] = {}; // tiles of 16 x 8: (0,0) (0,1) (1,0) (1,1) (1,2) (1,3)
        for (int k = begin; k < end; k += RUN * CHUNKS) {
            float4 x[CHUNKS][4];
#pragma unroll
            for (int c = 0; c < CHUNKS; c++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    x[c][i] =
                        norn_load_ahead((const float *)(row[i] + sample * stride[i] + k + c * RUN),
                                        row[i] && k + c * RUN < end);
#pragma unroll
            for (int c = 0; c < CHUNKS; c++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    uint32_t u[4], v[4];
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        u[i] = word_of(half ? x[c][i].z : x[c][i].x, T()),
                        v[i] = word_of(half ? x[c][i].w : x[c][i].y, T());
                    const uint32_t top[4] = {u[0], u[1], v[0], v[1]},
                                   low[4] = {u[2], u[3], v[2], v[3]};
                    mma(sum[0], top, u[0], v[0], T());
                    mma(sum[1], top, u[1], v[1], T());
#pragma unroll
                    for (int i = 0; i < 4; i++) mma(sum[2 + i], low, u[i], v[i], T());
                }
        }
        // Lane holds rows g and g + 8, columns 2t and 2t + 1 of each tile.
#pragma unroll
        for (int i = 0; i < 6; i++) {
            const int r = (i < 2 ? 0 : 16) + g, c = (i < 2 ? i : i - 2) * 8 + 2 * t;
            gram[warp][r * GRAM + c] = sum[i][0];
            gram[warp][r * GRAM + c + 1] = sum[i][1];
            gram[warp][(r + 8) * GRAM + c] = sum[i][2];
            gram[warp][(r + 8) * GRAM + c + 1] = sum[i][3];
        }
        if (SPLIT)
            __syncthreads();
        else
            __syncwarp();
        const int at = SPLIT ? threadIdx.x : lane, by = SPLIT ? WARPS * 32 : 32;
        OUT *out = (OUT *)p.out + sample * p.out_stride;
        const T *pass = (const T *)p.pass + sample * p.pass_stride;
        for (int i = at; i < p.pass_count; i += by)
            out[i] = norn_from_f32<OUT>(norn_to_f32(pass[i]));
        out += p.pass_count;
        for (int i = at; i < p.pair_count; i += by) {
            const int pair = p.pairs[i], slot = (pair >> 8) * GRAM + (pair & 255);
            float dot = gram[SPLIT ? 0 : warp][slot];
            if (SPLIT)
#pragma unroll
                for (int w = 1; w < WARPS; w++) dot += gram[w][slot];
            out[i] = norn_from_f32<OUT>(dot);
        }
        for (int i = at; i < p.pad; i += by) out[p.pair_count + i] = norn_from_f32<OUT>(0.0f);
        if (SPLIT)
            __syncthreads();
        else
            __syncwarp();
    }
}

template <typename T, typename OUT>
static cudaError_t cores_launch(const args *p, cudaStream_t stream) {
    // Few samples leave most of the chip idle: then a block works on one.
    const bool split = p->batch <= 512 && p->dim * (int)sizeof(T) % (64 * WARPS) == 0;
    const int64_t blocks = split ? p->batch : (p->batch + WARPS - 1) / WARPS;
    const dim3 grid((unsigned)(blocks < 1 << 20 ? blocks : 1 << 20));
    if (split) return norn_launch(dot_cores<T, OUT, true>, grid, WARPS * 32, 0, stream, 1, *p);
    return norn_launch(dot_cores<T, OUT, false>, grid, WARPS * 32, 0, stream, 1, *p);
}

/// A launcher for each pair of types.
#define NORN_BY_TYPE(launch, p, stream)                                                     \
    const bool same = p->to == p->elem;                                                     \
    if (p->elem == NORN_CUDA_ELEM_F16)                                                      \
        return same ? launch<__half, __half>(p, stream) : launch<__half, float>(p, stream); \
    if (p->elem == NORN_CUDA_ELEM_BF16)                                                     \
        return same ? launch<__nv_bfloat16, __nv_bfloat16>(p, stream)                       \
                    : launch<__nv_bfloat16, float>(p, stream);                              \
    return launch<float, float>(p, stream)

extern "C" cudaError_t norn_cuda_dot_cores_launch(const args *p, cudaStream_t stream) {
    NORN_BY_TYPE(cores_launch, p, stream);
}

// ---- exact
enum { EXACT_THREADS = 128 };

/// Of one tile, the sums of this thread's share of k: every fourth run of `STEP`.
template <class V>
static __device__ __forceinline__ void tile_sums(const float *xi, const float *xj, int pitch,
                                                 int dim, int share, float (&sum)[4][4]) {
    enum { STEP = sizeof(V) / sizeof(float) };
    for (int k = share * STEP; k < dim; k += 4 * STEP) {
        V a[4], b[4];
#pragma unroll
        for (int r = 0; r < 4; r++)
            a[r] = *(const V *)(xi + r * pitch + k), b[r] = *(const V *)(xj + r * pitch + k);
#pragma unroll
        for (int e = 0; e < STEP; e++)
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 4; c++)
                    sum[r][c] =
                        fmaf(((const float *)&a[r])[e], ((const float *)&b[c])[e], sum[r][c]);
    }
}

/// A block a sample: X in shared memory; four threads compute a tile of 4 x 4
/// pairs at or below the diagonal.
template <typename T, typename OUT>
static __global__ void __launch_bounds__(EXACT_THREADS) dot_exact(const __grid_constant__ args p) {
    extern __shared__ float4 shared[];
    const int tiles = (p.features + 3) / 4, pitch = p.dim + 4;
    // gram: packed triangle with diagonal.
    float *x = (float *)shared, *gram = x + tiles * 4 * pitch;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t sample = blockIdx.x; sample < p.batch; sample += gridDim.x) {
        if (sizeof(T) == 4 && p.aligned) {
            const int quads = p.dim / 4;
            for (int i = threadIdx.x; i < p.features * quads; i += EXACT_THREADS) {
                const int f = i / quads, q = i % quads;
                *(float4 *)(x + f * pitch + q * 4) =
                    *(const float4 *)((const T *)p.feature[f] + sample * p.stride[f] + q * 4);
            }
        } else {
            for (int i = threadIdx.x; i < p.features * p.dim; i += EXACT_THREADS) {
                const int f = i / p.dim, k = i % p.dim;
                x[f * pitch + k] = norn_to_f32(((const T *)p.feature[f])[sample * p.stride[f] + k]);
            }
        }
        __syncthreads();
        const int count = tiles * (tiles + 1) / 2, share = threadIdx.x % 4;
        for (int base = 0; base < count;
             base += EXACT_THREADS / 4) { // whole warps: the shuffles need all lanes
            const int tile = min(base + (int)threadIdx.x / 4, count - 1);
            int ti = 0;
            while ((ti + 1) * (ti + 2) / 2 <= tile) ti++;
            const int tj = tile - ti * (ti + 1) / 2;
            float sum[4][4] = {};
            // Rows beyond the last feature hold anything; their sums are not kept.
            const float *xi = x + ti * 4 * pitch, *xj = x + tj * 4 * pitch;
            if (p.dim % 4 == 0)
                tile_sums<float4>(xi, xj, pitch, p.dim, share, sum);
            else
                tile_sums<float>(xi, xj, pitch, p.dim, share, sum);
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    sum[r][c] += __shfl_xor_sync(0xffffffffu, sum[r][c], 1);
                    sum[r][c] += __shfl_xor_sync(0xffffffffu, sum[r][c], 2);
                }
            if (share != 0) continue;
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    const int i = ti * 4 + r, j = tj * 4 + c;
                    if (i < p.features && j <= i) gram[i * (i + 1) / 2 + j] = sum[r][c];
                }
        }
        __syncthreads();
        OUT *out = (OUT *)p.out + sample * p.out_stride;
        const T *pass = (const T *)p.pass + sample * p.pass_stride;
        for (int i = threadIdx.x; i < p.pass_count; i += EXACT_THREADS)
            out[i] = norn_from_f32<OUT>(norn_to_f32(pass[i]));
        for (int i = threadIdx.x; i < p.pair_count; i += EXACT_THREADS) {
            const int a = p.pairs[i] >> 8, b = p.pairs[i] & 255;
            out[p.pass_count + i] = norn_from_f32<OUT>(gram[a * (a + 1) / 2 + b]);
        }
        for (int i = threadIdx.x; i < p.pad; i += EXACT_THREADS)
            out[p.pass_count + p.pair_count + i] = norn_from_f32<OUT>(0.0f);
        __syncthreads();
    }
}

template <typename T, typename OUT>
static cudaError_t exact_launch(const args *p, cudaStream_t stream) {
    const size_t bytes = (size_t)norn_cuda_dot_exact_bytes(p->features, p->dim);
    if (bytes > 48 << 10) {
        const cudaError_t error = cudaFuncSetAttribute(
            dot_exact<T, OUT>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
        if (error != cudaSuccess) return error;
    }
    const int64_t blocks = p->batch < 1 << 20 ? p->batch : 1 << 20;
    return norn_launch(dot_exact<T, OUT>, dim3((unsigned)blocks), EXACT_THREADS, bytes, stream, 1,
                       *p);
}

extern "C" cudaError_t norn_cuda_dot_exact_launch(const args *p, cudaStream_t stream) {
    NORN_BY_TYPE(exact_launch, p, stream);
}

// ---- FM
template <typename T, typename OUT>
static __global__ void __launch_bounds__(256) fm(const __grid_constant__ args p) {
    const int64_t total = p.batch * p.dim;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * 256) {
        const int64_t sample = i / p.dim;
        const int k = (int)(i % p.dim);
        float sum = 0, squares = 0;
        for (int f = 0; f < p.features; f++) {
            const float x = norn_to_f32(((const T *)p.feature[f])[sample * p.stride[f] + k]);
            sum += x;
            squares = fmaf(x, x, squares);
        }
        ((OUT *)p.out)[sample * p.out_stride + k] =
            norn_from_f32<OUT>(0.5f * (sum * sum - squares));
    }
}

template <typename T, typename OUT>
static cudaError_t fm_launch(const args *p, cudaStream_t stream) {
    const int64_t blocks = (p->batch * p->dim + 255) / 256;
    return norn_launch(fm<T, OUT>, dim3((unsigned)(blocks < 1 << 20 ? blocks : 1 << 20)), 256, 0,
                       stream, 1, *p);
}

extern "C" cudaError_t norn_cuda_fm_launch(const args *p, cudaStream_t stream) {
    NORN_BY_TYPE(fm_launch, p, stream);
}
