#include "graph/graph.h"

#include "base/memory.h"

#include <string.h>

enum { DEPTH_MAX = 32 };

typedef struct cloner {
    const norn_graph *from;
    norn_graph *to;
    norn_value **value; // by id of `from`
    int depth;
} cloner;

static norn_status clone_graph(const norn_graph *from, int depth, norn_graph *to);

static norn_status copy_text(norn_arena *arena, const char *text, const char **out) {
    return norn_arena_string(arena, text, strlen(text), out);
}

static norn_status clone_symbols(const norn_symbols *from, norn_symbols *to) {
    if (from->count == 0) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(to->arena, (size_t)from->count, &to->at));
    memcpy(to->at, from->at, (size_t)from->count * sizeof *to->at);
    to->count = from->count;
    to->capacity = (size_t)from->count;
    for (int32_t i = 0; i < to->count; i++) {
        NORN_TRY(copy_text(to->arena, from->at[i].name, &to->at[i].name));
    }
    return NORN_OK;
}

static norn_status clone_value(cloner *c, const norn_value *from, norn_value **out) {
    *out = NULL;
    if (!from) return NORN_OK;
    norn_value **slot = &c->value[from->id];
    if (!*slot && from->data) {
        NORN_TRY(norn_graph_constant(c->to, from->name, from->data, slot));
    } else if (!*slot) {
        NORN_TRY(norn_graph_value(c->to, from->name, from->dtype, &from->shape, slot));
    }
    norn_value *copy = *slot;
    copy->fallback = from->fallback;
    if (from->contents && !copy->contents) {
        norn_dim *contents;
        NORN_TRY(NORN_TAKE_ARRAY(&c->to->arena, from->contents_count, &contents));
        memcpy(contents, from->contents, from->contents_count * sizeof *contents);
        copy->contents = contents;
        copy->contents_count = from->contents_count;
    }
    *out = copy;
    return NORN_OK;
}

static norn_status clone_string(norn_arena *arena, norn_string *string) {
    return norn_arena_string(arena, string->bytes, string->count, &string->bytes);
}

static norn_status clone_attr(cloner *c, norn_attr *attr) {
    norn_arena *arena = &c->to->arena;
    NORN_TRY(copy_text(arena, attr->name, &attr->name));
    switch (attr->kind) {
    case NORN_ATTR_INT:
    case NORN_ATTR_FLOAT:
        break;
    case NORN_ATTR_STRING:
        return clone_string(arena, &attr->string);
    case NORN_ATTR_INTS: {
        int64_t *ints;
        NORN_TRY(NORN_TAKE_ARRAY(arena, attr->count, &ints));
        if (attr->count) memcpy(ints, attr->ints, attr->count * sizeof *ints);
        attr->ints = ints;
        break;
    }
    case NORN_ATTR_FLOATS: {
        float *floats;
        NORN_TRY(NORN_TAKE_ARRAY(arena, attr->count, &floats));
        if (attr->count) memcpy(floats, attr->floats, attr->count * sizeof *floats);
        attr->floats = floats;
        break;
    }
    case NORN_ATTR_STRINGS: {
        norn_string *strings;
        NORN_TRY(NORN_TAKE_ARRAY(arena, attr->count, &strings));
        for (uint32_t i = 0; i < attr->count; i++) {
            strings[i] = attr->strings[i];
            NORN_TRY(clone_string(arena, &strings[i]));
        }
        attr->strings = strings;
        break;
    }
    case NORN_ATTR_TENSOR: {
        norn_view *view;
        NORN_TRY(NORN_TAKE(arena, &view));
        *view = *attr->tensor;
        attr->tensor = view;
        break;
    }
    case NORN_ATTR_GRAPH: {
        const norn_graph *body = attr->graph;
        NORN_TRY(norn_graph_create_body(c->to, body->name, &attr->graph));
        return clone_graph(body, c->depth + 1, attr->graph);
    }
    }
    return NORN_OK;
}

static norn_status clone_origin(cloner *c, const norn_origin *from, norn_origin *to) {
    if (from->count == 0) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(&c->to->arena, from->count, &to->names));
    to->count = from->count;
    for (uint32_t i = 0; i < from->count; i++) {
        NORN_TRY(copy_text(&c->to->arena, from->names[i], &to->names[i]));
    }
    return NORN_OK;
}

static norn_status clone_node(cloner *c, const norn_node *from) {
    norn_arena *arena = &c->to->arena;
    norn_value **in, **out;
    norn_attr *attrs;
    norn_node *node;
    NORN_TRY(NORN_TAKE_ARRAY(arena, from->in_count, &in));
    NORN_TRY(NORN_TAKE_ARRAY(arena, from->out_count, &out));
    NORN_TRY(NORN_TAKE_ARRAY(arena, from->attrs.count, &attrs));
    for (uint32_t i = 0; i < from->in_count; i++) {
        NORN_TRY(clone_value(c, from->in[i].value, &in[i]));
    }
    for (uint32_t i = 0; i < from->out_count; i++) {
        NORN_TRY(clone_value(c, from->out[i], &out[i]));
    }
    for (uint32_t i = 0; i < from->attrs.count; i++) {
        attrs[i] = from->attrs.at[i];
        NORN_TRY(clone_attr(c, &attrs[i]));
    }
    NORN_TRY(norn_graph_node(c->to, NULL, from->op, from->name, in, from->in_count, out,
                             from->out_count, (norn_attrs){attrs, from->attrs.count}, NULL, &node));
    if (from->region) {
        NORN_TRY(norn_region_clone(norn_region_kind_of(from->op->name), from->region, arena,
                                   &node->region));
    }
    node->place = from->place;
    node->numbers = from->numbers;
    return clone_origin(c, &from->origin, &node->origin);
}

static norn_status clone_graph(const norn_graph *from, int depth, norn_graph *to) {
    cloner c = {.from = from, .to = to, .depth = depth};
    norn_status status;
    if (depth > DEPTH_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT, "bodies are nested more than %d deep", DEPTH_MAX);
    }
    NORN_TRY_DONE(NORN_NEW_ARRAY(to->alloc, from->value_count, &c.value));
    NORN_TRY_DONE(copy_text(&to->arena, from->path, &to->path));
    NORN_TRY_DONE(clone_symbols(&from->symbols, &to->symbols));
    to->batch = from->batch;
    for (uint32_t i = 0; i < from->input_count; i++) {
        norn_value *value;
        NORN_TRY_DONE(clone_value(&c, from->inputs[i], &value));
        NORN_TRY_DONE(norn_graph_add_input(to, value));
    }
    for (const norn_node *node = from->nodes; node; node = node->next) {
        if (!node->dead) NORN_TRY_DONE(clone_node(&c, node));
    }
    for (uint32_t i = 0; i < from->output_count; i++) {
        norn_value *value;
        NORN_TRY_DONE(clone_value(&c, from->outputs[i].value, &value));
        NORN_TRY_DONE(norn_graph_add_output(to, value));
        NORN_TRY_DONE(copy_text(&to->arena, from->output_names[i], &to->output_names[i]));
        to->output_squeezed[i] = from->output_squeezed[i];
    }
done:
    norn_free(to->alloc, (void *)c.value);
    return status;
}

norn_status norn_graph_clone(const norn_graph *graph, norn_alloc alloc, norn_graph **out) {
    norn_graph *copy;
    *out = NULL;
    NORN_TRY(norn_graph_create(graph->name, alloc, &copy));
    norn_status status = clone_graph(graph, 0, copy);
    if (status != NORN_OK) {
        norn_graph_destroy(copy);
        return status;
    }
    *out = copy;
    return NORN_OK;
}
