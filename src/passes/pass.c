#include "passes/pass.h"

#include "base/log.h"
#include "passes/pass_list.h"

#include <stdio.h>
#include <string.h>

const norn_pass norn_passes[] = {
#define NORN_PASS(name, bodies, summary) {#name, summary, norn_pass_##name, bodies},
#include "passes/pass_table.inc"
#undef NORN_PASS
};
const size_t norn_pass_count = sizeof norn_passes / sizeof norn_passes[0];

static bool is_pass(const char *name) {
    for (size_t i = 0; i < norn_pass_count; i++) {
        if (strcmp(norn_passes[i].name, name) == 0) return true;
    }
    return false;
}

static norn_status check_name(const norn_graph *graph, const char *option, const char *name) {
    if (!name || is_pass(name)) return NORN_OK;
    norn_buffer list;
    norn_buffer_init(&list, graph->alloc);
    for (size_t i = 0; i < norn_pass_count; i++) {
        norn_buffer_format(&list, "%s%s", i ? ", " : "", norn_passes[i].name);
    }
    norn_status status =
        norn_fail(NORN_INVALID_ARGUMENT, "%s '%s': no such pass; the passes are %.*s", option, name,
                  (int)list.count, (const char *)list.bytes);
    norn_buffer_deinit(&list);
    return status;
}

static norn_status print_graph(const char *pass, const norn_graph *graph) {
    norn_buffer text;
    norn_buffer_init(&text, graph->alloc);
    norn_buffer_format(&text, "// after %s: %u node%s\n", pass, graph->node_count,
                       norn_plural(graph->node_count));
    norn_graph_print(graph, &text);
    norn_status status = norn_buffer_status(&text);
    if (status == NORN_OK) fwrite(text.bytes, 1, text.count, stderr);
    norn_buffer_deinit(&text);
    return status;
}

/// Bodies first: what a body becomes never depends on the graph around it.
static norn_status run_in(const norn_pass *pass, norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node && pass->in_bodies; node = node->next) {
        if (node->dead || !(node->op->flags & NORN_OP_SUBGRAPH)) continue;
        for (uint32_t i = 0; i < node->attrs.count; i++) {
            if (node->attrs.at[i].kind != NORN_ATTR_GRAPH) continue;
            norn_status status = run_in(pass, context, node->attrs.at[i].graph);
            if (status == NORN_OK) continue;
            norn_note("node '%s', %s", node->name ? node->name : "", node->attrs.at[i].name);
            return status;
        }
    }
    NORN_TRY(pass->run(context, graph));
    norn_graph_sweep(graph);
    return norn_graph_verify(graph);
}

norn_status norn_passes_run(norn_pass_context *context, norn_graph *graph) {
    const char *print_after = context->options->print_after;
    const char *stop_after = context->options->stop_after;
    bool print_all = print_after && strcmp(print_after, "all") == 0;
    if (!print_all) NORN_TRY(check_name(graph, "--print-after", print_after));
    NORN_TRY(check_name(graph, "--stop-after", stop_after));

    for (size_t i = 0; i < norn_pass_count; i++) {
        const norn_pass *pass = &norn_passes[i];
        uint32_t before = graph->node_count;
        norn_status status = run_in(pass, context, graph);
        if (status != NORN_OK) {
            norn_note("pass %s", pass->name);
            return status;
        }
        norn_log(NORN_LOG_DEBUG, "pass %s: %u node%s, %u before", pass->name, graph->node_count,
                 norn_plural(graph->node_count), before);
        if (print_all || (print_after && strcmp(print_after, pass->name) == 0)) {
            NORN_TRY(print_graph(pass->name, graph));
        }
        if (stop_after && strcmp(stop_after, pass->name) == 0) break;
    }
    return NORN_OK;
}
