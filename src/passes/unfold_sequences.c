/// Sequences whose tensors are known one by one are taken apart, so that only
/// those that grow in loops are left:
///   SplitToSequence(x) into parts of known sizes          -> SequenceConstruct(Split(x))
///   SequenceAt(s, constant)                               -> the tensor
///   ConcatFromSequence(s), with a new axis or without     -> Concat
///   SequenceLength(s)                                     -> a constant
/// where s comes from SequenceEmpty, SequenceConstruct, SequenceInsert
/// and SequenceErase at constant positions.
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

enum { TENSORS_MAX = 64, DEPTH_MAX = 64 };

typedef struct list {
    norn_value *at[TENSORS_MAX];
    uint32_t count;
} list;

/// Position that input `index` of a node says, counted from the front; `fallback` without it.
static bool position(const norn_node *node, uint32_t index, uint32_t count, int64_t end,
                     int64_t fallback, uint32_t *out) {
    int64_t at = fallback;
    uint32_t one;
    const norn_value *given = norn_node_in(node, index);
    if (given && (!norn_value_ints(given, &at, 1, &one) || one != 1)) return false;
    if (at < -(int64_t)count || at > end) return false;
    *out = (uint32_t)(at < 0 ? at + count : at);
    return true;
}

/// The tensors of a sequence, in order; false when they are not known, or too many.
static bool tensors_of(const norn_value *sequence, list *out, int depth) {
    const norn_node *node = sequence ? sequence->producer : NULL;
    uint32_t at;
    out->count = 0;
    if (!node || depth == 0) return false;
    if (norn_node_is(node, NORN_OP_SequenceEmpty)) return true;
    if (norn_node_is(node, NORN_OP_SequenceConstruct)) {
        if (node->in_count > TENSORS_MAX) return false;
        for (uint32_t i = 0; i < node->in_count; i++) out->at[i] = node->in[i].value;
        out->count = node->in_count;
        return true;
    }
    bool inserts = norn_node_is(node, NORN_OP_SequenceInsert);
    if (!inserts && !norn_node_is(node, NORN_OP_SequenceErase)) return false;
    if (!tensors_of(norn_node_in(node, 0), out, depth - 1)) return false;
    uint32_t count = out->count;
    if (inserts) {
        if (count == TENSORS_MAX || !position(node, 2, count, count, count, &at)) return false;
        memmove(out->at + at + 1, out->at + at, (count - at) * sizeof *out->at);
        out->at[at] = norn_node_in(node, 1);
        out->count++;
        return true;
    }
    if (count == 0 || !position(node, 1, count, (int64_t)count - 1, (int64_t)count - 1, &at))
        return false;
    memmove(out->at + at, out->at + at + 1, (count - at - 1) * sizeof *out->at);
    out->count--;
    return true;
}

// ---- SplitToSequence

/// Sizes of the parts along `length`; false when they are not known, are too many, or do not fit.
static bool part_sizes(const norn_node *node, int64_t length, int64_t sizes[TENSORS_MAX],
                       uint32_t *count) {
    const norn_value *split = norn_node_in(node, 1);
    int64_t each = 1, total = 0;
    if (split && split->shape.rank != 0) {
        if (split->shape.rank != 1 || !norn_value_ints(split, sizes, TENSORS_MAX, count))
            return false;
        for (uint32_t i = 0; i < *count; i++) {
            if (sizes[i] < 0 || sizes[i] > length - total) return false;
            total += sizes[i];
        }
        return total == length;
    }
    if (split && (!norn_value_ints(split, &each, 1, count) || *count != 1 || each < 1))
        return false;
    for (*count = 0; total < length && *count < TENSORS_MAX; total += each)
        sizes[(*count)++] = length - total < each ? length - total : each;
    return total >= length;
}

/// A Squeeze of each part: without a split the axis goes where keepdims is 0.
static norn_status drop_axis(norn_graph *graph, norn_node *node, int64_t axis, norn_value **part) {
    norn_value *in[2] = {*part, NULL};
    norn_node *squeeze;
    void *data;
    int64_t one = 1;
    norn_shape shape = norn_shape_unknown();
    NORN_TRY(norn_rewrite_constant(graph, "", NORN_I64, 1, &one, &in[1], &data));
    *(int64_t *)data = axis;
    NORN_TRY(norn_rewrite_node(graph, node, NORN_OP_Squeeze, in, 2, (norn_attrs){NULL, 0},
                               (*part)->dtype, &shape, node, &squeeze));
    *part = squeeze->out[0];
    return norn_node_infer(graph, squeeze);
}

static norn_status unfold_split(norn_graph *graph, norn_node *node, bool *changed) {
    norn_value *x = norn_node_in(node, 0), *parts[TENSORS_MAX], *in[2] = {x, NULL};
    int64_t axis = norn_attr_i64(node->attrs, "axis", 0), sizes[TENSORS_MAX], dims[1];
    norn_node *split, *construct;
    uint32_t count;
    void *data;
    if (!x || x->shape.rank < 1) return NORN_OK;
    if (axis < 0) axis += x->shape.rank;
    if (axis < 0 || axis >= x->shape.rank || !norn_dim_is_const(x->shape.dims[axis]))
        return NORN_OK;
    if (!part_sizes(node, x->shape.dims[axis].constant, sizes, &count) || count == 0)
        return NORN_OK;
    dims[0] = count;
    NORN_TRY(norn_rewrite_constant(graph, "", NORN_I64, 1, dims, &in[1], &data));
    memcpy(data, sizes, count * sizeof *sizes);
    for (uint32_t i = 0; i < count; i++)
        NORN_TRY(norn_graph_value(graph, NULL, x->dtype, NULL, &parts[i]));
    norn_attr attr = norn_attr_int_of("axis", axis);
    NORN_TRY(norn_graph_node(graph, node, norn_op_info_of(NORN_OP_Split), node->name, in, 2, parts,
                             count, (norn_attrs){&attr, 1}, node, &split));
    NORN_TRY(norn_node_infer(graph, split));
    bool keeps = norn_node_in(node, 1) || norn_attr_i64(node->attrs, "keepdims", 1) == 1;
    for (uint32_t i = 0; i < count && !keeps; i++)
        NORN_TRY(drop_axis(graph, node, axis, &parts[i]));
    norn_shape unknown = norn_shape_unknown();
    NORN_TRY(norn_rewrite_node(graph, node, NORN_OP_SequenceConstruct, parts, count,
                               (norn_attrs){NULL, 0}, node->out[0]->dtype, &unknown, node,
                               &construct));
    norn_rewrite_replace(graph, node, 0, construct->out[0]);
    *changed = true;
    return NORN_OK;
}

// ---- readers

static norn_status unfold_at(norn_graph *graph, norn_node *node, const list *tensors,
                             bool *changed) {
    uint32_t at;
    int64_t end = (int64_t)tensors->count - 1;
    if (!position(node, 1, tensors->count, end, 0, &at) || at >= tensors->count) return NORN_OK;
    norn_value *tensor = tensors->at[at];
    // An output that is an input or a constant needs a node that writes it.
    if (!tensor->producer && norn_value_is_output(node->out[0])) return NORN_OK;
    norn_rewrite_replace(graph, node, 0, tensor);
    *changed = true;
    return NORN_OK;
}

static norn_status unfold_length(norn_graph *graph, norn_node *node, const list *tensors,
                                 bool *changed) {
    norn_value *constant;
    void *data;
    if (norn_value_is_output(node->out[0])) return NORN_OK;
    NORN_TRY(norn_rewrite_constant(graph, node->out[0]->name, NORN_I64, 0, NULL, &constant, &data));
    *(int64_t *)data = tensors->count;
    norn_rewrite_replace(graph, node, 0, constant);
    *changed = true;
    return NORN_OK;
}

static norn_status unfold_concat(norn_graph *graph, norn_node *node, const list *tensors,
                                 bool *changed) {
    norn_value *in[TENSORS_MAX], *axes;
    norn_node *made;
    norn_shape unknown = norn_shape_unknown();
    norn_attr axis = norn_attr_int_of("axis", norn_attr_i64(node->attrs, "axis", 0));
    bool stacks = norn_attr_i64(node->attrs, "new_axis", 0) != 0;
    int64_t one = 1;
    void *data;
    if (tensors->count == 0) return NORN_OK; // an error, when it runs
    memcpy(in, tensors->at, tensors->count * sizeof *in);
    if (stacks) NORN_TRY(norn_rewrite_constant(graph, "", NORN_I64, 1, &one, &axes, &data));
    for (uint32_t i = 0; i < tensors->count && stacks; i++) {
        norn_value *operands[2] = {in[i], axes};
        *(int64_t *)data = axis.i64;
        NORN_TRY(norn_rewrite_node(graph, node, NORN_OP_Unsqueeze, operands, 2,
                                   (norn_attrs){NULL, 0}, in[i]->dtype, &unknown, node, &made));
        NORN_TRY(norn_node_infer(graph, made));
        in[i] = made->out[0];
    }
    NORN_TRY(norn_rewrite_node(graph, node, NORN_OP_Concat, in, tensors->count,
                               (norn_attrs){&axis, 1}, node->out[0]->dtype, &unknown, node, &made));
    NORN_TRY(norn_node_infer(graph, made));
    norn_rewrite_replace(graph, node, 0, made->out[0]);
    *changed = true;
    return NORN_OK;
}

static norn_status unfold(norn_graph *graph, norn_node *node, list *tensors, bool *changed) {
    if (norn_node_is(node, NORN_OP_SplitToSequence)) return unfold_split(graph, node, changed);
    bool at = norn_node_is(node, NORN_OP_SequenceAt);
    bool length = norn_node_is(node, NORN_OP_SequenceLength);
    if (!at && !length && !norn_node_is(node, NORN_OP_ConcatFromSequence)) return NORN_OK;
    if (!tensors_of(norn_node_in(node, 0), tensors, DEPTH_MAX)) return NORN_OK;
    if (at) return unfold_at(graph, node, tensors, changed);
    return length ? unfold_length(graph, node, tensors, changed)
                  : unfold_concat(graph, node, tensors, changed);
}

norn_status norn_pass_unfold_sequences(norn_pass_context *context, norn_graph *graph) {
    list tensors;
    bool changed = false;
    for (norn_node *node = graph->nodes; node; node = node->next) {
        if (node->dead || !node->out_count || !node->out[0]) continue;
        NORN_TRY(unfold(graph, node, &tensors, &changed));
    }
    if (!changed) return NORN_OK;
    norn_graph_sweep(graph);
    NORN_TRY(norn_pass_dead_code(context, graph));
    norn_graph_sweep(graph);
    NORN_TRY(norn_pass_fold_constants(context, graph)); // sizes are known now
    norn_graph_sweep(graph);
    return norn_pass_simplify(context, graph);
}
