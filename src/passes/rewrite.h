/// What rewrites are made of: questions about values, and new constants and nodes.
///
/// Memory   everything is taken in the graph's arena.
#ifndef NORN_PASSES_REWRITE_H
#define NORN_PASSES_REWRITE_H

#include "ops/op.h"

// ---- questions

/// The one node that reads `value`, with one or more of its inputs; NULL when there are none or
/// several, or when the value is a graph output.
norn_node *norn_value_only_reader(const norn_value *value);
bool norn_value_is_output(const norn_value *value);

/// Whether the node has two inputs, both present: what its operator says, but models lie.
static inline bool norn_node_is_binary(const norn_node *node) {
    return node && node->in_count == 2 && node->in[0].value && node->in[1].value;
}

/// A constant of one element, as a double (false is 0). `norn_value_is_scalar` compares exactly.
bool norn_value_scalar(const norn_value *value, double *out);
bool norn_value_is_scalar(const norn_value *value, double expected);
/// A constant integer tensor of rank 0 or 1, or contents that are all constant. False when it is
/// not that, or has more than `max` elements.
bool norn_value_ints(const norn_value *value, int64_t *out, uint32_t max, uint32_t *count);
/// Axes of a node from input `index` or, if it has none, from attribute `name`; each in [0, rank).
/// Absent: *count is 0. False: not known, or out of range.
bool norn_node_axes(const norn_node *node, uint32_t index, const char *name, int32_t rank,
                    int32_t axes[NORN_MAX_RANK], uint32_t *count);

/// Whether the dim follows from input symbols alone: nothing of it is bound while running.
bool norn_dim_is_static(const norn_symbols *symbols, norn_dim dim);
bool norn_shape_is_static(const norn_graph *graph, const norn_shape *shape);
/// Elements of a constant shape; -1 if it is not constant, or too many to count.
int64_t norn_shape_elems(const norn_shape *shape);

// ---- making

/// A dense zeroed constant; *data is its memory, 64-byte aligned.
norn_status norn_rewrite_constant(norn_graph *graph, const char *name, norn_dtype dtype,
                                  int32_t rank, const int64_t *dims, norn_value **out,
                                  void **data) NORN_NODISCARD;
/// A node with one new output of `dtype` and `shape`; named after
/// `origin_of`, whose origin it takes.
norn_status norn_rewrite_node(norn_graph *graph, norn_node *before, norn_op_id op,
                              norn_value *const *in, uint32_t in_count, norn_attrs attrs,
                              norn_dtype dtype, const norn_shape *shape, const norn_node *origin_of,
                              norn_node **node) NORN_NODISCARD;
/// What a value has been made into, so that it is made once: `form` is the maker's word for what.
typedef struct norn_remade {
    const norn_value *from;
    uint32_t form;
    norn_value *to;
    struct norn_remade *next;
} norn_remade;
/// NULL: not yet.
norn_value *norn_remade_find(const norn_remade *list, const norn_value *from, uint32_t form);
norn_status norn_remade_keep(norn_graph *graph, norn_remade **list, const norn_value *from,
                             uint32_t form, norn_value *to) NORN_NODISCARD;

/// A constant in another type, made once.
norn_status norn_rewrite_convert(norn_graph *graph, norn_remade **list, const norn_value *value,
                                 norn_dtype dtype, norn_value **to) NORN_NODISCARD;

/// Reshape of `in` to the static `shape`: its own value where the shape is equal, and through
/// another static Reshape to what that reads.
norn_status norn_rewrite_reshape(norn_graph *graph, norn_node *before, norn_value *in,
                                 const norn_shape *shape, const norn_node *origin_of,
                                 norn_value **out) NORN_NODISCARD;
/// Readers of node's output `index` read `to`; the node dies when nothing reads it any more. `to`
/// gets nothing of its origin: that is the caller's.
void norn_rewrite_replace(norn_graph *graph, norn_node *node, uint32_t index, norn_value *to);

/// The input of a static Reshape that computes `value` (any number
/// of them in a row), else the value.
norn_value *norn_value_unreshaped(norn_value *value);

static inline norn_attr norn_attr_int_of(const char *name, int64_t value) {
    return (norn_attr){.name = name, .kind = NORN_ATTR_INT, .i64 = value};
}
static inline bool norn_shape_dim_is(const norn_shape *shape, int32_t axis, int64_t value) {
    return norn_dim_is_const(shape->dims[axis]) && shape->dims[axis].constant == value;
}
static inline bool norn_node_is_static_reshape(const norn_node *node) {
    return norn_node_is(node, NORN_OP_Reshape) && node->in_count == 1;
}

#endif
