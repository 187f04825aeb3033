#include "check.h"
#include "tensor/view.h"

#include <stdlib.h>

static void dot(checker *k, int64_t batch, int64_t dense, int64_t features, int64_t dim,
                bool diagonal, bool upper, norn_precision precision, int64_t gap) {
    check_case c;
    const int64_t first_dims[] = {batch, dense * dim},
                  rest_dims[] = {batch, (features - dense) * dim};
    int64_t pairs = features * (features + (diagonal ? 1 : -1)) / 2, width = dim + pairs;
    check_init(&c, NORN_OP_Interaction, "dot: batch %lld F %lld D %lld%s%s %s gap %lld",
               (long long)batch, (long long)features, (long long)dim, diagonal ? " diagonal" : "",
               upper ? " upper" : "", precision == NORN_PRECISION_TF32 ? "tf32" : "fp32",
               (long long)gap);
    c.precision = precision;
    const norn_view *x0 = check_input(k, &c, NORN_F32, 2, first_dims, 0),
                    *x1 = check_input(k, &c, NORN_F32, 2, rest_dims, 0);
    c.region.interaction = (norn_interaction_region){.kind = NORN_INTERACTION_DOT,
                                                     .features = features,
                                                     .dim = dim,
                                                     .part_count = 2,
                                                     .diagonal = diagonal,
                                                     .upper = upper,
                                                     .pass_input = 0,
                                                     .pass_through = dim};
    const int64_t out_dims[] = {batch, width};
    check_output(&c, NORN_F32, 2, out_dims, gap ? width + gap : 0);
    double *want = check_doubles(batch * width);
    for (int64_t b = 0; b < batch; b++) {
        double *to = want + b * width;
        for (int64_t i = 0; i < dim; i++) *to++ = check_f32(x0, b * first_dims[1] + i);
        for (int64_t i = 0; i < features; i++)
            for (int64_t j = upper ? i + !diagonal : 0; upper ? j < features : j <= i - !diagonal;
                 j++) {
                double sum = 0;
                for (int64_t d = 0; d < dim; d++) {
                    double p = i < dense ? check_f32(x0, b * first_dims[1] + i * dim + d)
                                         : check_f32(x1, b * rest_dims[1] + (i - dense) * dim + d);
                    double q = j < dense ? check_f32(x0, b * first_dims[1] + j * dim + d)
                                         : check_f32(x1, b * rest_dims[1] + (j - dense) * dim + d);
                    sum += p * q;
                }
                *to++ = sum;
            }
    }
    check_against(k, &c, want, precision == NORN_PRECISION_TF32 ? 1e-3 : 2e-6);
    free(want);
}

static void fm(checker *k, int64_t batch, int64_t features, int64_t dim) {
    check_case c;
    const int64_t dims[] = {batch, features, dim}, out_dims[] = {batch, dim};
    check_init(&c, NORN_OP_Interaction, "fm: batch %lld F %lld D %lld", (long long)batch,
               (long long)features, (long long)dim);
    const norn_view *x = check_input(k, &c, NORN_F32, 3, dims, 0);
    c.region.interaction = (norn_interaction_region){.kind = NORN_INTERACTION_FM,
                                                     .features = features,
                                                     .dim = dim,
                                                     .part_count = 1,
                                                     .pass_input = NORN_NO_INPUT};
    check_output(&c, NORN_F32, 2, out_dims, 0);
    double *want = check_doubles(batch * dim);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t d = 0; d < dim; d++) {
            double sum = 0, squares = 0;
            for (int64_t f = 0; f < features; f++) {
                double v = check_f32(x, (b * features + f) * dim + d);
                sum += v, squares += v * v;
            }
            want[b * dim + d] = 0.5 * (sum * sum - squares);
        }
    check_against(k, &c, want, 1e-5);
    free(want);
}

void check_interaction(checker *k) {
    for (int64_t batch = 1; batch <= 200; batch = batch * 13 + 3)
        for (int p = 0; p < 2; p++) {
            norn_precision precision = p ? NORN_PRECISION_TF32 : NORN_PRECISION_FP32;
            dot(k, batch, 1, 27, 128, false, false, precision, 0);
            dot(k, batch, 1, 27, 128, true, true, precision, 7);
            dot(k, batch, 2, 9, 32, false, true, precision, 0);
            dot(k, batch, 1, 32, 16, false, false, precision, 0);
            dot(k, batch, 1, 40, 20, false, false, precision, 1);
            dot(k, batch, 3, 6, 7, true, false, precision, 0);
        }
    fm(k, 1, 10, 16);
    fm(k, 333, 26, 10);
}
