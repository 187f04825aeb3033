/// Inputs' sizes against the model's: what binds a symbol, what must agree with it.
#include "plan/bind.h"

#include "testing/hand_graph.h"

enum { INPUTS = 5, SYMBOLS = 3 };

/// a[B, 2 T + 3, 7], b[B * T], c[T, B], d[], e of any shape
static hand model(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    int32_t t;
    norn_dim product;
    HAND_OK(norn_symbol_input(&h.graph->symbols, "T", &t));
    const norn_dim b = norn_dim_symbol(h.batch), steps = norn_dim_symbol(t),
                   more = {.constant = 3, .coef = 2, .symbol = t};
    HAND_OK(norn_dim_apply(&h.graph->symbols, NORN_DIM_MUL, b, steps, &product));
    hand_input(&h, "a", NORN_F32, (norn_shape){3, {b, more, norn_dim_const(7)}});
    hand_input(&h, "b", NORN_I64, (norn_shape){1, {product}});
    hand_input(&h, "c", NORN_F32, (norn_shape){2, {steps, b}});
    hand_input(&h, "d", NORN_F32, (norn_shape){.rank = 0});
    hand_input(&h, "e", NORN_F32, norn_shape_unknown());
    return h;
}

static void set(norn_view views[INPUTS]) {
    views[0] = norn_view_of(NORN_F32, 3, (int64_t[]){4, 13, 7}, NULL);
    views[1] = norn_view_of(NORN_I64, 1, (int64_t[]){20}, NULL);
    views[2] = norn_view_of(NORN_F32, 2, (int64_t[]){5, 4}, NULL);
    views[3] = norn_view_of(NORN_F32, 0, NULL, NULL);
    views[4] = norn_view_of(NORN_F32, 2, (int64_t[]){9, 9}, NULL);
}

static void symbols_are_bound_by_the_first_input_that_has_them(void **state) {
    (void)state;
    hand h = model();
    norn_view views[INPUTS];
    int64_t values[SYMBOLS] = {0};
    int32_t binder[SYMBOLS] = {9, 9, 9};
    set(views);
    HAND_OK(norn_bind_shapes(h.graph, views, values, binder));
    assert_int_equal(values[0], 4);
    assert_int_equal(values[1], 5);
    assert_int_equal(values[2], 20);
    for (int i = 0; i < SYMBOLS; i++) assert_int_equal(binder[i], i < 2 ? 0 : -1);
    views[0].dims[0] = views[2].dims[1] = 0, views[1].dims[0] = 0; // no rows
    views[0].dims[1] = 3, views[2].dims[0] = 0;                    // and no steps
    HAND_OK(norn_bind_shapes(h.graph, views, values, binder));
    for (int i = 0; i < SYMBOLS; i++) assert_int_equal(values[i], 0);
    norn_graph_destroy(h.graph);
}

static void what_does_not_agree_is_named_with_who_said_so(void **state) {
    (void)state;
    static const struct {
        int input, dim;
        int64_t is;
        const char *words;
    } cases[] = {
        {0, 2, 8, "input 'a': dim 2 is 8, the model expects 7"},
        {0, 2, -1, "input 'a': dim 2 is -1"},
        {0, 0, -4, "input 'a': dim 0 is -4"},
        {0, 1, 12, "input 'a': dim 1 is 12, which is not 2*T+3"},
        {0, 1, 1, "input 'a': dim 1 is 1, which is not 2*T+3"},
        {1, 0, 21, "input 'b': dim 0 is 21, which is not B*T"},
        {1, 0, 0, "input 'b': dim 0 is 0, which is not B*T"},
        {2, 0, 6, "input 'c': dim 0 is 6, but input 'a' makes T 5"},
        {2, 1, 3, "input 'c': dim 1 is 3, but input 'a' makes B 4"},
    };
    hand h = model();
    norn_view views[INPUTS];
    int64_t values[SYMBOLS];
    int32_t binder[SYMBOLS];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(views);
        views[cases[i].input].dims[cases[i].dim] = cases[i].is;
        const norn_status status = norn_bind_shapes(h.graph, views, values, binder);
        if (status != NORN_INVALID_ARGUMENT || strcmp(norn_message(), cases[i].words) != 0)
            fail_msg("%s, not %s", norn_message(), cases[i].words);
    }
    norn_graph_destroy(h.graph);
}

static void types_and_ranks_are_the_models(void **state) {
    (void)state;
    hand h = model();
    norn_view views[INPUTS];
    int64_t values[SYMBOLS];
    int32_t binder[SYMBOLS];
    static const struct {
        int input;
        norn_dtype dtype;
        int32_t rank;
        const char *words; ///< NULL: it is taken
    } cases[] = {
        {0, NORN_F16, 3, "input 'a': its type is float16, the model expects float32"},
        {0, NORN_F32, 2, "input 'a': it has 2 dims, the model expects 3"},
        {0, NORN_F32, 4, "input 'a': it has 4 dims, the model expects 3"},
        {3, NORN_F32, 1, "input 'd': it has 1 dim, the model expects 0"},
        {4, NORN_F32, 0, NULL},
        {4, NORN_F32, NORN_MAX_RANK, NULL},
        {4, NORN_F32, NORN_MAX_RANK + 1, "input 'e': it has 9 dims"},
        {4, NORN_F32, -1, "input 'e': it has -1 dims"},
        {4, NORN_I64, 0, "input 'e': its type is int64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(views);
        views[cases[i].input].dtype = cases[i].dtype, views[cases[i].input].rank = cases[i].rank;
        const norn_status status = norn_bind_shapes(h.graph, views, values, binder);
        assert_int_equal(status, cases[i].words ? NORN_INVALID_ARGUMENT : NORN_OK);
        if (cases[i].words && strstr(norn_message(), cases[i].words) != norn_message())
            fail_msg("%s, not %s", norn_message(), cases[i].words);
    }
    norn_graph_destroy(h.graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_bound_by_the_first_input_that_has_them),
        cmocka_unit_test(what_does_not_agree_is_named_with_who_said_so),
        cmocka_unit_test(types_and_ranks_are_the_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
