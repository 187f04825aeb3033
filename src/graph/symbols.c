#include "graph/dim.h"

#include <stdio.h>
#include <string.h>

static norn_status grow(norn_symbols *symbols) {
    if (symbols->count >= NORN_SYMBOLS_MAX) {
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "the graph has more than %d symbolic dimensions",
                         (int)NORN_SYMBOLS_MAX);
    }
    return NORN_TAKE_MORE(symbols->arena, &symbols->at, (size_t)symbols->count, &symbols->capacity);
}

norn_status norn_symbol_input(norn_symbols *symbols, const char *name, int32_t *out) {
    for (int32_t i = 0; i < symbols->count; i++) {
        if (symbols->at[i].kind == NORN_SYMBOL_INPUT && strcmp(symbols->at[i].name, name) == 0) {
            *out = i;
            return NORN_OK;
        }
    }
    NORN_TRY(grow(symbols));
    norn_symbol *symbol = &symbols->at[symbols->count];
    *symbol = (norn_symbol){.kind = NORN_SYMBOL_INPUT, .min = 1, .opt = 1, .max = -1};
    NORN_TRY(norn_arena_string(symbols->arena, name, strlen(name), &symbol->name));
    *out = symbols->count++;
    return NORN_OK;
}

norn_status norn_symbol_runtime(norn_symbols *symbols, norn_dim *out) {
    NORN_TRY(grow(symbols));
    norn_symbol *symbol = &symbols->at[symbols->count];
    *symbol = (norn_symbol){.kind = NORN_SYMBOL_RUNTIME, .min = 0, .opt = 1, .max = -1};
    NORN_TRY(norn_arena_format(symbols->arena, &symbol->name, "?%d", (int)symbols->count));
    *out = norn_dim_symbol(symbols->count++);
    return NORN_OK;
}

// ---- text

const char *norn_dim_text(const norn_symbols *symbols, norn_dim dim, char text[NORN_DIM_TEXT]) {
    char scaled[NORN_DIM_TEXT];
    if (norn_dim_is_const(dim)) {
        snprintf(text, NORN_DIM_TEXT, "%lld", (long long)dim.constant);
        return text;
    }
    const char *name = symbols && dim.symbol < symbols->count ? symbols->at[dim.symbol].name : "?";
    if (dim.coef == 1) {
        snprintf(scaled, sizeof scaled, "%.40s", name);
    } else if (dim.coef == -1) {
        snprintf(scaled, sizeof scaled, "-%.40s", name);
    } else {
        snprintf(scaled, sizeof scaled, "%lld*%.24s", (long long)dim.coef, name);
    }
    if (dim.constant == 0) {
        snprintf(text, NORN_DIM_TEXT, "%s", scaled);
    } else {
        snprintf(text, NORN_DIM_TEXT, "%.26s%+lld", scaled, (long long)dim.constant);
    }
    return text;
}

static norn_status derived_name(norn_symbols *symbols, norn_symbol *symbol) {
    static const char *const formats[] = {
        [NORN_DIM_ADD] = "(%s%s%s)",           [NORN_DIM_MUL] = "%s%s%s",
        [NORN_DIM_FLOORDIV] = "floor(%s%s%s)", [NORN_DIM_CEILDIV] = "ceil(%s%s%s)",
        [NORN_DIM_MOD] = "(%s%s%s)",           [NORN_DIM_MIN] = "min(%s%s%s)",
        [NORN_DIM_MAX] = "max(%s%s%s)",
    };
    static const char *const signs[] = {
        [NORN_DIM_ADD] = "+",     [NORN_DIM_MUL] = "*", [NORN_DIM_FLOORDIV] = "/",
        [NORN_DIM_CEILDIV] = "/", [NORN_DIM_MOD] = "%", [NORN_DIM_MIN] = ",",
        [NORN_DIM_MAX] = ",",
    };
    char text[2][NORN_DIM_TEXT], operand[2][NORN_DIM_TEXT + 2], name[3 * NORN_DIM_TEXT];
    for (int i = 0; i < 2; i++) {
        norn_dim dim = i ? symbol->b : symbol->a;
        norn_dim_text(symbols, dim, text[i]);
        // An affine operand of a product or quotient is a sum and needs its parentheses.
        bool wrap = dim.constant != 0 && dim.symbol >= 0 && symbol->op != NORN_DIM_MIN &&
                    symbol->op != NORN_DIM_MAX && symbol->op != NORN_DIM_ADD;
        snprintf(operand[i], sizeof operand[i], wrap ? "(%s)" : "%s", text[i]);
    }
    const char *sign = symbol->op == NORN_DIM_ADD && operand[1][0] == '-' ? "" : signs[symbol->op];
    const char *format = formats[symbol->op];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof name, format, operand[0], sign, operand[1]);
#pragma GCC diagnostic pop
    return norn_arena_string(symbols->arena, name, strlen(name), &symbol->name);
}

// ---- values

static int64_t sat_add(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_add_overflow(a, b, &r)) return r;
    return a > 0 ? INT64_MAX : -INT64_MAX;
}

static int64_t sat_mul(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_mul_overflow(a, b, &r) && r != INT64_MIN) return r;
    return (a < 0) == (b < 0) ? INT64_MAX : -INT64_MAX;
}

static int64_t sat_floor_div(int64_t a, int64_t b) {
    if (b == 0) return 0; // an empty tensor split by an empty one
    if (b == -1) return a == INT64_MIN ? INT64_MAX : -a;
    if (a == INT64_MAX || a == -INT64_MAX) return b > 0 ? a : -a; // an infinity stays one
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int64_t apply(norn_dim_op op, int64_t a, int64_t b) {
    switch (op) {
    case NORN_DIM_ADD:
        return sat_add(a, b);
    case NORN_DIM_MUL:
        return sat_mul(a, b);
    case NORN_DIM_FLOORDIV:
        return sat_floor_div(a, b);
    case NORN_DIM_CEILDIV:
        return sat_mul(-1, sat_floor_div(sat_mul(-1, a), b));
    case NORN_DIM_MOD:
        return b == 0 ? 0 : sat_add(a, sat_mul(-1, sat_mul(sat_floor_div(a, b), b)));
    case NORN_DIM_MIN:
        return a < b ? a : b;
    case NORN_DIM_MAX:
        return a > b ? a : b;
    }
    return -1;
}

static int64_t affine(norn_dim dim, int64_t value) {
    return sat_add(dim.constant, sat_mul(dim.coef, value));
}

/// -1 is "not known", so a sum in the middle of an expression that is -n is kept as -n - 1.
static int64_t kept(int64_t value) {
    return value < 0 ? value - 1 : value;
}

static int64_t from_kept(int64_t value) {
    return value < 0 ? value + 1 : value;
}

int64_t norn_dim_eval(norn_dim dim, const int64_t *symbol_values) {
    if (norn_dim_is_const(dim)) return dim.constant;
    int64_t value = symbol_values[dim.symbol];
    return value == -1 ? -1 : affine(dim, from_kept(value));
}

static bool is_unknown(norn_dim dim, const int64_t *values) {
    return !norn_dim_is_const(dim) && values[dim.symbol] == -1;
}

void norn_symbols_eval(const norn_symbols *symbols, int64_t *values) {
    for (int32_t i = 0; i < symbols->count; i++) {
        const norn_symbol *s = &symbols->at[i];
        if (s->kind != NORN_SYMBOL_DERIVED) continue;
        if (is_unknown(s->a, values) || is_unknown(s->b, values)) {
            values[i] = -1;
            continue;
        }
        values[i] = kept(apply(s->op, norn_dim_eval(s->a, values), norn_dim_eval(s->b, values)));
    }
}

// ---- bounds

/// Inclusive; INT64_MAX and -INT64_MAX stand for "not bounded".
typedef struct range {
    int64_t low, high;
} range;

static range range_of(const norn_symbols *symbols, norn_dim dim) {
    if (norn_dim_is_const(dim)) return (range){dim.constant, dim.constant};
    const norn_symbol *s = &symbols->at[dim.symbol];
    int64_t high = s->max < 0 ? INT64_MAX : s->max;
    range r = {affine(dim, s->min), affine(dim, high)};
    if (high == INT64_MAX) r.high = dim.coef > 0 ? INT64_MAX : -INT64_MAX;
    return dim.coef > 0 ? r : (range){r.high, r.low};
}

static range range_apply(norn_dim_op op, range a, range b) {
    range r = {apply(op, a.low, b.low), apply(op, a.high, b.high)};
    if (op == NORN_DIM_MUL) {
        int64_t corner[2] = {sat_mul(a.low, b.high), sat_mul(a.high, b.low)};
        int64_t first = r.low < r.high ? r.low : r.high, last = r.low < r.high ? r.high : r.low;
        for (int i = 0; i < 2; i++) {
            first = corner[i] < first ? corner[i] : first;
            last = corner[i] > last ? corner[i] : last;
        }
        return (range){first, last};
    }
    if (op == NORN_DIM_FLOORDIV || op == NORN_DIM_CEILDIV) {
        // Divisors are counts.
        int64_t least = b.low < 1 ? 1 : b.low, most = b.high < 1 ? 1 : b.high;
        r.low = apply(op, a.low, a.low < 0 ? least : most);
        r.high = apply(op, a.high, a.high < 0 ? most : least);
    }
    if (op == NORN_DIM_MOD) r = (range){0, b.high == INT64_MAX ? a.high : b.high - 1};
    if (op == NORN_DIM_ADD) { // an infinity stays one
        if (a.low == -INT64_MAX || b.low == -INT64_MAX) r.low = -INT64_MAX;
        if (a.high == INT64_MAX || b.high == INT64_MAX) r.high = INT64_MAX;
    }
    return r;
}

static int64_t opt_of(const norn_symbols *symbols, norn_dim dim) {
    return norn_dim_is_const(dim) ? dim.constant : affine(dim, symbols->at[dim.symbol].opt);
}

static void bound(norn_symbols *symbols, norn_symbol *s) {
    range r = range_apply(s->op, range_of(symbols, s->a), range_of(symbols, s->b));
    s->min = r.low; // B - T may be negative inside of max(0, B - T)
    s->max = r.high == INT64_MAX ? -1 : r.high < 0 ? 0 : r.high;
    s->opt = apply(s->op, opt_of(symbols, s->a), opt_of(symbols, s->b));
    if (s->opt < 0) s->opt = 0;
}

void norn_symbols_bound(norn_symbols *symbols) {
    for (int32_t i = 0; i < symbols->count; i++) {
        if (symbols->at[i].kind == NORN_SYMBOL_DERIVED) bound(symbols, &symbols->at[i]);
    }
}

int64_t norn_dim_min(const norn_symbols *symbols, norn_dim dim) {
    int64_t low = range_of(symbols, dim).low;
    return low < 0 ? 0 : low;
}

int64_t norn_dim_max(const norn_symbols *symbols, norn_dim dim) {
    int64_t high = range_of(symbols, dim).high;
    return high == INT64_MAX ? -1 : high < 0 ? 0 : high;
}

norn_status norn_symbol_derived(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                                int32_t *out) {
    NORN_TRY(grow(symbols));
    norn_symbol *symbol = &symbols->at[symbols->count];
    *symbol = (norn_symbol){.kind = NORN_SYMBOL_DERIVED, .op = op, .a = a, .b = b};
    NORN_TRY(derived_name(symbols, symbol));
    bound(symbols, symbol);
    *out = symbols->count++;
    return NORN_OK;
}
