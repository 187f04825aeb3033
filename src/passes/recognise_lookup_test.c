#include "testing/pass_graph.h"

#include <stdlib.h>
#include <unistd.h>

static norn_value *table(test_graph *t, const char *name, int rows, int dim) {
    return test_const(t, name, NORN_F32, DIMS(rows, dim), 0, 0.25);
}
static norn_value *index_of(test_graph *t, int at) {
    return test_const(t, "at", NORN_I64, SCALAR, at, 0);
}
static void run(test_graph *t) {
    test_run(t, norn_pass_simplify);
    test_run(t, norn_pass_cse);
    test_run(t, norn_pass_flatten_concat);
    test_run(t, norn_pass_recognise_lookup);
}
static const norn_lookup_region *lookup_of(const test_graph *t) {
    return &test_find(t, NORN_OP_Lookup)->region->lookup;
}

/// The test's target has no kernel wider than float32.
static void rows_are_looked_up_in_the_types_that_there_is_a_kernel_for(void **state) {
    static const norn_dtype types[] = {NORN_F16, NORN_BF16, NORN_F32, NORN_F64, NORN_I32};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        test_graph *t = test_begin();
        norn_value *rows = test_const(t, "rows", types[i], DIMS(10, 4), 0, 1);
        t->options.table_threshold = 1;
        test_output(t, OP(t, Gather, NONE, rows, test_input(t, "ids", NORN_I64, DIMS(B))));
        run(t);
        const bool made = test_count(t, NORN_OP_Lookup) == 1;
        assert_int_equal(made, types[i] != NORN_F64 && types[i] != NORN_I32);
        if (made) {
            const norn_node *node = test_find(t, NORN_OP_Lookup);
            assert_int_equal(node->out[0]->dtype, types[i]);
            assert_int_equal(t->context.tables[0].dtype, types[i]);
            assert_int_equal(lookup_of(t)->columns[0].out,
                             types[i] == NORN_F32 ? NORN_DTYPE_NONE : types[i]);
        }
        test_end(t);
    }
}

static void fields_of_one_input_are_columns_of_one_lookup(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 3)),
               *dense = test_input(t, "dense", NORN_F32, DIMS(B, 5));
    (void)state;
    t->options.table_threshold = 1000;
    norn_value *big = table(t, "big", 100, 4), *small = table(t, "small", 10, 2);
    norn_value *a =
        OP(t, Gather, NONE, big, OP(t, Gather, ATTR_INT("axis", 1), ids, index_of(t, 0)));
    norn_value *b =
        OP(t, Gather, NONE, small, OP(t, Gather, ATTR_INT("axis", 1), ids, index_of(t, -1)));
    norn_value *c = OP(t, Gather, NONE, big,
                       OP(t, Squeeze, NONE,
                          OP(t, Slice, NONE, ids, INTS(t, 1), INTS(t, 2), INTS(t, 1)), INTS(t, 1)));
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), dense, a, b, c));
    run(t);
    assert_int_equal(t->graph->node_count, 2); // Lookup and the Concat with the dense input
    const norn_node *node = test_find(t, NORN_OP_Lookup), *concat = test_find(t, NORN_OP_Concat);
    const norn_lookup_region *lookup = &node->region->lookup;
    assert_int_equal(lookup->column_count, 3);
    assert_int_equal(node->out_count, 1);
    assert_int_equal(node->out[0]->shape.dims[1].constant, 10);
    assert_int_equal(concat->in_count, 2);
    assert_ptr_equal(concat->in[1].value, node->out[0]);
    const int64_t firsts[3] = {0, 2, 1}, at[3] = {0, 4, 6};
    for (int i = 0; i < 3; i++) {
        const norn_lookup_column *column = &lookup->columns[i];
        assert_ptr_equal(node->in[column->keys_input].value, ids);
        assert_int_equal(column->form, NORN_KEYS_ONE);
        assert_int_equal(column->pool, NORN_POOL_NONE);
        assert_int_equal(column->keys_stride, 3);
        assert_int_equal(column->keys_count, 1);
        assert_int_equal(column->keys_first, firsts[i]);
        assert_int_equal(column->column, at[i]);
        assert_int_equal(column->output, 0);
        assert_true(column->negative_wraps);
    }
    assert_int_equal(lookup->columns[0].rows_input, NORN_NO_INPUT);
    assert_int_equal(lookup->columns[2].rows_input, NORN_NO_INPUT);
    assert_ptr_equal(node->in[lookup->columns[1].rows_input].value, small);
    assert_int_equal(t->context.table_count, 1);
    assert_string_equal(t->context.tables[0].name, "big");
    assert_int_equal(t->context.tables[0].dim, 4);
    assert_ptr_equal(t->context.tables[0].rows, big->data);
    assert_true(test_has_origin(node, "Gather_0")); // the slicing Gather
    assert_true(test_has_origin(node, "Gather_1"));
    test_end(t);
}

/// As DeepCTR-Torch has it: one float matrix, of which columns are cast to ids.
static void columns_that_are_cast_are_cast_as_one(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3)), *parts[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        norn_value *slice = OP(t, Slice, NONE, x, INTS(t, i), INTS(t, i + 1), INTS(t, 1));
        parts[i] = OP(t, Gather, NONE, table(t, "rows", 10 + i, 4),
                      OP(t, Cast, ATTR_INT("to", NORN_I64), slice));
    }
    test_output(t, OP(t, Concat, ATTR_INT("axis", -1), parts[0], parts[1]));
    run(t);
    const norn_node *cast = test_find(t, NORN_OP_Cast), *lookup = test_find(t, NORN_OP_Lookup);
    assert_int_equal(test_count(t, NORN_OP_Cast), 1);
    assert_int_equal(test_count(t, NORN_OP_Slice), 0);
    assert_ptr_equal(cast->in[0].value, x);
    assert_ptr_equal(lookup->in[0].value, cast->out[0]);
    assert_int_equal(lookup_of(t)->columns[1].keys_first, 1);
    assert_int_equal(lookup_of(t)->columns[1].keys_stride, 3);
    test_end(t);
}

static void ids_that_are_only_widened_are_read_as_they_are(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I32, DIMS(B));
    (void)state;
    test_output(t, OP(t, Gather, NONE, table(t, "rows", 10, 4),
                      OP(t, Cast, ATTR_INT("to", NORN_I64), ids)));
    run(t);
    assert_int_equal(t->graph->node_count, 1);
    assert_ptr_equal(test_find(t, NORN_OP_Lookup)->in[0].value, ids);
    test_end(t);
}

static void bags_are_pooled(void **state) {
    test_graph *t = test_begin();
    norn_value *bag = test_input(t, "bag", NORN_I32, DIMS(B, 6)),
               *mask = test_input(t, "mask", NORN_F32, DIMS(B, 6, 1));
    (void)state;
    norn_value *rows = table(t, "rows", 10, 4);
    norn_value *sum =
        OP(t, ReduceSum, ATTR_INT("keepdims", 0), OP(t, Gather, NONE, rows, bag), INTS(t, 1));
    norn_value *weighted = OP(t, ReduceMean, ATTR_INT("keepdims", 1),
                              OP(t, Mul, NONE, OP(t, Gather, NONE, rows, bag), mask), INTS(t, -2));
    norn_value *most =
        OP(t, ReduceMax, ATTR_INT("keepdims", 0), OP(t, Gather, NONE, rows, bag), INTS(t, 1));
    test_output(t, OP(t, Relu, NONE, sum));
    test_output(t, weighted);
    test_output(t, most);
    test_run(t, norn_pass_recognise_lookup); // not cse: it would make one Gather of three
    const norn_node *node = test_find(t, NORN_OP_Lookup);
    const norn_lookup_region *lookup = &node->region->lookup;
    assert_int_equal(test_count(t, NORN_OP_Lookup), 1);
    assert_int_equal(test_count(t, NORN_OP_Gather), 0);
    assert_int_equal(lookup->column_count, 3);
    assert_int_equal(lookup->columns[0].pool, NORN_POOL_SUM);
    assert_int_equal(lookup->columns[1].pool, NORN_POOL_MEAN);
    assert_int_equal(lookup->columns[2].pool, NORN_POOL_MAX);
    assert_int_equal(lookup->columns[0].form, NORN_KEYS_FIXED);
    assert_int_equal(lookup->columns[0].keys_count, 6);
    assert_int_equal(lookup->columns[0].keys_stride, 0);
    assert_int_equal(lookup->columns[0].weights_input, NORN_NO_INPUT);
    assert_ptr_equal(node->in[lookup->columns[1].weights_input].value, mask);
    assert_int_equal(node->out_count, 3);
    assert_int_equal(test_result(t, 1)->shape.rank, 3); // kept as 1: a Reshape
    assert_true(norn_node_is_static_reshape(test_result(t, 1)->producer));
    test_end(t);
}

static void a_history_is_rows_side_by_side(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 6));
    (void)state;
    test_output(t, OP(t, Gather, NONE, table(t, "rows", 10, 4), ids));
    run(t);
    const norn_node *node = test_find(t, NORN_OP_Lookup);
    const norn_lookup_column *column = lookup_of(t)->columns;
    assert_int_equal(column->form, NORN_KEYS_FIXED);
    assert_int_equal(column->pool, NORN_POOL_NONE);
    assert_int_equal(column->keys_count, 6);
    assert_int_equal(node->out[0]->shape.rank, 2);
    assert_int_equal(node->out[0]->shape.dims[1].constant, 24);
    assert_int_equal(test_result(t, 0)->shape.rank, 3);
    assert_string_equal(t->graph->output_names[0], "Gather_2");
    test_end(t);
}

/// Rows of two histories that are set side by side step by step: one lookup over B * T rows.
static void joined_histories_are_looked_up_step_by_step(void **state) {
    test_graph *t = test_begin();
    norn_value *a = test_input(t, "a", NORN_I64, DIMS(B, T)),
               *b = test_input(t, "b", NORN_I64, DIMS(B, T));
    (void)state;
    norn_value *x = OP(t, Gather, NONE, table(t, "u", 10, 4), a),
               *y = OP(t, Gather, NONE, table(t, "v", 10, 2), b);
    test_output(t, OP(t, Relu, NONE, OP(t, Concat, ATTR_INT("axis", -1), x, y)));
    run(t);
    const norn_node *node = test_find(t, NORN_OP_Lookup);
    assert_int_equal(test_count(t, NORN_OP_Concat), 0);
    assert_int_equal(node->out_count, 1);
    assert_int_equal(node->out[0]->shape.dims[1].constant, 6);
    assert_false(norn_dim_is_const(node->out[0]->shape.dims[0]));
    assert_int_equal(lookup_of(t)->columns[0].form, NORN_KEYS_ONE);
    assert_int_equal(lookup_of(t)->columns[1].column, 4);
    assert_int_equal(test_find(t, NORN_OP_Relu)->in[0].value->shape.rank, 3);
    test_end(t);
}

static void fields_that_share_a_table_have_offsets(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 3));
    (void)state;
    norn_value *keys = OP(t, Add, NONE, ids, INTS(t, 0, 10, 30));
    test_output(t, OP(t, Gather, NONE, table(t, "rows", 50, 4), keys));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_Add), 0);
    const norn_lookup_region *lookup = lookup_of(t);
    assert_int_equal(lookup->column_count, 3);
    const int64_t offsets[3] = {0, 10, 30};
    for (int i = 0; i < 3; i++) {
        const norn_lookup_column *column = &lookup->columns[i];
        assert_int_equal(column->form, NORN_KEYS_ONE);
        assert_int_equal(column->keys_first, i);
        assert_int_equal(column->keys_stride, 3);
        assert_int_equal(column->key_offset, offsets[i]);
        assert_int_equal(column->column, 4 * i);
    }
    test_end(t);
}

static void an_add_that_a_pooled_lookup_needs_is_kept_for_both(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 3));
    (void)state;
    norn_value *keys = OP(t, Add, NONE, ids, INTS(t, 0, 10, 30));
    test_output(t, OP(t, Gather, NONE, table(t, "rows", 50, 4), keys));
    test_output(t, OP(t, ReduceSum, ATTR_INT("keepdims", 0),
                      OP(t, Gather, NONE, table(t, "w", 50, 1), keys), INTS(t, 1)));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_Add), 1);
    assert_int_equal(test_count(t, NORN_OP_Lookup), 1);
    assert_int_equal(lookup_of(t)->column_count, 2);
    assert_int_equal(lookup_of(t)->columns[0].form, NORN_KEYS_FIXED);
    assert_int_equal(lookup_of(t)->columns[0].key_offset, 0);
    test_end(t);
}

static norn_attrs embedding(test_graph *t, const char *name, int64_t dim, const char *mode) {
    norn_attr *attrs;
    CHECK(NORN_TAKE_ARRAY(&t->graph->arena, 3, &attrs));
    attrs[0] =
        (norn_attr){.name = "table", .kind = NORN_ATTR_STRING, .string = {name, strlen(name)}};
    attrs[1] = (norn_attr){.name = "dim", .kind = NORN_ATTR_INT, .i64 = dim};
    attrs[2] =
        (norn_attr){.name = "mode", .kind = NORN_ATTR_STRING, .string = {mode, strlen(mode)}};
    return (norn_attrs){attrs, 3};
}

static void custom_operators_read_tables_of_the_package(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B)),
               *values = test_input(t, "v", NORN_I64, DIMS(T));
    (void)state;
    int32_t offsets_symbol = t->batch;
    norn_shape shape = {.rank = 1, .dims = {{1, 1, offsets_symbol}}};
    norn_value *offsets;
    CHECK(norn_graph_value(t->graph, "o", NORN_I64, &shape, &offsets));
    CHECK(norn_graph_add_input(t->graph, offsets));
    norn_value *weights = test_input(t, "w", NORN_F32, DIMS(T));
    norn_value *a = OP(t, Embedding, embedding(t, "user", 8, ""), ids);
    norn_value *b = OP(t, EmbeddingBag, embedding(t, "tags", 4, "mean"), values, offsets);
    norn_value *c = OP(t, EmbeddingBag, embedding(t, "tags", 4, "sum"), values, offsets, weights);
    test_output(t, OP(t, Concat, ATTR_INT("axis", -1), a, b, c));
    run(t);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_Lookup);
    const norn_lookup_region *lookup = &node->region->lookup;
    assert_int_equal(lookup->column_count, 3);
    assert_int_equal(node->out[0]->shape.dims[1].constant, 16);
    assert_int_equal(lookup->columns[0].form, NORN_KEYS_ONE);
    assert_int_equal(lookup->columns[1].form, NORN_KEYS_CSR);
    assert_int_equal(lookup->columns[1].pool, NORN_POOL_MEAN);
    assert_int_equal(lookup->columns[2].pool, NORN_POOL_SUM);
    assert_ptr_equal(node->in[lookup->columns[1].offsets_input].value, offsets);
    assert_ptr_equal(node->in[lookup->columns[2].weights_input].value, weights);
    assert_int_equal(lookup->columns[1].weights_input, NORN_NO_INPUT);
    assert_int_equal(lookup->columns[1].table, lookup->columns[2].table);
    assert_false(lookup->columns[0].negative_wraps);
    assert_int_equal(t->context.table_count, 2);
    assert_null(t->context.tables[0].rows);
    test_end(t);
}

static void a_custom_embedding_that_is_summed_is_a_bag(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 50));
    (void)state;
    norn_value *rows = OP(t, Embedding, embedding(t, "user", 8, ""), ids);
    test_output(t, OP(t, ReduceSum, ATTR_INT("keepdims", 0), rows, INTS(t, 1)));
    run(t);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_Lookup);
    const norn_lookup_column *column = &node->region->lookup.columns[0];
    assert_int_equal(column->form, NORN_KEYS_FIXED);
    assert_int_equal(column->pool, NORN_POOL_SUM);
    assert_int_equal(column->keys_count, 50);
    assert_false(column->negative_wraps);
    assert_int_equal(node->out[0]->shape.dims[1].constant, 8);
    test_end(t);
}

static void a_table_with_two_widths_is_refused_by_name(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B));
    (void)state;
    test_output(t, OP(t, Embedding, embedding(t, "user", 8, ""), ids));
    test_output(t, OP(t, Embedding, embedding(t, "user", 4, ""), ids));
    assert_int_equal(norn_pass_recognise_lookup(&t->context, t->graph), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "'user'"));
    test_end(t);
}

/// The second table's keys come out of the first: two levels, two regions.
static void a_lookup_by_looked_up_weights_is_another_level(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 6));
    (void)state;
    norn_value *weights = OP(t, Gather, NONE, table(t, "w", 10, 1), ids);
    norn_value *rows = OP(t, Gather, NONE, table(t, "rows", 10, 4), ids);
    test_output(t, OP(t, ReduceSum, ATTR_INT("keepdims", 0),
                      OP(t, Mul, NONE, rows, OP(t, Exp, NONE, weights)), INTS(t, 1)));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_Lookup), 2);
    assert_int_equal(test_count(t, NORN_OP_Mul) + test_count(t, NORN_OP_ReduceSum), 0);
    test_end(t);
}

static void rows_that_others_read_are_not_pooled_away(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 6));
    (void)state;
    norn_value *rows = OP(t, Gather, NONE, table(t, "rows", 10, 4), ids);
    test_output(t, OP(t, ReduceSum, ATTR_INT("keepdims", 0), rows, INTS(t, 1)));
    test_output(t, OP(t, Relu, NONE, rows));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_ReduceSum), 1);
    assert_int_equal(lookup_of(t)->columns[0].pool, NORN_POOL_NONE);
    test_end(t);
}

static void a_table_of_the_package_wins(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B));
    char directory[] = "norn_tables_XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/rows.safetensors", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    t->context.tables_dir = directory;
    test_output(t, OP(t, Gather, NONE, table(t, "rows", 10, 4), ids));
    run(t);
    assert_int_equal(lookup_of(t)->columns[0].rows_input, NORN_NO_INPUT);
    assert_int_equal(t->context.table_count, 1);
    assert_null(t->context.tables[0].rows);
    assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(directory), 0);
    test_end(t);
}

static void a_matrix_that_is_multiplied_too_is_no_table(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B)),
               *x = test_input(t, "x", NORN_F32, DIMS(B, 10));
    (void)state;
    t->options.table_threshold = 1;
    norn_value *tied = table(t, "tied", 10, 4);
    test_output(t, OP(t, Gather, NONE, tied, ids));
    test_output(t, OP(t, MatMul, NONE, x, tied));
    run(t);
    assert_int_equal(t->context.table_count, 0);
    assert_int_equal(test_count(t, NORN_OP_MatMul), 1);
    test_end(t);
}

static void tables_begin_at_a_mebibyte(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B));
    (void)state;
    test_output(t, OP(t, Gather, NONE, table(t, "table", 1 << 16, 4), ids));
    test_output(t, OP(t, Gather, NONE, table(t, "small", (1 << 16) - 1, 4), ids));
    run(t);
    assert_int_equal(t->context.table_count, 1);
    assert_string_equal(t->context.tables[0].name, "table");
    test_end(t);
}

static void gathers_that_are_no_lookups_stay(void **state) {
    test_graph *t = test_begin();
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B)),
               *x = test_input(t, "x", NORN_F32, DIMS(10, 4));
    (void)state;
    test_output(t, OP(t, Gather, NONE, x, ids));
    test_output(t, OP(t, Gather, ATTR_INT("axis", 1), table(t, "rows", 4, 10), ids));
    test_output(t, OP(t, Gather, NONE, test_const(t, "ints", NORN_I64, DIMS(10, 4), 0, 1), ids));
    test_output(
        t, OP(t, Gather, NONE, table(t, "rows", 10, 4), test_input(t, "one", NORN_I64, SCALAR)));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_Lookup), 0);
    assert_int_equal(test_count(t, NORN_OP_Gather), 4);
    test_end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_looked_up_in_the_types_that_there_is_a_kernel_for),
        cmocka_unit_test(fields_of_one_input_are_columns_of_one_lookup),
        cmocka_unit_test(columns_that_are_cast_are_cast_as_one),
        cmocka_unit_test(ids_that_are_only_widened_are_read_as_they_are),
        cmocka_unit_test(bags_are_pooled),
        cmocka_unit_test(a_history_is_rows_side_by_side),
        cmocka_unit_test(joined_histories_are_looked_up_step_by_step),
        cmocka_unit_test(fields_that_share_a_table_have_offsets),
        cmocka_unit_test(an_add_that_a_pooled_lookup_needs_is_kept_for_both),
        cmocka_unit_test(custom_operators_read_tables_of_the_package),
        cmocka_unit_test(a_custom_embedding_that_is_summed_is_a_bag),
        cmocka_unit_test(a_table_with_two_widths_is_refused_by_name),
        cmocka_unit_test(a_lookup_by_looked_up_weights_is_another_level),
        cmocka_unit_test(rows_that_others_read_are_not_pooled_away),
        cmocka_unit_test(a_table_of_the_package_wins),
        cmocka_unit_test(a_matrix_that_is_multiplied_too_is_no_table),
        cmocka_unit_test(tables_begin_at_a_mebibyte),
        cmocka_unit_test(gathers_that_are_no_lookups_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
