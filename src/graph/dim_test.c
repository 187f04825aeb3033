#include "graph/dim.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    norn_arena arena;
    norn_symbols symbols;
    norn_dim b, t;
} fixture;

static int setup(void **state) {
    static fixture f;
    int32_t index;
    norn_arena_init(&f.arena, norn_alloc_heap(), 4096);
    f.symbols = (norn_symbols){.arena = &f.arena};
    assert_int_equal(norn_symbol_input(&f.symbols, "B", &index), NORN_OK);
    f.b = norn_dim_symbol(index);
    assert_int_equal(norn_symbol_input(&f.symbols, "T", &index), NORN_OK);
    f.t = norn_dim_symbol(index);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    norn_arena_deinit(&((fixture *)*state)->arena);
    return 0;
}

static norn_dim apply(fixture *f, norn_dim_op op, norn_dim a, norn_dim b) {
    norn_dim out = norn_dim_const(-99);
    assert_int_equal(norn_dim_apply(&f->symbols, op, a, b, &out), NORN_OK);
    return out;
}

static norn_dim num(int64_t value) {
    return norn_dim_const(value);
}

static const char *text(fixture *f, norn_dim dim) {
    static char buffer[NORN_DIM_TEXT];
    return norn_dim_text(&f->symbols, dim, buffer);
}

static void an_input_symbol_is_found_again_by_its_name(void **state) {
    fixture *f = *state;
    int32_t index;
    assert_int_equal(norn_symbol_input(&f->symbols, "B", &index), NORN_OK);
    assert_int_equal(index, f->b.symbol);
    assert_int_equal(f->symbols.count, 2);
}

static void constants_need_no_symbols(void **state) {
    (void)state;
    const struct {
        norn_dim_op op;
        int64_t a, b, expect;
    } cases[] = {
        {NORN_DIM_ADD, 2, 3, 5},        {NORN_DIM_MUL, 4, 6, 24},    {NORN_DIM_FLOORDIV, 7, 2, 3},
        {NORN_DIM_FLOORDIV, -7, 2, -4}, {NORN_DIM_CEILDIV, 7, 2, 4}, {NORN_DIM_CEILDIV, -7, 2, -3},
        {NORN_DIM_MOD, 7, 3, 1},        {NORN_DIM_MOD, -1, 3, 2},    {NORN_DIM_MIN, 4, 9, 4},
        {NORN_DIM_MAX, 4, 9, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_dim out;
        assert_int_equal(norn_dim_apply(NULL, cases[i].op, num(cases[i].a), num(cases[i].b), &out),
                         NORN_OK);
        assert_true(norn_dim_is_const(out));
        assert_int_equal(out.constant, cases[i].expect);
    }
}

static void overflow_and_division_by_zero_are_refused(void **state) {
    fixture *f = *state;
    norn_dim out;
    assert_int_equal(norn_dim_apply(NULL, NORN_DIM_MUL, num(INT64_MAX), num(2), &out),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_dim_apply(NULL, NORN_DIM_MOD, num(1), num(0), &out),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_dim_apply(NULL, NORN_DIM_FLOORDIV, num(INT64_MIN), num(-1), &out),
                     NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_dim_apply(&f->symbols, NORN_DIM_FLOORDIV, f->b, num(0), &out),
                     NORN_INVALID_ARGUMENT);
    norn_dim big = {0, INT64_MAX, f->b.symbol};
    assert_int_equal(norn_dim_apply(&f->symbols, NORN_DIM_MUL, big, num(2), &out),
                     NORN_INVALID_ARGUMENT);
}

static void affine_terms_of_one_symbol_combine(void **state) {
    fixture *f = *state;
    norn_dim two_b = apply(f, NORN_DIM_ADD, f->b, f->b);
    assert_true(norn_dim_equal(two_b, (norn_dim){0, 2, f->b.symbol}));
    norn_dim d;
    assert_int_equal(norn_dim_sub(&f->symbols, two_b, f->b, &d), NORN_OK);
    assert_true(norn_dim_equal(d, f->b));
    assert_int_equal(norn_dim_sub(&f->symbols, d, f->b, &d), NORN_OK);
    assert_true(norn_dim_equal(d, num(0)));
    assert_string_equal(text(f, apply(f, NORN_DIM_ADD, two_b, num(-3))), "2*B-3");
}

static void products_do_not_depend_on_their_order(void **state) {
    fixture *f = *state;
    int32_t index;
    assert_int_equal(norn_symbol_input(&f->symbols, "S", &index), NORN_OK);
    norn_dim s = norn_dim_symbol(index);
    norn_dim x = apply(f, NORN_DIM_MUL, apply(f, NORN_DIM_MUL, f->b, f->t), s);
    norn_dim y = apply(f, NORN_DIM_MUL, s, apply(f, NORN_DIM_MUL, f->t, f->b));
    assert_true(norn_dim_equal(x, y));
    norn_dim scaled = apply(f, NORN_DIM_MUL, apply(f, NORN_DIM_MUL, num(4), f->t),
                            apply(f, NORN_DIM_MUL, f->b, num(2)));
    assert_true(
        norn_dim_equal(scaled, apply(f, NORN_DIM_MUL, num(8), apply(f, NORN_DIM_MUL, f->b, f->t))));
    assert_string_equal(text(f, scaled), "8*B*T");
}

static void sums_do_not_depend_on_their_order(void **state) {
    fixture *f = *state;
    norn_dim x = apply(f, NORN_DIM_ADD, apply(f, NORN_DIM_ADD, f->b, num(1)), f->t);
    norn_dim y = apply(f, NORN_DIM_ADD, f->t, apply(f, NORN_DIM_ADD, f->b, num(1)));
    assert_true(norn_dim_equal(x, y));
    assert_string_equal(text(f, x), "(B+T)+1");
    norn_dim rest;
    assert_int_equal(norn_dim_sub(&f->symbols, x, f->b, &rest), NORN_OK);
    assert_true(norn_dim_equal(rest, apply(f, NORN_DIM_ADD, f->t, num(1))));
}

static void a_reshape_finds_its_missing_dimension(void **state) {
    fixture *f = *state;
    // [B, T+3, 16] as [B, -1]: (B * (T+3) * 16) / B
    norn_dim t3 = apply(f, NORN_DIM_ADD, f->t, num(3));
    norn_dim total = apply(f, NORN_DIM_MUL, apply(f, NORN_DIM_MUL, f->b, t3), num(16));
    norn_dim rest = apply(f, NORN_DIM_FLOORDIV, total, f->b);
    assert_true(norn_dim_equal(rest, (norn_dim){48, 16, f->t.symbol}));
    // [B*T, 64] as [-1, T, 64]
    total = apply(f, NORN_DIM_MUL, apply(f, NORN_DIM_MUL, f->b, f->t), num(64));
    rest = apply(f, NORN_DIM_FLOORDIV, total, apply(f, NORN_DIM_MUL, f->t, num(64)));
    assert_true(norn_dim_equal(rest, f->b));
}

static void division_takes_whole_parts_out(void **state) {
    fixture *f = *state;
    norn_dim d = apply(f, NORN_DIM_FLOORDIV, (norn_dim){7, 2, f->t.symbol}, num(2));
    assert_true(norn_dim_equal(d, (norn_dim){3, 1, f->t.symbol}));
    norn_dim x = apply(f, NORN_DIM_FLOORDIV, (norn_dim){5, 1, f->t.symbol}, num(2));
    norn_dim y = apply(f, NORN_DIM_FLOORDIV, (norn_dim){1, 1, f->t.symbol}, num(2));
    assert_int_equal(x.symbol, y.symbol);
    assert_int_equal(x.constant - y.constant, 2);
    assert_string_equal(text(f, apply(f, NORN_DIM_CEILDIV, f->t, num(2))), "ceil(T/2)");
}

static void slicing_to_the_end_keeps_the_dimension(void **state) {
    fixture *f = *state;
    assert_true(norn_dim_equal(apply(f, NORN_DIM_MIN, f->t, num(INT64_MAX)), f->t));
    assert_true(norn_dim_equal(apply(f, NORN_DIM_MAX, num(0), f->t), f->t));
    assert_true(norn_dim_equal(apply(f, NORN_DIM_MIN, f->t, num(0)), num(0)));
    norn_dim ten = apply(f, NORN_DIM_MIN, f->t, num(10));
    assert_true(norn_dim_equal(ten, apply(f, NORN_DIM_MIN, num(10), f->t)));
    assert_string_equal(text(f, ten), "min(T,10)");
}

static void values_follow_from_those_of_inputs(void **state) {
    fixture *f = *state;
    norn_dim bt = apply(f, NORN_DIM_MUL, f->b, f->t);
    norn_dim half = apply(f, NORN_DIM_CEILDIV, bt, num(2));
    norn_dim ten = apply(f, NORN_DIM_MIN, f->t, num(10));
    int64_t values[16] = {0};
    values[f->b.symbol] = 7;
    values[f->t.symbol] = 13;
    norn_symbols_eval(&f->symbols, values);
    assert_int_equal(norn_dim_eval(bt, values), 91);
    assert_int_equal(norn_dim_eval(half, values), 46);
    assert_int_equal(norn_dim_eval(ten, values), 10);
    assert_int_equal(norn_dim_eval((norn_dim){1, 3, f->b.symbol}, values), 22);
    values[f->t.symbol] = -1;
    norn_symbols_eval(&f->symbols, values);
    assert_int_equal(norn_dim_eval(half, values), -1);
    assert_int_equal(norn_dim_eval(f->b, values), 7);
    values[f->t.symbol] = INT64_MAX;
    norn_symbols_eval(&f->symbols, values);
    assert_int_equal(norn_dim_eval(bt, values), INT64_MAX);
}

static void a_difference_may_be_negative_inside_of_a_maximum(void **state) {
    fixture *f = *state;
    norn_dim d;
    assert_int_equal(norn_dim_sub(&f->symbols, f->b, f->t, &d), NORN_OK);
    norn_dim clamped = apply(f, NORN_DIM_MAX, d, num(0));
    int64_t values[16] = {0};
    for (int64_t t = 1; t < 6; t++) {
        values[f->b.symbol] = 3;
        values[f->t.symbol] = t;
        norn_symbols_eval(&f->symbols, values);
        assert_int_equal(norn_dim_eval(clamped, values), t < 3 ? 3 - t : 0);
    }
}

static void bounds_follow_the_profile(void **state) {
    fixture *f = *state;
    norn_dim bt = apply(f, NORN_DIM_MUL, f->b, f->t);
    norn_dim run;
    assert_int_equal(norn_symbol_runtime(&f->symbols, &run), NORN_OK);
    norn_dim ten = apply(f, NORN_DIM_MIN, run, num(10));
    norn_dim diff;
    assert_int_equal(norn_dim_sub(&f->symbols, f->b, f->t, &diff), NORN_OK);
    assert_int_equal(norn_dim_max(&f->symbols, bt), -1);
    assert_int_equal(norn_dim_max(&f->symbols, ten), 10);
    f->symbols.at[f->b.symbol].max = 1024;
    f->symbols.at[f->t.symbol].max = 50;
    f->symbols.at[f->t.symbol].min = 2;
    norn_symbols_bound(&f->symbols);
    assert_int_equal(norn_dim_max(&f->symbols, bt), 51200);
    assert_int_equal(norn_dim_min(&f->symbols, bt), 2);
    assert_int_equal(norn_dim_max(&f->symbols, (norn_dim){3, 2, bt.symbol}), 102403);
    assert_int_equal(norn_dim_max(&f->symbols, diff), 1022);
    assert_int_equal(norn_dim_min(&f->symbols, diff), 0);
    assert_int_equal(norn_dim_max(&f->symbols, run), -1);
}

static void many_symbols_are_refused_not_endured(void **state) {
    fixture *f = *state;
    norn_dim out;
    norn_status status = NORN_OK;
    int i = 0;
    for (; i < 2 * NORN_SYMBOLS_MAX && status == NORN_OK; i++) {
        status = norn_symbol_runtime(&f->symbols, &out);
    }
    assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
    assert_int_equal(f->symbols.count, NORN_SYMBOLS_MAX);
}

static void a_chain_of_squares_ends(void **state) {
    fixture *f = *state;
    norn_dim d = f->b;
    for (int i = 0; i < 40; i++) d = apply(f, NORN_DIM_MUL, d, d);
    for (int i = 0; i < 40; i++) d = apply(f, NORN_DIM_ADD, d, apply(f, NORN_DIM_MUL, d, f->t));
    assert_true(f->symbols.count < 1000);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_input_symbol_is_found_again_by_its_name),
        CASE(constants_need_no_symbols),
        CASE(overflow_and_division_by_zero_are_refused),
        CASE(affine_terms_of_one_symbol_combine),
        CASE(products_do_not_depend_on_their_order),
        CASE(sums_do_not_depend_on_their_order),
        CASE(a_reshape_finds_its_missing_dimension),
        CASE(division_takes_whole_parts_out),
        CASE(slicing_to_the_end_keeps_the_dimension),
        CASE(values_follow_from_those_of_inputs),
        CASE(a_difference_may_be_negative_inside_of_a_maximum),
        CASE(bounds_follow_the_profile),
        CASE(many_symbols_are_refused_not_endured),
        CASE(a_chain_of_squares_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
