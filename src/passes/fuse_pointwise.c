/// Every pointwise node becomes part of a Pointwise region:
///   Add(Mul(a, b), c), Sub(Mul(a, b), d)  -> one region with two stores; a * b stays in a register
/// A group grows over edges between nodes of one output shape, with one reader or several, then
/// over nodes that read one tensor; what is read outside is stored. It stays convex: no path leaves
/// it and comes back, groups taken whole. A group ends where a program would pass the maxima of
/// region.h. Nodes without a scalar form (strings) stay as they are; a node whose broadcast shows
/// only when running is a group of its own.
#include "passes/fuse.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

#include "base/memory.h"

typedef struct group {
    norn_node **nodes; ///< in order
    uint32_t count, capacity;
    bool dynamic;       ///< one operator alone
    uint32_t seen;      ///< stamp of the last walk that came by
    struct group *into; ///< merged into that one
} group;

/// The place of a node in the order, and its group: what its note points to.
typedef struct place {
    uint32_t order, seen;
    group *group; ///< NULL: not pointwise
} place;

typedef struct fuser {
    norn_graph *graph;
    place *places;
    uint32_t stamp;
    norn_fuse trial;
} fuser;

static place *place_of(const norn_node *node) {
    return node->note;
}

static group *group_of(const norn_node *node) {
    group *g = place_of(node)->group;
    while (g && g->into) g = g->into;
    return g;
}

// ---- convexity

typedef struct walk {
    fuser *f;
    const group *a, *b; ///< the group that would be, in two parts; b may be NULL
    uint32_t first;     ///< order of its first node: what ends before it cannot depend on it
    bool returns;       ///< a path comes back
    norn_node **stack;
    uint32_t depth;
    size_t capacity;
} walk;

static norn_status push(walk *w, norn_node *node) {
    NORN_TRY(NORN_MORE(w->f->graph->alloc, &w->stack, w->depth, &w->capacity));
    w->stack[w->depth++] = node;
    return NORN_OK;
}

/// A node that something outside reads: its group, if any, must run before that, as a whole.
static norn_status visit(walk *w, norn_node *node) {
    group *g = group_of(node);
    if (!g) {
        if (place_of(node)->seen == w->f->stamp || place_of(node)->order < w->first) return NORN_OK;
        place_of(node)->seen = w->f->stamp;
        return push(w, node);
    }
    if (g == w->a || g == w->b) {
        w->returns = true;
        return NORN_OK;
    }
    if (g->seen == w->f->stamp || place_of(g->nodes[g->count - 1])->order < w->first)
        return NORN_OK;
    g->seen = w->f->stamp;
    for (uint32_t i = 0; i < g->count; i++) NORN_TRY(push(w, g->nodes[i]));
    return NORN_OK;
}

/// Visits what `node` reads; `inside`: reads within a and b are what merging is for.
static norn_status visit_inputs(walk *w, const norn_node *node, bool inside) {
    for (uint32_t i = 0; i < node->in_count && !w->returns; i++) {
        norn_node *producer = node->in[i].value ? node->in[i].value->producer : NULL;
        if (!producer) continue;
        const group *g = group_of(producer);
        if (inside && g && (g == w->a || g == w->b)) continue;
        NORN_TRY(visit(w, producer));
    }
    return NORN_OK;
}

/// Would a and b as one group be read by something that it reads?
static norn_status is_convex(fuser *f, const group *a, const group *b, bool *convex) {
    walk w = {.f = f, .a = a, .b = b, .first = place_of(a->nodes[0])->order};
    norn_status status = NORN_OK;
    if (place_of(b->nodes[0])->order < w.first) w.first = place_of(b->nodes[0])->order;
    f->stamp++;
    for (uint32_t i = 0; i < a->count; i++) NORN_TRY_DONE(visit_inputs(&w, a->nodes[i], true));
    for (uint32_t i = 0; i < b->count; i++) NORN_TRY_DONE(visit_inputs(&w, b->nodes[i], true));
    while (w.depth && !w.returns) NORN_TRY_DONE(visit_inputs(&w, w.stack[--w.depth], false));
done:
    norn_free(f->graph->alloc, w.stack);
    *convex = !w.returns;
    return status;
}

// ---- groups

static bool holds(const group *g, const norn_node *node) {
    return place_of(node)->group && group_of(node) == g;
}

static bool read_outside(const group *g, const norn_value *value) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node || !holds(g, use->node)) return true;
    }
    return false;
}

/// Emits the program of `g` into f->trial.
static norn_status assemble(fuser *f, const group *g, norn_value *stores[NORN_SCALAR_STORE_MAX],
                            uint32_t *store_count, bool *fits) {
    norn_fuse_loops loops = norn_fuse_loops_of(&g->nodes[0]->out[0]->shape);
    norn_fuse_init(&f->trial, f->graph, &loops, NULL, 0);
    f->trial.dynamic = g->count == 1;
    *store_count = 0;
    *fits = true;
    for (uint32_t i = 0; i < g->count && *fits; i++) {
        norn_value *out = g->nodes[i]->out[0];
        NORN_TRY(norn_fuse_node(&f->trial, g->nodes[i], fits));
        if (!*fits || !read_outside(g, out)) continue;
        *fits = *store_count < NORN_SCALAR_STORE_MAX;
        if (*fits) stores[(*store_count)++] = out;
    }
    return NORN_OK;
}

static bool same_shape(const group *a, const group *b) {
    const norn_shape *x = &a->nodes[0]->out[0]->shape, *y = &b->nodes[0]->out[0]->shape;
    return x->rank >= 0 && norn_shape_equal(x, y);
}

/// b's nodes into a, in order. On a refusal both stay as they are.
static norn_status merge(fuser *f, group *a, group *b, bool *merged) {
    norn_value *stores[NORN_SCALAR_STORE_MAX];
    uint32_t store_count, i = 0, j = 0, total = a->count + b->count;
    *merged = false;
    if (a == b || a->dynamic || b->dynamic || !same_shape(a, b) || total > NORN_SCALAR_INSTR_MAX)
        return NORN_OK;
    NORN_TRY(is_convex(f, a, b, merged));
    if (!*merged) return NORN_OK;
    group whole = {.count = total};
    NORN_TRY(NORN_TAKE_ARRAY(&f->graph->arena, total, &whole.nodes));
    for (uint32_t k = 0; k < total; k++) {
        bool from_a = j == b->count ||
                      (i < a->count && place_of(a->nodes[i])->order < place_of(b->nodes[j])->order);
        whole.nodes[k] = from_a ? a->nodes[i++] : b->nodes[j++];
    }
    group saved = *a;
    *a = whole;
    b->into = a;
    NORN_TRY(assemble(f, a, stores, &store_count, merged));
    if (*merged) return NORN_OK;
    *a = saved;
    b->into = NULL;
    return NORN_OK;
}

static norn_status found_group(fuser *f, norn_node *node) {
    norn_value *stores[NORN_SCALAR_STORE_MAX];
    uint32_t store_count;
    group *g;
    bool fits;
    if (!norn_fuse_is_pointwise(f->graph, node)) return NORN_OK;
    NORN_TRY(NORN_TAKE(&f->graph->arena, &g));
    NORN_TRY(NORN_TAKE_ARRAY(&f->graph->arena, 1, &g->nodes));
    g->nodes[g->count++] = node;
    place_of(node)->group = g;
    NORN_TRY(assemble(f, g, stores, &store_count, &fits));
    if (!fits) {
        place_of(node)->group = NULL;
        return NORN_OK;
    }
    g->dynamic = f->trial.has_dynamic;
    for (uint32_t i = 0; i < node->in_count; i++) {
        norn_node *producer = node->in[i].value ? node->in[i].value->producer : NULL;
        group *other = producer ? group_of(producer) : NULL;
        bool merged;
        if (other) NORN_TRY(merge(f, other, group_of(node), &merged));
    }
    return NORN_OK;
}

/// Groups that read one tensor read it together.
static norn_status join_siblings(fuser *f, const norn_node *node) {
    bool merged;
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *in = node->in[i].value;
        if (!in || in->data) continue;
        for (const norn_use *use = in->uses; use; use = use->next) {
            group *other = use->node && !use->node->region ? group_of(use->node) : NULL;
            if (other) NORN_TRY(merge(f, group_of(node), other, &merged));
        }
    }
    return NORN_OK;
}

/// The group's node, before its last one; the order is mended after.
static norn_status replace(fuser *f, const group *g) {
    norn_value *stores[NORN_SCALAR_STORE_MAX], *out[NORN_SCALAR_STORE_MAX];
    norn_node *last = g->nodes[g->count - 1], *made;
    norn_region *region;
    uint32_t count;
    bool fits;
    NORN_TRY(assemble(f, g, stores, &count, &fits));
    if (!fits || count == 0) return NORN_OK; // nobody reads it: dead code
    NORN_TRY(NORN_TAKE(&f->graph->arena, &region));
    NORN_TRY(norn_fuse_finish(&f->trial, stores, count, &region->pointwise.program));
    for (uint32_t i = 0; i < count; i++) {
        NORN_TRY(norn_graph_value(f->graph, stores[i]->name, stores[i]->dtype, &stores[i]->shape,
                                  &out[i]));
    }
    NORN_TRY(norn_graph_node(f->graph, last, norn_op_info_of(NORN_OP_Pointwise), last->name,
                             f->trial.inputs, f->trial.input_count, out, count,
                             (norn_attrs){NULL, 0}, g->nodes[0], &made));
    made->region = region;
    made->note = last->note; // walks are over, but every node has a place
    for (uint32_t i = 1; i < g->count; i++)
        NORN_TRY(norn_node_add_origin(f->graph, made, g->nodes[i]));
    for (uint32_t i = 0; i < count; i++) norn_graph_forward(f->graph, stores[i], out[i]);
    for (uint32_t i = g->count; i-- > 0;) norn_graph_kill(f->graph, g->nodes[i]);
    return NORN_OK;
}

norn_status norn_pass_fuse_pointwise(norn_pass_context *context, norn_graph *graph) {
    fuser *f;
    uint32_t order = 0;
    norn_status status;
    (void)context;
    NORN_TRY(NORN_NEW(graph->alloc, &f));
    f->graph = graph;
    NORN_TRY_DONE(NORN_NEW_ARRAY(graph->alloc, graph->node_count + 1, &f->places));
    for (norn_node *node = graph->nodes; node; node = node->next) {
        f->places[order].order = order;
        node->note = &f->places[order++];
    }
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (!node->dead) NORN_TRY_DONE(found_group(f, node));
    }
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        if (group_of(node)) NORN_TRY_DONE(join_siblings(f, node));
    }
    for (norn_node *node = graph->nodes, *next; node; node = next) {
        next = node->next;
        if (node->dead || node->region) continue;
        const group *g = group_of(node);
        if (g && g->nodes[g->count - 1] == node) NORN_TRY_DONE(replace(f, g));
    }
    norn_graph_sweep(graph);
    status = norn_graph_sort(graph);
done:
    norn_free(graph->alloc, f->places);
    norn_free(graph->alloc, f);
    return status;
}
