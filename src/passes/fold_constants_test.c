#include "testing/pass_graph.h"

static void constants_are_computed_once(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    norn_value *sum = OP(t, Add, NONE, test_const(t, "a", NORN_F32, DIMS(3), 1, 1),
                         test_const(t, "b", NORN_F32, DIMS(3), 10, 10));
    test_output(t, OP(t, Mul, NONE, x, sum));
    test_run(t, norn_pass_fold_constants);
    assert_int_equal(t->graph->node_count, 1);
    const norn_value *folded = test_find(t, NORN_OP_Mul)->in[1].value;
    assert_non_null(folded->data);
    const float *data = folded->data->data;
    assert_true(data[0] == 11 && data[1] == 22 && data[2] == 33);
    test_end(t);
}

static void what_the_evaluator_lacks_stays(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    norn_value *y = OP(t, Tanh, NONE, test_const(t, "a", NORN_F32, DIMS(3), 1, 1));
    test_output(t, OP(t, Mul, NONE, x, y));
    test_run(t, norn_pass_fold_constants);
    assert_int_equal(test_count(t, NORN_OP_Tanh), 1);
    test_end(t);
}

/// Shape arithmetic whose elements are all whole numbers is a constant without any evaluator.
static void whole_contents_become_constants(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3, 4));
    (void)state;
    t->context.evaluator.eval = NULL;
    norn_value *shape = OP(t, Shape, ATTR_INT("start", 1), x);
    test_output(t, OP(t, Expand, NONE, test_input(t, "y", NORN_F32, DIMS(1)), shape));
    test_run(t, norn_pass_fold_constants);
    assert_int_equal(t->graph->node_count, 1);
    const norn_value *folded = test_find(t, NORN_OP_Expand)->in[1].value;
    assert_non_null(folded->data);
    const int64_t expected[2] = {3, 4};
    assert_memory_equal(folded->data->data, expected, sizeof expected);
    test_end(t);
}

static norn_status eval_anything(void *context, norn_graph *graph, const norn_node *node,
                                 norn_view *out) {
    (*(int *)context)++;
    (void)graph, (void)node, (void)out;
    return norn_fail(NORN_UNIMPLEMENTED, "not this one");
}

static void folding_does_not_blow_up_a_plan(void **state) {
    test_graph *t = test_begin();
    int calls = 0;
    (void)state;
    t->context.evaluator = (norn_evaluator){eval_anything, &calls};
    norn_value *one = test_const(t, "1", NORN_F32, DIMS(1), 1, 0);
    test_output(t, OP(t, Expand, NONE, one, INTS(t, 1000, 1000)));
    test_run(t, norn_pass_fold_constants);
    assert_int_equal(calls, 0);
    test_output(t, OP(t, Expand, NONE, one, INTS(t, 100, 100)));
    test_run(t, norn_pass_fold_constants);
    assert_int_equal(calls, 1);
    test_end(t);
}

static void random_numbers_are_not_folded(void **state) {
    test_graph *t = test_begin();
    int calls = 0;
    (void)state;
    t->context.evaluator = (norn_evaluator){eval_anything, &calls};
    test_output(t,
                test_node(t, NORN_OP_RandomNormal, ATTR_INTS("shape", 2, 2), 1, NULL, 0)->out[0]);
    test_run(t, norn_pass_fold_constants);
    assert_int_equal(calls, 0);
    assert_int_equal(test_count(t, NORN_OP_RandomNormal), 1);
    test_end(t);
}

static void equal_computations_are_done_once(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    norn_value *a = OP(t, Add, NONE, x, test_const(t, "a", NORN_F32, DIMS(3), 1, 1));
    // The same numbers.
    norn_value *b = OP(t, Add, NONE, x, test_const(t, "b", NORN_F32, DIMS(3), 1, 1));
    norn_value *c = OP(t, Add, NONE, x, test_const(t, "c", NORN_F32, DIMS(3), 1, 2));
    test_output(t, OP(t, Mul, NONE, a, b));
    test_output(t, c);
    test_output(t, OP(t, LeakyRelu, NONE, x));
    norn_attr alpha = {.name = "alpha", .kind = NORN_ATTR_FLOAT, .f32 = 0.5f};
    test_output(t, OP(t, LeakyRelu, ((norn_attrs){&alpha, 1}), x));
    test_run(t, norn_pass_cse);
    assert_int_equal(test_count(t, NORN_OP_Add), 2);
    assert_int_equal(test_count(t, NORN_OP_LeakyRelu), 2);
    const norn_node *mul = test_find(t, NORN_OP_Mul);
    assert_ptr_equal(mul->in[0].value, mul->in[1].value);
    assert_true(test_has_origin(mul->in[0].value->producer, "Add_0"));
    assert_true(test_has_origin(mul->in[0].value->producer, "Add_1"));
    test_end(t);
}

static void random_numbers_are_not_shared(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    test_output(t, OP(t, RandomNormalLike, NONE, x));
    test_output(t, OP(t, RandomNormalLike, NONE, x));
    test_run(t, norn_pass_cse);
    assert_int_equal(t->graph->node_count, 2);
    test_end(t);
}

static void what_nobody_reads_dies_with_what_only_it_read(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    norn_value *shared = OP(t, Relu, NONE, x);
    (void)OP(t, Exp, NONE, OP(t, Tanh, NONE, shared));
    test_output(t, OP(t, Abs, NONE, shared));
    test_run(t, norn_pass_dead_code);
    assert_int_equal(t->graph->node_count, 2);
    assert_int_equal(shared->readers, 1);
    test_end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_are_computed_once),
        cmocka_unit_test(what_the_evaluator_lacks_stays),
        cmocka_unit_test(whole_contents_become_constants),
        cmocka_unit_test(folding_does_not_blow_up_a_plan),
        cmocka_unit_test(random_numbers_are_not_folded),
        cmocka_unit_test(equal_computations_are_done_once),
        cmocka_unit_test(random_numbers_are_not_shared),
        cmocka_unit_test(what_nobody_reads_dies_with_what_only_it_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
