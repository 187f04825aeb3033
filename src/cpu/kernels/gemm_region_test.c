#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/kernels/gemm_f32.h"
#include "cpu/solo_call.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static norn_random rng;

static float *random_floats(int64_t count) {
    float *x = malloc((size_t)(count ? count : 1) * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(norn_random_unit(&rng) * 2 - 1);
    return x;
}

typedef enum epilogue { NONE, BIAS, BIAS_RELU, BIAS_SIGMOID, CROSS, EPILOGUES } epilogue;

/// Programs as the passes build them. Inputs after A and B: bias [n], then x0 [m, n] and x [m, n].
static norn_scalar_program epilogue_program(epilogue kind, norn_scalar_load *loads,
                                            norn_scalar_instr *code, uint16_t *store) {
    loads[0] = (norn_scalar_load){.input = NORN_SCALAR_ACC, .dtype = NORN_F32};
    loads[1] = (norn_scalar_load){.input = 2, .dtype = NORN_F32, .broadcast = {true, false}};
    loads[2] = (norn_scalar_load){.input = 3, .dtype = NORN_F32};
    loads[3] = (norn_scalar_load){.input = 4, .dtype = NORN_F32};
    uint32_t n = 0;
    code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 0};
    code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1};
    code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1};
    if (kind == BIAS_RELU) {
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_CONST, .dtype = NORN_F32};
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 2, .b = 3};
    } else if (kind == BIAS_SIGMOID) {
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_SIGMOID, .dtype = NORN_F32, .a = 2};
    } else if (kind == CROSS) { // x0 * (acc + b) + x
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 2};
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 3};
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_MUL, .dtype = NORN_F32, .a = 2, .b = 3};
        code[n++] = (norn_scalar_instr){.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 5, .b = 4};
    }
    *store = (uint16_t)(n - 1);
    if (kind == NONE) return (norn_scalar_program){0};
    return (norn_scalar_program){kind == CROSS ? 4 : 2, n, 1, loads, code, store};
}

static double expected(epilogue kind, double acc, double bias, double x0, double x) {
    switch (kind) {
    case BIAS:
        return acc + bias;
    case BIAS_RELU:
        return acc + bias > 0 ? acc + bias : 0;
    case BIAS_SIGMOID:
        return 1 / (1 + exp(-(acc + bias)));
    case CROSS:
        return x0 * (acc + bias) + x;
    case NONE:
    case EPILOGUES:
        break;
    }
    return acc;
}

static void check(int64_t m, int64_t n, int64_t k, int64_t stride, epilogue kind,
                  norn_gemm_layout form, norn_pool *pool) {
    float *a = random_floats(m * k), *b = random_floats(k * n), *bias = random_floats(n);
    float *x0 = random_floats(m * n), *x = random_floats(m * n);
    float *given = malloc((size_t)(norn_gemm_packed_elems(k, n) + 1) * sizeof *given);
    if (form == NORN_GEMM_PANELS) norn_gemm_f32_pack(k, n, b, n, 1, given);
    for (int64_t p = 0; form != NORN_GEMM_PANELS && p < k; p++)
        for (int64_t j = 0; j < n; j++)
            given[form == NORN_GEMM_ROWS ? p * n + j : j * k + p] = b[p * n + j];
    int64_t row = stride ? stride : n;
    float *c = malloc((size_t)(m * row + 16) * sizeof *c);
    for (int64_t i = 0; i < m * row + 16; i++) c[i] = 12345;

    norn_scalar_load loads[4];
    norn_scalar_instr code[8];
    uint16_t store;
    norn_region region = {.gemm = {.k = k,
                                   .n = n,
                                   .b_layout = form,
                                   .epilogue = epilogue_program(kind, loads, code, &store)}};
    norn_view in[5] = {norn_view_of(NORN_F32, 2, (int64_t[]){m, k}, a),
                       norn_view_of(NORN_F32, 2, (int64_t[]){k, n}, given),
                       norn_view_of(NORN_F32, 1, (int64_t[]){n}, bias),
                       norn_view_of(NORN_F32, 2, (int64_t[]){m, n}, x0),
                       norn_view_of(NORN_F32, 2, (int64_t[]){m, n}, x)};
    norn_view out = norn_view_of(NORN_F32, 2, (int64_t[]){m, n}, c);
    out.row_stride = stride;
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), pool);
    solo.call.region = &region;
    solo.call.in = in;
    solo.call.in_count = 5;
    solo.call.out = &out;
    solo.call.out_count = 1;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_gemm_region), NORN_OK);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < row; j++) {
            if (j >= n) {
                assert_true(c[i * row + j] == 12345);
                continue;
            }
            double acc = 0;
            for (int64_t p = 0; p < k; p++) acc += (double)a[i * k + p] * (double)b[p * n + j];
            double want =
                expected(kind, acc, (double)bias[j], (double)x0[i * n + j], (double)x[i * n + j]);
            if (!(fabs((double)c[i * row + j] - want) <= 1e-5 * (1 + sqrt((double)k))))
                fail_msg("m %d n %d k %d epilogue %d form %d: C[%d, %d] is %g, not %g", (int)m,
                         (int)n, (int)k, (int)kind, (int)form, (int)i, (int)j,
                         (double)c[i * row + j], want);
        }
    }
    for (int64_t i = m * row; i < m * row + 16; i++) assert_true(c[i] == 12345);
    norn_solo_deinit(&solo);
    free(a), free(b), free(bias), free(x0), free(x), free(given), free(c);
}

static void every_epilogue_and_form_of_b_agrees_with_the_formula(void **state) {
    static const int64_t shapes[][3] = {{1, 1, 1},    {1, 16, 3},   {7, 33, 13},    {1, 100, 700},
                                        {64, 1, 130}, {25, 80, 64}, {130, 70, 600}, {6, 16, 0},
                                        {0, 5, 4},    {3, 15, 257}, {27, 128, 48}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = 0; kind < EPILOGUES; kind++)
            for (int form = 0; form < NORN_GEMM_LAYOUTS; form++)
                check(shapes[i][0], shapes[i][1], shapes[i][2], 0, (epilogue)kind,
                      (norn_gemm_layout)form, NULL);
}

static void rows_may_be_strided_and_threads_share_the_work(void **state) {
    norn_pool *pool;
    (void)state;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (int kind = 0; kind < EPILOGUES; kind++) {
        check(301, 200, 310, 211, (epilogue)kind, NORN_GEMM_PANELS, pool);
        check(1, 1000, 513, 1024, (epilogue)kind, NORN_GEMM_PANELS, pool);
        check(40, 90, 33, 0, (epilogue)kind, NORN_GEMM_ROWS, pool);
    }
    norn_pool_destroy(pool);
}

// ---- other types than float32

/// A region of small whole numbers, so that all of it is exact in every type: C = A * B (+ bias).
typedef struct typed {
    norn_dtype in, acc, out;
    int64_t m, n, k, stride;
    norn_gemm_layout form;
    bool bias;
} typed;

static int64_t small(int64_t i) {
    return i * 7 % 5 - 2;
}

static void *typed_data(norn_dtype dtype, int64_t count) {
    void *data = calloc((size_t)count + 1, 8);
    for (int64_t i = 0; i < count; i++) norn_element_set_f64(dtype, data, i, (double)small(i));
    return data;
}

/// B in the form that the region says; packed: panels of NORN_GEMM_PANEL columns.
static void *typed_b(const typed *t) {
    const int64_t panels = (t->n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL;
    void *b = calloc((size_t)(panels * NORN_GEMM_PANEL * t->k) + 1, 8);
    for (int64_t p = 0; p < t->k; p++)
        for (int64_t j = 0; j < t->n; j++) {
            const int64_t panel = j / NORN_GEMM_PANEL * NORN_GEMM_PANEL,
                          at = t->form == NORN_GEMM_ROWS ? p * t->n + j
                               : t->form == NORN_GEMM_COLUMNS
                                   ? j * t->k + p
                                   : panel * t->k + p * NORN_GEMM_PANEL + j - panel;
            norn_element_set_f64(t->in, b, at, (double)small(p * t->n + j));
        }
    return b;
}

static void check_typed(const typed *t) {
    const norn_scalar_load loads[2] = {{.input = NORN_SCALAR_ACC, .dtype = t->acc},
                                       {.input = 2, .dtype = t->in, .broadcast = {true, false}}};
    const norn_scalar_instr code[] = {{.op = NORN_SCALAR_LOAD, .dtype = t->acc, .load = 0},
                                      {.op = NORN_SCALAR_LOAD, .dtype = t->acc, .load = 1},
                                      {.op = NORN_SCALAR_ADD, .dtype = t->acc, .a = 0, .b = 1}};
    const uint16_t store = 2;
    norn_region region = {.gemm = {.k = t->k, .n = t->n, .b_layout = t->form}};
    if (t->bias) region.gemm.epilogue = (norn_scalar_program){2, 3, 1, loads, code, &store};
    const int64_t row = t->stride ? t->stride : t->n,
                  rows_b = t->form == NORN_GEMM_PANELS
                               ? (t->n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL
                               : 1;
    void *a = typed_data(t->in, t->m * t->k), *b = typed_b(t), *bias = typed_data(t->in, t->n);
    void *c = typed_data(t->out, t->m * row);
    norn_view in[3] = {
        norn_view_of(t->in, 2, (int64_t[]){t->m, t->k}, a),
        norn_view_of(
            t->in, 3,
            (int64_t[]){rows_b, t->k, t->form == NORN_GEMM_PANELS ? NORN_GEMM_PANEL : t->n}, b),
        norn_view_of(t->in, 1, (int64_t[]){t->n}, bias)};
    norn_view out = norn_view_of(t->out, 2, (int64_t[]){t->m, t->n}, c);
    norn_solo solo;
    out.row_stride = t->stride;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.region = &region;
    solo.call.in = in, solo.call.in_count = 3;
    solo.call.out = &out, solo.call.out_count = 1;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_gemm_region), NORN_OK);
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t j = 0; j < row; j++) {
            double want = t->bias ? (double)small(j) : 0;
            for (int64_t p = 0; p < t->k; p++)
                want += (double)(small(i * t->k + p) * small(p * t->n + j));
            if (j >= t->n) want = (double)small(i * row + j); // what was there
            if (norn_element_f64(t->out, c, i * row + j) != want)
                fail_msg("%s form %d bias %d: C[%d, %d] is %g, not %g", norn_dtype_name(t->in),
                         (int)t->form, (int)t->bias, (int)i, (int)j,
                         norn_element_f64(t->out, c, i * row + j), want);
        }
    norn_solo_deinit(&solo);
    free(a), free(b), free(bias), free(c);
}

static void products_of_every_type_are_exact_on_small_numbers(void **state) {
    static const norn_dtype types[][3] = {
        {NORN_F64, NORN_F64, NORN_F64},  {NORN_I32, NORN_I32, NORN_I32},
        {NORN_I64, NORN_I64, NORN_I64},  {NORN_F16, NORN_F32, NORN_F16},
        {NORN_BF16, NORN_F32, NORN_F32}, {NORN_F32, NORN_F32, NORN_F16}};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int form = 0; form < NORN_GEMM_LAYOUTS; form++)
            for (int way = 0; way < 8; way++) {
                typed t = {types[i][0],
                           types[i][1],
                           types[i][2],
                           way & 1 ? 31 : 3,
                           way & 2 ? 21 : 35,
                           13,
                           way & 4 ? 41 : 0,
                           (norn_gemm_layout)form,
                           false};
                check_typed(&t);
                t.bias = true;
                check_typed(&t);
            }
}

static norn_status run_once(norn_dtype dtype, uint32_t in_count, int64_t bias_elems) {
    static float data[64];
    const norn_scalar_load loads[2] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                       {.input = 2, .dtype = NORN_F32, .broadcast = {true, false}}};
    const norn_scalar_instr code[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 0},
                                      {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                      {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1},
                                      {.op = NORN_SCALAR_EXP, .dtype = NORN_F32, .a = 2}};
    const uint16_t store = 3;
    norn_region region = {.gemm = {.k = 2, .n = 4, .epilogue = {2, 4, 1, loads, code, &store}}};
    norn_view in[3] = {norn_view_of(dtype, 2, (int64_t[]){3, 2}, data),
                       norn_view_of(dtype, 2, (int64_t[]){2, 4}, data),
                       norn_view_of(NORN_F32, 1, (int64_t[]){bias_elems}, data)};
    norn_view out = norn_view_of(NORN_F32, 2, (int64_t[]){3, 4}, NULL);
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.region = &region;
    solo.call.in = in, solo.call.in_count = in_count;
    solo.call.out = &out, solo.call.out_count = 1;
    norn_status status = norn_solo_run(&solo, norn_cpu_gemm_region);
    norn_solo_deinit(&solo);
    return status;
}

static void what_the_region_cannot_read_is_refused(void **state) {
    (void)state;
    assert_int_equal(run_once(NORN_F32, 3, 4), NORN_OK);
    assert_int_equal(run_once(NORN_F32, 3, 3), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "input 2 has 3 elements, its epilogue needs 4"));
    assert_int_equal(run_once(NORN_F32, 2, 4), NORN_INTERNAL);
    assert_int_equal(run_once(NORN_BOOL, 3, 4), NORN_UNIMPLEMENTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epilogue_and_form_of_b_agrees_with_the_formula),
        cmocka_unit_test(rows_may_be_strided_and_threads_share_the_work),
        cmocka_unit_test(products_of_every_type_are_exact_on_small_numbers),
        cmocka_unit_test(what_the_region_cannot_read_is_refused),
    };
    norn_random_init(&rng, 7);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
