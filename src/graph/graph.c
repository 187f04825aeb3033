#include "graph/graph.h"

#include "base/memory.h"

#include <string.h>

enum { TOP_BLOCK_BYTES = 32 * 1024, BODY_BLOCK_BYTES = 2 * 1024 };

static norn_status create(const char *name, norn_alloc alloc, size_t block_bytes,
                          norn_graph **out) {
    norn_graph *graph;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &graph));
    graph->alloc = alloc;
    norn_arena_init(&graph->arena, alloc, block_bytes);
    graph->symbols.arena = &graph->arena;
    graph->batch = -1;
    graph->path = "";
    norn_status status = norn_arena_string(&graph->arena, name, strlen(name), &graph->name);
    if (status != NORN_OK) {
        norn_graph_destroy(graph);
        return status;
    }
    *out = graph;
    return NORN_OK;
}

norn_status norn_graph_create(const char *name, norn_alloc alloc, norn_graph **out) {
    return create(name, alloc, TOP_BLOCK_BYTES, out);
}

norn_status norn_graph_create_body(norn_graph *parent, const char *name, norn_graph **out) {
    NORN_TRY(create(name, parent->alloc, BODY_BLOCK_BYTES, out));
    norn_graph *body = *out;
    body->parent = parent;
    body->path = parent->path;
    body->next_body = parent->bodies;
    parent->bodies = body;
    return NORN_OK;
}

/// Leaves of the tree of bodies first, without recursion: a hostile model may nest deeply.
void norn_graph_destroy(norn_graph *graph) {
    norn_graph *at = graph;
    while (at) {
        if (at->bodies) {
            at = at->bodies;
            continue;
        }
        norn_graph *up = at == graph ? NULL : at->parent;
        if (up) up->bodies = at->next_body;
        norn_arena_deinit(&at->arena);
        norn_free(at->alloc, at);
        at = up;
    }
}

// ---- values

norn_status norn_graph_value(norn_graph *graph, const char *name, norn_dtype dtype,
                             const norn_shape *shape, norn_value **out) {
    norn_value *value;
    *out = NULL;
    if (graph->value_count == UINT32_MAX) {
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "too many values");
    }
    NORN_TRY(NORN_TAKE(&graph->arena, &value));
    NORN_TRY(
        norn_arena_string(&graph->arena, name ? name : "", name ? strlen(name) : 0, &value->name));
    value->id = graph->value_count++;
    value->dtype = dtype;
    value->shape = shape ? *shape : norn_shape_unknown();
    *out = value;
    return NORN_OK;
}

norn_status norn_graph_constant(norn_graph *graph, const char *name, const norn_view *data,
                                norn_value **out) {
    norn_view *copy;
    norn_shape shape = {.rank = data->rank};
    *out = NULL;
    for (int32_t i = 0; i < data->rank; i++) shape.dims[i] = norn_dim_const(data->dims[i]);
    NORN_TRY(NORN_TAKE(&graph->arena, &copy));
    *copy = *data;
    NORN_TRY(norn_graph_value(graph, name, data->dtype, &shape, out));
    (*out)->data = copy;
    return NORN_OK;
}

// ---- uses

static void unlink_use(norn_use *use) {
    norn_value *value = use->value;
    if (!value) return;
    if (use->prev) {
        use->prev->next = use->next;
    } else {
        value->uses = use->next;
    }
    if (use->next) use->next->prev = use->prev;
    value->readers--;
    use->value = NULL;
    use->prev = use->next = NULL;
}

static void link_use(norn_use *use, norn_value *value) {
    use->value = value;
    use->prev = NULL;
    use->next = NULL;
    if (!value) return;
    use->next = value->uses;
    if (use->next) use->next->prev = use;
    value->uses = use;
    value->readers++;
}

void norn_node_set_input(norn_node *node, uint32_t index, norn_value *value) {
    unlink_use(&node->in[index]);
    link_use(&node->in[index], value);
}

static bool is_full(uint32_t count) { // arrays double when their count is a power of two
    return (count & (count - 1)) == 0;
}

norn_status norn_graph_add_input(norn_graph *graph, norn_value *value) {
    uint32_t count = graph->input_count;
    if (is_full(count)) {
        norn_value **grown;
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, count ? (size_t)count * 2 : 1, &grown));
        if (count) memcpy(grown, graph->inputs, count * sizeof *grown);
        graph->inputs = grown;
    }
    graph->inputs[graph->input_count++] = value;
    return NORN_OK;
}

norn_status norn_graph_freeze(norn_graph *graph) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        norn_value *input = graph->inputs[i];
        if (!input->fallback) {
            graph->inputs[kept++] = input;
            continue;
        }
        input->data = input->fallback;
        input->fallback = NULL;
        input->shape = (norn_shape){.rank = input->data->rank};
        for (int32_t d = 0; d < input->shape.rank; d++)
            input->shape.dims[d] = norn_dim_const(input->data->dims[d]);
    }
    if (kept == graph->input_count) return NORN_OK;
    graph->input_count = kept;
    for (norn_node *node = graph->nodes; node; node = node->next)
        NORN_TRY(norn_node_infer(graph, node));
    return NORN_OK;
}

norn_status norn_graph_add_output(norn_graph *graph, norn_value *value) {
    uint32_t count = graph->output_count;
    if (is_full(count)) {
        size_t room = count ? (size_t)count * 2 : 1;
        norn_use *grown;
        const char **names;
        bool *squeezed;
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, room, &squeezed));
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, room, &grown));
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, room, &names));
        for (uint32_t i = 0; i < count; i++) { // uses are linked by address
            norn_value *read = graph->outputs[i].value;
            unlink_use(&graph->outputs[i]);
            grown[i].index = i;
            link_use(&grown[i], read);
            names[i] = graph->output_names[i];
            squeezed[i] = graph->output_squeezed[i];
        }
        graph->outputs = grown;
        graph->output_names = names;
        graph->output_squeezed = squeezed;
    }
    norn_use *use = &graph->outputs[count];
    *use = (norn_use){.index = count};
    link_use(use, value);
    graph->output_names[count] = value->name;
    graph->output_squeezed[count] = false;
    graph->output_count++;
    return NORN_OK;
}

// ---- nodes

static void insert_node(norn_graph *graph, norn_node *before, norn_node *node) {
    node->next = before;
    node->prev = before ? before->prev : graph->last;
    if (node->prev) {
        node->prev->next = node;
    } else {
        graph->nodes = node;
    }
    if (before) {
        before->prev = node;
    } else {
        graph->last = node;
    }
    graph->node_count++;
}

norn_status norn_graph_node(norn_graph *graph, norn_node *before, const norn_op_info *op,
                            const char *name, norn_value *const *in, uint32_t in_count,
                            norn_value *const *out, uint32_t out_count, norn_attrs attrs,
                            const norn_node *origin_of, norn_node **node) {
    norn_arena *arena = &graph->arena;
    norn_node *made;
    norn_attr *attr_copy;
    if (node) *node = NULL;
    // All that can fail comes before the first change to the graph.
    NORN_TRY(NORN_TAKE(arena, &made));
    NORN_TRY(norn_arena_string(arena, name ? name : "", name ? strlen(name) : 0, &made->name));
    NORN_TRY(NORN_TAKE_ARRAY(arena, in_count, &made->in));
    NORN_TRY(NORN_TAKE_ARRAY(arena, out_count, &made->out));
    NORN_TRY(NORN_TAKE_ARRAY(arena, attrs.count, &attr_copy));
    if (origin_of) NORN_TRY(norn_node_add_origin(graph, made, origin_of));
    if (attrs.count) memcpy(attr_copy, attrs.at, attrs.count * sizeof *attr_copy);
    made->op = op;
    made->attrs = (norn_attrs){attr_copy, attrs.count};
    made->in_count = in_count;
    made->out_count = out_count;
    for (uint32_t i = 0; i < in_count; i++) {
        made->in[i].node = made;
        made->in[i].index = i;
        link_use(&made->in[i], in[i]);
    }
    for (uint32_t i = 0; i < out_count; i++) {
        made->out[i] = out[i];
        if (!out[i]) continue;
        out[i]->producer = made;
        out[i]->producer_index = i;
    }
    insert_node(graph, before, made);
    if (node) *node = made;
    return NORN_OK;
}

static bool has_name(const norn_origin *origin, const char *name) {
    for (uint32_t i = 0; i < origin->count; i++) {
        if (origin->names[i] == name || strcmp(origin->names[i], name) == 0) return true;
    }
    return false;
}

norn_status norn_node_add_origin(norn_graph *graph, norn_node *node, const norn_node *from) {
    const norn_origin *more = &from->origin;
    if (more->count == 0) return NORN_OK;
    const char **names;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, (size_t)node->origin.count + more->count, &names));
    uint32_t old = node->origin.count;
    if (old) memcpy((void *)names, (const void *)node->origin.names, old * sizeof *names);
    uint32_t count = old;
    for (uint32_t i = 0; i < more->count; i++) {
        if (!has_name(&node->origin, more->names[i])) names[count++] = more->names[i];
    }
    node->origin = (norn_origin){names, count};
    return NORN_OK;
}

norn_status norn_node_set_attr(norn_graph *graph, norn_node *node, const norn_attr *attr) {
    uint32_t count = node->attrs.count, at = 0;
    while (at < count && strcmp(node->attrs.at[at].name, attr->name) != 0) at++;
    uint32_t grown_count = at == count ? count + 1 : count;
    norn_attr *grown;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, grown_count, &grown));
    if (count) memcpy(grown, node->attrs.at, count * sizeof *grown);
    grown[at] = *attr;
    node->attrs = (norn_attrs){grown, grown_count};
    return NORN_OK;
}

static bool is_graph_output(const norn_value *value) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node) return true;
    }
    return false;
}

void norn_graph_forward(norn_graph *graph, norn_value *from, norn_value *to) {
    (void)graph;
    if (from == to) return;
    if (to->producer && is_graph_output(from) && !is_graph_output(to)) to->name = from->name;
    while (from->uses) {
        norn_use *use = from->uses;
        unlink_use(use);
        link_use(use, to);
    }
}

void norn_graph_kill(norn_graph *graph, norn_node *node) {
    (void)graph;
    for (uint32_t i = 0; i < node->in_count; i++) unlink_use(&node->in[i]);
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->out[i] && node->out[i]->producer == node) node->out[i]->producer = NULL;
    }
    node->dead = true;
}

void norn_graph_sweep(norn_graph *graph) {
    norn_node *next;
    for (norn_node *node = graph->nodes; node; node = next) {
        next = node->next;
        if (!node->dead) continue;
        if (node->prev) {
            node->prev->next = next;
        } else {
            graph->nodes = next;
        }
        if (next) {
            next->prev = node->prev;
        } else {
            graph->last = node->prev;
        }
        graph->node_count--;
    }
}

norn_status norn_graph_values(const norn_graph *graph, norn_arena *arena, norn_value ***by_id) {
    norn_value **at;
    NORN_TRY(NORN_TAKE_ARRAY(arena, graph->value_count, &at));
    for (uint32_t i = 0; i < graph->input_count; i++) at[graph->inputs[i]->id] = graph->inputs[i];
    for (uint32_t i = 0; i < graph->output_count; i++) {
        at[graph->outputs[i].value->id] = graph->outputs[i].value;
    }
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->in_count; i++) {
            if (node->in[i].value) at[node->in[i].value->id] = node->in[i].value;
        }
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->out[i]) at[node->out[i]->id] = node->out[i];
        }
    }
    *by_id = at;
    return NORN_OK;
}
