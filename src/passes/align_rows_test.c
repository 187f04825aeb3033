/// Rows that products read, made whole multiples of 16 bytes.
#include "testing/pass_graph.h"

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
static void assert_weights(const norn_node *node, int64_t width, int64_t wide) {
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
            if (norn_node_is(at, NORN_OP_GemmRegion)) assert_weights(at, width, wide);
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
        cmocka_unit_test(rows_that_products_alone_read_end_at_16_bytes),
        cmocka_unit_test(rows_that_something_else_reads_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
