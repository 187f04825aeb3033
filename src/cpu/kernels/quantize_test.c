// Quantisation where the type that divides, the layout of scales or the range decides.
#include "base/cmocka_all.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_node.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

#define DIMS(...) ((int64_t[]){__VA_ARGS__})

/// x / scale as `precision` (0: not said) has it, with a scale of type `dtype`.
static int64_t quantized(double x, double scale, norn_dtype dtype, norn_dtype precision) {
    uint64_t x_bits = 0, scale_bits = 0;
    int16_t y;
    norn_element_set_f64(NORN_F32, &x_bits, 0, x);
    norn_element_set_f64(dtype, &scale_bits, 0, scale);
    const norn_attr attr = {.name = "precision", .kind = NORN_ATTR_INT, .i64 = precision};
    norn_view in[3] = {norn_view_of(NORN_F32, 1, DIMS(1), &x_bits),
                       norn_view_of(dtype, 0, NULL, &scale_bits)};
    int16_t zero = 0;
    in[2] = norn_view_of(NORN_I16, 0, NULL, &zero);
    norn_view out = norn_view_of(NORN_I16, 1, DIMS(1), &y);
    norn_solo solo;
    assert_int_equal(solo_run_node(&solo, NORN_OP_QuantizeLinear, norn_cpu_quantize,
                                   (norn_attrs){&attr, precision ? 1 : 0}, in, 3, &out),
                     NORN_OK);
    norn_solo_deinit(&solo);
    return y;
}

static void the_type_that_divides_is_the_named_one_or_the_scales(void **state) {
    (void)state;
    // 2051 is no half: 11 bits hold 2050 and 2052. Nor is 259 a bfloat16: 8 bits hold 258 and 260.
    assert_int_equal(quantized(2051, 1, NORN_F32, NORN_DTYPE_NONE), 2051);
    assert_int_equal(quantized(2051, 1, NORN_F16, NORN_DTYPE_NONE), 2052);
    assert_int_equal(quantized(2051, 1, NORN_F32, NORN_F16), 2052);
    assert_int_equal(quantized(2051, 1, NORN_F16, NORN_F32), 2051);
    assert_int_equal(quantized(259, 1, NORN_F32, NORN_BF16), 260);
    assert_int_equal(quantized(259, 1, NORN_BF16, NORN_DTYPE_NONE), 260);
    assert_int_equal(quantized(259, 1, NORN_BF16, NORN_F16), 259);
    assert_int_equal(quantized(1234.5, 1, NORN_F32, NORN_F32), 1234); // ties go to even
    assert_int_equal(quantized(1235.5, 1, NORN_F32, NORN_F32), 1236);
    // 0.85f / 0.1f is 8.5000001, and 8.5 as a float; 0.5f / (1 / 3.0f) is 1.49999996, and 1.5.
    assert_int_equal(quantized(0.85, 0.1, NORN_F32, NORN_DTYPE_NONE), 8);
    assert_int_equal(quantized(0.5, 1 / 3.0, NORN_F32, NORN_DTYPE_NONE), 2);
}

static void what_is_out_of_range_is_the_end_of_the_range(void **state) {
    (void)state;
    static const struct {
        norn_dtype dtype;
        int64_t low, high;
    } types[] = {{NORN_U8, 0, 255},         {NORN_I8, -128, 127}, {NORN_U16, 0, 65535},
                 {NORN_I16, -32768, 32767}, {NORN_U4, 0, 15},     {NORN_I4, -8, 7}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const int64_t low = types[t].low, high = types[t].high;
        float x[6] = {-1e9f, (float)low - 1, (float)low, (float)high, (float)high + 1, 1e9f},
              one = 1;
        const int64_t want[6] = {low, low, low, high, high, high};
        uint64_t zero = 0, y[2] = {0};
        norn_view in[3] = {norn_view_of(NORN_F32, 1, DIMS(6), x),
                           norn_view_of(NORN_F32, 0, NULL, &one),
                           norn_view_of(types[t].dtype, 0, NULL, &zero)};
        norn_view out = norn_view_of(types[t].dtype, 1, DIMS(6), y);
        norn_solo solo;
        assert_int_equal(solo_run_node(&solo, NORN_OP_QuantizeLinear, norn_cpu_quantize,
                                       (norn_attrs){0}, in, 3, &out),
                         NORN_OK);
        for (int i = 0; i < 6; i++)
            assert_int_equal(norn_element_i64(types[t].dtype, y, i), want[i]);
        norn_solo_deinit(&solo);
    }
}

/// [2, 3, 4] with scales by axis, and in blocks of two along the middle one (the last of one).
static void scales_belong_to_their_axis_and_block(void **state) {
    (void)state;
    enum { A = 2, N = 3, C = 4, BLOCK = 2, BLOCKS = 2 };
    float x[A * N * C], scale[A * BLOCKS * C];
    int8_t zero[A * BLOCKS * C], y[A * N * C];
    for (int i = 0; i < A * N * C; i++) x[i] = (float)(i * 5 % 24 - 12);
    for (int i = 0; i < A * BLOCKS * C; i++)
        scale[i] = (float)(1 + i % 5), zero[i] = (int8_t)(i % 7 - 3);
    for (int axis = -3; axis <= 3; axis++) {
        const bool blocked = axis == 3;
        const int64_t dims[3] = {A, N, C};
        const int real = axis < 0 ? axis + 3 : axis;
        const norn_attr attrs[] = {
            {.name = "axis", .kind = NORN_ATTR_INT, .i64 = blocked ? 1 : axis},
            {.name = "block_size", .kind = NORN_ATTR_INT, .i64 = blocked ? BLOCK : 0}};
        // Axis 1 is the default.
        const norn_attrs said = axis == 1 ? (norn_attrs){attrs + 1, 1} : (norn_attrs){attrs, 2};
        norn_view in[3] = {norn_view_of(NORN_F32, 3, dims, x)};
        in[1] = blocked ? norn_view_of(NORN_F32, 3, DIMS(A, BLOCKS, C), scale)
                        : norn_view_of(NORN_F32, 1, DIMS(dims[real]), scale);
        in[2] = in[1], in[2].dtype = NORN_I8, in[2].data = zero;
        norn_view out = norn_view_of(NORN_I8, 3, dims, y);
        norn_solo solo;
        float back[A * N * C];
        assert_int_equal(
            solo_run_node(&solo, NORN_OP_QuantizeLinear, norn_cpu_quantize, said, in, 3, &out),
            NORN_OK);
        norn_solo_deinit(&solo);
        in[0] = out;
        out = norn_view_of(NORN_F32, 3, dims, back);
        assert_int_equal(
            solo_run_node(&solo, NORN_OP_DequantizeLinear, norn_cpu_dequantize, said, in, 3, &out),
            NORN_OK);
        norn_solo_deinit(&solo);
        for (int i = 0; i < A * N * C; i++) {
            const int at[3] = {i / (N * C), i / C % N, i % C};
            const int s = blocked ? (at[0] * BLOCKS + at[1] / BLOCK) * C + at[2] : at[real];
            const double want = rint((double)(x[i] / scale[s])) + zero[s];
            assert_int_equal(y[i], (int)want);
            assert_true(back[i] == (float)(y[i] - zero[s]) * scale[s]);
        }
    }
}

static void scales_that_do_not_fit_are_refused(void **state) {
    (void)state;
    float x[6] = {0}, scale[6] = {1, 1, 1, 1, 1, 1};
    int8_t zero[6] = {0}, y[6];
    static const struct {
        int64_t axis, block, scales, zeros;
        bool fits;
    } cases[] = {{1, 0, 3, 3, true},   {1, 0, 2, 2, false}, {0, 0, 2, 2, true},
                 {0, 0, 3, 3, false},  {1, 0, 3, 2, false}, {2, 0, 3, 3, false},
                 {-3, 0, 3, 3, false}, {-2, 0, 2, 2, true}, {2, 0, 1, 1, true},
                 {1, 3, 2, 2, true},   {1, 2, 4, 4, true},  {1, 2, 3, 3, false},
                 {1, 2, 5, 5, false},  {2, 0, 0, 0, false}, {1, 4, 2, 2, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_attr attrs[] = {
            {.name = "axis", .kind = NORN_ATTR_INT, .i64 = cases[i].axis},
            {.name = "block_size", .kind = NORN_ATTR_INT, .i64 = cases[i].block}};
        norn_view in[3] = {norn_view_of(NORN_F32, 2, DIMS(2, 3), x),
                           norn_view_of(NORN_F32, 1, DIMS(cases[i].scales), scale),
                           norn_view_of(NORN_I8, 1, DIMS(cases[i].zeros), zero)};
        norn_view out = norn_view_of(NORN_I8, 2, DIMS(2, 3), y);
        norn_solo solo;
        norn_status status = solo_run_node(&solo, NORN_OP_QuantizeLinear, norn_cpu_quantize,
                                           (norn_attrs){attrs, 2}, in, 3, &out);
        norn_solo_deinit(&solo);
        if ((status == NORN_OK) != cases[i].fits) fail_msg("case %zu: %d", i, (int)status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_type_that_divides_is_the_named_one_or_the_scales),
        cmocka_unit_test(what_is_out_of_range_is_the_end_of_the_range),
        cmocka_unit_test(scales_belong_to_their_axis_and_block),
        cmocka_unit_test(scales_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
