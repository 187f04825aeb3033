/// The figures of an inspection on graphs whose work and bytes are known.
#include "insight/inspect.h"

#include "testing/hand_graph.h"

static norn_arena arena;
static norn_inspection found;

static void numbers_have_three_digits_that_matter(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *count, *bytes;
    } cases[] = {{0, "0", "0 B"},
                 {1, "1", "1 B"},
                 {999, "999", "999 B"},
                 {1000, "1.00 k", "1000 B"},
                 {1023, "1.02 k", "1023 B"},
                 {1024, "1.02 k", "1.00 KiB"},
                 {9990, "9.99 k", "9.76 KiB"},
                 {10000, "10.0 k", "9.77 KiB"},
                 {10240, "10.2 k", "10.0 KiB"},
                 {99900, "99.9 k", "97.6 KiB"},
                 {100000, "100 k", "97.7 KiB"},
                 {102400, "102 k", "100 KiB"},
                 {999499, "999 k", "976 KiB"},
                 {999500, "1.00 M", "976 KiB"},
                 {1048576, "1.05 M", "1.00 MiB"},
                 {1e9, "1.00 G", "954 MiB"},
                 {1e12, "1.00 T", "931 GiB"},
                 {1e15, "1.00 P", "909 TiB"},
                 {1e18, "1000 P", "909495 TiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[NORN_COUNT_TEXT];
        assert_string_equal(norn_count_text(cases[i].value, text), cases[i].count);
        assert_string_equal(norn_bytes_text(cases[i].value, text), cases[i].bytes);
    }
}

/// x[B, 4] * w[4, 8] twice, the second through a Relu: the weight is read by two and counted once.
static norn_graph *products(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    float zeros[32] = {0};
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *w = hand_const(&h, "w", NORN_F32, 2, (int64_t[]){4, 8}, zeros);
    norn_value *a = hand_value(&h, "a", NORN_F32, hand_rows(&h, 8)),
               *b = hand_value(&h, "b", NORN_F32, hand_rows(&h, 8)),
               *c = hand_value(&h, "c", NORN_F32, hand_rows(&h, 8));
    hand_node(&h, NORN_OP_MatMul, "one", (norn_value *[]){x, w}, 2, &a, 1, (norn_attrs){0}, NULL);
    hand_node(&h, NORN_OP_Relu, "two", &a, 1, &b, 1, (norn_attrs){0}, NULL);
    hand_node(&h, NORN_OP_MatMul, "three", (norn_value *[]){x, w}, 2, &c, 1, (norn_attrs){0}, NULL);
    hand_output(&h, b);
    hand_output(&h, c);
    return h.graph;
}

static void work_and_parameters_add_up_over_the_nodes(void **state) {
    (void)state;
    norn_graph *graph = products();
    for (int64_t rows = 0; rows <= 16; rows += 8) {
        HAND_OK(norn_inspect_graph(graph, NULL, rows, &arena, &found));
        const double n = rows ? (double)rows : 1;
        assert_true(found.rows == (rows ? rows : 1));
        assert_string_equal(found.batch, "B");
        assert_int_equal(found.node_count, 3);
        assert_string_equal(found.nodes[0].name, "one");
        assert_string_equal(found.nodes[0].op, "MatMul");
        assert_string_equal(found.nodes[0].outputs, "float32[B,8]");
        assert_true(found.nodes[0].flops == 2 * n * 4 * 8);
        assert_true(found.nodes[2].flops == 2 * n * 4 * 8);
        assert_true(found.nodes[0].bytes >= 4 * (n * 4 + 32 + n * 8));
        assert_int_equal(found.nodes[0].parameters, 32);
        assert_int_equal(found.nodes[1].parameters, 0);
        assert_int_equal(found.nodes[2].parameters, 0); // the second to read them
        assert_int_equal(found.parameters, 32);
        assert_int_equal(found.parameter_bytes, 128);
        double flops = 0, bytes = 0;
        for (uint32_t i = 0; i < 3; i++)
            flops += found.nodes[i].flops, bytes += found.nodes[i].bytes;
        assert_true(found.flops == flops && found.bytes == bytes);
        assert_int_equal(found.op_count, 2);
        assert_string_equal(found.ops[0].name, "MatMul"); // the most frequent first
        assert_int_equal(found.ops[0].count, 2);
        assert_true(found.ops[0].flops == 2 * (2 * n * 4 * 8));
        assert_int_equal(found.ops[1].count, 1);
        assert_int_equal(found.input_count, 1);
        assert_string_equal(found.inputs[0].type, "float32[B,4]");
        assert_int_equal(found.output_count, 2);
        assert_string_equal(found.outputs[1].name, "c");
        assert_int_equal(found.table_count, 0);
    }
    norn_graph_destroy(graph);
}

/// Gather from `rows` x 4 floats along `axis` (-1: not said, which is 0), by ids.
static void a_gather_from_a_mebibyte_of_rows_is_a_table(void **state) {
    (void)state;
    static const struct {
        int64_t rows, axis;
        bool table;
    } cases[] = {{65536, 0, true}, {65536, -1, true}, {65535, 0, false}, {65536, 1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hand h = hand_begin(norn_alloc_heap(), 64);
        void *bytes = calloc((size_t)cases[i].rows, 16);
        norn_value *table =
            hand_const(&h, "emb", NORN_F32, 2, (int64_t[]){cases[i].rows, 4}, bytes);
        norn_value *ids = hand_input(&h, "ids", NORN_I64, hand_rows(&h, 0)), *y[2];
        const norn_attr axis = {.name = "axis", .kind = NORN_ATTR_INT, .i64 = cases[i].axis};
        free(bytes);
        for (int k = 0; k < 2; k++) {
            y[k] = hand_value(&h, k ? "z" : "y", NORN_F32, hand_rows(&h, 4));
            hand_node(&h, NORN_OP_Gather, "look", (norn_value *[]){table, ids}, 2, &y[k], 1,
                      (norn_attrs){&axis, cases[i].axis >= 0}, NULL);
            hand_output(&h, y[k]);
        }
        HAND_OK(norn_inspect_graph(h.graph, NULL, 1, &arena, &found));
        assert_int_equal(found.table_count, cases[i].table);
        if (cases[i].table) {
            assert_string_equal(found.tables[0].name, "emb");
            assert_string_equal(found.tables[0].source, "initializer");
            assert_int_equal(found.tables[0].rows, cases[i].rows);
            assert_int_equal(found.tables[0].dim, 4);
            assert_int_equal(found.tables[0].bytes, cases[i].rows * 16);
            assert_int_equal(found.tables[0].lookups, 2);
        }
        norn_graph_destroy(h.graph);
    }
}

static void sizes_that_nobody_knows_are_64(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    int32_t open;
    HAND_OK(norn_symbol_input(&h.graph->symbols, "T", &open));
    norn_shape left = hand_rows(&h, 1), right = hand_rows(&h, 8);
    left.dims[1] = right.dims[0] = norn_dim_symbol(open);
    norn_value *in[] = {hand_input(&h, "x", NORN_F32, left), hand_input(&h, "w", NORN_F32, right)};
    norn_value *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 8));
    hand_node(&h, NORN_OP_MatMul, "product", in, 2, &y, 1, (norn_attrs){0}, NULL);
    hand_output(&h, y);
    HAND_OK(norn_inspect_graph(h.graph, NULL, 3, &arena, &found));
    assert_true(found.flops == 2.0 * 3 * 64 * 8);
    assert_string_equal(found.inputs[1].type, "float32[T,8]");
    norn_graph_destroy(h.graph);
}

/// Shapes and axes are constants too, but no parameters.
static void few_integers_are_no_parameters(void **state) {
    (void)state;
    for (int64_t count = 15; count <= 16; count++) {
        hand h = hand_begin(norn_alloc_heap(), 64);
        int64_t zeros[16] = {0};
        norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
        norn_value *at = hand_const(&h, "at", NORN_I64, 1, &count, zeros);
        norn_value *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, count));
        const norn_attr axis = {.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
        hand_node(&h, NORN_OP_Gather, "pick", (norn_value *[]){x, at}, 2, &y, 1,
                  (norn_attrs){&axis, 1}, NULL);
        hand_output(&h, y);
        HAND_OK(norn_inspect_graph(h.graph, NULL, 1, &arena, &found));
        assert_int_equal(found.parameters, count == 16 ? 16 : 0);
        assert_int_equal(found.parameter_bytes, count == 16 ? 128 : 0);
        norn_graph_destroy(h.graph);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_three_digits_that_matter),
        cmocka_unit_test(work_and_parameters_add_up_over_the_nodes),
        cmocka_unit_test(a_gather_from_a_mebibyte_of_rows_is_a_table),
        cmocka_unit_test(sizes_that_nobody_knows_are_64),
        cmocka_unit_test(few_integers_are_no_parameters),
    };
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    norn_arena_deinit(&arena);
    return failed;
}
