// Kernels of images at several images, channels, regions and axes at once, against loops that read
// like the definition: what one image of one channel does not tell apart.
#include "base/cmocka_all.h"
#include "base/hash.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_node.h"
#include "tensor/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static norn_string text_of(const char *text) {
    return (norn_string){text, strlen(text)};
}
#define DIMS(...) ((int64_t[]){__VA_ARGS__})

static void expect(const norn_view *out, const double *want, int64_t count, const char *what) {
    assert_int_equal(norn_view_elems(out), count);
    for (int64_t i = 0; i < count; i++) {
        double got = (double)((const float *)out->data)[i];
        if (!(fabs(got - want[i]) <= 1e-5 * (1 + fabs(want[i]))))
            fail_msg("%s: element %lld is %g, not %g", what, (long long)i, got, want[i]);
    }
}

// ---- regions

enum { IMAGES = 2, CHANNELS = 3, HEIGHT = 5, WIDTH = 7, REGIONS = 6, ROWS = 2, COLUMNS = 3 };

static float image[IMAGES * CHANNELS * HEIGHT * WIDTH];

static void fill_image(void) {
    norn_random random;
    norn_random_init(&random, 5);
    for (size_t i = 0; i < sizeof image / sizeof *image; i++)
        image[i] = (float)norn_random_unit(&random) * 2 - 1;
}

static double pixel(int64_t n, int64_t c, int64_t y, int64_t x) {
    return (double)image[((n * CHANNELS + c) * HEIGHT + y) * WIDTH + x];
}

/// The four weighted neighbours of a point; all 0 more than a pixel outside.
static void corners_at(int64_t n, int64_t c, double y, double x, double value[4]) {
    memset(value, 0, 4 * sizeof *value);
    if (y < -1 || y > HEIGHT || x < -1 || x > WIDTH) return;
    y = fmin(fmax(y, 0), HEIGHT - 1), x = fmin(fmax(x, 0), WIDTH - 1);
    int64_t top = (int64_t)y, left = (int64_t)x;
    int64_t below = top + 1 < HEIGHT ? top + 1 : top, right = left + 1 < WIDTH ? left + 1 : left;
    double down = y - (double)top, across = x - (double)left;
    value[0] = (1 - down) * (1 - across) * pixel(n, c, top, left);
    value[1] = (1 - down) * across * pixel(n, c, top, right);
    value[2] = down * (1 - across) * pixel(n, c, below, left);
    value[3] = down * across * pixel(n, c, below, right);
}

/// x0, y0, x1, y1: inside; across the lower right corner; off the upper left one; narrower than a
/// pixel; with points at exactly -1, and at exactly the height and the width.
static float regions[REGIONS * 4] = {0.5f, 0.5f, 5.25f, 3.75f, 4,    2,    9,    8,
                                     -3,   -2,   2.5f,  1.5f,  2.1f, 1.2f, 2.4f, 1.4f,
                                     -1.5, -1.5, 1.5f,  0.5f,  4.5f, 3.5f, 7.5f, 5.5f};
static int64_t of_image[REGIONS] = {1, 0, 1, 0, 1, 0};

static void align_by_definition(bool half, bool max, int64_t ratio, double scale, double *want) {
    for (int64_t r = 0; r < REGIONS; r++)
        for (int64_t c = 0; c < CHANNELS; c++)
            for (int64_t i = 0; i < ROWS; i++)
                for (int64_t j = 0; j < COLUMNS; j++) {
                    double box[4], sum = 0, most = -INFINITY;
                    for (int k = 0; k < 4; k++)
                        box[k] = (double)regions[4 * r + k] * scale - (half ? 0.5 : 0);
                    double w = box[2] - box[0], h = box[3] - box[1];
                    if (!half) w = fmax(w, 1), h = fmax(h, 1);
                    w /= COLUMNS, h /= ROWS;
                    int64_t down = ratio ? ratio : (int64_t)ceil(h),
                            across = ratio ? ratio : (int64_t)ceil(w);
                    for (int64_t a = 0; a < down; a++)
                        for (int64_t b = 0; b < across; b++) {
                            double value[4];
                            corners_at(of_image[r], c,
                                       box[1] + h * ((double)i + ((double)a + 0.5) / (double)down),
                                       box[0] +
                                           w * ((double)j + ((double)b + 0.5) / (double)across),
                                       value);
                            for (int k = 0; k < 4; k++) {
                                sum += value[k];
                                most = fmax(most, value[k]);
                            }
                        }
                    *want++ = max ? most : sum / (double)(down * across);
                }
}

static void regions_of_several_images_and_channels_are_aligned_as_defined(void **state) {
    (void)state;
    fill_image();
    for (int form = 0; form < 24; form++) {
        const bool half = form % 2 == 0, max = form / 2 % 2 != 0;
        const int64_t ratio = form / 4 % 3;
        const float scale = form < 12 ? 1 : 0.5f;
        const norn_attr attrs[] = {
            {.name = "spatial_scale", .kind = NORN_ATTR_FLOAT, .f32 = scale},
            {.name = "sampling_ratio", .kind = NORN_ATTR_INT, .i64 = ratio},
            {.name = "coordinate_transformation_mode",
             .kind = NORN_ATTR_STRING,
             .string = text_of(half ? "half_pixel" : "output_half_pixel")},
            {.name = "mode", .kind = NORN_ATTR_STRING, .string = text_of(max ? "max" : "avg")},
        };
        double want[REGIONS * CHANNELS * ROWS * COLUMNS];
        norn_view in[3] = {norn_view_of(NORN_F32, 4, DIMS(IMAGES, CHANNELS, HEIGHT, WIDTH), image),
                           norn_view_of(NORN_F32, 2, DIMS(REGIONS, 4), regions),
                           norn_view_of(NORN_I64, 1, DIMS(REGIONS), of_image)};
        norn_view out = norn_view_of(NORN_F32, 4, DIMS(REGIONS, CHANNELS, ROWS, COLUMNS), NULL);
        norn_solo solo;
        char what[32];
        snprintf(what, sizeof what, "form %d", form);
        align_by_definition(half, max, ratio, (double)scale, want);
        assert_int_equal(solo_run_node(&solo, NORN_OP_RoiAlign, norn_cpu_roi_align,
                                       (norn_attrs){attrs, 4}, in, 3, &out),
                         NORN_OK);
        expect(&out, want, sizeof want / sizeof *want, what);
        norn_solo_deinit(&solo);
    }
}

static void regions_of_no_image_are_refused(void **state) {
    (void)state;
    for (int bad = 0; bad < 4; bad++) {
        int64_t which[REGIONS] = {1, 0, 1, 0, 1, 0};
        norn_view in[3] = {norn_view_of(NORN_F32, 4, DIMS(IMAGES, CHANNELS, HEIGHT, WIDTH), image),
                           norn_view_of(NORN_F32, 2, DIMS(REGIONS, 4), regions),
                           norn_view_of(NORN_I64, 1, DIMS(REGIONS), which)};
        norn_view out = norn_view_of(NORN_F32, 4, DIMS(REGIONS, CHANNELS, ROWS, COLUMNS), NULL);
        norn_solo solo;
        if (bad == 0) which[2] = IMAGES;
        if (bad == 1) in[2].dims[0] = REGIONS - 1;
        if (bad == 2) in[1].dims[0] = REGIONS - 1;
        if (bad == 3) out.dims[1] = CHANNELS + 1;
        assert_int_equal(solo_run_node(&solo, NORN_OP_RoiAlign, norn_cpu_roi_align, (norn_attrs){0},
                                       in, 3, &out),
                         NORN_INVALID_ARGUMENT);
        norn_solo_deinit(&solo);
    }
}

static void the_greatest_of_each_bin_is_of_its_own_image_and_channel(void **state) {
    (void)state;
    fill_image();
    float rois[3 * 5] = {1, 0, 0, 6, 4, 0, 2, 1, 3, 2, 1, 5, 3, 9, 9};
    double want[3 * CHANNELS * ROWS * COLUMNS], *at = want;
    for (int r = 0; r < 3; r++)
        for (int64_t c = 0; c < CHANNELS; c++)
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLUMNS; j++, at++) {
                    const double x0 = (double)rois[5 * r + 1], y0 = (double)rois[5 * r + 2];
                    const double w = ((double)rois[5 * r + 3] - x0 + 1) / COLUMNS,
                                 h = ((double)rois[5 * r + 4] - y0 + 1) / ROWS;
                    *at = -INFINITY;
                    for (int64_t y = 0; y < HEIGHT; y++)
                        for (int64_t x = 0; x < WIDTH; x++)
                            if ((double)y >= floor(y0 + i * h) &&
                                (double)y < ceil(y0 + (i + 1) * h) &&
                                (double)x >= floor(x0 + j * w) &&
                                (double)x < ceil(x0 + (j + 1) * w))
                                *at = fmax(*at, pixel((int64_t)rois[5 * r], c, y, x));
                    if (isinf(*at)) *at = 0; // a bin without pixels
                }
    norn_view in[2] = {norn_view_of(NORN_F32, 4, DIMS(IMAGES, CHANNELS, HEIGHT, WIDTH), image),
                       norn_view_of(NORN_F32, 2, DIMS(3, 5), rois)};
    norn_view out = norn_view_of(NORN_F32, 4, DIMS(3, CHANNELS, ROWS, COLUMNS), NULL);
    norn_solo solo;
    assert_int_equal(solo_run_node(&solo, NORN_OP_MaxRoiPool, norn_cpu_max_roi_pool,
                                   (norn_attrs){0}, in, 2, &out),
                     NORN_OK);
    expect(&out, want, sizeof want / sizeof *want, "pooled");
    norn_solo_deinit(&solo);
}

static void regions_that_no_image_has_are_refused(void **state) {
    static float pixels[2 * 2 * 6 * 6];
    static const float wrong[] = {3e9f, -2e9f, NAN, INFINITY};
    (void)state;
    for (int k = 0; k < 5; k++)
        for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
            float rois[2 * 5] = {0, 1, 1, 3, 3, 1, 0, 0, 2, 2};
            rois[5 + k] = wrong[w];
            norn_view in[] = {norn_view_of(NORN_F32, 4, DIMS(2, 2, 6, 6), pixels),
                              norn_view_of(NORN_F32, 2, DIMS(2, 5), rois)};
            norn_view out = norn_view_of(NORN_F32, 4, DIMS(2, 2, 2, 2), NULL);
            norn_solo solo;
            assert_int_equal(solo_run_node(&solo, NORN_OP_MaxRoiPool, norn_cpu_max_roi_pool,
                                           (norn_attrs){0}, in, 2, &out),
                             NORN_INVALID_ARGUMENT);
            norn_solo_deinit(&solo);
        }
}

/// How many, how near and how good are one number each.
static void a_suppression_by_two_numbers_is_refused(void **state) {
    static float boxes[2 * 4], scores[2], two[2];
    static int64_t most[2] = {1, 1};
    (void)state;
    for (int64_t wrong = 1; wrong < 5; wrong++) {
        norn_view in[5] = {norn_view_of(NORN_F32, 3, DIMS(1, 2, 4), boxes),
                           norn_view_of(NORN_F32, 3, DIMS(1, 1, 2), scores),
                           norn_view_of(NORN_I64, 1, DIMS(wrong == 2 ? 2 : 1), most),
                           norn_view_of(NORN_F32, 1, DIMS(wrong == 3 ? 2 : 1), two),
                           norn_view_of(NORN_F32, 1, DIMS(wrong == 4 ? 2 : 1), two)};
        norn_view out = norn_view_of(NORN_I64, 2, DIMS(2, 3), (int64_t[6]){0});
        norn_solo solo;
        const norn_status status =
            solo_run_node(&solo, NORN_OP_NonMaxSuppression, norn_cpu_non_max_suppression,
                          (norn_attrs){0}, in, 5, &out);
        assert_int_equal(status, wrong == 1 ? NORN_OK : NORN_INVALID_ARGUMENT);
        norn_solo_deinit(&solo);
    }
}

// ---- Resize

/// x [3, 4, 5] along one axis by linear interpolation, asymmetric: out[o] lies at o / scale.
typedef struct resize_case {
    const char *what;
    int64_t axes[3];
    uint32_t axis_count; ///< 0: no attribute
    double scales[3];    ///< by entry of axes; 0: sizes are given
    int64_t sizes[3];
    const char *policy;
    int64_t out[3];      ///< that the shape function gives
    double effective[3]; ///< scale by axis
} resize_case;

static const resize_case resize_cases[] = {
    {"first axis", {0}, 1, {1.5}, {0}, NULL, {4, 4, 5}, {1.5, 1, 1}},
    {"middle axis", {1}, 1, {0.6}, {0}, NULL, {3, 2, 5}, {1, 0.6, 1}},
    {"axis -1", {-1}, 1, {1.3}, {0}, NULL, {3, 4, 6}, {1, 1, 1.3}},
    {"axis -3", {-3}, 1, {1.7}, {0}, NULL, {5, 4, 5}, {1.7, 1, 1}},
    {"two, turned", {2, 0}, 2, {0.5, 2}, {0}, NULL, {6, 4, 2}, {2, 1, 0.5}},
    {"all", {0}, 0, {1.4, 1, 2.1}, {0}, NULL, {4, 4, 10}, {1.4, 1, 2.1}},
    {"size of the first", {0}, 1, {0}, {5}, NULL, {5, 4, 5}, {5.0 / 3, 1, 1}},
    {"sizes, turned", {-1, 0}, 2, {0}, {7, 2}, NULL, {2, 4, 7}, {2.0 / 3, 1, 1.4}},
    {"sizes of all", {0}, 0, {0}, {6, 2, 5}, NULL, {6, 2, 5}, {2, 0.5, 1}},
    {"as long as before", {1}, 1, {1.2}, {0}, NULL, {3, 4, 5}, {1, 1.2, 1}},
    {"smaller, not larger", {0, 2}, 2, {0}, {2, 3}, "not_larger", {2, 4, 3}, {0.6, 1, 0.6}},
    {"smaller, not smaller",
     {0, 2},
     2,
     {0},
     {2, 3},
     "not_smaller",
     {2, 4, 3},
     {2.0 / 3, 1, 2.0 / 3}},
    {"not larger", {0, 2}, 2, {0}, {7, 6}, "not_larger", {4, 4, 6}, {1.2, 1, 1.2}},
    {"not larger, turned", {2, 0}, 2, {0}, {6, 7}, "not_larger", {4, 4, 6}, {1.2, 1, 1.2}},
    {"not smaller", {0, 2}, 2, {0}, {7, 6}, "not_smaller", {7, 4, 12}, {7.0 / 3, 1, 7.0 / 3}},
    {"not smaller, -3", {-1, -3}, 2, {0}, {6, 7}, "not_smaller", {7, 4, 12}, {7.0 / 3, 1, 7.0 / 3}},
};

/// [outer, n, inner] -> [outer, m, inner].
static void stretch(const double *from, double *to, int64_t outer, int64_t n, int64_t m,
                    int64_t inner, double scale) {
    for (int64_t o = 0; o < outer; o++)
        for (int64_t x = 0; x < m; x++)
            for (int64_t i = 0; i < inner; i++) {
                double at = (double)x / scale;
                int64_t left = (int64_t)floor(at), right = left + 1;
                double part = at - (double)left;
                left = left < n ? left : n - 1, right = right < n ? right : n - 1;
                to[(o * m + x) * inner + i] = from[(o * n + left) * inner + i] * (1 - part) +
                                              from[(o * n + right) * inner + i] * part;
            }
}

static void expect_resized(const resize_case *c, bool with_roi) {
    float x[3 * 4 * 5], scales[3], roi[6] = {0, 0, 0, 1, 1, 1};
    double a[900], b[900];
    int64_t sizes[3];
    const uint32_t count = c->axis_count ? c->axis_count : 3;
    for (int i = 0; i < 60; i++) a[i] = (double)(x[i] = (float)(i * 37 % 61) / 8);
    for (uint32_t i = 0; i < count; i++) scales[i] = (float)c->scales[i], sizes[i] = c->sizes[i];
    stretch(a, b, 1, 3, c->out[0], 20, c->effective[0]);
    stretch(b, a, c->out[0], 4, c->out[1], 5, c->effective[1]);
    stretch(a, b, c->out[0] * c->out[1], 5, c->out[2], 1, c->effective[2]);
    const bool by_scales = c->scales[0] != 0;
    norn_attr attrs[4] = {{.name = "mode", .kind = NORN_ATTR_STRING, .string = text_of("linear")},
                          {.name = "coordinate_transformation_mode",
                           .kind = NORN_ATTR_STRING,
                           .string = text_of("asymmetric")}};
    uint32_t attr_count = 2;
    if (c->axis_count)
        attrs[attr_count++] = (norn_attr){
            .name = "axes", .kind = NORN_ATTR_INTS, .count = c->axis_count, .ints = c->axes};
    if (c->policy)
        attrs[attr_count++] = (norn_attr){.name = "keep_aspect_ratio_policy",
                                          .kind = NORN_ATTR_STRING,
                                          .string = text_of(c->policy)};
    norn_view in[4] = {norn_view_of(NORN_F32, 3, DIMS(3, 4, 5), x)};
    if (with_roi) in[1] = norn_view_of(NORN_F32, 1, DIMS(2 * (int64_t)count), roi);
    // Sizes may come beside scales of no elements, as opset 11 wants them.
    if (by_scales || with_roi)
        in[2] = norn_view_of(NORN_F32, 1, DIMS(by_scales ? (int64_t)count : 0), scales);
    if (!by_scales) in[3] = norn_view_of(NORN_I64, 1, DIMS((int64_t)count), sizes);
    norn_view out = norn_view_of(NORN_F32, 3, c->out, NULL);
    norn_solo solo;
    assert_int_equal(solo_run_node(&solo, NORN_OP_Resize, norn_cpu_resize,
                                   (norn_attrs){attrs, attr_count}, in, by_scales ? 3 : 4, &out),
                     NORN_OK);
    expect(&out, b, c->out[0] * c->out[1] * c->out[2], c->what);
    norn_solo_deinit(&solo);
}

static void every_axis_is_resized_by_its_own_scale(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof resize_cases / sizeof *resize_cases; i++) {
        expect_resized(&resize_cases[i], false);
        expect_resized(&resize_cases[i], true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_of_several_images_and_channels_are_aligned_as_defined),
        cmocka_unit_test(regions_of_no_image_are_refused),
        cmocka_unit_test(the_greatest_of_each_bin_is_of_its_own_image_and_channel),
        cmocka_unit_test(regions_that_no_image_has_are_refused),
        cmocka_unit_test(a_suppression_by_two_numbers_is_refused),
        cmocka_unit_test(every_axis_is_resized_by_its_own_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
