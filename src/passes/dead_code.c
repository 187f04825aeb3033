/// Nodes whose outputs nobody reads go, the last first; so do their inputs'
/// producers when those were their only readers.
#include "passes/pass_list.h"

static bool is_read(const norn_node *node) {
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->out[i] && node->out[i]->readers) return true;
    }
    return false;
}

norn_status norn_pass_dead_code(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    for (norn_node *node = graph->last; node; node = node->prev) {
        if (!node->dead && !is_read(node)) norn_graph_kill(graph, node);
    }
    return NORN_OK;
}
