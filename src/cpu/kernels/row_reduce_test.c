#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/guarded.h"
#include "cpu/solo_call.h"
#include "tensor/dtype.h"
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

/// Small whole numbers, exact in every type and in every order; few twos for products.
static double whole_number(norn_reduce_kind kind, norn_dtype dtype, int64_t i) {
    if (kind == NORN_REDUCE_PROD) return i % 97 == 0 ? 2 : 1;
    return (double)((i * 7 + i / 31) % 5) - (norn_dtype_is_signed(dtype) ? 2 : 0);
}

/// [outer, reduced, inner]; inner 0: no inner dims.
static void check_exactly(norn_reduce_kind kind, norn_dtype dtype, const int64_t dims[3]) {
    const int64_t outer = dims[0], reduced = dims[1], inner = dims[2] ? dims[2] : 1;
    norn_view in = guarded(dtype, dims[2] ? 3 : 2, dims);
    norn_view out = guarded(dtype, dims[2] ? 2 : 1, (int64_t[]){outer, inner});
    for (int64_t i = 0; i < norn_view_elems(&in); i++)
        norn_element_set_f64(dtype, in.data, i, whole_number(kind, dtype, i));
    norn_region region = {
        .row_reduce = {.kind = kind, .reduced_dims = 1, .inner_dims = dims[2] ? 1 : 0}};
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.region = &region;
    solo.call.in = &in, solo.call.in_count = 1;
    solo.call.out = &out, solo.call.out_count = 1;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_row_reduce), NORN_OK);
    for (int64_t i = 0; i < outer * inner; i++) {
        double want = kind == NORN_REDUCE_PROD ? 1 : 0;
        for (int64_t r = 0; r < reduced; r++) {
            double x = whole_number(kind, dtype, (i / inner * reduced + r) * inner + i % inner);
            if (kind == NORN_REDUCE_PROD)
                want *= x;
            else if (kind == NORN_REDUCE_MAX)
                want = r == 0 || x > want ? x : want;
            else if (kind == NORN_REDUCE_MIN)
                want = r == 0 || x < want ? x : want;
            else
                want += x;
        }
        if (kind == NORN_REDUCE_MEAN) {
            want /= (double)reduced;
            if (!norn_dtype_is_float(dtype)) want = trunc(want);
            if (dtype == NORN_F32) want = (double)(float)want;
        }
        if (norn_element_f64(dtype, out.data, i) != want)
            fail_msg("kind %d of %s, %d x %d x %d at %d: %g, not %g", (int)kind,
                     norn_dtype_name(dtype), (int)outer, (int)reduced, (int)inner, (int)i,
                     norn_element_f64(dtype, out.data, i), want);
    }
    norn_solo_deinit(&solo);
    guarded_free(&in), guarded_free(&out);
}

/// Rows go through a buffer of 1024 elements, several at once where they are short; columns by 256,
/// as many rows of them as 4096 elements hold.
static void sizes_around_the_buffers_are_reduced_exactly(void **state) {
    static const norn_dtype dtypes[] = {NORN_F32, NORN_F64, NORN_I64, NORN_U64};
    static const int64_t sizes[][3] = {
        {1, 1, 0},    {1, 1, 1},    {1023, 1, 0}, {1024, 1, 0}, {1025, 1, 0}, {512, 2, 0},
        {513, 2, 0},  {341, 3, 0},  {342, 3, 0},  {33, 31, 0},  {32, 32, 0},  {3, 511, 0},
        {3, 512, 0},  {3, 513, 0},  {3, 1023, 0}, {3, 1024, 0}, {3, 1025, 0}, {2, 2048, 0},
        {2, 2049, 0}, {2, 15, 256}, {2, 16, 256}, {2, 17, 256}, {2, 16, 255}, {2, 17, 257},
        {2, 32, 512}, {3, 33, 513}, {1, 4095, 1}, {1, 4096, 1}, {2, 4097, 1}, {2, 2048, 2},
        {2, 1367, 3}, {5, 1, 17},   {1, 8, 511}};
    (void)state;
    for (int kind = NORN_REDUCE_SUM; kind <= NORN_REDUCE_PROD; kind++)
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                check_exactly((norn_reduce_kind)kind, dtypes[d], sizes[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_reduction_agrees_with_the_formula),
        cmocka_unit_test(integers_are_summed_exactly),
        cmocka_unit_test(sizes_around_the_buffers_are_reduced_exactly),
    };
    norn_random_init(&rng, 6);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
