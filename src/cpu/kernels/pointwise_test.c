#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/micro/tile_op.h"
#include "cpu/solo_call.h"
#include "ops/op.h"
#include "tensor/dtype.h"
#include "tensor/view.h"
#include "testing/scalar_reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static norn_random rng;

typedef struct program {
    norn_scalar_load loads[4];
    norn_scalar_instr code[12];
    uint16_t stores[2];
    uint32_t loads_used, used;
    int64_t pad;
} program;

static uint16_t add(program *p, norn_scalar_op op, norn_dtype dtype, uint16_t a, uint16_t b,
                    uint16_t c) {
    p->code[p->used] =
        (norn_scalar_instr){.op = (uint16_t)op, .dtype = dtype, .a = a, .b = b, .c = c};
    return (uint16_t)p->used++;
}
static uint16_t load(program *p, norn_dtype stored, norn_dtype dtype, const bool *broadcast,
                     int rank) {
    uint16_t index = (uint16_t)p->loads_used++;
    p->loads[index] = (norn_scalar_load){.input = index, .dtype = stored};
    for (int d = 0; broadcast && d < rank; d++) p->loads[index].broadcast[d] = broadcast[d];
    uint16_t reg = add(p, NORN_SCALAR_LOAD, dtype, 0, 0, 0);
    p->code[reg].load = index;
    return reg;
}

static norn_status run(program *p, uint32_t store_count, const norn_view *in, norn_view *out,
                       norn_pool *pool, norn_solo *solo) {
    norn_region region = {
        .pointwise = {{p->loads_used, p->used, store_count, p->loads, p->code, p->stores},
                      .pad = p->pad}};
    norn_solo_init(solo, norn_alloc_heap(), pool);
    solo->call.region = &region;
    solo->call.in = in;
    solo->call.in_count = p->loads_used;
    solo->call.out = out;
    solo->call.out_count = store_count;
    return norn_solo_run(solo, norn_cpu_pointwise);
}

/// y = tanh(a * b) + c over [outer, rows, columns], operands repeating as `mask` says:
/// bit 3 * operand + dim. The output may have a row stride.
static void check_broadcast(const int64_t dims[3], unsigned mask, int64_t stride, norn_pool *pool) {
    norn_view in[3], out = norn_view_of(NORN_F32, 3, dims, NULL);
    float *data[3];
    program p = {0};
    uint16_t regs[3];
    for (int i = 0; i < 3; i++) {
        bool broadcast[3];
        int64_t own[3];
        for (int d = 0; d < 3; d++) {
            broadcast[d] = mask >> (3 * i + d) & 1;
            own[d] = broadcast[d] ? 1 : dims[d];
        }
        int64_t count = own[0] * own[1] * own[2];
        data[i] = malloc((size_t)(count + 1) * sizeof(float));
        for (int64_t e = 0; e < count; e++) data[i][e] = (float)(norn_random_unit(&rng) * 2 - 1);
        in[i] = norn_view_of(NORN_F32, 3, own, data[i]);
        regs[i] = load(&p, NORN_F32, NORN_F32, broadcast, 3);
    }
    uint16_t product = add(&p, NORN_SCALAR_MUL, NORN_F32, regs[0], regs[1], 0);
    uint16_t bent = add(&p, NORN_SCALAR_TANH, NORN_F32, product, 0, 0);
    p.stores[0] = add(&p, NORN_SCALAR_ADD, NORN_F32, bent, regs[2], 0);
    int64_t row = stride ? stride : dims[2], total = dims[0] * dims[1] * row;
    float *y = malloc((size_t)(total + 8) * sizeof(float));
    for (int64_t i = 0; i < total + 8; i++) y[i] = 777;
    out.data = y;
    out.row_stride = stride;
    norn_solo solo;
    assert_int_equal(run(&p, 1, in, &out, pool, &solo), NORN_OK);
    for (int64_t o = 0; o < dims[0]; o++)
        for (int64_t r = 0; r < dims[1]; r++)
            for (int64_t c = 0; c < row; c++) {
                float got = y[(o * dims[1] + r) * row + c];
                if (c >= dims[2]) {
                    assert_true(got == 777);
                    continue;
                }
                double x[3];
                for (int i = 0; i < 3; i++) {
                    int64_t at_o = in[i].dims[0] == 1 ? 0 : o, at_r = in[i].dims[1] == 1 ? 0 : r,
                            at_c = in[i].dims[2] == 1 ? 0 : c;
                    x[i] = (double)data[i][(at_o * in[i].dims[1] + at_r) * in[i].dims[2] + at_c];
                }
                if (!(fabs((double)got - (tanh(x[0] * x[1]) + x[2])) < 1e-6))
                    fail_msg("mask %x at %d %d %d: %g", mask, (int)o, (int)r, (int)c, (double)got);
            }
    for (int64_t i = total; i < total + 8; i++) assert_true(y[i] == 777);
    norn_solo_deinit(&solo);
    for (int i = 0; i < 3; i++) free(data[i]);
    free(y);
}

/// Rows end in zeros, and nothing beyond them is written.
static void rows_end_in_the_zeros_that_the_region_asks_for(void **state) {
    (void)state;
    enum { ROWS = 6, N = 13, PAD = 3, STRIDE = 20 };
    for (int strided = 0; strided < 2; strided++) {
        const int64_t in_dims[] = {2, 3, N}, out_dims[] = {2, 3, N + PAD};
        const int64_t row = strided ? STRIDE : N + PAD;
        float x[ROWS * N], y[ROWS * STRIDE];
        program p = {0};
        norn_solo solo;
        for (int i = 0; i < ROWS * N; i++) x[i] = (float)i + 1;
        for (int i = 0; i < ROWS * STRIDE; i++) y[i] = 777;
        norn_view in = norn_view_of(NORN_F32, 3, in_dims, x),
                  out = norn_view_of(NORN_F32, 3, out_dims, y);
        if (strided) out.row_stride = STRIDE;
        const uint16_t loaded = load(&p, NORN_F32, NORN_F32, NULL, 3);
        p.stores[0] = add(&p, NORN_SCALAR_NEG, NORN_F32, loaded, 0, 0);
        p.pad = PAD;
        assert_int_equal(run(&p, 1, &in, &out, NULL, &solo), NORN_OK);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < row; c++) {
                const float want = c < N ? -x[r * N + c] : c < N + PAD ? 0 : 777;
                assert_true(y[r * row + c] == want);
            }
        norn_solo_deinit(&solo);
        p.pad = N + PAD + 1; // more than a row has
        assert_int_equal(run(&p, 1, &in, &out, NULL, &solo), NORN_INVALID_ARGUMENT);
        norn_solo_deinit(&solo);
    }
}

static void operands_repeat_along_any_dims(void **state) {
    (void)state;
    for (unsigned mask = 0; mask < 512; mask++)
        check_broadcast((int64_t[]){3, 5, 19}, mask, 0, NULL);
    for (unsigned mask = 0; mask < 512; mask += 37) {
        check_broadcast((int64_t[]){2, 7, 130}, mask, 0, NULL);
        check_broadcast((int64_t[]){2, 3, 33}, mask, 40, NULL);
        check_broadcast((int64_t[]){1, 1, 5000}, mask, 0, NULL);
        check_broadcast((int64_t[]){4, 0, 3}, mask, 0, NULL);
    }
}

static void threads_share_large_work(void **state) {
    norn_pool *pool;
    (void)state;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (unsigned mask = 0; mask < 512; mask += 61) {
        check_broadcast((int64_t[]){5, 300, 100}, mask, 0, pool);
        check_broadcast((int64_t[]){1, 2, 60000}, mask, 0, pool);
        check_broadcast((int64_t[]){64, 50, 33}, mask, 36, pool);
    }
    norn_pool_destroy(pool);
}

static void integers_wrap_and_never_trap(void **state) {
    int32_t a[] = {INT32_MIN, INT32_MIN, 7, -7, 7, 2000000000, 5, 0};
    int32_t b[] = {-1, 0, -2, 2, 0, 2000000000, -3, 3};
    const int32_t quotient[] = {INT32_MIN, 0, -3, -3, 0, 1, -1, 0};
    const int32_t modulo[] = {0, 0, -1, 1, 0, 0, -1, 0};
    (void)state;
    program p = {0};
    uint16_t x = load(&p, NORN_I32, NORN_I32, NULL, 0), y = load(&p, NORN_I32, NORN_I32, NULL, 0);
    p.stores[0] = add(&p, NORN_SCALAR_DIV, NORN_I32, x, y, 0);
    p.stores[1] = add(&p, NORN_SCALAR_MOD, NORN_I32, x, y, 0);
    norn_view in[2] = {norn_view_of(NORN_I32, 1, (int64_t[]){8}, a),
                       norn_view_of(NORN_I32, 1, (int64_t[]){8}, b)};
    norn_view out[2] = {norn_view_of(NORN_I32, 1, (int64_t[]){8}, NULL),
                        norn_view_of(NORN_I32, 1, (int64_t[]){8}, NULL)};
    norn_solo solo;
    assert_int_equal(run(&p, 2, in, out, NULL, &solo), NORN_OK);
    assert_memory_equal(out[0].data, quotient, sizeof quotient);
    assert_memory_equal(out[1].data, modulo, sizeof modulo);
    norn_solo_deinit(&solo);
}

static void types_convert_at_loads_stores_and_between(void **state) {
    uint16_t halves[] = {0x3c00, 0xc000, 0x7c00, 0x3555}; // 1, -2, infinity, 0.333
    uint8_t chosen[] = {1, 0, 0, 1};
    (void)state;
    program p = {0};
    uint16_t x = load(&p, NORN_F16, NORN_F32, NULL, 0), m = load(&p, NORN_BOOL, NORN_BOOL, NULL, 0);
    uint16_t minus = add(&p, NORN_SCALAR_NEG, NORN_F32, x, 0, 0);
    uint16_t pick = add(&p, NORN_SCALAR_SELECT, NORN_F32, m, x, minus);
    uint16_t whole = add(&p, NORN_SCALAR_CAST, NORN_I64, x, 0, 0);
    p.stores[0] = pick;
    p.stores[1] = whole;
    norn_view in[2] = {norn_view_of(NORN_F16, 1, (int64_t[]){4}, halves),
                       norn_view_of(NORN_BOOL, 1, (int64_t[]){4}, chosen)};
    norn_view out[2] = {norn_view_of(NORN_BF16, 1, (int64_t[]){4}, NULL),
                        norn_view_of(NORN_I64, 1, (int64_t[]){4}, NULL)};
    norn_solo solo;
    assert_int_equal(run(&p, 2, in, out, NULL, &solo), NORN_OK);
    const uint16_t *got = out[0].data;
    const int64_t *integers = out[1].data;
    assert_true(norn_bf16_to_f32(got[0]) == 1 && norn_bf16_to_f32(got[1]) == 2);
    assert_true(isinf((double)norn_bf16_to_f32(got[2])) && norn_bf16_to_f32(got[2]) < 0);
    assert_true(fabsf(norn_bf16_to_f32(got[3]) - 0.333f) < 0.002f);
    assert_true(integers[0] == 1 && integers[1] == -2 && integers[2] == INT64_MAX &&
                integers[3] == 0);
    norn_solo_deinit(&solo);
}

static void a_broadcast_that_does_not_fit_is_refused(void **state) {
    float x[3] = {0};
    (void)state;
    program p = {0};
    p.stores[0] = load(&p, NORN_F32, NORN_F32, NULL, 0);
    norn_view in = norn_view_of(NORN_F32, 1, (int64_t[]){3}, x);
    norn_view out = norn_view_of(NORN_F32, 1, (int64_t[]){4}, NULL);
    norn_solo solo;
    assert_int_equal(run(&p, 1, &in, &out, NULL, &solo), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "input 0 has 3 elements, its broadcast needs 4"));
    norn_solo_deinit(&solo);
}

// ---- every operation of every type, beside the reference

enum { ELEMS = 67 };

static const norn_dtype dtypes[] = {NORN_BOOL, NORN_I8,  NORN_U8,  NORN_I16, NORN_U16,
                                    NORN_I32,  NORN_U32, NORN_I64, NORN_U64, NORN_BF16,
                                    NORN_F16,  NORN_F32, NORN_F64};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

/// Numbers on which operations part: ends, signs, halves, no numbers; and random ones.
static void fill(norn_dtype dtype, void *data, int turn) {
    static const double edges[] = {0,    -0.0, 1,    -1,  0.5, -0.5,     1.5,       2.5, -2.5, 3,
                                   -7,   100,  1e-3, 9.5, 2,   INFINITY, -INFINITY, NAN, 1e4,  -3,
                                   0.25, 64,   63,   127, 255, -128,     31,        5};
    static const int64_t ends[] = {INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN, 0, 1, -1, 2, 3, 7};
    const int count = sizeof edges / sizeof edges[0];
    for (int i = 0; i < ELEMS; i++) {
        const int at = (i * (2 * turn + 1) + 5 * turn) % (count + 10);
        if (norn_dtype_is_float(dtype))
            norn_element_set_f64(dtype, data, i,
                                 at < count ? edges[at] : (norn_random_unit(&rng) - 0.5) * 20);
        else if (dtype == NORN_BOOL)
            ((uint8_t *)data)[i] = norn_random_unit(&rng) < 0.5;
        else
            norn_element_set_i64(dtype, data, i,
                                 at < count ? (isfinite(edges[at]) ? (int64_t)edges[at] : 11)
                                            : ends[at - count]);
    }
}

/// How far a kernel of `dtype` may be from the reference, which rounds once.
static double tolerance(norn_dtype dtype) {
    return dtype == NORN_F64 ? 1e-13 : dtype == NORN_F32 ? 3e-6 : dtype == NORN_F16 ? 2e-3 : 2e-2;
}

/// Of a whole number; uint64 by its bits.
static int64_t whole(norn_dtype dtype, const void *data, int i) {
    return dtype == NORN_U64 ? ((const int64_t *)data)[i] : norn_element_i64(dtype, data, i);
}

static bool near(norn_dtype dtype, const void *data, int i, double f, int64_t n) {
    if (!norn_dtype_is_float(dtype)) return whole(dtype, data, i) == n;
    const double got = norn_element_f64(dtype, data, i);
    if (isnan(got) || isnan(f)) return isnan(got) && isnan(f);
    if (isinf(got) || isinf(f)) return got == f;
    return fabs(got - f) <= tolerance(dtype) * (1e-3 + fabs(f));
}

/// Whether the CPU has this program; if so, every element is what the reference makes of its operands.
static bool check_beside_reference(program *p, norn_dtype out_dtype, const char *what) {
    static uint64_t data[4][ELEMS];
    norn_view in[4], out = norn_view_of(out_dtype, 1, (int64_t[]){ELEMS}, NULL);
    norn_solo solo;
    for (uint32_t k = 0; k < p->loads_used; k++) {
        fill(p->loads[k].dtype, data[k], (int)k);
        in[k] = norn_view_of(p->loads[k].dtype, 1, (int64_t[]){ELEMS}, data[k]);
    }
    const norn_status status = run(p, 1, in, &out, NULL, &solo);
    const norn_scalar_program made = {p->loads_used, p->used, 1, p->loads, p->code, p->stores};
    for (int i = 0; i < ELEMS && status == NORN_OK; i++) {
        double f[4] = {0}, y;
        int64_t n[4] = {0}, z;
        for (uint32_t k = 0; k < p->loads_used; k++) {
            f[k] = norn_element_f64(in[k].dtype, data[k], i);
            n[k] = norn_dtype_is_float(in[k].dtype) ? 0 : whole(in[k].dtype, data[k], i);
        }
        norn_scalar_reference(&made, f, n, &y, &z);
        if (!near(out_dtype, out.data, i, y, z))
            fail_msg("%s, element %d of %g %g %g (%lld %lld): %g, not %g or %lld", what, i, f[0],
                     f[1], f[2], (long long)n[0], (long long)n[1],
                     norn_element_f64(out_dtype, out.data, i), y, (long long)z);
    }
    norn_solo_deinit(&solo);
    return status == NORN_OK;
}

static void every_operation_of_every_type_is_the_reference(void **state) {
    int had = 0;
    (void)state;
    for (int d = 0; d < DTYPES; d++)
        for (int op = NORN_SCALAR_ADD; op < NORN_SCALAR_COUNT; op++) {
            const norn_dtype dtype = dtypes[d];
            const bool asks = (op >= NORN_SCALAR_EQ && op <= NORN_SCALAR_GE) ||
                              op == NORN_SCALAR_IS_NAN || op == NORN_SCALAR_IS_INF;
            char what[64];
            program p = {0};
            uint16_t regs[3] = {0};
            for (int k = 0; k < (int)norn_scalar_arity((uint32_t)op); k++) {
                const norn_dtype of = op == NORN_SCALAR_SELECT && k == 0 ? NORN_BOOL : dtype;
                regs[k] = load(&p, of, of, NULL, 0);
            }
            p.stores[0] =
                add(&p, (norn_scalar_op)op, asks ? NORN_BOOL : dtype, regs[0], regs[1], regs[2]);
            const norn_scalar_program made = {p.loads_used, p.used, 1, p.loads, p.code, p.stores};
            if (norn_scalar_verify(&made, p.loads_used, 1) != NORN_OK) continue;
            snprintf(what, sizeof what, "operation %d of %s", op, norn_dtype_name(dtype));
            had += check_beside_reference(&p, asks ? NORN_BOOL : dtype, what);
        }
    assert_int_equal(had, 313);
}

static void every_cast_is_the_reference(void **state) {
    int had = 0;
    (void)state;
    for (int from = 0; from < DTYPES; from++)
        for (int to = 0; to < DTYPES; to++) {
            char what[64];
            program p = {0};
            const uint16_t reg = load(&p, dtypes[from], dtypes[from], NULL, 0);
            p.stores[0] = add(&p, NORN_SCALAR_CAST, dtypes[to], reg, 0, 0);
            snprintf(what, sizeof what, "%s to %s", norn_dtype_name(dtypes[from]),
                     norn_dtype_name(dtypes[to]));
            had += check_beside_reference(&p, dtypes[to], what);
        }
    assert_int_equal(had, DTYPES * DTYPES);
    assert_null(norn_tile_cast(NORN_DTYPE_COUNT, NORN_F32));
    assert_null(norn_tile_cast(NORN_F32, NORN_DTYPE_COUNT));
    assert_null(norn_tile_cast(NORN_STRING, NORN_F32));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_repeat_along_any_dims),
        cmocka_unit_test(rows_end_in_the_zeros_that_the_region_asks_for),
        cmocka_unit_test(threads_share_large_work),
        cmocka_unit_test(integers_wrap_and_never_trap),
        cmocka_unit_test(types_convert_at_loads_stores_and_between),
        cmocka_unit_test(every_operation_of_every_type_is_the_reference),
        cmocka_unit_test(every_cast_is_the_reference),
        cmocka_unit_test(a_broadcast_that_does_not_fit_is_refused),
    };
    norn_random_init(&rng, 5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
