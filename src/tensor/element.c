/// One element at a time, in any type: the exact path, for constants,
/// casts of rare types and files.
#include "tensor/dtype.h"

#include <math.h>

/// A floating type of up to 16 bits: sign, exponent, `fraction` bits.
typedef struct small_float {
    int sign_shift;
    int fraction, bias;
    uint16_t max;  ///< code of the largest finite value
    uint16_t over; ///< code that overflow becomes: infinity, or max where Cast saturates
    uint16_t inf;  ///< code of infinity, 0 if it has none
    uint16_t nan;  ///< code that a NaN becomes (float4 has none: -0, as ONNX's reference)
    bool fnuz;     ///< no negative zero: its code is the NaN
} small_float;

// float8: https://onnx.ai/onnx/technical/float8.html and
// https://onnx.ai/onnx/operators/onnx__Cast.html
static const small_float formats[NORN_DTYPE_COUNT] = {
    [NORN_F16] = {15, 10, 15, 0x7bff, 0x7c00, 0x7c00, 0x7e00, false},
    [NORN_BF16] = {15, 7, 127, 0x7f7f, 0x7f80, 0x7f80, 0x7fc0, false},
    [NORN_F8E4M3FN] = {7, 3, 7, 0x7e, 0x7e, 0, 0x7f, false},
    [NORN_F8E4M3FNUZ] = {7, 3, 8, 0x7f, 0x7f, 0, 0x80, true},
    [NORN_F8E5M2] = {7, 2, 15, 0x7b, 0x7b, 0x7c, 0x7f, false},
    [NORN_F8E5M2FNUZ] = {7, 2, 16, 0x7f, 0x7f, 0, 0x80, true},
    [NORN_F4E2M1] = {3, 1, 1, 0x7, 0x7, 0, 0x8, false},
};

static double small_decode(const small_float *format, uint32_t code) {
    uint32_t sign = code >> format->sign_shift & 1, bits = code & ((1u << format->sign_shift) - 1);
    double value;
    if (format->fnuz && code == format->nan) return (double)NAN;
    if (bits > format->max) {
        value = bits == format->inf ? (double)INFINITY : (double)NAN;
    } else {
        uint32_t exponent = bits >> format->fraction;
        uint32_t fraction = bits & ((1u << format->fraction) - 1);
        if (exponent > 0) fraction |= 1u << format->fraction;
        value = ldexp(fraction, (exponent ? (int)exponent : 1) - format->bias - format->fraction);
    }
    return sign ? -value : value;
}

/// One rounding, from the double itself: to nearest, ties to even.
static uint16_t small_encode(const small_float *format, double value) {
    uint32_t sign = signbit(value) ? 1u << format->sign_shift : 0;
    double magnitude = fabs(value);
    int exponent;
    if (isnan(value)) return (uint16_t)(format->fnuz ? format->nan : sign | format->nan);
    if (isinf(value)) return (uint16_t)(sign | format->over);
    frexp(magnitude, &exponent);
    exponent -= 1; // magnitude = 1.x * 2^exponent
    if (magnitude == 0 || exponent < 1 - format->bias) exponent = 1 - format->bias;
    // The value in units of its last place. With the hidden bit it is 2^fraction or more, which
    // carries into the exponent field by plain addition, as does rounding up to the next power.
    double units = nearbyint(ldexp(magnitude, format->fraction - exponent));
    double code = units + ldexp(exponent + format->bias - 1, format->fraction);
    if (code > format->max) return (uint16_t)(sign | format->over);
    if (format->fnuz && code == 0) return 0;
    return (uint16_t)(sign | (uint32_t)code);
}

/// float8e8m0 is a bare exponent: 2^(code - 127), 255 is NaN.
/// Cast's default rounds up and saturates.
static uint8_t e8m0_encode(double value) {
    int exponent;
    if (isnan(value) || value < 0) return 255;
    if (value == 0) return 0;
    if (isinf(value)) return 254;
    double fraction = frexp(value, &exponent); // in [0.5, 1)
    int code = exponent - 1 + 127 + (fraction > 0.5);
    return (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
}

static uint32_t packed_get(const void *data, uint32_t bits, int64_t index) {
    uint32_t per_byte = 8 / bits;
    uint32_t byte = ((const uint8_t *)data)[(uint64_t)index / per_byte];
    return byte >> ((uint64_t)index % per_byte * bits) & ((1u << bits) - 1);
}

static void packed_set(void *data, uint32_t bits, int64_t index, uint32_t code) {
    uint32_t per_byte = 8 / bits, shift = (uint32_t)((uint64_t)index % per_byte) * bits;
    uint32_t mask = ((1u << bits) - 1) << shift;
    uint8_t *byte = (uint8_t *)data + (uint64_t)index / per_byte;
    *byte = (uint8_t)((*byte & ~mask) | (code << shift & mask));
}

static int64_t sign_extend(uint32_t code, uint32_t bits) {
    return (int64_t)(code ^ 1u << (bits - 1)) - (1 << (bits - 1));
}

/// Towards zero, saturating; NaN is 0. (ONNX leaves what does not fit to the implementation.)
static int64_t f64_to_i64(double value) {
    if (isnan(value)) return 0;
    if (value >= 0x1p63) return INT64_MAX;
    if (value < -0x1p63) return INT64_MIN;
    return (int64_t)value;
}

static uint64_t f64_to_u64(double value) {
    if (!(value > 0)) return 0;
    if (value >= 0x1p64) return UINT64_MAX;
    return (uint64_t)value;
}

/// Integers of up to 63 bits, and bool, as int64.
static int64_t small_integer(norn_dtype dtype, const void *data, int64_t index) {
    switch ((int)dtype) {
    case NORN_U8:
        return ((const uint8_t *)data)[index];
    case NORN_BOOL:
        return ((const uint8_t *)data)[index] != 0;
    case NORN_I8:
        return ((const int8_t *)data)[index];
    case NORN_U16:
        return ((const uint16_t *)data)[index];
    case NORN_I16:
        return ((const int16_t *)data)[index];
    case NORN_U32:
        return ((const uint32_t *)data)[index];
    case NORN_I32:
        return ((const int32_t *)data)[index];
    case NORN_I64:
        return ((const int64_t *)data)[index];
    case NORN_U4:
    case NORN_U2:
        return packed_get(data, norn_dtype_bits(dtype), index);
    case NORN_I4:
    case NORN_I2:
        return sign_extend(packed_get(data, norn_dtype_bits(dtype), index), norn_dtype_bits(dtype));
    default:
        return 0; // STRING and NONE have no number
    }
}

double norn_element_f64(norn_dtype dtype, const void *data, int64_t index) {
    switch ((int)dtype) {
    case NORN_F32:
        return (double)((const float *)data)[index];
    case NORN_F64:
        return ((const double *)data)[index];
    case NORN_C64: // the real part
        return (double)((const float *)data)[2 * index];
    case NORN_C128:
        return ((const double *)data)[2 * index];
    case NORN_U64:
        return (double)((const uint64_t *)data)[index];
    case NORN_F16:
    case NORN_BF16:
        return small_decode(&formats[dtype], ((const uint16_t *)data)[index]);
    case NORN_F8E4M3FN:
    case NORN_F8E4M3FNUZ:
    case NORN_F8E5M2:
    case NORN_F8E5M2FNUZ:
        return small_decode(&formats[dtype], ((const uint8_t *)data)[index]);
    case NORN_F4E2M1:
        return small_decode(&formats[dtype], packed_get(data, 4, index));
    case NORN_F8E8M0: {
        uint8_t code = ((const uint8_t *)data)[index];
        return code == 255 ? (double)NAN : ldexp(1, code - 127);
    }
    default:
        return (double)small_integer(dtype, data, index);
    }
}

int64_t norn_element_i64(norn_dtype dtype, const void *data, int64_t index) {
    if (dtype == NORN_U64) {
        uint64_t value = ((const uint64_t *)data)[index];
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    if (norn_dtype_is_integer(dtype) || dtype == NORN_BOOL)
        return small_integer(dtype, data, index);
    return f64_to_i64(norn_element_f64(dtype, data, index));
}

int64_t norn_element_bits(norn_dtype dtype, const void *data, int64_t index) {
    return dtype == NORN_U64 ? ((const int64_t *)data)[index] : small_integer(dtype, data, index);
}

/// Keeps the low bits, as an integer Cast does.
static void set_integer(norn_dtype dtype, void *data, int64_t index, uint64_t value) {
    switch (norn_dtype_bits(dtype)) {
    case 8:
        ((uint8_t *)data)[index] = dtype == NORN_BOOL ? value != 0 : (uint8_t)value;
        break;
    case 16:
        ((uint16_t *)data)[index] = (uint16_t)value;
        break;
    case 32:
        ((uint32_t *)data)[index] = (uint32_t)value;
        break;
    case 64:
        ((uint64_t *)data)[index] = value;
        break;
    default:
        packed_set(data, norn_dtype_bits(dtype), index, (uint32_t)value);
    }
}

/// From a double: towards zero, and saturating at the ends of the type; packed types keep the low
/// bits, as ONNX's reference does.
static void set_integer_f64(norn_dtype dtype, void *data, int64_t index, double value) {
    uint32_t bits = norn_dtype_bits(dtype);
    if (dtype == NORN_U64) {
        set_integer(dtype, data, index, f64_to_u64(value));
        return;
    }
    bool is_signed = norn_dtype_is_signed(dtype);
    int64_t whole = f64_to_i64(value);
    if (bits >= 8 && bits < 64) {
        int64_t most = (INT64_C(1) << (bits - is_signed)) - 1, least = is_signed ? -most - 1 : 0;
        whole = whole > most ? most : whole < least ? least : whole;
    }
    set_integer(dtype, data, index, (uint64_t)whole);
}

void norn_element_set_f64(norn_dtype dtype, void *data, int64_t index, double value) {
    switch ((int)dtype) {
    case NORN_F32:
        ((float *)data)[index] = (float)value;
        break;
    case NORN_F64:
        ((double *)data)[index] = value;
        break;
    case NORN_C64:
        ((float *)data)[2 * index] = (float)value;
        ((float *)data)[2 * index + 1] = 0;
        break;
    case NORN_C128:
        ((double *)data)[2 * index] = value;
        ((double *)data)[2 * index + 1] = 0;
        break;
    case NORN_F16:
    case NORN_BF16:
        ((uint16_t *)data)[index] = small_encode(&formats[dtype], value);
        break;
    case NORN_F8E4M3FN:
    case NORN_F8E4M3FNUZ:
    case NORN_F8E5M2:
    case NORN_F8E5M2FNUZ:
        ((uint8_t *)data)[index] = (uint8_t)small_encode(&formats[dtype], value);
        break;
    case NORN_F4E2M1:
        packed_set(data, 4, index, small_encode(&formats[dtype], value));
        break;
    case NORN_F8E8M0:
        ((uint8_t *)data)[index] = e8m0_encode(value);
        break;
    case NORN_BOOL:
        ((uint8_t *)data)[index] = value != 0; // a NaN is true
        break;
    case NORN_STRING:
    case NORN_DTYPE_NONE:
        break;
    default:
        set_integer_f64(dtype, data, index, value);
    }
}

void norn_element_set_i64(norn_dtype dtype, void *data, int64_t index, int64_t value) {
    if (norn_dtype_is_integer(dtype) || dtype == NORN_BOOL)
        set_integer(dtype, data, index, (uint64_t)value);
    else if (dtype == NORN_F32)
        ((float *)data)[index] = (float)value; // one rounding, not two by way of double
    else
        norn_element_set_f64(dtype, data, index, (double)value);
}

uint16_t norn_f32_to_bf16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); // stays a NaN
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
