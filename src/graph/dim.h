/// Dimensions: a constant, or `constant + coef * symbol`. A symbol is an input's ("B"), derived
/// from other dimensions by one operation (B * T, ceil(T / 2)), or known only while running
/// (NonZero). Derived symbols are interned, so that equal expressions are equal bits.
#ifndef NORN_GRAPH_DIM_H
#define NORN_GRAPH_DIM_H

#include "base/arena.h"
#include "norn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct norn_dim {
    int64_t constant;
    int64_t coef;   ///< 0 when constant
    int32_t symbol; ///< index into the graph's symbols; -1 when constant
} norn_dim;

typedef enum norn_symbol_kind {
    NORN_SYMBOL_INPUT,   ///< bound from a dimension of a graph input
    NORN_SYMBOL_DERIVED, ///< `op(a, b)`
    NORN_SYMBOL_RUNTIME, ///< bound by the step that produces it
} norn_symbol_kind;

typedef enum norn_dim_op {
    NORN_DIM_ADD, ///< of two different symbols
    NORN_DIM_MUL,
    NORN_DIM_FLOORDIV,
    NORN_DIM_CEILDIV,
    NORN_DIM_MOD,
    NORN_DIM_MIN,
    NORN_DIM_MAX,
} norn_dim_op;

typedef struct norn_symbol {
    norn_symbol_kind kind;
    const char *name;      ///< INPUT: "B"; RUNTIME: "?3"; DERIVED: printed form
    norn_dim_op op;        ///< DERIVED
    norn_dim a, b;         ///< DERIVED: symbols of lower index
    int64_t min, opt, max; ///< the profile; max is -1 while unbounded
} norn_symbol;

typedef struct norn_symbols {
    norn_arena *arena;
    norn_symbol *at;
    int32_t count;
    size_t capacity;
} norn_symbols;

static inline norn_dim norn_dim_const(int64_t value) {
    return (norn_dim){value, 0, -1};
}
static inline norn_dim norn_dim_symbol(int32_t symbol) {
    return (norn_dim){0, 1, symbol};
}
static inline bool norn_dim_is_const(norn_dim dim) {
    return dim.symbol < 0;
}
static inline bool norn_dim_equal(norn_dim a, norn_dim b) {
    return a.constant == b.constant && a.coef == b.coef && a.symbol == b.symbol;
}

/// A new symbol; INPUT symbols are found again by name. RUNTIME names are made up.
norn_status norn_symbol_input(norn_symbols *symbols, const char *name, int32_t *out) NORN_NODISCARD;
norn_status norn_symbol_runtime(norn_symbols *symbols, norn_dim *out) NORN_NODISCARD;

/// A new DERIVED symbol exactly as given, neither simplified nor shared:
/// for norn_dim_apply and the plan file.
norn_status norn_symbol_derived(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                                int32_t *out) NORN_NODISCARD;

/// *out = op(a, b), simplified. With constants nothing is allocated and `symbols` may
/// be NULL (as when shape functions run beside the executor).
/// Errors   INVALID_ARGUMENT: overflow, division by zero.
norn_status norn_dim_apply(norn_symbols *symbols, norn_dim_op op, norn_dim a, norn_dim b,
                           norn_dim *out) NORN_NODISCARD;
/// a - b; the result may be negative only if constant.
norn_status norn_dim_sub(norn_symbols *symbols, norn_dim a, norn_dim b,
                         norn_dim *out) NORN_NODISCARD;

/// Value of `dim` given a value for every symbol. Overflow saturates at INT64_MAX.
int64_t norn_dim_eval(norn_dim dim, const int64_t *symbol_values);
/// Fill DERIVED values from INPUT and RUNTIME ones, in index order; -1 (unknown) spreads. What is
/// below -1 is for norn_dim_eval alone: B - T that is -1, say, in the middle of (B - T) + S.
void norn_symbols_eval(const norn_symbols *symbols, int64_t *values);

/// Bounds from the profile: what `dim` can be while every INPUT symbol is in [min, max] and every
/// RUNTIME symbol is too. The maximum is -1 when it is not bounded.
int64_t norn_dim_min(const norn_symbols *symbols, norn_dim dim);
int64_t norn_dim_max(const norn_symbols *symbols, norn_dim dim);
/// Recompute min, opt and max of DERIVED symbols; call it after changing those of an INPUT symbol.
void norn_symbols_bound(norn_symbols *symbols);

enum { NORN_SYMBOLS_MAX = 16384 }; ///< of one graph; more is RESOURCE_EXHAUSTED
enum { NORN_DIM_TEXT = 48 };
const char *norn_dim_text(const norn_symbols *symbols, norn_dim dim, char text[NORN_DIM_TEXT]);

/// A shape of known rank, or rank -1.
typedef struct norn_shape {
    int32_t rank;
    norn_dim dims[NORN_MAX_RANK];
} norn_shape;

static inline norn_shape norn_shape_unknown(void) {
    return (norn_shape){.rank = -1};
}
bool norn_shape_equal(const norn_shape *a, const norn_shape *b);
bool norn_shape_is_const(const norn_shape *shape); ///< known rank, all dims constant
/// Product of dims [begin, end).
norn_status norn_shape_product(norn_symbols *symbols, const norn_shape *shape, int32_t begin,
                               int32_t end, norn_dim *out) NORN_NODISCARD;

#endif
