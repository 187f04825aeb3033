// NonMaxSuppression, RoiAlign, MaxRoiPool.
#include "cpu/kernels/index_of.h"
#include "cpu/kernels/operand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct box {
    float x0, y0, x1, y1, score;
    int64_t index;
} box;

static box box_of(const float *at, bool centred, float score, int64_t index) {
    if (centred)
        return (box){at[0] - at[2] / 2,
                     at[1] - at[3] / 2,
                     at[0] + at[2] / 2,
                     at[1] + at[3] / 2,
                     score,
                     index};
    return (box){fminf(at[1], at[3]),
                 fminf(at[0], at[2]),
                 fmaxf(at[1], at[3]),
                 fmaxf(at[0], at[2]),
                 score,
                 index};
}

static float overlap(const box *a, const box *b) {
    float width = fminf(a->x1, b->x1) - fmaxf(a->x0, b->x0),
          height = fminf(a->y1, b->y1) - fmaxf(a->y0, b->y0);
    float area_a = (a->x1 - a->x0) * (a->y1 - a->y0), area_b = (b->x1 - b->x0) * (b->y1 - b->y0);
    if (width <= 0 || height <= 0 || area_a <= 0 || area_b <= 0) return 0;
    return width * height / (area_a + area_b - width * height);
}

static int best_first(const void *a, const void *b) {
    const box *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

norn_status norn_cpu_non_max_suppression(norn_call *call) {
    const float *boxes, *scores;
    void *room;
    const norn_view *in = call->in;
    NORN_TRY(norn_call_numbers(call, 2, 5));
    bool centred = norn_attr_i64(call->attrs, "center_point_box", 0) != 0,
         has_threshold = norn_call_has(call, 4);
    int64_t batches = in[0].dims[0], spots = in[0].dims[1], classes = in[1].dims[1];
    int64_t most = norn_call_has(call, 2) ? norn_element_i64(in[2].dtype, in[2].data, 0) : 0;
    float limit = norn_call_has(call, 3) ? (float)norn_element_f64(in[3].dtype, in[3].data, 0) : 0;
    float threshold = has_threshold ? (float)norn_element_f64(in[4].dtype, in[4].data, 0) : 0;
    if (in[0].dims[2] != 4) return norn_call_misfit(call, 0);
    if (in[1].dims[0] != batches || in[1].dims[2] != spots) return norn_call_misfit(call, 1);
    NORN_TRY(norn_input_f32(call, 0, &boxes));
    NORN_TRY(norn_input_f32(call, 1, &scores));
    if (most < 0) most = 0;
    if (most > spots) most = spots;
    NORN_TRY(norn_cpu_scratch(call, 2 * spots + 1, sizeof(box), &room));
    box *waiting = room, *kept = waiting + spots;
    NORN_TRY(norn_cpu_scratch(call, 3 * batches * classes * most, sizeof(int64_t), &room));
    int64_t *chosen = room, found = 0;
    for (int64_t r = 0; r < batches * classes; r++) {
        int64_t count = 0, held = 0;
        for (int64_t i = 0; i < spots; i++) {
            float score = scores[r * spots + i];
            if (has_threshold && !(score > threshold)) continue;
            waiting[count++] = box_of(boxes + (r / classes * spots + i) * 4, centred, score, i);
        }
        if (count > 1) qsort(waiting, (size_t)count, sizeof *waiting, best_first);
        for (int64_t i = 0; i < count && held < most; i++) {
            bool hidden = false;
            for (int64_t k = 0; k < held && !hidden; k++)
                hidden = overlap(&kept[k], &waiting[i]) > limit;
            if (hidden) continue;
            kept[held++] = waiting[i];
            chosen[3 * found] = r / classes;
            chosen[3 * found + 1] = r % classes;
            chosen[3 * found++ + 2] = waiting[i].index;
        }
    }
    NORN_TRY(norn_call_output(call, 0, NORN_I64, 2, (int64_t[]){found, 3}));
    if (found) memcpy(call->out[0].data, chosen, (size_t)found * 3 * sizeof *chosen);
    return NORN_OK;
}

/// Four neighbours of a point and their weights, multiplied; false outside the image.
static bool neighbours(double y, double x, int64_t height, int64_t width, int64_t at[4],
                       double weight[4]) {
    if (!(y >= -1 && y <= (double)height && x >= -1 && x <= (double)width)) return false;
    y = fmax(y, 0), x = fmax(x, 0);
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1, x1 = x0 + 1;
    if (y0 >= height - 1) y0 = y1 = height - 1, y = (double)y0;
    if (x0 >= width - 1) x0 = x1 = width - 1, x = (double)x0;
    double dy = y - (double)y0, dx = x - (double)x0;
    at[0] = y0 * width + x0, at[1] = y0 * width + x1, at[2] = y1 * width + x0,
    at[3] = y1 * width + x1;
    weight[0] = (1 - dy) * (1 - dx), weight[1] = (1 - dy) * dx, weight[2] = dy * (1 - dx),
    weight[3] = dy * dx;
    return true;
}

typedef struct roi {
    double top, left, bin_height, bin_width;
    int64_t grid_height, grid_width;
} roi;

static double align_bin(const roi *r, const double *plane, int64_t height, int64_t width,
                        int64_t ph, int64_t pw, bool max) {
    double sum = 0, most = 0;
    bool first = true;
    for (int64_t iy = 0; iy < r->grid_height; iy++) {
        double y = r->top + (double)ph * r->bin_height +
                   ((double)iy + 0.5) * r->bin_height / (double)r->grid_height;
        for (int64_t ix = 0; ix < r->grid_width; ix++) {
            double x = r->left + (double)pw * r->bin_width +
                       ((double)ix + 0.5) * r->bin_width / (double)r->grid_width,
                   weight[4];
            int64_t at[4];
            bool inside = neighbours(y, x, height, width, at, weight);
            for (int k = 0; k < 4; k++) {
                double value = inside ? weight[k] * plane[at[k]] : 0;
                sum += value;
                if (first || value > most) most = value;
                first = false;
            }
        }
    }
    int64_t samples = r->grid_height * r->grid_width;
    return max ? most : sum / (double)(samples > 1 ? samples : 1);
}

norn_status norn_cpu_roi_align(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const double *x, *rois;
    const int64_t *batch;
    double *y;
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_input_f64(call, 1, &rois));
    NORN_TRY(norn_input_i64(call, 2, &batch));
    NORN_TRY(norn_output_f64(call, 0, &y));
    double scale = (double)norn_attr_f32(call->attrs, "spatial_scale", 1);
    bool half =
        strcmp(norn_attr_string(call->attrs, "coordinate_transformation_mode", "half_pixel"),
               "half_pixel") == 0;
    bool max = strcmp(norn_attr_string(call->attrs, "mode", "avg"), "max") == 0;
    int64_t ratio = norn_attr_i64(call->attrs, "sampling_ratio", 0), count = out->dims[0],
            channels = in->dims[1];
    int64_t height = in->dims[2], width = in->dims[3], rows = out->dims[2], columns = out->dims[3];
    if (call->in[1].dims[1] != 4 || call->in[1].dims[0] != count ||
        norn_view_elems(&call->in[2]) != count || out->dims[1] != channels)
        return norn_call_misfit(call, 1);
    for (int64_t n = 0; n < count; n++) {
        int64_t image = batch[n];
        NORN_TRY(norn_index_in(&image, in->dims[0]));
        double box_at[4];
        for (int k = 0; k < 4; k++) box_at[k] = rois[4 * n + k] * scale - (half ? 0.5 : 0);
        double w = box_at[2] - box_at[0], h = box_at[3] - box_at[1];
        if (!half) w = fmax(w, 1), h = fmax(h, 1);
        if (!(fabs(w) < 1e6 && fabs(h) < 1e6))
            return norn_fail(NORN_INVALID_ARGUMENT, "region %lld is too large", (long long)n);
        roi r = {box_at[1],
                 box_at[0],
                 h / (double)rows,
                 w / (double)columns,
                 ratio > 0 ? ratio : (int64_t)ceil(h / (double)rows),
                 ratio > 0 ? ratio : (int64_t)ceil(w / (double)columns)};
        for (int64_t i = 0; i < channels * rows * columns; i++) {
            const double *plane = x + (image * channels + i / (rows * columns)) * height * width;
            y[n * channels * rows * columns + i] =
                align_bin(&r, plane, height, width, i / columns % rows, i % columns, max);
        }
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

/// Regions [batch, x0, y0, x1, y1], ends included, cut into bins.
norn_status norn_cpu_max_roi_pool(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const double *x, *rois;
    double *y, scale = (double)norn_attr_f32(call->attrs, "spatial_scale", 1);
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_input_f64(call, 1, &rois));
    NORN_TRY(norn_output_f64(call, 0, &y));
    int64_t channels = in->dims[1], height = in->dims[2], width = in->dims[3], rows = out->dims[2],
            columns = out->dims[3];
    if (call->in[1].dims[1] != 5 || call->in[1].dims[0] != out->dims[0] || out->dims[1] != channels)
        return norn_call_misfit(call, 1);
    for (int64_t n = 0; n < out->dims[0]; n++) {
        for (int k = 0; k < 5; k++)
            if (!(fabs(rois[5 * n + k] * scale) < 1e9))
                return norn_fail(NORN_INVALID_ARGUMENT, "region %lld is too large", (long long)n);
        int64_t image = (int64_t)rois[5 * n], begin[2], size[2];
        NORN_TRY(norn_index_in(&image, in->dims[0]));
        for (int k = 0; k < 2; k++) {
            begin[k] = (int64_t)round(rois[5 * n + 1 + k] * scale);
            size[k] = (int64_t)round(rois[5 * n + 3 + k] * scale) - begin[k] + 1;
            if (size[k] < 1) size[k] = 1;
        }
        for (int64_t i = 0; i < channels * rows * columns; i++) {
            int64_t ph = i / columns % rows, pw = i % columns, range[4];
            range[0] = begin[1] + ph * size[1] / rows;
            range[1] = begin[1] + ((ph + 1) * size[1] + rows - 1) / rows;
            range[2] = begin[0] + pw * size[0] / columns;
            range[3] = begin[0] + ((pw + 1) * size[0] + columns - 1) / columns;
            for (int k = 0; k < 4; k++)
                range[k] = range[k] < 0                          ? 0
                           : range[k] > (k < 2 ? height : width) ? (k < 2 ? height : width)
                                                                 : range[k];
            double most = range[0] < range[1] && range[2] < range[3] ? -(double)INFINITY : 0;
            const double *plane = x + (image * channels + i / (rows * columns)) * height * width;
            for (int64_t h = range[0]; h < range[1]; h++)
                for (int64_t w = range[2]; w < range[3]; w++)
                    most = fmax(most, plane[h * width + w]);
            y[n * channels * rows * columns + i] = most;
        }
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}
