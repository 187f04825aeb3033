/// The inside of the importer: what its files share while one model is read.
///
/// A scope is a set of names that nodes can read: the model's graph, a body (which also reads the
/// scope around it), or a call of a model-local function (which is inlined and reads nothing else).
#ifndef NORN_ONNX_IMPORTER_H
#define NORN_ONNX_IMPORTER_H

#include "norn/model.h"
#include "onnx/names.h"
#include "onnx/proto.h"
#include "onnx/tensor_proto.h"
#include "ops/op.h"

enum {
    NORN_ONNX_OPSET_MIN = 7,
    NORN_ONNX_OPSET_MAX = 28,
    NORN_ONNX_DEPTH_MAX = 24,      ///< bodies and function calls, nested
    NORN_ONNX_NODES_MAX = 1 << 18, ///< after inlining
};

typedef struct norn_importer {
    norn_arena scratch; ///< what is not needed after import
    norn_model *model;
    norn_external_source external;
    norn_onnx_model proto;
    norn_name_map functions; ///< key of norn_onnx_function_key -> norn_onnx_function *
    norn_name_map declared;  ///< value -> what the model declares of it; of the top graph
    norn_name_map aliases;   ///< dimension name -> the name that is used for it
    const char *batch_said;  ///< what the model calls the batch
    const char *batch_name;  ///< of the batch symbol; NULL: no input has a dynamic dimension 0
    uint32_t nodes_left, depth;
} norn_importer;

/// Values of the scope around that the bodies of one node read, in the order of the extra inputs.
typedef struct norn_capture {
    const char *name;
    norn_value *outer;
} norn_capture;

typedef struct norn_captures {
    norn_capture *at;
    uint32_t count;
    size_t capacity;
} norn_captures;

typedef struct norn_scope {
    norn_importer *importer;
    norn_graph *graph;
    norn_name_map names;      ///< -> norn_value *
    struct norn_scope *outer; ///< of a body; NULL for the model and for functions
    norn_captures *captures;  ///< of a body
    const norn_onnx_opsets *opsets;
    norn_attrs frame;   ///< attributes of the function call that this scope is in
    const char *prefix; ///< of node names: "call/"
} norn_scope;

// ---- scope.c
/// *out is NULL when no scope has the name. A value from around a body becomes
/// an input of the body, or its constant.
norn_status norn_scope_find(norn_scope *scope, const char *name, norn_value **out) NORN_NODISCARD;
/// What an optional input of a function stands for when the call omits it. Never read.
norn_value *norn_scope_omitted(void);
/// Errors   INVALID_ARGUMENT: another node of this graph makes the name already.
norn_status norn_scope_define(norn_scope *scope, const char *name,
                              norn_value *value) NORN_NODISCARD;
/// Give `scope` the extra inputs that earlier bodies of the same node asked for.
norn_status norn_scope_inherit(norn_scope *scope, uint32_t from) NORN_NODISCARD;
/// A constant from a TensorProto or SparseTensorProto; *name is the tensor's own.
norn_status norn_scope_constant(norn_scope *scope, norn_span tensor, bool sparse, const char **name,
                                norn_value **out) NORN_NODISCARD;
/// Adds the name of every initializer of `proto` to `out`.
norn_status norn_import_initializer_names(norn_importer *importer, const norn_onnx_graph *proto,
                                          norn_name_map *out) NORN_NODISCARD;
/// The opset of `domain` here; 1 where a custom domain is not imported.
int64_t norn_scope_opset(const norn_scope *scope, const char *domain);

// ---- import_graph.c
/// Initializers, nodes, outputs. Inputs that have a value already are left alone.
norn_status norn_import_graph(norn_scope *scope, const norn_onnx_graph *proto) NORN_NODISCARD;
norn_status norn_import_top_inputs(norn_scope *scope, const norn_onnx_graph *proto) NORN_NODISCARD;
norn_status norn_import_dtype(const norn_onnx_value_info *info, norn_dtype *out) NORN_NODISCARD;

// ---- import_node.c, node_order.c
norn_status norn_import_node(norn_scope *scope, const norn_onnx_node *proto) NORN_NODISCARD;
/// nodes->count nodes in an order in which each can be made; the file's own where it is one.
/// Errors   INVALID_ARGUMENT: a cycle; names a node of it.
norn_status norn_import_node_order(norn_importer *importer, const norn_onnx_spans *nodes,
                                   norn_onnx_node **out) NORN_NODISCARD;

/// A node about to be made; upgrades turn it into the IR's form.
typedef struct norn_onnx_call {
    norn_scope *scope;
    const char *name; ///< full, for messages and provenance
    const char *op_type, *domain;
    int64_t opset;
    norn_value **in; ///< room for in_count + NORN_ONNX_CALL_ROOM
    uint32_t in_count;
    norn_attr *attrs; ///< likewise
    uint32_t attr_count;
    norn_value **out; ///< filled when `done`
    uint32_t out_count;
    bool *wanted; ///< is output i named?
    bool done;    ///< an upgrade made the nodes itself
} norn_onnx_call;
enum { NORN_ONNX_CALL_ROOM = 4 };

/// Make a node now: fresh outputs, shapes inferred. out[i] is set for each wanted[i] (NULL: all).
norn_status norn_call_emit(norn_onnx_call *call, const char *op_type, norn_value *const *in,
                           uint32_t in_count, const norn_attr *attrs, uint32_t attr_count,
                           const bool *wanted, norn_value **out, uint32_t out_count) NORN_NODISCARD;
norn_attrs norn_call_attrs(const norn_onnx_call *call);

// ---- import_attr.c
/// *present is false for a reference to an attribute that the function's caller did not give, and
/// for graphs, whose bytes are in proto->bytes.
norn_status norn_import_attr(norn_scope *scope, const norn_onnx_attr *proto, norn_attr *out,
                             bool *present) NORN_NODISCARD;

// ---- import_body.c, import_function.c
/// Bodies of If, Loop and Scan: appends GRAPH attributes, the captured inputs and norn_own_inputs.
norn_status norn_import_bodies(norn_onnx_call *call, norn_captures *captures,
                               const norn_onnx_attr *graphs, uint32_t count) NORN_NODISCARD;
const char *norn_onnx_function_key(char *text, size_t room, const char *domain, const char *name,
                                   const char *overload);
const norn_onnx_function *norn_import_find_function(const norn_importer *importer,
                                                    const char *domain, const char *name,
                                                    const char *overload);
norn_status norn_import_functions(norn_importer *importer) NORN_NODISCARD;
/// Inline: `out[i]` gets the function's outputs.
norn_status norn_import_call(norn_onnx_call *call, const norn_onnx_function *function,
                             norn_value **out) NORN_NODISCARD;

// ---- missing.c, unify.c
/// UNIMPLEMENTED naming every operator of the model that Norn does not have.
norn_status norn_import_check_operators(norn_importer *importer) NORN_NODISCARD;
/// Handled without a row of its own.
bool norn_import_is_special(const char *domain, const char *op_type);

/// Dimension names that must be equal, from how `graph` uses them:
/// adds aliases. *found: any new one.
norn_status norn_unify_symbols(norn_importer *importer, const norn_graph *graph,
                               bool *found) NORN_NODISCARD;
/// Before import: the name that most inputs and outputs have as dimension 0 becomes "B".
norn_status norn_unify_choose_batch(norn_importer *importer,
                                    const norn_onnx_graph *proto) NORN_NODISCARD;
const char *norn_unify_alias(const norn_importer *importer, const char *name);

// ---- declared.c
/// Note what value_info and outputs declare.
norn_status norn_declared_collect(norn_importer *importer,
                                  const norn_onnx_graph *proto) NORN_NODISCARD;
/// Dims of `value` that only a run would know are what the model declares of `name`.
norn_status norn_declared_apply(norn_importer *importer, norn_graph *graph, const char *name,
                                norn_value *value) NORN_NODISCARD;

// ---- squeeze.c
/// Squeezes without axes whose results only elementwise nodes and outputs read:
/// keep the dims, and mark the outputs.
norn_status norn_import_squeezes(norn_importer *importer, norn_graph *graph) NORN_NODISCARD;

// ---- dim_names.c
/// Nobody chose it: an exporter numbered it, or norn_unify_dim_name made it.
bool norn_dim_name_is_made_up(const char *name);
/// Two names that do not say that their dimensions are different ones.
bool norn_dim_names_may_tie(const char *a, const char *b);
/// The name of dimension `index` of input `info`, before aliases: its own, or "INPUT.index".
norn_status norn_unify_dim_name(norn_importer *importer, const norn_onnx_value_info *info,
                                uint32_t index, const char **out) NORN_NODISCARD;

#endif
