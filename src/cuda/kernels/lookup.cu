/// All embedding lookups of a region in one launch: a block serves one
/// column, a group of lanes one row.
#include "cuda/kernels/bucket.h"
#include "cuda/kernels/dependent.cuh"
#include "cuda/kernels/elem.cuh"
#include "cuda/kernels/lookup_kernel.h"

#include <math_constants.h>

enum { THREADS = 256, RUN = 4 }; // rows in flight a group of lanes

typedef norn_cuda_lookup_column column;
typedef norn_cuda_table table;

/// Views are written before the kernels of a run begin, so a table's is read without
/// waiting for the kernel before this one.
static __device__ __forceinline__ table table_of(const column &c) {
    table t = c.table ? *c.table : c.own;
    if (t.kind != NORN_CUDA_TABLE_CACHE) t.buckets = nullptr; // says it from here on: one register
    return t;
}

// ---- elements
/// What 16 bytes (or one element) of a row are as floats; `scale` is that of int8 rows.
template <int ROW, bool WIDE> struct piece;
template <> struct piece<NORN_CUDA_ROW_F32, true> {
    enum { COUNT = 4 };
    typedef float4 raw;
    static __device__ __forceinline__ void open(raw v, float, float (&x)[4]) {
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    }
};
template <> struct piece<NORN_CUDA_ROW_F16, true> {
    enum { COUNT = 8 };
    typedef uint4 raw;
    static __device__ __forceinline__ void open(raw v, float, float (&x)[8]) {
        const __half2 *h = (const __half2 *)&v;
#pragma unroll
        for (int i = 0; i < 4; i++) x[2 * i] = __low2float(h[i]), x[2 * i + 1] = __high2float(h[i]);
    }
};
template <> struct piece<NORN_CUDA_ROW_BF16, true> {
    enum { COUNT = 8 };
    typedef uint4 raw;
    static __device__ __forceinline__ void open(raw v, float, float (&x)[8]) {
        const unsigned u[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[2 * i] = __uint_as_float(u[i] << 16),
                  x[2 * i + 1] = __uint_as_float(u[i] & 0xffff0000u);
    }
};
template <> struct piece<NORN_CUDA_ROW_I8, true> {
    enum { COUNT = 16 };
    typedef uint4 raw;
    static __device__ __forceinline__ void open(raw v, float scale, float (&x)[16]) {
        const signed char *c = (const signed char *)&v;
#pragma unroll
        for (int i = 0; i < 16; i++) x[i] = (float)c[i] * scale;
    }
};
template <> struct piece<NORN_CUDA_ROW_F32, false> {
    enum { COUNT = 1 };
    typedef float raw;
    static __device__ __forceinline__ void open(raw v, float, float (&x)[1]) { x[0] = v; }
};
template <> struct piece<NORN_CUDA_ROW_F16, false> {
    enum { COUNT = 1 };
    typedef __half raw;
    static __device__ __forceinline__ void open(raw v, float, float (&x)[1]) {
        x[0] = __half2float(v);
    }
};
template <> struct piece<NORN_CUDA_ROW_BF16, false> {
    enum { COUNT = 1 };
    typedef __nv_bfloat16 raw;
    static __device__ __forceinline__ void open(raw v, float, float (&x)[1]) {
        x[0] = __bfloat162float(v);
    }
};
template <> struct piece<NORN_CUDA_ROW_I8, false> {
    enum { COUNT = 1 };
    typedef signed char raw;
    static __device__ __forceinline__ void open(raw v, float scale, float (&x)[1]) {
        x[0] = (float)v * scale;
    }
};

/// An int8 row is followed by its scale, at the next multiple of four bytes.
template <int ROW>
static __device__ __forceinline__ float scale_of(const column &c, const char *row) {
    if (ROW != NORN_CUDA_ROW_I8 || !row) return 1.0f;
    return *(const float *)(row + (c.dim + 3) / 4 * 4);
}

/// `COUNT` elements of an output, at once; a row is not wide where that would not be aligned.
template <int COUNT>
static __device__ __forceinline__ void put_f32(char *to, const float (&x)[COUNT]) {
    float *out = (float *)to;
    if (COUNT == 1) {
        out[0] = x[0];
    } else {
#pragma unroll
        for (int i = 0; i < COUNT / 4; i++)
            ((float4 *)out)[i] = {x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]};
    }
}

template <class T, int COUNT>
static __device__ __forceinline__ void put_half(char *to, const float (&x)[COUNT]) {
    if (COUNT == 1) {
        *(T *)to = norn_from_f32<T>(x[0]);
        return;
    }
    constexpr int PAIRS = COUNT > 1 ? COUNT / 2 : 1;
    union {
        T at[2 * PAIRS];
        uint32_t word[PAIRS];
    } v;
#pragma unroll
    for (int i = 0; i < 2 * PAIRS && i < COUNT; i++) v.at[i] = norn_from_f32<T>(x[i]);
    if constexpr (COUNT == 4) {
        *(uint2 *)to = {v.word[0], v.word[1]};
    } else if constexpr (COUNT > 4) {
#pragma unroll
        for (int i = 0; i < COUNT / 8; i++)
            ((uint4 *)to)[i] = {v.word[4 * i], v.word[4 * i + 1], v.word[4 * i + 2],
                                v.word[4 * i + 3]};
    }
}

/// TO -1: as the column says.
template <int TO, int COUNT>
static __device__ __forceinline__ void put(const column &c, char *to, const float (&x)[COUNT]) {
    const int kind = TO < 0 ? c.to : TO;
    if (kind == NORN_CUDA_OUT_F16)
        put_half<__half>(to, x);
    else if (kind == NORN_CUDA_OUT_BF16)
        put_half<__nv_bfloat16>(to, x);
    else
        put_f32(to, x);
}

/// Elements of the output in bytes.
template <int TO>
static __device__ __forceinline__ int64_t out_bytes(const column &c, int64_t elems) {
    return elems << ((TO < 0 ? c.to : TO) == NORN_CUDA_OUT_F32 ? 2 : 1);
}

// ---- keys
static __device__ __forceinline__ int64_t integer_at(const void *data, bool narrow, int64_t index) {
    return narrow ? (int64_t)((const int *)data)[index] : ((const int64_t *)data)[index];
}

static __device__ __forceinline__ int slot_in(const int64_t *bucket, int64_t key) {
    int slot = -1;
#pragma unroll
    for (int i = 0; i < NORN_CUDA_BUCKET_SLOTS; i += 2) {
        const longlong2 pair = *(const longlong2 *)(bucket + i);
        if (pair.x == key) slot = i;
        if (pair.y == key) slot = i + 1;
    }
    return slot;
}

// What is not inlined takes values, or reads the table again: a reference
// would put it into local memory.
static __device__ __noinline__ const char *probe(const int64_t *buckets, uint64_t mask,
                                                 const char *rows, int64_t row_bytes, int64_t key) {
    if (key == NORN_CUDA_BUCKET_EMPTY) return nullptr;
    const uint64_t hash = norn_cuda_bucket_hash(key);
    for (int choice = 0; choice < 2; choice++) {
        const uint64_t bucket =
            choice ? norn_cuda_bucket_second(hash, mask) : norn_cuda_bucket_first(hash, mask);
        const int slot = slot_in(buckets + bucket * NORN_CUDA_BUCKET_SLOTS, key);
        if (slot >= 0) return rows + (int64_t)(bucket * NORN_CUDA_BUCKET_SLOTS + slot) * row_bytes;
    }
    return nullptr;
}

static __device__ __noinline__ const char *absent(const norn_cuda_lookup_args &p, const column &c,
                                                  int64_t key, bool leader) {
    const table t = table_of(c);
    const bool error = t.missing == NORN_CUDA_MISSING_ERROR;
    if (leader && error)
        norn_cuda_raise(p.fault, p.site, p.first + blockIdx.y, key, t.buckets ? -1 : t.row_count);
    if (leader && t.missing_count) atomicAdd(t.missing_count, 1ull);
    return error ? nullptr : t.default_row;
}

/// The row of the key at `position`; nullptr: zeros.
static __device__ __forceinline__ const char *row_at(const norn_cuda_lookup_args &p,
                                                     const column &c, const table &t,
                                                     int64_t position, bool leader) {
    const int64_t given = integer_at(c.keys, c.keys_32, position);
    int64_t key = given + c.key_offset;
    if (c.wraps && key < 0) key += t.row_count;
    if (t.buckets) {
        const char *row = probe(t.buckets, t.bucket_mask, t.rows, t.row_bytes, key);
        return row ? row : absent(p, c, given, leader);
    }
    if ((uint64_t)key < (uint64_t)t.row_count) return t.rows + key * t.row_bytes;
    return absent(p, c, given, leader);
}

template <int ROW, bool WIDE>
static __device__ __forceinline__ void read_piece(const char *row, float scale, int at,
                                                  float (&x)[piece<ROW, WIDE>::COUNT]) {
    typedef piece<ROW, WIDE> P;
    typename P::raw raw = {};
    if (row) raw = ((const typename P::raw *)row)[at];
    P::open(raw, scale, x);
}

// ---- a column
/// Rows as they are, one or several a batch row.
template <int ROW, bool WIDE, int TO>
static __device__ __forceinline__ void copy_rows(const norn_cuda_lookup_args &p, const column &c,
                                                 const table &t) {
    enum { COUNT = piece<ROW, WIDE>::COUNT };
    const int lanes = 1 << c.lane_bits, lane = threadIdx.x & (lanes - 1),
              groups = THREADS >> c.lane_bits;
    const int group = threadIdx.x >> c.lane_bits, pieces = c.dim / COUNT;
    const int64_t total = p.batch * c.keys_count, tile = (int64_t)groups * RUN;
    for (int64_t base = blockIdx.x * tile; base < total; base += gridDim.x * tile) {
        const char *row[RUN];
        char *out[RUN];
        float scale[RUN];
#pragma unroll
        for (int i = 0; i < RUN; i++) {
            const int64_t item = base + i * groups + group;
            out[i] = nullptr, row[i] = nullptr, scale[i] = 1.0f;
            if (item >= total) continue;
            const int64_t b = c.keys_count == 1 ? item : item / c.keys_count,
                          j = c.keys_count == 1 ? 0 : item % c.keys_count;
            row[i] = row_at(p, c, t, b * c.keys_stride + c.keys_first + j, lane == 0);
            out[i] = c.out + out_bytes<TO>(c, b * c.out_stride + j * c.dim);
        }
#pragma unroll
        for (int i = 0; i < RUN; i++) scale[i] = scale_of<ROW>(c, row[i]);
        for (int at = lane; at < pieces; at += lanes) {
            float x[RUN][COUNT];
#pragma unroll
            for (int i = 0; i < RUN; i++) read_piece<ROW, WIDE>(row[i], scale[i], at, x[i]);
#pragma unroll
            for (int i = 0; i < RUN; i++)
                if (out[i]) put<TO>(c, out[i] + out_bytes<TO>(c, at * COUNT), x[i]);
        }
    }
}

template <int ROW, bool WIDE>
static __device__ __forceinline__ void pool_bag(const norn_cuda_lookup_args &p, const column &c,
                                                const table &t, int64_t from, int64_t to, char *out,
                                                int lane, int lanes) {
    enum { COUNT = piece<ROW, WIDE>::COUNT };
    const bool max = c.pool == NORN_CUDA_POOL_MAX;
    const float shrink =
        c.pool == NORN_CUDA_POOL_MEAN && to > from ? 1.0f / (float)(to - from) : 1.0f;
    for (int at = lane; at < c.dim / COUNT; at += lanes) {
        float sum[COUNT];
#pragma unroll
        for (int e = 0; e < COUNT; e++) sum[e] = max && to > from ? -CUDART_INF_F : 0.0f;
        for (int64_t key = from; key < to; key += RUN) {
            const char *row[RUN];
            float x[RUN][COUNT], weight[RUN];
#pragma unroll
            for (int i = 0; i < RUN; i++)
                row[i] = key + i < to ? row_at(p, c, t, key + i, at == 0) : nullptr;
#pragma unroll
            for (int i = 0; i < RUN; i++)
                read_piece<ROW, WIDE>(row[i], scale_of<ROW>(c, row[i]), at, x[i]);
#pragma unroll
            for (int i = 0; i < RUN; i++)
                weight[i] = c.weights && key + i < to ? c.weights[key + i] : 1.0f;
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                if (key + i >= to) break;
#pragma unroll
                for (int e = 0; e < COUNT; e++)
                    sum[e] =
                        max ? fmaxf(sum[e], x[i][e] * weight[i]) : fmaf(x[i][e], weight[i], sum[e]);
            }
        }
#pragma unroll
        for (int e = 0; e < COUNT; e++) sum[e] *= shrink;
        put<-1>(c, out + out_bytes<-1>(c, at * COUNT), sum);
    }
}

template <int ROW, bool WIDE>
static __device__ __forceinline__ void pool_rows(const norn_cuda_lookup_args &p, const column &c,
                                                 const table &t) {
    const int lanes = 1 << c.lane_bits, lane = threadIdx.x & (lanes - 1),
              groups = THREADS >> c.lane_bits;
    const int group = threadIdx.x >> c.lane_bits;
    for (int64_t b = (int64_t)blockIdx.x * groups + group; b < p.batch;
         b += (int64_t)gridDim.x * groups) {
        int64_t from = b * c.keys_stride + c.keys_first, to = from + c.keys_count;
        if (c.offsets) {
            from = integer_at(c.offsets, c.offsets_32, b);
            to = integer_at(c.offsets, c.offsets_32, b + 1);
            if (from < 0 || to > c.keys_total || from > to) { // never outside the keys
                if (lane == 0)
                    norn_cuda_raise(p.fault, p.site, p.first + blockIdx.y,
                                    from < 0 || from > to ? from : to, c.keys_total);
                from = to = 0;
            }
        }
        pool_bag<ROW, WIDE>(p, c, t, from, to, c.out + out_bytes<-1>(c, b * c.out_stride), lane,
                            lanes);
    }
}

template <int ROW, bool WIDE>
static __device__ __forceinline__ void serve(const norn_cuda_lookup_args &p, const column &c,
                                             const table &t) {
    if (c.pool == NORN_CUDA_POOL_NONE)
        copy_rows<ROW, WIDE, -1>(p, c, t);
    else
        pool_rows<ROW, WIDE>(p, c, t);
}

/// Columns of plain float rows into outputs of one type, the common case, have a kernel of their
/// own: it needs fewer registers.
template <int TO>
static __global__ void __launch_bounds__(THREADS)
    lookup_plain(const __grid_constant__ norn_cuda_lookup_args p) {
    const column &c = p.columns[blockIdx.y];
    norn_let_next_start();
    const table t = table_of(c);
    norn_wait_before();
    copy_rows<NORN_CUDA_ROW_F32, true, TO>(p, c, t);
}

static __global__ void __launch_bounds__(THREADS)
    lookup_any(const __grid_constant__ norn_cuda_lookup_args p) {
    const column &c = p.columns[blockIdx.y];
    norn_let_next_start();
    const table t = table_of(c);
    norn_wait_before();
    if (c.row == NORN_CUDA_ROW_F32)
        c.wide ? serve<NORN_CUDA_ROW_F32, true>(p, c, t) : serve<NORN_CUDA_ROW_F32, false>(p, c, t);
    else if (c.row == NORN_CUDA_ROW_F16)
        c.wide ? serve<NORN_CUDA_ROW_F16, true>(p, c, t) : serve<NORN_CUDA_ROW_F16, false>(p, c, t);
    else if (c.row == NORN_CUDA_ROW_BF16)
        c.wide ? serve<NORN_CUDA_ROW_BF16, true>(p, c, t)
               : serve<NORN_CUDA_ROW_BF16, false>(p, c, t);
    else
        c.wide ? serve<NORN_CUDA_ROW_I8, true>(p, c, t) : serve<NORN_CUDA_ROW_I8, false>(p, c, t);
}

extern "C" cudaError_t norn_cuda_lookup_launch(const norn_cuda_lookup_args *p,
                                               cudaStream_t stream) {
    int64_t blocks = 1;
    bool plain = true;
    for (int i = 0; i < p->count; i++) {
        const column &c = p->columns[i];
        const bool copies = c.pool == NORN_CUDA_POOL_NONE;
        const int64_t items = copies ? p->batch * c.keys_count : p->batch;
        const int64_t tile = (int64_t)(THREADS >> c.lane_bits) * (copies ? RUN : 1);
        const int64_t need = (items + tile - 1) / tile;
        if (need > blocks) blocks = need;
        plain &= copies && c.row == NORN_CUDA_ROW_F32 && c.wide && c.to == p->columns[0].to;
    }
    if (blocks > 1 << 20) blocks = 1 << 20;
    const dim3 grid((unsigned)blocks, (unsigned)p->count);
    if (plain && p->columns[0].to == NORN_CUDA_OUT_F16)
        return norn_launch(lookup_plain<NORN_CUDA_OUT_F16>, grid, THREADS, 0, stream, 1, *p);
    if (plain && p->columns[0].to == NORN_CUDA_OUT_BF16)
        return norn_launch(lookup_plain<NORN_CUDA_OUT_BF16>, grid, THREADS, 0, stream, 1, *p);
    if (plain) return norn_launch(lookup_plain<NORN_CUDA_OUT_F32>, grid, THREADS, 0, stream, 1, *p);
    return norn_launch(lookup_any, grid, THREADS, 0, stream, 1, *p);
}
