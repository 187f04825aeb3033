// Rules of layers whose operands have a fixed order of dims: images, sequences, losses.
#include "plan/row_rules.h"

#include <string.h>

/// Operands whose bit is set in `carry` have rows at dim 0 (or are omitted), all others
/// are the same for every row; every result has rows at dim 0.
static const char *rows_first(norn_rows_walk *walk, uint32_t carry) {
    const norn_rows rows = norn_rows_in(walk, 0);
    if (rows.kind != NORN_ROWS_EACH) return norn_rows_other;
    if (rows.axis != 0) return norn_rows_along;
    for (uint32_t i = 1; i < walk->node->in_count; i++) {
        if (!norn_rows_value(walk, i)) continue;
        const bool carries = i < 32 && carry >> i & 1;
        if (carries ? !norn_rows_equal(norn_rows_in(walk, i), rows) : !norn_rows_free(walk, i))
            return norn_rows_other;
    }
    norn_rows_put_all(walk, rows);
    return NULL;
}

// ---- images

const char *norn_rows_image(norn_rows_walk *walk) {
    return rows_first(walk, 1);
}

/// Its second output counts elements from the first row of the batch on.
const char *norn_rows_max_pool(norn_rows_walk *walk) {
    if (walk->node->out_count > 1 && walk->node->out[1]) return norn_rows_position(walk);
    return rows_first(walk, 1);
}

const char *norn_rows_deform(norn_rows_walk *walk) {
    return rows_first(walk, 1 | 1 << 2 | 1 << 4);
}

const char *norn_rows_grid(norn_rows_walk *walk) {
    return rows_first(walk, 3);
}

const char *norn_rows_affine_grid(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    if (rows.kind != NORN_ROWS_EACH || rows.axis != 0 || !norn_rows_shape_only(walk, 1))
        return norn_rows_other;
    norn_rows_put_all(walk, rows);
    return NULL;
}

/// Dim `axis` keeps its size; is it surely left alone? With scales 1
/// must be said; sizes compute it.
static bool resize_leaves(const norn_rows_walk *walk, int32_t axis, int32_t rank) {
    const norn_value *scales = norn_rows_value(walk, 2);
    const int64_t *axes;
    const uint32_t count = norn_attr_ints(walk->node->attrs, "axes", &axes);
    int32_t at = axes ? -1 : axis;
    for (uint32_t i = 0; i < count; i++)
        if (axes[i] == axis || axes[i] == axis - rank) at = (int32_t)i;
    if (at < 0) return true;
    if (strcmp(norn_attr_string(walk->node->attrs, "coordinate_transformation_mode", ""),
               "tf_crop_and_resize") == 0)
        return false;
    if (!scales || (scales->data && scales->data->rank == 1 && scales->data->dims[0] == 0))
        return strcmp(norn_attr_string(walk->node->attrs, "keep_aspect_ratio_policy", "stretch"),
                      "stretch") == 0;
    return scales->data && scales->data->dtype == NORN_F32 && scales->data->rank == 1 &&
           at < scales->data->dims[0] && ((const float *)scales->data->data)[at] == 1.0F;
}

const char *norn_rows_resize(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    if (rows.kind != NORN_ROWS_EACH) return norn_rows_counted;
    for (uint32_t i = 1; i < walk->node->in_count; i++)
        if (i == 3 ? !norn_rows_shape_only(walk, i) : !norn_rows_free(walk, i))
            return norn_rows_counted;
    if (!resize_leaves(walk, rows.axis, norn_rows_rank(walk, 0)))
        return "interpolates between rows of the batch";
    norn_rows_put_all(walk, rows);
    return NULL;
}

// ---- sequences

/// X [T, B, I] (layout 1: [B, T, I]), sequence_lens [B], states [dirs, B, H] (layout 1: [B, dirs,
/// H]); Y [T, dirs, B, H] (layout 1: [B, T, dirs, H]).
const char *norn_rows_recurrent(norn_rows_walk *walk) {
    const bool batch_first = norn_attr_i64(walk->node->attrs, "layout", 0) != 0;
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t axis = batch_first ? 0 : 1;
    if (rows.kind != NORN_ROWS_EACH) return norn_rows_other;
    if (rows.axis != axis) return "runs from one row of the batch to the next";
    for (uint32_t i = 1; i < walk->node->in_count; i++) {
        if (!norn_rows_value(walk, i)) continue;
        const bool lengths = i == 4, state = i == 5 || i == 6;
        if (lengths || state
                ? !norn_rows_equal(norn_rows_in(walk, i), norn_rows_moved(rows, lengths ? 0 : axis))
                : !norn_rows_free(walk, i))
            return norn_rows_other;
    }
    norn_rows_put(walk, 0, norn_rows_moved(rows, batch_first ? 0 : 2));
    norn_rows_put(walk, 1, rows);
    norn_rows_put(walk, 2, rows);
    return NULL;
}

/// A mask may be the same for all rows, [.., 1 or none, heads, q, kv].
const char *norn_rows_attention(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0), mask = norn_rows_in(walk, 3);
    const norn_value *value = norn_rows_value(walk, 3);
    const int32_t rank = norn_rows_rank(walk, 3);
    for (uint32_t i = 0; i < walk->node->in_count; i++) {
        if (i == 3 || !norn_rows_value(walk, i)) continue;
        if (rows.kind != NORN_ROWS_EACH || rows.axis != 0 ||
            !norn_rows_equal(norn_rows_in(walk, i), rows))
            return norn_rows_other;
    }
    if (value && mask.kind == NORN_ROWS_NONE) {
        if (rank < 0 || rank > 4) return norn_rows_unknown;
        if (rank == 4 && !norn_rows_dim_is(value->data ? norn_dim_const(value->data->dims[0])
                                                       : value->shape.dims[0],
                                           1))
            return norn_rows_other;
    } else if (value && (rank != 4 || !norn_rows_equal(mask, rows))) {
        return norn_rows_other;
    }
    norn_rows_put_all(walk, rows);
    return NULL;
}

const char *norn_rows_linear_attention(norn_rows_walk *walk) {
    return rows_first(walk, 0x3f);
}

const char *norn_rows_causal(norn_rows_walk *walk) {
    return rows_first(walk, 1 | 1 << 3);
}

/// cos and sin are tables [positions, half] that position_ids of each row
/// point into, or rows themselves.
const char *norn_rows_rotary(norn_rows_walk *walk) {
    const bool tables = norn_rows_free(walk, 1) && norn_rows_free(walk, 2);
    if (!tables) return rows_first(walk, 0xf);
    if (norn_rows_rank(walk, 1) != 2 || norn_rows_rank(walk, 2) != 2 || !norn_rows_has(walk, 3))
        return norn_rows_other;
    return rows_first(walk, 1 | 1 << 3);
}

/// A cache [B, ..], an update [B, ..] and where it goes [B].
const char *norn_rows_cache(norn_rows_walk *walk) {
    const int32_t axis = norn_rows_axis_attr(walk, "axis", -2, norn_rows_rank(walk, 0));
    if (axis <= 0) return norn_rows_along;
    return rows_first(walk, 0x7);
}

const char *norn_rows_dft(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0);
    int64_t axis[NORN_CONTENTS_MAX] = {-2};
    uint32_t count = 1;
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1)) return norn_rows_counted;
    if (norn_rows_value(walk, 2) && !norn_rows_ints(walk, 2, NULL, axis, &count))
        return norn_rows_unknown;
    if (count != 1 || axis[0] == rows.axis || axis[0] == rows.axis - rank || rows.axis == rank - 1)
        return norn_rows_along;
    norn_rows_put_all(walk, rows);
    return NULL;
}

// ---- losses

const char *norn_rows_loss(norn_rows_walk *walk) {
    if (strcmp(norn_attr_string(walk->node->attrs, "reduction", "mean"), "none") != 0)
        return "sums over the rows of the batch";
    return rows_first(walk, 3);
}
