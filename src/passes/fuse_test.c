/// fuse_pointwise, fuse_row_reduce and recognise_layer_norm.
#include "passes/test_graph.h"

static void a_chain_is_one_region_with_a_store_for_each_result(void **state) {
    test_graph *t = test_begin();
    norn_value *a = test_input(t, "a", NORN_F32, DIMS(B, 4)),
               *b = test_input(t, "b", NORN_F32, DIMS(4));
    (void)state;
    norn_value *product = OP(t, Mul, NONE, a, b);
    test_output(t, OP(t, Add, NONE, product, test_const(t, "c", NORN_F32, SCALAR, 3, 0)));
    test_output(t, OP(t, Relu, NONE, product));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_Pointwise);
    const norn_scalar_program *program = &node->region->pointwise.program;
    assert_int_equal(node->in_count, 2); // the scalar is in the program
    assert_int_equal(node->out_count, 2);
    assert_int_equal(program->load_count, 2);
    assert_true(program->loads[1].broadcast[0]);
    assert_false(program->loads[1].broadcast[1]);
    double f64[2];
    int64_t i64[2], none[2] = {0};
    norn_scalar_reference(program, (double[]){2, -5}, none, f64, i64);
    assert_true(f64[0] == -7 && f64[1] == 0);
    assert_int_equal(node->origin.count, 3);
    test_end(t);
}

/// exp(x) + softmax(exp(x)): as one group it would have to run before and after the Softmax.
static void a_group_is_not_read_by_what_it_reads(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *e = OP(t, Exp, NONE, x);
    test_output(t, OP(t, Add, NONE, e, OP(t, Softmax, NONE, e)));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 2);
    assert_int_equal(t->graph->node_count, 3);
    test_end(t);
}

/// Two groups that are convex by themselves, but that would wait for each other.
static void groups_do_not_wait_for_each_other(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(4, 4));
    (void)state;
    norn_value *a1 = OP(t, Exp, NONE, x), *b1 = OP(t, Tanh, NONE, x);
    norn_value *from_a = OP(t, Softmax, NONE, a1), *from_b = OP(t, Softmax, NONE, b1);
    test_output(t, OP(t, Add, NONE, a1, from_b));
    test_output(t, OP(t, Mul, NONE, b1, from_a));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(
        test_count(t, NORN_OP_Exp) + test_count(t, NORN_OP_Tanh) + test_count(t, NORN_OP_Add), 0);
    assert_int_equal(test_count(t, NORN_OP_Softmax), 2);
    test_end(t);
}

static void another_shape_is_another_region(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 1)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 4));
    (void)state;
    test_output(t, OP(t, Add, NONE, OP(t, Exp, NONE, x), y));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 2);
    test_end(t);
}

static void a_long_chain_is_cut_where_a_program_is_full(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    for (int i = 0; i < 600; i++) x = OP(t, Sin, NONE, x);
    test_output(t, x);
    test_run(t, norn_pass_fuse_pointwise);
    assert_in_range(t->graph->node_count, 3, 4);
    assert_int_equal(test_count(t, NORN_OP_Sin), 0);
    test_end(t);
}

static void strings_stay_as_they_are(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_STRING, DIMS(B)),
               *y = test_input(t, "y", NORN_STRING, DIMS(B));
    (void)state;
    test_output(t, OP(t, Equal, NONE, x, y));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(test_count(t, NORN_OP_Equal), 1);
    test_end(t);
}

static void a_broadcast_that_is_not_known_is_one_operator_and_says_so(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)),
               *y = test_input(t, "y", NORN_F32, DIMS(T, 4));
    (void)state;
    test_output(t, OP(t, Relu, NONE, OP(t, Add, NONE, x, y)));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 2);
    const norn_scalar_program *program =
        &test_find(t, NORN_OP_Pointwise)->region->pointwise.program;
    assert_true(program->loads[0].dynamic || program->loads[1].dynamic);
    test_end(t);
}

static void scalars_and_empty_tensors_are_regions_too(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, SCALAR),
               *y = test_input(t, "y", NORN_F32, DIMS(0, 4));
    (void)state;
    test_output(t, OP(t, Exp, NONE, x));
    test_output(t, OP(t, Add, NONE, x, y));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 2);
    test_end(t);
}

static void an_expand_is_a_load_that_repeats(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 1, 4)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 5, 4));
    (void)state;
    norn_value *wide = OP(t, Expand, NONE, x, INTS(t, 1, 5, 1));
    test_output(t, wide);
    test_output(t, OP(t, Sub, NONE, wide, y));
    test_run(t, norn_pass_fuse_pointwise);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_Pointwise);
    assert_int_equal(node->in_count, 2);
    assert_true(node->region->pointwise.program.loads[0].broadcast[1]);
    test_end(t);
}

// ---- reductions

static void a_weighted_sum_of_experts_is_one_region(void **state) {
    test_graph *t = test_begin();
    norn_value *gate = test_input(t, "gate", NORN_F32, DIMS(B, 3, 1)),
               *x = test_input(t, "x", NORN_F32, DIMS(B, 3, 8));
    (void)state;
    norn_value *sum =
        OP(t, ReduceSum, ATTR_INT("keepdims", 0), OP(t, Mul, NONE, gate, x), INTS(t, 1));
    test_output(t, OP(t, Add, NONE, sum, test_input(t, "bias", NORN_F32, DIMS(8))));
    test_run(t, norn_pass_fuse_row_reduce);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_RowReduce);
    const norn_row_reduce_region *r = &node->region->row_reduce;
    assert_int_equal(r->kind, NORN_REDUCE_SUM);
    assert_int_equal(r->reduced_dims, 1);
    assert_int_equal(r->inner_dims, 1);
    assert_int_equal(node->in_count, 3);
    assert_true(r->prologue.loads[0].broadcast[2]);
    assert_true(test_program(&r->prologue, (double[]){2, 3}) == 6);
    assert_true(r->epilogue.loads[1].broadcast[0]);
    assert_int_equal(r->epilogue.loads[1].input, 2);
    assert_true(test_program(&r->epilogue, (double[]){5, 1}) == 6);
    assert_true(test_has_origin(node, "Mul_0"));
    test_end(t);
}

static void norms_are_sums_with_something_around(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3, 8));
    (void)state;
    test_output(t, OP(t, ReduceL2, NONE, x, INTS(t, -1)));
    test_run(t, norn_pass_fuse_row_reduce);
    const norn_node *node = test_find(t, NORN_OP_RowReduce);
    const norn_row_reduce_region *r = &node->region->row_reduce;
    assert_int_equal(r->inner_dims, 0);
    assert_int_equal(node->out[0]->shape.rank, 3); // kept as 1
    assert_true(test_program(&r->prologue, (double[]){-3}) == 9);
    assert_true(test_program(&r->epilogue, (double[]){16}) == 4);
    test_end(t);
}

static void reductions_that_it_does_not_take_stay(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3, 8)),
               *i = test_input(t, "i", NORN_I64, DIMS(B, 3));
    (void)state;
    test_output(t, OP(t, ReduceSum, NONE, x, INTS(t, 0, 2))); // not neighbours
    test_output(t, OP(t, ReduceSum, NONE, x, test_input(t, "axes", NORN_I64, DIMS(1))));
    test_output(t, OP(t, ReduceSum, NONE, i, INTS(t, 1)));
    test_output(t, OP(t, ReduceLogSumExp, NONE, x, INTS(t, 1)));
    test_run(t, norn_pass_fuse_row_reduce);
    assert_int_equal(test_count(t, NORN_OP_RowReduce), 0);
    assert_int_equal(t->graph->node_count, 4);
    test_end(t);
}

static void a_product_that_others_read_is_not_moved_into_a_sum(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 8));
    (void)state;
    norn_value *square = OP(t, Mul, NONE, x, x);
    test_output(t, OP(t, ReduceSum, NONE, square, INTS(t, 1)));
    test_output(t, square);
    test_run(t, norn_pass_fuse_row_reduce);
    assert_int_equal(test_count(t, NORN_OP_Mul), 1);
    assert_int_equal(test_count(t, NORN_OP_RowReduce), 1);
    test_end(t);
}

// ---- layer normalisation

static norn_value *normalised(test_graph *t, norn_value *x, bool other_mean) {
    norn_value *mean = OP(t, ReduceMean, NONE, other_mean ? OP(t, Abs, NONE, x) : x, INTS(t, -1));
    norn_value *d = OP(t, Sub, NONE, x, mean);
    norn_value *variance = OP(t, ReduceMean, NONE, OP(t, Mul, NONE, d, d), INTS(t, 1));
    norn_value *sum = OP(t, Add, NONE, variance, test_const(t, "eps", NORN_F32, SCALAR, 0.25, 0));
    return OP(t, Div, NONE, d, OP(t, Sqrt, NONE, sum));
}

static void layer_normalisation_is_found_in_its_parts(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)),
               *scale = test_const(t, "s", NORN_F32, DIMS(4), 1, 1);
    (void)state;
    norn_value *y = OP(t, Mul, NONE, scale, normalised(t, x, false));
    test_output(t, OP(t, Add, NONE, y, test_const(t, "b", NORN_F32, DIMS(1, 4), 5, 1)));
    test_run(t, norn_pass_recognise_layer_norm);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_LayerNormalization);
    assert_int_equal(node->in_count, 3);
    assert_ptr_equal(node->in[0].value, x);
    assert_int_equal(node->in[2].value->data->rank, 1);
    assert_true(((const float *)node->in[1].value->data->data)[3] == 4.0f);
    assert_true(((const float *)node->in[2].value->data->data)[0] == 5.0f);
    assert_true(norn_attr_f32(node->attrs, "epsilon", 0) == 0.25f);
    assert_int_equal(norn_attr_i64(node->attrs, "axis", 0), -1);
    assert_true(test_has_origin(node, "ReduceMean_0") && test_has_origin(node, "Sqrt_5"));
    test_end(t);
}

static void a_mean_of_something_else_is_no_layer_normalisation(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    test_output(t, normalised(t, x, true));
    test_run(t, norn_pass_recognise_layer_norm);
    assert_int_equal(test_count(t, NORN_OP_LayerNormalization), 0);
    test_end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_one_region_with_a_store_for_each_result),
        cmocka_unit_test(a_group_is_not_read_by_what_it_reads),
        cmocka_unit_test(groups_do_not_wait_for_each_other),
        cmocka_unit_test(another_shape_is_another_region),
        cmocka_unit_test(a_long_chain_is_cut_where_a_program_is_full),
        cmocka_unit_test(strings_stay_as_they_are),
        cmocka_unit_test(a_broadcast_that_is_not_known_is_one_operator_and_says_so),
        cmocka_unit_test(scalars_and_empty_tensors_are_regions_too),
        cmocka_unit_test(an_expand_is_a_load_that_repeats),
        cmocka_unit_test(a_weighted_sum_of_experts_is_one_region),
        cmocka_unit_test(norms_are_sums_with_something_around),
        cmocka_unit_test(reductions_that_it_does_not_take_stay),
        cmocka_unit_test(a_product_that_others_read_is_not_moved_into_a_sum),
        cmocka_unit_test(layer_normalisation_is_found_in_its_parts),
        cmocka_unit_test(a_mean_of_something_else_is_no_layer_normalisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
