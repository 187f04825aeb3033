// Rows that products read become whole 16 bytes, and all that goes with them.
#include "testing/pass_graph.h"

enum { DENSE = 13, ROWS = 24, WIDTH = DENSE + ROWS, N = 20 };

static norn_value *weights(test_graph *t, int k, int n) {
    return test_const(t, "w", NORN_F32, DIMS(k, n), 1, 1);
}

static norn_value *layer(test_graph *t, norn_value *x, int k, int n) {
    return OP(t, Gemm, NONE, x, weights(t, k, n), test_const(t, "c", NORN_F32, DIMS(n), 0.5, 1));
}

/// Concat(an input of the model, a lookup) [B, 13 + 24].
static norn_value *features(test_graph *t) {
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B)),
               *dense = test_input(t, "dense", NORN_F32, DIMS(B, DENSE));
    norn_value *rows =
        OP(t, Gather, NONE, test_const(t, "rows", NORN_F32, DIMS(10, ROWS), 0, 1), ids);
    return OP(t, Concat, ATTR_INT("axis", 1), dense, rows);
}

static void run(test_graph *t) {
    test_run(t, norn_pass_recognise_lookup);
    test_run(t, norn_pass_gemm);
    test_run(t, norn_pass_fuse_pointwise);
    test_run(t, norn_pass_assign_precision);
    test_run(t, norn_pass_align_rows);
    test_run(t, norn_pass_place_concat);
}

static int64_t width_of(const norn_value *value) {
    return value->shape.dims[value->shape.rank - 1].constant;
}

/// Row or column i of what was [37, ..]; -1: zeros.
static int64_t source_of(int64_t i, int64_t pad) {
    if (i < DENSE) return i;
    return i < DENSE + pad ? -1 : i - pad;
}

static void assert_weights(const norn_node *product, int64_t k, int64_t n, int64_t old_n,
                           int64_t pad, bool columns) {
    const norn_view *b = norn_node_in(product, 1)->data;
    assert_int_equal(product->region->gemm.k, k);
    assert_int_equal(product->region->gemm.n, n);
    assert_int_equal(b->dims[0], k);
    assert_int_equal(b->dims[1], n);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t row = source_of(i, pad), column = columns ? source_of(j, pad) : j;
            const double want =
                row < 0 || column < 0 || column >= old_n ? 0 : (double)(1 + row * old_n + column);
            assert_true(norn_element_f64(b->dtype, b->data, i * n + j) == want);
        }
}

/// Each part of a Concat by itself, so that the rows of the lookup begin at whole 16 bytes too.
static void an_input_beside_a_lookup_is_copied_with_zeros_after_it(void **state) {
    (void)state;
    for (int half = 0; half < 2; half++) {
        test_graph *t = test_begin();
        t->options.precision = half ? NORN_PRECISION_FP16 : NORN_PRECISION_FP32;
        test_output(t, layer(t, features(t), WIDTH, N));
        run(t);
        const norn_node *concat = test_find(t, NORN_OP_Concat),
                        *copy = test_find(t, NORN_OP_Pointwise);
        const int64_t *placed;
        assert_int_equal(test_count(t, NORN_OP_Pointwise), 1); // of halves: the cast
        assert_int_equal(copy->region->pointwise.pad, 3);
        assert_int_equal(width_of(copy->out[0]), 16);
        assert_ptr_equal(concat->in[0].value, copy->out[0]);
        assert_int_equal(width_of(concat->out[0]), 40);
        assert_int_equal(norn_attr_ints(concat->attrs, "norn_placed", &placed), 2);
        assert_true(placed[0] == 1 && placed[1] == 1);
        assert_weights(test_find(t, NORN_OP_GemmRegion), 40, N, N, 3, false);
        test_end(t);
    }
}

/// x = x0 * (x W + b) + x, twice, then a layer of what came out beside another: one layout for all.
static void cross_layers_are_laid_out_like_what_they_multiply(void **state) {
    test_graph *t = test_begin();
    (void)state;
    norn_value *x0 = features(t), *x = x0;
    for (int i = 0; i < 2; i++)
        x = OP(t, Add, NONE, OP(t, Mul, NONE, x0, layer(t, x, WIDTH, WIDTH)), x);
    norn_value *deep = OP(t, Relu, NONE, layer(t, x0, WIDTH, N));
    test_output(t, layer(t, OP(t, Concat, ATTR_INT("axis", 1), x, deep), WIDTH + N, 1));
    run(t);
    int crosses = 0;
    for (const norn_node *node = t->graph->nodes; node; node = node->next) {
        if (!norn_node_is(node, NORN_OP_GemmRegion) || node->region->gemm.n != 40) continue;
        const norn_view *bias = norn_node_in(node, 2)->data;
        crosses++;
        assert_weights(node, 40, 40, WIDTH, 3, true);
        assert_int_equal(width_of(node->out[0]), 40);
        assert_int_equal(bias->dims[0], 40);
        for (int64_t j = 0; j < 40; j++) {
            const int64_t source = source_of(j, 3);
            assert_true(norn_element_f64(NORN_F32, bias->data, j) ==
                        (source < 0 ? 0 : 0.5 + (double)source));
        }
    }
    assert_int_equal(crosses, 2);
    const norn_node *last = t->graph->outputs[0].value->producer;
    assert_weights(last, 60, 1, 1, 3, false);
    test_end(t);
}

/// What a layer reads that another one writes: its columns end in zeros, where its ending keeps them.
static void a_product_pads_what_the_next_one_reads_where_its_ending_keeps_zeros(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) {
        test_graph *t = test_begin();
        norn_value *y = layer(t, test_input(t, "x", NORN_F32, DIMS(B, 32)), 32, 18);
        y = form == 0 ? OP(t, Relu, NONE, y) : form == 1 ? OP(t, Sigmoid, NONE, y) : y;
        test_output(t, layer(t, y, 18, 4));
        if (form == 2) test_output(t, OP(t, Softmax, ATTR_INT("axis", 1), y));
        run(t);
        const norn_node *last = t->graph->outputs[0].value->producer;
        assert_int_equal(last->region->gemm.k, form == 0 ? 20 : 18);
        assert_int_equal(width_of(norn_node_in(last, 0)), form == 0 ? 20 : 18);
        test_end(t);
    }
}

/// One reader that cannot take the wider rows, and all that is laid out alike stays.
static void what_somebody_else_reads_stays(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++) {
        test_graph *t = test_begin();
        norn_value *x0 = features(t);
        norn_value *x = OP(t, Add, NONE, OP(t, Mul, NONE, x0, layer(t, x0, WIDTH, WIDTH)), x0);
        norn_value *y = form == 3 ? OP(t, Add, NONE, layer(t, x0, WIDTH, WIDTH),
                                       test_input(t, "one", NORN_F32, DIMS(1, WIDTH)))
                                  : NULL;
        test_output(t, layer(t, x, WIDTH, N));
        if (form == 0) test_output(t, x);
        if (form == 1) test_output(t, OP(t, Softmax, ATTR_INT("axis", 1), x0));
        if (form == 2) test_output(t, OP(t, Concat, ATTR_INT("axis", 1), x, x0)); // no product's
        if (form == 3) test_output(t, layer(t, y, WIDTH, N)); // a row that all have: no layout
        run(t);
        for (const norn_node *node = t->graph->nodes; node; node = node->next) {
            if (norn_node_is(node, NORN_OP_Pointwise)) assert_int_equal(form, 3);
            if (!norn_node_is(node, NORN_OP_GemmRegion) || form == 3) continue;
            assert_int_equal(node->region->gemm.k, WIDTH);
        }
        if (form == 3) { // x0 is padded, what it is added to is not
            const norn_node *sum = norn_node_in(t->graph->outputs[1].value->producer, 0)->producer;
            assert_int_equal(sum->region->gemm.k, 40);
            assert_int_equal(sum->region->gemm.n, WIDTH);
        }
        test_end(t);
    }
}

static void the_host_reads_rows_as_they_are(void **state) {
    test_graph *t = test_begin();
    (void)state;
    t->context.target = NULL;
    test_output(t, layer(t, features(t), WIDTH, N));
    run(t);
    assert_int_equal(test_find(t, NORN_OP_GemmRegion)->region->gemm.k, WIDTH);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 0);
    test_end(t);
}

// ---- rows of interactions

enum { COLUMNS_OUT = 5 };

/// An interaction of x[B, 4, 3] whose rows are as wide as said.
static norn_value *interaction(test_graph *t, norn_dtype dtype, int64_t width,
                               norn_interaction_kind kind) {
    norn_value *x = test_input(t, "x", dtype, DIMS(B, 4, 3)), *y;
    norn_region *region;
    norn_node *node;
    const norn_shape shape = {2, {norn_dim_symbol(t->batch), norn_dim_const(width)}};
    CHECK(NORN_TAKE(&t->graph->arena, &region));
    region->interaction = (norn_interaction_region){
        .kind = kind, .features = 4, .dim = 3, .pass_input = NORN_NO_INPUT};
    CHECK(norn_graph_value(t->graph, "pairs", dtype, &shape, &y));
    CHECK(norn_graph_node(t->graph, NULL, norn_op_info_of(NORN_OP_Interaction), "dot", &x, 1, &y, 1,
                          NONE, NULL, &node));
    node->region = region;
    return y;
}

/// y times a constant, which lies as it is or turned.
static norn_value *product(test_graph *t, norn_value *y, int width, bool turned) {
    if (!turned)
        return OP(t, MatMul, NONE, y,
                  test_const(t, "rows", y->dtype, DIMS(width, COLUMNS_OUT), 1, 1));
    return OP(t, Gemm, ATTR_INT("transB", 1), y,
              test_const(t, "columns", y->dtype, DIMS(COLUMNS_OUT, width), 1, 1));
}

static void align(test_graph *t) {
    test_run(t, norn_pass_gemm);
    test_run(t, norn_pass_align_rows);
}

static void assert_width(const test_graph *t, int64_t width, int64_t pad) {
    const norn_node *node = test_find(t, NORN_OP_Interaction);
    assert_int_equal(node->region->interaction.pad, pad);
    assert_int_equal(node->out[0]->shape.dims[1].constant, width);
    assert_int_equal(node->region->interaction.features, 4); // the rest is as it was
    for (const norn_node *at = t->graph->nodes; at; at = at->next)
        if (norn_node_is(at, NORN_OP_GemmRegion)) assert_int_equal(at->region->gemm.k, width);
}

/// W[width, 5] and W[5, width] of 1, 2, 3 ..: zeros stand behind, and no number moved.
static void assert_zeros_behind(const norn_node *node, int64_t width, int64_t wide) {
    const norn_view *b = norn_node_in(node, 1)->data;
    const bool turned = node->region->gemm.b_layout == NORN_GEMM_COLUMNS;
    assert_int_equal(node->region->gemm.n, COLUMNS_OUT);
    assert_int_equal(b->dims[turned], wide);
    assert_int_equal(b->dims[!turned], COLUMNS_OUT);
    for (int64_t k = 0; k < wide; k++)
        for (int64_t n = 0; n < COLUMNS_OUT; n++) {
            const int64_t at = turned ? n * wide + k : k * COLUMNS_OUT + n,
                          was = turned ? n * width + k : k * COLUMNS_OUT + n;
            assert_true(norn_element_f64(b->dtype, b->data, at) ==
                        (double)(k < width ? was + 1 : 0));
        }
}

static void rows_that_products_alone_read_end_at_16_bytes(void **state) {
    (void)state;
    static const struct {
        norn_dtype dtype;
        int width, wide;
    } cases[] = {{NORN_F16, 13, 16}, {NORN_F16, 17, 24}, {NORN_F16, 15, 16},
                 {NORN_F16, 16, 16}, {NORN_F16, 8, 8},   {NORN_F32, 13, 16},
                 {NORN_F32, 9, 12},  {NORN_F32, 12, 12}, {NORN_BF16, 7, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_graph *t = test_begin();
        const int width = cases[i].width, wide = cases[i].wide;
        norn_value *y = interaction(t, cases[i].dtype, width, NORN_INTERACTION_DOT);
        test_output(t, product(t, y, width, false));
        test_output(t, product(t, y, width, true));
        align(t);
        assert_int_equal(test_count(t, NORN_OP_GemmRegion), 2);
        assert_width(t, wide, wide - width);
        for (const norn_node *at = t->graph->nodes; at; at = at->next)
            if (norn_node_is(at, NORN_OP_GemmRegion)) assert_zeros_behind(at, width, wide);
        test_end(t);
    }
}

/// Another reader sees how wide they are; a product of two computed values, and weights that are
/// packed, have no zeros to add.
static void rows_that_something_else_reads_stay(void **state) {
    (void)state;
    enum { OUTPUT, OTHER_NODE, AS_B, COMPUTED_B, PANELS, FM, NO_TARGET, UNREAD, REASONS };
    for (int reason = 0; reason < REASONS; reason++) {
        test_graph *t = test_begin();
        norn_value *y =
            interaction(t, NORN_F16, 13, reason == FM ? NORN_INTERACTION_FM : NORN_INTERACTION_DOT);
        if (reason != UNREAD) test_output(t, product(t, y, 13, false));
        if (reason == OUTPUT || reason == UNREAD) test_output(t, y);
        if (reason == OTHER_NODE) test_output(t, OP(t, Relu, NONE, y));
        if (reason == AS_B)
            test_output(t, OP(t, MatMul, NONE, test_const(t, "a", NORN_F16, DIMS(3, 13), 0, 1),
                              OP(t, Transpose, NONE, y)));
        if (reason == COMPUTED_B)
            test_output(t, OP(t, MatMul, NONE, y, test_input(t, "w", NORN_F16, DIMS(13, 2))));
        if (reason == NO_TARGET) t->context.target = NULL;
        test_run(t, norn_pass_gemm);
        if (reason == PANELS)
            ((norn_region *)(uintptr_t)test_find(t, NORN_OP_GemmRegion)->region)->gemm.b_layout =
                NORN_GEMM_PANELS;
        if (reason == UNREAD) {
            norn_graph_forward(t->graph, y, test_input(t, "z", NORN_F16, DIMS(B, 13)));
            CHECK(norn_pass_align_rows(&t->context, t->graph));
        } else {
            test_run(t, norn_pass_align_rows);
        }
        assert_width(t, 13, 0);
        test_end(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_beside_a_lookup_is_copied_with_zeros_after_it),
        cmocka_unit_test(cross_layers_are_laid_out_like_what_they_multiply),
        cmocka_unit_test(a_product_pads_what_the_next_one_reads_where_its_ending_keeps_zeros),
        cmocka_unit_test(what_somebody_else_reads_stays),
        cmocka_unit_test(the_host_reads_rows_as_they_are),
        cmocka_unit_test(rows_that_products_alone_read_end_at_16_bytes),
        cmocka_unit_test(rows_that_something_else_reads_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
