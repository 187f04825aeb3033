#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_call.h"
#include "tensor/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static norn_random rng;

/// Reduce a * b over the middle of [outer, reduced, inner], then add 1; b repeats along `inner`.
static void check(norn_reduce_kind kind, int64_t outer, int64_t reduced, int64_t inner,
                  norn_pool *pool) {
    const int64_t count = outer * reduced * inner;
    float *a = malloc((size_t)(count + 1) * sizeof *a),
          *b = malloc((size_t)(outer * reduced + 1) * sizeof *b);
    for (int64_t i = 0; i < count; i++) a[i] = (float)(norn_random_unit(&rng) + 0.5);
    for (int64_t i = 0; i < outer * reduced; i++) b[i] = (float)(norn_random_unit(&rng) + 0.5);
    bool flat = inner == 1; // without inner dims at all
    norn_scalar_load loads[2] = {
        {.input = 0, .dtype = NORN_F32},
        {.input = 1, .dtype = NORN_F32, .broadcast = {false, false, true}}};
    norn_scalar_instr code[3] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 0},
                                 {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                 {.op = NORN_SCALAR_MUL, .dtype = NORN_F32, .a = 0, .b = 1}};
    norn_scalar_load acc = {.input = NORN_SCALAR_ACC, .dtype = NORN_F32};
    norn_scalar_instr after[3] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                  {.op = NORN_SCALAR_CONST, .dtype = NORN_F32, .f64 = 1},
                                  {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1}};
    const uint16_t store = 2;
    norn_region region = {.row_reduce = {.kind = kind,
                                         .reduced_dims = 1,
                                         .inner_dims = flat ? 0 : 1,
                                         .prologue = {2, 3, 1, loads, code, &store},
                                         .epilogue = {1, 3, 1, &acc, after, &store}}};
    norn_view in[2] = {norn_view_of(NORN_F32, flat ? 2 : 3, (int64_t[]){outer, reduced, inner}, a),
                       norn_view_of(NORN_F32, flat ? 2 : 3, (int64_t[]){outer, reduced, 1}, b)};
    norn_view out = norn_view_of(NORN_F32, flat ? 1 : 2, (int64_t[]){outer, inner}, NULL);
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), pool);
    solo.call.region = &region;
    solo.call.in = in, solo.call.in_count = 2;
    solo.call.out = &out, solo.call.out_count = 1;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_row_reduce), NORN_OK);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double want = kind == NORN_REDUCE_PROD  ? 1
                          : kind == NORN_REDUCE_MAX ? -(double)INFINITY
                          : kind == NORN_REDUCE_MIN ? (double)INFINITY
                                                    : 0;
            for (int64_t r = 0; r < reduced; r++) {
                double x = (double)(a[(o * reduced + r) * inner + i] * b[o * reduced + r]);
                if (kind == NORN_REDUCE_PROD) want *= x;
                if (kind == NORN_REDUCE_MAX) want = fmax(want, x);
                if (kind == NORN_REDUCE_MIN) want = fmin(want, x);
                if (kind == NORN_REDUCE_SUM || kind == NORN_REDUCE_MEAN) want += x;
            }
            if (kind == NORN_REDUCE_MEAN) want /= (double)reduced;
            double got = (double)((const float *)out.data)[o * inner + i];
            if (!(fabs(got - (want + 1)) <= 3e-6 * (1 + fabs(want))) && want + 1 != got)
                fail_msg("kind %d, %d x %d x %d at %d, %d: %g, not %g", (int)kind, (int)outer,
                         (int)reduced, (int)inner, (int)o, (int)i, got, want + 1);
        }
    norn_solo_deinit(&solo);
    free(a), free(b);
}

static void every_kind_of_reduction_agrees_with_the_formula(void **state) {
    norn_pool *pool;
    (void)state;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (int kind = NORN_REDUCE_SUM; kind <= NORN_REDUCE_PROD; kind++) {
        norn_reduce_kind k = (norn_reduce_kind)kind;
        check(k, 1, 1, 1, NULL);
        check(k, 5, 7, 1, NULL);
        check(k, 3, 26, 40, NULL);
        check(k, 2, 9, 300, NULL);
        check(k, 4, 3, 5000, NULL);
        check(k, 700, 40, 1, pool);
        check(k, 300, 8, 256, pool);
        if (k != NORN_REDUCE_PROD) check(k, 2, 30000, 1, NULL);
        if (k == NORN_REDUCE_SUM || k == NORN_REDUCE_PROD) check(k, 3, 0, 4, NULL);
    }
    norn_pool_destroy(pool);
}

static void integers_are_summed_exactly(void **state) {
    int64_t x[] = {INT64_MAX, 1, -5, 3, (int64_t)1 << 60, 1};
    const int64_t want[] = {INT64_MIN, -2, ((int64_t)1 << 60) + 1};
    (void)state;
    norn_region region = {.row_reduce = {.kind = NORN_REDUCE_SUM, .reduced_dims = 1}};
    norn_view in = norn_view_of(NORN_I64, 2, (int64_t[]){3, 2}, x);
    norn_view out = norn_view_of(NORN_I64, 2, (int64_t[]){3, 1}, NULL); // the reduced dim kept
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.region = &region;
    solo.call.in = &in, solo.call.in_count = 1;
    solo.call.out = &out, solo.call.out_count = 1;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_row_reduce), NORN_OK);
    assert_memory_equal(out.data, want, sizeof want);
    norn_solo_deinit(&solo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_reduction_agrees_with_the_formula),
        cmocka_unit_test(integers_are_summed_exactly),
    };
    norn_random_init(&rng, 6);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
