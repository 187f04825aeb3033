#include "passes/fuse.h"
#include "passes/rewrite.h"

void norn_fuse_number(norn_graph *graph) {
    uintptr_t place = 1;
    for (norn_node *node = graph->nodes; node; node = node->next) node->note = (void *)place++;
}

static uintptr_t place_of(const norn_node *node) {
    return (uintptr_t)node->note;
}

typedef struct chain {
    norn_value *seed;
    norn_node **nodes;
    uint32_t count;
} chain;

static bool holds(const chain *c, const norn_node *node) {
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->nodes[i] == node) return true;
    }
    return false;
}

static norn_value *value_at(const chain *c, uint32_t index) {
    return index == 0 ? c->seed : c->nodes[index - 1]->out[0];
}

/// The first node, in order, that reads a value of the chain and is not in it; NULL when a value is
/// a graph output: it stays visible, so nothing can follow.
static norn_node *next_reader(const chain *c) {
    norn_node *first = NULL;
    for (uint32_t i = 0; i <= c->count; i++) {
        for (const norn_use *use = value_at(c, i)->uses; use; use = use->next) {
            if (!use->node) return NULL;
            if (holds(c, use->node)) continue;
            if (!first || place_of(use->node) < place_of(first)) first = use->node;
        }
    }
    return first;
}

/// How many values are read outside; *last is one of them.
static uint32_t visible(const chain *c, norn_value **last) {
    uint32_t count = 0;
    for (uint32_t i = 0; i <= c->count; i++) {
        norn_value *value = value_at(c, i);
        bool outside = false;
        for (const norn_use *use = value->uses; use && !outside; use = use->next) {
            outside = !use->node || !holds(c, use->node);
        }
        if (!outside) continue;
        *last = value;
        count++;
    }
    return count;
}

/// The pointwise nodes that make operands for `node` alone,
/// and theirs: consumers first, `node` at 0.
static uint32_t find_operands(const norn_fuse *fuse, const chain *c, norn_node *node,
                              norn_node *found[NORN_FUSE_CHAIN_MAX]) {
    uint32_t count = 0;
    found[count++] = node;
    for (uint32_t at = 0; at < count; at++) {
        for (uint32_t i = 0; i < found[at]->in_count; i++) {
            const norn_value *in = found[at]->in[i].value;
            norn_node *producer = in ? in->producer : NULL;
            uint16_t reg;
            if (!producer || norn_fuse_find(fuse, in, &reg) ||
                count + c->count >= NORN_FUSE_CHAIN_MAX)
                continue;
            if (norn_value_only_reader(in) != found[at] ||
                !norn_fuse_is_pointwise(fuse->graph, producer))
                continue;
            if (!norn_shape_equal(&in->shape, &c->seed->shape) || in->dtype != c->seed->dtype)
                continue;
            bool twice = false; // x * x
            for (uint32_t j = 0; j < count; j++) twice = twice || found[j] == producer;
            if (!twice) found[count++] = producer;
        }
    }
    return count;
}

/// Takes `node` with the work on its operands, or alone. What makes the operands reads nothing of
/// the chain: it would stand before `node` among the readers then.
static norn_status take(norn_fuse *fuse, chain *c, norn_node *node, bool *fits) {
    norn_node *found[NORN_FUSE_CHAIN_MAX];
    uint32_t before = c->count, inputs = fuse->input_count, values = fuse->value_count;
    uint32_t loads = fuse->builder.load_count, instrs = fuse->builder.instr_count;
    *fits = true;
    for (uint32_t at = find_operands(fuse, c, node, found); at-- > 0 && *fits;) {
        NORN_TRY(norn_fuse_node(fuse, found[at], fits));
        if (*fits) c->nodes[c->count++] = found[at];
    }
    if (*fits) return NORN_OK;
    c->count = before;
    fuse->input_count = inputs, fuse->value_count = values;
    fuse->builder.load_count = loads, fuse->builder.instr_count = instrs;
    NORN_TRY(norn_fuse_node(fuse, node, fits));
    if (*fits) c->nodes[c->count++] = node;
    return NORN_OK;
}

norn_status norn_fuse_follow(norn_fuse *fuse, norn_value *seed,
                             norn_node *nodes[NORN_FUSE_CHAIN_MAX], uint32_t *count,
                             norn_value **result) {
    chain c = {.seed = seed, .nodes = nodes};
    uint32_t best = 0, inputs = fuse->input_count, values = fuse->value_count;
    uint32_t loads = fuse->builder.load_count, instrs = fuse->builder.instr_count;
    *result = seed;
    while (c.count < NORN_FUSE_CHAIN_MAX) {
        norn_node *node = next_reader(&c);
        norn_value *last = NULL;
        bool fits = false;
        // A value that something else reads as well stays visible, so the first refusal ends it.
        if (!node || node->out_count != 1 || !node->out[0]) break;
        if (!norn_shape_equal(&node->out[0]->shape, &seed->shape)) break;
        NORN_TRY(take(fuse, &c, node, &fits));
        if (!fits) break;
        if (visible(&c, &last) != 1 || last != node->out[0] || last->dtype != seed->dtype) continue;
        best = c.count, *result = last;
        inputs = fuse->input_count, values = fuse->value_count;
        loads = fuse->builder.load_count, instrs = fuse->builder.instr_count;
    }
    *count = best;
    fuse->input_count = inputs, fuse->value_count = values;
    fuse->builder.load_count = loads, fuse->builder.instr_count = instrs;
    return NORN_OK;
}
