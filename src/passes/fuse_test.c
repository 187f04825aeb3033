/// fuse_pointwise, fuse_row_reduce and recognise_layer_norm.
#include "testing/pass_graph.h"
#include "testing/scalar_reference.h"

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

static void a_sum_of_more_than_a_program_takes_stays(void **state) {
    (void)state;
    for (uint32_t count = 31; count <= 40; count++) {
        test_graph *t = test_begin();
        norn_value *in[40], *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
        for (uint32_t i = 0; i < count; i++) in[i] = x;
        test_output(t, test_node(t, NORN_OP_Sum, NONE, 1, in, count)->out[0]);
        test_run(t, norn_pass_fuse_pointwise);
        assert_int_equal(test_count(t, NORN_OP_Sum), count > 32);
        test_end(t);
    }
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

/// Layer normalisation with one thing as the form says; up to NORM_TAKEN it is one.
typedef enum norm_form {
    NORM_RIGHT,
    NORM_POW,        // Pow(d, 2)
    NORM_RECIPROCAL, // d * (1 / deviation)
    NORM_EPSILON_FIRST,
    NORM_ALONE, // no scale, no bias
    NORM_BIAS_ALONE,
    NORM_SCALE_OF_ONE,   // [1]: no vector, a Mul after it
    NORM_SCALE_DEEPER,   // [1, 1, 4]: likewise
    NORM_SCALE_AN_INPUT, // likewise
    NORM_SCALED_TWICE,   // the result is read elsewhere too
    NORM_MINUS_BIAS,     // Sub after it
    NORM_TAKEN,
    NORM_CUBE = NORM_TAKEN, // Pow(d, 3)
    NORM_PRODUCT,           // d * x
    NORM_OTHER_AXIS,        // the mean over axis 0
    NORM_OTHER_VARIANCE,    // the variance over axis 0
    NORM_BOTH_AXES,
    NORM_MAX,             // ReduceMax for a mean
    NORM_TURNED,          // mean - x
    NORM_OVER,            // deviation / d
    NORM_NO_ROOT,         // d / (variance + epsilon)
    NORM_EPSILON_OF_EACH, // a vector
    NORM_MINUS_EPSILON,
    NORM_OF_X, // x / deviation
    NORM_WIDTH_OPEN,
    NORM_DOUBLE,
    NORM_FORMS,
} norm_form;

static void make_norm(test_graph *t, norm_form form) {
    const norn_dtype type = form == NORM_DOUBLE ? NORN_F64 : NORN_F32;
    norn_value *x = test_input(t, "x", type, form == NORM_WIDTH_OPEN ? DIMS(B, T) : DIMS(B, 4));
    norn_value *axis = form == NORM_OTHER_AXIS  ? INTS(t, 0)
                       : form == NORM_BOTH_AXES ? INTS(t, 0, 1)
                                                : INTS(t, -1);
    norn_value *mean =
        form == NORM_MAX ? OP(t, ReduceMax, NONE, x, axis) : OP(t, ReduceMean, NONE, x, axis);
    norn_value *d = form == NORM_TURNED ? OP(t, Sub, NONE, mean, x) : OP(t, Sub, NONE, x, mean);
    norn_value *power = test_const(t, "power", type, SCALAR, form == NORM_CUBE ? 3 : 2, 0);
    norn_value *square = form == NORM_POW || form == NORM_CUBE ? OP(t, Pow, NONE, d, power)
                         : form == NORM_PRODUCT                ? OP(t, Mul, NONE, d, x)
                                                               : OP(t, Mul, NONE, d, d);
    norn_value *variance =
        OP(t, ReduceMean, NONE, square, form == NORM_OTHER_VARIANCE ? INTS(t, 0) : INTS(t, 1));
    norn_value *epsilon = form == NORM_EPSILON_OF_EACH
                              ? test_const(t, "eps", type, DIMS(4), 0.25, 0.25)
                              : test_const(t, "eps", type, SCALAR, 0.25, 0);
    norn_value *sum = form == NORM_EPSILON_FIRST   ? OP(t, Add, NONE, epsilon, variance)
                      : form == NORM_MINUS_EPSILON ? OP(t, Sub, NONE, variance, epsilon)
                                                   : OP(t, Add, NONE, variance, epsilon);
    norn_value *deviation = form == NORM_NO_ROOT ? sum : OP(t, Sqrt, NONE, sum);
    norn_value *above = form == NORM_OF_X ? x : d;
    norn_value *y = form == NORM_RECIPROCAL
                        ? OP(t, Mul, NONE, above, OP(t, Reciprocal, NONE, deviation))
                    : form == NORM_OVER ? OP(t, Div, NONE, deviation, above)
                                        : OP(t, Div, NONE, above, deviation);
    if (form == NORM_SCALED_TWICE) test_output(t, OP(t, Abs, NONE, y));
    norn_value *vector = test_const(t, "v", type, DIMS(4), 2, 1);
    norn_value *scale = form == NORM_SCALE_OF_ONE   ? test_const(t, "s", type, DIMS(1), 3, 0)
                        : form == NORM_SCALE_DEEPER ? test_const(t, "s", type, DIMS(1, 1, 4), 3, 1)
                        : form == NORM_SCALE_AN_INPUT ? test_input(t, "s", type, DIMS(4))
                                                      : vector;
    if (form != NORM_ALONE && form != NORM_BIAS_ALONE && form != NORM_WIDTH_OPEN) {
        y = OP(t, Mul, NONE, y, scale);
    }
    if (form == NORM_BIAS_ALONE) y = OP(t, Add, NONE, vector, y);
    if (form == NORM_MINUS_BIAS) y = OP(t, Sub, NONE, y, vector);
    test_output(t, y);
}

static void layer_normalisation_is_known_in_every_spelling_and_nothing_like_it(void **state) {
    (void)state;
    for (int form = 0; form < NORM_FORMS; form++) {
        test_graph *t = test_begin();
        make_norm(t, (norm_form)form);
        test_run(t, norn_pass_recognise_layer_norm);
        const int found = (int)test_count(t, NORN_OP_LayerNormalization), want = form < NORM_TAKEN;
        if (found != want) fail_msg("form %d: %d found, want %d", form, found, want);
        if (!found) {
            test_end(t);
            continue;
        }
        const norn_node *node = test_find(t, NORN_OP_LayerNormalization);
        const bool scaled = form <= NORM_EPSILON_FIRST || form == NORM_MINUS_BIAS;
        const float *scale = node->in[1].value->data->data;
        for (int i = 0; i < 4; i++) assert_true(scale[i] == (scaled ? (float)(2 + i) : 1));
        assert_int_equal(node->in_count, form == NORM_BIAS_ALONE ? 3 : 2);
        const bool multiplies = form == NORM_SCALE_OF_ONE || form == NORM_SCALE_DEEPER ||
                                form == NORM_SCALE_AN_INPUT || form == NORM_SCALED_TWICE;
        if ((int)test_count(t, NORN_OP_Mul) != multiplies) fail_msg("form %d multiplies", form);
        assert_int_equal(test_count(t, NORN_OP_Sub), form == NORM_MINUS_BIAS);
        assert_int_equal(test_count(t, NORN_OP_ReduceMean), 0);
        test_end(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_one_region_with_a_store_for_each_result),
        cmocka_unit_test(a_group_is_not_read_by_what_it_reads),
        cmocka_unit_test(groups_do_not_wait_for_each_other),
        cmocka_unit_test(another_shape_is_another_region),
        cmocka_unit_test(a_long_chain_is_cut_where_a_program_is_full),
        cmocka_unit_test(a_sum_of_more_than_a_program_takes_stays),
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
        cmocka_unit_test(layer_normalisation_is_known_in_every_spelling_and_nothing_like_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
