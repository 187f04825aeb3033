#include "plan/row_follow.h"

const char norn_rows_other[] = "brings rows of the batch together with other rows";
const char norn_rows_counted[] = "computes with the number of rows";
const char norn_rows_unknown[] = "is not known to keep rows apart";
const char norn_rows_along[] = "works along the rows of the batch";

// ---- operands

norn_rows norn_rows_in(const norn_rows_walk *walk, uint32_t in) {
    const norn_value *value = norn_rows_value(walk, in);
    if (!value || value->data) return (norn_rows){.kind = NORN_ROWS_NONE};
    return walk->all[value->id];
}

bool norn_rows_has(const norn_rows_walk *walk, uint32_t in) {
    return norn_rows_in(walk, in).kind == NORN_ROWS_EACH;
}

bool norn_rows_free(const norn_rows_walk *walk, uint32_t in) {
    return norn_rows_in(walk, in).kind == NORN_ROWS_NONE;
}

bool norn_rows_shape_only(const norn_rows_walk *walk, uint32_t in) {
    const norn_rows_kind kind = norn_rows_in(walk, in).kind;
    return kind == NORN_ROWS_NONE || kind == NORN_ROWS_SIZE;
}

bool norn_rows_free_from(const norn_rows_walk *walk, uint32_t first) {
    for (uint32_t i = first; i < walk->node->in_count; i++)
        if (!norn_rows_free(walk, i)) return false;
    return true;
}

int32_t norn_rows_rank(const norn_rows_walk *walk, uint32_t in) {
    const norn_value *value = norn_rows_value(walk, in);
    if (!value) return -1;
    return value->data ? value->data->rank : value->shape.rank;
}

bool norn_rows_dim_depends(const norn_rows_walk *walk, norn_dim dim) {
    return dim.symbol >= 0 && walk->depends[dim.symbol];
}

bool norn_rows_shape_depends(const norn_rows_walk *walk, const norn_shape *shape) {
    for (int32_t d = 0; d < shape->rank; d++)
        if (norn_rows_dim_depends(walk, shape->dims[d])) return true;
    return false;
}

bool norn_rows_ints(const norn_rows_walk *walk, uint32_t in, const char *name,
                    int64_t values[NORN_CONTENTS_MAX], uint32_t *count) {
    const norn_value *value = norn_rows_value(walk, in);
    *count = 0;
    if (!value && name) {
        const int64_t *ints;
        const uint32_t given = norn_attr_ints(walk->node->attrs, name, &ints);
        if (!ints || given > NORN_CONTENTS_MAX) return false;
        for (uint32_t i = 0; i < given; i++) values[i] = ints[i];
        *count = given;
        return true;
    }
    const norn_view *data = value ? value->data : NULL;
    if (!data || data->rank > 1 || (data->dtype != NORN_I64 && data->dtype != NORN_I32))
        return false;
    const int64_t elems = data->rank ? data->dims[0] : 1;
    if (elems > NORN_CONTENTS_MAX) return false;
    for (int64_t i = 0; i < elems; i++)
        values[i] = data->dtype == NORN_I64 ? ((const int64_t *)data->data)[i]
                                            : ((const int32_t *)data->data)[i];
    *count = (uint32_t)elems;
    return true;
}

int32_t norn_rows_axis_attr(const norn_rows_walk *walk, const char *name, int64_t fallback,
                            int32_t rank) {
    const int64_t axis = norn_attr_i64(walk->node->attrs, name, fallback);
    if (rank < 0 || axis < -rank || axis >= rank) return -1;
    return (int32_t)(axis < 0 ? axis + rank : axis);
}

// ---- results

void norn_rows_put(norn_rows_walk *walk, uint32_t out, norn_rows rows) {
    if (out < walk->node->out_count && walk->node->out[out])
        walk->all[walk->node->out[out]->id] = rows;
}

void norn_rows_put_all(norn_rows_walk *walk, norn_rows rows) {
    for (uint32_t i = 0; i < walk->node->out_count; i++) norn_rows_put(walk, i, rows);
}

bool norn_rows_equal(norn_rows a, norn_rows b) {
    return a.kind == b.kind && a.axis == b.axis && norn_dim_equal(a.before, b.before) &&
           norn_dim_equal(a.after, b.after);
}

// ---- places

/// op(a, b); false when it cannot be told. Running out of memory is kept in walk->status.
static bool apply(norn_rows_walk *walk, norn_dim_op op, norn_dim a, norn_dim b, norn_dim *out) {
    const norn_status status = norn_dim_apply(&walk->symbols, op, a, b, out);
    if (status == NORN_OK) return true;
    const bool full = walk->symbols.count >= NORN_SYMBOLS_MAX;
    if (status != NORN_INVALID_ARGUMENT && !full && walk->status == NORN_OK) walk->status = status;
    return false;
}

static bool product(norn_rows_walk *walk, const norn_shape *shape, int32_t begin, int32_t end,
                    norn_dim *out) {
    *out = norn_dim_const(1);
    for (int32_t d = begin; d < end; d++)
        if (!apply(walk, NORN_DIM_MUL, *out, shape->dims[d], out)) return false;
    return true;
}

/// whole / part when it leaves nothing.
static bool quotient(norn_rows_walk *walk, norn_dim whole, norn_dim part, norn_dim *out) {
    norn_dim again;
    if (norn_rows_dim_is(part, 1)) {
        *out = whole;
        return true;
    }
    if (norn_rows_dim_is(part, 0)) return false;
    return apply(walk, NORN_DIM_FLOORDIV, whole, part, out) &&
           apply(walk, NORN_DIM_MUL, *out, part, &again) && norn_dim_equal(again, whole);
}

/// The one dimension that depends on the batch; -1: none, or several.
static int32_t batch_axis(const norn_rows_walk *walk, const norn_shape *shape) {
    int32_t axis = -1;
    for (int32_t d = 0; d < shape->rank; d++) {
        if (!norn_rows_dim_depends(walk, shape->dims[d])) continue;
        if (axis >= 0) return -1;
        axis = d;
    }
    return axis;
}

static bool is_whole(norn_rows_walk *walk, const norn_shape *shape, const norn_rows *rows) {
    norn_dim whole;
    return apply(walk, NORN_DIM_MUL, rows->before, norn_dim_symbol(walk->graph->batch), &whole) &&
           apply(walk, NORN_DIM_MUL, whole, rows->after, &whole) &&
           norn_dim_equal(whole, shape->dims[rows->axis]);
}

bool norn_rows_locate(norn_rows_walk *walk, const norn_shape *shape, norn_dim outer, norn_dim inner,
                      norn_rows *out) {
    norn_dim left, right;
    const int32_t axis = batch_axis(walk, shape);
    *out = (norn_rows){.kind = NORN_ROWS_EACH, .axis = axis};
    return axis >= 0 && product(walk, shape, 0, axis, &left) &&
           product(walk, shape, axis + 1, shape->rank, &right) &&
           quotient(walk, outer, left, &out->before) && quotient(walk, inner, right, &out->after) &&
           is_whole(walk, shape, out);
}

bool norn_rows_extent(norn_rows_walk *walk, const norn_shape *shape, norn_rows rows,
                      norn_dim *outer, norn_dim *inner) {
    return rows.kind == NORN_ROWS_EACH && rows.axis < shape->rank &&
           product(walk, shape, 0, rows.axis, outer) &&
           apply(walk, NORN_DIM_MUL, *outer, rows.before, outer) &&
           product(walk, shape, rows.axis + 1, shape->rank, inner) &&
           apply(walk, NORN_DIM_MUL, *inner, rows.after, inner);
}

bool norn_rows_reshape(norn_rows_walk *walk, const norn_shape *from, norn_rows rows,
                       const norn_shape *to, norn_rows *out) {
    norn_dim outer, inner;
    return norn_rows_extent(walk, from, rows, &outer, &inner) &&
           norn_rows_locate(walk, to, outer, inner, out);
}

bool norn_rows_filled(norn_rows_walk *walk, const norn_shape *shape, norn_rows *out) {
    const int32_t axis = batch_axis(walk, shape);
    *out = (norn_rows){.kind = NORN_ROWS_EACH, .axis = axis, .before = norn_dim_const(1)};
    return axis >= 0 &&
           quotient(walk, shape->dims[axis], norn_dim_symbol(walk->graph->batch), &out->after) &&
           is_whole(walk, shape, out);
}

const char *norn_rows_broadcast(norn_rows_walk *walk, uint32_t first, uint32_t end, int32_t rank,
                                norn_rows *out) {
    bool found = false;
    *out = (norn_rows){.kind = NORN_ROWS_NONE};
    for (uint32_t i = first; i < end; i++) {
        norn_rows rows = norn_rows_in(walk, i);
        if (rows.kind == NORN_ROWS_NONE) continue;
        if (rows.kind != NORN_ROWS_EACH) return norn_rows_counted;
        rows.axis += rank - norn_rows_rank(walk, i);
        if (found && !norn_rows_equal(rows, *out)) return norn_rows_other;
        *out = rows;
        found = true;
    }
    if (!found || out->axis < 0 || out->axis >= rank) return norn_rows_unknown;
    for (uint32_t i = first; i < end; i++) {
        const norn_value *value = norn_rows_value(walk, i);
        if (!value || !norn_rows_free(walk, i)) continue;
        const int32_t own_rank = norn_rows_rank(walk, i), own = out->axis - (rank - own_rank);
        if (own_rank < 0) return norn_rows_unknown;
        if (own < 0) continue;
        const norn_dim dim =
            value->data ? norn_dim_const(value->data->dims[own]) : value->shape.dims[own];
        if (!norn_rows_dim_is(dim, 1)) return norn_rows_other; // by position in the batch
    }
    return NULL;
}
