#include "testing/pass_graph.h"

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

/// One node on x [B, 1, 4] or a neighbour of it: gone, or still there. `x` is of an operator, so that outputs need no
/// node of their own; what it leaves must read `x`.
static void a_node_is_gone_where_it_changes_nothing_and_stays_where_it_might(void **state) {
    (void)state;
    static const struct {
        norn_op_id op;
        int form;
        bool gone;
    } cases[] = {
        {NORN_OP_Cast, NORN_F32, true},
        {NORN_OP_Cast, NORN_F64, false},
        {NORN_OP_Dropout, 0, true}, // training said to be off
        {NORN_OP_Dropout, 1, false},
        {NORN_OP_Dropout, 2, false}, // and an input says
        {NORN_OP_Mul, 1, true},
        {NORN_OP_Mul, 0, false},
        {NORN_OP_Mul, 2, false},
        {NORN_OP_Mul, 11, false}, // 1 of a higher rank
        {NORN_OP_Div, 1, true},
        {NORN_OP_Div, 2, false},
        {NORN_OP_Sub, 0, true},
        {NORN_OP_Sub, 1, false},
        {NORN_OP_Pow, 1, true},
        {NORN_OP_Pow, 0, false},
        {NORN_OP_Add, 0, false}, // -0 + 0 is +0
        {NORN_OP_Sum, 1, true},
        {NORN_OP_Sum, 2, false},
        {NORN_OP_Max, 1, true},
        {NORN_OP_Max, 2, false},
        {NORN_OP_Min, 1, true},
        {NORN_OP_Min, 2, false},
        {NORN_OP_Mean, 1, true},
        {NORN_OP_Mean, 2, false},
        {NORN_OP_Concat, 1, true},
        {NORN_OP_Concat, 2, false},
        {NORN_OP_Slice, 0, true},
        {NORN_OP_Slice, 1, false}, // of three elements
        {NORN_OP_Slice, 2, false}, // backwards
        {NORN_OP_Expand, 0, true},
        {NORN_OP_Expand, 1, false},
        {NORN_OP_Tile, 0, true},
        {NORN_OP_Tile, 1, false},
        {NORN_OP_Transpose, 0, true},
        {NORN_OP_Transpose, 1, false},
        {NORN_OP_ReduceSum, 0, true},
        {NORN_OP_ReduceSum, 1, false},
        {NORN_OP_ReduceSum, 2, false}, // one of the two axes is 1
        {NORN_OP_ReduceSum, 3, true},  // of no axes, which does nothing
        {NORN_OP_ReduceSum, 4, false}, // of no axes, which are all
        {NORN_OP_ReduceMax, 0, true},
        {NORN_OP_ReduceMax, 1, false},
        {NORN_OP_ReduceSumSquare, 0, false}, // of one element: its square
        {NORN_OP_ReduceL1, 0, false},
        {NORN_OP_ReduceLogSum, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_graph *t = test_begin();
        const norn_op_id op = cases[i].op;
        const int form = cases[i].form;
        norn_value *x = OP(t, Relu, NONE, test_input(t, "x", NORN_F32, DIMS(B, 1, 4)));
        norn_value *in[5] = {x, x};
        uint32_t count = 1;
        norn_attrs attrs = NONE;
        switch ((int)op) {
        case NORN_OP_Cast:
            attrs = test_keep(t, ATTR_INT("to", form)); // this block ends
            break;
        case NORN_OP_Dropout:
            in[1] = test_const(t, "ratio", NORN_F32, SCALAR, 0.5, 0);
            in[2] = form == 2 ? test_input(t, "training", NORN_BOOL, SCALAR)
                              : test_const(t, "training", NORN_BOOL, SCALAR, form, 0);
            count = 3;
            break;
        case NORN_OP_Mul:
        case NORN_OP_Div:
        case NORN_OP_Sub:
        case NORN_OP_Pow:
        case NORN_OP_Add:
            in[1] = form == 11 ? test_const(t, "c", NORN_F32, DIMS(1, 1, 1, 1), 1, 0)
                               : test_const(t, "c", NORN_F32, SCALAR, form, 0);
            count = 2;
            break;
        case NORN_OP_Concat:
            attrs = test_keep(t, ATTR_INT("axis", 2));
            count = (uint32_t)form;
            break;
        case NORN_OP_Sum:
        case NORN_OP_Max:
        case NORN_OP_Min:
        case NORN_OP_Mean:
            count = (uint32_t)form;
            break;
        case NORN_OP_Slice:
            in[1] = form == 2 ? INTS(t, -1) : INTS(t, 0);
            in[2] = form == 2 ? INTS(t, -9) : form == 1 ? INTS(t, 3) : INTS(t, 4);
            in[3] = INTS(t, 2), in[4] = form == 2 ? INTS(t, -1) : INTS(t, 1);
            count = 5;
            break;
        case NORN_OP_Expand:
            in[1] = form ? INTS(t, 3, 1) : INTS(t, 1, 4), count = 2;
            break;
        case NORN_OP_Tile:
            in[1] = form ? INTS(t, 1, 2, 1) : INTS(t, 1, 1, 1), count = 2;
            break;
        case NORN_OP_Transpose:
            attrs = test_keep(t, form ? ATTR_INTS("perm", 0, 2, 1) : ATTR_INTS("perm", 0, 1, 2));
            break;
        default: // a reduction
            if (form == 3) attrs = test_keep(t, ATTR_INT("noop_with_empty_axes", 1));
            in[1] = form == 0 ? INTS(t, 1) : form == 1 ? INTS(t, 2) : INTS(t, 1, 2);
            count = form >= 3 ? 1 : 2;
        }
        test_output(t, OP(t, Abs, NONE, test_node(t, op, attrs, 1, in, count)->out[0]));
        test_run(t, norn_pass_simplify);
        const bool moved = op == NORN_OP_Transpose && form == 1; // of ones alone: a Reshape
        if ((test_count(t, op) == 0) != (cases[i].gone || moved))
            fail_msg("case %zu: %s", i, norn_op_info_of(op)->name);
        const norn_value *read = test_find(t, NORN_OP_Abs)->in[0].value;
        if (cases[i].gone) assert_ptr_equal(read, x);
        if (moved) assert_true(norn_node_is(read->producer, NORN_OP_Reshape));
        test_end(t);
    }
}

/// Two nodes of the same operands: one where all that tells them apart is told.
static void two_nodes_are_one_where_nothing_tells_them_apart(void **state) {
    (void)state;
    enum {
        SAME,
        CONSTANTS_OF_ONE_VALUE,
        TAKEN,
        OTHER_INPUT = TAKEN,
        TURNED, // x - y, y - x
        OTHER_VALUE,
        OTHER_TYPE, // of a constant with the same bytes
        OTHER_RANK, // [4] and [1, 4]
        LARGE_CONSTANTS,
        OTHER_OPERATOR,
        OTHER_ATTRIBUTE,
        ATTRIBUTE_LEFT_OUT,
        RANDOM,
        FORMS
    };
    for (int form = 0; form < FORMS; form++) {
        test_graph *t = test_begin();
        norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)),
                   *y = test_input(t, "y", NORN_F32, DIMS(B, 4)), *a, *b;
        const int many = form == LARGE_CONSTANTS ? 300 : 4; // 1200 bytes
        norn_value *wide = test_input(t, "wide", NORN_F32, DIMS(B, many));
        norn_value *c = test_const(t, "c", NORN_F32, DIMS(many), 0, 1), *d;
        d = form == OTHER_RANK ? test_const(t, "d", NORN_F32, DIMS(1, 4), 0, 1)
                               : test_const(t, "d", NORN_F32, DIMS(many), form == OTHER_VALUE, 1);
        switch (form) {
        case CONSTANTS_OF_ONE_VALUE:
        case OTHER_VALUE:
        case OTHER_RANK:
        case LARGE_CONSTANTS:
            a = OP(t, Sub, NONE, wide, c), b = OP(t, Sub, NONE, wide, d);
            break;
        case OTHER_INPUT:
            a = OP(t, Sub, NONE, x, y), b = OP(t, Sub, NONE, x, x);
            break;
        case TURNED:
            a = OP(t, Sub, NONE, x, y), b = OP(t, Sub, NONE, y, x);
            break;
        case OTHER_TYPE: // 0 of both types
            a = OP(t, Cast, ATTR_INT("to", NORN_F64), test_const(t, "i", NORN_I32, DIMS(2), 0, 0));
            b = OP(t, Cast, ATTR_INT("to", NORN_F64), test_const(t, "f", NORN_F32, DIMS(2), 0, 0));
            break;
        case OTHER_OPERATOR:
            a = OP(t, Sub, NONE, x, y), b = OP(t, Div, NONE, x, y);
            break;
        case OTHER_ATTRIBUTE:
            a = OP(t, Softmax, ATTR_INT("axis", 1), x), b = OP(t, Softmax, ATTR_INT("axis", 0), x);
            break;
        case ATTRIBUTE_LEFT_OUT:
            a = OP(t, Softmax, ATTR_INT("axis", 0), x), b = OP(t, Softmax, NONE, x);
            break;
        case RANDOM:
            a = OP(t, RandomNormalLike, NONE, x), b = OP(t, RandomNormalLike, NONE, x);
            break;
        default:
            a = OP(t, Sub, NONE, x, y), b = OP(t, Sub, NONE, x, y);
        }
        test_output(t, OP(t, Abs, NONE, a));
        test_output(t, OP(t, Neg, NONE, b));
        test_run(t, norn_pass_cse);
        const bool one =
            test_find(t, NORN_OP_Abs)->in[0].value == test_find(t, NORN_OP_Neg)->in[0].value;
        if (one != (form < TAKEN)) fail_msg("form %d", form);
        assert_int_equal(t->graph->node_count, one ? 3 : 4);
        if (one) assert_int_equal(test_find(t, NORN_OP_Sub)->origin.count, 2);
        test_end(t);
    }
}

/// Attributes of every kind in memory of their own: equal ones do not keep two nodes apart, others do.
static void attributes_are_equal_by_value_in_every_kind(void **state) {
    (void)state;
    enum { KINDS = 6 };
    for (int form = 0; form < KINDS * 3; form++) {
        test_graph *t = test_begin();
        norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)), *out[2];
        const int kind = form / 3;
        const bool other = form % 3 == 1, named = form % 3 == 2; // another value, another name
        int64_t ints[2][2] = {{3, 4}, {3, 4 + other}};
        float floats[2][2] = {{3, 4}, {3, 4 + (float)other}};
        char text[2][3] = {"ab", "ab"};
        int64_t dims[1] = {2};
        text[1][1] = other ? 'c' : 'b';
        norn_view tensors[2];
        for (int i = 0; i < 2; i++) {
            tensors[i] = norn_view_of(NORN_F32, 1, dims, floats[i]);
            norn_attr attr = {.name = i && named ? "mine" : "your"};
            if (kind == 0) attr.kind = NORN_ATTR_INT, attr.i64 = ints[i][1];
            if (kind == 1) attr.kind = NORN_ATTR_FLOAT, attr.f32 = floats[i][1];
            if (kind == 2) attr.kind = NORN_ATTR_STRING, attr.string = (norn_string){text[i], 2};
            if (kind == 3) attr.kind = NORN_ATTR_INTS, attr.ints = ints[i], attr.count = 2;
            if (kind == 4) attr.kind = NORN_ATTR_FLOATS, attr.floats = floats[i], attr.count = 2;
            if (kind == 5) attr.kind = NORN_ATTR_TENSOR, attr.tensor = &tensors[i];
            out[i] = OP(t, Relu, ((norn_attrs){&attr, 1}), x);
        }
        test_output(t, OP(t, Abs, NONE, out[0]));
        test_output(t, OP(t, Neg, NONE, out[1]));
        test_run(t, norn_pass_cse);
        if ((int)test_count(t, NORN_OP_Relu) != (other || named ? 2 : 1)) fail_msg("form %d", form);
        test_end(t);
    }
}

/// More nodes than the first table of them has room for, each of them twice.
static void many_nodes_are_each_found_again(void **state) {
    (void)state;
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)), *once[100];
    for (int i = 0; i < 100; i++)
        once[i] = OP(t, Softmax, ATTR_INT("axis", i % 2), i < 2 ? x : once[i - 2]);
    for (int i = 0; i < 100; i++)
        test_output(
            t, OP(t, Abs, NONE, OP(t, Softmax, ATTR_INT("axis", i % 2), i < 2 ? x : once[i - 2])));
    test_run(t, norn_pass_cse);
    assert_int_equal(test_count(t, NORN_OP_Softmax), 100);
    assert_int_equal(test_count(t, NORN_OP_Abs), 100);
    test_end(t);
}

/// Runs of columns that lie beside each other become one; `first` and `end` of two slices, and what is left.
static void slices_are_joined_where_they_touch_and_only_there(void **state) {
    (void)state;
    static const struct {
        int a0, a1, b0, b1, step, axis, concats;
    } cases[] = {
        {0, 2, 2, 6, 1, 1, 0}, // all of x
        {0, 2, 2, 5, 1, 1, 0}, // one slice
        {0, 2, 3, 6, 1, 1, 1}, // a gap
        {0, 2, 1, 6, 1, 1, 1}, // an overlap
        {2, 6, 0, 2, 1, 1, 1}, // turned
        {0, 2, 0, 2, 1, 1, 1}, // twice the same
        {-6, -4, -4, 6, 1, 1, 0}, {-99, 2, 2, 99, 1, 1, 0},
        {0, 2, -4, -1, 1, -1, 0}, {0, 4, 4, 6, 2, 1, 1}, // every second
        {0, 2, 2, 6, 1, 2, 1}, // of another axis than they are put together along
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_graph *t = test_begin();
        norn_value *x = OP(t, Relu, NONE, test_input(t, "x", NORN_F32, DIMS(B, 6, 6)));
        norn_value *axis = INTS(t, cases[i].axis), *step = INTS(t, cases[i].step), *part[2];
        const int64_t axis_is = cases[i].axis == -1 ? -1 : 1;
        if (cases[i].axis == -1) x = OP(t, Abs, NONE, x);
        part[0] = OP(t, Slice, NONE, x, INTS(t, cases[i].a0), INTS(t, cases[i].a1), axis, step);
        part[1] = OP(t, Slice, NONE, x, INTS(t, cases[i].b0), INTS(t, cases[i].b1), axis, step);
        if (cases[i].axis == 2) // as wide as each other
            part[1] = OP(t, Slice, NONE, x, INTS(t, 2), INTS(t, 4), axis, step);
        norn_value *whole = OP(t, Concat, ATTR_INT("axis", axis_is), part[0], part[1]);
        const norn_shape shape = whole->shape;
        test_output(t, OP(t, Neg, NONE, whole));
        test_run(t, norn_pass_simplify_concat);
        if ((int)test_count(t, NORN_OP_Concat) != cases[i].concats) fail_msg("case %zu", i);
        const norn_value *read = test_find(t, NORN_OP_Neg)->in[0].value;
        assert_true(norn_shape_equal(&read->shape, &shape));
        if (!cases[i].concats && read != x) {
            const norn_node *slice = read->producer;
            assert_true(norn_node_is(slice, NORN_OP_Slice));
            assert_ptr_equal(slice->in[0].value, x);
        }
        test_end(t);
    }
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
        cmocka_unit_test(a_node_is_gone_where_it_changes_nothing_and_stays_where_it_might),
        cmocka_unit_test(two_nodes_are_one_where_nothing_tells_them_apart),
        cmocka_unit_test(attributes_are_equal_by_value_in_every_kind),
        cmocka_unit_test(many_nodes_are_each_found_again),
        cmocka_unit_test(slices_are_joined_where_they_touch_and_only_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
