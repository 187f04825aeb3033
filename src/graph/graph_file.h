/// A graph as bytes: the graph section of a plan file. Protobuf wire format; field numbers are in
/// graph_fields.h. Bytes of constants go out of line, into the plan's weights section.
///
/// Value ids survive the round trip, so that the plan may refer to values by id.
#ifndef NORN_GRAPH_GRAPH_FILE_H
#define NORN_GRAPH_GRAPH_FILE_H

#include "graph/graph.h"

enum { NORN_GRAPH_FILE_VERSION = 3 };

/// Where constants go: `put` keeps `count` bytes and says at which offset. The same constant may
/// come more than once (say, shared with a body); the sink may give the same offset.
typedef struct norn_graph_sink {
    norn_status (*put)(void *context, const void *bytes, size_t count, uint64_t *offset);
    void *context;
} norn_graph_sink;

/// Where constants come from, and what operators there are. `get` checks the range; *data must stay
/// for the life of the graph and be aligned to 64 bytes relative to the section's begin.
typedef struct norn_graph_source {
    norn_status (*get)(void *context, uint64_t offset, size_t count, void **data);
    const norn_op_info *(*find_op)(const char *domain, const char *name); ///< norn_op_find
    void *context;
} norn_graph_source;

norn_status norn_graph_encode(const norn_graph *graph, const norn_graph_sink *sink,
                              norn_buffer *out) NORN_NODISCARD;

/// Strings are copied, so `bytes` may go.
/// Errors   DATA_LOSS: malformed, an index out of range, or a graph that norn_graph_verify refuses.
///          FAILED_PRECONDITION: another version, or an operator that this build does not have.
norn_status norn_graph_decode(norn_span bytes, const norn_graph_source *source, norn_alloc alloc,
                              norn_graph **out) NORN_NODISCARD;

#endif
