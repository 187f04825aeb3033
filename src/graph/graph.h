/// The IR: values and nodes in topological order, one arena a graph.
///
/// A graph is used for the model as imported and for the optimised one; region nodes
/// (domain "norn") carry a `region`. Nodes of If, Loop and Scan hold their bodies as GRAPH
/// attributes; what a body uses from outside is passed explicitly: such values are extra
/// inputs of the node after its own ones, and extra inputs of the body after its own.
/// The INT attribute `norn_own_inputs` of such a node says how many inputs are its own
/// (If: 1; Loop: 2 + carried; Scan: states + scanned). Every body of a node takes all of its
/// extra inputs, in their order; constants from around are copied in.
/// Memory   everything lives in graph->arena; strings and constants may alias the model file.
/// Threads  one at a time.
#ifndef NORN_GRAPH_GRAPH_H
#define NORN_GRAPH_GRAPH_H

#include "base/file.h"
#include "base/wire.h"
#include "graph/dim.h"
#include "graph/numbers.h"
#include "graph/op_info.h"
#include "graph/region.h"

typedef struct norn_graph norn_graph;
typedef struct norn_node norn_node;
typedef struct norn_value norn_value;

/// ONNX node names that a node came from, oldest first.
typedef struct norn_origin {
    const char **names;
    uint32_t count;
} norn_origin;

/// One read of a value: input `index` of `node`, or a graph output when node is NULL.
typedef struct norn_use {
    norn_value *value;
    norn_node *node;
    uint32_t index;
    struct norn_use *prev, *next; ///< among the uses of `value`
} norn_use;

struct norn_value {
    const char *name;
    uint32_t id; ///< dense, unique in the graph
    norn_dtype dtype;
    norn_shape shape;
    norn_node *producer; ///< NULL: graph input or constant
    uint32_t producer_index;
    const norn_view *data;     ///< constant: initializer or folded; NULL otherwise
    const norn_view *fallback; ///< graph input: what it is when the caller gives none, or NULL
    const norn_dim *contents;  ///< known symbolic elements of a small integer tensor, or NULL
    uint32_t contents_count;
    norn_use *uses;
    uint32_t readers; ///< length of `uses`; graph outputs are readers
    void *note;       ///< scratch for one pass; clear before use
};

struct norn_node {
    const norn_op_info *op;
    const char *name;
    norn_use *in; ///< in[i].value is NULL for an omitted optional input
    uint32_t in_count;
    norn_value **out; ///< out[i] may be NULL (output not wanted)
    uint32_t out_count;
    norn_attrs attrs;
    const norn_region *region; ///< domain "norn" only
    norn_numbers numbers;      ///< of a product, after assign_precision
    norn_origin origin;
    norn_node *prev, *next;
    bool dead;
    uint8_t
        place; ///< device of the plan that it is to be on, from 1; 0: the first. Said after all passes
    void *note; ///< scratch for one pass
};

struct norn_graph {
    norn_alloc alloc;
    norn_arena arena;
    const char *name;
    const char *path; ///< file it came from, for messages
    norn_symbols symbols;
    int32_t batch; ///< symbol of the batch, or -1
    norn_node *nodes, *last;
    uint32_t node_count;
    norn_value **inputs;
    uint32_t input_count;
    norn_use *outputs;         ///< outputs[i].value
    const char **output_names; ///< as the caller knows them; a value's own name may differ
    bool *output_squeezed;     ///< dims that are 1 in a run are not in what the caller sees
    uint32_t output_count;
    uint32_t value_count;      ///< next value id
    struct norn_graph *parent; ///< owner of a body; NULL at the top. A body has symbols of its own
    struct norn_graph *bodies, *next_body; ///< bodies that this graph owns; a body's next sibling
};

norn_status norn_graph_create(const char *name, norn_alloc alloc, norn_graph **out) NORN_NODISCARD;
void norn_graph_destroy(norn_graph *graph); ///< and its bodies; takes NULL
/// A body for a node of `parent`, which owns it: it lives until `parent` is destroyed.
norn_status norn_graph_create_body(norn_graph *parent, const char *name,
                                   norn_graph **out) NORN_NODISCARD;

norn_status norn_graph_value(norn_graph *graph, const char *name, norn_dtype dtype,
                             const norn_shape *shape, norn_value **out) NORN_NODISCARD;
/// A constant whose bytes are borrowed for the graph's life (mapped file, or the graph's arena).
norn_status norn_graph_constant(norn_graph *graph, const char *name, const norn_view *data,
                                norn_value **out) NORN_NODISCARD;
norn_status norn_graph_add_input(norn_graph *graph, norn_value *value) NORN_NODISCARD;
norn_status norn_graph_add_output(norn_graph *graph, norn_value *value) NORN_NODISCARD;

/// Insert before `before`, or append when NULL. Inputs may hold NULL (omitted). Attributes are
/// copied (their payloads are borrowed). Origin is copied from `origin_of` when not NULL.
norn_status norn_graph_node(norn_graph *graph, norn_node *before, const norn_op_info *op,
                            const char *name, norn_value *const *in, uint32_t in_count,
                            norn_value *const *out, uint32_t out_count, norn_attrs attrs,
                            const norn_node *origin_of, norn_node **node) NORN_NODISCARD;
norn_status norn_node_add_origin(norn_graph *graph, norn_node *node,
                                 const norn_node *from) NORN_NODISCARD;
norn_status norn_node_set_attr(norn_graph *graph, norn_node *node,
                               const norn_attr *attr) NORN_NODISCARD;

/// Inputs with a fallback become constants, and every shape is inferred again.
norn_status norn_graph_freeze(norn_graph *graph) NORN_NODISCARD;

void norn_node_set_input(norn_node *node, uint32_t index, norn_value *value); ///< value may be NULL
/// Every reader of `from`, graph outputs included, reads `to` instead. A graph output keeps its
/// name (output_names[i]); `to` takes the name of `from` as well where it is a computed value.
void norn_graph_forward(norn_graph *graph, norn_value *from, norn_value *to);
/// Drops the node's reads and marks it; `next` stays valid until norn_graph_sweep.
void norn_graph_kill(norn_graph *graph, norn_node *node);
void norn_graph_sweep(norn_graph *graph);
/// Reorder nodes topologically (after insertions out of order). INVALID_ARGUMENT names a cycle.
norn_status norn_graph_sort(norn_graph *graph) NORN_NODISCARD;

static inline norn_value *norn_node_in(const norn_node *node, uint32_t index) {
    return index < node->in_count ? node->in[index].value : NULL;
}
static inline bool norn_node_is(const norn_node *node, int op_id) {
    return node && node->op->id == op_id;
}

/// Run a node's shape function on `ctx`.
/// Errors   also INVALID_ARGUMENT: a sequence or an optional comes to an operator,
///          or from one, that has tensors only.
norn_status norn_node_shapes(const norn_node *node, norn_shape_ctx *ctx) NORN_NODISCARD;
/// Run a node's shape function and write dtype, shape and contents of its outputs.
norn_status norn_node_infer(norn_graph *graph, norn_node *node) NORN_NODISCARD;

/// Invariants: order, use lists, counts, dtypes set, output names
/// unique. INTERNAL names the breach.
norn_status norn_graph_verify(const norn_graph *graph) NORN_NODISCARD;
/// One line a node: `%12 float32[B,64] = Gemm(%3, %w1, %b1) {transB=1}  # top/Gemm_3`.
void norn_graph_print(const norn_graph *graph, norn_buffer *out);

/// A deep copy; what constants and tensor attributes point to stays borrowed from where it was.
norn_status norn_graph_clone(const norn_graph *graph, norn_alloc alloc,
                             norn_graph **out) NORN_NODISCARD;
/// Every value that the graph reaches, by id: graph->value_count entries taken in `arena`, NULL for
/// an id that nothing uses any more.
norn_status norn_graph_values(const norn_graph *graph, norn_arena *arena,
                              norn_value ***by_id) NORN_NODISCARD;

#endif
