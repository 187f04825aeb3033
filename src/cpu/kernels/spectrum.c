// DFT, STFT, windows and the mel weight matrix.
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/// A line of complex numbers, `step` elements of two (or one: real) apart.
typedef struct line {
    const double *at;
    int64_t count, step, parts;
} line;

/// out[k] for k in [0, bins): the transform of `length` samples (cut or padded with zeros).
/// `turn` holds cos and sin of 2 pi i / length.
static void transform(const line *in, int64_t length, bool inverse, const double *turn, double *out,
                      int64_t bins, int64_t out_step, int64_t out_parts) {
    int64_t n = in->count < length ? in->count : length;
    for (int64_t k = 0; k < bins; k++) {
        double re = 0, im = 0;
        for (int64_t i = 0; i < n; i++) {
            const double *x = in->at + i * in->step * in->parts;
            int64_t angle = (int64_t)((uint64_t)i * (uint64_t)k % (uint64_t)length);
            double c = turn[2 * angle], s = inverse ? turn[2 * angle + 1] : -turn[2 * angle + 1],
                   b = in->parts > 1 ? x[1] : 0;
            re += x[0] * c - b * s;
            im += x[0] * s + b * c;
        }
        double scale = inverse ? 1 / (double)length : 1;
        out[k * out_step * out_parts] = re * scale;
        if (out_parts > 1) out[k * out_step * out_parts + 1] = im * scale;
    }
}

static norn_status take_turns(norn_call *call, int64_t length, const double **out) {
    void *room;
    NORN_TRY(norn_cpu_scratch(call, 2 * length, sizeof(double), &room));
    double *turn = room;
    for (int64_t i = 0; i < length; i++) {
        turn[2 * i] = cos(2 * pi * (double)i / (double)length);
        turn[2 * i + 1] = sin(2 * pi * (double)i / (double)length);
    }
    *out = turn;
    return NORN_OK;
}

/// The other half of a one-sided spectrum is its conjugate.
static norn_status mirror(norn_call *call, const line *half, int64_t length, line *out) {
    void *room;
    NORN_TRY(norn_cpu_scratch(call, 2 * length, sizeof(double), &room));
    double *whole = room;
    for (int64_t i = 0; i < length; i++) {
        bool first = i <= length / 2;
        int64_t from = first ? i : length - i;
        bool there = from < half->count;
        const double *x = half->at + from * half->step * half->parts;
        whole[2 * i] = there ? x[0] : 0;
        whole[2 * i + 1] = there && half->parts > 1 ? (first ? x[1] : -x[1]) : 0;
    }
    *out = (line){whole, length, 1, 2};
    return NORN_OK;
}

norn_status norn_cpu_dft(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const double *x, *turn;
    double *y;
    bool inverse = norn_attr_i64(call->attrs, "inverse", 0) != 0,
         onesided = norn_attr_i64(call->attrs, "onesided", 0) != 0;
    NORN_TRY(norn_call_numbers(call, 1, 3));
    int64_t axis =
        norn_call_has(call, 2) ? norn_element_i64(call->in[2].dtype, call->in[2].data, 0) : -2;
    if (axis < 0) axis += in->rank;
    if (axis < 0 || axis > in->rank - 2) return norn_call_misfit(call, 2);
    int64_t count = in->dims[axis], length = count, parts = in->dims[in->rank - 1],
            out_parts = out->dims[out->rank - 1];
    if (norn_call_has(call, 1))
        length = norn_element_i64(call->in[1].dtype, call->in[1].data, 0);
    else if (inverse && onesided)
        length = 2 * (count - 1);
    int64_t inner = norn_dims_product(in->dims, (int32_t)axis + 1, in->rank - 1),
            outer = norn_dims_product(in->dims, 0, (int32_t)axis);
    int64_t bins = out->dims[axis];
    if (length < 1 || parts < 1 || parts > 2 ||
        norn_view_elems(out) != outer * bins * inner * out_parts)
        return norn_call_misfit(call, 1);
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_output_f64(call, 0, &y));
    NORN_TRY(take_turns(call, length, &turn));
    for (int64_t r = 0; r < outer * inner; r++) {
        line from = {x + (r / inner * count * inner + r % inner) * parts, count, inner, parts};
        if (inverse && onesided) NORN_TRY(mirror(call, &from, length, &from));
        transform(&from, length, inverse, turn,
                  y + (r / inner * bins * inner + r % inner) * out_parts, bins, inner, out_parts);
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

norn_status norn_cpu_stft(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const double *x, *window, *turn;
    double *y;
    void *room;
    NORN_TRY(norn_call_numbers(call, 1, 2));
    NORN_TRY(norn_call_numbers(call, 3, 4));
    int64_t step = norn_element_i64(call->in[1].dtype, call->in[1].data, 0),
            parts = in->rank == 3 ? in->dims[2] : 1;
    int64_t signal = in->dims[1], frame = signal, frames = out->dims[1], bins = out->dims[2];
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_input_f64(call, 2, &window));
    NORN_TRY(norn_output_f64(call, 0, &y));
    if (window) frame = norn_view_elems(&call->in[2]);
    if (norn_call_has(call, 3)) frame = norn_element_i64(call->in[3].dtype, call->in[3].data, 0);
    if (frame < 1 || step < 1 || (frames - 1) * step + frame > signal ||
        out->dims[0] != in->dims[0] || bins > frame)
        return norn_call_misfit(call, 0);
    if (window && norn_view_elems(&call->in[2]) != frame) return norn_call_misfit(call, 2);
    NORN_TRY(take_turns(call, frame, &turn));
    NORN_TRY(norn_cpu_scratch(call, frame * parts, sizeof(double), &room));
    double *cut = room;
    for (int64_t f = 0; f < in->dims[0] * frames; f++) {
        const double *from = x + (f / frames * signal + f % frames * step) * parts;
        for (int64_t i = 0; i < frame * parts; i++)
            cut[i] = from[i] * (window ? window[i / parts] : 1);
        line samples = {cut, frame, 1, parts};
        transform(&samples, frame, false, turn, y + f * bins * 2, bins, 1, 2);
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

/// A sum of cosines over the window, `terms` of them.
static norn_status cosine_window(norn_call *call, const double *weights, int terms) {
    const norn_view *out = &call->out[0];
    int64_t n = out->dims[0];
    double period = (double)(norn_attr_i64(call->attrs, "periodic", 1) ? n : n - 1);
    for (int64_t i = 0; i < n; i++) {
        double value = 0;
        for (int t = 0; t < terms; t++)
            value += weights[t] * cos(2 * pi * t * (double)i / (period > 0 ? period : 1));
        norn_element_set_f64(out->dtype, out->data, i, value);
    }
    return NORN_OK;
}

norn_status norn_cpu_hann_window(norn_call *call) {
    return cosine_window(call, (const double[]){0.5, -0.5}, 2);
}
norn_status norn_cpu_hamming_window(norn_call *call) {
    return cosine_window(call, (const double[]){25.0 / 46, -21.0 / 46}, 2);
}
norn_status norn_cpu_blackman_window(norn_call *call) {
    return cosine_window(call, (const double[]){0.42, -0.5, 0.08}, 3);
}

/// Triangles between points that are evenly spaced on the mel scale.
norn_status norn_cpu_mel_weights(norn_call *call) {
    const norn_view *out = &call->out[0], *in = call->in;
    NORN_TRY(norn_call_numbers(call, 0, 5));
    int64_t bins = out->dims[0], bands = out->dims[1];
    double length = norn_element_f64(in[1].dtype, in[1].data, 0),
           rate = norn_element_f64(in[2].dtype, in[2].data, 0);
    double low = 2595 * log10(1 + norn_element_f64(in[3].dtype, in[3].data, 0) / 700);
    double high = 2595 * log10(1 + norn_element_f64(in[4].dtype, in[4].data, 0) / 700), point[3];
    for (int64_t i = 0; i < bins * bands; i++) norn_element_set_f64(out->dtype, out->data, i, 0);
    for (int64_t b = 0; b < bands; b++) {
        for (int k = 0; k < 3; k++) {
            double mel = low + (double)(b + k) * (high - low) / (double)(bands + 2);
            point[k] = floor((length + 1) * (700 * (pow(10, mel / 2595) - 1)) / rate);
        }
        for (int64_t j = 0; j < bins; j++) {
            double at = (double)j, value = 0;
            if (at >= point[0] && at <= point[1])
                value = point[1] == point[0] ? 1 : (at - point[0]) / (point[1] - point[0]);
            if (at >= point[1] && at < point[2]) value = (point[2] - at) / (point[2] - point[1]);
            norn_element_set_f64(out->dtype, out->data, j * bands + b, value);
        }
    }
    return NORN_OK;
}
