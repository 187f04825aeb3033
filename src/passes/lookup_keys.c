/// Keys that are columns of one [B, F] input: exporters slice a column a feature,
/// the region reads it where it lies.
#include "passes/lookup_site.h"
#include "passes/rewrite.h"

static bool constant_index(const norn_value *value, int64_t size, int64_t *out) {
    uint32_t count;
    if (!norn_value_ints(value, out, 1, &count) || count != 1) return false;
    if (*out < 0) *out += size;
    return *out >= 0 && *out < size;
}

/// Slice along axis 1 alone, step 1: its first column.
static bool first_of_slice(const norn_node *slice, int64_t size, int64_t *first) {
    int64_t starts[NORN_MAX_RANK], axes[NORN_MAX_RANK], steps[NORN_MAX_RANK];
    uint32_t count, axis_count, step_count;
    if (!norn_value_ints(norn_node_in(slice, 1), starts, NORN_MAX_RANK, &count)) return false;
    if (!norn_value_ints(norn_node_in(slice, 3), axes, NORN_MAX_RANK, &axis_count)) return false;
    if (norn_node_in(slice, 4)) {
        if (!norn_value_ints(norn_node_in(slice, 4), steps, NORN_MAX_RANK, &step_count))
            return false;
        if (step_count != 1 || steps[0] != 1) return false;
    }
    if (count != 1 || axis_count != 1 || (axes[0] != 1 && axes[0] != -1)) return false;
    *first = starts[0] < 0 ? starts[0] + size : starts[0];
    if (*first < 0) *first = 0;
    return *first <= size;
}

static bool first_of_split(const norn_node *split, uint32_t index, int64_t *first) {
    int64_t axis = norn_attr_i64(split->attrs, "axis", 0);
    *first = 0;
    if (axis != 1 && axis != -1) return false;
    for (uint32_t i = 0; i < index; i++) {
        const norn_value *out = split->out[i];
        if (!out || out->shape.rank != 2 || !norn_dim_is_const(out->shape.dims[1])) return false;
        *first += out->shape.dims[1].constant;
    }
    return true;
}

/// The first of the `count` columns of a wider matrix, *wide, that `root` is; -1 if it is none.
static int64_t first_column(const norn_value *root, norn_dim rows, int64_t count,
                            norn_value **wide) {
    const norn_node *node = root->producer;
    int64_t first = -1;
    bool found = false;
    *wide = node ? norn_node_in(node, 0) : NULL;
    if (!*wide || (*wide)->data || (*wide)->shape.rank != 2) return -1;
    const norn_shape *shape = &(*wide)->shape;
    if (!norn_dim_is_const(shape->dims[1]) || !norn_dim_equal(shape->dims[0], rows)) return -1;
    int64_t stride = shape->dims[1].constant;
    if (norn_node_is(node, NORN_OP_Gather)) {
        int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
        found = (axis == 1 || axis == -1) && count == 1 &&
                constant_index(norn_node_in(node, 1), stride, &first);
    } else if (norn_node_is(node, NORN_OP_Slice)) {
        found = first_of_slice(node, stride, &first);
    } else if (norn_node_is(node, NORN_OP_Split)) {
        found = first_of_split(node, root->producer_index, &first);
    }
    return found && count >= 1 && count <= stride - first ? first : -1;
}

/// Cast of all of `wide`: one that is there, or a new one like `cast`.
static norn_status cast_whole(norn_graph *graph, norn_node *cast, norn_value *wide,
                              norn_value **out) {
    for (const norn_use *use = wide->uses; use; use = use->next) {
        if (!norn_node_is(use->node, NORN_OP_Cast) ||
            use->node->out[0]->dtype != cast->out[0]->dtype)
            continue;
        *out = use->node->out[0];
        return NORN_OK;
    }
    norn_node *made;
    // Where the column was sliced, so that it stands before all that reads it.
    norn_node *before = norn_value_unreshaped(cast->in[0].value)->producer;
    NORN_TRY(norn_rewrite_node(graph, before, NORN_OP_Cast, &wide, 1, cast->attrs,
                               cast->out[0]->dtype, &wide->shape, cast, &made));
    *out = made->out[0];
    return NORN_OK;
}

norn_status norn_lookup_keys(norn_graph *graph, norn_value *keys, norn_dim rows, int64_t count,
                             norn_key_columns *out) {
    norn_value *root = norn_value_unreshaped(keys), *wide;
    norn_node *cast = norn_node_is(root->producer, NORN_OP_Cast) ? root->producer : NULL;
    norn_value *below = cast && cast->in[0].value ? norn_value_unreshaped(cast->in[0].value) : root;
    bool widens = below->dtype == NORN_I32 && root->dtype == NORN_I64; // the region reads both
    *out = (norn_key_columns){.keys = root};
    int64_t first = first_column(below, rows, count, &wide);
    if (widens && !below->data) out->keys = below, out->nodes[out->node_count++] = cast;
    if (first < 0) return NORN_OK;
    if (cast && !widens) {
        out->nodes[out->node_count++] = cast;
        NORN_TRY(cast_whole(graph, cast, wide, &out->keys));
    } else {
        out->keys = wide;
    }
    out->nodes[out->node_count++] = below->producer;
    out->first = first;
    out->stride = wide->shape.dims[1].constant;
    return NORN_OK;
}
