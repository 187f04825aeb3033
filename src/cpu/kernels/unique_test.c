// Unique by type, order and axis, against a table: what is equal, which comes first, how often.
#include "base/cmocka_all.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_call.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

#define DIMS(...) ((int64_t[]){__VA_ARGS__})

/// axis 9: none; sorted -1: not said.
static void run(norn_solo *solo, const norn_view *in, int axis, int sorted, norn_view out[4]) {
    static norn_attr attrs[2];
    attrs[0] = (norn_attr){.name = "sorted", .kind = NORN_ATTR_INT, .i64 = sorted};
    attrs[1] = (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = axis};
    for (int i = 0; i < 4; i++) out[i] = norn_view_of(i ? NORN_I64 : in->dtype, 1, DIMS(0), NULL);
    norn_solo_init(solo, norn_alloc_heap(), NULL);
    solo->call.name = "n/7";
    solo->call.op = NORN_OP_Unique;
    solo->call.attrs = (norn_attrs){attrs, sorted < 0 ? 0 : axis < 9 ? 2 : 1};
    solo->call.in = in;
    solo->call.in_count = 1;
    solo->call.out = out;
    solo->call.out_count = 4;
    assert_int_equal(norn_solo_run(solo, norn_cpu_unique), NORN_OK);
}

static void expect_list(const norn_view *view, const int64_t *want, int64_t count) {
    assert_int_equal(view->dims[0], count);
    for (int64_t i = 0; i < count; i++) assert_int_equal(((const int64_t *)view->data)[i], want[i]);
}

/// Eight elements with signs, repeated, neither rising nor falling; of every type that holds them.
static void elements_of_every_type_come_once_in_their_order(void **state) {
    (void)state;
    static const int values[8] = {3, -2, 3, 7, -5, 0, -2, 3};
    static const norn_dtype types[] = {NORN_I8,  NORN_I16,  NORN_I32, NORN_I64,
                                       NORN_F16, NORN_BF16, NORN_F32, NORN_F64};
    static const int by_value[5] = {-5, -2, 0, 3, 7}, by_place[5] = {3, -2, 7, -5, 0};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int sorted = -1; sorted < 2; sorted++) {
            uint64_t data[8];
            norn_view in = norn_view_of(types[t], 1, DIMS(8), data), out[4];
            norn_solo solo;
            for (int i = 0; i < 8; i++) norn_element_set_f64(types[t], data, i, values[i]);
            run(&solo, &in, 9, sorted, out);
            assert_int_equal(out[0].dims[0], 5);
            for (int i = 0; i < 5; i++)
                assert_int_equal((int)norn_element_f64(types[t], out[0].data, i),
                                 sorted ? by_value[i] : by_place[i]);
            expect_list(&out[1], sorted ? DIMS(4, 1, 5, 0, 3) : DIMS(0, 1, 3, 4, 5), 5);
            expect_list(&out[2],
                        sorted ? DIMS(3, 1, 3, 4, 0, 2, 1, 3) : DIMS(0, 1, 0, 2, 3, 4, 1, 0), 8);
            expect_list(&out[3], sorted ? DIMS(1, 2, 1, 3, 1) : DIMS(3, 2, 1, 1, 1), 5);
            norn_solo_deinit(&solo);
        }
}

static void large_integers_are_told_apart_exactly(void **state) {
    (void)state;
    int64_t data[4] = {INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MAX};
    norn_view in = norn_view_of(NORN_I64, 1, DIMS(4), data), out[4];
    norn_solo solo;
    run(&solo, &in, 9, true, out);
    expect_list(&out[0], DIMS(INT64_MIN, INT64_MAX - 1, INT64_MAX), 3);
    expect_list(&out[3], DIMS(1, 1, 2), 3);
    norn_solo_deinit(&solo);
}

static void nan_is_last_and_equals_itself_and_minus_zero_is_zero(void **state) {
    (void)state;
    float data[6] = {NAN, 1, -0.0f, NAN, 0, -INFINITY};
    norn_view in = norn_view_of(NORN_F32, 1, DIMS(6), data), out[4];
    norn_solo solo;
    run(&solo, &in, 9, true, out);
    const float *y = out[0].data;
    assert_int_equal(out[0].dims[0], 4);
    assert_true(isinf(y[0]) && y[1] == 0 && y[2] == 1 && isnan(y[3]));
    expect_list(&out[1], DIMS(5, 2, 1, 0), 4);
    expect_list(&out[3], DIMS(1, 2, 1, 2), 4);
    norn_solo_deinit(&solo);
}

static void strings_are_ordered_by_bytes_then_by_length(void **state) {
    (void)state;
    static const char text[] = "bazab"; // what follows the "a" is no part of it
    norn_string data[5] = {{text, 1}, {text + 3, 2}, {text + 5, 0}, {text + 1, 1}, {text + 3, 2}};
    norn_view in = norn_view_of(NORN_STRING, 1, DIMS(5), data), out[4];
    norn_solo solo;
    run(&solo, &in, 9, true, out);
    expect_list(&out[1], DIMS(2, 3, 1, 0), 4);
    expect_list(&out[3], DIMS(1, 1, 2, 1), 4);
    norn_solo_deinit(&solo);
}

/// Slices of [2, 3, 2] along each axis; equal ones only where all of their elements are.
static void slices_along_any_axis_are_equal_where_all_elements_are(void **state) {
    (void)state;
    int32_t data[12] = {1, 1, 2, 2, 1, 1, 1, 1, 2, 2, 1, 1};
    norn_view in = norn_view_of(NORN_I32, 3, DIMS(2, 3, 2), data), out[4];
    norn_solo solo;
    run(&solo, &in, 0, true, out);
    assert_int_equal(out[0].dims[0], 1);
    expect_list(&out[3], DIMS(2), 1);
    norn_solo_deinit(&solo);
    run(&solo, &in, -2, true, out);
    assert_true(out[0].dims[0] == 2 && out[0].dims[1] == 2 && out[0].dims[2] == 2);
    assert_memory_equal(out[0].data, ((int32_t[]){1, 1, 2, 2, 1, 1, 2, 2}), 8 * sizeof(int32_t));
    expect_list(&out[2], DIMS(0, 1, 0), 3);
    norn_solo_deinit(&solo);
    data[11] = 0; // the last element of the last slice alone
    run(&solo, &in, 1, true, out);
    assert_int_equal(out[0].dims[1], 3);
    expect_list(&out[1], DIMS(2, 0, 1), 3);
    norn_solo_deinit(&solo);
    run(&solo, &in, 2, false, out);
    assert_int_equal(out[0].dims[2], 2);
    expect_list(&out[1], DIMS(0, 1), 2);
    norn_solo_deinit(&solo);
    run(&solo, &in, 2, true, out); // the second is smaller by that element
    expect_list(&out[1], DIMS(1, 0), 2);
    norn_solo_deinit(&solo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_of_every_type_come_once_in_their_order),
        cmocka_unit_test(large_integers_are_told_apart_exactly),
        cmocka_unit_test(nan_is_last_and_equals_itself_and_minus_zero_is_zero),
        cmocka_unit_test(strings_are_ordered_by_bytes_then_by_length),
        cmocka_unit_test(slices_along_any_axis_are_equal_where_all_elements_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
