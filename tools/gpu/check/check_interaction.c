#include "check.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdlib.h>

static double element(const norn_view *view, int64_t index) {
    return norn_element_f64(view->dtype, view->data, index);
}

/// What an interaction reads, and how: its parts, its result, tf32 or not.
typedef struct numbers_of {
    norn_dtype parts, out;
    norn_precision precision;
} numbers_of;

static const char *name_of(const numbers_of *numbers) {
    return numbers->precision == NORN_PRECISION_TF32 ? "tf32" : norn_dtype_name(numbers->parts);
}

/// Sums are of float32 however parts are multiplied.
static double error_of(const numbers_of *numbers, double exact) {
    if (numbers->out == NORN_F16) return 5e-4;
    if (numbers->out == NORN_BF16) return 4e-3;
    return numbers->precision == NORN_PRECISION_TF32 ? 1e-3 : exact;
}

static void dot(checker *k, int64_t batch, int64_t dense, int64_t features, int64_t dim,
                bool diagonal, bool upper, numbers_of numbers, int64_t gap) {
    check_case c;
    const int64_t first_dims[] = {batch, dense * dim},
                  rest_dims[] = {batch, (features - dense) * dim};
    int64_t pairs = features * (features + (diagonal ? 1 : -1)) / 2, width = dim + pairs;
    check_init(&c, NORN_OP_Interaction, "dot: batch %lld F %lld D %lld%s%s %s to %s gap %lld",
               (long long)batch, (long long)features, (long long)dim, diagonal ? " diagonal" : "",
               upper ? " upper" : "", name_of(&numbers), norn_dtype_name(numbers.out),
               (long long)gap);
    c.precision = numbers.precision;
    const norn_view *x0 = check_input(k, &c, numbers.parts, 2, first_dims, 0),
                    *x1 = check_input(k, &c, numbers.parts, 2, rest_dims, 0);
    c.region.interaction = (norn_interaction_region){.kind = NORN_INTERACTION_DOT,
                                                     .features = features,
                                                     .dim = dim,
                                                     .part_count = 2,
                                                     .diagonal = diagonal,
                                                     .upper = upper,
                                                     .pass_input = 0,
                                                     .pass_through = dim,
                                                     .out = numbers.out,
                                                     .pad = gap % 4};
    const int64_t pad = gap % 4;
    width += pad;
    const int64_t out_dims[] = {batch, width};
    check_output(&c, numbers.out, 2, out_dims, gap ? width + gap : 0);
    double *want = check_doubles(batch * width);
    for (int64_t b = 0; b < batch; b++) {
        double *to = want + b * width;
        for (int64_t i = 0; i < dim; i++) *to++ = element(x0, b * first_dims[1] + i);
        for (int64_t i = 0; i < features; i++)
            for (int64_t j = upper ? i + !diagonal : 0; upper ? j < features : j <= i - !diagonal;
                 j++) {
                double sum = 0;
                for (int64_t d = 0; d < dim; d++) {
                    double p = i < dense ? element(x0, b * first_dims[1] + i * dim + d)
                                         : element(x1, b * rest_dims[1] + (i - dense) * dim + d);
                    double q = j < dense ? element(x0, b * first_dims[1] + j * dim + d)
                                         : element(x1, b * rest_dims[1] + (j - dense) * dim + d);
                    sum += p * q;
                }
                *to++ = sum;
            }
        for (int64_t i = 0; i < pad; i++) *to++ = 0;
    }
    check_against(k, &c, want, error_of(&numbers, 2e-6));
    free(want);
}

static void fm(checker *k, int64_t batch, int64_t features, int64_t dim, numbers_of numbers) {
    check_case c;
    const int64_t dims[] = {batch, features, dim}, out_dims[] = {batch, dim};
    check_init(&c, NORN_OP_Interaction, "fm: batch %lld F %lld D %lld %s to %s", (long long)batch,
               (long long)features, (long long)dim, name_of(&numbers),
               norn_dtype_name(numbers.out));
    const norn_view *x = check_input(k, &c, numbers.parts, 3, dims, 0);
    c.region.interaction = (norn_interaction_region){.kind = NORN_INTERACTION_FM,
                                                     .features = features,
                                                     .dim = dim,
                                                     .part_count = 1,
                                                     .pass_input = NORN_NO_INPUT,
                                                     .out = numbers.out};
    check_output(&c, numbers.out, 2, out_dims, 0);
    double *want = check_doubles(batch * dim);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t d = 0; d < dim; d++) {
            double sum = 0, squares = 0;
            for (int64_t f = 0; f < features; f++) {
                double v = element(x, (b * features + f) * dim + d);
                sum += v, squares += v * v;
            }
            want[b * dim + d] = 0.5 * (sum * sum - squares);
        }
    check_against(k, &c, want, error_of(&numbers, 1e-5));
    free(want);
}

void check_interaction(checker *k) {
    static const numbers_of all[] = {
        {NORN_F32, NORN_F32, NORN_PRECISION_FP32},   {NORN_F32, NORN_F32, NORN_PRECISION_TF32},
        {NORN_F16, NORN_F16, NORN_PRECISION_FP16},   {NORN_F16, NORN_F32, NORN_PRECISION_FP16},
        {NORN_BF16, NORN_BF16, NORN_PRECISION_BF16}, {NORN_BF16, NORN_F32, NORN_PRECISION_BF16}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (int64_t batch = 1; batch <= 800; batch = batch * 13 + 3) {
            dot(k, batch, 1, 27, 128, false, false, all[i], 0);
            dot(k, batch, 1, 27, 128, true, true, all[i], 7);
            dot(k, batch, 2, 9, 32, false, true, all[i], 0);
            dot(k, batch, 1, 32, 16, false, false, all[i], 0);
            dot(k, batch, 1, 40, 20, false, false, all[i], 1);
            dot(k, batch, 3, 6, 7, true, false, all[i], 0);
        }
        fm(k, 1, 10, 16, all[i]);
        fm(k, 333, 26, 10, all[i]);
    }
}
