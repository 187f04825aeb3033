/// Which dimension is the batch, and the bounds that symbols get.
#include "compile/compile.h"

#include "base/cmocka_all.h"
#include "base/memory.h"

#include <string.h>

enum { B, T, SYMBOLS };

static norn_graph *graph;

static int begin(void **state) {
    int32_t at;
    (void)state;
    if (norn_graph_create("g", norn_alloc_heap(), &graph) != NORN_OK) return 1;
    for (int i = 0; i < SYMBOLS; i++)
        if (norn_symbol_input(&graph->symbols, i == B ? "B" : "T", &at) != NORN_OK) return 1;
    graph->batch = -1;
    return 0;
}

static int end(void **state) {
    (void)state;
    norn_graph_destroy(graph);
    return 0;
}

static void input(const char *name, int32_t rank, norn_dim first, norn_dim second) {
    const norn_shape shape = {rank, {first, second}};
    norn_value *value;
    assert_int_equal(norn_graph_value(graph, name, NORN_F32, &shape, &value), NORN_OK);
    assert_int_equal(norn_graph_add_input(graph, value), NORN_OK);
}

/// a[T + 1, B], b[T, 7], c[B, T], d[B], e[], f[5, B], g[B]: B comes first in three, T in two.
static void add_inputs(void) {
    norn_dim more;
    const norn_dim b = norn_dim_symbol(B), t = norn_dim_symbol(T);
    assert_int_equal(norn_dim_apply(&graph->symbols, NORN_DIM_ADD, t, norn_dim_const(1), &more),
                     NORN_OK);
    input("a", 2, more, b);
    input("b", 2, t, norn_dim_const(7));
    input("c", 2, b, t);
    input("d", 1, b, b);
    input("e", 0, b, b);
    input("f", 2, norn_dim_const(5), b);
    input("g", 1, b, b);
}

static norn_status profile(norn_compile_options options) {
    return norn_compile_profile(graph, &options, &options);
}

static void expect(int symbol, int64_t min, int64_t opt, int64_t max) {
    const norn_symbol *is = &graph->symbols.at[symbol];
    assert_int_equal(is->min, min);
    assert_int_equal(is->opt, opt);
    assert_int_equal(is->max, max);
}

static void the_batch_is_what_most_inputs_have_first(void **state) {
    (void)state;
    add_inputs();
    assert_int_equal(profile((norn_compile_options){0}), NORN_OK);
    assert_int_equal(graph->batch, B);
    expect(B, 1, 64, 1024);
    expect(T, 1, 64, -1);
}

static void of_two_that_come_first_as_often_it_is_the_first(void **state) {
    (void)state;
    input("x", 1, norn_dim_symbol(T), norn_dim_symbol(B));
    input("y", 1, norn_dim_symbol(B), norn_dim_symbol(T));
    assert_int_equal(profile((norn_compile_options){.max_batch = 9}), NORN_OK);
    assert_int_equal(graph->batch, T);
    expect(T, 1, 9, 9);
    expect(B, 1, 64, -1);
}

static void where_no_symbol_comes_first_there_is_no_batch(void **state) {
    (void)state;
    input("f", 2, norn_dim_const(5), norn_dim_symbol(B));
    input("e", 0, norn_dim_symbol(B), norn_dim_symbol(B));
    assert_int_equal(profile((norn_compile_options){.max_batch = 9}), NORN_OK);
    assert_int_equal(graph->batch, -1);
    expect(B, 1, 64, -1);
}

static void a_dimension_that_is_named_is_the_batch(void **state) {
    (void)state;
    static const struct {
        const char *text, *words; ///< NULL: it is T
    } cases[] = {
        {"b:0", NULL},
        {"c:1", NULL},
        {"b:1", "is 7 in the model"},
        {"ghost:0", "of an"},
        {"b", "write INPUT:DIM"},
        {"b:", "write INPUT:DIM"},
        {":0", "of an"},
        {"b:2", "of an"},
        {"b:-1", "of an"},
        {"b:0x", "of an"},
        {"e:0", "of an"},
        {"bb:0", "of an"},
    };
    add_inputs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        graph->batch = -1;
        const norn_status status = profile((norn_compile_options){.batch_dim = cases[i].text});
        assert_int_equal(status, cases[i].words ? NORN_INVALID_ARGUMENT : NORN_OK);
        if (cases[i].words) assert_non_null(strstr(norn_message(), cases[i].words));
        if (!cases[i].words) assert_int_equal(graph->batch, T);
    }
}

static void bounds_are_said_by_shapes_and_in_order(void **state) {
    (void)state;
    static const struct {
        int64_t min, opt, max; ///< that a[., B] is given as T + 1; 0: not said
        norn_status status;
        int64_t is[3];
    } cases[] = {
        {0, 0, 0, NORN_OK, {1, 64, -1}},        {3, 5, 9, NORN_OK, {2, 4, 8}},
        {4, 4, 4, NORN_OK, {3, 3, 3}},          {0, 0, 9, NORN_OK, {1, 8, 8}},
        {0, 0, 65, NORN_OK, {1, 64, 64}},       {0, 0, 101, NORN_OK, {1, 64, 100}},
        {91, 0, 0, NORN_OK, {90, 90, -1}},      {1, 1, 9, NORN_OK, {0, 0, 8}},
        {9, 0, 5, NORN_INVALID_ARGUMENT, {0}},  {0, 9, 5, NORN_INVALID_ARGUMENT, {0}},
        {9, 5, 20, NORN_INVALID_ARGUMENT, {0}}, {-1, 0, 0, NORN_INVALID_ARGUMENT, {0}},
    };
    add_inputs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_input_shape shapes[3] = {
            {"a", 2, {cases[i].min, 8}}, {"a", 2, {cases[i].opt, 8}}, {"a", 2, {cases[i].max, 8}}};
        const norn_status status = profile((norn_compile_options){.min_shapes = &shapes[0],
                                                                  .min_count = cases[i].min != 0,
                                                                  .opt_shapes = &shapes[1],
                                                                  .opt_count = cases[i].opt != 0,
                                                                  .max_shapes = &shapes[2],
                                                                  .max_count = cases[i].max != 0});
        if (status != cases[i].status) fail_msg("case %d: %s", (int)i, norn_message());
        if (status == NORN_OK) expect(T, cases[i].is[0], cases[i].is[1], cases[i].is[2]);
    }
}

static void bounds_that_do_not_fit_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        norn_input_shape shape;
        const char *words;
    } cases[] = {{{"ghost", 1, {1}}, "--max-shapes: the model has no input 'ghost'"},
                 {{"b", 1, {1}}, "--max-shapes: input 'b' has 2 dims, not 1"},
                 {{"b", 2, {1, 8}}, "dim 1 is 8, the model expects 7"},
                 {{"a", 2, {0, 8}}, "dim 0 cannot be 0, it is 1+1*T"}};
    add_inputs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_compile_options options = {.max_shapes = &cases[i].shape, .max_count = 1};
        assert_int_equal(norn_compile_profile(graph, &options, &options), NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), cases[i].words));
        // The same, said by the package.
        assert_int_equal(norn_compile_profile(graph, &options, NULL), NORN_INVALID_ARGUMENT);
        assert_ptr_equal(strstr(norn_message(), "norn.json: \"profile.max\": "), norn_message());
    }
    for (int64_t batch = -1; batch <= INT64_C(1) << 31; batch += (INT64_C(1) << 31) + 1) {
        assert_int_equal(profile((norn_compile_options){.max_batch = batch}),
                         NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), "the largest batch"));
    }
    assert_int_equal(profile((norn_compile_options){.max_batch = INT32_MAX}), NORN_OK);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(the_batch_is_what_most_inputs_have_first),
        CASE(of_two_that_come_first_as_often_it_is_the_first),
        CASE(where_no_symbol_comes_first_there_is_no_batch),
        CASE(a_dimension_that_is_named_is_the_batch),
        CASE(bounds_are_said_by_shapes_and_in_order),
        CASE(bounds_that_do_not_fit_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
