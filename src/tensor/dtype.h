/// Facts of element types, and conversion between them.
#ifndef NORN_TENSOR_DTYPE_H
#define NORN_TENSOR_DTYPE_H

#include "norn/tensor.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/// Whether a number from a file is a type: an element type, or one with the bits of norn/tensor.h.
bool norn_dtype_is_known(uint64_t value);
/// A sequence or an optional: no operator takes one but those marked NORN_OP_SEQUENCE.
static inline bool norn_dtype_holds_tensors(norn_dtype dtype) {
    return norn_dtype_is_known(dtype) && (uint32_t)dtype >= NORN_SEQUENCE;
}
static inline norn_dtype norn_dtype_element(norn_dtype dtype) {
    return (norn_dtype)((uint32_t)dtype & ~(uint32_t)(NORN_SEQUENCE | NORN_OPTIONAL));
}
static inline norn_dtype norn_dtype_with(norn_dtype dtype, uint32_t bits) {
    return (norn_dtype)((uint32_t)dtype | bits);
}
/// 0 for NONE; STRING: 8 * sizeof(norn_string); what holds tensors counts bytes.
uint32_t norn_dtype_bits(norn_dtype dtype);
bool norn_dtype_is_float(norn_dtype dtype); ///< every floating type, fp8 and fp4 included
bool norn_dtype_is_half(norn_dtype dtype);  ///< F16 or BF16
bool norn_dtype_is_integer(norn_dtype dtype);
bool norn_dtype_is_signed(norn_dtype dtype);
norn_dtype norn_dtype_from_kserve(const char *name);
/// Bytes of `elems` elements, packed sub-byte types rounded up. False on overflow.
bool norn_dtype_bytes(norn_dtype dtype, int64_t elems, size_t *bytes);

/// IEEE half precision in bit operations: `_Float16` would need gcc 12. Kernels use F16C instead.
static inline float norn_f16_to_f32(uint16_t h) {
    // Exponent and fraction moved into a float that is 2^112 too small; the product is exact, and
    // normalises subnormals. Infinity and NaN are mended after.
    uint32_t u = (uint32_t)(h & 0x7fffu) << 13;
    float f;
    memcpy(&f, &u, sizeof f);
    f *= 0x1p112f;
    memcpy(&u, &f, sizeof u);
    if ((h & 0x7c00u) == 0x7c00u) u = 0x7f800000u | (uint32_t)(h & 0x3ffu) << 13;
    u |= (uint32_t)(h & 0x8000u) << 16;
    memcpy(&f, &u, sizeof f);
    return f;
}
/// Round to nearest even; overflow is infinity; a NaN stays one and becomes quiet.
static inline uint16_t norn_f32_to_f16(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); // 65520 and above
    if (u < 0x38800000u) { // below 2^-14: the sum's unit is 2^-24, so the addition rounds for us
        float magnitude;
        memcpy(&magnitude, &u, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&u, &magnitude, sizeof u);
        return (uint16_t)(sign | (u - 0x3f000000u));
    }
    u += 0xfffu + (u >> 13 & 1u); // ties to even
    return (uint16_t)(sign | ((u - 0x38000000u) >> 13));
}
static inline float norn_bf16_to_f32(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
uint16_t norn_f32_to_bf16(float f); ///< round to nearest even, NaN stays NaN

/// Element `index` of `data` as double / int64 (saturating); any numeric type, sub-byte too.
double norn_element_f64(norn_dtype dtype, const void *data, int64_t index);
int64_t norn_element_i64(norn_dtype dtype, const void *data, int64_t index);
/// Element of an integer type or BOOL, exactly: of U64 the bits, as norn_element_set_i64 takes them.
int64_t norn_element_bits(norn_dtype dtype, const void *data, int64_t index);
/// What compares as int64 in the order of the type; of that, the bits again.
static inline int64_t norn_bits_order(norn_dtype dtype, int64_t bits) {
    return dtype == NORN_U64 ? bits ^ INT64_MIN : bits;
}
/// Stores with ONNX Cast semantics for the type (round to nearest even; float8 saturates).
void norn_element_set_f64(norn_dtype dtype, void *data, int64_t index, double value);
void norn_element_set_i64(norn_dtype dtype, void *data, int64_t index, int64_t value);

#endif
