/// Following the rows of the batch through a graph: what each operator does to them.
///
/// A value is one of four kinds. For a value that has rows we know where they are: dimension `axis`
/// is before * B * after, so that in the order of its bytes the value is [outer, B, inner], and
/// slice r of it follows from row r of the inputs alone. Reshapes keep the order of bytes, so
/// outer and inner go through them unchanged, whatever they fold: [B, T, D] -> [B*T, D] has after
/// = T, [T, B, H] -> [T*B, H] has before = T.
///
/// A rule may rely on a declared shape only where the conclusion holds in every single run
/// in which the shape is true, because that is what the runtime checks (norn_step.check);
/// never on contents that the graph declares.
#ifndef NORN_PLAN_ROW_FOLLOW_H
#define NORN_PLAN_ROW_FOLLOW_H

#include "graph/graph.h"

typedef enum norn_rows_kind {
    NORN_ROWS_NONE,    ///< the same whatever the batch: constants and what follows from them
    NORN_ROWS_EACH,    ///< has rows
    NORN_ROWS_SIZE,    ///< follows from how many rows there are: shapes of tensors
    NORN_ROWS_OFFSETS, ///< CSR offsets [B + 1], read by lookups only
} norn_rows_kind;

typedef struct norn_rows {
    norn_rows_kind kind;
    int32_t axis;             ///< EACH
    norn_dim before, after;   ///< EACH: dims[axis] = before * B * after
    const norn_dim *contents; ///< SIZE: its elements, as far as they are known
    uint32_t contents_count;
} norn_rows;

/// One node as its rule sees it.
typedef struct norn_rows_walk {
    const norn_graph *graph;
    norn_symbols symbols; ///< the graph's and, above them, products made here
    norn_arena *arena;
    bool *depends;  ///< by symbol of the graph: follows from the batch, or from data
    norn_rows *all; ///< by value id
    const norn_node *node;
    norn_status status; ///< first failure that is not a verdict: memory
} norn_rows_walk;

/// NULL: every output of walk->node has rows (or is free of them), written with norn_rows_put. Else
/// what the node does to rows, to be read after its name: "sums over the rows".
typedef const char *(*norn_rows_rule)(norn_rows_walk *walk);

/// The rule of an operator: row_rules.inc, one row an operator. NULL: none, which refuses.
norn_rows_rule norn_rows_rule_of(const norn_op_info *op);

// ---- operands
static inline const norn_value *norn_rows_value(const norn_rows_walk *walk, uint32_t in) {
    return norn_node_in(walk->node, in);
}
norn_rows norn_rows_in(const norn_rows_walk *walk, uint32_t in); ///< NONE when omitted or constant
bool norn_rows_has(const norn_rows_walk *walk, uint32_t in);     ///< EACH
bool norn_rows_free(const norn_rows_walk *walk, uint32_t in);    ///< NONE
/// NONE or SIZE: an operand that only says a shape.
bool norn_rows_shape_only(const norn_rows_walk *walk, uint32_t in);
/// Every input from `first` on is NONE or omitted.
bool norn_rows_free_from(const norn_rows_walk *walk, uint32_t first);
int32_t norn_rows_rank(const norn_rows_walk *walk, uint32_t in); ///< -1: unknown
bool norn_rows_dim_depends(const norn_rows_walk *walk, norn_dim dim);
bool norn_rows_shape_depends(const norn_rows_walk *walk, const norn_shape *shape);
static inline bool norn_rows_dim_is(norn_dim dim, int64_t value) {
    return norn_dim_is_const(dim) && dim.constant == value;
}
/// A constant list of whole numbers, or an INTS attribute when `name` is given
/// and input `in` is absent. False: not known.
bool norn_rows_ints(const norn_rows_walk *walk, uint32_t in, const char *name,
                    int64_t values[NORN_CONTENTS_MAX], uint32_t *count);
/// Attribute `name` as an axis of `rank` dims counted from the front; -1 when it is none of them.
int32_t norn_rows_axis_attr(const norn_rows_walk *walk, const char *name, int64_t fallback,
                            int32_t rank);

// ---- results
void norn_rows_put(norn_rows_walk *walk, uint32_t out, norn_rows rows);
void norn_rows_put_all(norn_rows_walk *walk, norn_rows rows);
static inline norn_rows norn_rows_moved(norn_rows rows, int32_t axis) {
    rows.axis = axis;
    return rows;
}
bool norn_rows_equal(norn_rows a, norn_rows b);

// ---- places
/// Find rows that lie [outer, B, inner] in the order of bytes in a tensor of `shape`.
/// False: they cannot be told there.
bool norn_rows_locate(norn_rows_walk *walk, const norn_shape *shape, norn_dim outer, norn_dim inner,
                      norn_rows *out);
/// outer and inner of `rows` in a tensor of `shape`.
bool norn_rows_extent(norn_rows_walk *walk, const norn_shape *shape, norn_rows rows,
                      norn_dim *outer, norn_dim *inner);
/// The rows of a value of `from` whose bytes are read as `to`.
bool norn_rows_reshape(norn_rows_walk *walk, const norn_shape *from, norn_rows rows,
                       const norn_shape *to, norn_rows *out);
/// Rows that fill dimension `axis` with equal slices: any split of it will do.
bool norn_rows_filled(norn_rows_walk *walk, const norn_shape *shape, norn_rows *out);
/// Operands [first, end) broadcast as numpy does to a result of rank `rank`: NULL and where the
/// rows are in it, or what is wrong.
const char *norn_rows_broadcast(norn_rows_walk *walk, uint32_t first, uint32_t end, int32_t rank,
                                norn_rows *out);

/// Texts that many rules share.
extern const char norn_rows_other[];   ///< rows meet other rows
extern const char norn_rows_counted[]; ///< the number of rows becomes a value
extern const char norn_rows_unknown[]; ///< not known to keep rows apart
extern const char norn_rows_along[];   ///< works along the rows

#endif
