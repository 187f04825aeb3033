// DeformConv: a convolution whose taps are moved by learned offsets and
// weighted by a mask. Two spatial dims.
#include "cpu/kernels/conv.h"

#include <math.h>

/// Bilinear, zero outside.
static float sample(const float *plane, int64_t height, int64_t width, float y, float x) {
    if (!(y > -1 && y < (float)height && x > -1 && x < (float)width)) return 0;
    float y0 = floorf(y), x0 = floorf(x), dy = y - y0, dx = x - x0, sum = 0;
    for (int k = 0; k < 4; k++) {
        int64_t r = (int64_t)y0 + k / 2, c = (int64_t)x0 + k % 2;
        if (r < 0 || r >= height || c < 0 || c >= width) continue;
        sum += (k / 2 ? dy : 1 - dy) * (k % 2 ? dx : 1 - dx) * plane[r * width + c];
    }
    return sum;
}

norn_status norn_cpu_deform_conv(norn_call *call) {
    norn_conv conv;
    const float *x, *w, *offset, *bias, *mask;
    float *y;
    NORN_TRY(norn_conv_describe(call, &call->in[0], &call->in[1], &call->out[0], &conv));
    if (conv.window.rank != 2)
        return norn_fail(NORN_UNIMPLEMENTED, "DeformConv of %d spatial dimensions; 2 are taken",
                         conv.window.rank);
    NORN_TRY(norn_input_f32(call, 0, &x));
    NORN_TRY(norn_input_f32(call, 1, &w));
    NORN_TRY(norn_input_f32(call, 2, &offset));
    NORN_TRY(norn_input_f32(call, 3, &bias));
    NORN_TRY(norn_input_f32(call, 4, &mask));
    NORN_TRY(norn_output_f32(call, 0, &y));
    int64_t offset_groups = norn_attr_i64(call->attrs, "offset_group", 1), taps = conv.taps,
            plane = conv.out_plane;
    if (offset_groups < 1 || conv.channels % offset_groups ||
        norn_view_elems(&call->in[2]) != conv.batch * offset_groups * taps * 2 * plane)
        return norn_call_misfit(call, 2);
    if (bias && norn_view_elems(&call->in[3]) != conv.filters) return norn_call_misfit(call, 3);
    if (mask && norn_view_elems(&call->in[4]) != conv.batch * offset_groups * taps * plane)
        return norn_call_misfit(call, 4);
    const norn_window *win = &conv.window;
    int64_t per_group = conv.channels / conv.groups, filters = conv.filters / conv.groups;
    for (int64_t i = 0; i < conv.batch * conv.filters * plane; i++)
        y[i] = bias ? bias[i / plane % conv.filters] : 0;
    for (int64_t n = 0; n < conv.batch; n++) {
        for (int64_t c = 0; c < conv.channels; c++) {
            int64_t group = n * offset_groups + c / (conv.channels / offset_groups);
            for (int64_t k = 0; k < taps * plane; k++) {
                int64_t tap = k / plane, p = k % plane;
                const float *moved = offset + ((group * taps + tap) * 2) * plane + p;
                float row = (float)(p / conv.out[1] * win->stride[0] - win->begin[0] +
                                    tap / win->kernel[1] * win->dilation[0]) +
                            moved[0];
                float column = (float)(p % conv.out[1] * win->stride[1] - win->begin[1] +
                                       tap % win->kernel[1] * win->dilation[1]) +
                               moved[plane];
                float value = sample(x + (n * conv.channels + c) * conv.in_plane, conv.in[0],
                                     conv.in[1], row, column);
                if (mask) value *= mask[(group * taps + tap) * plane + p];
                for (int64_t f = 0; f < filters; f++) {
                    int64_t m = c / per_group * filters + f;
                    y[(n * conv.filters + m) * plane + p] +=
                        value * w[(m * per_group + c % per_group) * taps + tap];
                }
            }
        }
    }
    norn_result_f32(call, 0, y);
    return NORN_OK;
}
