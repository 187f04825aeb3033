#include "graph/dim.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

// ---- expressions made at random, beside the same in plain integers

enum { EXPRESSIONS = 60, SAMPLES = 12, INPUTS = 3, LOWEST = 0, HIGHEST = 1, USUAL = 2 };
static const int64_t input_bounds[INPUTS][3] = {{1, 40, 9}, {2, 50, 7}, {3, 6, 4}}; // min, max, opt

typedef struct expression {
    norn_dim dim;
    int64_t at[SAMPLES];
    bool defined[SAMPLES]; ///< nothing was divided by 0, and nothing is very large
    bool grows;            ///< with each of the inputs, and is nowhere negative
    bool bounded;          ///< divides by what grows, and takes no rest of what may be negative
    int leaves;
} expression;

static uint64_t dice_state;

static uint64_t dice(uint64_t sides) {
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (dice_state >> 33) % sides;
}

static int64_t plain_floor(int64_t a, int64_t b) {
    int64_t q = a / b;
    while (q * b > a && b > 0) q--;
    while (q * b < a && b < 0) q--;
    return q;
}

static bool plain(norn_dim_op op, int64_t a, int64_t b, int64_t *out) {
    if (b == 0 && (op == NORN_DIM_FLOORDIV || op == NORN_DIM_CEILDIV || op == NORN_DIM_MOD))
        return false;
    switch (op) {
    case NORN_DIM_ADD:
        *out = a + b;
        break;
    case NORN_DIM_MUL:
        *out = a * b;
        break;
    case NORN_DIM_FLOORDIV:
        *out = plain_floor(a, b);
        break;
    case NORN_DIM_CEILDIV:
        *out = -plain_floor(-a, b);
        break;
    case NORN_DIM_MOD:
        *out = a - plain_floor(a, b) * b;
        break;
    case NORN_DIM_MIN:
        *out = a < b ? a : b;
        break;
    case NORN_DIM_MAX:
        *out = a > b ? a : b;
        break;
    }
    return *out < 1000000000 && *out > -1000000000;
}

static expression leaf(int input, int64_t constant) {
    expression e = {.dim = input < 0 ? num(constant) : norn_dim_symbol(input),
                    .grows = constant >= 0,
                    .bounded = true,
                    .leaves = 1};
    for (int k = 0; k < SAMPLES; k++) {
        e.defined[k] = true;
        e.at[k] = constant;
        if (input < 0) continue;
        const int64_t *bound = input_bounds[input];
        e.at[k] =
            k <= USUAL ? bound[k] : bound[0] + (k * 7 + input * 5) % (bound[1] - bound[0] + 1);
    }
    return e;
}

static bool combine(fixture *f, norn_dim_op op, const expression *a, const expression *b,
                    expression *out) {
    const bool divides = op == NORN_DIM_FLOORDIV || op == NORN_DIM_CEILDIV || op == NORN_DIM_MOD;
    for (int k = 0; k < SAMPLES && divides; k++)
        if (!b->defined[k] || b->at[k] < 0) return false; // divisors are counts
    if (norn_dim_apply(&f->symbols, op, a->dim, b->dim, &out->dim) != NORN_OK) {
        assert_true(divides && norn_dim_equal(b->dim, num(0)));
        return false;
    }
    out->leaves = a->leaves + b->leaves;
    out->bounded = a->bounded && b->bounded && (!divides || b->grows);
    out->grows = a->grows && b->grows && (!divides || (b->leaves == 1 && b->dim.symbol < 0));
    if (op == NORN_DIM_MOD) out->grows = false;
    for (int k = 0; k < SAMPLES; k++) {
        out->defined[k] =
            a->defined[k] && b->defined[k] && plain(op, a->at[k], b->at[k], &out->at[k]);
        if (op == NORN_DIM_MOD && a->at[k] < 0) out->bounded = false;
    }
    return true;
}

/// What simplifies does so in whatever order it comes.
static void assert_laws(fixture *f, const expression *a, const expression *b, const expression *c) {
    static const norn_dim_op either_way[] = {NORN_DIM_ADD, NORN_DIM_MUL, NORN_DIM_MIN,
                                             NORN_DIM_MAX};
    norn_dim back;
    if (a->leaves + b->leaves + c->leaves > 6) return;
    for (int i = 0; i < 4; i++)
        assert_true(norn_dim_equal(apply(f, either_way[i], a->dim, b->dim),
                                   apply(f, either_way[i], b->dim, a->dim)));
    for (int i = 0; i < 2; i++) {
        norn_dim left = apply(f, either_way[i], apply(f, either_way[i], a->dim, b->dim), c->dim),
                 right = apply(f, either_way[i], a->dim, apply(f, either_way[i], b->dim, c->dim));
        assert_true(norn_dim_equal(left, right));
    }
    assert_int_equal(
        norn_dim_sub(&f->symbols, apply(f, NORN_DIM_ADD, a->dim, b->dim), b->dim, &back), NORN_OK);
    assert_true(norn_dim_equal(back, a->dim));
    if (norn_dim_equal(a->dim, num(0)) || norn_dim_equal(b->dim, num(0))) return;
    const norn_dim product = apply(f, NORN_DIM_MUL, a->dim, b->dim);
    assert_true(norn_dim_equal(apply(f, NORN_DIM_FLOORDIV, product, b->dim), a->dim));
    assert_true(norn_dim_equal(apply(f, NORN_DIM_CEILDIV, product, b->dim), a->dim));
}

static void assert_values(fixture *f, int round, const expression *e, int count, int sample) {
    int64_t *values = calloc(NORN_SYMBOLS_MAX, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < INPUTS; i++) values[i] = e[i].at[sample];
    norn_symbols_eval(&f->symbols, values);
    for (int i = 0; i < count; i++) {
        if (!e[i].defined[sample] || norn_dim_eval(e[i].dim, values) == e[i].at[sample]) continue;
        fail_msg("round %d, sample %d: %s is %lld", round, sample, text(f, e[i].dim),
                 (long long)e[i].at[sample]);
    }
    free(values);
}

static void assert_bounds(fixture *f, const expression *e) {
    const int64_t least = norn_dim_min(&f->symbols, e->dim),
                  most = norn_dim_max(&f->symbols, e->dim);
    bool defined = e->bounded;
    for (int k = 0; k < SAMPLES; k++) defined = defined && e->defined[k];
    for (int k = 0; k < SAMPLES && defined; k++) {
        const int64_t value = e->at[k] < 0 ? 0 : e->at[k];
        if (value < least || (most != -1 && value > most))
            fail_msg("%s is %lld, not in %lld to %lld", text(f, e->dim), (long long)value,
                     (long long)least, (long long)most);
    }
    if (!defined || !e->grows || f->symbols.at[0].max < 0) return;
    assert_int_equal(least, e->at[LOWEST]);
    assert_int_equal(most, e->at[HIGHEST]);
    if (e->dim.symbol < 0) return;
    assert_int_equal(e->dim.constant + e->dim.coef * f->symbols.at[e->dim.symbol].opt,
                     e->at[USUAL]);
}

static void expressions_are_what_their_operations_say(void **state) {
    fixture *f = *state;
    for (int round = 0; round < 150; round++) {
        expression e[EXPRESSIONS];
        int count = 0, index;
        (void)teardown(state), (void)setup(state);
        assert_int_equal(norn_symbol_input(&f->symbols, "S", &index), NORN_OK);
        for (int i = 0; i < INPUTS; i++) e[count++] = leaf(i, 0);
        static const int64_t constants[] = {0, 1, 2, 3, 12, -1, -6};
        for (int i = 0; i < 7; i++) e[count++] = leaf(-1, constants[i]);
        dice_state = (uint64_t)round;
        while (count < EXPRESSIONS) {
            const expression *a = &e[dice((uint64_t)count)], *b = &e[dice((uint64_t)count)];
            if (combine(f, (norn_dim_op)dice(7), a, b, &e[count])) count++;
            assert_laws(f, a, b, &e[dice((uint64_t)count)]);
        }
        for (int k = 0; k < SAMPLES; k++) assert_values(f, round, e, count, k);
        for (int i = 0; i < count; i++) assert_bounds(f, &e[i]); // nothing is bounded
        for (int i = 0; i < INPUTS; i++) {
            norn_symbol *symbol = &f->symbols.at[i];
            symbol->min = input_bounds[i][0], symbol->max = input_bounds[i][1];
            symbol->opt = input_bounds[i][2];
        }
        norn_symbols_bound(&f->symbols);
        for (int i = 0; i < count; i++) assert_bounds(f, &e[i]);
    }
}

/// Sums and products of as many symbols as are put in order, and of one more, which stay right.
static void long_sums_and_products_are_right(void **state) {
    fixture *f = *state;
    enum { MANY = 9 };
    norn_dim at[MANY];
    int64_t values[256], sum = 0, product = 1;
    for (int i = 0; i < MANY; i++) {
        int32_t index;
        char name[8];
        snprintf(name, sizeof name, "D%d", i);
        assert_int_equal(norn_symbol_input(&f->symbols, name, &index), NORN_OK);
        at[i] = norn_dim_symbol(index);
    }
    for (int n = 2; n <= MANY; n++) {
        norn_dim up[2] = {at[0], at[0]}, down[2] = {at[n - 1], at[n - 1]};
        for (int i = 1; i < n; i++) {
            for (int k = 0; k < 2; k++) {
                const norn_dim_op op = k ? NORN_DIM_MUL : NORN_DIM_ADD;
                up[k] = apply(f, op, up[k], at[i]);
                down[k] = apply(f, op, down[k], at[n - 1 - i]);
            }
        }
        for (int k = 0; k < 2 && n < MANY; k++) assert_true(norn_dim_equal(up[k], down[k]));
        for (int i = 0; i < f->symbols.count; i++) values[i] = -1;
        sum = 0, product = 1;
        for (int i = 0; i < n; i++) {
            values[at[i].symbol] = i + 2;
            sum += i + 2, product *= i + 2;
        }
        norn_symbols_eval(&f->symbols, values);
        assert_int_equal(norn_dim_eval(up[0], values), sum);
        assert_int_equal(norn_dim_eval(down[0], values), sum);
        assert_int_equal(norn_dim_eval(up[1], values), product);
        assert_int_equal(norn_dim_eval(down[1], values), product);
    }
}

static void what_exceeds_64_bits_is_refused_wherever_it_comes_from(void **state) {
    fixture *f = *state;
    const norn_dim b = f->b, most = {INT64_MAX, 1, b.symbol}, steep = {0, INT64_MAX, b.symbol},
                   least = {INT64_MIN, 1, b.symbol}, t = f->t;
    const struct {
        norn_dim_op op;
        norn_dim a, b;
        norn_status status;
    } cases[] = {
        {NORN_DIM_ADD, num(INT64_MAX), num(1), NORN_INVALID_ARGUMENT},
        {NORN_DIM_ADD, num(INT64_MAX), num(0), NORN_OK},
        {NORN_DIM_ADD, num(INT64_MIN), num(-1), NORN_INVALID_ARGUMENT},
        {NORN_DIM_MUL, num(INT64_MIN), num(-1), NORN_INVALID_ARGUMENT},
        {NORN_DIM_CEILDIV, num(INT64_MIN), num(-1), NORN_INVALID_ARGUMENT},
        {NORN_DIM_CEILDIV, num(INT64_MIN), num(1), NORN_OK},
        {NORN_DIM_CEILDIV, num(4), num(0), NORN_INVALID_ARGUMENT},
        {NORN_DIM_ADD, most, num(1), NORN_INVALID_ARGUMENT},
        {NORN_DIM_ADD, num(1), most, NORN_INVALID_ARGUMENT},
        {NORN_DIM_ADD, most, num(-1), NORN_OK},
        {NORN_DIM_ADD, least, num(-1), NORN_INVALID_ARGUMENT},
        {NORN_DIM_MUL, steep, num(2), NORN_INVALID_ARGUMENT},
        {NORN_DIM_MUL, num(2), steep, NORN_INVALID_ARGUMENT},
        {NORN_DIM_MUL, steep, num(-1), NORN_OK},
        {NORN_DIM_MUL, most, num(3), NORN_INVALID_ARGUMENT},
        {NORN_DIM_MUL, t, num(INT64_MAX), NORN_OK},
        {NORN_DIM_MOD, t, num(0), NORN_INVALID_ARGUMENT},
        {NORN_DIM_MOD, t, num(-3), NORN_OK},
        {NORN_DIM_MOD, t, num(1), NORN_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_dim out;
        const norn_status status =
            norn_dim_apply(&f->symbols, cases[i].op, cases[i].a, cases[i].b, &out);
        if (status != cases[i].status) fail_msg("case %d: %s", (int)i, norn_message());
    }
    norn_dim out;
    assert_int_equal(norn_dim_sub(NULL, num(INT64_MIN), num(1), &out), NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_dim_sub(NULL, num(-1), num(INT64_MAX), &out), NORN_OK);
    assert_int_equal(out.constant, INT64_MIN);
    assert_int_equal(norn_dim_sub(NULL, b, num(1), &out), NORN_INTERNAL);
    assert_int_equal(norn_dim_apply(NULL, NORN_DIM_MUL, b, num(1), &out), NORN_INTERNAL);
}

static void counts_that_exceed_64_bits_stay_at_the_end(void **state) {
    fixture *f = *state;
    const norn_dim b = f->b, t = f->t;
    const norn_dim sum = apply(f, NORN_DIM_ADD, b, t), product = apply(f, NORN_DIM_MUL, b, t),
                   half = apply(f, NORN_DIM_FLOORDIV, product, num(2)),
                   up = apply(f, NORN_DIM_CEILDIV, product, num(2)),
                   rest = apply(f, NORN_DIM_MOD, t, b), ratio = apply(f, NORN_DIM_FLOORDIV, t, b);
    const int64_t huge = INT64_MAX;
    int64_t values[32] = {0};
    values[b.symbol] = 3, values[t.symbol] = huge - 1;
    norn_symbols_eval(&f->symbols, values);
    assert_int_equal(norn_dim_eval(sum, values), huge);
    assert_int_equal(norn_dim_eval(product, values), huge);
    assert_int_equal(norn_dim_eval(half, values), huge); // an infinity stays one
    assert_int_equal(norn_dim_eval(up, values), huge);
    assert_int_equal(norn_dim_eval((norn_dim){3, 2, t.symbol}, values), huge);
    assert_int_equal(norn_dim_eval((norn_dim){3, -2, t.symbol}, values), -huge + 3);
    values[b.symbol] = 0, values[t.symbol] = 5; // an empty tensor split by an empty one
    norn_symbols_eval(&f->symbols, values);
    assert_int_equal(norn_dim_eval(rest, values), 0);
    assert_int_equal(norn_dim_eval(ratio, values), 0);
    assert_int_equal(norn_dim_eval(sum, values), 5);
    values[b.symbol] = -1; // not known: nor is what follows from it
    norn_symbols_eval(&f->symbols, values);
    const norn_dim unknown[] = {sum, product, half, up, rest, ratio};
    for (int i = 0; i < 6; i++) assert_int_equal(norn_dim_eval(unknown[i], values), -1);
}

static void dimensions_are_written_as_people_do(void **state) {
    fixture *f = *state;
    const norn_dim b = f->b, t = f->t, more = {3, 2, t.symbol}, less = {-3, -1, t.symbol};
    const struct {
        norn_dim dim;
        const char *text;
    } cases[] = {
        {num(-7), "-7"},
        {b, "B"},
        {more, "2*T+3"},
        {less, "-T-3"},
        {(norn_dim){0, -2, b.symbol}, "-2*B"},
        {(norn_dim){0, 1, 99}, "?"},
        {apply(f, NORN_DIM_ADD, b, t), "(B+T)"},
        {apply(f, NORN_DIM_ADD, b, less), "(B-T)-3"},
        {apply(f, NORN_DIM_MUL, b, more), "B*(2*T+3)"},
        {apply(f, NORN_DIM_FLOORDIV, more, b), "floor((2*T+3)/B)"},
        {apply(f, NORN_DIM_CEILDIV, b, more), "ceil(B/(2*T+3))"},
        {apply(f, NORN_DIM_MOD, more, b), "((2*T+3)%B)"},
        {apply(f, NORN_DIM_MIN, b, more), "min(B,2*T+3)"},
        {apply(f, NORN_DIM_MAX, b, more), "max(B,2*T+3)"},
        {apply(f, NORN_DIM_MIN, b, num(9)), "min(B,9)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(text(f, cases[i].dim), cases[i].text);
    char none[NORN_DIM_TEXT];
    assert_string_equal(norn_dim_text(NULL, more, none), "2*?+3");
}

static void shapes_are_equal_in_rank_and_every_dim(void **state) {
    fixture *f = *state;
    const norn_dim b = f->b;
    const norn_shape shapes[] = {
        norn_shape_unknown(),      {.rank = 0},      {1, {num(2)}},    {1, {b}},
        {2, {num(2), num(3)}},     {2, {num(2), b}}, {2, {b, num(3)}}, {2, {b, {0, 2, b.symbol}}},
        {2, {b, {1, 1, b.symbol}}}};
    enum { COUNT = sizeof shapes / sizeof *shapes };
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < COUNT; k++)
            assert_int_equal(norn_shape_equal(&shapes[i], &shapes[k]), i == k);
        assert_int_equal(norn_shape_is_const(&shapes[i]), i == 1 || i == 2 || i == 4);
    }
    const norn_shape four = {4, {num(2), b, num(5), num(7)}};
    const struct {
        int begin, end;
        int64_t constant, coef;
    } cases[] = {{0, 4, 0, 70}, {0, 1, 2, 0}, {1, 3, 0, 5},
                 {2, 4, 35, 0}, {2, 2, 1, 0}, {4, 4, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_dim out;
        assert_int_equal(norn_shape_product(&f->symbols, &four, cases[i].begin, cases[i].end, &out),
                         NORN_OK);
        assert_int_equal(out.constant, cases[i].constant);
        assert_int_equal(out.coef, cases[i].coef);
        assert_int_equal(out.symbol, cases[i].coef ? b.symbol : -1);
    }
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
        CASE(expressions_are_what_their_operations_say),
        CASE(long_sums_and_products_are_right),
        CASE(what_exceeds_64_bits_is_refused_wherever_it_comes_from),
        CASE(counts_that_exceed_64_bits_stay_at_the_end),
        CASE(dimensions_are_written_as_people_do),
        CASE(shapes_are_equal_in_rank_and_every_dim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
