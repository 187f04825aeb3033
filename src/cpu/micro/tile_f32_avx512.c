#include "cpu/micro/tile_op.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 16 };
typedef __m512 vec;
typedef __mmask16 vmask;

static inline __mmask16 lanes_below(int64_t count) {
    return count >= WIDTH ? (__mmask16)0xffff : (__mmask16)((1u << count) - 1u);
}
static inline vec v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline void v_store(float *p, vec x) {
    _mm512_storeu_ps(p, x);
}
static inline vec v_load_part(const float *p, int64_t count) {
    return _mm512_maskz_loadu_ps(lanes_below(count), p);
}
static inline void v_store_part(float *p, vec x, int64_t count) {
    _mm512_mask_storeu_ps(p, lanes_below(count), x);
}
static inline vec v_set(float x) {
    return _mm512_set1_ps(x);
}
static inline vec v_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}
static inline vec v_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}
static inline vec v_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}
static inline vec v_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec v_fnma(vec a, vec b, vec c) {
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vec v_sqrt(vec x) {
    return _mm512_sqrt_ps(x);
}
static inline vec v_abs(vec x) {
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x);
}
static inline vec v_neg(vec x) {
    return _mm512_xor_ps(_mm512_set1_ps(-0.0f), x);
}
static inline vec v_copysign(vec x, vec sign) {
    const vec bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, x), _mm512_and_ps(bit, sign));
}
static inline vec v_floor(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline vec v_ceil(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
static inline vec v_round(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vmask m_eq(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
static inline vmask m_ne(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ);
}
static inline vmask m_lt(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vmask m_le(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
static inline vmask m_unordered(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
}
static inline vmask m_or(vmask a, vmask b) {
    return (vmask)(a | b);
}
static inline vmask m_all(int on) {
    return on ? (vmask)0xffff : (vmask)0;
}
static inline vec v_select(vmask m, vec a, vec b) {
    return _mm512_mask_blend_ps(m, b, a);
}
static inline void m_store(uint8_t *p, vmask m, int64_t count) {
    _mm_mask_storeu_epi8(p, lanes_below(count), _mm_maskz_set1_epi8(m, 1));
}
static inline vmask m_load(const uint8_t *p, int64_t count) {
    __m128i bytes = _mm_maskz_loadu_epi8(lanes_below(count), p);
    return _mm_test_epi8_mask(bytes, bytes);
}
static inline vec v_scale(vec x, vec n) {
    return _mm512_scalef_ps(x, n); // rounds once, into the subnormals too
}
static inline vec v_exponent(vec x, vec *exponent) {
    const __m512i root = _mm512_set1_epi32(0x3f3504f3); // sqrt(1/2)
    vmask tiny = m_lt(x, v_set(0x1p-126f));             // subnormals are scaled up
    vec scaled = v_select(tiny, v_mul(x, v_set(0x1p23f)), x);
    __m512i bits = _mm512_castps_si512(scaled);
    __m512i e = _mm512_srai_epi32(_mm512_sub_epi32(bits, root), 23);
    *exponent = v_sub(_mm512_cvtepi32_ps(e), v_select(tiny, v_set(23), v_set(0)));
    return _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23)));
}

#include "cpu/micro/tile_f32.inc"

norn_tile_fn norn_tile_f32__avx512(norn_scalar_op op) {
    return f32_ops[op];
}
