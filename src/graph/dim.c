#include "graph/dim.h"

#include "base/checked.h"

#include <stdlib.h>

// Sums and products are flattened, sorted and folded again from the left, so that the order in
// which a shape function multiplies does not matter: (B*T)*S and S*(T*B) are the same symbol.
enum { PARTS_MAX = 8, VISITS_MAX = 64 };

typedef struct sum {
    int64_t constant;
    norn_dim term[PARTS_MAX]; // constant 0
    uint32_t count, visits;
} sum;

typedef struct product {
    int64_t coef;
    norn_dim factor[PARTS_MAX]; // coprime constant and coef, coef > 0
    uint32_t count, visits;
} product;

static int64_t gcd(int64_t a, int64_t b) {
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a;
    uint64_t y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    while (y != 0) {
        uint64_t rest = x % y;
        x = y;
        y = rest;
    }
    return x > INT64_MAX ? 1 : (int64_t)x;
}

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return a % b != 0 && (a < 0) == (b < 0) ? q + 1 : q;
}

static norn_status overflow(void) {
    return norn_fail(NORN_INVALID_ARGUMENT, "a dimension overflows 64 bits");
}

static norn_status apply_const(norn_dim_op op, int64_t a, int64_t b, norn_dim *out) {
    int64_t r = 0;
    bool divides = op == NORN_DIM_FLOORDIV || op == NORN_DIM_CEILDIV || op == NORN_DIM_MOD;
    if (divides && b == 0) return norn_fail(NORN_INVALID_ARGUMENT, "a dimension is divided by 0");
    if (divides && b == -1 && a == INT64_MIN) return overflow();
    switch (op) {
    case NORN_DIM_ADD:
        if (!norn_i64_add(a, b, &r)) return overflow();
        break;
    case NORN_DIM_MUL:
        if (!norn_i64_mul(a, b, &r)) return overflow();
        break;
    case NORN_DIM_FLOORDIV:
        r = floor_div(a, b);
        break;
    case NORN_DIM_CEILDIV:
        r = ceil_div(a, b);
        break;
    case NORN_DIM_MOD:
        r = a - floor_div(a, b) * b;
        break;
    case NORN_DIM_MIN:
        r = a < b ? a : b;
        break;
    case NORN_DIM_MAX:
        r = a > b ? a : b;
        break;
    }
    *out = norn_dim_const(r);
    return NORN_OK;
}

/// The symbol op(a, b), found or new.
static norn_status intern(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                          norn_dim *out) {
    for (int32_t i = symbols->count; i-- > 0;) {
        const norn_symbol *s = &symbols->at[i];
        if (s->kind == NORN_SYMBOL_DERIVED && s->op == op && norn_dim_equal(s->a, a) &&
            norn_dim_equal(s->b, b)) {
            *out = norn_dim_symbol(i);
            return NORN_OK;
        }
    }
    int32_t index;
    NORN_TRY(norn_symbol_derived(symbols, op, a, b, &index));
    *out = norn_dim_symbol(index);
    return NORN_OK;
}

static bool comes_before(norn_dim a, norn_dim b) {
    if (a.symbol != b.symbol) return a.symbol < b.symbol;
    if (a.constant != b.constant) return a.constant < b.constant;
    return a.coef < b.coef;
}

static bool insert_sorted(norn_dim *at, uint32_t *count, norn_dim dim) {
    if (*count == PARTS_MAX) return false;
    uint32_t i = (*count)++;
    for (; i > 0 && comes_before(dim, at[i - 1]); i--) at[i] = at[i - 1];
    at[i] = dim;
    return true;
}

// ---- sums

static bool sum_term(sum *s, norn_dim term) {
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->term[i].symbol != term.symbol) continue;
        if (!norn_i64_add(s->term[i].coef, term.coef, &s->term[i].coef)) return false;
        if (s->term[i].coef != 0) return true;
        for (s->count--; i < s->count; i++) s->term[i] = s->term[i + 1];
        return true;
    }
    return insert_sorted(s->term, &s->count, term);
}

/// Adds scale * dim. False: too large to flatten.
static bool sum_add(const norn_symbols *symbols, sum *s, norn_dim dim, int64_t scale) {
    int64_t constant, coef;
    if (s->visits++ == VISITS_MAX || !norn_i64_mul(dim.constant, scale, &constant) ||
        !norn_i64_add(s->constant, constant, &s->constant)) {
        return false;
    }
    if (norn_dim_is_const(dim)) return true;
    if (!norn_i64_mul(dim.coef, scale, &coef)) return false;
    const norn_symbol *symbol = &symbols->at[dim.symbol];
    if (symbol->kind == NORN_SYMBOL_DERIVED && symbol->op == NORN_DIM_ADD) {
        return sum_add(symbols, s, symbol->a, coef) && sum_add(symbols, s, symbol->b, coef);
    }
    return sum_term(s, (norn_dim){0, coef, dim.symbol});
}

static norn_status sum_build(norn_symbols *symbols, const sum *s, norn_dim *out) {
    if (s->count == 0) {
        *out = norn_dim_const(s->constant);
        return NORN_OK;
    }
    int64_t common = s->term[0].coef;
    for (uint32_t i = 1; i < s->count; i++) common = gcd(common, s->term[i].coef);
    if ((common < 0) != (s->term[0].coef < 0)) common = -common;
    norn_dim all = {0, s->term[0].coef / common, s->term[0].symbol};
    for (uint32_t i = 1; i < s->count; i++) {
        norn_dim term = {0, s->term[i].coef / common, s->term[i].symbol};
        NORN_TRY(intern(symbols, NORN_DIM_ADD, all, term, &all));
    }
    *out = (norn_dim){s->constant, all.coef * common, all.symbol};
    return NORN_OK;
}

static norn_status add(norn_symbols *symbols, norn_dim a, norn_dim b, int64_t scale_b,
                       norn_dim *out) {
    sum s = {0};
    if (sum_add(symbols, &s, a, 1) && sum_add(symbols, &s, b, scale_b)) {
        return sum_build(symbols, &s, out);
    }
    norn_dim scaled;
    if (!norn_i64_mul(b.constant, scale_b, &scaled.constant) ||
        !norn_i64_mul(b.coef, scale_b, &scaled.coef)) {
        return overflow();
    }
    scaled.symbol = b.symbol;
    if (norn_dim_is_const(a) || norn_dim_is_const(scaled)) { // only an overflow comes here
        return overflow();
    }
    return intern(symbols, NORN_DIM_ADD, a, scaled, out);
}

// ---- products

static bool product_mul(const norn_symbols *symbols, product *p, norn_dim dim) {
    if (p->visits++ == VISITS_MAX) return false;
    if (norn_dim_is_const(dim)) return norn_i64_mul(p->coef, dim.constant, &p->coef);
    int64_t common = gcd(dim.constant, dim.coef);
    if (dim.coef < 0) common = -common;
    if (!norn_i64_mul(p->coef, common, &p->coef)) return false;
    norn_dim factor = {dim.constant / common, dim.coef / common, dim.symbol};
    const norn_symbol *symbol = &symbols->at[dim.symbol];
    if (factor.constant == 0 && symbol->kind == NORN_SYMBOL_DERIVED && symbol->op == NORN_DIM_MUL) {
        return product_mul(symbols, p, symbol->a) && product_mul(symbols, p, symbol->b);
    }
    return insert_sorted(p->factor, &p->count, factor);
}

static norn_status product_build(norn_symbols *symbols, const product *p, norn_dim *out) {
    if (p->count == 0 || p->coef == 0) {
        *out = norn_dim_const(p->coef);
        return NORN_OK;
    }
    norn_dim all = p->factor[0];
    for (uint32_t i = 1; i < p->count; i++) {
        NORN_TRY(intern(symbols, NORN_DIM_MUL, all, p->factor[i], &all));
    }
    if (!norn_i64_mul(all.constant, p->coef, &all.constant) ||
        !norn_i64_mul(all.coef, p->coef, &all.coef)) {
        return overflow();
    }
    *out = all;
    return NORN_OK;
}

static norn_status multiply(norn_symbols *symbols, norn_dim a, norn_dim b, norn_dim *out) {
    product p = {.coef = 1};
    if (product_mul(symbols, &p, a) && product_mul(symbols, &p, b)) {
        return product_build(symbols, &p, out);
    }
    if (norn_dim_is_const(a) || norn_dim_is_const(b)) return overflow();
    return intern(symbols, NORN_DIM_MUL, a, b, out);
}

// ---- quotients

static void cancel(product *a, product *b) {
    for (uint32_t i = 0; i < b->count;) {
        uint32_t j = 0;
        while (j < a->count && !norn_dim_equal(a->factor[j], b->factor[i])) j++;
        if (j == a->count) {
            i++;
            continue;
        }
        for (a->count--; j < a->count; j++) a->factor[j] = a->factor[j + 1];
        b->count--;
        for (uint32_t k = i; k < b->count; k++) b->factor[k] = b->factor[k + 1];
    }
    int64_t common = gcd(a->coef, b->coef);
    if (b->coef < 0) common = -common;
    a->coef /= common;
    b->coef /= common;
}

/// (c + k*s) / d with the whole part taken out: c/d + ((c mod d) + k*s) / d.
static norn_status divide_by_const(norn_symbols *symbols, norn_dim_op op, norn_dim a, int64_t d,
                                   norn_dim *out) {
    if (a.coef % d == 0) {
        int64_t whole = op == NORN_DIM_CEILDIV ? ceil_div(a.constant, d) : floor_div(a.constant, d);
        *out = (norn_dim){whole, a.coef / d, a.symbol};
        return NORN_OK;
    }
    int64_t whole = floor_div(a.constant, d);
    norn_dim rest = {a.constant - whole * d, a.coef, a.symbol};
    NORN_TRY(intern(symbols, op, rest, norn_dim_const(d), out));
    out->constant = whole;
    return NORN_OK;
}

static norn_status divide(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                          norn_dim *out) {
    if (norn_dim_is_const(b) && b.constant == 0) {
        return norn_fail(NORN_INVALID_ARGUMENT, "a dimension is divided by 0");
    }
    product pa = {.coef = 1}, pb = {.coef = 1};
    if (product_mul(symbols, &pa, a) && product_mul(symbols, &pb, b) && pb.coef != 0 &&
        pb.coef != INT64_MIN && pa.coef != INT64_MIN) {
        cancel(&pa, &pb);
        NORN_TRY(product_build(symbols, &pa, &a));
        NORN_TRY(product_build(symbols, &pb, &b));
    }
    if (norn_dim_is_const(a) && norn_dim_is_const(b)) {
        return apply_const(op, a.constant, b.constant, out);
    }
    if (norn_dim_is_const(b) && b.constant > 0) {
        return divide_by_const(symbols, op, a, b.constant, out);
    }
    return intern(symbols, op, a, b, out);
}

static norn_status modulo(norn_symbols *symbols, norn_dim a, norn_dim b, norn_dim *out) {
    if (norn_dim_equal(a, b)) {
        *out = norn_dim_const(0);
        return NORN_OK;
    }
    if (!norn_dim_is_const(b)) return intern(symbols, NORN_DIM_MOD, a, b, out);
    int64_t d = b.constant;
    if (d == 0) return norn_fail(NORN_INVALID_ARGUMENT, "a dimension is divided by 0");
    if (d < 0) return intern(symbols, NORN_DIM_MOD, a, b, out);
    norn_dim rest = {a.constant - floor_div(a.constant, d) * d, a.coef - floor_div(a.coef, d) * d,
                     a.symbol};
    if (rest.coef == 0) {
        *out = norn_dim_const(rest.constant);
        return NORN_OK;
    }
    return intern(symbols, NORN_DIM_MOD, rest, b, out);
}

// ---- extrema

/// Slice writes "to the end" as a huge constant.
static bool is_endless(norn_dim dim) {
    return norn_dim_is_const(dim) && dim.constant >= INT32_MAX;
}

static norn_status extremum(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                            norn_dim *out) {
    bool least = op == NORN_DIM_MIN;
    if (norn_dim_is_const(a) || comes_before(b, a)) { // commutative: one order, constant last
        if (!norn_dim_is_const(b)) {
            norn_dim t = a;
            a = b;
            b = t;
        }
    }
    if (a.symbol == b.symbol && a.coef == b.coef) {
        *out = (a.constant < b.constant) == least ? a : b;
        return NORN_OK;
    }
    if (norn_dim_is_const(b)) {
        bool a_not_negative = a.coef > 0 && a.constant >= 0 && symbols->at[a.symbol].min >= 0;
        if (is_endless(b) && least) {
            *out = a;
            return NORN_OK;
        }
        if (a_not_negative && b.constant <= a.constant) {
            *out = least ? b : a;
            return NORN_OK;
        }
    }
    return intern(symbols, op, a, b, out);
}

norn_status norn_dim_apply(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                           norn_dim *out) {
    if (norn_dim_is_const(a) && norn_dim_is_const(b)) {
        return apply_const(op, a.constant, b.constant, out);
    }
    if (!symbols) return norn_fail(NORN_INTERNAL, "a symbolic dimension where none can be");
    switch (op) {
    case NORN_DIM_ADD:
        return add(symbols, a, b, 1, out);
    case NORN_DIM_MUL:
        return multiply(symbols, a, b, out);
    case NORN_DIM_FLOORDIV:
    case NORN_DIM_CEILDIV:
        return divide(symbols, op, a, b, out);
    case NORN_DIM_MOD:
        return modulo(symbols, a, b, out);
    case NORN_DIM_MIN:
    case NORN_DIM_MAX:
        return extremum(symbols, op, a, b, out);
    }
    return norn_fail(NORN_INTERNAL, "dimension operation %d", (int)op);
}

norn_status norn_dim_sub(norn_symbols *symbols, norn_dim a, norn_dim b, norn_dim *out) {
    if (norn_dim_is_const(a) && norn_dim_is_const(b)) {
        int64_t r;
        if (__builtin_sub_overflow(a.constant, b.constant, &r)) return overflow();
        *out = norn_dim_const(r);
        return NORN_OK;
    }
    if (!symbols) return norn_fail(NORN_INTERNAL, "a symbolic dimension where none can be");
    return add(symbols, a, b, -1, out);
}

bool norn_shape_equal(const norn_shape *a, const norn_shape *b) {
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++) {
        if (!norn_dim_equal(a->dims[i], b->dims[i])) return false;
    }
    return true;
}

bool norn_shape_is_const(const norn_shape *shape) {
    if (shape->rank < 0) return false;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (!norn_dim_is_const(shape->dims[i])) return false;
    }
    return true;
}

norn_status norn_shape_product(norn_symbols *symbols, const norn_shape *shape, int32_t begin,
                               int32_t end, norn_dim *out) {
    norn_dim all = norn_dim_const(1);
    for (int32_t i = begin; i < end; i++) {
        NORN_TRY(norn_dim_apply(symbols, NORN_DIM_MUL, all, shape->dims[i], &all));
    }
    *out = all;
    return NORN_OK;
}
