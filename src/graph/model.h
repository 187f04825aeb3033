/// A model as it was read: its graph, the files that its constants lie in, and what its package says.
///
/// Memory   what is not in the graph's arena is from `alloc`; norn_model_close ends it.
/// Threads  immutable once it is open.
#ifndef NORN_GRAPH_MODEL_H
#define NORN_GRAPH_MODEL_H

#include "graph/graph.h"
#include "norn/plan.h"

struct norn_model {
    norn_alloc alloc;
    norn_graph *graph;
    struct norn_file **files; ///< mapped: the model and its external data
    uint32_t file_count;
    char *path;       ///< of model.onnx
    char *tables_dir; ///< package's tables/, or NULL
    char *config;     ///< text of norn.json, or NULL
    int64_t opset;
    const char *producer; ///< "pytorch 2.4", in the graph's arena
};

#endif
