#include "testing/pass_graph.h"

static void bias_and_activation_go_into_the_epilogue(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(2, 3), 1, 1),
               *c = test_const(t, "c", NORN_F32, DIMS(2), 10, 1);
    norn_attr attrs[3] = {{.name = "transB", .kind = NORN_ATTR_INT, .i64 = 1},
                          {.name = "alpha", .kind = NORN_ATTR_FLOAT, .f32 = 0.5f},
                          {.name = "beta", .kind = NORN_ATTR_FLOAT, .f32 = 2}};
    norn_value *y = OP(t, Gemm, ((norn_attrs){attrs, 3}), x, w, c);
    test_output(t, OP(t, Relu, NONE, y));
    test_run(t, norn_pass_gemm);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *node = test_find(t, NORN_OP_GemmRegion);
    const norn_gemm_region *gemm = &node->region->gemm;
    assert_int_equal(gemm->k, 3);
    assert_int_equal(gemm->n, 2);
    assert_int_equal(gemm->b_layout, NORN_GEMM_COLUMNS);
    assert_int_equal(node->in_count, 3);
    assert_ptr_equal(node->in[2].value, c);
    assert_int_equal(gemm->epilogue.load_count, 2);
    assert_int_equal(gemm->epilogue.loads[0].input, NORN_SCALAR_ACC);
    assert_int_equal(gemm->epilogue.loads[1].input, 2);
    assert_true(gemm->epilogue.loads[1].broadcast[0]);
    assert_false(gemm->epilogue.loads[1].broadcast[1]);
    // Relu(0.5 * acc + 2 * c)
    assert_true(test_program(&gemm->epilogue, (double[]){4, 10}) == 22);
    assert_true(test_program(&gemm->epilogue, (double[]){-60, 10}) == 0);
    assert_true(test_has_origin(node, "Gemm_0"));
    assert_true(test_has_origin(node, "Relu_1"));
    test_end(t);
}

static void a_product_over_a_history_has_its_leading_dims_as_rows(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, T, 3));
    (void)state;
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(3, 5), 0, 1),
               *c = test_const(t, "c", NORN_F32, DIMS(5), 0, 1);
    test_output(t, OP(t, Sigmoid, NONE, OP(t, Add, NONE, c, OP(t, MatMul, NONE, x, w))));
    test_run(t, norn_pass_gemm);
    const norn_node *node = test_find(t, NORN_OP_GemmRegion);
    assert_int_equal(t->graph->node_count, 1);
    assert_int_equal(node->region->gemm.k, 3);
    assert_int_equal(node->region->gemm.n, 5);
    assert_int_equal(node->region->gemm.b_layout, NORN_GEMM_ROWS);
    assert_int_equal(node->out[0]->shape.rank, 3);
    test_end(t);
}

static void a_cross_layer_is_one_region(void **state) {
    test_graph *t = test_begin();
    norn_value *x0 = test_input(t, "x0", NORN_F32, DIMS(B, 4)),
               *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1),
               *c = test_const(t, "c", NORN_F32, DIMS(4), 0, 1);
    norn_value *y = OP(t, Gemm, NONE, x, w, c);
    test_output(t, OP(t, Add, NONE, OP(t, Mul, NONE, x0, y), x));
    test_run(t, norn_pass_gemm);
    const norn_node *node = test_find(t, NORN_OP_GemmRegion);
    assert_int_equal(t->graph->node_count, 1);
    assert_int_equal(node->in_count, 4); // x, w, c, x0; x is read as A and as an operand
    const norn_scalar_program *epilogue = &node->region->gemm.epilogue;
    assert_int_equal(epilogue->load_count, 4);
    double loads[4];
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t input = epilogue->loads[i].input;
        loads[i] = input == NORN_SCALAR_ACC ? 2 : input == 2 ? 1 : input == 3 ? 5 : 7;
    }
    assert_true(test_program(epilogue, loads) == 5 * (2 + 1) + 7);
    test_end(t);
}

static void swish_reads_the_product_twice_and_is_still_fused(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *y = OP(t, MatMul, NONE, x, test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1));
    test_output(t, OP(t, Mul, NONE, y, OP(t, Sigmoid, NONE, y)));
    test_run(t, norn_pass_gemm);
    assert_int_equal(t->graph->node_count, 1);
    const norn_scalar_program *epilogue = &test_find(t, NORN_OP_GemmRegion)->region->gemm.epilogue;
    assert_true(test_program(epilogue, (double[]){0}) == 0);
    double high = test_program(epilogue, (double[]){3});
    assert_true(high > 2.85 && high < 2.86); // 3 / (1 + e^-3)
    test_end(t);
}

static void a_product_that_is_an_output_is_not_hidden(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *y = OP(t, MatMul, NONE, x, test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1));
    test_output(t, y);
    test_output(t, OP(t, Relu, NONE, y));
    test_run(t, norn_pass_gemm);
    assert_int_equal(test_count(t, NORN_OP_GemmRegion), 1);
    assert_int_equal(test_count(t, NORN_OP_Relu), 1);
    assert_int_equal(test_find(t, NORN_OP_GemmRegion)->region->gemm.epilogue.instr_count, 0);
    test_end(t);
}

static void what_has_two_ways_out_ends_the_chain(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *y =
        OP(t, Relu, NONE, OP(t, MatMul, NONE, x, test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1)));
    test_output(t, OP(t, Softmax, NONE, y));
    test_output(t, OP(t, Tanh, NONE, y));
    test_run(t, norn_pass_gemm);
    assert_int_equal(t->graph->node_count, 3);
    assert_true(test_has_origin(test_find(t, NORN_OP_GemmRegion), "Relu_1"));
    assert_int_equal(test_count(t, NORN_OP_Tanh), 1);
    test_end(t);
}

static void an_operand_that_repeats_over_steps_stays_outside(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 6, 4)),
               *query = test_input(t, "q", NORN_F32, DIMS(B, 1, 4));
    (void)state;
    norn_value *y = OP(t, MatMul, NONE, x, test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1));
    test_output(t, OP(t, Add, NONE, y, query));
    test_run(t, norn_pass_gemm);
    assert_int_equal(test_count(t, NORN_OP_Add), 1);
    test_end(t);
}

static void products_that_it_does_not_take_stay(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(4, 4)),
               *i = test_input(t, "i", NORN_I32, DIMS(B, 4));
    (void)state;
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(4, 4), 0, 1);
    test_output(t, OP(t, Gemm, ATTR_INT("transA", 1), x, w));
    test_output(t, OP(t, MatMul, NONE, x, x));
    test_output(t, OP(t, MatMul, NONE, w, x));
    test_output(t, OP(t, MatMul, NONE, i, test_const(t, "wi", NORN_I32, DIMS(4, 4), 0, 1)));
    test_run(t, norn_pass_gemm);
    assert_int_equal(test_count(t, NORN_OP_GemmRegion), 0);
    test_end(t);
}

static void assert_numbers(const norn_node *node, norn_dtype a, norn_dtype b, norn_dtype out,
                           bool tf32) {
    assert_int_equal(node->numbers.a, a);
    assert_int_equal(node->numbers.b, b);
    assert_int_equal(node->numbers.acc, NORN_F32);
    assert_int_equal(node->numbers.out, out);
    assert_int_equal(node->numbers.tf32, tf32);
}

/// The half types add up in F32 and round after the product, after the bias and at the end.
static void every_floating_type_has_regions(void **state) {
    (void)state;
    const norn_dtype dtypes[] = {NORN_F16, NORN_BF16, NORN_F32, NORN_F64};
    // 2049 and 257 lie between two neighbours; so the sum with the bias differs when it is not.
    const double acc[] = {2049, 257, 2049, 2049}, want[] = {2048, 256, 2050, 2050};
    for (int d = 0; d < 4; d++) {
        test_graph *t = test_begin();
        norn_value *x = test_input(t, "x", dtypes[d], DIMS(B, 3));
        norn_value *w = test_const(t, "w", dtypes[d], DIMS(3, 5), 0, 1),
                   *c = test_const(t, "c", dtypes[d], DIMS(5), 0, 1);
        test_output(t, OP(t, Relu, NONE, OP(t, Add, NONE, c, OP(t, MatMul, NONE, x, w))));
        test_run(t, norn_pass_gemm);
        const norn_node *node = test_find(t, NORN_OP_GemmRegion);
        assert_int_equal(t->graph->node_count, 1);
        assert_int_equal(node->out[0]->dtype, dtypes[d]);
        const norn_scalar_program *epilogue = &node->region->gemm.epilogue;
        double loads[2];
        for (uint32_t i = 0; i < 2; i++)
            loads[i] = epilogue->loads[i].input == NORN_SCALAR_ACC ? acc[d] : 1;
        assert_true(test_program(epilogue, loads) == want[d]);
        test_end(t);
    }
}

/// A Gemm rounds once, after alpha, beta and C.
static void a_half_gemm_rounds_once(void **state) {
    (void)state;
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F16, DIMS(B, 3)),
               *w = test_const(t, "w", NORN_F16, DIMS(3, 5), 0, 1),
               *c = test_const(t, "c", NORN_F16, DIMS(5), 0, 1);
    test_output(t, OP(t, Gemm, NONE, x, w, c));
    test_output(t, OP(t, MatMul, NONE, x, w));
    test_run(t, norn_pass_gemm);
    const norn_node *gemm = t->graph->nodes, *product = gemm->next;
    const norn_scalar_program *epilogue = &gemm->region->gemm.epilogue;
    assert_int_equal(epilogue->load_count, 2);
    const double loads[] = {2049, 1}; // 2050 is a half, 2049 is none
    assert_true(test_program(epilogue, loads) == 2050);
    assert_int_equal(product->region->gemm.epilogue.instr_count, 0); // the kernel converts
    test_end(t);
}

static void precision_is_said_of_every_product(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) { // GPU exact, GPU in tf32, CPU
        test_graph *t = test_begin();
        t->options.precision = form == 1 ? NORN_PRECISION_TF32 : NORN_PRECISION_FP32;
        t->context.target = form == 2 ? NULL : &test_device.target;
        norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3)),
                   *h = test_input(t, "h", NORN_F16, DIMS(B, 3)),
                   *w = test_const(t, "w", NORN_F32, DIMS(3, 5), 0, 1),
                   *v = test_const(t, "v", NORN_F16, DIMS(3, 5), -7, 1);
        test_output(t, OP(t, MatMul, NONE, x, w));
        test_output(t, OP(t, MatMul, NONE, h, v));
        test_output(t, OP(t, MatMul, NONE, OP(t, Relu, NONE, h), v));
        test_run(t, norn_pass_gemm);
        test_run(t, norn_pass_assign_precision);
        const norn_node *f32 = t->graph->nodes, *f16 = f32->next, *relu = f16->next,
                        *second = relu->next;
        assert_numbers(f32, NORN_F32, NORN_F32, NORN_F32, form == 1);
        assert_numbers(f16, NORN_F16, form == 2 ? NORN_F32 : NORN_F16, NORN_F16, false);
        assert_int_equal(relu->numbers.acc, NORN_DTYPE_NONE);
        const norn_value *b = f16->in[1].value;
        assert_ptr_equal(b, second->in[1].value); // widened once
        assert_true(form != 2 || ((const float *)b->data->data)[14] == 7);
        test_end(t);
    }
}

static norn_value *layer(test_graph *t, norn_value *x, int k, int n, bool relu) {
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(k, n), 0, 0.5),
               *c = test_const(t, "c", NORN_F32, DIMS(n), 0.25, 1);
    norn_value *y = OP(t, Gemm, NONE, x, w, c);
    return relu ? OP(t, Relu, NONE, y) : y;
}

/// A chain of layers casts once, and what others read is F32.
static void layers_become_products_of_halves(void **state) {
    (void)state;
    for (int form = 0; form < 2; form++) {
        const norn_dtype half = form ? NORN_BF16 : NORN_F16;
        test_graph *t = test_begin();
        t->options.precision = form ? NORN_PRECISION_BF16 : NORN_PRECISION_FP16;
        norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 16)),
                   *z = test_input(t, "z", NORN_F32, DIMS(B, 5, 5));
        norn_value *first = layer(t, x, 16, 32, true), *second = layer(t, first, 32, 16, true);
        test_output(t, layer(t, second, 16, 16, false));
        test_output(t, layer(t, second, 16, 1, false));                    // thin, and goes along
        test_output(t, layer(t, x, 16, 16, false));                        // x is cast once
        test_output(t, layer(t, layer(t, x, 16, 16, true), 16, 1, false)); // thin alone: reads F32
        test_output(t, OP(t, MatMul, NONE, z, z));
        test_run(t, norn_pass_gemm);
        test_run(t, norn_pass_assign_precision);
        const norn_node *cast = t->graph->nodes, *one = cast->next, *two = one->next;
        assert_true(norn_node_is(cast, NORN_OP_Pointwise));
        assert_int_equal(cast->out[0]->dtype, half);
        assert_ptr_equal(norn_node_in(one, 0), cast->out[0]);
        assert_numbers(one, half, half, half, false);
        assert_int_equal(one->region->gemm.out, half);
        assert_int_equal(norn_node_in(one, 2)->dtype, half); // what its product adds by itself
        assert_int_equal(one->region->gemm.epilogue.loads[1].dtype, half);
        assert_ptr_equal(norn_node_in(two, 0), one->out[0]);
        assert_numbers(two, half, half, half, false);
        uint32_t casts = 0, thin = 0, halves = 0;
        for (const norn_node *node = t->graph->nodes; node; node = node->next) {
            casts += norn_node_is(node, NORN_OP_Pointwise);
            halves += node->numbers.a == half;
            thin += node->numbers.tf32;
        }
        assert_int_equal(casts, 1); // of x
        assert_int_equal(halves, 6);
        assert_int_equal(thin, 2); // one column, and a product of activations
        for (uint32_t i = 0; i < t->graph->output_count; i++)
            assert_int_equal(t->graph->outputs[i].value->dtype, NORN_F32);
        test_end(t);
    }
}

/// A lookup writes halves into the Concat that a layer multiplies; the input of the model beside it is
/// cast, and what a reduction reads as well is a half to it.
static void what_layers_multiply_is_written_as_halves(void **state) {
    (void)state;
    test_graph *t = test_begin();
    t->options.precision = NORN_PRECISION_FP16;
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B)),
               *dense = test_input(t, "dense", NORN_F32, DIMS(B, 8));
    norn_value *rows =
        OP(t, Gather, NONE, test_const(t, "rows", NORN_F32, DIMS(10, 24), 0, 1), ids);
    norn_value *all = OP(t, Concat, ATTR_INT("axis", 1), dense, rows);
    test_output(t, layer(t, all, 32, 16, false));
    test_output(t, OP(t, ReduceSum, NONE, rows, INTS(t, 1)));
    test_output(t, OP(t, Softmax, ATTR_INT("axis", 1), dense)); // reads it as it came
    test_run(t, norn_pass_recognise_lookup);
    test_run(t, norn_pass_gemm);
    test_run(t, norn_pass_fuse_row_reduce);
    test_run(t, norn_pass_fuse_pointwise);
    test_run(t, norn_pass_assign_precision);
    test_run(t, norn_pass_place_concat);
    const norn_node *lookup = test_find(t, NORN_OP_Lookup), *concat = test_find(t, NORN_OP_Concat),
                    *reduce = test_find(t, NORN_OP_RowReduce),
                    *cast = test_find(t, NORN_OP_Pointwise);
    assert_int_equal(lookup->out[0]->dtype, NORN_F16);
    assert_int_equal(lookup->region->lookup.columns[0].out, NORN_F16);
    assert_int_equal(concat->out[0]->dtype, NORN_F16);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 1);
    assert_ptr_equal(cast->in[0].value, dense);
    assert_ptr_equal(concat->in[0].value, cast->out[0]);
    assert_ptr_equal(concat->in[1].value, lookup->out[0]);
    assert_int_equal(reduce->region->row_reduce.prologue.loads[0].dtype, NORN_F16);
    assert_int_equal(reduce->out[0]->dtype, NORN_F32);
    const int64_t *placed;
    assert_int_equal(norn_attr_ints(concat->attrs, "norn_placed", &placed), 2);
    assert_int_equal(placed[0], 1); // the cast is where it belongs
    test_end(t);
}

/// FM takes halves where a layer multiplies its parts, and writes what others read.
static void an_interaction_takes_the_type_of_its_parts(void **state) {
    (void)state;
    test_graph *t = test_begin();
    t->options.precision = NORN_PRECISION_BF16;
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 4));
    norn_value *rows = OP(t, Gather, NONE, test_const(t, "rows", NORN_F32, DIMS(10, 8), 0, 1), ids);
    norn_value *two = test_const(t, "two", NORN_F32, SCALAR, 2, 0),
               *half = test_const(t, "half", NORN_F32, SCALAR, 0.5, 0);
    norn_value *sum = OP(t, Pow, NONE, OP(t, ReduceSum, ATTR_INT("keepdims", 0), rows, INTS(t, 1)),
                         two),
               *squares = OP(t, ReduceSum, ATTR_INT("keepdims", 0), OP(t, Pow, NONE, rows, two),
                             INTS(t, 1));
    test_output(t, OP(t, Mul, NONE, OP(t, Sub, NONE, sum, squares), half));
    test_output(t, layer(t, OP(t, Reshape, NONE, rows, INTS(t, -1, 32)), 32, 16, false));
    test_run(t, norn_pass_simplify);
    test_run(t, norn_pass_recognise_fm);
    test_run(t, norn_pass_recognise_lookup);
    test_run(t, norn_pass_gemm);
    test_run(t, norn_pass_assign_precision);
    const norn_node *fm = test_find(t, NORN_OP_Interaction);
    assert_int_equal(test_find(t, NORN_OP_Lookup)->out[0]->dtype, NORN_BF16);
    assert_int_equal(fm->in[0].value->dtype, NORN_BF16);
    assert_int_equal(fm->out[0]->dtype, NORN_F32);
    assert_int_equal(fm->region->interaction.out, NORN_F32);
    assert_numbers(fm, NORN_BF16, NORN_BF16, NORN_F32, false);
    assert_int_equal(test_count(t, NORN_OP_Pointwise), 0);
    test_end(t);
}

/// A sum of few terms multiplies floats and writes the halves that the next layer reads, if it has an ending that
/// rounds.
static void a_short_sum_writes_halves_where_they_are_read(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) {
        test_graph *t = test_begin();
        t->options.precision = NORN_PRECISION_FP16;
        norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 13));
        norn_value *y =
            form == 1 ? OP(t, MatMul, NONE, x, test_const(t, "w", NORN_F32, DIMS(13, 32), 0, 0.5))
                      : layer(t, x, 13, 32, true);
        test_output(t, layer(t, y, 32, 16, false));
        if (form == 2) test_output(t, OP(t, Softmax, ATTR_INT("axis", 1), y)); // reads floats
        test_run(t, norn_pass_gemm);
        test_run(t, norn_pass_assign_precision);
        const norn_node *first = t->graph->nodes, *last = t->graph->outputs[0].value->producer;
        const norn_dtype out = form == 0 ? NORN_F16 : NORN_F32;
        assert_numbers(first, NORN_F32, NORN_F32, out, true);
        assert_numbers(last, NORN_F16, NORN_F16, NORN_F32, false);
        assert_int_equal(test_count(t, NORN_OP_Pointwise), form != 0); // else cast
        if (form == 0) assert_int_equal(norn_node_in(first, 2)->dtype, NORN_F16);
        test_end(t);
    }
}

/// x0 * (x W + b) + x: A is an operand as well.
static void a_cross_layer_of_halves_reads_what_it_multiplies(void **state) {
    (void)state;
    test_graph *t = test_begin();
    t->options.precision = NORN_PRECISION_FP16;
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 16));
    for (int i = 0; i < 2; i++)
        x = OP(t, Add, NONE, OP(t, Mul, NONE, t->graph->inputs[0], layer(t, x, 16, 16, false)), x);
    test_output(t, x);
    test_run(t, norn_pass_gemm);
    test_run(t, norn_pass_assign_precision);
    const norn_node *cast = t->graph->nodes, *one = cast->next, *two = one->next;
    assert_int_equal(t->graph->node_count, 3);
    for (const norn_node *node = one; node; node = node->next) {
        const norn_scalar_program *epilogue = &node->region->gemm.epilogue;
        for (uint32_t i = 0; i < epilogue->load_count; i++) {
            const uint32_t input = epilogue->loads[i].input;
            if (input == NORN_SCALAR_ACC) continue;
            assert_int_equal(epilogue->loads[i].dtype, norn_node_in(node, input)->dtype);
        }
    }
    assert_int_equal(one->out[0]->dtype, NORN_F16);
    assert_int_equal(two->out[0]->dtype, NORN_F32);
    test_end(t);
}

static void batch_normalisation_goes_into_the_weights(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 3));
    (void)state;
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(2, 3), 1, 1),
               *c = test_const(t, "c", NORN_F32, DIMS(2), 1, 1);
    norn_value *y = OP(t, Gemm, ATTR_INT("transB", 1), x, w, c);
    // scale {2, 3}, bias {1, 1}, mean {1, 2}, variance {4, 4}: s = {1, 1.5}, t = {0, -2}
    norn_attr epsilon = {.name = "epsilon", .kind = NORN_ATTR_FLOAT, .f32 = 0};
    test_output(t, OP(t, BatchNormalization, ((norn_attrs){&epsilon, 1}), y,
                      test_const(t, "s", NORN_F32, DIMS(2), 2, 1),
                      test_const(t, "b", NORN_F32, DIMS(2), 1, 0),
                      test_const(t, "m", NORN_F32, DIMS(2), 1, 1),
                      test_const(t, "v", NORN_F32, DIMS(2), 4, 0)));
    test_run(t, norn_pass_fold_batchnorm);
    assert_int_equal(t->graph->node_count, 1);
    const norn_node *gemm = test_find(t, NORN_OP_Gemm);
    const float *weights = gemm->in[1].value->data->data, *bias = gemm->in[2].value->data->data;
    const float expected[6] = {1, 2, 3, 6, 7.5f, 9};
    assert_memory_equal(weights, expected, sizeof expected);
    assert_true(bias[0] == 1.0f && bias[1] == 1.0f); // 1 * 1 + 0, 2 * 1.5 - 2
    test_end(t);
}

static void batch_normalisation_alone_is_scale_and_shift(void **state) {
    static const int dims[9] = {B, 2, 5, 3, 7, 2, 4, 6, END};
    (void)state;
    for (int rank = 2; rank <= NORN_MAX_RANK; rank++) {
        test_graph *t = test_begin();
        int cut[9];
        memcpy(cut, dims, sizeof cut);
        cut[rank] = END;
        norn_value *x = test_input(t, "x", NORN_F32, cut);
        norn_value *ones = test_const(t, "1", NORN_F32, DIMS(2), 1, 0);
        test_output(t, OP(t, BatchNormalization, NONE, x, ones, ones, ones, ones));
        test_run(t, norn_pass_fold_batchnorm);
        assert_int_equal(test_count(t, NORN_OP_BatchNormalization), 0);
        assert_int_equal(test_count(t, NORN_OP_Add), 1);
        const norn_value *factors[] = {test_find(t, NORN_OP_Mul)->in[1].value,
                                       test_find(t, NORN_OP_Add)->in[1].value};
        for (int i = 0; i < 2; i++) {
            assert_int_equal(factors[i]->data->rank, rank - 1);
            assert_int_equal(factors[i]->data->dims[0], 2);
            for (int d = 1; d < rank - 1; d++) assert_int_equal(factors[i]->data->dims[d], 1);
        }
        test_end(t);
    }
}

/// y = BatchNormalization(Gemm(x, W, c) or Conv(x, W, c)) with one thing as the form says; up to NORM_FOLDED it
/// goes into the weights, up to NORM_APART it is a Mul and an Add of its own, else it stays.
typedef enum norm_form {
    NORM_GEMM,
    NORM_GEMM_TURNED, // transB
    NORM_GEMM_BETA,   // beta 2, of a bias
    NORM_GEMM_PLAIN,  // no bias
    NORM_GEMM_ONE,    // a bias of one element
    NORM_CONV,
    NORM_CONV_PLAIN,
    NORM_FOLDED,
    NORM_READ_TWICE = NORM_FOLDED, // the product is read elsewhere too
    NORM_BIAS_INPUT,
    NORM_WEIGHT_INPUT,
    NORM_RELU_BETWEEN,
    NORM_APART,
    NORM_TRAINING = NORM_APART,
    NORM_SCALE_INPUT,
    NORM_MEAN_INPUT,
    NORM_FORMS,
} norm_form;

static void make_norm(test_graph *t, norm_form form) {
    const bool conv = form == NORM_CONV || form == NORM_CONV_PLAIN;
    norn_value *x = test_input(t, "x", NORN_F32, conv ? DIMS(B, 2, 5) : DIMS(B, 2)), *in[3] = {x},
               *y;
    in[1] = form == NORM_WEIGHT_INPUT  ? test_input(t, "w", NORN_F32, DIMS(2, 3))
            : conv                     ? test_const(t, "w", NORN_F32, DIMS(3, 2, 1), 1, 1)
            : form == NORM_GEMM_TURNED ? test_const(t, "w", NORN_F32, DIMS(3, 2), 1, 1)
                                       : test_const(t, "w", NORN_F32, DIMS(2, 3), 1, 1);
    in[2] = form == NORM_BIAS_INPUT ? test_input(t, "c", NORN_F32, DIMS(3))
            : form == NORM_GEMM_ONE ? test_const(t, "c", NORN_F32, DIMS(1), 3, 0)
                                    : test_const(t, "c", NORN_F32, DIMS(3), 1, 1);
    norn_attr attr = norn_attr_int_of("transB", form == NORM_GEMM_TURNED);
    if (form == NORM_GEMM_BETA)
        attr = (norn_attr){.name = "beta", .kind = NORN_ATTR_FLOAT, .f32 = 2};
    const uint32_t count = form == NORM_GEMM_PLAIN || form == NORM_CONV_PLAIN ? 2 : 3;
    const norn_node *before = test_node(t, conv ? NORN_OP_Conv : NORN_OP_Gemm,
                                        conv ? NONE : (norn_attrs){&attr, 1}, 1, in, count);
    y = before->out[0];
    if (form == NORM_READ_TWICE) test_output(t, OP(t, Abs, NONE, y));
    if (form == NORM_RELU_BETWEEN) y = OP(t, Relu, NONE, y);
    norn_attr more[2] = {{.name = "epsilon", .kind = NORN_ATTR_FLOAT, .f32 = 1},
                         norn_attr_int_of("training_mode", form == NORM_TRAINING)};
    norn_value *scale = form == NORM_SCALE_INPUT ? test_input(t, "s", NORN_F32, DIMS(3))
                                                 : test_const(t, "s", NORN_F32, DIMS(3), 2, 2);
    norn_value *mean = form == NORM_MEAN_INPUT ? test_input(t, "m", NORN_F32, DIMS(3))
                                               : test_const(t, "m", NORN_F32, DIMS(3), -1, 1);
    test_output(t, OP(t, BatchNormalization, ((norn_attrs){more, 2}), y, scale,
                      test_const(t, "b", NORN_F32, DIMS(3), 5, 1), mean,
                      test_const(t, "v", NORN_F32, DIMS(3), 3, 0)));
}

/// scale {2, 4, 6} / sqrt(3 + 1) = {1, 2, 3}, and {5, 6, 7} - {-1, 0, 1} * that = {6, 6, 4}.
static void batch_normalisation_goes_where_it_can_and_no_further(void **state) {
    (void)state;
    static const float s[3] = {1, 2, 3}, shift[3] = {6, 6, 4};
    for (int form = 0; form < NORM_FORMS; form++) {
        test_graph *t = test_begin();
        make_norm(t, (norm_form)form);
        test_run(t, norn_pass_fold_batchnorm);
        const bool stays = form >= NORM_APART, apart = form >= NORM_FOLDED && !stays;
        if ((int)test_count(t, NORN_OP_BatchNormalization) != stays ||
            (int)test_count(t, NORN_OP_Mul) != apart || (int)test_count(t, NORN_OP_Add) != apart)
            fail_msg("form %d", form);
        if (form < NORM_FOLDED) {
            const bool conv = form == NORM_CONV || form == NORM_CONV_PLAIN;
            const norn_node *node = test_find(t, conv ? NORN_OP_Conv : NORN_OP_Gemm);
            const float *w = node->in[1].value->data->data, *c = node->in[2].value->data->data;
            const bool rows = conv || form == NORM_GEMM_TURNED;
            assert_int_equal(t->graph->node_count, 1);
            for (int i = 0; i < 6; i++)
                assert_true(w[i] == (float)(i + 1) * s[rows ? i / 2 : i % 3]);
            for (int i = 0; i < 3; i++) {
                const float old = form == NORM_GEMM_PLAIN || form == NORM_CONV_PLAIN ? 0
                                  : form == NORM_GEMM_ONE                            ? 3
                                  : form == NORM_GEMM_BETA ? 2 * (float)(i + 1)
                                                           : (float)(i + 1);
                assert_true(c[i] == old * s[i] + shift[i]);
            }
            if (!conv) assert_true(norn_attr_f32(node->attrs, "beta", 1) == 1);
        } else if (apart) {
            const float *scale = test_find(t, NORN_OP_Mul)->in[1].value->data->data,
                        *add = test_find(t, NORN_OP_Add)->in[1].value->data->data;
            assert_memory_equal(scale, s, sizeof s);
            assert_memory_equal(add, shift, sizeof shift);
        }
        test_end(t);
    }
}

static void a_matrix_is_packed_once_in_panels_of_sixteen(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 2)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 2));
    (void)state;
    norn_value *w = test_const(t, "w", NORN_F32, DIMS(18, 2), 0, 1);
    test_output(t, OP(t, Gemm, ATTR_INT("transB", 1), x, w));
    test_output(t, OP(t, Gemm, ATTR_INT("transB", 1), y, w));
    test_run(t, norn_pass_gemm);
    test_run(t, norn_pass_pack_weights);
    assert_int_not_equal(test_find(t, NORN_OP_GemmRegion)->region->gemm.b_layout,
                         NORN_GEMM_PANELS); // not a CPU plan
    t->context.target = NULL;
    test_run(t, norn_pass_pack_weights);
    const norn_node *first = t->graph->nodes, *second = first->next;
    assert_int_equal(first->region->gemm.b_layout, NORN_GEMM_PANELS);
    assert_ptr_equal(first->in[1].value, second->in[1].value);
    const norn_view *packed = first->in[1].value->data;
    assert_int_equal(packed->dims[0], 2);
    assert_int_equal(packed->dims[1], 2);
    assert_int_equal(packed->dims[2], 16);
    const float *p = packed->data;
    for (int k = 0; k < 2; k++) {
        for (int n = 0; n < 32; n++) {
            float expected = n < 18 ? (float)(n * 2 + k) : 0;
            assert_true(p[(n / 16 * 2 + k) * 16 + n % 16] == expected);
        }
    }
    test_end(t);
}

static float weight_at(const norn_node *product, int row) {
    return ((const float *)product->in[1].value->data->data)[row];
}

/// [q, k, q - k, q * k] W as in DIN's attention; W is [4 * 2, 1] of 1, 2, ... 8.
static void a_product_of_a_concat_is_split_where_parts_go_away(void **state) {
    test_graph *t = test_begin();
    norn_value *query = test_input(t, "q", NORN_F32, DIMS(B, 1, 2)),
               *keys = test_input(t, "k", NORN_F32, DIMS(B, 5, 2));
    (void)state;
    norn_value *wide = OP(t, Expand, NONE, query, INTS(t, 1, 5, 1));
    norn_value *minus = OP(t, Sub, NONE, wide, keys), *times = OP(t, Mul, NONE, wide, keys);
    norn_value *all = OP(t, Concat, ATTR_INT("axis", -1), wide, keys, minus, times);
    test_output(t, OP(t, MatMul, NONE, all, test_const(t, "w", NORN_F32, DIMS(8, 1), 1, 1)));
    test_run(t, norn_pass_simplify);
    test_run(t, norn_pass_split_product);
    assert_int_equal(test_count(t, NORN_OP_Expand) + test_count(t, NORN_OP_Sub), 0);
    assert_int_equal(test_count(t, NORN_OP_MatMul), 2);
    const norn_node *concat = test_find(t, NORN_OP_Concat);
    assert_int_equal(concat->in_count, 2);
    assert_ptr_equal(concat->in[0].value, keys);
    const norn_node *add = test_find(t, NORN_OP_Add), *full = add->in[0].value->producer,
                    *small = add->in[1].value->producer;
    assert_ptr_equal(small->in[0].value, query);
    assert_int_equal(small->out[0]->shape.dims[1].constant, 1);
    assert_true(weight_at(small, 0) == 1 + 5 && weight_at(small, 1) == 2 + 6);
    assert_true(weight_at(full, 0) == 3 - 5 && weight_at(full, 1) == 4 - 6);
    assert_true(weight_at(full, 2) == 7 && weight_at(full, 3) == 8);
    test_end(t);
}

static void a_concat_of_independent_parts_is_not_split(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 2)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 2));
    (void)state;
    norn_value *sum = OP(t, Add, NONE, x, x); // not of other parts: y is one, x is none
    norn_value *all = OP(t, Concat, ATTR_INT("axis", 1), y, sum);
    test_output(t, OP(t, MatMul, NONE, all, test_const(t, "w", NORN_F32, DIMS(4, 1), 1, 1)));
    test_run(t, norn_pass_split_product);
    assert_int_equal(test_count(t, NORN_OP_MatMul), 1);
    assert_int_equal(test_count(t, NORN_OP_Concat), 1);
    test_end(t);
}

/// Its rows of the weights are as many as the part is wide, not as what it repeats.
static void a_part_that_repeats_along_a_row_is_not_split(void **state) {
    (void)state;
    for (int width = 1; width <= 2; width++) {
        test_graph *t = test_begin();
        norn_value *query = test_input(t, "q", NORN_F32, DIMS(B, 1, width)),
                   *keys = test_input(t, "k", NORN_F32, DIMS(B, 5, 2));
        norn_value *wide = OP(t, Expand, NONE, query, INTS(t, 1, 5, 2));
        norn_value *minus = OP(t, Sub, NONE, wide, keys);
        norn_value *all = OP(t, Concat, ATTR_INT("axis", -1), wide, keys, minus);
        test_output(t, OP(t, MatMul, NONE, all, test_const(t, "w", NORN_F32, DIMS(6, 1), 1, 1)));
        test_run(t, norn_pass_split_product);
        assert_int_equal(test_count(t, NORN_OP_MatMul), width);
        test_end(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_and_activation_go_into_the_epilogue),
        cmocka_unit_test(a_product_over_a_history_has_its_leading_dims_as_rows),
        cmocka_unit_test(a_cross_layer_is_one_region),
        cmocka_unit_test(swish_reads_the_product_twice_and_is_still_fused),
        cmocka_unit_test(a_product_that_is_an_output_is_not_hidden),
        cmocka_unit_test(what_has_two_ways_out_ends_the_chain),
        cmocka_unit_test(an_operand_that_repeats_over_steps_stays_outside),
        cmocka_unit_test(products_that_it_does_not_take_stay),
        cmocka_unit_test(every_floating_type_has_regions),
        cmocka_unit_test(a_half_gemm_rounds_once),
        cmocka_unit_test(precision_is_said_of_every_product),
        cmocka_unit_test(layers_become_products_of_halves),
        cmocka_unit_test(what_layers_multiply_is_written_as_halves),
        cmocka_unit_test(an_interaction_takes_the_type_of_its_parts),
        cmocka_unit_test(a_short_sum_writes_halves_where_they_are_read),
        cmocka_unit_test(a_cross_layer_of_halves_reads_what_it_multiplies),
        cmocka_unit_test(batch_normalisation_goes_into_the_weights),
        cmocka_unit_test(batch_normalisation_alone_is_scale_and_shift),
        cmocka_unit_test(batch_normalisation_goes_where_it_can_and_no_further),
        cmocka_unit_test(a_product_of_a_concat_is_split_where_parts_go_away),
        cmocka_unit_test(a_concat_of_independent_parts_is_not_split),
        cmocka_unit_test(a_part_that_repeats_along_a_row_is_not_split),
        cmocka_unit_test(a_matrix_is_packed_once_in_panels_of_sixteen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
