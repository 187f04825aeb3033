/// recognise_dot, recognise_fm, and Concats: flatten_concat, place_concat.
#include "passes/parts.h"
#include "testing/pass_graph.h"

enum { FEATURES = 3, DIM = 4 };

static norn_value *features(test_graph *t, norn_value **dense, norn_value **a, norn_value **b) {
    *dense = OP(t, Relu, NONE, test_input(t, "dense", NORN_F32, DIMS(B, DIM)));
    *a = OP(t, Relu, NONE, test_input(t, "a", NORN_F32, DIMS(B, DIM)));
    *b = OP(t, Relu, NONE, test_input(t, "b", NORN_F32, DIMS(B, DIM)));
    return OP(t, Reshape, NONE, OP(t, Concat, ATTR_INT("axis", 1), *dense, *a, *b),
              INTS(t, -1, FEATURES, DIM));
}

static norn_value *products(test_graph *t, norn_value *x) {
    return OP(t, MatMul, NONE, x, OP(t, Transpose, ATTR_INTS("perm", 0, 2, 1), x));
}

static void run(test_graph *t) {
    test_run(t, norn_pass_simplify);
    test_run(t, norn_pass_cse);
    test_run(t, norn_pass_flatten_concat);
    test_run(t, norn_pass_recognise_dot);
    test_run(t, norn_pass_recognise_fm);
}

static void dots_of_pairs_beside_the_dense_vector_are_one_interaction(void **state) {
    test_graph *t = test_begin();
    norn_value *dense, *a, *b;
    (void)state;
    norn_value *z = products(t, features(t, &dense, &a, &b));
    norn_value *turned = OP(t, Transpose, ATTR_INTS("perm", 1, 2, 0), z);
    norn_value *flat = OP(t, Reshape, NONE, turned, INTS(t, FEATURES * FEATURES, -1));
    norn_value *picked = OP(t, Gather, NONE, flat, INTS(t, 3, 6, 7)); // (1,0) (2,0) (2,1)
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), dense,
                      OP(t, Transpose, ATTR_INTS("perm", 1, 0), picked)));
    run(t);
    const norn_node *node = test_find(t, NORN_OP_Interaction);
    const norn_interaction_region *r = &node->region->interaction;
    assert_int_equal(t->graph->node_count, 4); // and three Relus
    assert_int_equal(r->kind, NORN_INTERACTION_DOT);
    assert_int_equal(r->features, FEATURES);
    assert_int_equal(r->dim, DIM);
    assert_int_equal(r->part_count, 3);
    assert_int_equal(node->in_count, 3);
    assert_ptr_equal(node->in[0].value, dense);
    assert_ptr_equal(node->in[2].value, b);
    assert_int_equal(r->pass_input, 0);
    assert_int_equal(r->pass_through, DIM);
    assert_int_equal(r->pair_count, 3);
    assert_null(r->pair_order);
    assert_false(r->diagonal || r->upper);
    assert_int_equal(node->out[0]->shape.dims[1].constant, DIM + 3);
    assert_true(test_has_origin(node, "MatMul_6"));
    test_end(t);
}

static void indices_in_pairs_are_read_as_well(void **state) {
    test_graph *t = test_begin();
    norn_value *dense, *a, *b;
    (void)state;
    norn_value *z = products(t, features(t, &dense, &a, &b));
    norn_value *turned = OP(t, Transpose, ATTR_INTS("perm", 1, 2, 0), z);
    norn_value *pairs = INTS(t, 0, 0, 0, 1, 0, 2, 1, 1, 1, -1, 2, 2); // upper with the diagonal
    int64_t dims[2] = {6, 2};
    norn_view view = norn_view_of(NORN_I64, 2, dims, pairs->data->data);
    CHECK(norn_graph_constant(t->graph, "pairs", &view, &pairs));
    norn_value *picked = OP(t, GatherND, NONE, turned, pairs);
    test_output(t, OP(t, Transpose, ATTR_INTS("perm", 1, 0), picked));
    run(t);
    const norn_interaction_region *r = &test_find(t, NORN_OP_Interaction)->region->interaction;
    assert_true(r->diagonal && r->upper);
    assert_int_equal(r->pair_count, 6);
    assert_int_equal(r->pass_input, NORN_NO_INPUT);
    assert_null(r->pair_order);
    test_end(t);
}

static void another_order_of_pairs_is_written_down(void **state) {
    test_graph *t = test_begin();
    norn_value *dense, *a, *b;
    (void)state;
    norn_value *z = products(t, features(t, &dense, &a, &b));
    norn_value *flat = OP(t, Reshape, NONE, z, INTS(t, -1, FEATURES * FEATURES));
    test_output(t, OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 7, 0)));
    run(t);
    const norn_interaction_region *r = &test_find(t, NORN_OP_Interaction)->region->interaction;
    const int32_t expected[4] = {2, 1, 0, 0};
    assert_int_equal(r->pair_count, 2);
    assert_non_null(r->pair_order);
    assert_memory_equal(r->pair_order, expected, sizeof expected);
    test_end(t);
}

static void products_that_are_read_whole_stay(void **state) {
    test_graph *t = test_begin();
    norn_value *dense, *a, *b;
    (void)state;
    norn_value *z = products(t, features(t, &dense, &a, &b));
    norn_value *flat = OP(t, Reshape, NONE, z, INTS(t, -1, FEATURES * FEATURES));
    test_output(t, OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 7, 0)));
    test_output(t, OP(t, Softmax, NONE, z));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_Interaction), 0);
    assert_int_equal(test_count(t, NORN_OP_MatMul), 1);
    test_end(t);
}

/// The dots of pairs beside a dense vector, with one thing as `form` says. DOT_RIGHT to DOT_FORMS_JOINED
/// are one interaction with the dense vector, up to DOT_FORMS_TAKEN one without, the others none.
typedef enum dot_form {
    DOT_RIGHT,
    DOT_DENSE_IS_THE_LAST_PART,
    DOT_DENSE_IS_NO_PART,
    DOT_NEGATIVE_AXES,
    DOT_NEGATIVE_PAIRS, // flat indices from the end
    DOT_FORMS_JOINED,
    DOT_ALONE = DOT_FORMS_JOINED, // no Concat
    DOT_DENSE_AFTER,              // Concat(picked, dense)
    DOT_THREE_JOINED,             // Concat(dense, picked, other)
    DOT_JOINED_ROWS,              // Concat along the batch
    DOT_DENSE_IS_CONSTANT,
    DOT_PICKED_TWICE, // the pairs are read elsewhere too
    DOT_FORMS_TAKEN,
    DOT_OF_TWO = DOT_FORMS_TAKEN, // X * Y^T
    DOT_NOT_TURNED,               // X * X of square X
    DOT_BATCH_TURNED,             // X^T of another permutation
    DOT_GATHER_OF_3,              // Gather of [B, F, F] along axis 1
    DOT_GATHER_ROWS,              // Gather of [B, F * F] along axis 0
    DOT_TABLE_OF_PAIRS,           // [B, 2, 2] picked
    DOT_PAIRS_UNKNOWN,            // an input says which
    DOT_FLAT_READ_TWICE,
    DOT_OTHER_FLAT, // [B * F, F] instead of [B, F * F]
    DOT_NO_PAIRS,
    DOT_DOUBLE,
    DOT_FORMS,
} dot_form;

static void make_dot(test_graph *t, dot_form form, norn_value **dense_out) {
    const int n = form == DOT_NOT_TURNED ? DIM : FEATURES;
    const norn_dtype type = form == DOT_DOUBLE ? NORN_F64 : NORN_F32;
    norn_value *in[DIM];
    for (int i = 0; i < n; i++)
        in[i] = OP(t, Relu, NONE,
                   test_input(t, (const char *[]){"a", "b", "c", "d"}[i], type, DIMS(B, DIM)));
    norn_value *rows =
        test_node(t, NORN_OP_Concat, ATTR_INT("axis", 1), 1, in, (uint32_t)n)->out[0];
    norn_value *x = OP(t, Reshape, NONE, rows, INTS(t, -1, n, DIM));
    norn_value *right = form == DOT_OF_TWO ? OP(t, Tanh, NONE, x) : x;
    if (form == DOT_BATCH_TURNED)
        right = test_input(t, "e", type, DIMS(DIM, B, FEATURES)),
        right = OP(t, Transpose, ATTR_INTS("perm", 1, 0, 2), right);
    else if (form != DOT_NOT_TURNED)
        right = OP(t, Transpose, ATTR_INTS("perm", 0, 2, 1), right);
    norn_value *z = OP(t, MatMul, NONE, x, right), *picked;
    norn_value *pairs =
        form == DOT_NEGATIVE_PAIRS ? INTS(t, 3 - n * n, 6 - n * n, 7 - n * n) : INTS(t, 3, 6, 7);
    if (form == DOT_PAIRS_UNKNOWN) pairs = test_input(t, "pairs", NORN_I64, DIMS(3));
    if (form == DOT_NO_PAIRS) pairs = test_const(t, "none", NORN_I64, DIMS(0), 0, 0);
    if (form == DOT_TABLE_OF_PAIRS) pairs = test_const(t, "pairs", NORN_I64, DIMS(2, 2), 3, 1);
    if (form == DOT_GATHER_OF_3) pairs = INTS(t, 0, 1, 2);
    norn_value *flat = form == DOT_OTHER_FLAT ? OP(t, Reshape, NONE, z, INTS(t, -1, n))
                                              : OP(t, Reshape, NONE, z, INTS(t, -1, n * n));
    if (form == DOT_OTHER_FLAT) pairs = INTS(t, 0, 1, 2);
    const int axis = form == DOT_NEGATIVE_AXES ? -1 : form == DOT_GATHER_ROWS ? 0 : 1;
    picked = OP(t, Gather, ATTR_INT("axis", axis), form == DOT_GATHER_OF_3 ? z : flat, pairs);
    if (form == DOT_FLAT_READ_TWICE) test_output(t, OP(t, Tanh, NONE, flat));
    if (form == DOT_PICKED_TWICE) test_output(t, OP(t, Tanh, NONE, picked));
    norn_value *dense = in[form == DOT_DENSE_IS_THE_LAST_PART ? n - 1 : 0];
    if (form == DOT_DENSE_IS_NO_PART)
        dense = OP(t, Tanh, NONE, test_input(t, "wide", NORN_F32, DIMS(B, 7)));
    *dense_out = dense;
    norn_value *other = test_input(t, "other", NORN_F32, DIMS(B, 2));
    norn_value *same = OP(t, Relu, NONE, test_input(t, "same", NORN_F32, DIMS(B, 3)));
    norn_attrs along = ATTR_INT("axis", form == DOT_NEGATIVE_AXES ? -1 : 1);
    if (picked->shape.rank != 2 || form == DOT_ALONE || form == DOT_GATHER_ROWS ||
        form == DOT_OTHER_FLAT || form == DOT_DOUBLE)
        test_output(t, picked);
    else if (form == DOT_DENSE_AFTER)
        test_output(t, OP(t, Concat, along, picked, dense));
    else if (form == DOT_THREE_JOINED)
        test_output(t, OP(t, Concat, along, dense, picked, other));
    else if (form == DOT_JOINED_ROWS)
        test_output(t, OP(t, Concat, ATTR_INT("axis", 0), same, picked));
    else if (form == DOT_DENSE_IS_CONSTANT)
        test_output(t, OP(t, Concat, ATTR_INT("axis", 0),
                          test_const(t, "rows", NORN_F32, DIMS(1, 3), 1, 1), picked));
    else
        test_output(t, OP(t, Concat, along, dense, picked));
}

static void dots_are_known_in_every_spelling_and_nothing_like_them(void **state) {
    (void)state;
    for (int form = 0; form < DOT_FORMS; form++) {
        test_graph *t = test_begin();
        norn_value *dense;
        make_dot(t, (dot_form)form, &dense);
        run(t);
        const int found = (int)test_count(t, NORN_OP_Interaction), want = form < DOT_FORMS_TAKEN;
        if (found != want) fail_msg("form %d: %d interactions, want %d", form, found, want);
        assert_int_equal(test_count(t, NORN_OP_MatMul), !want);
        if (found) {
            const norn_node *node = test_find(t, NORN_OP_Interaction);
            const norn_interaction_region *r = &node->region->interaction;
            const bool joined = form < DOT_FORMS_JOINED;
            assert_int_equal(r->part_count, FEATURES);
            assert_int_equal(r->features, FEATURES);
            assert_int_equal(r->dim, DIM);
            assert_int_equal(r->pair_count, 3);
            assert_false(r->upper || r->diagonal || r->pair_order);
            if (joined != (r->pass_input != NORN_NO_INPUT)) fail_msg("form %d", form);
            const int64_t width = joined ? dense->shape.dims[1].constant : 0;
            assert_int_equal(r->pass_through, width);
            assert_int_equal(node->out[0]->shape.dims[1].constant, width + 3);
            assert_int_equal(node->in_count, FEATURES + (form == DOT_DENSE_IS_NO_PART));
            if (joined) assert_ptr_equal(node->in[r->pass_input].value, dense);
        }
        test_end(t);
    }
}

/// The four triangles need no list; a pair too few, too many or out of its place does.
static void triangles_of_pairs_are_known_by_their_form(void **state) {
    (void)state;
    static const struct {
        int64_t pairs[9];
        int count;
        bool upper, diagonal, listed;
    } cases[] = {
        {{3, 6, 7}, 3, false, false, false}, {{0, 3, 4, 6, 7, 8}, 6, false, true, false},
        {{1, 2, 5}, 3, true, false, false},  {{0, 1, 2, 4, 5, 8}, 6, true, true, false},
        {{3, 6}, 2, false, false, true},     {{3, 6, 7, 8}, 4, false, false, true},
        {{3, 7, 6}, 3, false, false, true},  {{0, 3, 4, 6, 7}, 5, false, false, true},
        {{1, 5, 2}, 3, false, false, true},  {{0, 1, 2, 3, 4, 5, 6, 7, 8}, 9, false, false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_graph *t = test_begin();
        norn_value *dense, *a, *b;
        norn_value *z = products(t, features(t, &dense, &a, &b));
        norn_value *flat = OP(t, Reshape, NONE, z, INTS(t, -1, FEATURES * FEATURES));
        test_output(t, OP(t, Gather, ATTR_INT("axis", 1), flat,
                          test_ints(t, cases[i].count, cases[i].pairs)));
        run(t);
        const norn_interaction_region *r = &test_find(t, NORN_OP_Interaction)->region->interaction;
        assert_int_equal(r->pair_count, cases[i].count);
        if (r->upper != cases[i].upper || r->diagonal != cases[i].diagonal ||
            (r->pair_order != NULL) != cases[i].listed)
            fail_msg("case %zu: upper %d, diagonal %d", i, r->upper, r->diagonal);
        for (int p = 0; cases[i].listed && p < cases[i].count; p++) {
            assert_int_equal(r->pair_order[2 * p], cases[i].pairs[p] / FEATURES);
            assert_int_equal(r->pair_order[2 * p + 1], cases[i].pairs[p] % FEATURES);
        }
        test_end(t);
    }
}

/// A pass makes what the target has a kernel for: the test's has none wider than float32.
static void the_target_says_in_which_types_an_interaction_is_made(void **state) {
    static const norn_dtype types[] = {NORN_F16, NORN_BF16, NORN_F32, NORN_F64};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        test_graph *t = test_begin();
        const norn_shape shape = test_shape(t, (int[]){B, 3, 4, END});
        norn_region region = {
            .interaction = {.kind = NORN_INTERACTION_FM, .features = 3, .dim = 4}};
        const norn_value *x = test_input(t, "x", types[i], DIMS(B, 3, 4));
        assert_int_equal(norn_parts_have_kernel(&t->context, x, &region, &shape),
                         types[i] != NORN_F64);
        test_end(t);
    }
}

/// Features are floating [B, F, D], computed, of F and D that are known and not 0.
static void what_has_no_known_features_has_no_parts(void **state) {
    (void)state;
    test_graph *t = test_begin();
    norn_value *ragged = test_input(t, "ragged", NORN_F32, DIMS(B, 3, T)),
               *one = test_input(t, "one", NORN_F32, DIMS(B, 3, 4));
    norn_value *const values[] = {one, // the one that has
                                  test_input(t, "f", NORN_F32, DIMS(B, T, 4)),
                                  test_input(t, "d", NORN_F32, DIMS(B, 3, T)),
                                  test_input(t, "none", NORN_F32, DIMS(B, 0, 4)),
                                  test_input(t, "thin", NORN_F32, DIMS(B, 3, 0)),
                                  test_input(t, "flat", NORN_F32, DIMS(B, 12)),
                                  test_input(t, "deep", NORN_F32, DIMS(B, 3, 4, 5)),
                                  test_input(t, "whole", NORN_I64, DIMS(B, 3, 4)),
                                  OP(t, Concat, ATTR_INT("axis", 2), ragged, one), // T + 4
                                  test_const(t, "still", NORN_F32, DIMS(2, 3, 4), 0, 1)};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        norn_parts parts;
        bool found;
        CHECK(norn_parts_of(t->graph, values[i], &parts, &found));
        if (found != (i == 0)) fail_msg("value %zu", i);
        if (!found) continue;
        assert_true(parts.features == 3 && parts.dim == 4 && parts.count == 1);
        assert_ptr_equal(parts.at[0], values[i]);
    }
    test_end(t);
}

/// What a Concat of features reads are parts where each holds whole features, as [B, f * D] or [B, f, D].
static void parts_are_whole_features_or_else_one(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++) {
        test_graph *t = test_begin();
        norn_value *a, *b, *below;
        if (form < 2) { // [B, 2, D] under [B, 2 * D]
            below = OP(t, Relu, NONE,
                       test_input(t, "a", NORN_F32, DIMS(B, form ? 4 : 2, form ? 2 : DIM)));
            a = OP(t, Reshape, NONE, below, INTS(t, -1, 2 * DIM));
            b = OP(t, Relu, NONE, test_input(t, "b", NORN_F32, DIMS(B, DIM)));
        } else { // a feature and a half each, or a constant beside one
            below = a = OP(t, Relu, NONE, test_input(t, "a", NORN_F32, DIMS(B, form == 2 ? 6 : 8)));
            b = OP(t, Relu, NONE, test_input(t, "b", NORN_F32, DIMS(B, form == 2 ? 6 : 4)));
        }
        norn_value *x = OP(t, Reshape, NONE, OP(t, Concat, ATTR_INT("axis", 1), a, b),
                           INTS(t, -1, FEATURES, DIM));
        norn_value *flat = OP(t, Reshape, NONE, products(t, x), INTS(t, -1, FEATURES * FEATURES));
        test_output(t, OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 3, 6, 7)));
        run(t);
        const norn_node *node = test_find(t, NORN_OP_Interaction);
        const norn_value *first = node->in[0].value;
        if ((int)node->in_count != (form == 2 ? 1 : 2)) fail_msg("form %d", form);
        assert_int_equal(node->region->interaction.part_count, node->in_count);
        if (form == 0 || form == 3) assert_ptr_equal(first, below);
        if (form == 1)
            assert_int_equal(first->shape.dims[1].constant, 2 * DIM); // rows of another width
        if (form == 2) assert_true(norn_node_is(first->producer, NORN_OP_Concat));
        test_end(t);
    }
}

/// X * X of square features is no product of X with its transpose.
static void a_transpose_that_leaves_everything_in_place_is_no_product_with_itself(void **state) {
    (void)state;
    for (int form = 0; form < 2; form++) {
        test_graph *t = test_begin();
        norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, DIM, DIM));
        norn_value *turned = OP(t, Transpose, ATTR_INTS("perm", 0, 2, 1), x);
        norn_value *flat =
            OP(t, Reshape, NONE, OP(t, MatMul, NONE, x, turned), INTS(t, -1, DIM * DIM));
        test_output(t, OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 7, 0)));
        test_run(t, norn_pass_simplify); // which would take such a Transpose away
        const norn_attr still = ATTR_INTS("perm", 0, 1, 2).at[0];
        if (form == 0) CHECK(norn_node_set_attr(t->graph, test_find(t, NORN_OP_Transpose), &still));
        test_run(t, norn_pass_recognise_dot);
        assert_int_equal(test_count(t, NORN_OP_Interaction), form);
        test_end(t);
    }
}

/// Indices [P, n] of a GatherND in [F, F, B] pick [P, B] for n = 2 alone.
static void pairs_of_a_gather_nd_are_two_indices_each(void **state) {
    (void)state;
    for (int form = 0; form < 7; form++) {
        test_graph *t = test_begin();
        norn_value *dense, *a, *b, *picked;
        norn_value *z = products(t, features(t, &dense, &a, &b));
        norn_value *pairs =
            form == 1   ? test_const(t, "p", NORN_I64, DIMS(1, 2, 2), 0, 0)
            : form == 2 ? test_const(t, "p", NORN_I64, DIMS(2, 1), 0, 1)
            : form == 3 ? test_const(t, "p", NORN_I64, DIMS(2), 0, 1)
            : form == 6 ? test_const(t, "p", NORN_I64, DIMS(2, 2, 3), 0, 0) // elements, not rows
            : form == 4 ? test_const(t, "p", NORN_I64, DIMS(3, 2), 0, 0)
                        : test_const(t, "p", NORN_I64, DIMS(2, 2), -1, 1);
        if (form == 5) // the batch is picked from
            picked = OP(t, GatherND, NONE, z, pairs);
        else
            picked = OP(t, GatherND, form == 4 ? ATTR_INT("batch_dims", 1) : NONE,
                        OP(t, Transpose, ATTR_INTS("perm", 1, 2, 0), z), pairs);
        if (picked->shape.rank == 2) picked = OP(t, Transpose, ATTR_INTS("perm", 1, 0), picked);
        test_output(t, picked);
        run(t);
        if ((int)test_count(t, NORN_OP_Interaction) != (form == 0)) fail_msg("form %d", form);
        if (form == 0) { // -1, 0, 1, 2: counted from the end and from the begin
            const int32_t *order =
                test_find(t, NORN_OP_Interaction)->region->interaction.pair_order;
            const int32_t want[4] = {2, 0, 1, 2};
            assert_memory_equal(order, want, sizeof want);
        }
        test_end(t);
    }
}

/// Indices out of range stay where they are, for the kernel to name.
static void pairs_out_of_range_are_left_to_the_run(void **state) {
    (void)state;
    static const int64_t bad[] = {9, 10, -10, -11, 1000, -1000}, good[] = {8, -9, 0, -1};
    for (size_t i = 0; i < 10; i++) {
        test_graph *t = test_begin();
        norn_value *dense, *a, *b;
        norn_value *z = products(t, features(t, &dense, &a, &b));
        norn_value *flat = OP(t, Reshape, NONE, z, INTS(t, -1, FEATURES * FEATURES));
        const int64_t which = i < 6 ? bad[i] : good[i - 6];
        test_output(t, OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 1, which)));
        run(t);
        if ((int)test_count(t, NORN_OP_Interaction) != (i >= 6)) fail_msg("%d", (int)which);
        test_end(t);
    }
}

static norn_value *square(test_graph *t, norn_value *x) {
    return OP(t, Pow, NONE, x, test_const(t, "2", NORN_F32, SCALAR, 2, 0));
}

static void the_second_order_term_is_an_interaction(void **state) {
    test_graph *t = test_begin();
    norn_value *dense, *a, *b;
    (void)state;
    norn_value *x = features(t, &dense, &a, &b);
    norn_attrs flat = ATTR_INT("keepdims", 0);
    norn_value *of_sum = square(t, OP(t, ReduceSum, flat, x, INTS(t, 1)));
    norn_value *sum_of = OP(t, ReduceSum, flat, OP(t, Mul, NONE, x, x), INTS(t, 1));
    norn_value *pairs = OP(t, ReduceSum, NONE, OP(t, Sub, NONE, of_sum, sum_of), INTS(t, 1));
    test_output(t, OP(t, Mul, NONE, test_const(t, "half", NORN_F32, SCALAR, 0.5, 0), pairs));
    run(t);
    const norn_node *node = test_find(t, NORN_OP_Interaction);
    assert_int_equal(node->region->interaction.kind, NORN_INTERACTION_FM);
    assert_int_equal(node->in_count, 3);
    assert_int_equal(node->out[0]->shape.rank, 2);
    assert_int_equal(node->out[0]->shape.dims[1].constant, DIM);
    assert_int_equal(test_count(t, NORN_OP_ReduceSum), 1);
    assert_int_equal(
        test_count(t, NORN_OP_Mul) + test_count(t, NORN_OP_Sub) + test_count(t, NORN_OP_Pow), 0);
    assert_ptr_equal(test_find(t, NORN_OP_ReduceSum)->in[0].value, node->out[0]);
    test_end(t);
}

/// The term with one thing as `wrong` says; FM_RIGHT to FM_KEPT are other spellings of it.
typedef enum fm_form {
    FM_RIGHT,
    FM_SQUARE_IS_PRODUCT, // sum * sum
    FM_DIV_BY_2,
    FM_MUL_FIRST, // 0.5 on the left
    FM_KEPT,      // keepdims: the shapes still agree
    FM_SPELLINGS,
    FM_CUBE = FM_SPELLINGS, // sum^3
    FM_PRODUCT_OF_TWO,      // x * y for x * x
    FM_OTHER_SUM,           // the sum of another tensor, squared
    FM_AXIS_2,
    FM_AXES_BOTH,
    FM_MAX,    // ReduceMax for ReduceSum
    FM_TURNED, // sum(x^2) - sum(x)^2
    FM_BY_3,   // a third, not a half
    FM_2_OVER, // 2 / term
    FM_READ_TWICE,
    FM_FORMS,
} fm_form;

static void make_fm(test_graph *t, fm_form form) {
    norn_value *dense, *a, *b, *other;
    norn_value *x = features(t, &dense, &a, &b), *half;
    norn_value *y = OP(t, Relu, NONE, test_input(t, "y", NORN_F32, DIMS(B, FEATURES, DIM)));
    norn_attrs flat = ATTR_INT("keepdims", form == FM_KEPT || form == FM_AXES_BOTH);
    norn_value *axes = form == FM_AXIS_2      ? INTS(t, 2)
                       : form == FM_AXES_BOTH ? INTS(t, 1, 2)
                                              : INTS(t, 1);
    norn_value *summed = form == FM_OTHER_SUM ? y : x;
    norn_value *sum = form == FM_MAX ? OP(t, ReduceMax, flat, summed, axes)
                                     : OP(t, ReduceSum, flat, summed, axes);
    norn_value *power = test_const(t, "power", NORN_F32, SCALAR, form == FM_CUBE ? 3 : 2, 0);
    norn_value *left =
        form == FM_SQUARE_IS_PRODUCT ? OP(t, Mul, NONE, sum, sum) : OP(t, Pow, NONE, sum, power);
    other = form == FM_PRODUCT_OF_TWO ? y : x;
    norn_value *right = OP(t, ReduceSum, flat, OP(t, Mul, NONE, x, other), axes);
    norn_value *term =
        form == FM_TURNED ? OP(t, Sub, NONE, right, left) : OP(t, Sub, NONE, left, right);
    half = test_const(t, "half", NORN_F32, SCALAR,
                      form == FM_DIV_BY_2 || form == FM_2_OVER ? 2
                      : form == FM_BY_3                        ? 1.0 / 3
                                                               : 0.5,
                      0);
    norn_value *out = form == FM_DIV_BY_2    ? OP(t, Div, NONE, term, half)
                      : form == FM_2_OVER    ? OP(t, Div, NONE, half, term)
                      : form == FM_MUL_FIRST ? OP(t, Mul, NONE, half, term)
                                             : OP(t, Mul, NONE, term, half);
    test_output(t, out);
    test_output(t, y);
    if (form == FM_READ_TWICE) test_output(t, OP(t, Relu, NONE, term));
}

static void the_second_order_term_is_known_in_every_spelling_and_nothing_like_it(void **state) {
    (void)state;
    for (int form = 0; form < FM_FORMS; form++) {
        test_graph *t = test_begin();
        make_fm(t, (fm_form)form);
        run(t);
        int want = form < FM_SPELLINGS, found = (int)test_count(t, NORN_OP_Interaction);
        if (found != want) fail_msg("form %d: %d interactions, want %d", form, found, want);
        test_end(t);
    }
}

static void a_term_that_is_not_halved_is_not_taken(void **state) {
    test_graph *t = test_begin();
    norn_value *dense, *a, *b;
    (void)state;
    norn_value *x = features(t, &dense, &a, &b);
    norn_attrs flat = ATTR_INT("keepdims", 0);
    norn_value *of_sum = square(t, OP(t, ReduceSum, flat, x, INTS(t, 1)));
    norn_value *sum_of = OP(t, ReduceSum, flat, square(t, x), INTS(t, 1));
    test_output(t, OP(t, Sub, NONE, of_sum, sum_of));
    run(t);
    assert_int_equal(test_count(t, NORN_OP_Interaction), 0);
    test_end(t);
}

/// Two features of lookups, and at place `dense_at` the dense one, which keeps them apart at 1.
static void look_up_features(int dense_at) {
    test_graph *t = test_begin();
    const bool apart = dense_at == 1;
    norn_value *dense = OP(t, Relu, NONE, test_input(t, "dense", NORN_F32, DIMS(B, DIM)));
    norn_value *ids = test_input(t, "ids", NORN_I64, DIMS(B, 2)), *in[3];
    for (int i = 0, at = 0; i < 3; i++) {
        if (i == dense_at) {
            in[i] = OP(t, Unsqueeze, NONE, dense, INTS(t, 1));
            continue;
        }
        norn_value *key =
            OP(t, Gather, ATTR_INT("axis", 1), ids, test_const(t, "at", NORN_I64, SCALAR, at++, 0));
        in[i] = OP(t, Gather, NONE, test_const(t, "rows", NORN_F32, DIMS(9, DIM), 0, at), key);
        in[i] = OP(t, Unsqueeze, NONE, in[i], INTS(t, 1));
    }
    norn_value *z = products(t, OP(t, Concat, ATTR_INT("axis", 1), in[0], in[1], in[2]));
    norn_value *flat = OP(t, Reshape, NONE, z, INTS(t, -1, 9));
    norn_value *picked = OP(t, Gather, ATTR_INT("axis", 1), flat, INTS(t, 3, 6, 7));
    test_output(t, OP(t, Concat, ATTR_INT("axis", 1), dense, picked));
    run(t);
    test_run(t, norn_pass_recognise_lookup);
    const norn_node *node = test_find(t, NORN_OP_Interaction),
                    *lookup = test_find(t, NORN_OP_Lookup);
    assert_int_equal(t->graph->node_count, 3);
    assert_int_equal(node->in_count, apart ? 3 : 2);
    assert_int_equal(node->region->interaction.part_count, node->in_count);
    assert_int_equal(node->region->interaction.features, 3);
    assert_int_equal(node->region->interaction.pass_input, dense_at > 0);
    assert_ptr_equal(node->in[dense_at == 0].value, lookup->out[0]);
    assert_int_equal(lookup->out[0]->shape.dims[1].constant, apart ? DIM : 2 * DIM);
    test_end(t);
}

static void looked_up_features_are_one_part(void **state) {
    (void)state;
    for (int dense_at = 0; dense_at < 3; dense_at++) look_up_features(dense_at);
}

static void what_regions_write_for_a_concat_alone_is_placed(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)),
               *y = test_input(t, "y", NORN_F32, DIMS(B, 4));
    (void)state;
    norn_value *a = OP(t, Relu, NONE, x), *b = OP(t, Softmax, NONE, x), *c = OP(t, Tanh, NONE, y);
    test_output(t, c);
    test_output(t, OP(t, Concat, ATTR_INT("axis", -1), a, b, c, y));
    test_run(t, norn_pass_fuse_pointwise);
    test_run(t, norn_pass_place_concat);
    const norn_node *concat = test_find(t, NORN_OP_Concat);
    const int64_t *placed;
    assert_int_equal(norn_attr_i64(concat->attrs, "norn_place", 0), 1);
    assert_int_equal(norn_attr_ints(concat->attrs, "norn_placed", &placed), 4);
    assert_true(placed[0] == 1 && placed[1] == 0 && placed[2] == 0 && placed[3] == 0);
    test_end(t);
}

static void stacked_experts_are_columns_that_products_write(void **state) {
    test_graph *t = test_begin();
    norn_value *x = test_input(t, "x", NORN_F32, DIMS(B, 4)), *in[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        norn_value *w = test_const(t, "w", NORN_F32, DIMS(4, 8), i, 1);
        in[i] = OP(t, Unsqueeze, NONE, OP(t, Relu, NONE, OP(t, MatMul, NONE, x, w)), INTS(t, 1));
    }
    norn_value *stacked = OP(t, Concat, ATTR_INT("axis", 1), in[0], in[1], in[2]);
    test_output(t, OP(t, ReduceSum, NONE, stacked, INTS(t, 1)));
    CHECK(norn_passes_run(&t->context, t->graph));
    const norn_node *concat = test_find(t, NORN_OP_Concat);
    const int64_t *placed;
    assert_int_equal(concat->out[0]->shape.rank, 2);
    assert_int_equal(concat->out[0]->shape.dims[1].constant, 24);
    assert_int_equal(norn_attr_ints(concat->attrs, "norn_placed", &placed), 3);
    assert_true(placed[0] == 1 && placed[1] == 1 && placed[2] == 1);
    assert_int_equal(test_count(t, NORN_OP_GemmRegion), 3);
    assert_int_equal(t->graph->node_count, 6); // three products, Concat, Reshape, RowReduce
    test_end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_of_pairs_beside_the_dense_vector_are_one_interaction),
        cmocka_unit_test(indices_in_pairs_are_read_as_well),
        cmocka_unit_test(another_order_of_pairs_is_written_down),
        cmocka_unit_test(products_that_are_read_whole_stay),
        cmocka_unit_test(dots_are_known_in_every_spelling_and_nothing_like_them),
        cmocka_unit_test(triangles_of_pairs_are_known_by_their_form),
        cmocka_unit_test(what_has_no_known_features_has_no_parts),
        cmocka_unit_test(the_target_says_in_which_types_an_interaction_is_made),
        cmocka_unit_test(parts_are_whole_features_or_else_one),
        cmocka_unit_test(a_transpose_that_leaves_everything_in_place_is_no_product_with_itself),
        cmocka_unit_test(pairs_of_a_gather_nd_are_two_indices_each),
        cmocka_unit_test(pairs_out_of_range_are_left_to_the_run),
        cmocka_unit_test(the_second_order_term_is_an_interaction),
        cmocka_unit_test(the_second_order_term_is_known_in_every_spelling_and_nothing_like_it),
        cmocka_unit_test(a_term_that_is_not_halved_is_not_taken),
        cmocka_unit_test(looked_up_features_are_one_part),
        cmocka_unit_test(what_regions_write_for_a_concat_alone_is_placed),
        cmocka_unit_test(stacked_experts_are_columns_that_products_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
