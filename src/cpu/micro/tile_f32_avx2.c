#include "cpu/micro/tile_op.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 8 };
typedef __m256 vec;
typedef __m256 vmask;

static inline __m256i lanes_below(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}
static inline vec v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline void v_store(float *p, vec x) {
    _mm256_storeu_ps(p, x);
}
static inline vec v_load_part(const float *p, int64_t count) {
    return _mm256_maskload_ps(p, lanes_below(count));
}
static inline void v_store_part(float *p, vec x, int64_t count) {
    _mm256_maskstore_ps(p, lanes_below(count), x);
}
static inline vec v_set(float x) {
    return _mm256_set1_ps(x);
}
static inline vec v_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}
static inline vec v_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}
static inline vec v_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}
static inline vec v_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vec v_fnma(vec a, vec b, vec c) {
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vec v_sqrt(vec x) {
    return _mm256_sqrt_ps(x);
}
static inline vec v_abs(vec x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
static inline vec v_neg(vec x) {
    return _mm256_xor_ps(_mm256_set1_ps(-0.0f), x);
}
static inline vec v_copysign(vec x, vec sign) {
    const vec bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, x), _mm256_and_ps(bit, sign));
}
static inline vec v_floor(vec x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline vec v_ceil(vec x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
static inline vec v_round(vec x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vmask m_eq(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
static inline vmask m_ne(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ);
}
static inline vmask m_lt(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vmask m_le(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}
static inline vmask m_unordered(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_UNORD_Q);
}
static inline vmask m_or(vmask a, vmask b) {
    return _mm256_or_ps(a, b);
}
static inline vmask m_all(int on) {
    return _mm256_castsi256_ps(_mm256_set1_epi32(on ? -1 : 0));
}
static inline vec v_select(vmask m, vec a, vec b) {
    return _mm256_blendv_ps(b, a, m);
}
static inline void m_store(uint8_t *p, vmask m, int64_t count) {
    __m256i ones = _mm256_srli_epi32(_mm256_castps_si256(m), 31);
    __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(ones), _mm256_extracti128_si256(ones, 1));
    __m128i bytes = _mm_packs_epi16(words, words);
    uint64_t eight = (uint64_t)_mm_cvtsi128_si64(bytes);
    if (count >= WIDTH)
        memcpy(p, &eight, WIDTH);
    else
        memcpy(p, &eight, (size_t)count);
}
static inline vmask m_load(const uint8_t *p, int64_t count) {
    uint64_t eight = 0;
    if (count >= WIDTH)
        memcpy(&eight, p, WIDTH);
    else
        memcpy(&eight, p, (size_t)count);
    __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)eight));
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(lanes, _mm256_setzero_si256()));
}

/// 2^n as a product of two powers, so that neither leaves the range of normal numbers.
static inline vec v_scale(vec x, vec n) {
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half);
    vec a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vec b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, a), b);
}

static inline vec v_exponent(vec x, vec *exponent) {
    const __m256i root = _mm256_set1_epi32(0x3f3504f3); // sqrt(1/2)
    vmask tiny = m_lt(x, v_set(0x1p-126f));             // subnormals are scaled up
    vec scaled = v_select(tiny, v_mul(x, v_set(0x1p23f)), x);
    __m256i bits = _mm256_castps_si256(scaled);
    __m256i e = _mm256_srai_epi32(_mm256_sub_epi32(bits, root), 23);
    *exponent = v_sub(_mm256_cvtepi32_ps(e), v_select(tiny, v_set(23), v_set(0)));
    return _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(e, 23)));
}

#include "cpu/micro/tile_f32.inc"

norn_tile_fn norn_tile_f32__avx2(norn_scalar_op op) {
    return f32_ops[op];
}
