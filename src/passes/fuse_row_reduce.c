/// A reduction over neighbouring axes becomes a RowReduce region, with the pointwise work before it
/// that nothing else reads, and after it:
///   Mul(ReduceSum(Mul(gate, experts), axis 1), 0.5)  -> RowReduce{sum}(gate, experts)
///   ReduceL1(x), ReduceL2(x), ReduceSumSquare(x), ReduceLogSum(x)
///       -> RowReduce{sum} with |x|, x * x, sqrt, log around it
/// One floating type. ReduceLogSumExp keeps its own kernel, which does not overflow.
#include "passes/fuse.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

typedef struct reduction {
    norn_node *node;
    norn_value *x;
    norn_row_reduce_region region;
    bool kept; ///< reduced dims stay as 1
    int32_t first_axis;
    norn_reduce_form form;
} reduction;

static bool reduction_of(norn_node *node, reduction *r) {
    int32_t axes[NORN_MAX_RANK];
    bool reduced[NORN_MAX_RANK] = {false};
    uint32_t count;
    *r = (reduction){.node = node, .x = norn_node_in(node, 0)};
    if (!norn_reduce_form_of(node->op->id, &r->form) || !r->x || !node->out[0] ||
        !norn_dtype_is_float(r->x->dtype) ||
        norn_scalar_register_dtype(r->x->dtype) == NORN_DTYPE_NONE)
        return false;
    int32_t rank = r->x->shape.rank, first = NORN_MAX_RANK, last = -1;
    if (rank < 1 || node->out[0]->shape.rank < 0) return false;
    if (!norn_node_axes(node, 1, "axes", rank, axes, &count)) return false;
    if (count == 0 && norn_attr_i64(node->attrs, "noop_with_empty_axes", 0) != 0) return false;
    for (uint32_t i = 0; i < count; i++) reduced[axes[i]] = true;
    uint32_t total = 0;
    for (int32_t i = 0; i < rank; i++) {
        if (count != 0 && !reduced[i]) continue;
        first = i < first ? i : first, last = i;
        total++;
    }
    if ((uint32_t)(last - first + 1) != total) return false;
    r->region.kind = r->form.kind;
    r->kept = norn_attr_i64(node->attrs, "keepdims", 1) == 1;
    r->first_axis = first;
    r->region.reduced_dims = total;
    r->region.inner_dims = (uint32_t)(rank - 1 - last);
    r->region.keep_dims = r->kept;
    return node->out[0]->shape.rank == (r->kept ? rank : rank - (int32_t)total);
}

// ---- prologue

typedef struct prologue {
    norn_node *nodes[NORN_FUSE_CHAIN_MAX]; ///< latest first
    uint32_t count;
    norn_fuse fuse;
} prologue;

static bool holds(const prologue *p, const norn_node *node) {
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->nodes[i] == node) return true;
    }
    return false;
}

static bool read_only_inside(const reduction *r, const prologue *p, const norn_value *value) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node || (use->node != r->node && !holds(p, use->node))) return false;
    }
    return true;
}

/// The latest node, not yet refused, whose result only the prologue reads.
static norn_node *candidate(const norn_graph *graph, const reduction *r, const prologue *p,
                            norn_node *const *refused, uint32_t refused_count) {
    norn_node *best = NULL;
    for (uint32_t i = 0; i <= p->count; i++) {
        const norn_node *reader = i == 0 ? r->node : p->nodes[i - 1];
        uint32_t in_count = i == 0 ? 1 : reader->in_count; // not the axes
        for (uint32_t j = 0; j < in_count; j++) {
            norn_node *node = reader->in[j].value ? reader->in[j].value->producer : NULL;
            bool out = !node || holds(p, node) || !norn_fuse_is_pointwise(graph, node) ||
                       !norn_shape_equal(&node->out[0]->shape, &r->x->shape) ||
                       !read_only_inside(r, p, node->out[0]);
            for (uint32_t k = 0; k < refused_count && !out; k++) out = refused[k] == node;
            if (!out && (!best || (uintptr_t)node->note > (uintptr_t)best->note)) best = node;
        }
    }
    return best;
}

/// The kernel takes the loop dims from the operands, so together they must have
/// them all, and one of them the rank.
static bool covers(const norn_fuse *fuse) {
    bool ranked = false;
    for (uint32_t i = 0; i < fuse->input_count; i++)
        ranked |= fuse->inputs[i]->shape.rank == fuse->loops.count;
    if (!ranked) return false;
    for (int32_t i = 0; i < fuse->loops.count; i++) {
        bool covered = norn_shape_dim_is(&fuse->loops.shape, i, 1);
        for (uint32_t j = 0; j < fuse->builder.load_count && !covered; j++) {
            covered = !fuse->builder.loads[j].broadcast[i];
        }
        if (!covered) return false;
    }
    return true;
}

static norn_status assemble(norn_graph *graph, const reduction *r, prologue *p, bool *fits) {
    norn_fuse_loops loops = norn_fuse_loops_of(&r->x->shape);
    uint16_t reg;
    norn_fuse_init(&p->fuse, graph, &loops, NULL, 0);
    *fits = true;
    for (uint32_t i = p->count; i-- > 0 && *fits;)
        NORN_TRY(norn_fuse_node(&p->fuse, p->nodes[i], fits));
    if (!*fits) return NORN_OK;
    NORN_TRY(norn_fuse_load(&p->fuse, r->x, &reg, fits));
    if (*fits && r->form.before != NORN_SCALAR_LOAD) {
        NORN_TRY(norn_scalar_emit(&p->fuse.builder, r->form.before, norn_sum_dtype(r->x->dtype),
                                  reg, reg, 0, &reg));
        norn_fuse_bind(&p->fuse, r->x, reg);
    }
    *fits = *fits && covers(&p->fuse);
    return NORN_OK;
}

static norn_status grow_prologue(norn_graph *graph, const reduction *r, prologue *p, bool *fits) {
    norn_node *refused[NORN_FUSE_CHAIN_MAX] = {NULL};
    uint32_t refused_count = 0;
    norn_node *node = candidate(graph, r, p, refused, 0);
    while (node && p->count < NORN_FUSE_CHAIN_MAX && refused_count < NORN_FUSE_CHAIN_MAX) {
        // Nodes stand latest first, and a candidate is not always earlier than all the others.
        uint32_t at = p->count;
        while (at > 0 && (uintptr_t)p->nodes[at - 1]->note < (uintptr_t)node->note) at--;
        memmove(p->nodes + at + 1, p->nodes + at, (p->count - at) * sizeof *p->nodes);
        p->nodes[at] = node;
        p->count++;
        NORN_TRY(assemble(graph, r, p, fits));
        if (!*fits) {
            memmove(p->nodes + at, p->nodes + at + 1, (p->count - at - 1) * sizeof *p->nodes);
            p->count--;
            refused[refused_count++] = node;
        }
        node = candidate(graph, r, p, refused, refused_count);
    }
    return assemble(graph, r, p, fits);
}

// ---- region

/// Loop dims of the result: its own, without those that were reduced.
static norn_fuse_loops result_loops(const reduction *r) {
    norn_fuse_loops loops = norn_fuse_loops_of(&r->node->out[0]->shape);
    loops.count = 0;
    for (int32_t i = 0; i < loops.shape.rank; i++) {
        bool reduced =
            r->kept && i >= r->first_axis && i < r->first_axis + (int32_t)r->region.reduced_dims;
        loops.loop_of[i] = (int8_t)(reduced ? -1 : loops.count++);
    }
    return loops;
}

static norn_status begin_epilogue(const reduction *r, norn_fuse *fuse) {
    uint16_t acc;
    NORN_TRY(norn_fuse_acc(fuse, r->x->dtype, &acc));
    if (r->form.after != NORN_SCALAR_LOAD) {
        NORN_TRY(norn_scalar_emit(&fuse->builder, r->form.after, norn_sum_dtype(r->x->dtype), acc,
                                  0, 0, &acc));
    }
    NORN_TRY(norn_fuse_round(fuse, r->x->dtype, &acc));
    norn_fuse_bind(fuse, r->node->out[0], acc);
    return NORN_OK;
}

static norn_status make_region(norn_graph *graph, reduction *r) {
    prologue p = {.count = 0};
    norn_fuse epilogue;
    norn_fuse_loops loops = result_loops(r);
    norn_node *followers[NORN_FUSE_CHAIN_MAX], *made;
    norn_value *result;
    norn_region *region;
    uint32_t count;
    bool fits;
    // A region does not say whether it keeps reduced dims: its output's shape must be known.
    if (!norn_shape_is_static(graph, &r->node->out[0]->shape)) return NORN_OK;
    NORN_TRY(grow_prologue(graph, r, &p, &fits));
    if (!fits) return NORN_OK;
    norn_fuse_init(&epilogue, graph, &loops, p.fuse.inputs, p.fuse.input_count);
    epilogue.operands = r->x->dtype;
    NORN_TRY(begin_epilogue(r, &epilogue));
    NORN_TRY(norn_fuse_follow(&epilogue, r->node->out[0], followers, &count, &result));

    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    region->row_reduce = r->region;
    NORN_TRY(norn_fuse_finish(&p.fuse, &r->x, 1, &region->row_reduce.prologue));
    if (epilogue.builder.instr_count > 1 && (count || r->form.after != NORN_SCALAR_LOAD)) {
        NORN_TRY(norn_fuse_finish(&epilogue, &result, 1, &region->row_reduce.epilogue));
    }
    norn_node *last = count ? followers[count - 1] : r->node;
    const norn_node *oldest = p.count ? p.nodes[p.count - 1] : r->node;
    NORN_TRY(norn_rewrite_node(graph, last, NORN_OP_RowReduce, epilogue.inputs,
                               epilogue.input_count, (norn_attrs){NULL, 0}, r->x->dtype,
                               &result->shape, oldest, &made));
    made->region = region;
    made->note = last->note;
    for (uint32_t i = p.count; i-- > 0;) NORN_TRY(norn_node_add_origin(graph, made, p.nodes[i]));
    NORN_TRY(norn_node_add_origin(graph, made, r->node));
    for (uint32_t i = 0; i < count; i++) NORN_TRY(norn_node_add_origin(graph, made, followers[i]));
    norn_graph_forward(graph, result, made->out[0]);
    for (uint32_t i = count; i-- > 0;) norn_graph_kill(graph, followers[i]);
    norn_graph_kill(graph, r->node);
    for (uint32_t i = 0; i < p.count; i++) norn_graph_kill(graph, p.nodes[i]);
    return NORN_OK;
}

norn_status norn_pass_fuse_row_reduce(norn_pass_context *context, norn_graph *graph) {
    (void)context;
    norn_fuse_number(graph);
    for (norn_node *node = graph->nodes; node; node = node->next) {
        reduction r;
        if (node->dead || node->region || !reduction_of(node, &r)) continue;
        NORN_TRY(make_region(graph, &r));
    }
    return NORN_OK;
}
