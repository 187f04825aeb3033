// MatMul and ONNX's Gemm: shapes, broadcasts, types.
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

/// A tensor of `dtype` with small whole numbers, so that every type holds sums exactly.
static norn_view whole_numbers(norn_dtype dtype, int32_t rank, const int64_t *dims) {
    norn_view view = norn_view_of(dtype, rank, dims, NULL);
    int64_t count = norn_view_elems(&view);
    size_t bytes = 8;
    assert_true(norn_dtype_bytes(dtype, count, &bytes));
    view.data = malloc(bytes + 8);
    for (int64_t i = 0; i < count; i++)
        norn_element_set_i64(dtype, view.data, i,
                             (int64_t)(norn_random_u64(&rng) % 5) -
                                 (norn_dtype_is_signed(dtype) ? 2 : 0));
    return view;
}

static void run(norn_solo *solo, norn_kernel_fn kernel, const norn_view *in, uint32_t in_count,
                norn_view *out, norn_attrs attrs, norn_pool *pool) {
    norn_solo_init(solo, norn_alloc_heap(), pool);
    solo->call.attrs = attrs;
    solo->call.in = in, solo->call.in_count = in_count;
    solo->call.out = out, solo->call.out_count = 1;
    assert_int_equal(norn_solo_run(solo, kernel), NORN_OK);
}

/// a [a0, a1, m, k] times b [b0, b1, k, n], batch dims of 1 repeating.
static void check_matmul(norn_dtype dtype, const int64_t a_dims[4], const int64_t b_dims[4],
                         norn_pool *pool) {
    norn_view in[2] = {whole_numbers(dtype, 4, a_dims), whole_numbers(dtype, 4, b_dims)};
    int64_t m = a_dims[2], k = a_dims[3], n = b_dims[3], batch[2];
    for (int d = 0; d < 2; d++) batch[d] = a_dims[d] == 1 ? b_dims[d] : a_dims[d];
    norn_view out = guarded(dtype, 4, (int64_t[]){batch[0], batch[1], m, n});
    norn_solo solo;
    run(&solo, norn_cpu_matmul, in, 2, &out, (norn_attrs){0}, pool);
    for (int64_t x = 0; x < batch[0]; x++)
        for (int64_t y = 0; y < batch[1]; y++) {
            int64_t at_a =
                ((a_dims[0] == 1 ? 0 : x) * a_dims[1] + (a_dims[1] == 1 ? 0 : y)) * m * k;
            int64_t at_b =
                ((b_dims[0] == 1 ? 0 : x) * b_dims[1] + (b_dims[1] == 1 ? 0 : y)) * k * n;
            for (int64_t i = 0; i < m * n; i++) {
                double want = 0;
                for (int64_t p = 0; p < k; p++)
                    want += norn_element_f64(dtype, in[0].data, at_a + i / n * k + p) *
                            norn_element_f64(dtype, in[1].data, at_b + p * n + i % n);
                double got = norn_element_f64(dtype, out.data, (x * batch[1] + y) * m * n + i);
                if (got != want) fail_msg("%s %g, not %g", norn_dtype_name(dtype), got, want);
            }
        }
    norn_solo_deinit(&solo);
    guarded_free(&out);
    free(in[0].data), free(in[1].data);
}

/// Tiles are of some rows and of a vector or two; blocks of 120 rows, 256 deep, 256 columns; a product
/// with few columns goes a way of its own up to a depth.
static void matmul_is_exact_at_sizes_around_tiles_and_blocks(void **state) {
    static const int64_t sizes[][3] = {
        {1, 1, 1},    {1, 17, 15},   {1, 256, 257}, {2, 3, 16},    {5, 16, 17},   {6, 31, 31},
        {7, 32, 32},  {12, 33, 33},  {13, 1, 48},   {15, 255, 47}, {16, 256, 49}, {17, 257, 63},
        {119, 8, 64}, {120, 9, 65},  {121, 7, 16},  {120, 256, 8}, {3, 5, 255},   {4, 6, 256},
        {5, 7, 257},  {121, 257, 3}, {64, 8, 3},    {65, 9, 2},    {63, 7, 1},    {9, 4095, 1},
        {8, 4096, 2}, {7, 4097, 3},  {6, 512, 4},   {241, 2, 17},  {2, 513, 33},  {3, 0, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
        check_matmul(NORN_F32, (int64_t[]){1, 1, m, k}, (int64_t[]){1, 1, k, n}, NULL);
        if (m * k * n < 100000)
            check_matmul(NORN_F32, (int64_t[]){1, 3, m, k}, (int64_t[]){2, 1, k, n}, NULL);
        check_matmul(NORN_F64, (int64_t[]){1, 1, m, k}, (int64_t[]){1, 1, k, n}, NULL);
    }
}

static void matmul_broadcasts_batches_of_every_type(void **state) {
    static const norn_dtype types[] = {NORN_F32, NORN_F64, NORN_F16, NORN_BF16,
                                       NORN_I32, NORN_I64, NORN_U32, NORN_U64};
    norn_pool *pool;
    (void)state;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        check_matmul(types[i], (int64_t[]){2, 3, 4, 5}, (int64_t[]){2, 3, 5, 6}, NULL);
        check_matmul(types[i], (int64_t[]){1, 3, 1, 7}, (int64_t[]){4, 1, 7, 17}, pool);
        check_matmul(types[i], (int64_t[]){2, 1, 30, 9}, (int64_t[]){1, 2, 9, 33}, pool);
        check_matmul(types[i], (int64_t[]){1, 1, 3, 0}, (int64_t[]){1, 1, 0, 2}, NULL);
    }
    check_matmul(NORN_F32, (int64_t[]){64, 1, 27, 32}, (int64_t[]){64, 1, 32, 27}, pool);
    check_matmul(NORN_F32, (int64_t[]){1, 1, 200, 64}, (int64_t[]){1, 1, 64, 130}, pool);
    norn_pool_destroy(pool);
}

static void matmul_takes_vectors_on_either_side(void **state) {
    float a[] = {1, 2, 3}, b[] = {1, 0, 0, 1, 1, 1};
    (void)state;
    norn_view out = norn_view_of(NORN_F32, 1, (int64_t[]){2}, NULL);
    const norn_view left[2] = {norn_view_of(NORN_F32, 1, (int64_t[]){3}, a),
                               norn_view_of(NORN_F32, 2, (int64_t[]){3, 2}, b)};
    norn_solo solo;
    run(&solo, norn_cpu_matmul, left, 2, &out, (norn_attrs){0}, NULL);
    assert_true(((float *)out.data)[0] == 4 && ((float *)out.data)[1] == 5);
    norn_solo_deinit(&solo);
    const norn_view right[2] = {norn_view_of(NORN_F32, 2, (int64_t[]){2, 3}, b), left[0]};
    out.data = NULL;
    run(&solo, norn_cpu_matmul, right, 2, &out, (norn_attrs){0}, NULL);
    assert_true(((float *)out.data)[0] == 1 && ((float *)out.data)[1] == 6);
    norn_solo_deinit(&solo);
}

static void check_gemm(norn_dtype dtype, bool ta, bool tb, int32_t c_rank, const int64_t *c_dims) {
    const int64_t m = 5, n = 18, k = 7;
    norn_view in[3] = {whole_numbers(dtype, 2, ta ? (int64_t[]){k, m} : (int64_t[]){m, k}),
                       whole_numbers(dtype, 2, tb ? (int64_t[]){n, k} : (int64_t[]){k, n}),
                       whole_numbers(dtype, c_rank, c_dims)};
    norn_attr attrs[] = {{.name = "transA", .kind = NORN_ATTR_INT, .i64 = ta},
                         {.name = "transB", .kind = NORN_ATTR_INT, .i64 = tb},
                         {.name = "alpha", .kind = NORN_ATTR_FLOAT, .f32 = 2},
                         {.name = "beta", .kind = NORN_ATTR_FLOAT, .f32 = 3}};
    norn_view out = norn_view_of(dtype, 2, (int64_t[]){m, n}, NULL);
    norn_solo solo;
    run(&solo, norn_cpu_gemm, in, 3, &out, (norn_attrs){attrs, 4}, NULL);
    int64_t c_columns = c_rank ? c_dims[c_rank - 1] : 1, c_rows = c_rank == 2 ? c_dims[0] : 1;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += norn_element_f64(dtype, in[0].data, ta ? p * m + i : i * k + p) *
                       norn_element_f64(dtype, in[1].data, tb ? j * k + p : p * n + j);
            int64_t at = (c_rows == 1 ? 0 : i) * c_columns + (c_columns == 1 ? 0 : j);
            double want = 2 * sum + 3 * norn_element_f64(dtype, in[2].data, at);
            assert_true(norn_element_f64(dtype, out.data, i * n + j) == want);
        }
    norn_solo_deinit(&solo);
    for (int i = 0; i < 3; i++) free(in[i].data);
}

static void gemm_transposes_scales_and_broadcasts_its_addend(void **state) {
    static const norn_dtype types[] = {NORN_F32, NORN_F64, NORN_F16, NORN_I32, NORN_I64};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int trans = 0; trans < 4; trans++) {
            check_gemm(types[i], trans & 1, trans & 2, 2, (int64_t[]){5, 18});
            check_gemm(types[i], trans & 1, trans & 2, 2, (int64_t[]){5, 1});
            check_gemm(types[i], trans & 1, trans & 2, 1, (int64_t[]){18});
            check_gemm(types[i], trans & 1, trans & 2, 0, NULL);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_is_exact_at_sizes_around_tiles_and_blocks),
        cmocka_unit_test(matmul_broadcasts_batches_of_every_type),
        cmocka_unit_test(matmul_takes_vectors_on_either_side),
        cmocka_unit_test(gemm_transposes_scales_and_broadcasts_its_addend),
    };
    norn_random_init(&rng, 9);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
