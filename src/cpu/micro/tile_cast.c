// Conversions between dtypes over a tile. Floating to integer goes towards zero and ends
// at the ends of the type, NaN gives 0: ONNX leaves it open, C makes it undefined,
// and of what processors do this is what Arm and GPUs do, so every device and every
// loop here agrees. Integers keep the low bits.
#include "cpu/micro/tile_op.h"

#include "tensor/dtype.h"

/// `least` and `beyond` are powers of two or 0, so exact in every type S.
#define SATURATE(S, T, least, beyond, lowest, highest, a) \
    ((a) >= (S)(beyond) ? (highest) : (a) <= (S)(least) ? (lowest) : (a) != (a) ? 0 : (T)(a))
#define FROM_F_i8(S, a) SATURATE(S, int8_t, -0x1p7, 0x1p7, INT8_MIN, INT8_MAX, a)
#define FROM_F_i16(S, a) SATURATE(S, int16_t, -0x1p15, 0x1p15, INT16_MIN, INT16_MAX, a)
#define FROM_F_i32(S, a) SATURATE(S, int32_t, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX, a)
#define FROM_F_i64(S, a) SATURATE(S, int64_t, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX, a)
#define FROM_F_u8(S, a) SATURATE(S, uint8_t, 0, 0x1p8, 0, UINT8_MAX, a)
#define FROM_F_u16(S, a) SATURATE(S, uint16_t, 0, 0x1p16, 0, UINT16_MAX, a)
#define FROM_F_u32(S, a) SATURATE(S, uint32_t, 0, 0x1p32, 0, UINT32_MAX, a)
#define FROM_F_u64(S, a) SATURATE(S, uint64_t, 0, 0x1p64, 0, UINT64_MAX, a)

#define CAST(from, S, to, D, expression)                                            \
    static void from##_to_##to(void *out, const norn_tile_operand *in, int64_t n) { \
        D *y = out;                                                                 \
        const S *pa = in[0].data;                                                   \
        const int64_t sa = in[0].step;                                              \
        for (int64_t i = 0; i < n; i++) {                                           \
            const S a = pa[i * sa];                                                 \
            y[i] = expression;                                                      \
        }                                                                           \
    }

/// From one type to all native ones; `I` is FROM_F_… or a plain cast.
#define CAST_INTEGER(s, S)                 \
    CAST(s, S, i8, int8_t, (int8_t)a)      \
    CAST(s, S, i16, int16_t, (int16_t)a)   \
    CAST(s, S, i32, int32_t, (int32_t)a)   \
    CAST(s, S, i64, int64_t, (int64_t)a)   \
    CAST(s, S, u8, uint8_t, (uint8_t)a)    \
    CAST(s, S, u16, uint16_t, (uint16_t)a) \
    CAST(s, S, u32, uint32_t, (uint32_t)a) \
    CAST(s, S, u64, uint64_t, (uint64_t)a) \
    CAST(s, S, bool, uint8_t, a != 0)      \
    CAST(s, S, f32, float, (float)a)       \
    CAST(s, S, f64, double, (double)a)
#define CAST_FLOATING(s, S)                               \
    CAST(s, S, i8, int8_t, (int8_t)FROM_F_i8(S, a))       \
    CAST(s, S, i16, int16_t, (int16_t)FROM_F_i16(S, a))   \
    CAST(s, S, i32, int32_t, (int32_t)FROM_F_i32(S, a))   \
    CAST(s, S, i64, int64_t, (int64_t)FROM_F_i64(S, a))   \
    CAST(s, S, u8, uint8_t, (uint8_t)FROM_F_u8(S, a))     \
    CAST(s, S, u16, uint16_t, (uint16_t)FROM_F_u16(S, a)) \
    CAST(s, S, u32, uint32_t, (uint32_t)FROM_F_u32(S, a)) \
    CAST(s, S, u64, uint64_t, (uint64_t)FROM_F_u64(S, a)) \
    CAST(s, S, bool, uint8_t, a != 0)                     \
    CAST(s, S, f32, float, (float)a)                      \
    CAST(s, S, f64, double, (double)a)
#define CAST_ROW(s)                                                                  \
    {                                                                                \
        [NORN_I8] = s##_to_i8, [NORN_I16] = s##_to_i16, [NORN_I32] = s##_to_i32,     \
        [NORN_I64] = s##_to_i64, [NORN_U8] = s##_to_u8, [NORN_U16] = s##_to_u16,     \
        [NORN_U32] = s##_to_u32, [NORN_U64] = s##_to_u64, [NORN_BOOL] = s##_to_bool, \
        [NORN_F32] = s##_to_f32, [NORN_F64] = s##_to_f64,                            \
    }

CAST_INTEGER(i8, int8_t)
CAST_INTEGER(i16, int16_t)
CAST_INTEGER(i32, int32_t)
CAST_INTEGER(i64, int64_t)
CAST_INTEGER(u8, uint8_t)
CAST_INTEGER(u16, uint16_t)
CAST_INTEGER(u32, uint32_t)
CAST_INTEGER(u64, uint64_t)
CAST_FLOATING(f32, float)
CAST_FLOATING(f64, double)
CAST(f16, uint16_t, f32, float, norn_f16_to_f32(a))
CAST(bf16, uint16_t, f32, float, norn_bf16_to_f32(a))
CAST(f32, float, f16, uint16_t, norn_f32_to_f16(a))
CAST(f32, float, bf16, uint16_t, norn_f32_to_bf16(a))

static const norn_tile_fn native[NORN_DTYPE_COUNT][NORN_DTYPE_COUNT] = {
    [NORN_I8] = CAST_ROW(i8),   [NORN_I16] = CAST_ROW(i16), [NORN_I32] = CAST_ROW(i32),
    [NORN_I64] = CAST_ROW(i64), [NORN_U8] = CAST_ROW(u8),   [NORN_U16] = CAST_ROW(u16),
    [NORN_U32] = CAST_ROW(u32), [NORN_U64] = CAST_ROW(u64), [NORN_BOOL] = CAST_ROW(u8),
    [NORN_F32] = CAST_ROW(f32), [NORN_F64] = CAST_ROW(f64),
};

#define COPY(bits)                                                               \
    static void copy_##bits(void *out, const norn_tile_operand *in, int64_t n) { \
        uint##bits##_t *y = out;                                                 \
        const uint##bits##_t *pa = in[0].data;                                   \
        const int64_t sa = in[0].step;                                           \
        for (int64_t i = 0; i < n; i++) y[i] = pa[i * sa];                       \
    }
COPY(8)
COPY(16)
COPY(32)
COPY(64)

static norn_tile_fn copy_of(norn_dtype dtype) {
    switch (norn_dtype_bits(dtype)) {
    case 8:
        return copy_8;
    case 16:
        return copy_16;
    case 32:
        return copy_32;
    case 64:
        return copy_64;
    default:
        return NULL;
    }
}

// Types with no native form (float16, bfloat16, float8) go through the element functions, which
// know their rounding. Loops to and from double (ODD: float too) are a type's own.
#define ODD_DOUBLE(s, code)                                                                        \
    static void s##_to_double(void *out, const norn_tile_operand *in, int64_t n) {                 \
        double *y = out;                                                                           \
        for (int64_t i = 0; i < n; i++) y[i] = norn_element_f64(code, in[0].data, i * in[0].step); \
    }                                                                                              \
    static void double_to_##s(void *out, const norn_tile_operand *in, int64_t n) {                 \
        const double *x = in[0].data;                                                              \
        for (int64_t i = 0; i < n; i++) norn_element_set_f64(code, out, i, x[i * in[0].step]);     \
    }
#define ODD(s, code)                                                              \
    ODD_DOUBLE(s, code)                                                           \
    static void s##_to_float(void *out, const norn_tile_operand *in, int64_t n) { \
        float *y = out;                                                           \
        for (int64_t i = 0; i < n; i++)                                           \
            y[i] = (float)norn_element_f64(code, in[0].data, i * in[0].step);     \
    }                                                                             \
    static void float_to_##s(void *out, const norn_tile_operand *in, int64_t n) { \
        const float *x = in[0].data;                                              \
        for (int64_t i = 0; i < n; i++)                                           \
            norn_element_set_f64(code, out, i, (double)x[i * in[0].step]);        \
    }
ODD_DOUBLE(f16, NORN_F16)
ODD_DOUBLE(bf16, NORN_BF16)
ODD(e4m3fn, NORN_F8E4M3FN)
ODD(e4m3fnuz, NORN_F8E4M3FNUZ)
ODD(e5m2, NORN_F8E5M2)
ODD(e5m2fnuz, NORN_F8E5M2FNUZ)
ODD(e8m0, NORN_F8E8M0)

typedef struct odd_row {
    norn_tile_fn to_float, to_double, from_float, from_double;
} odd_row;
#define ODD_ROW(s) \
    { s##_to_float, s##_to_double, float_to_##s, double_to_##s }
static const odd_row odd[NORN_DTYPE_COUNT] = {
    [NORN_F16] = {f16_to_f32, f16_to_double, f32_to_f16, double_to_f16},
    [NORN_BF16] = {bf16_to_f32, bf16_to_double, f32_to_bf16, double_to_bf16},
    [NORN_F8E4M3FN] = ODD_ROW(e4m3fn),
    [NORN_F8E4M3FNUZ] = ODD_ROW(e4m3fnuz),
    [NORN_F8E5M2] = ODD_ROW(e5m2),
    [NORN_F8E5M2FNUZ] = ODD_ROW(e5m2fnuz),
    [NORN_F8E8M0] = ODD_ROW(e8m0),
};

norn_tile_fn norn_tile_cast(norn_dtype from, norn_dtype to) {
    if ((unsigned)from >= NORN_DTYPE_COUNT || (unsigned)to >= NORN_DTYPE_COUNT) return NULL;
    if (from == to) return copy_of(from);
    if (to == NORN_F32 && odd[from].to_float) return odd[from].to_float;
    if (to == NORN_F64 && odd[from].to_double) return odd[from].to_double;
    if (from == NORN_F32 && odd[to].from_float) return odd[to].from_float;
    if (from == NORN_F64 && odd[to].from_double) return odd[to].from_double;
    return native[from][to];
}
