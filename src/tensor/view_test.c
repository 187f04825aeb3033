#include "base/cmocka_all.h"
#include "tensor/attr.h"
#include "tensor/view.h"

#include <string.h>

static norn_view view_of(norn_dtype dtype, int32_t rank, int64_t a, int64_t b, int64_t c) {
    const int64_t dims[3] = {a, b, c};
    return norn_view_of(dtype, rank, dims, NULL);
}

static void elements_and_bytes_are_counted_with_care(void **state) {
    (void)state;
    size_t bytes;
    norn_view view = view_of(NORN_F32, 2, 3, 5, 0);
    assert_int_equal(norn_view_elems(&view), 15);
    assert_int_equal(norn_view_bytes(&view, &bytes), NORN_OK);
    assert_int_equal(bytes, 60);
    view = view_of(NORN_I4, 0, 0, 0, 0);
    assert_int_equal(norn_view_elems(&view), 1);
    assert_int_equal(norn_view_bytes(&view, &bytes), NORN_OK);
    assert_int_equal(bytes, 1);
    view = view_of(NORN_F32, 2, 4, -1, 0);
    assert_int_equal(norn_view_elems(&view), -1);
    assert_int_equal(norn_view_bytes(&view, &bytes), NORN_INVALID_ARGUMENT);
    view = view_of(NORN_F64, 3, INT64_C(1) << 40, INT64_C(1) << 20, 1);
    assert_int_equal(norn_view_bytes(&view, &bytes), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "float64[1099511627776,1048576,1]"));
    view = view_of(NORN_F64, 3, INT64_C(1) << 40, INT64_C(1) << 40, 1);
    assert_int_equal(norn_view_elems(&view), -1);
    view.rank = NORN_MAX_RANK + 1;
    assert_int_equal(norn_view_elems(&view), -1);
}

static void a_view_prints_as_type_and_shape(void **state) {
    (void)state;
    char text[NORN_VIEW_TEXT];
    norn_view view = view_of(NORN_F32, 2, 2, 13, 0);
    assert_string_equal(norn_view_text(&view, text), "float32[2,13]");
    view.rank = 0;
    assert_string_equal(norn_view_text(&view, text), "float32[]");
    view.dtype = NORN_F8E4M3FNUZ;
    view.rank = 8;
    for (int i = 0; i < 8; i++) view.dims[i] = INT64_MIN;
    assert_true(strlen(norn_view_text(&view, text)) < NORN_VIEW_TEXT);
}

static void shapes_compare_by_rank_and_dims(void **state) {
    (void)state;
    norn_view a = view_of(NORN_F32, 2, 2, 3, 0), b = view_of(NORN_I8, 2, 2, 3, 9),
              c = view_of(NORN_F32, 3, 2, 3, 0);
    assert_true(norn_view_same_shape(&a, &b));
    assert_false(norn_view_same_shape(&a, &c));
    b.dims[1] = 4;
    assert_false(norn_view_same_shape(&a, &b));
    assert_int_equal(norn_dims_product(a.dims, 0, 2), 6);
    assert_int_equal(norn_dims_product(a.dims, 1, 1), 1);
    norn_view none = {0};
    assert_false(norn_view_present(&none));
    assert_true(norn_view_present(&a));
}

static void shapes_broadcast_as_numpy_s(void **state) {
    (void)state;
    static const struct {
        int32_t rank_a;
        int64_t a[3];
        int32_t rank_b;
        int64_t b[3];
        int32_t rank;
        int64_t out[3];
    } rows[] = {
        {2, {4, 1}, 1, {5}, 2, {4, 5}},          {0, {0}, 2, {3, 2}, 2, {3, 2}},
        {3, {2, 1, 7}, 2, {3, 1}, 3, {2, 3, 7}}, {1, {0}, 1, {1}, 1, {0}},
        {2, {3, 2}, 2, {3, 2}, 2, {3, 2}},       {1, {2}, 1, {3}, -1, {0}},
        {2, {2, 3}, 2, {3, 2}, -1, {0}},         {1, {0}, 1, {2}, -1, {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int swap = 0; swap < 2; swap++) {
            int32_t rank = 99;
            int64_t out[NORN_MAX_RANK] = {0};
            bool ok = swap ? norn_broadcast_dims(rows[i].rank_b, rows[i].b, rows[i].rank_a,
                                                 rows[i].a, &rank, out)
                           : norn_broadcast_dims(rows[i].rank_a, rows[i].a, rows[i].rank_b,
                                                 rows[i].b, &rank, out);
            assert_int_equal(ok, rows[i].rank >= 0);
            if (!ok) continue;
            assert_int_equal(rank, rows[i].rank);
            for (int32_t d = 0; d < rank; d++) assert_int_equal(out[d], rows[i].out[d]);
        }
    }
    int32_t rank;
    int64_t big[NORN_MAX_RANK + 1] = {0};
    assert_false(norn_broadcast_dims(NORN_MAX_RANK + 1, big, 0, NULL, &rank, big));
}

/// Walking the broadcast result with the strides reads what indexing by hand reads.
static void strides_repeat_what_broadcasts(void **state) {
    (void)state;
    const int64_t dims[3] = {2, 3, 4};
    int64_t strides[3];
    norn_view view = view_of(NORN_F32, 3, 2, 3, 4);
    norn_broadcast_strides(&view, 3, dims, strides);
    assert_true(strides[0] == 12 && strides[1] == 4 && strides[2] == 1);
    view = view_of(NORN_F32, 2, 3, 1, 0);
    norn_broadcast_strides(&view, 3, dims, strides);
    assert_true(strides[0] == 0 && strides[1] == 1 && strides[2] == 0);
    view = view_of(NORN_F32, 1, 4, 0, 0);
    norn_broadcast_strides(&view, 3, dims, strides);
    assert_true(strides[0] == 0 && strides[1] == 0 && strides[2] == 1);
    view = view_of(NORN_F32, 0, 0, 0, 0);
    norn_broadcast_strides(&view, 3, dims, strides);
    assert_true(strides[0] == 0 && strides[1] == 0 && strides[2] == 0);
    view = view_of(NORN_F32, 3, 2, 3, 4); // rows of 4 inside rows of 10
    view.row_stride = 10;
    norn_broadcast_strides(&view, 3, dims, strides);
    assert_true(strides[0] == 30 && strides[1] == 10 && strides[2] == 1);
}

static void attributes_are_found_by_name_and_kind(void **state) {
    (void)state;
    const int64_t ints[] = {3, 4};
    const norn_attr list[] = {
        {.name = "axis", .kind = NORN_ATTR_INT, .i64 = -1},
        {.name = "alpha", .kind = NORN_ATTR_FLOAT, .f32 = 0.5f},
        {.name = "mode", .kind = NORN_ATTR_STRING, .string = {"sum", 3}},
        {.name = "perm", .kind = NORN_ATTR_INTS, .count = 2, .ints = ints},
    };
    norn_attrs attrs = {list, 4};
    const int64_t *found;
    assert_int_equal(norn_attr_i64(attrs, "axis", 7), -1);
    assert_int_equal(norn_attr_i64(attrs, "axes", 7), 7);
    assert_int_equal(norn_attr_i64(attrs, "alpha", 7), 7); // of another kind
    assert_true(norn_attr_f32(attrs, "alpha", 0) == 0.5f);
    assert_string_equal(norn_attr_string(attrs, "mode", "mean"), "sum");
    assert_string_equal(norn_attr_string(attrs, "none", "mean"), "mean");
    assert_int_equal(norn_attr_ints(attrs, "perm", &found), 2);
    assert_ptr_equal(found, ints);
    assert_int_equal(norn_attr_ints(attrs, "axis", &found), 0);
    assert_null(found);
    assert_null(norn_attr_find((norn_attrs){0}, "axis"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_and_bytes_are_counted_with_care),
        cmocka_unit_test(a_view_prints_as_type_and_shape),
        cmocka_unit_test(shapes_compare_by_rank_and_dims),
        cmocka_unit_test(shapes_broadcast_as_numpy_s),
        cmocka_unit_test(strides_repeat_what_broadcasts),
        cmocka_unit_test(attributes_are_found_by_name_and_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
