// Normalisations that have no fast kernel: group, instance, batch, Lp, mean-variance, LRN.
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

/// Zero mean and unit variance of runs of `run` elements; scale and bias a channel.
static norn_status norm_channels(norn_call *call, int64_t groups) {
    const norn_view *in = &call->in[0];
    const float *x, *scale, *bias;
    float *y;
    double epsilon = (double)norn_attr_f32(call->attrs, "epsilon", 1e-5f);
    NORN_TRY(norn_input_f32(call, 0, &x));
    NORN_TRY(norn_input_f32(call, 1, &scale));
    NORN_TRY(norn_input_f32(call, 2, &bias));
    NORN_TRY(norn_output_f32(call, 0, &y));
    if (in->rank < 2) return norn_call_misfit(call, 0);
    int64_t channels = in->dims[1], plane = norn_dims_product(in->dims, 2, in->rank);
    if (groups <= 0 || channels % groups) return norn_call_misfit(call, 0);
    if (norn_view_elems(&call->in[1]) != channels || norn_view_elems(&call->in[2]) != channels)
        return norn_call_misfit(call, 1);
    int64_t run = channels / groups * plane;
    for (int64_t g = 0; g < in->dims[0] * groups; g++) {
        const float *from = x + g * run;
        double sum = 0, square = 0;
        for (int64_t i = 0; i < run; i++) sum += (double)from[i];
        double mean = run ? sum / (double)run : 0;
        for (int64_t i = 0; i < run; i++)
            square += ((double)from[i] - mean) * ((double)from[i] - mean);
        double factor = 1 / sqrt(square / (double)(run ? run : 1) + epsilon);
        for (int64_t i = 0; i < run; i++) {
            int64_t channel = g % groups * (channels / groups) + i / plane;
            y[g * run + i] =
                (float)(((double)from[i] - mean) * factor) * scale[channel] + bias[channel];
        }
    }
    norn_result_f32(call, 0, y);
    return NORN_OK;
}

norn_status norn_cpu_group_norm(norn_call *call) {
    return norm_channels(call, norn_attr_i64(call->attrs, "num_groups", 1));
}

norn_status norn_cpu_instance_norm(norn_call *call) {
    return norm_channels(call, call->in[0].rank > 1 ? call->in[0].dims[1] : 1);
}

/// Statistics of the batch itself, for each channel; running ones are mixed in by momentum.
static norn_status batch_statistics(norn_call *call, const double *x, int64_t batch,
                                    int64_t channels, int64_t plane, double *mean,
                                    double *variance) {
    const double *old_mean, *old_variance;
    double momentum = (double)norn_attr_f32(call->attrs, "momentum", 0.9f),
           count = (double)(batch * plane);
    NORN_TRY(norn_input_f64(call, 3, &old_mean));
    NORN_TRY(norn_input_f64(call, 4, &old_variance));
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0, square = 0;
        for (int64_t n = 0; n < batch; n++)
            for (int64_t i = 0; i < plane; i++) sum += x[(n * channels + c) * plane + i];
        mean[c] = sum / count;
        for (int64_t n = 0; n < batch; n++)
            for (int64_t i = 0; i < plane; i++)
                square += (x[(n * channels + c) * plane + i] - mean[c]) *
                          (x[(n * channels + c) * plane + i] - mean[c]);
        variance[c] = square / count;
        for (uint32_t o = 1; o < 3; o++) {
            double old = o == 1 ? old_mean[c] : old_variance[c],
                   now = o == 1 ? mean[c] : variance[c];
            if (norn_call_wants(call, o))
                norn_element_set_f64(call->out[o].dtype, call->out[o].data, c,
                                     old * momentum + now * (1 - momentum));
        }
    }
    return NORN_OK;
}

norn_status norn_cpu_batch_norm(norn_call *call) {
    const norn_view *in = &call->in[0];
    const double *x, *scale, *bias, *mean, *variance;
    double *y;
    double epsilon = (double)norn_attr_f32(call->attrs, "epsilon", 1e-5f);
    int64_t channels = in->rank > 1 ? in->dims[1] : 1,
            plane = in->rank > 2 ? norn_dims_product(in->dims, 2, in->rank) : 1;
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_input_f64(call, 1, &scale));
    NORN_TRY(norn_input_f64(call, 2, &bias));
    NORN_TRY(norn_input_f64(call, 3, &mean));
    NORN_TRY(norn_input_f64(call, 4, &variance));
    NORN_TRY(norn_output_f64(call, 0, &y));
    for (uint32_t i = 1; i < 5; i++)
        if (norn_view_elems(&call->in[i]) != channels) return norn_call_misfit(call, i);
    if (norn_attr_i64(call->attrs, "training_mode", 0)) {
        void *room;
        NORN_TRY(norn_cpu_scratch(call, 2 * channels, sizeof(double), &room));
        double *own = room;
        int64_t batch = channels > 0 && plane > 0 ? norn_view_elems(in) / (channels * plane) : 0;
        NORN_TRY(batch_statistics(call, x, batch, channels, plane, own, own + channels));
        mean = own, variance = own + channels;
    }
    int64_t elems = norn_view_elems(in);
    for (int64_t i = 0; i < elems; i++) {
        int64_t c = i / plane % channels;
        y[i] = (x[i] - mean[c]) / sqrt(variance[c] + epsilon) * scale[c] + bias[c];
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

norn_status norn_cpu_lp_norm(norn_call *call) {
    const norn_view *in = &call->in[0];
    const double *x;
    double *y;
    int32_t axis = norn_call_axis(call, -1, in->rank);
    bool l1 = norn_attr_i64(call->attrs, "p", 2) == 1;
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_output_f64(call, 0, &y));
    int64_t length = in->dims[axis], inner = norn_dims_product(in->dims, axis + 1, in->rank);
    for (int64_t r = 0; length && r < norn_view_elems(in) / length; r++) {
        int64_t base = r / inner * length * inner + r % inner;
        double sum = 0;
        for (int64_t i = 0; i < length; i++)
            sum += l1 ? fabs(x[base + i * inner]) : x[base + i * inner] * x[base + i * inner];
        double norm = l1 ? sum : sqrt(sum);
        for (int64_t i = 0; i < length; i++)
            y[base + i * inner] = norm == 0 ? 0 : x[base + i * inner] / norm;
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

/// (x - mean) / (deviation + 1e-9) with statistics over `axes` (default: all but channels).
norn_status norn_cpu_mean_variance_norm(norn_call *call) {
    const norn_view *in = &call->in[0];
    static const int64_t most[] = {0, 2, 3};
    const int64_t *axes;
    const double *x;
    double *y;
    uint32_t count = norn_attr_ints(call->attrs, "axes", &axes);
    bool reduced[NORN_MAX_RANK] = {false};
    if (!count) axes = most, count = 3;
    for (uint32_t i = 0; i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + in->rank : axes[i];
        if (axis < 0 || axis >= in->rank) return norn_call_misfit(call, 0);
        reduced[axis] = true;
    }
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_output_f64(call, 0, &y));
    int64_t groups = 1, strides[NORN_MAX_RANK], elems = norn_view_elems(in);
    for (int32_t d = in->rank - 1; d >= 0; d--) {
        strides[d] = reduced[d] ? 0 : groups;
        groups *= reduced[d] ? 1 : in->dims[d];
    }
    void *room;
    NORN_TRY(norn_cpu_scratch(call, 2 * groups, sizeof(double), &room));
    double *sum = room, *square = sum + groups, per = groups ? (double)elems / (double)groups : 1;
    memset(sum, 0, (size_t)(2 * groups) * sizeof *sum);
    for (int pass = 0; pass < 3; pass++) {
        for (int64_t i = 0; i < elems; i++) {
            int64_t rest = i, g = 0;
            for (int32_t d = in->rank - 1; d >= 0; d--) {
                g += rest % in->dims[d] * strides[d];
                rest /= in->dims[d];
            }
            double centred = x[i] - sum[g] / per;
            if (pass == 0)
                sum[g] += x[i];
            else if (pass == 1)
                square[g] += centred * centred;
            else
                y[i] = centred / (sqrt(square[g] / per) + 1e-9);
        }
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

/// x / (bias + alpha / size * sum of squares of the channels around)^beta.
norn_status norn_cpu_local_response_norm(norn_call *call) {
    const norn_view *in = &call->in[0];
    const double *x;
    double *y;
    double alpha = (double)norn_attr_f32(call->attrs, "alpha", 1e-4f),
           beta = (double)norn_attr_f32(call->attrs, "beta", 0.75f);
    double bias = (double)norn_attr_f32(call->attrs, "bias", 1);
    int64_t size = norn_attr_i64(call->attrs, "size", 1), elems = norn_view_elems(in);
    if (in->rank < 2 || size < 1) return norn_call_misfit(call, 0);
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_output_f64(call, 0, &y));
    int64_t channels = in->dims[1], plane = norn_dims_product(in->dims, 2, in->rank);
    for (int64_t i = 0; i < elems; i++) {
        int64_t c = i / plane % channels, from = c - (size - 1) / 2, to = c + size / 2;
        double sum = 0;
        for (int64_t k = from < 0 ? 0 : from; k <= to && k < channels; k++)
            sum += x[i + (k - c) * plane] * x[i + (k - c) * plane];
        y[i] = x[i] / pow(bias + alpha / (double)size * sum, beta);
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}
