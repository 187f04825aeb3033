#include "graph/graph.h"

#include "base/memory.h"

#include <string.h>

enum { DEPTH_MAX = 32 };

typedef struct verifier {
    const norn_graph *graph;
    bool *defined;     // by value id: an input, a constant or an output of a node before this one
    uint32_t *readers; // by value id: uses seen from nodes and outputs
} verifier;

static norn_status breach(const norn_graph *graph, const norn_node *node, const char *what) {
    return norn_fail(NORN_INTERNAL, "graph '%s': node '%s' (%s): %s", graph->name,
                     node ? node->name : "", node ? node->op->name : "output", what);
}

static norn_status check_dims(const verifier *v, const norn_node *node, const norn_value *value) {
    if (value->shape.rank > NORN_MAX_RANK || value->shape.rank < -1) {
        return breach(v->graph, node, "a value has a rank out of range");
    }
    for (int32_t i = 0; i < value->shape.rank; i++) {
        norn_dim dim = value->shape.dims[i];
        if (dim.symbol >= v->graph->symbols.count ||
            (dim.symbol < 0 ? dim.coef != 0 || dim.constant < 0 : dim.coef == 0)) {
            return breach(v->graph, node, "a value has a malformed dimension");
        }
    }
    return NORN_OK;
}

static norn_status check_use(verifier *v, const norn_node *node, const norn_use *use,
                             uint32_t index) {
    const norn_value *value = use->value;
    if (use->node != node || use->index != index) {
        return breach(v->graph, node, "a use does not point back to its reader");
    }
    if (!value) return node ? NORN_OK : breach(v->graph, node, "an output has no value");
    if (value->id >= v->graph->value_count)
        return breach(v->graph, node, "a value id is out of range");
    if (use->prev ? use->prev->next != use : value->uses != use) {
        return breach(v->graph, node, "a use is not in its value's list");
    }
    if (use->next && use->next->prev != use) return breach(v->graph, node, "a use list is broken");
    if (value->dtype == NORN_DTYPE_NONE)
        return breach(v->graph, node, "a value has no element type");
    if (!v->defined[value->id]) {
        if (value->producer || !value->data) {
            return breach(v->graph, node,
                          value->producer ? "reads a value before the node that makes it"
                                          : "reads a value that nothing makes");
        }
        v->defined[value->id] = true; // a constant, seen for the first time
        NORN_TRY(check_dims(v, node, value));
    }
    v->readers[value->id]++;
    return NORN_OK;
}

static norn_status check_region(const verifier *v, const norn_node *node) {
    bool wants = strcmp(node->op->domain, "norn") == 0;
    if (wants != (node->region != NULL)) {
        return breach(v->graph, node, wants ? "has no region" : "has a region but is none");
    }
    return NORN_OK;
}

static norn_status verify(const norn_graph *graph, int depth);

static norn_status check_node(verifier *v, const norn_node *node, int depth) {
    if (node->dead) return breach(v->graph, node, "is dead but was not swept");
    NORN_TRY(check_region(v, node));
    for (uint32_t i = 0; i < node->in_count; i++) NORN_TRY(check_use(v, node, &node->in[i], i));
    for (uint32_t i = 0; i < node->out_count; i++) {
        const norn_value *value = node->out[i];
        if (!value) continue;
        if (value->producer != node || value->producer_index != i) {
            return breach(v->graph, node, "an output does not point back to its producer");
        }
        if (value->id >= v->graph->value_count || v->defined[value->id]) {
            return breach(v->graph, node, "an output is made twice");
        }
        if (value->data) return breach(v->graph, node, "an output is also a constant");
        v->defined[value->id] = true;
        NORN_TRY(check_dims(v, node, value));
    }
    for (uint32_t i = 0; i < node->attrs.count; i++) {
        const norn_attr *attr = &node->attrs.at[i];
        if (attr->kind != NORN_ATTR_GRAPH) continue;
        if (!attr->graph || attr->graph->parent != v->graph) {
            return breach(v->graph, node, "a body belongs to another graph");
        }
        NORN_TRY(verify(attr->graph, depth + 1));
    }
    return NORN_OK;
}

static norn_status check_inputs(verifier *v) {
    for (uint32_t i = 0; i < v->graph->input_count; i++) {
        const norn_value *value = v->graph->inputs[i];
        if (value->producer || value->data || value->id >= v->graph->value_count) {
            return norn_fail(NORN_INTERNAL, "graph '%s': input '%s' is not a plain value",
                             v->graph->name, value->name);
        }
        if (v->defined[value->id]) {
            return norn_fail(NORN_INTERNAL, "graph '%s': input '%s' is there twice", v->graph->name,
                             value->name);
        }
        v->defined[value->id] = true;
        NORN_TRY(check_dims(v, NULL, value));
    }
    return NORN_OK;
}

/// Names of a body's outputs mean nothing, and may repeat; a model's are what clients ask for.
static norn_status check_output_names(const norn_graph *graph) {
    if (graph->parent) return NORN_OK;
    for (uint32_t i = 0; i < graph->output_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(graph->output_names[i], graph->output_names[j]) == 0) {
                return norn_fail(NORN_INTERNAL, "graph '%s': two outputs are named '%s'",
                                 graph->name, graph->output_names[i]);
            }
        }
    }
    return NORN_OK;
}

static norn_status check_readers(const verifier *v) {
    for (const norn_node *node = v->graph->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->out_count; i++) {
            const norn_value *value = node->out[i];
            if (value && v->readers[value->id] != value->readers) {
                return breach(v->graph, node, "the count of an output's readers is wrong");
            }
        }
    }
    return NORN_OK;
}

static norn_status verify(const norn_graph *graph, int depth) {
    verifier v = {.graph = graph};
    norn_status status;
    uint32_t count = 0;
    if (depth > DEPTH_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT, "bodies are nested more than %d deep", DEPTH_MAX);
    }
    NORN_TRY_DONE(NORN_NEW_ARRAY(graph->alloc, graph->value_count, &v.defined));
    NORN_TRY_DONE(NORN_NEW_ARRAY(graph->alloc, graph->value_count, &v.readers));
    NORN_TRY_DONE(check_inputs(&v));
    for (const norn_node *node = graph->nodes; node; node = node->next, count++) {
        if (node->next ? node->next->prev != node : graph->last != node) {
            NORN_TRY_DONE(breach(graph, node, "the list of nodes is broken"));
        }
        NORN_TRY_DONE(check_node(&v, node, depth));
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        NORN_TRY_DONE(check_use(&v, NULL, &graph->outputs[i], i));
    }
    if (count != graph->node_count) {
        NORN_TRY_DONE(norn_fail(NORN_INTERNAL, "graph '%s': %u node%s, counted as %u", graph->name,
                                count, norn_plural(count), graph->node_count));
    }
    NORN_TRY_DONE(check_readers(&v));
    NORN_TRY_DONE(check_output_names(graph));
done:
    norn_free(graph->alloc, v.readers);
    norn_free(graph->alloc, v.defined);
    return status;
}

norn_status norn_graph_verify(const norn_graph *graph) {
    return verify(graph, 0);
}
