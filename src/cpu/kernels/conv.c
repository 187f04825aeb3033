// Conv: patches gathered into columns, then a product with the weights, a group
// and a piece of the output's plane at a time: the columns of a whole plane would
// be as many times the input as the kernel has taps.
#include "cpu/kernels/conv.h"

#include <string.h>

norn_status norn_conv_describe(norn_call *call, const norn_view *x, const norn_view *w,
                               const norn_view *y, norn_conv *out) {
    *out = (norn_conv){.batch = x->dims[0],
                       .channels = x->dims[1],
                       .filters = w->dims[0],
                       .in_plane = 1,
                       .out_plane = 1,
                       .taps = 1};
    out->groups = norn_attr_i64(call->attrs, "group", 1);
    NORN_TRY(norn_window_read(call->attrs, x->rank - 2, w->dims + 2, &out->window));
    norn_window_resolve(&out->window, x->dims + 2);
    for (int32_t d = 0; d < out->window.rank; d++) {
        out->in[d] = x->dims[d + 2];
        out->out[d] = y->dims[d + 2];
        out->in_plane *= out->in[d];
        out->out_plane *= out->out[d];
        out->taps *= out->window.kernel[d];
    }
    bool fits = out->groups > 0 && w->dims[1] * out->groups == out->channels &&
                out->filters % out->groups == 0 && y->dims[0] == out->batch &&
                y->dims[1] == out->filters;
    return fits ? NORN_OK : norn_call_misfit(call, 1);
}

int64_t norn_conv_source(const norn_conv *conv, int64_t tap, int64_t to) {
    int64_t at = 0, scale = 1;
    for (int32_t d = conv->window.rank - 1; d >= 0; d--) {
        int64_t c = to % conv->out[d] * conv->window.stride[d] +
                    tap % conv->window.kernel[d] * conv->window.dilation[d] - conv->window.begin[d];
        if (c < 0 || c >= conv->in[d]) return -1;
        at += c * scale;
        scale *= conv->in[d];
        to /= conv->out[d];
        tap /= conv->window.kernel[d];
    }
    return at;
}

typedef struct conv_job {
    const norn_conv *conv;
    const float *x, *w, *bias;
    float *y, *columns;    ///< columns: [channels of the group * taps, span]
    const int64_t *source; ///< [taps, out_plane]
    int64_t n, group;
    int64_t first, span; ///< positions of the plane that are being computed
} conv_job;

enum { COLUMN_BYTES = 2 << 20, SPAN_MIN = 64 };

static void gather_columns(void *context, int64_t begin, int64_t end, int32_t worker) {
    const conv_job *job = context;
    const norn_conv *c = job->conv;
    int64_t per_group = c->channels / c->groups;
    (void)worker;
    for (int64_t k = begin; k < end; k++) {
        const float *plane =
            job->x + ((job->n * c->channels + job->group * per_group + k / c->taps) * c->in_plane);
        const int64_t *source = job->source + k % c->taps * c->out_plane + job->first;
        float *row = job->columns + k * job->span;
        for (int64_t p = 0; p < job->span; p++) row[p] = source[p] < 0 ? 0 : plane[source[p]];
    }
}

static void multiply_filters(void *context, int64_t begin, int64_t end, int32_t worker) {
    const conv_job *job = context;
    const norn_conv *c = job->conv;
    int64_t depth = c->channels / c->groups * c->taps, per_group = c->filters / c->groups;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t m = job->group * per_group + i;
        float *y = job->y + (job->n * c->filters + m) * c->out_plane + job->first,
              bias = job->bias ? job->bias[m] : 0;
        for (int64_t p = 0; p < job->span; p++) y[p] = bias;
        for (int64_t k = 0; k < depth; k++) {
            const float *column = job->columns + k * job->span, w = job->w[m * depth + k];
            for (int64_t p = 0; p < job->span; p++) y[p] += w * column[p];
        }
    }
}

norn_status norn_conv_sources(norn_call *call, const norn_conv *conv, const int64_t **out) {
    void *room;
    NORN_TRY(norn_cpu_scratch(call, conv->taps * conv->out_plane, sizeof(int64_t), &room));
    int64_t *source = room;
    for (int64_t k = 0; k < conv->taps; k++)
        for (int64_t p = 0; p < conv->out_plane; p++)
            source[k * conv->out_plane + p] = norn_conv_source(conv, k, p);
    *out = source;
    return NORN_OK;
}

static void convolve_span(norn_pool *pool, conv_job *job, int64_t depth) {
    const norn_conv *c = job->conv;
    norn_pool_loop(pool, depth, 1 + 4096 / (job->span + 1), gather_columns, job);
    norn_pool_loop(pool, c->filters / c->groups, 1 + 8192 / (depth * job->span + 1),
                   multiply_filters, job);
}

norn_status norn_cpu_conv(norn_call *call) {
    norn_conv conv;
    conv_job job = {.conv = &conv};
    void *room;
    NORN_TRY(norn_conv_describe(call, &call->in[0], &call->in[1], &call->out[0], &conv));
    NORN_TRY(norn_input_f32(call, 0, &job.x));
    NORN_TRY(norn_input_f32(call, 1, &job.w));
    NORN_TRY(norn_input_f32(call, 2, &job.bias));
    NORN_TRY(norn_output_f32(call, 0, &job.y));
    if (job.bias && norn_view_elems(&call->in[2]) != conv.filters) return norn_call_misfit(call, 2);
    NORN_TRY(norn_conv_sources(call, &conv, &job.source));
    int64_t depth = conv.channels / conv.groups * conv.taps;
    int64_t most = COLUMN_BYTES / (int64_t)sizeof(float) / (depth > 0 ? depth : 1);
    if (most < SPAN_MIN) most = SPAN_MIN;
    if (most > conv.out_plane) most = conv.out_plane;
    NORN_TRY(norn_cpu_scratch(call, depth * most, sizeof(float), &room));
    job.columns = room;
    for (job.n = 0; job.n < conv.batch; job.n++)
        for (job.group = 0; job.group < conv.groups; job.group++)
            for (job.first = 0; job.first < conv.out_plane; job.first += most) {
                job.span = conv.out_plane - job.first < most ? conv.out_plane - job.first : most;
                convolve_span(call->pool, &job, depth);
            }
    norn_result_f32(call, 0, job.y);
    return NORN_OK;
}

/// Every input element spreads its products over the output.
norn_status norn_cpu_conv_transpose(norn_call *call) {
    const norn_view *in = &call->in[0], *weight = &call->in[1], *out = &call->out[0];
    const float *x, *w, *bias;
    float *y;
    norn_window window;
    const int64_t *shape, *extra;
    int64_t groups = norn_attr_i64(call->attrs, "group", 1), in_plane = 1, out_plane = 1, taps = 1;
    NORN_TRY(norn_window_read(call->attrs, in->rank - 2, weight->dims + 2, &window));
    NORN_TRY(norn_input_f32(call, 0, &x));
    NORN_TRY(norn_input_f32(call, 1, &w));
    NORN_TRY(norn_input_f32(call, 2, &bias));
    NORN_TRY(norn_output_f32(call, 0, &y));
    bool explicit_shape = norn_attr_ints(call->attrs, "output_shape", &shape) > 0;
    uint32_t extras = norn_attr_ints(call->attrs, "output_padding", &extra);
    for (int32_t d = 0; d < window.rank; d++) {
        in_plane *= in->dims[d + 2];
        out_plane *= out->dims[d + 2];
        taps *= window.kernel[d];
        if (!explicit_shape && window.auto_pad != NORN_PAD_SAME_UPPER &&
            window.auto_pad != NORN_PAD_SAME_LOWER)
            continue;
        int64_t total = window.stride[d] * (in->dims[d + 2] - 1) + (extras ? extra[d] : 0) +
                        norn_window_span(&window, d) - out->dims[d + 2];
        window.begin[d] = window.auto_pad == NORN_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        if (total < 0) window.begin[d] = 0;
    }
    int64_t channels = in->dims[1], per_filter = weight->dims[1], filters = per_filter * groups;
    if (weight->dims[0] != channels || channels % groups || out->dims[1] != filters ||
        (bias && norn_view_elems(&call->in[2]) != filters))
        return norn_call_misfit(call, 1);
    for (int64_t i = 0; i < in->dims[0] * filters * out_plane; i++)
        y[i] = bias ? bias[i / out_plane % filters] : 0;
    for (int64_t p = 0; p < in_plane; p++) {
        for (int64_t k = 0; k < taps; k++) {
            int64_t rest = p, tap = k, to = 0, scale = 1;
            bool inside = true;
            for (int32_t d = window.rank - 1; d >= 0; d--) {
                int64_t c = rest % in->dims[d + 2] * window.stride[d] +
                            tap % window.kernel[d] * window.dilation[d] - window.begin[d];
                inside = inside && c >= 0 && c < out->dims[d + 2];
                to += c * scale;
                scale *= out->dims[d + 2];
                rest /= in->dims[d + 2];
                tap /= window.kernel[d];
            }
            if (!inside) continue;
            for (int64_t n = 0; n < in->dims[0]; n++)
                for (int64_t c = 0; c < channels; c++)
                    for (int64_t f = 0; f < per_filter; f++)
                        y[(n * filters + c / (channels / groups) * per_filter + f) * out_plane +
                          to] += x[(n * channels + c) * in_plane + p] *
                                 w[(c * per_filter + f) * taps + k];
        }
    }
    norn_result_f32(call, 0, y);
    return NORN_OK;
}
