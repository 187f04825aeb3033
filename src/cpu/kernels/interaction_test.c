#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_call.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BATCH = 37, FEATURES = 7, DIM = 20, PASS = 11, ROOM = PASS + FEATURES * FEATURES + 8 };
static float first[BATCH][2 * DIM], second[BATCH][5 * DIM], y[BATCH][ROOM];

static float feature(int64_t sample, int64_t f, int64_t d) {
    return f < 2 ? first[sample][f * DIM + d] : second[sample][(f - 2) * DIM + d];
}
static double dot(int64_t sample, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < DIM; d++)
        sum += (double)feature(sample, i, d) * (double)feature(sample, j, d);
    return sum;
}

static int64_t run(norn_interaction_region form, int64_t width, norn_pool *pool) {
    norn_region region = {.interaction = form};
    norn_view in[2] = {norn_view_of(NORN_F32, 2, (int64_t[]){BATCH, 2 * DIM}, first),
                       norn_view_of(NORN_F32, 3, (int64_t[]){BATCH, 5, DIM}, second)};
    norn_view out = norn_view_of(NORN_F32, 2, (int64_t[]){BATCH, width}, y);
    norn_solo solo;
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t i = 0; i < ROOM; i++) y[b][i] = 777;
    out.row_stride = ROOM;
    norn_solo_init(&solo, norn_alloc_heap(), pool);
    solo.call.region = &region;
    solo.call.in = in, solo.call.in_count = 2;
    solo.call.out = &out, solo.call.out_count = 1;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_interaction), NORN_OK);
    for (int64_t b = 0; b < BATCH; b++) {
        for (int64_t i = 0; i < form.pass_through; i++) assert_true(y[b][i] == first[b][i]);
        for (int64_t i = width; i < ROOM; i++) assert_true(y[b][i] == 777);
    }
    norn_solo_deinit(&solo);
    return form.pass_through;
}

static void pairs_come_in_the_order_that_the_region_says(void **state) {
    norn_pool *pool;
    (void)state;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (int form = 0; form < 4; form++) {
        bool upper = form & 1, diagonal = form & 2;
        int64_t pairs = FEATURES * (FEATURES - 1) / 2 + (diagonal ? FEATURES : 0);
        norn_interaction_region region = {.kind = NORN_INTERACTION_DOT,
                                          .features = FEATURES,
                                          .dim = DIM,
                                          .diagonal = diagonal,
                                          .upper = upper,
                                          .pass_input = 0,
                                          .pass_through = PASS};
        int64_t at = run(region, PASS + pairs, pool);
        for (int64_t i = 0; i < FEATURES; i++)
            for (int64_t j = 0; j < FEATURES; j++) {
                bool wanted = upper ? j > i || (diagonal && i == j) : j < i || (diagonal && i == j);
                if (!wanted) continue;
                for (int64_t b = 0; b < BATCH; b++)
                    assert_true(fabs((double)y[b][at] - dot(b, i, j)) < 1e-5);
                at++;
            }
        assert_int_equal(at, PASS + pairs);
    }
    norn_pool_destroy(pool);
}

static void an_explicit_order_of_pairs_is_followed(void **state) {
    static const int32_t order[] = {0, 6, 3, 3, 5, 1};
    (void)state;
    run((norn_interaction_region){.kind = NORN_INTERACTION_DOT,
                                  .features = FEATURES,
                                  .dim = DIM,
                                  .pass_input = NORN_NO_INPUT,
                                  .pair_order = order,
                                  .pair_count = 3},
        3, NULL);
    for (int64_t b = 0; b < BATCH; b++)
        for (int p = 0; p < 3; p++)
            assert_true(fabs((double)y[b][p] - dot(b, order[2 * p], order[2 * p + 1])) < 1e-5);
}

static void the_factorisation_machine_sums_products_of_pairs(void **state) {
    (void)state;
    run((norn_interaction_region){.kind = NORN_INTERACTION_FM,
                                  .features = FEATURES,
                                  .dim = DIM,
                                  .pass_input = NORN_NO_INPUT},
        DIM, NULL);
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t d = 0; d < DIM; d++) {
            double want = 0;
            for (int64_t i = 0; i < FEATURES; i++)
                for (int64_t j = 0; j < i; j++)
                    want += (double)feature(b, i, d) * (double)feature(b, j, d);
            assert_true(fabs((double)y[b][d] - want) < 1e-5);
        }
}

/// Small whole numbers in `dtype`, which every type holds.
static void *whole_numbers(norn_dtype dtype, int64_t count) {
    void *data = calloc((size_t)count, 8);
    for (int64_t i = 0; i < count; i++)
        norn_element_set_f64(dtype, data, i, (double)(i * 5 % 7 - 3));
    return data;
}

static void other_types_than_float32_are_converted_in_and_out(void **state) {
    static const norn_dtype types[][2] = {{NORN_F16, NORN_F16},
                                          {NORN_BF16, NORN_F32},
                                          {NORN_F64, NORN_F64},
                                          {NORN_I32, NORN_F32},
                                          {NORN_F32, NORN_F16}};
    enum { ROWS = 5, PARTS = 3, WIDE = 4, ALL = PARTS * WIDE, LOOSE = 40 };
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int dot = 0; dot < 2; dot++)
            for (int stride = 0; stride <= LOOSE; stride += LOOSE) {
                const int64_t width = ALL + (dot ? PARTS * (PARTS - 1) / 2 : WIDE),
                              row = stride ? stride : width;
                void *x = whole_numbers(types[i][0], ROWS * ALL),
                     *out = whole_numbers(types[i][1], ROWS * row);
                norn_region region = {
                    .interaction = {.kind = dot ? NORN_INTERACTION_DOT : NORN_INTERACTION_FM,
                                    .features = PARTS,
                                    .dim = WIDE,
                                    .pass_input = 0,
                                    .pass_through = ALL}};
                norn_view in = norn_view_of(types[i][0], 2, (int64_t[]){ROWS, ALL}, x),
                          to = norn_view_of(types[i][1], 2, (int64_t[]){ROWS, width}, out);
                norn_solo solo;
                to.row_stride = stride;
                norn_solo_init(&solo, norn_alloc_heap(), NULL);
                solo.call.region = &region;
                solo.call.in = &in, solo.call.in_count = 1;
                solo.call.out = &to, solo.call.out_count = 1;
                assert_int_equal(norn_solo_run(&solo, norn_cpu_interaction), NORN_OK);
                for (int64_t b = 0; b < ROWS; b++) {
                    double want[ALL + WIDE + PARTS], v[PARTS][WIDE];
                    int64_t at = ALL;
                    for (int64_t e = 0; e < ALL; e++)
                        want[e] = v[e / WIDE][e % WIDE] =
                            norn_element_f64(types[i][0], x, b * ALL + e);
                    for (int64_t f = 0; f < PARTS && dot; f++)
                        for (int64_t g = 0; g < f; g++, at++) {
                            want[at] = 0;
                            for (int64_t d = 0; d < WIDE; d++) want[at] += v[f][d] * v[g][d];
                        }
                    for (int64_t d = 0; d < WIDE && !dot; d++, at++)
                        want[at] = v[0][d] * v[1][d] + v[0][d] * v[2][d] + v[1][d] * v[2][d];
                    for (int64_t e = 0; e < row; e++)
                        assert_true(norn_element_f64(types[i][1], out, b * row + e) ==
                                    (e < width ? want[e] : (double)((b * row + e) * 5 % 7 - 3)));
                }
                norn_solo_deinit(&solo);
                free(x), free(out);
            }
}

static norn_status run_wrong(uint32_t pass_input, int64_t features, norn_dtype dtype) {
    norn_region region = {.interaction = {.kind = NORN_INTERACTION_DOT,
                                          .features = features,
                                          .dim = 2,
                                          .pass_input = pass_input,
                                          .pass_through = 2}};
    norn_view in = norn_view_of(dtype, 2, (int64_t[]){3, 4}, first),
              out = norn_view_of(NORN_F32, 2, (int64_t[]){3, 3}, NULL);
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.region = &region;
    solo.call.in = &in, solo.call.in_count = 1;
    solo.call.out = &out, solo.call.out_count = 1;
    norn_status status = norn_solo_run(&solo, norn_cpu_interaction);
    norn_solo_deinit(&solo);
    return status;
}

static void what_the_region_cannot_read_is_refused(void **state) {
    (void)state;
    assert_int_equal(run_wrong(0, 2, NORN_F32), NORN_OK);
    assert_int_equal(run_wrong(1, 2, NORN_F32), NORN_INTERNAL);
    assert_int_equal(run_wrong(0, 3, NORN_F32), NORN_INVALID_ARGUMENT);
    assert_int_equal(run_wrong(0, 1, NORN_F32), NORN_INVALID_ARGUMENT);
    assert_int_equal(run_wrong(0, 2, NORN_STRING), NORN_UNIMPLEMENTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_in_the_order_that_the_region_says),
        cmocka_unit_test(an_explicit_order_of_pairs_is_followed),
        cmocka_unit_test(the_factorisation_machine_sums_products_of_pairs),
        cmocka_unit_test(other_types_than_float32_are_converted_in_and_out),
        cmocka_unit_test(what_the_region_cannot_read_is_refused),
    };
    norn_random rng;
    norn_random_init(&rng, 10);
    for (int64_t b = 0; b < BATCH; b++) {
        for (int64_t i = 0; i < 2 * DIM; i++) first[b][i] = (float)(norn_random_unit(&rng) * 2 - 1);
        for (int64_t i = 0; i < 5 * DIM; i++)
            second[b][i] = (float)(norn_random_unit(&rng) * 2 - 1);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
