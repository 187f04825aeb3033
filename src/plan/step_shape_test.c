/// Whether the operands of a step go together at the sizes of a run.
#include "plan/step_shape.h"

#include "testing/hand_graph.h"

enum { OPERANDS = 4 };
static norn_shape_io io[OPERANDS + 1];
static norn_dim contents[OPERANDS * NORN_CONTENTS_MAX];

/// The room as another node left it; nothing is written behind it.
static norn_status fit(const norn_node *node, const norn_view *in, const norn_view *out,
                       const int64_t *symbols) {
    const norn_dim nine = norn_dim_const(9);
    const uint32_t count = node->in_count + 1;
    for (int i = 0; i <= OPERANDS; i++)
        io[i] = (norn_shape_io){NORN_U8, {1, {nine}}, NULL, NULL, 0};
    for (int i = 0; i < OPERANDS * NORN_CONTENTS_MAX; i++) contents[i] = nine;
    assert_int_equal(norn_step_fit(node, in, count - 1, out, 1, symbols,
                                   (norn_shape_room){io, count - 1, contents}),
                     NORN_INTERNAL);
    const norn_status status =
        norn_step_fit(node, in, count - 1, out, 1, symbols, (norn_shape_room){io, count, contents});
    assert_int_equal(io[count].dtype, NORN_U8);
    assert_int_equal(contents[(count - 1) * NORN_CONTENTS_MAX].constant, 9);
    return status;
}

/// x[B, 5] from row `first` on, columns [1, B): what is known of both ends are symbols.
static void what_is_known_of_sizes_is_asked_for_at_the_symbols_of_the_run(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    int32_t first;
    HAND_OK(norn_symbol_input(&h.graph->symbols, "F", &first));
    const norn_dim starts[2] = {norn_dim_symbol(first), norn_dim_const(1)},
                   ends[2] = {norn_dim_const(99), norn_dim_symbol(h.batch)};
    const norn_shape two = {1, {norn_dim_const(2)}};
    norn_value *in[3] = {hand_input(&h, "x", NORN_F32, hand_rows(&h, 5)),
                         hand_input(&h, "starts", NORN_I64, two),
                         hand_input(&h, "ends", NORN_I64, two)},
               *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 1));
    in[1]->contents = starts, in[2]->contents = ends;
    in[1]->contents_count = in[2]->contents_count = 2;
    const norn_node *node =
        hand_node(&h, NORN_OP_Slice, "cut", in, 3, &y, 1, (norn_attrs){0}, NULL);
    static const struct {
        int64_t batch, first, rows, columns; ///< a symbol of -1: not known
        bool fits;
    } cases[] = {{4, 1, 3, 3, true},   {4, 0, 4, 3, true}, {3, 1, 2, 2, true},  {4, 1, 3, 4, false},
                 {4, 1, 2, 3, false},  {4, 2, 2, 3, true}, {4, 0, 3, 3, false}, {4, 1, 3, 1, false},
                 {4, -1, 77, 5, true}, {9, 1, 8, 4, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t symbols[2] = {0};
        symbols[h.batch] = cases[i].batch, symbols[first] = cases[i].first;
        const norn_view views[3] = {norn_view_of(NORN_F32, 2, (int64_t[]){cases[i].batch, 5}, NULL),
                                    norn_view_of(NORN_I64, 1, (int64_t[]){2}, NULL),
                                    norn_view_of(NORN_I64, 1, (int64_t[]){2}, NULL)},
                        out = norn_view_of(NORN_F32, 2,
                                           (int64_t[]){cases[i].rows, cases[i].columns}, NULL);
        const norn_status status = fit(node, views, &out, symbols);
        if (status != (cases[i].fits ? NORN_OK : NORN_INVALID_ARGUMENT))
            fail_msg("case %d: %s", (int)i, norn_message());
        if (status == NORN_OK) continue;
        char text[100];
        snprintf(text, sizeof text, "output 0 is float32[%d,%d] for these",
                 (int)(4 - cases[i].first), 3);
        assert_non_null(strstr(norn_message(), text));
    }
    norn_graph_destroy(h.graph);
}

/// A load that repeats in every dim, as an Expand's: the size is the output's to know.
static void what_a_shape_function_leaves_open_is_as_planned(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    const norn_scalar_load load = {.dtype = NORN_F32, .broadcast = {true, true}};
    const norn_region region = {.pointwise = {.program = {.load_count = 1, .loads = &load}}};
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 1)),
               *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 3));
    const norn_node *node =
        hand_node(&h, NORN_OP_Pointwise, "fill", &x, 1, &y, 1, (norn_attrs){0}, &region);
    const norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){1, 1}, NULL),
                    out = norn_view_of(NORN_F32, 2, (int64_t[]){7, 3}, NULL);
    HAND_OK(fit(node, &in, &out, (int64_t[]){7}));
    norn_graph_destroy(h.graph);
}

// ---- sizes of a run, and those of values whose sizes only the run knows

enum { IN_MAX = 5, OUT_MAX = 3 };

/// A node of so many operands, not in a graph.
typedef struct bench {
    norn_value values[IN_MAX];
    norn_use uses[IN_MAX];
    norn_node node;
    norn_shape_io io[IN_MAX + OUT_MAX + 1];
} bench;

static const norn_node *node_of(bench *b, norn_op_id op, norn_attrs attrs) {
    const norn_dim nine = norn_dim_const(9);
    *b = (bench){.node = {.op = norn_op_info_of(op), .name = "n", .attrs = attrs, .in = b->uses}};
    for (int i = 0; i < IN_MAX; i++) b->uses[i].value = &b->values[i];
    for (int i = 0; i < IN_MAX + OUT_MAX + 1; i++) // as another node left it
        b->io[i] = (norn_shape_io){NORN_U8, {1, {nine}}, &(norn_view){0}, &nine, 1};
    return &b->node;
}

static norn_view of(norn_dtype dtype, int32_t rank, int64_t first, int64_t second, void *data) {
    return norn_view_of(dtype, rank, (int64_t[]){first, second}, data);
}

/// The shape function beside the executor: in room that is just large enough.
static norn_status shapes(bench *b, const norn_view *in, uint32_t in_count, norn_view *out,
                          uint32_t out_count) {
    const uint32_t count = in_count + out_count;
    const norn_view before = out[0];
    assert_int_equal(norn_step_shapes(&b->node, in, in_count, out, out_count,
                                      (norn_shape_room){b->io, count - 1, NULL}),
                     NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "no room"));
    assert_memory_equal(&out[0], &before, sizeof before);
    const norn_status status = norn_step_shapes(&b->node, in, in_count, out, out_count,
                                                (norn_shape_room){b->io, count, NULL});
    assert_int_equal(b->io[count].dtype, NORN_U8); // nothing is written behind it
    return status;
}

static void assert_view(const norn_view *view, norn_dtype dtype, int32_t rank, int64_t first,
                        int64_t second) {
    assert_int_equal(view->dtype, dtype);
    assert_int_equal(view->rank, rank);
    if (rank > 0) assert_int_equal(view->dims[0], first);
    if (rank > 1) assert_int_equal(view->dims[1], second);
}

/// Split of x[7, 4] into [3], [2] and [2] rows, of which somebody may read each or not.
static void every_output_that_is_read_gets_its_type_and_dims(void **state) {
    (void)state;
    int64_t sizes[3] = {3, 2, 2};
    const norn_view in[2] = {of(NORN_I16, 2, 7, 4, NULL), of(NORN_I64, 1, 3, 0, sizes)};
    for (int read = 1; read < 8; read++) {
        bench b;
        norn_view out[OUT_MAX];
        (void)node_of(&b, NORN_OP_Split, (norn_attrs){0});
        for (int i = 0; i < 3; i++) // another type and size than it gets
            out[i] = read >> i & 1 ? of(NORN_F32, 1, -5, -5, NULL)
                                   : (norn_view){.dtype = NORN_DTYPE_NONE, .rank = 6};
        HAND_OK(shapes(&b, in, 2, out, 3));
        for (int i = 0; i < 3; i++) {
            if (read >> i & 1) assert_view(&out[i], NORN_I16, 2, sizes[i], 4);
            if (!(read >> i & 1)) assert_view(&out[i], NORN_DTYPE_NONE, 6, 0, 0);
        }
    }
    const norn_view torn[2] = {of(NORN_I16, 2, 8, 4, NULL), in[1]};
    norn_view out[3] = {in[0], in[0], in[0]};
    bench b;
    (void)node_of(&b, NORN_OP_Split, (norn_attrs){0});
    assert_int_equal(shapes(&b, torn, 2, out, 3), NORN_INVALID_ARGUMENT);
}

static void an_input_that_is_left_out_is_none(void **state) {
    (void)state;
    bench b;
    const norn_view in[3] = {of(NORN_F32, 2, 7, 4, NULL),
                             {.dtype = NORN_DTYPE_NONE, .rank = 7},
                             of(NORN_F32, 0, 0, 0, NULL)};
    norn_view out = of(NORN_F32, 1, 1, 1, NULL);
    (void)node_of(&b, NORN_OP_Clip, (norn_attrs){0});
    HAND_OK(shapes(&b, in, 3, &out, 1));
    assert_view(&out, NORN_F32, 2, 7, 4);
    assert_int_equal(b.io[1].dtype, NORN_DTYPE_NONE);
}

static void a_scalar_has_no_dims(void **state) {
    (void)state;
    bench b;
    const norn_attr keep = {.name = "keepdims", .kind = NORN_ATTR_INT, .i64 = 0};
    const norn_view in = of(NORN_F32, 2, 7, 4, NULL);
    norn_view out = of(NORN_F32, 2, 3, 3, NULL);
    (void)node_of(&b, NORN_OP_ReduceSum, (norn_attrs){&keep, 1});
    HAND_OK(shapes(&b, &in, 1, &out, 1));
    assert_view(&out, NORN_F32, 0, 0, 0);
    HAND_OK(norn_step_fit(&b.node, &in, 1, &out, 1, NULL, (norn_shape_room){b.io, 2, NULL}));
    out = of(NORN_F32, 1, 1, 0, NULL);
    assert_int_equal(
        norn_step_fit(&b.node, &in, 1, &out, 1, NULL, (norn_shape_room){b.io, 2, NULL}),
        NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "output 0 is float32[] for these inputs, the model "
                                           "makes it float32[1]"));
}

/// NonZero's and Pointwise's kernels size what they write; a Slice's does not.
static void only_kernels_that_size_their_output_may_be_left_to_it(void **state) {
    (void)state;
    const norn_scalar_load load = {.dtype = NORN_F32, .broadcast = {true, true}};
    const norn_region region = {.pointwise = {.program = {.load_count = 1, .loads = &load}}};
    float many[NORN_CONTENTS_MAX + 1] = {0};
    int64_t sizes[NORN_CONTENTS_MAX + 1] = {0};
    static const struct {
        norn_op_id op;
        uint32_t in_count;
        bool may;
    } cases[] = {{NORN_OP_NonZero, 1, true},   {NORN_OP_Unique, 1, true},
                 {NORN_OP_Compress, 2, true},  {NORN_OP_SequenceAt, 2, true},
                 {NORN_OP_Pointwise, 1, true}, {NORN_OP_Neg, 1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b;
        const norn_dtype dtype =
            cases[i].op == NORN_OP_SequenceAt ? (norn_dtype)(NORN_SEQUENCE | NORN_F32) : NORN_F32;
        const norn_view in[2] = {of(dtype, cases[i].op == NORN_OP_Neg ? -1 : 2, 7, 4, many),
                                 cases[i].op == NORN_OP_SequenceAt ? of(NORN_I64, 0, 0, 0, sizes)
                                                                   : of(NORN_BOOL, 1, 7, 0, many)};
        norn_view out = of(NORN_F32, 2, 3, 3, NULL);
        (void)node_of(&b, cases[i].op, (norn_attrs){0});
        b.node.region = cases[i].op == NORN_OP_Pointwise ? &region : NULL;
        const norn_status status = shapes(&b, in, cases[i].in_count, &out, 1);
        if (status != (cases[i].may ? NORN_OK : NORN_INVALID_ARGUMENT))
            fail_msg("%s: %s", b.node.op->name, norn_message());
        if (!cases[i].may) assert_non_null(strstr(norn_message(), "how large output 0 is"));
        assert_int_equal(out.rank, -1);
    }
    // What it reads its size from is a list of more than are kept: no kernel may be called.
    bench b;
    const norn_view in = of(NORN_I64, 1, NORN_CONTENTS_MAX + 1, 0, sizes);
    norn_view out = of(NORN_F32, 2, 3, 3, NULL);
    (void)node_of(&b, NORN_OP_ConstantOfShape, (norn_attrs){0});
    assert_int_equal(shapes(&b, &in, 1, &out, 1), NORN_INVALID_ARGUMENT);
}

/// Contents of `count` elements, of which the symbol `symbol` may be one.
static void contents_are_known_up_to_their_bound(void **state) {
    (void)state;
    enum { MOST = NORN_CONTENTS_MAX };
    static norn_dim kept[IN_MAX * MOST], parts[MOST + 1];
    for (uint32_t count = MOST - 1; count <= MOST + 1; count++) {
        for (int known = 0, symbol = 0; known < 2; symbol = !symbol, known += !symbol) {
            bench b;
            const int64_t symbols[2] = {symbol || known ? 1 : -1, !symbol || known ? 1 : -1};
            // Axes of a reduction that the contents name: of x[2, 3], axes 0, 1, 0, 0 ...: refused
            // when they are seen, for one comes twice.
            const norn_view in[2] = {of(NORN_F32, 2, 2, 3, NULL), of(NORN_I64, 1, count, 0, NULL)},
                            out = of(NORN_F32, 2, 5, 5, NULL);
            (void)node_of(&b, NORN_OP_ReduceSum, (norn_attrs){0});
            for (uint32_t i = 0; i < count; i++) parts[i] = norn_dim_const(0);
            parts[1] = norn_dim_symbol(symbol);
            b.values[1].contents = parts, b.values[1].contents_count = count;
            for (int i = 0; i < IN_MAX * MOST; i++) kept[i] = norn_dim_const(9);
            const norn_status status =
                norn_step_fit(&b.node, in, 2, &out, 1, symbols, (norn_shape_room){b.io, 3, kept});
            const bool seen = known && count <= MOST;
            assert_int_equal(b.io[1].contents_count, seen ? count : 0);
            assert_int_equal(b.io[0].contents_count, 0);
            if (seen) assert_ptr_equal(b.io[1].contents, kept + MOST);
            if (seen) assert_int_equal(kept[MOST + count - 1].constant, 0);
            assert_int_equal(kept[MOST + count].constant, 9);
            assert_int_equal(status, seen ? NORN_INVALID_ARGUMENT : NORN_OK);
        }
    }
}

/// Tensors of as many dims as there may be, and operands of just so many.
static void nothing_is_read_or_written_past_the_last_dim_and_operand(void **state) {
    (void)state;
    bench b;
    norn_use *uses = calloc(1, sizeof *uses);
    norn_view x = norn_view_of(NORN_F32, NORN_MAX_RANK, (int64_t[]){2, 1, 3, 1, 1, 1, 1, 4}, NULL),
              y = of(NORN_F32, 1, 1, 1, NULL);
    assert_non_null(uses);
    (void)node_of(&b, NORN_OP_Neg, (norn_attrs){0});
    b.node.in = uses, uses->value = &b.values[0];
    HAND_OK(shapes(&b, &x, 1, &y, 1));
    assert_memory_equal(y.dims, x.dims, sizeof x.dims);
    HAND_OK(norn_step_fit(&b.node, &x, 1, &y, 1, NULL, (norn_shape_room){b.io, 2, NULL}));
    y.dims[NORN_MAX_RANK - 1] = 5;
    assert_int_equal(norn_step_fit(&b.node, &x, 1, &y, 1, NULL, (norn_shape_room){b.io, 2, NULL}),
                     NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "is float32[2,1,3,1,1,1,1,4] for these inputs, the "
                                           "model makes it float32[2,1,3,1,1,1,1,5]"));
    free(uses);
}

/// Split of x[7, 4]: what is planned of each of its outputs, and of inputs that are left out.
static void every_output_and_input_of_a_run_is_compared(void **state) {
    (void)state;
    const int64_t sizes[3] = {3, 2, 2};
    const norn_view constant = of(NORN_I64, 1, 3, 0, (void *)(uintptr_t)sizes),
                    in[2] = {of(NORN_I16, 2, 7, 4, NULL), of(NORN_I64, 1, 3, 0, NULL)};
    for (int wrong = -1; wrong < 3; wrong++) {
        bench b;
        norn_view out[3];
        (void)node_of(&b, NORN_OP_Split, (norn_attrs){0});
        b.values[1].data = &constant;
        for (int i = 0; i < 3; i++) out[i] = of(NORN_I16, 2, sizes[i] + (i == wrong), 4, NULL);
        norn_status status =
            norn_step_fit(&b.node, in, 2, out, 3, NULL, (norn_shape_room){b.io, 5, NULL});
        assert_int_equal(status, wrong < 0 ? NORN_OK : NORN_INVALID_ARGUMENT);
        assert_int_equal(b.io[5].dtype, NORN_U8);
        if (wrong < 0) continue;
        out[wrong] = (norn_view){.dtype = NORN_DTYPE_NONE}; // nobody reads it
        HAND_OK(norn_step_fit(&b.node, in, 2, out, 3, NULL, (norn_shape_room){b.io, 5, NULL}));
    }
    for (int absent = 0; absent < 2; absent++) { // a Clip's least: no value, or one that is none
        bench b;
        norn_view clip[2] = {of(NORN_F32, 2, 7, 4, NULL), of(NORN_F32, 0, 0, 0, NULL)},
                  out = clip[0];
        (void)node_of(&b, NORN_OP_Clip, (norn_attrs){0});
        if (absent) clip[1].dtype = NORN_DTYPE_NONE;
        if (!absent) b.uses[1].value = NULL;
        HAND_OK(norn_step_fit(&b.node, clip, 2, &out, 1, NULL, (norn_shape_room){b.io, 3, NULL}));
        assert_int_equal(b.io[1].dtype, NORN_DTYPE_NONE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_of_sizes_is_asked_for_at_the_symbols_of_the_run),
        cmocka_unit_test(what_a_shape_function_leaves_open_is_as_planned),
        cmocka_unit_test(every_output_that_is_read_gets_its_type_and_dims),
        cmocka_unit_test(an_input_that_is_left_out_is_none),
        cmocka_unit_test(a_scalar_has_no_dims),
        cmocka_unit_test(only_kernels_that_size_their_output_may_be_left_to_it),
        cmocka_unit_test(contents_are_known_up_to_their_bound),
        cmocka_unit_test(nothing_is_read_or_written_past_the_last_dim_and_operand),
        cmocka_unit_test(every_output_and_input_of_a_run_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
