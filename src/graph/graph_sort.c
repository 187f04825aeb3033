/// Depth first from each node in its present order, so that nodes that
/// are in order stay where they are.
#include "graph/graph.h"

#include "base/memory.h"

enum { UNSEEN, OPEN, DONE };

typedef struct frame {
    norn_node *node;
    uint32_t next_input;
} frame;

typedef struct sorter {
    frame *stack;
    uint8_t *state; // by id of a node's first present output
    uint32_t depth;
    norn_node *first, *last;
} sorter;

/// A node is known by its first output; one without outputs reads only, so it never blocks another.
static uint8_t *state_of(const sorter *s, const norn_node *node) {
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->out[i]) return &s->state[node->out[i]->id];
    }
    return NULL;
}

static void emit(sorter *s, norn_node *node) {
    node->prev = s->last;
    if (s->last) {
        s->last->next = node;
    } else {
        s->first = node;
    }
    s->last = node;
}

static norn_status visit(sorter *s, norn_node *root) {
    s->stack[s->depth++] = (frame){root, 0};
    while (s->depth > 0) {
        frame *top = &s->stack[s->depth - 1];
        norn_node *node = top->node;
        uint8_t *state = state_of(s, node);
        if (top->next_input == 0 && state) *state = OPEN;
        if (top->next_input == node->in_count) {
            if (state) *state = DONE;
            emit(s, node);
            s->depth--;
            continue;
        }
        norn_value *value = node->in[top->next_input++].value;
        norn_node *producer = value ? value->producer : NULL;
        if (!producer || producer->dead) continue;
        uint8_t *before = state_of(s, producer);
        if (*before == OPEN) {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "node '%s' (%s) depends on its own output: the graph has a cycle",
                             node->name, node->op->name);
        }
        if (*before == UNSEEN) s->stack[s->depth++] = (frame){producer, 0};
    }
    return NORN_OK;
}

norn_status norn_graph_sort(norn_graph *graph) {
    sorter s = {0};
    norn_node **order = NULL;
    uint32_t count = 0;
    norn_status status;
    NORN_TRY_DONE(NORN_NEW_ARRAY(graph->alloc, (size_t)graph->node_count + 1, &s.stack));
    NORN_TRY_DONE(NORN_NEW_ARRAY(graph->alloc, graph->value_count, &s.state));
    NORN_TRY_DONE(NORN_NEW_ARRAY(graph->alloc, graph->node_count, &order));
    for (norn_node *node = graph->nodes; node; node = node->next) order[count++] = node;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *state = state_of(&s, order[i]);
        if (state && *state == DONE) continue;
        status = visit(&s, order[i]);
        if (status != NORN_OK) break;
    }
    if (status == NORN_OK) {
        if (s.last) s.last->next = NULL;
        graph->nodes = s.first;
        graph->last = s.last;
    } else { // as it was
        for (uint32_t i = 0; i < count; i++) {
            order[i]->prev = i ? order[i - 1] : NULL;
            order[i]->next = i + 1 < count ? order[i + 1] : NULL;
        }
    }
done:
    norn_free(graph->alloc, (void *)order);
    norn_free(graph->alloc, s.state);
    norn_free(graph->alloc, s.stack);
    return status;
}
