/// Which dimension is the batch, and the bounds that symbols get.
#include "compile/compile.h"

#include "base/cmocka_all.h"
#include "base/memory.h"

#include <stdio.h>
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

/// a[2 T + 1, B], b[T, 7], c[B, T], d[B], e[], f[5, B], g[B]: B comes first in three, T in two.
static void add_inputs(void) {
    const norn_dim b = norn_dim_symbol(B), t = norn_dim_symbol(T),
                   more = {.constant = 1, .coef = 2, .symbol = T};
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

/// Inputs as their dims: letters are symbols. One of no dims has B where no dim is.
static void the_batch_is_inferred_from_first_dims_alone(void **state) {
    static const struct {
        const char *inputs[4];
        int32_t known, batch;
    } cases[] = {
        {{"T", "B"}, -1, T},        {{"TB", "TB", "BT"}, -1, T}, {{"BT", "T", "T"}, -1, T},
        {{"5B", "5B", "T"}, -1, T}, {{"", "", "T5"}, -1, T},     {{"TB", "B5", "BT"}, -1, B},
        {{"5B", ""}, -1, -1},       {{"T", "T", "B"}, B, B},     {{"T", "T", "B"}, SYMBOLS, T},
        {{"5B"}, SYMBOLS, -1},      {{"T", "B", "", ""}, -1, T}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_dim product;
        assert_int_equal(begin(state), 0);
        assert_int_equal(norn_dim_apply(&graph->symbols, NORN_DIM_MUL, norn_dim_symbol(B),
                                        norn_dim_symbol(T), &product),
                         NORN_OK);
        assert_int_equal(product.symbol, SYMBOLS);
        for (int k = 0; k < 4 && cases[i].inputs[k]; k++) {
            norn_dim dims[2] = {norn_dim_symbol(B), norn_dim_symbol(B)};
            const int32_t rank = (int32_t)strlen(cases[i].inputs[k]);
            for (int32_t d = 0; d < rank; d++)
                dims[d] = cases[i].inputs[k][d] == '5'
                              ? norn_dim_const(5)
                              : norn_dim_symbol(cases[i].inputs[k][d] == 'B' ? B : T);
            input("x", rank, dims[0], dims[1]);
        }
        graph->batch = cases[i].known;
        assert_int_equal(profile((norn_compile_options){.max_batch = 1}), NORN_OK);
        if (graph->batch != cases[i].batch) fail_msg("case %d: %d", (int)i, (int)graph->batch);
        for (int k = 0; k < SYMBOLS; k++)
            expect(k, 1, k == graph->batch ? 1 : 64, k == graph->batch ? 1 : -1);
        (void)end(state);
    }
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

/// The tenth dim and those that a number names in another base, or with more behind it.
static void a_dimension_is_a_decimal_number(void **state) {
    (void)state;
    add_inputs();
    static const char *const texts[] = {"b:00",  "b:010", "b:0x0", "b:a",
                                        "b:1e0", "c:8",   "c:10",  "c:99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        graph->batch = -1;
        assert_int_equal(profile((norn_compile_options){.batch_dim = texts[i]}),
                         i == 0 ? NORN_OK : NORN_INVALID_ARGUMENT);
        if (i) assert_non_null(strstr(norn_message(), texts[i]));
    }
}

/// A maximum of 0 rows is one that was said; what follows from the symbols gets bounds as well.
static void what_was_said_stays_and_what_follows_is_bounded(void **state) {
    (void)state;
    norn_dim product;
    assert_int_equal(norn_dim_apply(&graph->symbols, NORN_DIM_MUL, norn_dim_symbol(B),
                                    norn_dim_symbol(T), &product),
                     NORN_OK);
    add_inputs();
    const norn_input_shape least[] = {{"c", 2, {3, 5}}}, usual[] = {{"c", 2, {4, 6}}},
                           most[] = {{"c", 2, {7, 9}}}, none[] = {{"d", 1, {0}}};
    const norn_compile_options options = {.min_shapes = least,
                                          .min_count = 1,
                                          .opt_shapes = usual,
                                          .opt_count = 1,
                                          .max_shapes = most,
                                          .max_count = 1,
                                          .max_batch = 500};
    assert_int_equal(profile(options), NORN_OK);
    expect(B, 3, 4, 7);
    expect(T, 5, 6, 9);
    expect(product.symbol, 15, 24, 63);
    assert_int_equal(profile((norn_compile_options){.min_shapes = none,
                                                    .min_count = 1,
                                                    .max_shapes = none,
                                                    .max_count = 1,
                                                    .max_batch = 500}),
                     NORN_OK);
    expect(B, 0, 0, 0);
    expect(T, 1, 64, -1);
    expect(product.symbol, 0, 0, 0);
}

static void bounds_are_said_by_shapes_and_in_order(void **state) {
    (void)state;
    static const struct {
        int64_t min, opt, max; ///< that a[., B] is given as 2 T + 1; 0: not said
        norn_status status;
        int64_t is[3];
    } cases[] = {
        {0, 0, 0, NORN_OK, {1, 64, -1}},
        {5, 9, 17, NORN_OK, {2, 4, 8}},
        {7, 7, 7, NORN_OK, {3, 3, 3}},
        {0, 0, 17, NORN_OK, {1, 8, 8}},
        {0, 0, 129, NORN_OK, {1, 64, 64}},
        {0, 0, 127, NORN_OK, {1, 63, 63}},
        {0, 0, 201, NORN_OK, {1, 64, 100}},
        {181, 0, 0, NORN_OK, {90, 90, -1}},
        {1, 1, 17, NORN_OK, {0, 0, 8}},
        {1, 0, 1, NORN_OK, {0, 0, 0}},
        {0, 0, 1, NORN_INVALID_ARGUMENT, {0}}, // the least is 1
        {19, 0, 11, NORN_INVALID_ARGUMENT, {0}},
        {0, 19, 11, NORN_INVALID_ARGUMENT, {0}},
        {19, 11, 41, NORN_INVALID_ARGUMENT, {0}},
        {-1, 0, 0, NORN_INVALID_ARGUMENT, {0}},
        {4, 0, 0, NORN_INVALID_ARGUMENT, {0}},
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
    } cases[] = {{{"ghost", 1, {1}}, "the model has no input 'ghost'"},
                 {{"b", 1, {1}}, "input 'b' has 2 dims, not 1"},
                 {{"b", 2, {1, 8}}, "dim 1 is 8, the model expects 7"},
                 {{"a", 2, {0, 8}}, "dim 0 cannot be 0, it is 1+2*T"}};
    add_inputs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_compile_options options[] = {{.min_shapes = &cases[i].shape, .min_count = 1},
                                                {.opt_shapes = &cases[i].shape, .opt_count = 1},
                                                {.max_shapes = &cases[i].shape, .max_count = 1}};
        static const char *const names[] = {"min", "opt", "max"};
        for (int k = 0; k < 3; k++)
            for (int package = 0; package < 2; package++) { // where they came from
                char text[64];
                assert_int_equal(
                    norn_compile_profile(graph, &options[k], package ? NULL : &options[k]),
                    NORN_INVALID_ARGUMENT);
                snprintf(text, sizeof text,
                         package ? "norn.json: \"profile.%s\": " : "--%s-shapes: ", names[k]);
                assert_ptr_equal(strstr(norn_message(), text), norn_message());
                assert_non_null(strstr(norn_message(), cases[i].words));
            }
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
        cmocka_unit_test(the_batch_is_inferred_from_first_dims_alone),
        CASE(a_dimension_that_is_named_is_the_batch),
        CASE(a_dimension_is_a_decimal_number),
        CASE(what_was_said_stays_and_what_follows_is_bounded),
        CASE(bounds_are_said_by_shapes_and_in_order),
        CASE(bounds_that_do_not_fit_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
