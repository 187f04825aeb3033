/// Exporters lie about the batch: its symbol is `batch_size` on one input,
/// `s0` on the next and nothing on a third. Names that an operator forces to be
/// equal are made one; the batch is called "B".
#include "onnx/importer.h"

#include <string.h>

const char *norn_unify_alias(const norn_importer *importer, const char *name) {
    for (int hops = 0; hops < 64; hops++) { // aliases of aliases end long before
        const char *next = norn_name_map_find(&importer->aliases, name);
        if (!next || strcmp(next, name) == 0) break;
        name = next;
    }
    return name;
}

/// The map's values are not const; aliases are only ever read.
static norn_status add_alias(norn_importer *importer, const char *from, const char *to) {
    const char *kept_from, *kept_to; // a symbol's name goes with its graph
    NORN_TRY(norn_arena_string(&importer->scratch, from, strlen(from), &kept_from));
    NORN_TRY(norn_arena_string(&importer->scratch, to, strlen(to), &kept_to));
    return norn_name_map_put(&importer->aliases, kept_from, (void *)(uintptr_t)kept_to);
}

// ---- the batch

typedef struct candidate {
    const char *name;
    uint32_t inputs, outputs;
} candidate;

enum { CANDIDATES_MAX = 64 };

static norn_status count_names(norn_importer *importer, const norn_onnx_spans *spans, bool is_input,
                               const norn_name_map *initializers, candidate *all, uint32_t *count) {
    for (uint32_t i = 0; i < spans->count; i++) {
        norn_onnx_value_info info;
        const char *name;
        uint32_t at = 0;
        NORN_TRY(norn_onnx_read_value_info(spans->at[i], &importer->scratch, &info));
        if (info.rank == 0 || info.dims[0].value >= 0) continue;
        if (is_input && norn_name_map_find(initializers, info.name)) continue;
        NORN_TRY(norn_unify_dim_name(importer, &info, 0, &name));
        while (at < *count && strcmp(all[at].name, name) != 0) at++;
        if (at == CANDIDATES_MAX || (at == *count && !is_input)) continue;
        if (at == *count) all[(*count)++] = (candidate){.name = name};
        *(is_input ? &all[at].inputs : &all[at].outputs) += 1;
    }
    return NORN_OK;
}

static norn_status has_dim_named_b(norn_importer *importer, const norn_onnx_spans *inputs,
                                   bool *out) {
    *out = false;
    for (uint32_t i = 0; i < inputs->count; i++) {
        norn_onnx_value_info info;
        NORN_TRY(norn_onnx_read_value_info(inputs->at[i], &importer->scratch, &info));
        for (uint32_t d = 0; d < info.rank; d++) *out |= strcmp(info.dims[d].param, "B") == 0;
    }
    return NORN_OK;
}

norn_status norn_unify_choose_batch(norn_importer *importer, const norn_onnx_graph *proto) {
    norn_name_map initializers = norn_name_map_in(&importer->scratch);
    candidate all[CANDIDATES_MAX];
    uint32_t count = 0, best = 0;
    NORN_TRY(norn_import_initializer_names(importer, proto, &initializers));
    NORN_TRY(count_names(importer, &proto->inputs, true, &initializers, all, &count));
    NORN_TRY(count_names(importer, &proto->outputs, false, &initializers, all, &count));
    if (count == 0) return NORN_OK;
    for (uint32_t i = 1; i < count; i++) {
        if (all[i].inputs + all[i].outputs > all[best].inputs + all[best].outputs) best = i;
    }
    bool taken;
    NORN_TRY(has_dim_named_b(importer, &proto->inputs, &taken));
    NORN_TRY(norn_arena_string(&importer->scratch, all[best].name, strlen(all[best].name),
                               &importer->batch_name));
    importer->batch_said = importer->batch_name;
    if (taken) return NORN_OK; // a dimension that is called B already keeps its name
    NORN_TRY(add_alias(importer, all[best].name, "B"));
    importer->batch_name = "B";
    return NORN_OK;
}

// ---- what operators force to be equal

typedef struct unifier {
    norn_importer *importer;
    const norn_graph *graph;
    bool found;
} unifier;

static bool is_input_symbol(const norn_graph *graph, norn_dim dim) {
    return dim.symbol >= 0 && graph->symbols.at[dim.symbol].kind == NORN_SYMBOL_INPUT;
}

static bool importer_batch_is(const norn_importer *importer, const char *name) {
    return importer->batch_name && strcmp(importer->batch_name, name) == 0;
}

/// What the model calls `name`: the batch was called something else.
static const char *said(const unifier *u, const char *name) {
    return importer_batch_is(u->importer, name) ? u->importer->batch_said : name;
}

/// `must`: the operator takes nothing else. Otherwise (a broadcast) only names that nobody chose
/// are tied: one row of a "user" beside many "items" is what some models are for.
static norn_status equate(unifier *u, norn_dim a, norn_dim b, bool must) {
    if (a.symbol == b.symbol || a.coef != b.coef || a.constant != b.constant) return NORN_OK;
    if (!is_input_symbol(u->graph, a) || !is_input_symbol(u->graph, b)) return NORN_OK;
    const char *left = norn_unify_alias(u->importer, u->graph->symbols.at[a.symbol].name);
    const char *right = norn_unify_alias(u->importer, u->graph->symbols.at[b.symbol].name);
    if (strcmp(left, right) == 0) return NORN_OK;
    if (!must && !norn_dim_names_may_tie(said(u, left), said(u, right))) return NORN_OK;
    bool chosen = !norn_dim_name_is_made_up(right) && norn_dim_name_is_made_up(left);
    if (importer_batch_is(u->importer, right) ||
        (chosen && !importer_batch_is(u->importer, left))) { // the batch keeps its name
        const char *swap = left;
        left = right;
        right = swap;
    }
    u->found = true;
    return add_alias(u->importer, right, left);
}

static const norn_shape *shape_of(const norn_node *node, uint32_t index) {
    const norn_value *value = norn_node_in(node, index);
    return value ? &value->shape : NULL;
}

static norn_status equate_concat(unifier *u, const norn_node *node) {
    const norn_shape *first = shape_of(node, 0);
    if (!first || first->rank < 1) return NORN_OK;
    int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
    if (axis < 0) axis += first->rank;
    for (uint32_t i = 1; i < node->in_count; i++) {
        const norn_shape *other = shape_of(node, i);
        if (!other || other->rank != first->rank) continue;
        for (int32_t d = 0; d < first->rank; d++) {
            if (d != axis) NORN_TRY(equate(u, first->dims[d], other->dims[d], true));
        }
    }
    return NORN_OK;
}

static norn_status equate_broadcast(unifier *u, const norn_node *node, int32_t skip) {
    for (uint32_t i = 1; i < node->in_count; i++) {
        const norn_shape *a = shape_of(node, i - 1), *b = shape_of(node, i);
        if (!a || !b) continue;
        for (int32_t d = 1 + skip; d <= a->rank && d <= b->rank; d++) {
            NORN_TRY(equate(u, a->dims[a->rank - d], b->dims[b->rank - d], false));
        }
    }
    return NORN_OK;
}

static norn_status equate_product(unifier *u, const norn_node *node) {
    const norn_shape *a = shape_of(node, 0), *b = shape_of(node, 1);
    if (!a || !b || a->rank < 2 || b->rank < 2) return NORN_OK;
    NORN_TRY(equate(u, a->dims[a->rank - 1], b->dims[b->rank - 2], true));
    return equate_broadcast(u, node, 2);
}

norn_status norn_unify_symbols(norn_importer *importer, const norn_graph *graph, bool *found) {
    unifier u = {importer, graph, false};
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        if (*node->op->domain) continue;
        if (node->op->flags & NORN_OP_POINTWISE) {
            NORN_TRY(equate_broadcast(&u, node, 0));
        } else if (strcmp(node->op->name, "Concat") == 0) {
            NORN_TRY(equate_concat(&u, node));
        } else if (strcmp(node->op->name, "MatMul") == 0) {
            NORN_TRY(equate_product(&u, node));
        }
    }
    *found = u.found;
    return NORN_OK;
}
