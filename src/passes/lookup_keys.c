/// Keys that are columns of one [B, F] input: exporters slice a column a feature, the region reads
/// it where it lies.
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

norn_key_columns norn_lookup_keys(norn_value *keys, norn_dim rows, int64_t count) {
    norn_value *root = norn_value_unreshaped(keys);
    norn_key_columns whole = {.keys = root};
    norn_node *node = root->producer;
    norn_value *wide = node ? norn_node_in(node, 0) : NULL;
    int64_t first = -1;
    if (!wide || wide->data || wide->shape.rank != 2 || !norn_dim_is_const(wide->shape.dims[1]))
        return whole;
    if (!norn_dim_equal(wide->shape.dims[0], rows)) return whole;
    int64_t stride = wide->shape.dims[1].constant;
    bool found = false;
    if (norn_node_is(node, NORN_OP_Gather)) {
        int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
        found = (axis == 1 || axis == -1) && count == 1 &&
                constant_index(norn_node_in(node, 1), stride, &first);
    } else if (norn_node_is(node, NORN_OP_Slice)) {
        found = first_of_slice(node, stride, &first);
    } else if (norn_node_is(node, NORN_OP_Split)) {
        found = first_of_split(node, root->producer_index, &first);
    }
    if (!found || first < 0 || count < 1 || count > stride - first) return whole;
    return (norn_key_columns){.keys = wide, .first = first, .stride = stride, .node = node};
}
