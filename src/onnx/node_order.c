/// The order in which nodes can be made. ONNX asks for topological order and most files have it;
/// some converters append what they insert, and onnxruntime sorts.
#include "onnx/importer.h"

#include <string.h>

typedef struct entry {
    norn_onnx_node node;
    uint32_t *needs; ///< nodes whose outputs this one reads, here or in its bodies
    uint32_t need_count, next_need;
    size_t need_capacity;
    enum { UNSEEN, OPEN, DONE } state;
} entry;

typedef struct order {
    norn_importer *importer;
    entry *entries;
    norn_name_map makers; ///< name -> its entry
} order;

/// Names that a body makes itself hide those around it.
typedef struct inner_names {
    norn_name_map names;
    const struct inner_names *outer;
} inner_names;

static norn_status need(order *o, entry *reader, const char *name, const inner_names *inner) {
    for (; inner; inner = inner->outer)
        if (norn_name_map_find(&inner->names, name)) return NORN_OK;
    const entry *maker = norn_name_map_find(&o->makers, name);
    if (!maker) return NORN_OK;
    NORN_TRY(NORN_TAKE_MORE(&o->importer->scratch, &reader->needs, reader->need_count,
                            &reader->need_capacity));
    reader->needs[reader->need_count++] = (uint32_t)(maker - o->entries);
    return NORN_OK;
}

// ---- what a body reads from around it

static norn_status note_infos(order *o, const norn_onnx_spans *infos, norn_name_map *names) {
    for (uint32_t i = 0; i < infos->count; i++) {
        norn_onnx_value_info info;
        NORN_TRY(norn_onnx_read_value_info(infos->at[i], &o->importer->scratch, &info));
        NORN_TRY(norn_name_map_put(names, info.name, o));
    }
    return NORN_OK;
}

static norn_status need_of_node(order *o, entry *reader, const norn_onnx_node *node,
                                const inner_names *inner, int depth);

static norn_status need_of_body(order *o, entry *reader, norn_span bytes, const inner_names *outer,
                                int depth) {
    norn_arena *scratch = &o->importer->scratch;
    inner_names own = {norn_name_map_in(scratch), outer};
    norn_onnx_graph body;
    norn_onnx_node *nodes;
    if (depth == NORN_ONNX_DEPTH_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s': functions and bodies are nested more than %d deep",
                         reader->node.name, (int)NORN_ONNX_DEPTH_MAX);
    NORN_TRY(norn_onnx_read_graph(bytes, scratch, &body));
    NORN_TRY(note_infos(o, &body.inputs, &own.names));
    NORN_TRY(norn_import_initializer_names(o->importer, &body, &own.names));
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)body.nodes.count + 1, &nodes));
    for (uint32_t i = 0; i < body.nodes.count; i++) {
        NORN_TRY(norn_onnx_read_node(body.nodes.at[i], scratch, &nodes[i]));
        for (uint32_t k = 0; k < nodes[i].outputs.count; k++)
            NORN_TRY(norn_name_map_put(&own.names, nodes[i].outputs.at[k], o));
    }
    for (uint32_t i = 0; i < body.nodes.count; i++)
        NORN_TRY(need_of_node(o, reader, &nodes[i], &own, depth + 1));
    for (uint32_t i = 0; i < body.outputs.count; i++) {
        norn_onnx_value_info info;
        NORN_TRY(norn_onnx_read_value_info(body.outputs.at[i], scratch, &info));
        NORN_TRY(need(o, reader, info.name, &own));
    }
    return NORN_OK;
}

static norn_status need_of_node(order *o, entry *reader, const norn_onnx_node *node,
                                const inner_names *inner, int depth) {
    for (uint32_t i = 0; i < node->inputs.count; i++)
        if (*node->inputs.at[i]) NORN_TRY(need(o, reader, node->inputs.at[i], inner));
    for (uint32_t i = 0; i < node->attributes.count; i++) {
        norn_onnx_attr attr;
        NORN_TRY(norn_onnx_read_attr(node->attributes.at[i], &o->importer->scratch, &attr));
        if (attr.type == NORN_ONNX_ATTR_GRAPH && !*attr.ref_name)
            NORN_TRY(need_of_body(o, reader, attr.bytes, inner, depth));
    }
    return NORN_OK;
}

// ---- sorting

static norn_status read_entries(order *o, const norn_onnx_spans *nodes) {
    norn_arena *scratch = &o->importer->scratch;
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)nodes->count + 1, &o->entries));
    o->makers = norn_name_map_in(scratch);
    for (uint32_t i = 0; i < nodes->count; i++) {
        norn_onnx_node *node = &o->entries[i].node;
        NORN_TRY(norn_onnx_read_node(nodes->at[i], scratch, node));
        for (uint32_t k = 0; k < node->outputs.count; k++) {
            const char *name = node->outputs.at[k]; // of two makers the import says which
            if (*name && !norn_name_map_find(&o->makers, name))
                NORN_TRY(norn_name_map_put(&o->makers, name, &o->entries[i]));
        }
    }
    return NORN_OK;
}

static norn_status cycle(const entry *at) {
    const norn_onnx_node *node = &at->node;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "node '%s' (%s) depends on its own output: the graph has a cycle",
                     *node->name           ? node->name
                     : node->outputs.count ? node->outputs.at[0]
                                           : "",
                     node->op_type);
}

/// Depth first from each node in the file's order, so that what is in order stays where it is.
static norn_status sort(order *o, uint32_t count, norn_onnx_node *out) {
    entry **stack;
    uint32_t depth = 0, made = 0;
    NORN_TRY(NORN_TAKE_ARRAY(&o->importer->scratch, (size_t)count + 1, &stack));
    for (uint32_t i = 0; i < count; i++) {
        if (o->entries[i].state == DONE) continue;
        stack[depth++] = &o->entries[i];
        while (depth > 0) {
            entry *top = stack[depth - 1];
            top->state = OPEN;
            if (top->next_need == top->need_count) {
                top->state = DONE;
                out[made++] = top->node;
                depth--;
                continue;
            }
            entry *maker = &o->entries[top->needs[top->next_need++]];
            if (maker->state == OPEN) return cycle(maker);
            if (maker->state == UNSEEN) stack[depth++] = maker;
        }
    }
    return NORN_OK;
}

norn_status norn_import_node_order(norn_importer *importer, const norn_onnx_spans *nodes,
                                   norn_onnx_node **out) {
    order o = {.importer = importer};
    bool sorted = true;
    NORN_TRY(read_entries(&o, nodes));
    NORN_TRY(NORN_TAKE_ARRAY(&importer->scratch, (size_t)nodes->count + 1, out));
    for (uint32_t i = 0; i < nodes->count; i++) {
        entry *reader = &o.entries[i];
        NORN_TRY(need_of_node(&o, reader, &reader->node, NULL, 0));
        for (uint32_t k = 0; k < reader->need_count; k++) sorted &= reader->needs[k] < i;
        (*out)[i] = reader->node;
    }
    return sorted ? NORN_OK : sort(&o, nodes->count, *out);
}
