/// Named constants of a node: ONNX attributes, and those that passes add.
#ifndef NORN_TENSOR_ATTR_H
#define NORN_TENSOR_ATTR_H

#include "norn/tensor.h"

#include <stdbool.h>

struct norn_graph;

typedef enum norn_attr_kind {
    NORN_ATTR_INT = 1,
    NORN_ATTR_FLOAT,
    NORN_ATTR_STRING,
    NORN_ATTR_INTS,
    NORN_ATTR_FLOATS,
    NORN_ATTR_STRINGS,
    NORN_ATTR_TENSOR,
    NORN_ATTR_GRAPH,
} norn_attr_kind;

typedef struct norn_attr {
    const char *name;
    norn_attr_kind kind;
    uint32_t count; ///< INTS, FLOATS, STRINGS
    union {
        int64_t i64;
        float f32;
        norn_string string; ///< NUL-terminated as well
        const int64_t *ints;
        const float *floats;
        const norn_string *strings;
        const norn_view *tensor;
        struct norn_graph *graph;
    };
} norn_attr;

/// Borrowed from the graph or plan that owns them.
typedef struct norn_attrs {
    const norn_attr *at;
    uint32_t count;
} norn_attrs;

const norn_attr *norn_attr_find(norn_attrs attrs, const char *name); ///< NULL if absent
int64_t norn_attr_i64(norn_attrs attrs, const char *name, int64_t fallback);
float norn_attr_f32(norn_attrs attrs, const char *name, float fallback);
const char *norn_attr_string(norn_attrs attrs, const char *name, const char *fallback);
/// Points *ints at the list and returns its count; 0 and NULL if absent.
uint32_t norn_attr_ints(norn_attrs attrs, const char *name, const int64_t **ints);

#endif
