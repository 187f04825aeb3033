// QuantizeLinear, DequantizeLinear (per tensor, per axis, blocked), DynamicQuantizeLinear.
#include "cpu/kernels/cast.h"
#include "cpu/kernels/operand.h"

#include <math.h>

/// Which scale belongs to which element: x is [outer, axis, inner], scales [outer', axis', inner'].
typedef struct quant_layout {
    int64_t inner, axis, block;
    int64_t scales; ///< along the axis
    bool blocked;
} quant_layout;

static norn_status layout_of(const norn_call *call, quant_layout *out) {
    const norn_view *x = &call->in[0], *scale = &call->in[1];
    int64_t axis = norn_attr_i64(call->attrs, "axis", 1),
            block = norn_attr_i64(call->attrs, "block_size", 0);
    *out = (quant_layout){.inner = 1, .axis = 1, .block = 1, .scales = 1};
    if (norn_call_has(call, 2) && norn_view_elems(&call->in[2]) != norn_view_elems(scale))
        return norn_call_misfit(call, 2);
    if (norn_view_elems(scale) == 1 && block == 0) return NORN_OK;
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis >= x->rank) return norn_call_misfit(call, 0);
    out->inner = norn_dims_product(x->dims, (int32_t)axis + 1, x->rank);
    out->axis = x->dims[axis];
    out->scales = out->axis;
    if (block > 0) {
        out->blocked = true;
        out->block = block;
        out->scales = (out->axis + block - 1) / block;
        int64_t outer = norn_dims_product(x->dims, 0, (int32_t)axis);
        return norn_view_elems(scale) == outer * out->scales * out->inner
                   ? NORN_OK
                   : norn_call_misfit(call, 1);
    }
    return norn_view_elems(scale) == out->axis ? NORN_OK : norn_call_misfit(call, 1);
}

static int64_t scale_index(const quant_layout *l, int64_t i) {
    int64_t at = i / l->inner % l->axis / l->block;
    if (!l->blocked) return l->scales == 1 ? 0 : at;
    return (i / (l->inner * l->axis) * l->scales + at) * l->inner + i % l->inner;
}

static bool integer_range(norn_dtype dtype, double *low, double *high) {
    uint32_t bits = norn_dtype_bits(dtype);
    if (!norn_dtype_is_integer(dtype) || bits > 32) return false;
    bool is_signed = norn_dtype_is_signed(dtype);
    *low = is_signed ? -ldexp(1, (int)bits - 1) : 0;
    *high = ldexp(1, (int)bits - is_signed) - 1;
    return true;
}

/// The quotient is rounded to the type that divides: `precision`, or the scale's.
static double divide(norn_dtype dtype, double x, double scale) {
    uint64_t bits = 0;
    double quotient = dtype == NORN_F64 ? x / scale : (double)((float)x / (float)scale);
    if (dtype != NORN_F16 && dtype != NORN_BF16) return quotient;
    norn_element_set_f64(dtype, &bits, 0, quotient);
    return norn_element_f64(dtype, &bits, 0);
}

norn_status norn_cpu_quantize(norn_call *call) {
    const norn_view *x = &call->in[0], *scale = &call->in[1], *out = &call->out[0];
    quant_layout layout;
    double low = 0, high = 0;
    NORN_TRY(layout_of(call, &layout));
    bool whole = integer_range(out->dtype, &low, &high),
         saturate = norn_attr_i64(call->attrs, "saturate", 1) != 0;
    norn_dtype precision = (norn_dtype)norn_attr_i64(call->attrs, "precision", 0);
    if (precision == NORN_DTYPE_NONE) precision = scale->dtype;
    int64_t elems = norn_view_elems(x);
    for (int64_t i = 0; i < elems; i++) {
        int64_t s = scale_index(&layout, i);
        double zero =
            norn_call_has(call, 2) ? norn_element_f64(call->in[2].dtype, call->in[2].data, s) : 0;
        double y = divide(precision, norn_element_f64(x->dtype, x->data, i),
                          norn_element_f64(scale->dtype, scale->data, s));
        if (whole) {
            y = rint(y) + zero;
            norn_element_set_f64(out->dtype, out->data, i, y < low ? low : y > high ? high : y);
        } else {
            norn_cast_f64(out, i, y + zero, saturate, "up");
        }
    }
    return NORN_OK;
}

norn_status norn_cpu_dequantize(norn_call *call) {
    const norn_view *x = &call->in[0], *scale = &call->in[1], *out = &call->out[0];
    quant_layout layout;
    NORN_TRY(layout_of(call, &layout));
    int64_t elems = norn_view_elems(x);
    for (int64_t i = 0; i < elems; i++) {
        int64_t s = scale_index(&layout, i);
        double zero =
            norn_call_has(call, 2) ? norn_element_f64(call->in[2].dtype, call->in[2].data, s) : 0;
        double value = norn_element_f64(x->dtype, x->data, i) - zero;
        norn_element_set_f64(out->dtype, out->data, i,
                             value * norn_element_f64(scale->dtype, scale->data, s));
    }
    return NORN_OK;
}

norn_status norn_cpu_dynamic_quantize(norn_call *call) {
    const float *x;
    float low = 0, high = 0;
    int64_t elems = norn_view_elems(&call->in[0]);
    NORN_TRY(norn_input_f32(call, 0, &x));
    for (int64_t i = 0; i < elems; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    float scale = (high - low) / 255, zero = scale == 0 ? 0 : rintf(-low / scale);
    zero = zero < 0 ? 0 : zero > 255 ? 255 : zero;
    uint8_t *y = norn_call_wants(call, 0) ? call->out[0].data : NULL;
    for (int64_t i = 0; y && i < elems; i++) {
        float q = scale == 0 ? zero : rintf(x[i] / scale) + zero;
        y[i] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
    }
    if (norn_call_wants(call, 1)) *(float *)call->out[1].data = scale;
    if (norn_call_wants(call, 2)) *(uint8_t *)call->out[2].data = (uint8_t)zero;
    return NORN_OK;
}
