// GridSample and AffineGrid.
//
// Source   https://onnx.ai/onnx/operators/onnx__GridSample.html
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

typedef enum grid_mode { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC } grid_mode;
typedef enum grid_padding { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } grid_padding;

typedef struct grid_job {
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    grid_mode mode;
    grid_padding padding;
    bool corners;
} grid_job;

/// Reflected at the borders until inside.
static float reflect(float x, float low, float high) {
    float range = high - low, away = x < low ? low - x : x > high ? x - high : 0;
    if (away == 0) return x;
    if (!(range > 0)) return low;
    float turns = floorf(away / range), rest = away - turns * range;
    bool even = fmodf(turns, 2) == 0;
    return (x < low) == even ? low + rest : high - rest;
}

static float low_border(const grid_job *job) {
    return job->corners ? 0 : -0.5f;
}
static float high_border(const grid_job *job, int32_t d) {
    return (float)job->dims[d] - (job->corners ? 1.0f : 0.5f);
}

/// The place in the image of a normalised coordinate.
static float place(const grid_job *job, int32_t d, float n) {
    float length = (float)job->dims[d];
    float x = job->corners ? (n + 1) / 2 * (length - 1) : ((n + 1) * length - 1) / 2;
    if (!(fabsf(x) < 1e9f)) x = -1e9f; // NaN and far away: outside
    if (job->mode == GRID_NEAREST) x = rintf(x);
    float low = low_border(job), high = high_border(job, d);
    if (x >= low && x <= high) return x;
    if (job->padding == GRID_BORDER) return fminf(fmaxf(x, 0), length - 1);
    return job->padding == GRID_REFLECTION ? reflect(x, low, high) : x;
}

/// Index of a pixel on axis d, -1 where it is zero.
static int64_t pixel(const grid_job *job, int32_t d, int64_t i) {
    int64_t n = job->dims[d];
    if (i >= 0 && i < n) return i;
    if (job->padding == GRID_ZEROS) return -1;
    if (job->padding == GRID_BORDER) return i < 0 ? 0 : n - 1;
    int64_t at = (int64_t)reflect((float)i, low_border(job), high_border(job, d));
    return at < 0 ? 0 : at >= n ? n - 1 : at;
}

static int axis_taps(const grid_job *job, float x, int64_t *first, float *weight) {
    float below = floorf(x), r = x - below, s = 1 - r, a = -0.75f;
    *first = (int64_t)below;
    if (job->mode == GRID_NEAREST) {
        weight[0] = 1;
        return 1;
    }
    if (job->mode == GRID_LINEAR) {
        weight[0] = s, weight[1] = r;
        return 2;
    }
    *first -= 1;
    weight[0] = ((a * (r + 1) - 5 * a) * (r + 1) + 8 * a) * (r + 1) - 4 * a;
    weight[1] = ((a + 2) * r - (a + 3)) * r * r + 1;
    weight[2] = ((a + 2) * s - (a + 3)) * s * s + 1;
    weight[3] = ((a * (s + 1) - 5 * a) * (s + 1) + 8 * a) * (s + 1) - 4 * a;
    return 4;
}

/// The plane at coordinates x[0 ..rank), outermost axis first.
static float sample(const grid_job *job, const float *plane, const float *x, int32_t d,
                    int64_t base) {
    if (d == job->rank) return plane[base];
    float weight[4], sum = 0;
    int64_t first;
    int taps = axis_taps(job, x[d], &first, weight);
    for (int t = 0; t < taps; t++) {
        int64_t at = pixel(job, d, first + t);
        if (at >= 0 && weight[t] != 0)
            sum += weight[t] * sample(job, plane, x, d + 1, base * job->dims[d] + at);
    }
    return sum;
}

norn_status norn_cpu_grid_sample(norn_call *call) {
    const norn_view *in = &call->in[0], *grid_view = &call->in[1];
    const char *mode = norn_attr_string(call->attrs, "mode", "linear"),
               *padding = norn_attr_string(call->attrs, "padding_mode", "zeros");
    grid_job job = {.rank = in->rank - 2,
                    .corners = norn_attr_i64(call->attrs, "align_corners", 0) != 0};
    const float *x, *grid;
    float *y;
    job.mode = strcmp(mode, "nearest") == 0 ? GRID_NEAREST
               : strstr(mode, "cubic")      ? GRID_CUBIC
                                            : GRID_LINEAR;
    job.padding = strcmp(padding, "border") == 0       ? GRID_BORDER
                  : strcmp(padding, "reflection") == 0 ? GRID_REFLECTION
                                                       : GRID_ZEROS;
    for (int32_t d = 0; d < job.rank; d++) job.dims[d] = in->dims[d + 2];
    NORN_TRY(norn_input_f32(call, 0, &x));
    NORN_TRY(norn_input_f32(call, 1, &grid));
    NORN_TRY(norn_output_f32(call, 0, &y));
    int64_t points = norn_dims_product(grid_view->dims, 1, grid_view->rank - 1),
            plane = norn_dims_product(in->dims, 2, in->rank);
    if (grid_view->dims[0] != in->dims[0] || grid_view->dims[grid_view->rank - 1] != job.rank ||
        norn_view_elems(&call->out[0]) != in->dims[0] * in->dims[1] * points)
        return norn_call_misfit(call, 1);
    for (int64_t n = 0; n < in->dims[0] && plane > 0; n++) {
        for (int64_t p = 0; p < points; p++) {
            float at[NORN_MAX_RANK];
            // The grid's coordinates come innermost axis first.
            for (int32_t d = 0; d < job.rank; d++)
                at[d] = place(&job, d, grid[(n * points + p) * job.rank + job.rank - 1 - d]);
            for (int64_t c = 0; c < in->dims[1]; c++)
                y[(n * in->dims[1] + c) * points + p] =
                    sample(&job, x + (n * in->dims[1] + c) * plane, at, 0, 0);
        }
    }
    norn_result_f32(call, 0, y);
    return NORN_OK;
}

norn_status norn_cpu_affine_grid(norn_call *call) {
    const norn_view *theta_view = &call->in[0], *out = &call->out[0];
    const double *theta;
    double *y;
    int32_t rank = out->rank - 2;
    bool corners = norn_attr_i64(call->attrs, "align_corners", 0) != 0;
    NORN_TRY(norn_input_f64(call, 0, &theta));
    NORN_TRY(norn_output_f64(call, 0, &y));
    if (theta_view->dims[0] != out->dims[0] || theta_view->dims[1] != rank ||
        theta_view->dims[2] != rank + 1)
        return norn_call_misfit(call, 0);
    int64_t points = norn_dims_product(out->dims, 1, out->rank - 1);
    for (int64_t i = 0; i < out->dims[0] * points; i++) {
        double at[4] = {0};
        int64_t rest = i % points;
        for (int32_t d = rank; d >= 1; d--) { // the innermost axis is x
            double n = (double)out->dims[d], k = (double)(rest % out->dims[d]);
            rest /= out->dims[d];
            at[rank - d] = corners ? (n > 1 ? -1 + 2 * k / (n - 1) : -1) : -1 + (2 * k + 1) / n;
        }
        at[rank] = 1;
        for (int32_t r = 0; r < rank; r++) {
            double sum = 0;
            for (int32_t c = 0; c <= rank; c++)
                sum += theta[(i / points * rank + r) * (rank + 1) + c] * at[c];
            y[i * rank + r] = sum;
        }
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}
