/// Products that are thin in one direction, exact fp32 or of halves.
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/elem.cuh"
#include "cuda/kernels/gemm_kernels.h"

// ---- packing, of elements of four bytes or two
template <typename T>
static __global__ void pack(const T *b, int transposed, int n, int k, int packed_k, T *packed) {
    const int64_t total = (int64_t)n * packed_k;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < total;
         i += (int64_t)gridDim.x * blockDim.x) {
        const int row = (int)(i / packed_k), col = (int)(i % packed_k);
        packed[i] = col >= k     ? T(0)
                    : transposed ? b[(int64_t)row * k + col]
                                 : b[(int64_t)col * n + row];
    }
}

extern "C" cudaError_t norn_cuda_gemm_pack_launch(const void *b, int32_t elem_bytes,
                                                  int32_t transposed, int32_t n, int32_t k,
                                                  int32_t packed_k, void *packed,
                                                  cudaStream_t stream) {
    const int64_t total = (int64_t)n * packed_k;
    const int blocks = (int)(total / 256 + 1 < 2048 ? total / 256 + 1 : 2048);
    if (elem_bytes == 2)
        pack<<<blocks, 256, 0, stream>>>((const uint16_t *)b, transposed, n, k, packed_k,
                                         (uint16_t *)packed);
    else
        pack<<<blocks, 256, 0, stream>>>((const float *)b, transposed, n, k, packed_k,
                                         (float *)packed);
    return cudaGetLastError();
}

/// A thread writes sixteen bytes.
template <typename T>
static __global__ void __launch_bounds__(256)
    pad(const T *a, int64_t lda, int64_t m, int k, int packed_k, uint4 *padded) {
    constexpr int WIDE = 16 / sizeof(T);
    const int pieces = packed_k / WIDE;
    norn_let_next_start();
    norn_wait_before();
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < m * pieces;
         i += (int64_t)gridDim.x * 256) {
        const int at = (int)(i % pieces) * WIDE;
        const T *row = a + i / pieces * lda;
        union {
            T elems[WIDE];
            uint4 all;
        } v;
        v.all = uint4{0, 0, 0, 0};
#pragma unroll
        for (int j = 0; j < WIDE; j++)
            if (at + j < k) v.elems[j] = row[at + j];
        padded[i] = v.all;
    }
}

extern "C" cudaError_t norn_cuda_gemm_pad_launch(const void *a, int32_t elem_bytes, int64_t lda,
                                                 int64_t m, int32_t k, int32_t packed_k,
                                                 void *padded, cudaStream_t stream) {
    const int64_t blocks = (m * (packed_k * elem_bytes / 16) + 255) / 256;
    const dim3 grid((unsigned)(blocks < 8192 ? blocks : 8192));
    if (elem_bytes == 2)
        return norn_launch(pad<uint16_t>, grid, 256, 0, stream, 1, (const uint16_t *)a, lda, m, k,
                           packed_k, (uint4 *)padded);
    return norn_launch(pad<float>, grid, 256, 0, stream, 1, (const float *)a, lda, m, k, packed_k,
                       (uint4 *)padded);
}

// ---- a warp a column
enum { RUN = 4 }; // loads in flight a lane

template <typename T>
static __device__ __forceinline__ void load_weights(const T *b, int at, int k, float4 (&w)[RUN]) {
    constexpr int STEP = 32 * norn_pack<T>::COUNT;
#pragma unroll
    for (int i = 0; i < RUN; i++)
        w[i] = at + i * STEP < k ? *(const float4 *)(b + at + i * STEP) : float4{0, 0, 0, 0};
}

template <typename T>
static __device__ __forceinline__ float4 load_row(const T *row, int at, int k, bool aligned) {
    if (aligned && at + norn_pack<T>::COUNT <= k) return *(const float4 *)(row + at);
    return norn_load_part(row + at, k - at);
}

template <typename T> static __device__ __forceinline__ float product_of(float4 x, float4 w) {
    const norn_pack<T> a(x), b(w);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < norn_pack<T>::COUNT; i += 4)
        sum += (norn_to_f32(a.at[i]) * norn_to_f32(b.at[i]) +
                norn_to_f32(a.at[i + 1]) * norn_to_f32(b.at[i + 1])) +
               (norn_to_f32(a.at[i + 2]) * norn_to_f32(b.at[i + 2]) +
                norn_to_f32(a.at[i + 3]) * norn_to_f32(b.at[i + 3]));
    return sum;
}

/// Lanes split k; ROWS sums at once share the loads of b.
template <typename T, typename OUT, int ROWS>
static __global__ void __launch_bounds__(256) dot(const __grid_constant__ norn_cuda_gemm_args p) {
    constexpr int COUNT = norn_pack<T>::COUNT, STEP = 32 * COUNT;
    const int lane = threadIdx.x % 32;
    // One column: warps go over rows. Many: warps go over columns, blocks over rows.
    const int64_t warp = (int64_t)blockIdx.x * 8 + threadIdx.x / 32;
    const int column = p.n == 1 ? 0 : (int)warp;
    const int64_t first = (p.n == 1 ? warp : (int64_t)blockIdx.y) * ROWS;
    norn_let_next_start();
    if (column >= p.n || first >= p.m) return;
    const T *b = (const T *)p.b + (int64_t)column * p.packed_k;
    const T *a = (const T *)p.a + first * p.lda;
    const bool aligned = ((uintptr_t)p.a & 15) == 0 && p.lda % COUNT == 0;
    float sum[ROWS] = {};
    // The first weights do not wait for the kernel before.
    float4 w[RUN], coming[RUN];
    load_weights(b, lane * COUNT, p.packed_k, w);
    norn_wait_before();
    for (int at = lane * COUNT; at < p.packed_k; at += STEP * RUN) {
        load_weights(b, at + STEP * RUN, p.packed_k, coming);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (first + r >= p.m) break;
            float4 x[RUN];
#pragma unroll
            for (int i = 0; i < RUN; i++)
                x[i] = load_row(a + r * p.lda, at + i * STEP, p.k, aligned);
#pragma unroll
            for (int i = 0; i < RUN; i++) sum[r] += product_of<T>(x[i], w[i]);
        }
#pragma unroll
        for (int i = 0; i < RUN; i++) w[i] = coming[i];
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int s = 16; s; s >>= 1) sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], s);
    float mine = sum[0];
#pragma unroll
    for (int r = 1; r < ROWS; r++)
        if (lane == r) mine = sum[r];
    if (lane >= ROWS || first + lane >= p.m) return;
    mine += (p.bias ? norn_to_f32(((const OUT *)p.bias)[column]) : 0.0f) + p.bias_value;
    mine = norn_activate(mine, p.activation);
    if (p.times) {
        const int64_t at = (first + lane) * p.n + column;
        mine = mine * norn_to_f32(((const T *)p.times)[at]) + norn_to_f32(((const T *)p.plus)[at]);
    }
    ((OUT *)p.d)[(first + lane) * p.ldd + column] = norn_from_f32<OUT>(mine);
}

template <typename T, typename OUT>
static cudaError_t dot_launch(const norn_cuda_gemm_args *p, cudaStream_t stream) {
    const bool few = p->m == 1;
    const int rows = few ? 1 : p->m <= 4 ? 4 : 8;
    const unsigned groups = (unsigned)((p->m + rows - 1) / rows);
    const dim3 grid = p->n == 1 ? dim3((groups + 7) / 8) : dim3((unsigned)(p->n + 7) / 8, groups);
    if (grid.y > 65535) return cudaErrorInvalidConfiguration;
    if (rows == 1) return norn_launch(dot<T, OUT, 1>, grid, 256, 0, stream, 1, *p);
    if (rows == 4) return norn_launch(dot<T, OUT, 4>, grid, 256, 0, stream, 1, *p);
    return norn_launch(dot<T, OUT, 8>, grid, 256, 0, stream, 1, *p);
}

extern "C" cudaError_t norn_cuda_gemm_dot_launch(const norn_cuda_gemm_args *p,
                                                 cudaStream_t stream) {
    const bool same = p->out == p->elem;
    if (p->elem == NORN_CUDA_ELEM_F16)
        return same ? dot_launch<__half, __half>(p, stream) : dot_launch<__half, float>(p, stream);
    if (p->elem == NORN_CUDA_ELEM_BF16)
        return same ? dot_launch<__nv_bfloat16, __nv_bfloat16>(p, stream)
                    : dot_launch<__nv_bfloat16, float>(p, stream);
    if (p->out == NORN_CUDA_ELEM_F16) return dot_launch<float, __half>(p, stream);
    if (p->out == NORN_CUDA_ELEM_BF16) return dot_launch<float, __nv_bfloat16>(p, stream);
    return dot_launch<float, float>(p, stream);
}

// ---- short sums
enum { THIN_ROWS = 16 };

/// A thread keeps four columns of b in registers and walks over THIN_ROWS rows of a.
template <int K, typename OUT>
static __global__ void __launch_bounds__(128)
    thin_k(const __grid_constant__ norn_cuda_gemm_args p) {
    __shared__ float rows[THIN_ROWS][K];
    const int column = (blockIdx.y * 128 + threadIdx.x) * 4;
    const int first = blockIdx.x * THIN_ROWS;
    const bool inside = column < p.n;
    float w[K][4], bias[4] = {};
    norn_let_next_start();
    if (inside) {
#pragma unroll
        for (int c = 0; c < 4; c++) {
#pragma unroll
            for (int k = 0; k < K; k += 4) {
                const float4 v =
                    *(const float4 *)((const float *)p.b + (int64_t)(column + c) * p.packed_k + k);
                w[k][c] = v.x, w[k + 1][c] = v.y, w[k + 2][c] = v.z, w[k + 3][c] = v.w;
            }
            bias[c] =
                (p.bias ? norn_to_f32(((const OUT *)p.bias)[column + c]) : 0.0f) + p.bias_value;
        }
    }
    norn_wait_before();
    for (int i = threadIdx.x; i < THIN_ROWS * K; i += 128) {
        const int r = i / K, k = i % K;
        rows[r][k] = first + r < p.m && k < p.k
                         ? ((const float *)p.a)[(int64_t)(first + r) * p.lda + k]
                         : 0.0f;
    }
    __syncthreads();
    if (!inside) return;
    for (int r = 0; r < THIN_ROWS && first + r < p.m; r++) {
        float4 sum = {bias[0], bias[1], bias[2], bias[3]};
#pragma unroll
        for (int k = 0; k < K; k++) {
            const float x = rows[r][k];
            sum.x += x * w[k][0], sum.y += x * w[k][1], sum.z += x * w[k][2], sum.w += x * w[k][3];
        }
        const float y[4] = {norn_activate(sum.x, p.activation), norn_activate(sum.y, p.activation),
                            norn_activate(sum.z, p.activation), norn_activate(sum.w, p.activation)};
        norn_store_four((OUT *)p.d + (int64_t)(first + r) * p.ldd + column, y, true, 4);
    }
}

template <typename OUT>
static cudaError_t thin_k_launch(const norn_cuda_gemm_args *p, cudaStream_t stream) {
    const dim3 grid((unsigned)(p->m + THIN_ROWS - 1) / THIN_ROWS, (unsigned)(p->n + 511) / 512);
    if (p->packed_k == 16) return norn_launch(thin_k<16, OUT>, grid, 128, 0, stream, 1, *p);
    return norn_launch(thin_k<32, OUT>, grid, 128, 0, stream, 1, *p);
}

extern "C" cudaError_t norn_cuda_gemm_thin_k_launch(const norn_cuda_gemm_args *p,
                                                    cudaStream_t stream) {
    if (p->out == NORN_CUDA_ELEM_F16) return thin_k_launch<__half>(p, stream);
    if (p->out == NORN_CUDA_ELEM_BF16) return thin_k_launch<__nv_bfloat16>(p, stream);
    return thin_k_launch<float>(p, stream);
}
