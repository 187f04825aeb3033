// Rules of operators that move elements without computing with them.
#include "plan/row_rules.h"

#include <string.h>

static const norn_value *out_of(const norn_rows_walk *walk, uint32_t out) {
    return out < walk->node->out_count ? walk->node->out[out] : NULL;
}

static const char *put_at(norn_rows_walk *walk, norn_rows rows, int32_t axis) {
    norn_rows_put_all(walk, norn_rows_moved(rows, axis));
    return NULL;
}

// ---- names and shapes

const char *norn_rows_same_place(norn_rows_walk *walk) {
    norn_rows_put_all(walk, norn_rows_in(walk, 0));
    return norn_rows_free_from(walk, 1) ? NULL : norn_rows_counted;
}

const char *norn_rows_dropout(norn_rows_walk *walk) {
    const norn_value *training = norn_rows_value(walk, 2);
    const bool off = training && training->data && training->data->dtype == NORN_BOOL &&
                     norn_view_elems(training->data) == 1 &&
                     !*(const uint8_t *)training->data->data;
    if (training && !off) return "draws random numbers by position";
    return norn_rows_same_place(walk);
}

const char *norn_rows_view(norn_rows_walk *walk) {
    const norn_value *out = out_of(walk, 0);
    norn_rows rows;
    if (!norn_rows_has(walk, 0)) return norn_rows_counted; // rows as a shape
    for (uint32_t i = 1; i < walk->node->in_count; i++)
        if (!norn_rows_shape_only(walk, i)) return norn_rows_counted;
    if (!norn_rows_reshape(walk, &norn_rows_value(walk, 0)->shape, norn_rows_in(walk, 0),
                           &out->shape, &rows))
        return "folds rows of the batch into one another";
    return put_at(walk, rows, rows.axis);
}

/// What is known of the elements is found by the walk.
const char *norn_rows_measure(norn_rows_walk *walk) {
    norn_rows_put_all(walk, (norn_rows){.kind = NORN_ROWS_SIZE});
    return NULL;
}

const char *norn_rows_position(norn_rows_walk *walk) {
    (void)walk;
    return "makes values that follow from a row's place in the batch";
}

const char *norn_rows_constant(norn_rows_walk *walk) {
    norn_rows rows;
    if (norn_rows_has(walk, 0)) return norn_rows_counted;
    if (!norn_rows_filled(walk, &out_of(walk, 0)->shape, &rows)) return norn_rows_counted;
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_transpose(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0);
    const int64_t *perm;
    const uint32_t count = norn_attr_ints(walk->node->attrs, "perm", &perm);
    if (count == 0) return put_at(walk, rows, rank - 1 - rows.axis);
    for (uint32_t d = 0; d < count; d++)
        if (perm[d] == rows.axis) return put_at(walk, rows, (int32_t)d);
    return norn_rows_unknown;
}

// ---- parts

const char *norn_rows_concat(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 0, norn_rows_rank(walk, 0));
    for (uint32_t i = 0; i < walk->node->in_count; i++) {
        const norn_rows other = norn_rows_in(walk, i);
        if (other.kind != NORN_ROWS_EACH || !norn_rows_equal(other, rows)) return norn_rows_other;
    }
    if (axis < 0 || axis == rows.axis) return "puts rows of the batch behind one another";
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_split(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 0, norn_rows_rank(walk, 0));
    if (!norn_rows_free(walk, 1)) return norn_rows_counted;
    if (axis < 0 || axis == rows.axis) return "takes rows apart by their place in the batch";
    return put_at(walk, rows, rows.axis);
}

/// Do all steps, or that of `axis`, equal 1? Axes that are not known may be any.
static bool steps_are_one(const norn_rows_walk *walk) {
    int64_t steps[NORN_CONTENTS_MAX];
    uint32_t count;
    if (!norn_rows_value(walk, 4)) return true;
    if (!norn_rows_ints(walk, 4, NULL, steps, &count)) return false;
    for (uint32_t i = 0; i < count; i++)
        if (steps[i] != 1) return false;
    return true;
}

/// Is `axis` among those that a Slice cuts, as far as is known?
static bool slices(const norn_rows_walk *walk, int32_t axis, int32_t rank) {
    int64_t axes[NORN_CONTENTS_MAX];
    uint32_t count;
    if (!norn_rows_value(walk, 3)) { // the first ones, as many as there are starts
        return !norn_rows_ints(walk, 1, NULL, axes, &count) || axis < (int32_t)count;
    }
    if (!norn_rows_ints(walk, 3, NULL, axes, &count)) return true;
    for (uint32_t i = 0; i < count; i++)
        if (axes[i] == axis || axes[i] == axis - rank) return true;
    return false;
}

/// With steps of 1 a part that is as long as the whole is the whole.
const char *norn_rows_slice(norn_rows_walk *walk) {
    static const char takes[] = "takes rows by their place in the batch";
    const norn_rows rows = norn_rows_in(walk, 0);
    const norn_value *in = norn_rows_value(walk, 0), *out = out_of(walk, 0);
    bool counted = false;
    if (rows.kind != NORN_ROWS_EACH) return norn_rows_counted;
    for (uint32_t i = 1; i < walk->node->in_count; i++) {
        if (!norn_rows_shape_only(walk, i)) return norn_rows_counted;
        counted |= !norn_rows_free(walk, i);
    }
    if (out->shape.rank != in->shape.rank) return norn_rows_unknown;
    if (counted && (!steps_are_one(walk) || !norn_shape_equal(&in->shape, &out->shape)))
        return norn_rows_counted;
    if (slices(walk, rows.axis, in->shape.rank) &&
        (!steps_are_one(walk) ||
         !norn_dim_equal(in->shape.dims[rows.axis], out->shape.dims[rows.axis])))
        return takes;
    return put_at(walk, rows, rows.axis);
}

/// Expand and Tile: rows stay where they are, or one slice becomes all rows.
const char *norn_rows_repeat(norn_rows_walk *walk) {
    const norn_value *in = norn_rows_value(walk, 0), *out = out_of(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0), extra = out->shape.rank - rank;
    norn_rows rows = norn_rows_in(walk, 0);
    for (uint32_t i = 1; i < walk->node->in_count; i++)
        if (!norn_rows_shape_only(walk, i)) return norn_rows_counted;
    if (rank < 0 || extra < 0) return norn_rows_unknown;
    if (rows.kind == NORN_ROWS_EACH) return put_at(walk, rows, rows.axis + extra);
    if (rows.kind != NORN_ROWS_NONE) return norn_rows_counted;
    if (!norn_rows_filled(walk, &out->shape, &rows)) return norn_rows_counted;
    const int32_t own = rows.axis - extra;
    if (own >= 0 &&
        !norn_rows_dim_is(in->data ? norn_dim_const(in->data->dims[own]) : in->shape.dims[own], 1))
        return "repeats values by place in the batch";
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_pad(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0);
    int64_t pads[NORN_CONTENTS_MAX], axes[NORN_CONTENTS_MAX];
    uint32_t count, axis_count;
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1)) return norn_rows_counted;
    if (!norn_rows_ints(walk, 1, NULL, pads, &count)) return norn_rows_unknown;
    if (!norn_rows_value(walk, 3)) {
        axis_count = (uint32_t)rank;
        for (int32_t d = 0; d < rank; d++) axes[d] = d;
    } else if (!norn_rows_ints(walk, 3, NULL, axes, &axis_count)) {
        return norn_rows_unknown;
    }
    if (count != 2 * axis_count) return norn_rows_unknown;
    for (uint32_t i = 0; i < axis_count; i++)
        if ((axes[i] == rows.axis || axes[i] == rows.axis - rank) &&
            (pads[i] != 0 || pads[i + axis_count] != 0))
            return "adds rows to the batch, or takes some off";
    return put_at(walk, rows, rows.axis);
}

/// Cropped to the size that it has, the batch stays (the walk compares the dims).
const char *norn_rows_crop(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_shape_only(walk, 1)) return norn_rows_counted;
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_reverse(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0), lengths = norn_rows_in(walk, 1);
    const int32_t rank = norn_rows_rank(walk, 0);
    if (norn_rows_axis_attr(walk, "time_axis", 0, rank) == rows.axis) return norn_rows_along;
    if (rows.kind != NORN_ROWS_EACH ||
        norn_rows_axis_attr(walk, "batch_axis", 1, rank) != rows.axis ||
        !norn_rows_equal(norn_rows_moved(lengths, rows.axis), rows))
        return norn_rows_other;
    return put_at(walk, rows, rows.axis);
}

/// On the last two dims: Trilu, Det.
const char *norn_rows_matrix(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1)) return norn_rows_counted;
    if (rows.axis >= norn_rows_rank(walk, 0) - 2) return norn_rows_along;
    return put_at(walk, rows, rows.axis);
}

// ---- by index

const char *norn_rows_gather(norn_rows_walk *walk) {
    const norn_rows data = norn_rows_in(walk, 0), indices = norn_rows_in(walk, 1);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 0, norn_rows_rank(walk, 0)),
                  index_rank = norn_rows_rank(walk, 1);
    if (axis < 0 || index_rank < 0) return norn_rows_unknown;
    if (data.kind == NORN_ROWS_EACH && indices.kind == NORN_ROWS_NONE) {
        if (data.axis == axis) return "takes rows by their place in the batch";
        return put_at(walk, data, data.axis < axis ? data.axis : data.axis + index_rank - 1);
    }
    if (data.kind == NORN_ROWS_NONE && indices.kind == NORN_ROWS_EACH)
        return put_at(walk, indices, axis + indices.axis);
    return data.kind == NORN_ROWS_EACH && indices.kind == NORN_ROWS_EACH ? norn_rows_other
                                                                         : norn_rows_counted;
}

const char *norn_rows_gather_elements(norn_rows_walk *walk) {
    const norn_rows data = norn_rows_in(walk, 0), indices = norn_rows_in(walk, 1);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 0, norn_rows_rank(walk, 0));
    if (axis < 0 || indices.kind != NORN_ROWS_EACH) return norn_rows_other;
    // Constant data: an element's other coordinates are its own
    // place, so rows must be along `axis`.
    if (data.kind == NORN_ROWS_NONE)
        return indices.axis == axis ? put_at(walk, indices, axis) : norn_rows_other;
    if (!norn_rows_equal(data, indices) || data.axis == axis) return norn_rows_other;
    return put_at(walk, data, data.axis);
}

/// Elements in the last dim of `in`; -1: not known.
static int64_t depth_of(const norn_rows_walk *walk, uint32_t in) {
    const norn_value *value = norn_rows_value(walk, in);
    const int32_t rank = norn_rows_rank(walk, in);
    if (rank < 1) return -1;
    if (value->data) return value->data->dims[rank - 1];
    return norn_dim_is_const(value->shape.dims[rank - 1]) ? value->shape.dims[rank - 1].constant
                                                          : -1;
}

const char *norn_rows_gather_nd(norn_rows_walk *walk) {
    const norn_rows data = norn_rows_in(walk, 0), indices = norn_rows_in(walk, 1);
    const int64_t batch_dims = norn_attr_i64(walk->node->attrs, "batch_dims", 0),
                  depth = depth_of(walk, 1);
    const int32_t index_rank = norn_rows_rank(walk, 1);
    if (depth < 0) return norn_rows_unknown;
    if (data.kind == NORN_ROWS_EACH && indices.kind == NORN_ROWS_EACH) {
        if (!norn_rows_equal(data, indices) || data.axis >= batch_dims) return norn_rows_other;
        return put_at(walk, data, data.axis);
    }
    if (batch_dims != 0) return norn_rows_other;
    if (data.kind == NORN_ROWS_NONE && indices.kind == NORN_ROWS_EACH &&
        indices.axis < index_rank - 1)
        return put_at(walk, indices, indices.axis);
    if (data.kind == NORN_ROWS_EACH && indices.kind == NORN_ROWS_NONE && data.axis >= depth)
        return put_at(walk, data, index_rank - 1 + data.axis - (int32_t)depth);
    return norn_rows_other;
}

const char *norn_rows_scatter_elements(norn_rows_walk *walk) {
    const norn_rows data = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 0, norn_rows_rank(walk, 0));
    if (data.kind != NORN_ROWS_EACH || axis < 0 || axis == data.axis ||
        !norn_rows_equal(data, norn_rows_in(walk, 1)) ||
        !norn_rows_equal(data, norn_rows_in(walk, 2)))
        return norn_rows_other;
    return put_at(walk, data, data.axis);
}

/// Whole slices along dims behind the indexed ones: each row has its own part of every slice.
const char *norn_rows_scatter_nd(norn_rows_walk *walk) {
    const norn_rows data = norn_rows_in(walk, 0), updates = norn_rows_in(walk, 2);
    const int64_t depth = depth_of(walk, 1);
    const int32_t index_rank = norn_rows_rank(walk, 1);
    if (data.kind != NORN_ROWS_EACH || !norn_rows_free(walk, 1) || depth < 0 || data.axis < depth ||
        !norn_rows_equal(updates,
                         norn_rows_moved(data, index_rank - 1 + data.axis - (int32_t)depth)))
        return norn_rows_other;
    return put_at(walk, data, data.axis);
}

const char *norn_rows_one_hot(norn_rows_walk *walk) {
    const norn_rows indices = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", -1, norn_rows_rank(walk, 0) + 1);
    if (indices.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1)) return norn_rows_counted;
    if (axis < 0) return norn_rows_unknown;
    return put_at(walk, indices, indices.axis < axis ? indices.axis : indices.axis + 1);
}

const char *norn_rows_pick(norn_rows_walk *walk) {
    (void)walk;
    return "picks out of all rows by what they hold";
}

const char *norn_rows_draw(norn_rows_walk *walk) {
    (void)walk;
    return "draws random numbers by position";
}

const char *norn_rows_body(norn_rows_walk *walk) {
    (void)walk;
    return "has a body, in which rows are not followed";
}

const char *norn_rows_sequence(norn_rows_walk *walk) {
    (void)walk;
    return "keeps tensors in a sequence, in which rows are not followed";
}
