/// Facts of element types, and conversion between them.
#ifndef NORN_TENSOR_DTYPE_H
#define NORN_TENSOR_DTYPE_H

#include "norn/tensor.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

uint32_t norn_dtype_bits(norn_dtype dtype); ///< 0 for NONE; STRING: 8 * sizeof(norn_string)
bool norn_dtype_is_float(norn_dtype dtype); ///< every floating type, fp8 and fp4 included
bool norn_dtype_is_integer(norn_dtype dtype);
bool norn_dtype_is_signed(norn_dtype dtype);
norn_dtype norn_dtype_from_kserve(const char *name);
/// Bytes of `elems` elements, packed sub-byte types rounded up. False on overflow.
bool norn_dtype_bytes(norn_dtype dtype, int64_t elems, size_t *bytes);

static inline float norn_f16_to_f32(uint16_t h) {
    _Float16 v;
    memcpy(&v, &h, sizeof v);
    return (float)v;
}
static inline uint16_t norn_f32_to_f16(float f) {
    _Float16 v = (_Float16)f;
    uint16_t h;
    memcpy(&h, &v, sizeof h);
    return h;
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
/// Stores with ONNX Cast semantics for the type (round to nearest even; float8 saturates).
void norn_element_set_f64(norn_dtype dtype, void *data, int64_t index, double value);
void norn_element_set_i64(norn_dtype dtype, void *data, int64_t index, int64_t value);

#endif
