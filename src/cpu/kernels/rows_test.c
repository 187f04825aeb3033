// Kernels that work on rows: Softmax and its kin, LayerNormalization, RMSNormalization.
#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_call.h"
#include "tensor/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static norn_random rng;

static float *random_floats(int64_t count, float scale) {
    float *x = malloc((size_t)(count + 1) * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(norn_random_unit(&rng) * 2 - 1) * scale;
    return x;
}

static void run(norn_solo *solo, norn_kernel_fn kernel, norn_view *in, uint32_t in_count,
                norn_view *out, uint32_t out_count, int64_t axis) {
    static norn_attr attr;
    attr = (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = axis};
    norn_solo_init(solo, norn_alloc_heap(), NULL);
    solo->call.attrs = (norn_attrs){&attr, 1};
    solo->call.in = in, solo->call.in_count = in_count;
    solo->call.out = out, solo->call.out_count = out_count;
    assert_int_equal(norn_solo_run(solo, kernel), NORN_OK);
}

static void softmax_agrees_with_the_formula_along_any_axis(void **state) {
    const int64_t dims[3] = {4, 50, 9};
    (void)state;
    for (int axis = 0; axis < 3; axis++) {
        float *x = random_floats(4 * 50 * 9, 20);
        norn_view in = norn_view_of(NORN_F32, 3, dims, x), out[2];
        norn_solo solo[2];
        out[0] = out[1] = norn_view_of(NORN_F32, 3, dims, NULL);
        run(&solo[0], norn_cpu_softmax, &in, 1, &out[0], 1, axis);
        run(&solo[1], norn_cpu_log_softmax, &in, 1, &out[1], 1, axis - 3);
        int64_t inner = norn_dims_product(dims, axis + 1, 3), n = dims[axis];
        for (int64_t i = 0; i < 4 * 50 * 9; i++) {
            int64_t first = i / (n * inner) * n * inner + i % inner;
            double sum = 0, max = -(double)INFINITY;
            for (int64_t k = 0; k < n; k++) max = fmax(max, (double)x[first + k * inner]);
            for (int64_t k = 0; k < n; k++) sum += exp((double)x[first + k * inner] - max);
            // x - max, up to 40, is rounded to float32: 2^-19 of it.
            double want = exp((double)x[i] - max) / sum, log_want = (double)x[i] - max - log(sum);
            assert_true(fabs((double)((const float *)out[0].data)[i] - want) <=
                        4e-6 * want + 1e-30);
            assert_true(fabs((double)((const float *)out[1].data)[i] - log_want) <= 1e-5);
        }
        norn_solo_deinit(&solo[0]), norn_solo_deinit(&solo[1]);
        free(x);
    }
}

static void hardmax_marks_the_first_of_equals(void **state) {
    float x[] = {1, 3, 3, -2, -2, -5};
    const float want[] = {0, 1, 0, 1, 0, 0};
    (void)state;
    norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){2, 3}, x), out = in;
    norn_solo solo;
    out.data = NULL;
    run(&solo, norn_cpu_hardmax, &in, 1, &out, 1, -1);
    assert_memory_equal(out.data, want, sizeof want);
    norn_solo_deinit(&solo);
}

static void norms_agree_with_the_formula_far_from_zero_too(void **state) {
    const int64_t dims[3] = {6, 3, 85};
    enum { N = 3 * 85 };
    (void)state;
    for (int rms = 0; rms < 2; rms++) {
        float *x = random_floats(6 * N, 1), *scale = random_floats(N, 1),
              *bias = random_floats(N, 1);
        for (int64_t i = 0; i < 6 * N; i++)
            x[i] += 1000; // where E[x^2] - E[x]^2 would have no digits left
        norn_view in[3] = {norn_view_of(NORN_F32, 3, dims, x),
                           norn_view_of(NORN_F32, 2, dims + 1, scale),
                           norn_view_of(NORN_F32, 2, dims + 1, bias)};
        norn_view out[3] = {norn_view_of(NORN_F32, 3, dims, NULL)};
        norn_solo solo;
        out[1] = out[2] = norn_view_of(NORN_F32, 3, (int64_t[]){6, 1, 1}, NULL);
        run(&solo, rms ? norn_cpu_rms_norm : norn_cpu_layer_norm, in, rms ? 2 : 3, out, rms ? 1 : 3,
            1);
        for (int64_t r = 0; r < 6; r++) {
            double mean = 0, variance = 0;
            for (int64_t i = 0; i < N && !rms; i++) mean += (double)x[r * N + i] / N;
            for (int64_t i = 0; i < N; i++) variance += pow((double)x[r * N + i] - mean, 2) / N;
            double inverse = 1 / sqrt(variance + 1e-5);
            for (int64_t i = 0; i < N; i++) {
                double want = ((double)x[r * N + i] - mean) * inverse * (double)scale[i];
                if (!rms) want += (double)bias[i];
                double got = (double)((const float *)out[0].data)[r * N + i];
                if (!(fabs(got - want) < 3e-4 * (1 + fabs(want))))
                    fail_msg("%g, not %g", got, want);
            }
            if (rms) continue;
            assert_true(fabs((double)((const float *)out[1].data)[r] - mean) < 1e-4);
            assert_true(fabs((double)((const float *)out[2].data)[r] - inverse) < 1e-5);
        }
        norn_solo_deinit(&solo);
        free(x), free(scale), free(bias);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_agrees_with_the_formula_along_any_axis),
        cmocka_unit_test(hardmax_marks_the_first_of_equals),
        cmocka_unit_test(norms_agree_with_the_formula_far_from_zero_too),
    };
    norn_random_init(&rng, 8);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
