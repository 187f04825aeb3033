// Resize: one axis at a time, each output coordinate a weighted sum of input ones.
//
// Source   https://onnx.ai/onnx/operators/onnx__Resize.html
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

typedef struct resize_axis {
    int64_t in, out;
    double scale, roi_begin, roi_end;
    int64_t taps;
    int64_t *first; ///< [out] where the first tap is in the input; outside: the edge repeats
    double *weight; ///< [out, taps]
    bool *outside;  ///< [out] takes the extrapolation value
} resize_axis;

typedef struct resize_mode {
    const char *mode, *coordinates, *nearest;
    bool antialias, exclude_outside;
    double cubic_a, extrapolation;
} resize_mode;

/// Where output coordinate x lies in the input.
static double source_of(const resize_axis *a, const resize_mode *m, double x, bool *outside) {
    double in = (double)a->in, width = a->scale * in;
    *outside = false;
    if (strcmp(m->coordinates, "align_corners") == 0)
        return width == 1 ? 0 : x * (in - 1) / (width - 1);
    if (strcmp(m->coordinates, "asymmetric") == 0) return x / a->scale;
    if (strcmp(m->coordinates, "tf_crop_and_resize") == 0) {
        double size = a->roi_end - a->roi_begin;
        double at = width == 1 ? size * (in - 1) / 2 : x * size * (in - 1) / (width - 1);
        at += a->roi_begin * (in - 1);
        *outside = at < 0 || at > in - 1;
        return at;
    }
    if (strcmp(m->coordinates, "pytorch_half_pixel") == 0 && width == 1) return -0.5;
    double at = (x + 0.5) / a->scale - 0.5;
    if (strcmp(m->coordinates, "half_pixel_symmetric") == 0)
        at += in / 2 * (1 - (double)a->out / width);
    return at;
}

static double cubic(double a, double x) {
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/// Weights of the taps around a point that is `ratio` in (0, 1] right of its left neighbour; tap t
/// lies at t - (taps / 2 - 1).
static void weights_of(const resize_axis *a, const resize_mode *m, double ratio, double *weight) {
    int64_t left = a->taps / 2 - 1;
    if (strcmp(m->mode, "nearest") == 0) {
        bool right = ratio == 1 || strcmp(m->nearest, "ceil") == 0 ||
                     (strcmp(m->nearest, "norn_simple") == 0 && a->scale < 1) || // opset 10's
                     (strcmp(m->nearest, "round_prefer_floor") == 0 && ratio > 0.5) ||
                     (strcmp(m->nearest, "round_prefer_ceil") == 0 && ratio >= 0.5);
        weight[0] = !right;
        weight[1] = right;
        return;
    }
    double stretch = m->antialias && a->scale < 1 ? a->scale : 1, sum = 0;
    for (int64_t t = 0; t < a->taps; t++) {
        double distance = ((double)(t - left) - ratio) * stretch;
        weight[t] = strcmp(m->mode, "cubic") == 0 ? cubic(m->cubic_a, distance)
                                                  : fmax(0, 1 - fabs(distance));
        sum += weight[t];
    }
    if (m->antialias)
        for (int64_t t = 0; t < a->taps; t++) weight[t] /= sum;
}

static norn_status prepare_axis(norn_call *call, resize_axis *a, const resize_mode *m) {
    void *room;
    bool is_cubic = strcmp(m->mode, "cubic") == 0, nearest = strcmp(m->mode, "nearest") == 0;
    a->taps = is_cubic ? 4 : 2;
    if (m->antialias && a->scale < 1 && !nearest)
        a->taps = 2 - 2 * ((int64_t)floor((is_cubic ? -2 : -1) / a->scale) + 1);
    NORN_TRY(norn_cpu_scratch(call, a->out, sizeof(int64_t), &room));
    a->first = room;
    NORN_TRY(norn_cpu_scratch(call, a->out, sizeof(bool), &room));
    a->outside = room;
    NORN_TRY(norn_cpu_scratch(call, a->out * a->taps, sizeof(double), &room));
    a->weight = room;
    for (int64_t x = 0; x < a->out; x++) {
        double at = source_of(a, m, (double)x, &a->outside[x]), *weight = a->weight + x * a->taps;
        if (!(fabs(at) < 1e15)) return norn_call_misfit(call, 0);
        double below = floor(at);
        bool whole = at == below; // then the left neighbour is the pixel before
        int64_t base = (int64_t)below - whole;
        a->first[x] = base - (a->taps / 2 - 1);
        weights_of(a, m, whole ? 1 : at - below, weight);
        if (!m->exclude_outside) continue;
        double sum = 0;
        for (int64_t t = 0; t < a->taps; t++) {
            if (a->first[x] + t < 0 || a->first[x] + t >= a->in) weight[t] = 0;
            sum += weight[t];
        }
        for (int64_t t = 0; t < a->taps; t++) weight[t] /= sum;
    }
    return NORN_OK;
}

/// [outer, in, inner] -> [outer, out, inner].
static void resize_along(const resize_axis *a, const resize_mode *m, const double *from, double *to,
                         int64_t outer, int64_t inner) {
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t x = 0; x < a->out; x++) {
            double *row = to + (o * a->out + x) * inner;
            for (int64_t i = 0; i < inner; i++) row[i] = a->outside[x] ? m->extrapolation : 0;
            for (int64_t t = 0; t < a->taps && !a->outside[x]; t++) {
                double weight = a->weight[x * a->taps + t];
                int64_t at = a->first[x] + t;
                if (weight == 0) continue;
                at = at < 0 ? 0 : at >= a->in ? a->in - 1 : at;
                const double *source = from + (o * a->in + at) * inner;
                for (int64_t i = 0; i < inner; i++) row[i] += weight * source[i];
            }
        }
    }
}

static norn_status describe_axes(norn_call *call, resize_axis *axes, const resize_mode *m) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const int64_t *given;
    const double *scales, *roi;
    uint32_t count = norn_attr_ints(call->attrs, "axes", &given);
    bool has_scales = norn_call_has(call, 2) && norn_view_elems(&call->in[2]) > 0;
    if (!count) count = (uint32_t)in->rank;
    NORN_TRY(norn_input_f64(call, 2, &scales));
    NORN_TRY(norn_input_f64(call, 1, &roi));
    bool crops = strcmp(m->coordinates, "tf_crop_and_resize") == 0;
    if (crops && (!roi || norn_view_elems(&call->in[1]) != 2 * (int64_t)count))
        return norn_call_misfit(call, 1);
    if (has_scales && norn_view_elems(&call->in[2]) != count) return norn_call_misfit(call, 2);
    for (int32_t d = 0; d < in->rank; d++)
        axes[d] = (resize_axis){.in = in->dims[d], .out = out->dims[d], .scale = 1, .roi_end = 1};
    // Sizes that keep the aspect ratio are one factor, which rounding must not spoil.
    const char *policy = norn_attr_string(call->attrs, "keep_aspect_ratio_policy", "stretch");
    double shared = 0;
    for (uint32_t i = 0; i < count && !has_scales && strcmp(policy, "stretch") != 0; i++) {
        int64_t axis = norn_attr_ints(call->attrs, "axes", &given)
                           ? (given[i] < 0 ? given[i] + in->rank : given[i])
                           : i;
        double ratio =
            norn_element_f64(call->in[3].dtype, call->in[3].data, i) / (double)in->dims[axis];
        bool smaller = strcmp(policy, "not_larger") == 0;
        if (i == 0 || (smaller ? ratio < shared : ratio > shared)) shared = ratio;
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t axis = norn_attr_ints(call->attrs, "axes", &given)
                           ? (given[i] < 0 ? given[i] + in->rank : given[i])
                           : i;
        resize_axis *a = &axes[axis];
        a->scale = has_scales ? scales[i] : shared > 0 ? shared : (double)a->out / (double)a->in;
        if (crops) a->roi_begin = roi[i], a->roi_end = roi[i + count];
    }
    return NORN_OK;
}

norn_status norn_cpu_resize(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    resize_mode mode = {
        .mode = norn_attr_string(call->attrs, "mode", "nearest"),
        .coordinates =
            norn_attr_string(call->attrs, "coordinate_transformation_mode", "half_pixel"),
        .nearest = norn_attr_string(call->attrs, "nearest_mode", "round_prefer_floor"),
        .antialias = norn_attr_i64(call->attrs, "antialias", 0) != 0,
        .exclude_outside = norn_attr_i64(call->attrs, "exclude_outside", 0) != 0,
        .cubic_a = (double)norn_attr_f32(call->attrs, "cubic_coeff_a", -0.75f),
        .extrapolation = (double)norn_attr_f32(call->attrs, "extrapolation_value", 0)};
    resize_axis axes[NORN_MAX_RANK];
    const double *x;
    int64_t dims[NORN_MAX_RANK];
    if (in->dtype == NORN_STRING) return norn_call_refuse(in->dtype);
    NORN_TRY(describe_axes(call, axes, &mode));
    NORN_TRY(norn_input_f64(call, 0, &x));
    memcpy(dims, in->dims, sizeof dims);
    if (norn_view_elems(out) == 0) return NORN_OK;
    if (norn_view_elems(in) == 0) return norn_call_misfit(call, 0);
    bool crops = strcmp(mode.coordinates, "tf_crop_and_resize") == 0;
    for (int32_t d = 0; d < in->rank; d++) {
        if (axes[d].in == axes[d].out && axes[d].scale == 1 && !crops) continue;
        void *room;
        int64_t outer = norn_dims_product(dims, 0, d),
                inner = norn_dims_product(dims, d + 1, in->rank);
        NORN_TRY(prepare_axis(call, &axes[d], &mode));
        NORN_TRY(norn_cpu_scratch(call, outer * axes[d].out * inner, sizeof(double), &room));
        resize_along(&axes[d], &mode, x, room, outer, inner);
        dims[d] = axes[d].out;
        x = room;
    }
    if (out->dtype == NORN_F64) memcpy(out->data, x, (size_t)norn_view_elems(out) * sizeof *x);
    norn_result_f64(call, 0, x);
    return NORN_OK;
}
