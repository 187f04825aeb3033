/// DLRM's interaction, as PyTorch's exporters write it. X [B, F, D],
/// Z = MatMul(X, Transpose(X)) [B, F, F]:
///   Z[:, i, j] for pairs (i, j), which is one of (right: torch.onnx's exporter)
///     Transpose(Gather(Reshape[F * F, B](Transpose[1, 2, 0](Z)), i * F + j))  TorchScript
///     Transpose(GatherND(Transpose[1, 2, 0](Z), [i, j]))                      dynamo
///     Gather(Reshape[B, F * F](Z), i * F + j, axis 1)
///       -> Interaction{dot}(parts of X)
///   Concat(dense, Z[:, i, j])
///       -> Interaction{dot, pass_through}(parts of X): dense is a part, or one more input
/// The parts are what X's Concat reads; nobody builds X then.
#include "passes/parts.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

#include "tensor/dtype.h"

typedef struct dot {
    norn_node *matmul;
    norn_value *x, *picked; ///< picked: [B, pairs]
    const norn_view *pairs; ///< indices of the Gather or GatherND
    bool nd;                ///< pairs is [P, 2], else [P] of i * F + j
    norn_parts parts;
} dot;

static bool has_perm(const norn_node *node, uint32_t rank, const int64_t *wanted) {
    const int64_t *perm;
    if (!norn_node_is(node, NORN_OP_Transpose)) return false;
    if (norn_attr_ints(node->attrs, "perm", &perm) != rank) return false;
    return memcmp(perm, wanted, rank * sizeof *perm) == 0;
}

/// A Transpose without perm reverses: the same as [1, 0] for rank 2.
static bool swaps_matrix(const norn_node *node) {
    const int64_t *perm;
    if (!norn_node_is(node, NORN_OP_Transpose) || node->out[0]->shape.rank != 2) return false;
    return norn_attr_ints(node->attrs, "perm", &perm) == 0 || has_perm(node, 2, (int64_t[]){1, 0});
}

static norn_node *only_reader_of(const norn_value *value) {
    return value->readers == 1 ? norn_value_only_reader(value) : NULL;
}

/// Follows Z to the picked pairs; false when it is read in another way.
static bool follow_pairs(dot *d) {
    const norn_value *z = d->matmul->out[0];
    norn_node *node = only_reader_of(z);
    bool turned = has_perm(node, 3, (int64_t[]){1, 2, 0});
    if (turned) node = only_reader_of(node->out[0]);
    bool flat = norn_node_is_static_reshape(node);
    if (flat) {
        // Of [F, F, B] to [F * F, B], or of [B, F, F] to [B, F * F].
        const norn_shape *shape = &node->out[0]->shape;
        int64_t all = d->parts.features * d->parts.features;
        if (shape->rank != 2 || !norn_shape_dim_is(shape, turned ? 0 : 1, all)) return false;
        node = only_reader_of(node->out[0]);
    }
    if (!node || !norn_node_in(node, 1) || !norn_node_in(node, 1)->data) return false;
    d->pairs = norn_node_in(node, 1)->data;
    if (norn_node_is(node, NORN_OP_GatherND)) {
        d->nd = true;
        if (!turned || flat || norn_attr_i64(node->attrs, "batch_dims", 0) != 0) return false;
        if (d->pairs->rank != 2 || d->pairs->dims[1] != 2) return false;
    } else {
        int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
        if (!norn_node_is(node, NORN_OP_Gather) || !flat || d->pairs->rank != 1) return false;
        if (turned ? axis != 0 : (axis != 1 && axis != -1)) return false;
    }
    d->picked = node->out[0];
    if (!turned) return true;
    node = only_reader_of(d->picked);
    if (!swaps_matrix(node)) return false;
    d->picked = node->out[0];
    return true;
}

static bool dot_of(norn_node *matmul, dot *d) {
    *d = (dot){.matmul = matmul, .x = norn_node_in(matmul, 0)};
    norn_value *right = norn_node_in(matmul, 1);
    return d->x && right && right->producer && has_perm(right->producer, 3, (int64_t[]){0, 2, 1}) &&
           right->producer->in[0].value == d->x;
}

// ---- order of the pairs

static bool read_pairs(const dot *d, int32_t *pairs, int64_t count) {
    int64_t f = d->parts.features;
    for (int64_t p = 0; p < count; p++) {
        int64_t ij[2];
        if (d->nd) {
            for (int k = 0; k < 2; k++) {
                ij[k] = norn_element_i64(d->pairs->dtype, d->pairs->data, 2 * p + k);
                if (ij[k] < 0) ij[k] += f;
            }
        } else {
            int64_t flat = norn_element_i64(d->pairs->dtype, d->pairs->data, p);
            if (flat < 0) flat += f * f;
            ij[0] = flat / f, ij[1] = flat % f;
        }
        if (ij[0] < 0 || ij[0] >= f || ij[1] < 0 || ij[1] >= f) return false;
        pairs[2 * p] = (int32_t)ij[0], pairs[2 * p + 1] = (int32_t)ij[1];
    }
    return true;
}

static bool is_triangle(const int32_t *pairs, int64_t count, int64_t f, bool upper, bool diagonal) {
    int64_t at = 0;
    for (int64_t i = 0; i < f; i++) {
        int64_t first = upper ? (diagonal ? i : i + 1) : 0,
                end = upper ? f : (diagonal ? i + 1 : i);
        for (int64_t j = first; j < end; j++, at++) {
            if (at >= count || pairs[2 * at] != i || pairs[2 * at + 1] != j) return false;
        }
    }
    return at == count;
}

static void describe_pairs(norn_interaction_region *region, const int32_t *pairs, int64_t count,
                           int64_t f) {
    region->pair_count = (uint32_t)count;
    for (int upper = 0; upper < 2; upper++) {
        for (int diagonal = 0; diagonal < 2; diagonal++) {
            if (!is_triangle(pairs, count, f, upper != 0, diagonal != 0)) continue;
            region->upper = upper != 0, region->diagonal = diagonal != 0;
            return;
        }
    }
    region->pair_order = pairs;
}

// ---- region

/// Concat(dense, picked), which the region can write as a whole; NULL otherwise.
static norn_node *joining_concat(const dot *d, norn_value **dense) {
    norn_node *concat = only_reader_of(d->picked);
    if (!norn_node_is(concat, NORN_OP_Concat) || concat->in_count != 2) return NULL;
    int64_t axis = norn_attr_i64(concat->attrs, "axis", 0);
    *dense = concat->in[0].value;
    if ((axis != 1 && axis != -1) || concat->in[1].value != d->picked) return NULL;
    const norn_shape *shape = &(*dense)->shape;
    bool fits = shape->rank == 2 && norn_dim_is_const(shape->dims[1]) && !(*dense)->data &&
                norn_dim_equal(shape->dims[0], d->parts.batch) && concat->out[0]->shape.rank == 2;
    return fits ? concat : NULL;
}

static norn_status add_origins(norn_graph *graph, norn_node *made, const dot *d,
                               const norn_node *concat) {
    if (d->parts.concat) NORN_TRY(norn_node_add_origin(graph, made, d->parts.concat));
    for (const norn_node *node = d->matmul; node;
         node = node->out[0]->uses ? node->out[0]->uses->node : NULL) {
        NORN_TRY(norn_node_add_origin(graph, made, node));
        if (node->out[0] == d->picked) break;
    }
    return concat ? norn_node_add_origin(graph, made, concat) : NORN_OK;
}

static norn_status make_region(const norn_pass_context *context, norn_graph *graph, const dot *d,
                               const int32_t *pairs, int64_t count) {
    norn_value *dense = NULL, **in;
    norn_node *concat = joining_concat(d, &dense), *made;
    norn_node *last = concat ? concat : d->picked->producer;
    norn_region *region;
    uint32_t in_count = d->parts.count;
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, in_count + 1, &in));
    memcpy(in, d->parts.at, in_count * sizeof *in);
    norn_interaction_region *r = &region->interaction;
    *r = (norn_interaction_region){.kind = NORN_INTERACTION_DOT,
                                   .features = d->parts.features,
                                   .dim = d->parts.dim,
                                   .part_count = in_count,
                                   .pass_input = NORN_NO_INPUT};
    describe_pairs(r, pairs, count, d->parts.features);
    if (concat) {
        r->pass_through = dense->shape.dims[1].constant;
        for (r->pass_input = 0; r->pass_input < in_count && in[r->pass_input] != dense;)
            r->pass_input++;
        if (r->pass_input == in_count) in[in_count++] = dense;
    }
    if (!norn_parts_have_kernel(context, d->x, region, &last->out[0]->shape)) return NORN_OK;
    NORN_TRY(norn_rewrite_node(graph, last, NORN_OP_Interaction, in, in_count,
                               (norn_attrs){NULL, 0}, d->x->dtype, &last->out[0]->shape, d->matmul,
                               &made));
    made->region = region;
    NORN_TRY(add_origins(graph, made, d, concat));
    norn_rewrite_replace(graph, last, 0, made->out[0]);
    return NORN_OK;
}

norn_status norn_pass_recognise_dot(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        dot d;
        bool found;
        if (node->dead || !norn_node_is(node, NORN_OP_MatMul) || !dot_of(node, &d)) continue;
        NORN_TRY(norn_parts_of(graph, d.x, &d.parts, &found));
        if (!found || d.parts.features > INT32_MAX || !follow_pairs(&d)) continue;
        int64_t count = d.pairs->dims[0];
        int32_t *pairs;
        if (count < 1 || count > INT32_MAX || d.picked->shape.rank != 2) continue;
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, (size_t)count * 2, &pairs));
        if (read_pairs(&d, pairs, count)) NORN_TRY(make_region(context, graph, &d, pairs, count));
    }
    norn_graph_sweep(graph);
    return norn_pass_dead_code(context, graph);
}
