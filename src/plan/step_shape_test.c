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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_of_sizes_is_asked_for_at_the_symbols_of_the_run),
        cmocka_unit_test(what_a_shape_function_leaves_open_is_as_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
