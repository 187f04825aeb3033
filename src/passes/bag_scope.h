/// Values followed out of bodies: what a body of If or Loop reads is often a value of the graph
/// around it, under another name.
#ifndef NORN_PASSES_BAG_SCOPE_H
#define NORN_PASSES_BAG_SCOPE_H

#include "passes/rewrite.h"

/// A graph, and the node whose body it is; the outermost has no node.
typedef struct norn_body_scope {
    const struct norn_body_scope *outer;
    const norn_graph *graph;
    norn_node *node;
} norn_body_scope;

typedef struct norn_scoped {
    norn_value *value; ///< NULL: there is none
    const norn_body_scope *scope;
} norn_scoped;

/// The value itself, through Identity and the ends of bodies.
norn_scoped norn_scoped_root(norn_scoped at);
/// The same elements, through reshapes too: for indices, sizes and weights.
norn_scoped norn_scoped_elements(norn_scoped at);
/// The node that makes the value, if its operator is `op`; else NULL.
norn_node *norn_scoped_made_by(norn_scoped at, norn_op_id op);
/// Input `index` of a node in the scope of `at`.
norn_scoped norn_scoped_in(norn_scoped at, const norn_node *node, uint32_t index);
/// What body `name` of the If that makes `at` gives for it; `room` is that body's scope.
norn_scoped norn_scoped_branch(norn_scoped at, const char *name, norn_body_scope *room);
/// A constant integer.
bool norn_scoped_int(norn_scoped at, int64_t *out);
bool norn_scoped_is_int(norn_scoped at, int64_t expected);
bool norn_scoped_is_true(norn_scoped at); ///< a constant bool
bool norn_scoped_same(norn_scoped a, norn_scoped b);

#endif
