// Cast and CastLike of types that have no scalar form: 8-bit floats and
// smaller, 2- and 4-bit integers.
#include "cpu/kernels/cast.h"
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

/// Overflow of the 8-bit floats without saturation: the least magnitude that no longer rounds into
/// range, and the codes of what it becomes.
typedef struct overflow {
    double limit;
    bool limit_fits;     ///< the limit itself rounds into range (to even)
    uint8_t plus, minus; ///< codes
} overflow;

static bool overflow_of(norn_dtype dtype, overflow *out) {
    switch ((int)dtype) {
    case NORN_F8E4M3FN:
        *out = (overflow){464, true, 0x7f, 0xff};
        return true;
    case NORN_F8E4M3FNUZ:
        *out = (overflow){248, false, 0x80, 0x80};
        return true;
    case NORN_F8E5M2:
        *out = (overflow){61440, false, 0x7c, 0xfc};
        return true;
    case NORN_F8E5M2FNUZ:
        *out = (overflow){61440, false, 0x80, 0x80};
        return true;
    default:
        return false;
    }
}

/// A power of two, rounded as `mode` says; the exponent's code, 255 for what has none.
static uint8_t to_e8m0(double x, const char *mode, bool saturate) {
    int exponent;
    if (isnan(x)) return 255;
    x = fabs(x);
    if (x == 0) return saturate ? 0 : 255;
    if (isinf(x)) return saturate ? 254 : 255;
    // x = fraction * 2^(exponent - 1), fraction in [1, 2).
    double fraction = frexp(x, &exponent) * 2;
    int code = exponent - 1 + 127;
    bool up = strcmp(mode, "up") == 0        ? fraction > 1
              : strcmp(mode, "nearest") == 0 ? fraction >= 1.5
                                             : false;
    code += up;
    if (code >= 0 && code <= 254) return (uint8_t)code;
    if (!saturate) return 255;
    return code < 0 ? 0 : 254;
}

void norn_cast_f64(const norn_view *out, int64_t i, double x, bool saturate,
                   const char *round_mode) {
    overflow o;
    uint8_t *codes = out->data;
    if (out->dtype == NORN_F8E8M0) {
        codes[i] = to_e8m0(x, round_mode, saturate);
    } else if (!saturate && overflow_of(out->dtype, &o) &&
               (fabs(x) > o.limit || (fabs(x) == o.limit && !o.limit_fits))) {
        codes[i] = x < 0 ? o.minus : o.plus;
    } else {
        norn_element_set_f64(out->dtype, out->data, i, x);
    }
}

norn_status norn_cpu_cast(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    bool saturate = norn_attr_i64(call->attrs, "saturate", 1) != 0;
    const char *mode = norn_attr_string(call->attrs, "round_mode", "up");
    int64_t elems = norn_view_elems(in);
    if (in->dtype == NORN_STRING || out->dtype == NORN_STRING || norn_dtype_bits(in->dtype) == 0)
        return norn_call_refuse(NORN_STRING);
    if (in->dtype == NORN_C64 || in->dtype == NORN_C128 || out->dtype == NORN_C64 ||
        out->dtype == NORN_C128)
        return norn_call_refuse(NORN_C64);
    bool whole = !norn_dtype_is_float(in->dtype), to_float = norn_dtype_is_float(out->dtype);
    for (int64_t i = 0; i < elems; i++) {
        if (whole && !to_float)
            norn_element_set_i64(out->dtype, out->data, i,
                                 norn_element_i64(in->dtype, in->data, i));
        else
            norn_cast_f64(out, i, norn_element_f64(in->dtype, in->data, i), saturate, mode);
    }
    return NORN_OK;
}
