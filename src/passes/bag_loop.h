/// Loops that exporters write for nn.EmbeddingBag: one iteration a bag, which slices the bag's rows
/// (or keys) between two offsets and pools them.
#ifndef NORN_PASSES_BAG_LOOP_H
#define NORN_PASSES_BAG_LOOP_H

#include "graph/region.h"
#include "passes/pass.h"

/// Operands of the ai.norn::EmbeddingBag that a loop computes; all are
/// values of the graph around it.
typedef struct norn_bag {
    norn_value *keys;    ///< [nnz]
    norn_value *offsets; ///< [B + 1]
    norn_value *weights; ///< [nnz], or NULL
    norn_value *table;   ///< constant [rows, dim]; maybe of the loop's body
    norn_pool_mode mode;
    bool keeps_dims; ///< a bag comes as [1, dim], else as [dim]
    bool has_padding;
    int64_t padding;
    const norn_value *kept; ///< places of the bag's keys that are no padding; for the matcher
} norn_bag;

/// Whether iteration i of `loop` gives bag i as its body's output `output`, for every bag once.
bool norn_bag_loop_match(norn_graph *graph, norn_node *loop, uint32_t output, norn_bag *bag);

#endif
