/// ONNX messages as C structs: one level at a time, so that nested graphs
/// are parsed when they are reached and depth is in the importer's hand.
/// Spans borrow from the file, arrays are in the arena.
///
/// Source   https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (field numbers)
#ifndef NORN_ONNX_PROTO_H
#define NORN_ONNX_PROTO_H

#include "base/arena.h"
#include "base/wire.h"

typedef struct norn_onnx_spans {
    norn_span *at;
    uint32_t count;
} norn_onnx_spans;

/// Names are NUL-terminated copies; ONNX strings that hold a zero byte are refused.
typedef struct norn_onnx_names {
    const char **at;
    uint32_t count;
} norn_onnx_names;

typedef struct norn_onnx_opset {
    const char *domain;
    int64_t version;
} norn_onnx_opset;

typedef struct norn_onnx_opsets {
    norn_onnx_opset *at;
    uint32_t count;
} norn_onnx_opsets;

typedef struct norn_onnx_model {
    int64_t ir_version;
    const char *producer_name, *producer_version;
    norn_span graph;
    bool has_graph;
    norn_onnx_opsets opsets;
    norn_onnx_spans functions;
} norn_onnx_model;

typedef struct norn_onnx_graph {
    const char *name;
    norn_onnx_spans nodes, initializers, sparse_initializers;
    norn_onnx_spans inputs, outputs, value_infos;
} norn_onnx_graph;

typedef struct norn_onnx_node {
    const char *name, *op_type, *domain, *overload;
    norn_onnx_names inputs, outputs;
    norn_onnx_spans attributes;
} norn_onnx_node;

typedef struct norn_onnx_function {
    const char *name, *domain, *overload;
    norn_onnx_names inputs, outputs;
    norn_onnx_spans nodes, default_attributes, value_infos;
    norn_onnx_opsets opsets;
} norn_onnx_function;

/// AttributeProto.AttributeType
typedef enum norn_onnx_attr_type {
    NORN_ONNX_ATTR_NONE = 0,
    NORN_ONNX_ATTR_FLOAT = 1,
    NORN_ONNX_ATTR_INT = 2,
    NORN_ONNX_ATTR_STRING = 3,
    NORN_ONNX_ATTR_TENSOR = 4,
    NORN_ONNX_ATTR_GRAPH = 5,
    NORN_ONNX_ATTR_FLOATS = 6,
    NORN_ONNX_ATTR_INTS = 7,
    NORN_ONNX_ATTR_STRINGS = 8,
    NORN_ONNX_ATTR_SPARSE_TENSOR = 11,
    NORN_ONNX_ATTR_TYPE = 13,
} norn_onnx_attr_type;

typedef struct norn_onnx_attr {
    const char *name, *ref_name; ///< ref_name: "" or the function's attribute that this one repeats
    uint32_t type;               ///< norn_onnx_attr_type, or another number that the file says
    int64_t i64;
    float f32;
    norn_span bytes; ///< STRING, TENSOR, GRAPH, SPARSE_TENSOR, TYPE
    uint32_t count;
    int64_t *ints;
    float *floats;
    norn_span *strings;
} norn_onnx_attr;

typedef struct norn_onnx_dim {
    int64_t value;     ///< -1: not a number
    const char *param; ///< "" when it has no name
} norn_onnx_dim;

typedef enum norn_onnx_type_kind {
    NORN_ONNX_TYPE_NONE,
    NORN_ONNX_TYPE_TENSOR,
    NORN_ONNX_TYPE_SEQUENCE,
    NORN_ONNX_TYPE_MAP,
    NORN_ONNX_TYPE_OPTIONAL,
    NORN_ONNX_TYPE_OPTIONAL_SEQUENCE,
    NORN_ONNX_TYPE_SPARSE_TENSOR,
} norn_onnx_type_kind;

typedef struct norn_onnx_value_info {
    const char *name;
    norn_onnx_type_kind kind;
    int64_t elem_type; ///< of a sequence or an optional: of the tensors that it holds; 0 if others
    bool has_shape;    ///< of a tensor
    uint32_t rank;
    norn_onnx_dim *dims;
} norn_onnx_value_info;

norn_status norn_onnx_read_model(norn_span bytes, norn_arena *arena,
                                 norn_onnx_model *out) NORN_NODISCARD;
norn_status norn_onnx_read_graph(norn_span bytes, norn_arena *arena,
                                 norn_onnx_graph *out) NORN_NODISCARD;
norn_status norn_onnx_read_node(norn_span bytes, norn_arena *arena,
                                norn_onnx_node *out) NORN_NODISCARD;
norn_status norn_onnx_read_function(norn_span bytes, norn_arena *arena,
                                    norn_onnx_function *out) NORN_NODISCARD;
norn_status norn_onnx_read_attr(norn_span bytes, norn_arena *arena,
                                norn_onnx_attr *out) NORN_NODISCARD;
norn_status norn_onnx_read_value_info(norn_span bytes, norn_arena *arena,
                                      norn_onnx_value_info *out) NORN_NODISCARD;
/// A TypeProto alone: a value info without a name.
norn_status norn_onnx_read_type(norn_span bytes, norn_arena *arena,
                                norn_onnx_value_info *out) NORN_NODISCARD;

norn_status norn_onnx_text(norn_arena *arena, norn_span bytes, const char **out) NORN_NODISCARD;

#endif
