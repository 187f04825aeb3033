// The reference loops of scalar programs, for every dtype; and the choice of a loop.
#include "cpu/micro/tile_op.h"

#include "tensor/dtype.h"

#include <math.h>

#define LOOP1(name, T, R, expression)                                     \
    static void name(void *out, const norn_tile_operand *in, int64_t n) { \
        R *y = out;                                                       \
        const T *pa = in[0].data;                                         \
        const int64_t sa = in[0].step;                                    \
        for (int64_t i = 0; i < n; i++) {                                 \
            const T a = pa[i * sa];                                       \
            y[i] = (R)(expression);                                       \
        }                                                                 \
    }
#define LOOP2(name, T, R, expression)                                     \
    static void name(void *out, const norn_tile_operand *in, int64_t n) { \
        R *y = out;                                                       \
        const T *pa = in[0].data, *pb = in[1].data;                       \
        const int64_t sa = in[0].step, sb = in[1].step;                   \
        for (int64_t i = 0; i < n; i++) {                                 \
            const T a = pa[i * sa], b = pb[i * sb];                       \
            y[i] = (R)(expression);                                       \
        }                                                                 \
    }
#define LOOP3(name, T, R, expression)                                     \
    static void name(void *out, const norn_tile_operand *in, int64_t n) { \
        R *y = out;                                                       \
        const T *pa = in[0].data, *pb = in[1].data, *pc = in[2].data;     \
        const int64_t sa = in[0].step, sb = in[1].step, sc = in[2].step;  \
        for (int64_t i = 0; i < n; i++) {                                 \
            const T a = pa[i * sa], b = pb[i * sb], c = pc[i * sc];       \
            y[i] = (R)(expression);                                       \
        }                                                                 \
    }
#define SELECT(name, T)                                                   \
    static void name(void *out, const norn_tile_operand *in, int64_t n) { \
        T *y = out;                                                       \
        const uint8_t *pa = in[0].data;                                   \
        const T *pb = in[1].data, *pc = in[2].data;                       \
        const int64_t sa = in[0].step, sb = in[1].step, sc = in[2].step;  \
        for (int64_t i = 0; i < n; i++) {                                 \
            const T b = pb[i * sb], c = pc[i * sc];                       \
            y[i] = pa[i * sa] ? b : c;                                    \
        }                                                                 \
    }

// ---- comparisons: of every type, to bool

#define COMPARE(s, T)                 \
    LOOP2(eq_##s, T, uint8_t, a == b) \
    LOOP2(ne_##s, T, uint8_t, a != b) \
    LOOP2(lt_##s, T, uint8_t, a < b)  \
    LOOP2(le_##s, T, uint8_t, a <= b) \
    LOOP2(gt_##s, T, uint8_t, a > b)  \
    LOOP2(ge_##s, T, uint8_t, a >= b)
#define COMPARE_ROWS(s)                                                              \
    [NORN_SCALAR_EQ] = eq_##s, [NORN_SCALAR_NE] = ne_##s, [NORN_SCALAR_LT] = lt_##s, \
    [NORN_SCALAR_LE] = le_##s, [NORN_SCALAR_GT] = gt_##s, [NORN_SCALAR_GE] = ge_##s

// ---- floating point

#define FLOATING(s, T, F)                                                \
    static inline T mod_of_##s(T a, T b) { /* the sign of the divisor */ \
        T r = fmod##F(a, b);                                             \
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;                 \
    }                                                                    \
    LOOP2(add_##s, T, T, a + b)                                          \
    LOOP2(sub_##s, T, T, a - b)                                          \
    LOOP2(mul_##s, T, T, a *b)                                           \
    LOOP2(div_##s, T, T, a / b)                                          \
    LOOP2(mod_##s, T, T, mod_of_##s(a, b))                               \
    LOOP2(fmod_##s, T, T, fmod##F(a, b))                                 \
    LOOP2(pow_##s, T, T, pow##F(a, b))                                   \
    LOOP2(min_##s, T, T, (a < b || a != a) ? a : b)                      \
    LOOP2(max_##s, T, T, (a > b || a != a) ? a : b)                      \
    LOOP3(fma_##s, T, T, a *b + c)                                       \
    LOOP1(neg_##s, T, T, -a)                                             \
    LOOP1(abs_##s, T, T, fabs##F(a))                                     \
    LOOP1(sign_##s, T, T, a != a ? a : (T)((a > 0) - (a < 0)))           \
    LOOP1(sqrt_##s, T, T, sqrt##F(a))                                    \
    LOOP1(rsqrt_##s, T, T, 1 / sqrt##F(a))                               \
    LOOP1(recip_##s, T, T, 1 / a)                                        \
    LOOP1(exp_##s, T, T, exp##F(a))                                      \
    LOOP1(log_##s, T, T, log##F(a))                                      \
    LOOP1(log1p_##s, T, T, log1p##F(a))                                  \
    LOOP1(expm1_##s, T, T, expm1##F(a))                                  \
    LOOP1(sin_##s, T, T, sin##F(a))                                      \
    LOOP1(cos_##s, T, T, cos##F(a))                                      \
    LOOP1(tan_##s, T, T, tan##F(a))                                      \
    LOOP1(asin_##s, T, T, asin##F(a))                                    \
    LOOP1(acos_##s, T, T, acos##F(a))                                    \
    LOOP1(atan_##s, T, T, atan##F(a))                                    \
    LOOP1(sinh_##s, T, T, sinh##F(a))                                    \
    LOOP1(cosh_##s, T, T, cosh##F(a))                                    \
    LOOP1(tanh_##s, T, T, tanh##F(a))                                    \
    LOOP1(asinh_##s, T, T, asinh##F(a))                                  \
    LOOP1(acosh_##s, T, T, acosh##F(a))                                  \
    LOOP1(atanh_##s, T, T, atanh##F(a))                                  \
    LOOP1(erf_##s, T, T, erf##F(a))                                      \
    LOOP1(sigmoid_##s, T, T, 1 / (1 + exp##F(-a)))                       \
    LOOP1(ceil_##s, T, T, ceil##F(a))                                    \
    LOOP1(floor_##s, T, T, floor##F(a))                                  \
    LOOP1(round_##s, T, T, rint##F(a))                                   \
    LOOP1(is_nan_##s, T, uint8_t, a != a)                                \
    LOOP1(is_inf_##s, T, uint8_t, isinf(a) != 0)                         \
    COMPARE(s, T)
#define FLOATING_ROWS(s)                                                                           \
    [NORN_SCALAR_ADD] = add_##s, [NORN_SCALAR_SUB] = sub_##s, [NORN_SCALAR_MUL] = mul_##s,         \
    [NORN_SCALAR_DIV] = div_##s, [NORN_SCALAR_MOD] = mod_##s, [NORN_SCALAR_FMOD] = fmod_##s,       \
    [NORN_SCALAR_POW] = pow_##s, [NORN_SCALAR_MIN] = min_##s, [NORN_SCALAR_MAX] = max_##s,         \
    [NORN_SCALAR_FMA] = fma_##s, [NORN_SCALAR_NEG] = neg_##s, [NORN_SCALAR_ABS] = abs_##s,         \
    [NORN_SCALAR_SIGN] = sign_##s, [NORN_SCALAR_SQRT] = sqrt_##s, [NORN_SCALAR_RSQRT] = rsqrt_##s, \
    [NORN_SCALAR_RECIP] = recip_##s, [NORN_SCALAR_EXP] = exp_##s, [NORN_SCALAR_LOG] = log_##s,     \
    [NORN_SCALAR_LOG1P] = log1p_##s, [NORN_SCALAR_EXPM1] = expm1_##s, [NORN_SCALAR_SIN] = sin_##s, \
    [NORN_SCALAR_COS] = cos_##s, [NORN_SCALAR_TAN] = tan_##s, [NORN_SCALAR_ASIN] = asin_##s,       \
    [NORN_SCALAR_ACOS] = acos_##s, [NORN_SCALAR_ATAN] = atan_##s, [NORN_SCALAR_SINH] = sinh_##s,   \
    [NORN_SCALAR_COSH] = cosh_##s, [NORN_SCALAR_TANH] = tanh_##s, [NORN_SCALAR_ASINH] = asinh_##s, \
    [NORN_SCALAR_ACOSH] = acosh_##s, [NORN_SCALAR_ATANH] = atanh_##s, [NORN_SCALAR_ERF] = erf_##s, \
    [NORN_SCALAR_SIGMOID] = sigmoid_##s, [NORN_SCALAR_CEIL] = ceil_##s,                            \
    [NORN_SCALAR_FLOOR] = floor_##s, [NORN_SCALAR_ROUND] = round_##s,                              \
    [NORN_SCALAR_IS_NAN] = is_nan_##s, [NORN_SCALAR_IS_INF] = is_inf_##s, COMPARE_ROWS(s)

FLOATING(f32, float, f)
FLOATING(f64, double, )

static const norn_tile_fn f32_ops[NORN_SCALAR_COUNT] = {FLOATING_ROWS(f32)};
static const norn_tile_fn f64_ops[NORN_SCALAR_COUNT] = {FLOATING_ROWS(f64)};

// ---- integers: arithmetic wraps, done in the unsigned type U, which is no narrower than int

/// b == 0 gives 0: ONNX leaves it undefined, and data must not stop the process.
#define INTEGER(s, T, U, is_signed)                                        \
    static inline T quotient_##s(T a, T b) {                               \
        if (b == 0) return 0;                                              \
        if (is_signed && b == (T)-1) return (T)(0 - (U)a);                 \
        return (T)(a / b);                                                 \
    }                                                                      \
    static inline T remainder_##s(T a, T b) {                              \
        if (b == 0 || (is_signed && b == (T)-1)) return 0;                 \
        return (T)(a % b);                                                 \
    }                                                                      \
    static inline T modulo_##s(T a, T b) {                                 \
        T r = remainder_##s(a, b);                                         \
        return (T)(r != 0 && (r < (T)1) != (b < (T)1) ? r + b : r);        \
    }                                                                      \
    static inline T power_##s(T a, T b) {                                  \
        if (is_signed && b < (T)1 && b != 0)                               \
            return (T)(a == 1 ? 1 : a == (T)-1 ? ((U)b & 1 ? -1 : 1) : 0); \
        U r = 1, base = (U)a;                                              \
        for (U e = (U)b; e; e >>= 1, base *= base)                         \
            if (e & 1) r *= base;                                          \
        return (T)r;                                                       \
    }                                                                      \
    static inline T left_##s(T a, T b) {                                   \
        return (T)((U)b >= sizeof(T) * 8 ? 0 : (U)a << (U)b);              \
    }                                                                      \
    static inline T right_##s(T a, T b) {                                  \
        return (T)((U)b >= sizeof(T) * 8 ? 0 : a >> b);                    \
    }                                                                      \
    LOOP2(add_##s, T, T, (U)a + (U)b)                                      \
    LOOP2(sub_##s, T, T, (U)a - (U)b)                                      \
    LOOP2(mul_##s, T, T, (U)a *(U)b)                                       \
    LOOP2(div_##s, T, T, quotient_##s(a, b))                               \
    LOOP2(mod_##s, T, T, modulo_##s(a, b))                                 \
    LOOP2(fmod_##s, T, T, remainder_##s(a, b))                             \
    LOOP2(pow_##s, T, T, power_##s(a, b))                                  \
    LOOP2(min_##s, T, T, a < b ? a : b)                                    \
    LOOP2(max_##s, T, T, a > b ? a : b)                                    \
    LOOP3(fma_##s, T, T, (U)a *(U)b + (U)c)                                \
    LOOP1(neg_##s, T, T, 0 - (U)a)                                         \
    LOOP1(abs_##s, T, T, a < (T)1 ? 0 - (U)a : (U)a)                       \
    LOOP1(sign_##s, T, T, a == 0 ? 0 : a < (T)1 ? -1 : 1)                  \
    LOOP2(and_##s, T, T, a &b)                                             \
    LOOP2(or_##s, T, T, a | b)                                             \
    LOOP2(xor_##s, T, T, a ^ b)                                            \
    LOOP1(not_##s, T, T, ~a)                                               \
    LOOP2(shl_##s, T, T, left_##s(a, b))                                   \
    LOOP2(shr_##s, T, T, right_##s(a, b))                                  \
    COMPARE(s, T)                                                          \
    static const norn_tile_fn s##_ops[NORN_SCALAR_COUNT] = {               \
        [NORN_SCALAR_ADD] = add_##s,     [NORN_SCALAR_SUB] = sub_##s,      \
        [NORN_SCALAR_MUL] = mul_##s,     [NORN_SCALAR_DIV] = div_##s,      \
        [NORN_SCALAR_MOD] = mod_##s,     [NORN_SCALAR_FMOD] = fmod_##s,    \
        [NORN_SCALAR_POW] = pow_##s,     [NORN_SCALAR_MIN] = min_##s,      \
        [NORN_SCALAR_MAX] = max_##s,     [NORN_SCALAR_FMA] = fma_##s,      \
        [NORN_SCALAR_NEG] = neg_##s,     [NORN_SCALAR_ABS] = abs_##s,      \
        [NORN_SCALAR_SIGN] = sign_##s,   [NORN_SCALAR_BIT_AND] = and_##s,  \
        [NORN_SCALAR_BIT_OR] = or_##s,   [NORN_SCALAR_BIT_XOR] = xor_##s,  \
        [NORN_SCALAR_BIT_NOT] = not_##s, [NORN_SCALAR_SHL] = shl_##s,      \
        [NORN_SCALAR_SHR] = shr_##s,     COMPARE_ROWS(s),                  \
    };

INTEGER(i8, int8_t, uint32_t, 1)
INTEGER(i16, int16_t, uint32_t, 1)
INTEGER(i32, int32_t, uint32_t, 1)
INTEGER(i64, int64_t, uint64_t, 1)
INTEGER(u8, uint8_t, uint32_t, 0)
INTEGER(u16, uint16_t, uint32_t, 0)
INTEGER(u32, uint32_t, uint32_t, 0)
INTEGER(u64, uint64_t, uint64_t, 0)

LOOP2(logic_and, uint8_t, uint8_t, a &&b)
LOOP2(logic_or, uint8_t, uint8_t, a || b)
LOOP2(logic_xor, uint8_t, uint8_t, !a != !b)
LOOP1(logic_not, uint8_t, uint8_t, !a)

static const norn_tile_fn bool_ops[NORN_SCALAR_COUNT] = {
    [NORN_SCALAR_AND] = logic_and,
    [NORN_SCALAR_OR] = logic_or,
    [NORN_SCALAR_XOR] = logic_xor,
    [NORN_SCALAR_NOT] = logic_not,
    [NORN_SCALAR_MIN] = logic_and,
    [NORN_SCALAR_MAX] = logic_or,
    COMPARE_ROWS(u8),
};

SELECT(select_8, uint8_t)
SELECT(select_16, uint16_t)
SELECT(select_32, uint32_t)
SELECT(select_64, uint64_t)

static norn_tile_fn select_of(norn_dtype dtype) {
    switch (norn_dtype_bits(dtype)) {
    case 8:
        return select_8;
    case 16:
        return select_16;
    case 32:
        return select_32;
    case 64:
        return select_64;
    default:
        return NULL;
    }
}

static const norn_tile_fn *const ops_by_dtype[NORN_DTYPE_COUNT] = {
    [NORN_F32] = f32_ops, [NORN_F64] = f64_ops, [NORN_I8] = i8_ops,     [NORN_I16] = i16_ops,
    [NORN_I32] = i32_ops, [NORN_I64] = i64_ops, [NORN_U8] = u8_ops,     [NORN_U16] = u16_ops,
    [NORN_U32] = u32_ops, [NORN_U64] = u64_ops, [NORN_BOOL] = bool_ops,
};

norn_tile_fn norn_tile_op_scalar(norn_scalar_op op, norn_dtype from, norn_dtype to) {
    if ((unsigned)from >= NORN_DTYPE_COUNT || (unsigned)op >= NORN_SCALAR_COUNT) return NULL;
    if (op == NORN_SCALAR_CAST) return norn_tile_cast(from, to);
    if (op == NORN_SCALAR_SELECT) return select_of(to);
    return ops_by_dtype[from] ? ops_by_dtype[from][op] : NULL;
}

norn_tile_fn norn_tile_op(norn_isa isa, norn_scalar_op op, norn_dtype from, norn_dtype to) {
    norn_tile_fn fn = NULL;
    bool select = op == NORN_SCALAR_SELECT;
    if ((select ? to : from) == NORN_F32 && op != NORN_SCALAR_CAST) {
#if defined(__x86_64__)
        if (isa == NORN_ISA_AVX512) fn = norn_tile_f32__avx512(op);
        if (!fn && isa >= NORN_ISA_AVX2) fn = norn_tile_f32__avx2(op);
#else
        (void)isa;
#endif
    }
    return fn ? fn : norn_tile_op_scalar(op, from, to);
}
