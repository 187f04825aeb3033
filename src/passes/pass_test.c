#include "base/memory.h"
#include "testing/failing_alloc.h"
#include "testing/pass_graph.h"

#include <stdlib.h>
#include <unistd.h>

static void a_pass_that_does_not_exist_is_refused_with_the_list(void **state) {
    test_graph *t = test_begin();
    (void)state;
    t->options.stop_after = "fuse_everything";
    assert_int_equal(norn_passes_run(&t->context, t->graph), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "fuse_everything"));
    assert_non_null(strstr(norn_message(), "fuse_pointwise"));
    test_end(t);
}

static void it_stops_after_the_pass_that_is_named(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    t->options.stop_after = "gemm";
    test_output(t, OP(t, Exp, NONE,
                      OP(t, Softmax, NONE,
                         OP(t, MatMul, NONE, x, test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1)))));
    CHECK(norn_passes_run(&t->context, t->graph));
    assert_int_equal(test_count(t, NORN_OP_GemmRegion), 1);
    assert_int_equal(test_count(t, NORN_OP_Exp), 1);
    test_end(t);
}

static void the_graph_is_printed_after_the_pass_that_is_named(void **state) {
    test_graph *t = test_begin();
    char path[] = "norn_print_XXXXXX", text[4096];
    (void)state;
    test_output(t, OP(t, Relu, NONE, test_input(t, "x", NORN_F32, DIMS(B, 4))));
    t->options.print_after = "fuse_pointwise";
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    norn_status status = norn_passes_run(&t->context, t->graph);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    ssize_t count = pread(file, text, sizeof text - 1, 0);
    close(file), close(saved), unlink(path);
    assert_int_equal(status, NORN_OK);
    assert_true(count > 0);
    text[count] = '\0';
    assert_non_null(strstr(text, "after fuse_pointwise: 1 node\n"));
    assert_non_null(strstr(text, "Pointwise"));
    assert_null(strstr(text, "after gemm"));
    test_end(t);
}

static void an_error_begins_with_the_pass(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B));
    norn_attr dim = {.name = "dim", .kind = NORN_ATTR_INT, .i64 = 4};
    (void)state;
    test_output(t, OP(t, Embedding, ((norn_attrs){&dim, 1}), ids)); // no table
    assert_int_equal(norn_passes_run(&t->context, t->graph), NORN_INVALID_ARGUMENT);
    assert_int_equal(strncmp(norn_message(), "pass recognise_lookup: ", 23), 0);
    test_end(t);
}

/// Each branch multiplies and adds; the weights are constants of the branch.
static norn_graph *branch(test_graph *t, double first) {
    norn_graph *body;
    norn_value *x, *w, *product, *sum;
    norn_shape shape = {.rank = 2, .dims = {norn_dim_const(2), norn_dim_const(4)}};
    void *data;
    CHECK(norn_graph_create_body(t->graph, "branch", &body));
    CHECK(norn_graph_value(body, "x", NORN_F32, &shape, &x));
    CHECK(norn_graph_add_input(body, x));
    CHECK(norn_rewrite_constant(body, "w", NORN_F32, 2, (int64_t[]){4, 4}, &w, &data));
    ((float *)data)[0] = (float)first;
    CHECK(norn_graph_value(body, "p", NORN_F32, &shape, &product));
    CHECK(norn_graph_value(body, "s", NORN_F32, &shape, &sum));
    CHECK(norn_graph_node(body, NULL, norn_op_info_of(NORN_OP_MatMul), "m", (norn_value *[]){x, w},
                          2, &product, 1, NONE, NULL, NULL));
    CHECK(norn_graph_node(body, NULL, norn_op_info_of(NORN_OP_Relu), "r", &product, 1, &sum, 1,
                          NONE, NULL, NULL));
    CHECK(norn_graph_add_output(body, sum));
    return body;
}

static void bodies_are_optimised_too(void **state) {
    test_graph *t = test_begin();
    norn_value *cond = test_input(t, "cond", NORN_BOOL, SCALAR),
               *x = test_input(t, "x", NORN_F32, DIMS(2, 4));
    (void)state;
    norn_attr attrs[3] = {{.name = "then_branch", .kind = NORN_ATTR_GRAPH, .graph = branch(t, 1)},
                          {.name = "else_branch", .kind = NORN_ATTR_GRAPH, .graph = branch(t, 2)},
                          {.name = "norn_own_inputs", .kind = NORN_ATTR_INT, .i64 = 1}};
    test_output(t, OP(t, If, ((norn_attrs){attrs, 3}), cond, x));
    CHECK(norn_passes_run(&t->context, t->graph));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(attrs[i].graph->node_count, 1);
        assert_true(norn_node_is(attrs[i].graph->nodes, NORN_OP_GemmRegion));
    }
    test_end(t);
}

static void weights_from_around_a_body_are_its_constants(void **state) {
    test_graph *t = test_begin();
    norn_value *cond = test_input(t, "cond", NORN_BOOL, SCALAR),
               *x = test_input(t, "x", NORN_F32, DIMS(2, 4));
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(4, 3), 0, 1), *a, *b, *product;
    norn_shape wide = test_shape(t, DIMS(2, 4)), weights = test_shape(t, DIMS(4, 3)),
               out = test_shape(t, DIMS(2, 3));
    norn_attr attrs[3] = {{.name = "then_branch", .kind = NORN_ATTR_GRAPH},
                          {.name = "else_branch", .kind = NORN_ATTR_GRAPH},
                          {.name = "norn_own_inputs", .kind = NORN_ATTR_INT, .i64 = 1}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        norn_graph *body;
        CHECK(norn_graph_create_body(t->graph, "branch", &body));
        CHECK(norn_graph_value(body, "a", NORN_F32, &wide, &a));
        CHECK(norn_graph_value(body, "b", NORN_F32, &weights, &b));
        CHECK(norn_graph_value(body, "p", NORN_F32, &out, &product));
        CHECK(norn_graph_add_input(body, a));
        CHECK(norn_graph_add_input(body, b));
        CHECK(norn_graph_node(body, NULL, norn_op_info_of(NORN_OP_MatMul), "m",
                              (norn_value *[]){a, b}, 2, &product, 1, NONE, NULL, NULL));
        CHECK(norn_graph_add_output(body, product));
        attrs[i].graph = body;
    }
    test_output(t, OP(t, If, ((norn_attrs){attrs, 3}), cond, x, w));
    CHECK(norn_passes_run(&t->context, t->graph));
    for (int i = 0; i < 2; i++) {
        assert_true(norn_node_is(attrs[i].graph->nodes, NORN_OP_GemmRegion));
        assert_ptr_equal(attrs[i].graph->nodes->in[1].value->data->data, w->data->data);
        assert_int_equal(attrs[i].graph->input_count, 2);
    }
    test_end(t);
}

static void an_empty_graph_and_one_without_shapes_pass(void **state) {
    test_graph *t = test_begin();
    (void)state;
    CHECK(norn_passes_run(&t->context, t->graph));
    test_end(t);
    t = test_begin();
    norn_shape unknown = norn_shape_unknown();
    norn_value *x, *y;
    CHECK(norn_graph_value(t->graph, "x", NORN_F32, &unknown, &x));
    CHECK(norn_graph_value(t->graph, "y", NORN_I64, &unknown, &y));
    CHECK(norn_graph_add_input(t->graph, x));
    CHECK(norn_graph_add_input(t->graph, y));
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1);
    test_output(t, OP(t, Relu, NONE, OP(t, MatMul, NONE, x, w)));
    test_output(t, OP(t, ReduceSum, NONE, OP(t, Add, NONE, x, x), y));
    test_output(t, OP(t, Gather, NONE, w, y));
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), x, x));
    test_output(t, OP(t, Reshape, NONE, x, y));
    test_output(t, OP(t, Transpose, NONE, x));
    test_output(t, OP(t, Expand, NONE, x, y));
    CHECK(norn_passes_run(&t->context, t->graph));
    test_end(t);
}

/// What most passes touch, over and over.
static norn_value *everything(test_graph *t) {
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 2));
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)), *in[3];
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1);
    in[0] = OP(t, Relu, NONE, OP(t, MatMul, NONE, x, w));
    for (int i = 0; i < 2; i++) {
        norn_value *at = test_const(t, "at", NORN_I64, SCALAR, i, 0);
        norn_value *key = OP(t, Gather, ATTR_INT("axis", 1), ids, at);
        in[1 + i] = OP(t, Gather, NONE, test_const(t, "rows", NORN_F32, DIMS(9, 4), 0, 1), key);
    }
    norn_value *all = OP(t, Concat, ATTR_INT("axis", 1), in[0], in[1], in[2]);
    norn_value *features = OP(t, Reshape, NONE, all, INTS(t, -1, 3, 4));
    norn_value *turned = OP(t, Transpose, ATTR_INTS("perm", 0, 2, 1), features);
    norn_value *flat = OP(t, Reshape, NONE, OP(t, MatMul, NONE, features, turned), INTS(t, -1, 9));
    norn_value *picked = OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 3, 6, 7));
    norn_value *joined = OP(t, Concat, ATTR_INT("axis", 1), in[0], picked);
    norn_value *sum = OP(t, ReduceSum, NONE, OP(t, Mul, NONE, joined, joined), INTS(t, 1));
    return OP(t, Add, NONE, OP(t, Exp, NONE, OP(t, Softmax, NONE, joined)), sum);
}

static void no_allocation_that_fails_leaks_or_crashes(void **state) {
    test_graph *t = test_begin();
    norn_status status = NORN_RESOURCE_EXHAUSTED;
    (void)state;
    test_output(t, everything(t));
    for (size_t fail_at = 0; status != NORN_OK; fail_at++) {
        norn_alloc_faulty faulty = {.fail_at = fail_at};
        norn_pass_context context = {
            .options = &t->options, .evaluator = t->context.evaluator, .host = &test_host.target};
        norn_graph *copy = NULL;
        status = norn_graph_clone(t->graph, norn_alloc_failing(&faulty), &copy);
        if (status == NORN_OK) status = norn_passes_run(&context, copy);
        norn_graph_destroy(copy);
        assert_int_equal(faulty.live, 0);
        assert_true(status == NORN_OK || status == NORN_RESOURCE_EXHAUSTED);
        assert_true(fail_at < 2000);
    }
    test_end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_that_does_not_exist_is_refused_with_the_list),
        cmocka_unit_test(it_stops_after_the_pass_that_is_named),
        cmocka_unit_test(the_graph_is_printed_after_the_pass_that_is_named),
        cmocka_unit_test(an_error_begins_with_the_pass),
        cmocka_unit_test(bodies_are_optimised_too),
        cmocka_unit_test(weights_from_around_a_body_are_its_constants),
        cmocka_unit_test(an_empty_graph_and_one_without_shapes_pass),
        cmocka_unit_test(no_allocation_that_fails_leaks_or_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
