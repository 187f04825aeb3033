// Rules of products, reductions and normalisations.
#include "ops/einsum.h"
#include "plan/row_rules.h"

#include <string.h>

static const char *put_at(norn_rows_walk *walk, norn_rows rows, int32_t axis) {
    norn_rows_put_all(walk, norn_rows_moved(rows, axis));
    return NULL;
}

/// Dim `axis`, counted in a result of `rank` dims, of a broadcast operand; 1 where it has none.
static bool repeats_at(const norn_rows_walk *walk, uint32_t in, int32_t rank, int32_t axis) {
    const norn_value *value = norn_rows_value(walk, in);
    if (!value) return true;
    const int32_t own_rank = norn_rows_rank(walk, in), own = axis - (rank - own_rank);
    if (!norn_rows_free(walk, in) || own_rank < 0) return false;
    if (own < 0) return true;
    return norn_rows_dim_is(
        value->data ? norn_dim_const(value->data->dims[own]) : value->shape.dims[own], 1);
}

/// One element, as the scale and zero point of a whole tensor.
static bool is_single(const norn_rows_walk *walk, uint32_t in) {
    const int32_t rank = norn_rows_rank(walk, in);
    for (int32_t d = 0; d < rank; d++)
        if (!repeats_at(walk, in, rank, d)) return false;
    return norn_rows_free(walk, in);
}

// ---- products

/// a[.., M, K] * b[.., K, N]: rows may be in M of one or in leading dims of both.
static const char *product(norn_rows_walk *walk, uint32_t left, uint32_t right) {
    const norn_rows a = norn_rows_in(walk, left), b = norn_rows_in(walk, right);
    const int32_t rank_a = norn_rows_rank(walk, left), rank_b = norn_rows_rank(walk, right);
    if (rank_a < 1 || rank_b < 1) return norn_rows_unknown;
    const bool on_a = a.kind == NORN_ROWS_EACH, on_b = b.kind == NORN_ROWS_EACH;
    const int32_t widest = rank_a > rank_b ? rank_a : rank_b;
    if ((!on_a && a.kind != NORN_ROWS_NONE) || (!on_b && b.kind != NORN_ROWS_NONE))
        return norn_rows_counted;
    const int32_t end_a = on_a ? rank_a - a.axis : 0, end_b = on_b ? rank_b - b.axis : 0;
    if (end_a == 1 || end_b == 2 || (on_b && rank_b == 1)) return "sums over the rows of the batch";
    if (on_a && on_b) {
        if (end_a < 3 || end_a != end_b || !norn_rows_equal(a, norn_rows_moved(b, a.axis)))
            return "multiplies rows of the batch with one another";
        return put_at(walk, a, widest - end_a);
    }
    if (on_a) {
        if (end_a >= 3 && !repeats_at(walk, right, widest, widest - end_a)) return norn_rows_other;
        return put_at(walk, a, rank_b == 1 ? a.axis : widest - end_a);
    }
    if (end_b >= 3 && !repeats_at(walk, left, widest, widest - end_b)) return norn_rows_other;
    return put_at(walk, b, rank_a == 1 && end_b == 1 ? rank_b - 2 : widest - end_b);
}

const char *norn_rows_matmul(norn_rows_walk *walk) {
    return product(walk, 0, 1);
}

const char *norn_rows_matmul_integer(norn_rows_walk *walk) {
    if (!norn_rows_has(walk, 0) || !norn_rows_free_from(walk, 1) || !is_single(walk, 2))
        return norn_rows_other;
    return product(walk, 0, 1);
}

const char *norn_rows_qlinear_matmul(norn_rows_walk *walk) {
    if (!norn_rows_has(walk, 0) || !norn_rows_free_from(walk, 1)) return norn_rows_other;
    if (!is_single(walk, 1) || !is_single(walk, 2) || !is_single(walk, 6) || !is_single(walk, 7))
        return norn_rows_other;
    return product(walk, 0, 3);
}

const char *norn_rows_gemm(norn_rows_walk *walk) {
    const norn_rows a = norn_rows_in(walk, 0), b = norn_rows_in(walk, 1), c = norn_rows_in(walk, 2);
    const bool turned_a = norn_attr_i64(walk->node->attrs, "transA", 0) != 0,
               turned_b = norn_attr_i64(walk->node->attrs, "transB", 0) != 0;
    norn_rows rows;
    if (a.kind == NORN_ROWS_EACH && b.kind == NORN_ROWS_NONE) {
        if (a.axis != turned_a) return "sums over the rows of the batch";
        rows = norn_rows_moved(a, 0);
    } else if (a.kind == NORN_ROWS_NONE && b.kind == NORN_ROWS_EACH) {
        if (b.axis == turned_b) return "sums over the rows of the batch";
        rows = norn_rows_moved(b, 1);
    } else {
        return "multiplies rows of the batch with one another";
    }
    if (c.kind == NORN_ROWS_EACH) {
        if (!norn_rows_equal(norn_rows_moved(c, c.axis + 2 - norn_rows_rank(walk, 2)), rows))
            return norn_rows_other;
    } else if (!repeats_at(walk, 2, 2, rows.axis)) {
        return norn_rows_other;
    }
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_einsum(norn_rows_walk *walk) {
    const norn_node *node = walk->node;
    int32_t ranks[NORN_EINSUM_INPUT_MAX], index = -1;
    norn_einsum equation;
    norn_rows rows = {.kind = NORN_ROWS_NONE};
    if (node->in_count > NORN_EINSUM_INPUT_MAX) return norn_rows_unknown;
    for (uint32_t i = 0; i < node->in_count; i++)
        if ((ranks[i] = norn_rows_rank(walk, i)) < 0) return norn_rows_unknown;
    if (norn_einsum_parse(norn_attr_string(node->attrs, "equation", ""), ranks, node->in_count,
                          &equation) != NORN_OK)
        return norn_rows_unknown;
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_rows own = norn_rows_in(walk, i);
        if (own.kind == NORN_ROWS_NONE) continue;
        if (own.kind != NORN_ROWS_EACH) return norn_rows_counted;
        if (index >= 0 && (equation.in[i][own.axis] != index ||
                           !norn_rows_equal(norn_rows_moved(own, rows.axis), rows)))
            return "multiplies rows of the batch with one another";
        rows = own;
        index = equation.in[i][own.axis];
    }
    for (uint32_t i = 0; i < node->in_count; i++)
        for (int32_t d = 0; d < ranks[i]; d++) {
            const norn_rows own = norn_rows_in(walk, i);
            if (equation.in[i][d] != index) continue;
            if (own.kind == NORN_ROWS_EACH ? own.axis != d : !repeats_at(walk, i, ranks[i], d))
                return norn_rows_other;
        }
    for (int32_t d = 0; d < equation.out_rank; d++)
        if (equation.out[d] == index) return put_at(walk, rows, d);
    return "sums over the rows of the batch";
}

// ---- along an axis

const char *norn_rows_axis_last(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", -1, norn_rows_rank(walk, 0));
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1)) return norn_rows_counted;
    if (axis < 0 || axis == rows.axis) return norn_rows_along;
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_cumulate(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0);
    int64_t axis[NORN_CONTENTS_MAX];
    uint32_t count;
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_ints(walk, 1, NULL, axis, &count) || count != 1)
        return norn_rows_unknown;
    if (axis[0] == rows.axis || axis[0] == rows.axis - rank)
        return "sums each row up with those before it";
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_reduce(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0);
    const bool keep = norn_attr_i64(walk->node->attrs, "keepdims", 1) == 1,
               noop = norn_attr_i64(walk->node->attrs, "noop_with_empty_axes", 0) != 0,
               given = norn_rows_value(walk, 1) || norn_attr_find(walk->node->attrs, "axes");
    int64_t axes[NORN_CONTENTS_MAX];
    bool reduced[NORN_MAX_RANK] = {false};
    uint32_t count = 0;
    int32_t axis = rows.axis;
    if (rows.kind != NORN_ROWS_EACH || (given && !norn_rows_ints(walk, 1, "axes", axes, &count)))
        return norn_rows_unknown;
    for (uint32_t i = 0; i < count; i++) {
        const int64_t own = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (own < 0 || own >= rank) return norn_rows_unknown;
        reduced[own] = true;
    }
    if (reduced[rows.axis] || (count == 0 && !noop)) return "reduces over the rows of the batch";
    for (int32_t d = 0; d < rows.axis && !keep; d++) axis -= reduced[d];
    return put_at(walk, rows, axis);
}

const char *norn_rows_arg_reduce(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 0, norn_rows_rank(walk, 0));
    const bool keep = norn_attr_i64(walk->node->attrs, "keepdims", 1) == 1;
    if (axis < 0 || axis == rows.axis) return "compares the rows of the batch";
    return put_at(walk, rows, keep || rows.axis < axis ? rows.axis : rows.axis - 1);
}

/// Statistics over dims [axis, rank).
const char *norn_rows_normalize_from(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t rank = norn_rows_rank(walk, 0),
                  axis = norn_rows_axis_attr(walk, "axis", -1, rank);
    if (rows.kind != NORN_ROWS_EACH || !repeats_at(walk, 1, rank, rows.axis) ||
        !repeats_at(walk, 2, rank, rows.axis))
        return norn_rows_other;
    if (axis < 0 || axis <= rows.axis) return "normalises over the rows of the batch";
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_mean_variance(norn_rows_walk *walk) {
    static const int64_t usual[] = {0, 2, 3};
    const norn_rows rows = norn_rows_in(walk, 0);
    const int64_t *axes;
    uint32_t count = norn_attr_ints(walk->node->attrs, "axes", &axes);
    if (!axes) axes = usual, count = 3;
    for (uint32_t i = 0; i < count; i++)
        if (axes[i] == rows.axis || axes[i] == rows.axis - norn_rows_rank(walk, 0))
            return "normalises over the rows of the batch";
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_batch_norm(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    if (norn_attr_i64(walk->node->attrs, "training_mode", 0) != 0)
        return "normalises over the rows of the batch";
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1) || rows.axis == 1)
        return norn_rows_other;
    return put_at(walk, rows, rows.axis);
}

// ---- quantised

/// One scale for all, or one along an axis that is not the batch.
const char *norn_rows_quantize(norn_rows_walk *walk) {
    const norn_rows rows = norn_rows_in(walk, 0);
    const int32_t axis = norn_rows_axis_attr(walk, "axis", 1, norn_rows_rank(walk, 0));
    if (rows.kind != NORN_ROWS_EACH || !norn_rows_free_from(walk, 1)) return norn_rows_other;
    if (!is_single(walk, 1) && (norn_rows_rank(walk, 1) != 1 || axis < 0 || axis == rows.axis))
        return norn_rows_other;
    return put_at(walk, rows, rows.axis);
}

const char *norn_rows_scale_of_all(norn_rows_walk *walk) {
    (void)walk;
    return "quantises with one scale for all rows of the batch";
}
