#include "passes/test_graph.h"

static void operators_that_change_nothing_are_gone(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *y = OP(t, Relu, NONE, x);
    y = OP(t, Identity, NONE, y);
    y = OP(t, Cast, ATTR_INT("to", NORN_F32), y);
    y = OP(t, Dropout, NONE, y);
    y = OP(t, Concat, ATTR_INT("axis", 1), y);
    y = OP(t, Slice, NONE, y, INTS(t, 0), INTS(t, INT64_MAX), INTS(t, 1));
    y = OP(t, Mul, NONE, y, test_const(t, "one", NORN_F32, SCALAR, 1, 0));
    test_output(t, OP(t, Transpose, ATTR_INTS("perm", 0, 1), y));
    test_run(t, norn_pass_simplify);
    assert_int_equal(t->graph->node_count, 1);
    assert_ptr_equal(test_result(t, 0)->producer, test_find(t, NORN_OP_Relu));
    assert_string_equal(t->graph->output_names[0], "Transpose_12");
    test_end(t);
}

static void a_slice_that_reverses_stays(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    test_output(t, OP(t, Slice, NONE, x, INTS(t, -1), INTS(t, -5), INTS(t, 1), INTS(t, -1)));
    test_run(t, norn_pass_simplify);
    assert_int_equal(test_count(t, NORN_OP_Slice), 1);
    test_end(t);
}

static void an_output_that_is_an_input_keeps_its_node(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    test_output(t, OP(t, Identity, NONE, x));
    test_run(t, norn_pass_simplify);
    assert_int_equal(test_count(t, NORN_OP_Identity), 1);
    test_end(t);
}

static void shapes_that_are_known_need_no_arithmetic(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3, 4));
    (void)state;
    norn_value *batch =
        OP(t, Gather, NONE, OP(t, Shape, NONE, x), test_const(t, "0", NORN_I64, SCALAR, 0, 0));
    norn_value *wanted =
        OP(t, Concat, ATTR_INT("axis", 0), OP(t, Unsqueeze, NONE, batch, INTS(t, 0)), INTS(t, -1));
    norn_value *flat = OP(t, Reshape, NONE, x, wanted);
    norn_value *y = OP(t, Unsqueeze, NONE, OP(t, Flatten, ATTR_INT("axis", 1), flat), INTS(t, 1));
    test_output(t, OP(t, Relu, NONE, y));
    test_run(t, norn_pass_simplify);
    assert_int_equal(t->graph->node_count, 2);
    const norn_node *reshape = test_find(t, NORN_OP_Reshape);
    assert_int_equal(reshape->in_count, 1);
    assert_ptr_equal(reshape->in[0].value, x);
    assert_int_equal(norn_attr_i64(reshape->attrs, "norn_static_shape", 0), 1);
    assert_int_equal(reshape->out[0]->shape.rank, 3);
    assert_int_equal(reshape->out[0]->shape.dims[2].constant, 12);
    test_end(t);
}

static void transposes_compose(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(2, 3, 4));
    (void)state;
    norn_value *once = OP(t, Transpose, ATTR_INTS("perm", 1, 2, 0), x);
    test_output(t, OP(t, Relu, NONE, OP(t, Transpose, ATTR_INTS("perm", 2, 1, 0), once)));
    test_output(t, OP(t, Abs, NONE, OP(t, Transpose, ATTR_INTS("perm", 2, 0, 1), once)));
    test_run(t, norn_pass_simplify);
    const norn_node *transpose = test_find(t, NORN_OP_Transpose);
    const int64_t *perm;
    assert_int_equal(test_count(t, NORN_OP_Transpose), 1);
    assert_int_equal(norn_attr_ints(transpose->attrs, "perm", &perm), 3);
    assert_int_equal(perm[0], 0);
    assert_int_equal(perm[1], 2);
    assert_int_equal(perm[2], 1);
    assert_ptr_equal(test_find(t, NORN_OP_Abs)->in[0].value, x);
    test_end(t);
}

static void a_transpose_of_ones_is_a_reshape(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 1, 4));
    (void)state;
    test_output(t, OP(t, Relu, NONE, OP(t, Transpose, ATTR_INTS("perm", 1, 0, 2), x)));
    test_run(t, norn_pass_simplify);
    assert_int_equal(test_count(t, NORN_OP_Transpose), 0);
    assert_int_equal(test_count(t, NORN_OP_Reshape), 1);
    test_end(t);
}

static void an_expand_that_broadcasts_anyway_is_dropped(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 1, 4)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 3, 4));
    (void)state;
    norn_value *wide = OP(t, Expand, NONE, x, INTS(t, 1, 3, 1));
    test_output(t, OP(t, Sub, NONE, wide, y));
    test_output(t, OP(t, Mul, NONE, wide, wide)); // one of them gives the shape
    test_run(t, norn_pass_simplify);
    assert_ptr_equal(test_find(t, NORN_OP_Sub)->in[0].value, x);
    assert_ptr_equal(test_find(t, NORN_OP_Mul)->in[1].value->producer,
                     test_find(t, NORN_OP_Expand));
    test_end(t);
}

static void a_concat_of_a_concat_is_one(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 1)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 2));
    (void)state;
    norn_value *inner = OP(t, Concat, ATTR_INT("axis", -1), x, y);
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), y, inner, x));
    test_run(t, norn_pass_simplify_concat);
    const norn_node *concat = test_find(t, NORN_OP_Concat);
    assert_int_equal(t->graph->node_count, 1);
    assert_int_equal(concat->in_count, 4);
    assert_ptr_equal(concat->in[0].value, y);
    assert_ptr_equal(concat->in[1].value, x);
    assert_ptr_equal(concat->in[2].value, y);
    assert_ptr_equal(concat->in[3].value, x);
    assert_int_equal(concat->origin.count, 2);
    test_end(t);
}

static norn_value *columns(test_graph *t, norn_value *x, int first, int end) {
    return OP(t, Slice, NONE, x, INTS(t, first), INTS(t, end), INTS(t, 1));
}

static void slices_that_are_put_together_again_are_one(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 6)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 2));
    (void)state;
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), columns(t, x, 0, 1), columns(t, x, 1, 4), y,
                      columns(t, x, 5, 6), columns(t, x, 0, 2)));
    test_output(
        t, OP(t, Relu, NONE,
              OP(t, Concat, ATTR_INT("axis", -1), columns(t, x, 0, 3), columns(t, x, -3, 100))));
    test_run(t, norn_pass_simplify_concat);
    const norn_node *concat = test_find(t, NORN_OP_Concat);
    assert_int_equal(test_count(t, NORN_OP_Concat), 1);
    assert_int_equal(test_count(t, NORN_OP_Slice), 3);
    assert_int_equal(concat->in_count, 4);
    assert_int_equal(concat->in[0].value->shape.dims[1].constant, 4);
    const norn_node *slice = concat->in[0].value->producer;
    assert_int_equal(*(const int64_t *)slice->in[1].value->data->data, 0);
    assert_int_equal(*(const int64_t *)slice->in[2].value->data->data, 4);
    assert_ptr_equal(concat->in[1].value, y);
    assert_ptr_equal(test_find(t, NORN_OP_Relu)->in[0].value, x);
    test_end(t);
}

static void outputs_of_a_split_in_order_are_what_was_split(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 6)), *split[2], *relu[2];
    (void)state;
    norn_attr attrs[2] = {{.name = "axis", .kind = NORN_ATTR_INT, .i64 = -1},
                          {.name = "num_outputs", .kind = NORN_ATTR_INT, .i64 = 2}};
    relu[0] = OP(t, Relu, NONE, x);
    const norn_node *node = test_node(t, NORN_OP_Split, (norn_attrs){attrs, 2}, 2, relu, 1);
    split[0] = node->out[0], split[1] = node->out[1];
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), split[0], split[1]));
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), split[1], split[0]));
    test_run(t, norn_pass_simplify_concat);
    assert_int_equal(test_count(t, NORN_OP_Concat), 1);
    assert_ptr_equal(test_result(t, 0), relu[0]);
    test_end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_that_change_nothing_are_gone),
        cmocka_unit_test(a_slice_that_reverses_stays),
        cmocka_unit_test(an_output_that_is_an_input_keeps_its_node),
        cmocka_unit_test(shapes_that_are_known_need_no_arithmetic),
        cmocka_unit_test(transposes_compose),
        cmocka_unit_test(a_transpose_of_ones_is_a_reshape),
        cmocka_unit_test(an_expand_that_broadcasts_anyway_is_dropped),
        cmocka_unit_test(a_concat_of_a_concat_is_one),
        cmocka_unit_test(slices_that_are_put_together_again_are_one),
        cmocka_unit_test(outputs_of_a_split_in_order_are_what_was_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
