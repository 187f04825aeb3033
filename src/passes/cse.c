/// f(x, y), f(x, y) -> one of them, read twice. Attributes must be equal byte
/// for byte; small constants are equal by value, as exporters repeat them.
/// Not random numbers, not nodes with bodies.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

#include "base/hash.h"
#include "base/memory.h"

enum { COMPARED_BYTES = 1024 };

static uint64_t mix(uint64_t seed, uint64_t x) {
    return norn_hash_u64(seed ^ (x + 0x9e3779b97f4a7c15u));
}

/// Bytes of a constant that is compared by value; NULL view otherwise.
static bool small_constant(const norn_value *value, size_t *bytes) {
    return value->data && value->dtype != NORN_STRING &&
           norn_view_bytes(value->data, bytes) == NORN_OK && *bytes <= COMPARED_BYTES;
}

static uint64_t hash_value(const norn_value *value) {
    size_t bytes;
    if (!value) return 1;
    if (small_constant(value, &bytes))
        return norn_hash_bytes(value->data->data, bytes, value->dtype);
    return norn_hash_u64(value->id + 2u);
}

static bool same_value(const norn_value *a, const norn_value *b) {
    size_t bytes_a, bytes_b;
    if (a == b) return true;
    if (!a || !b || a->dtype != b->dtype) return false;
    return small_constant(a, &bytes_a) && small_constant(b, &bytes_b) &&
           norn_view_same_shape(a->data, b->data) &&
           memcmp(a->data->data, b->data->data, bytes_a) == 0;
}

static bool same_tensor(const norn_view *a, const norn_view *b) {
    size_t bytes;
    if (a == b) return true;
    return a->dtype == b->dtype && a->dtype != NORN_STRING && norn_view_same_shape(a, b) &&
           norn_view_bytes(a, &bytes) == NORN_OK && memcmp(a->data, b->data, bytes) == 0;
}

static bool same_attr(const norn_attr *a, const norn_attr *b) {
    if (strcmp(a->name, b->name) != 0 || a->kind != b->kind || a->count != b->count) return false;
    switch (a->kind) {
    case NORN_ATTR_INT:
        return a->i64 == b->i64;
    case NORN_ATTR_FLOAT:
        return memcmp(&a->f32, &b->f32, sizeof a->f32) == 0;
    case NORN_ATTR_STRING:
        return a->string.count == b->string.count &&
               (!a->string.count || memcmp(a->string.bytes, b->string.bytes, a->string.count) == 0);
    case NORN_ATTR_INTS:
        return !a->count || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0;
    case NORN_ATTR_FLOATS:
        return !a->count || memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0;
    case NORN_ATTR_TENSOR:
        return same_tensor(a->tensor, b->tensor);
    case NORN_ATTR_STRINGS:
    case NORN_ATTR_GRAPH:
        return false;
    }
    return false;
}

static bool same_node(const norn_node *a, const norn_node *b) {
    if (a->op != b->op || a->in_count != b->in_count || a->out_count != b->out_count) return false;
    if (a->attrs.count != b->attrs.count) return false;
    for (uint32_t i = 0; i < a->in_count; i++) {
        if (!same_value(a->in[i].value, b->in[i].value)) return false;
    }
    for (uint32_t i = 0; i < a->attrs.count; i++) {
        if (!same_attr(&a->attrs.at[i], &b->attrs.at[i])) return false;
    }
    for (uint32_t i = 0; i < a->out_count; i++) {
        if (!a->out[i] != !b->out[i]) return false;
        if (a->out[i] && !norn_shape_equal(&a->out[i]->shape, &b->out[i]->shape)) {
            // Two runtime symbols may stand for one size, and a static
            // Reshape is told by its shape alone.
            return false;
        }
    }
    return true;
}

static bool mergeable(const norn_node *node) {
    return !node->dead && !node->region && !(node->op->flags & (NORN_OP_EFFECT | NORN_OP_SUBGRAPH));
}

norn_status norn_pass_cse(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    size_t slots = 16;
    while (slots < (size_t)graph->node_count * 2) slots *= 2;
    norn_node **seen;
    NORN_TRY(NORN_NEW_ARRAY(graph->alloc, slots, &seen));
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (!mergeable(node)) continue;
        uint64_t hash = mix(node->op->id, node->attrs.count);
        for (uint32_t i = 0; i < node->in_count; i++)
            hash = mix(hash, hash_value(node->in[i].value));
        size_t slot = hash & (slots - 1);
        while (seen[slot] && !same_node(seen[slot], node)) slot = (slot + 1) & (slots - 1);
        norn_node *first = seen[slot];
        if (!first) {
            seen[slot] = node;
            continue;
        }
        norn_status status = norn_node_add_origin(graph, first, node);
        if (status != NORN_OK) {
            norn_free(graph->alloc, seen);
            return status;
        }
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->out[i]) norn_graph_forward(graph, node->out[i], first->out[i]);
        }
        norn_graph_kill(graph, node);
    }
    norn_free(graph->alloc, seen);
    return NORN_OK;
}
