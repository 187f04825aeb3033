// Rules of Norn's own operators: what exporters emit (ai.norn) and what passes make (norn).
#include "plan/row_rules.h"

static const char *put_at(norn_rows_walk *walk, norn_rows rows, int32_t axis) {
    norn_rows_put_all(walk, norn_rows_moved(rows, axis));
    return NULL;
}

// ---- scalar programs

/// Where the operands of a program that have rows have them, among the region's loop dims `loop`.
/// `rows` NONE: no operand has been seen yet; it becomes what the first one has.
static const char *operands_agree(norn_rows_walk *walk, const norn_scalar_program *program,
                                  const norn_shape *loop, norn_rows *rows) {
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_scalar_load *load = &program->loads[i];
        if (load->input == NORN_SCALAR_ACC) continue;
        norn_rows own = norn_rows_in(walk, load->input), found;
        if (own.kind == NORN_ROWS_NONE) continue;
        if (own.kind != NORN_ROWS_EACH) return norn_rows_counted;
        norn_shape dense = *loop; // what the operand's bytes are, read over the loop dims
        for (int32_t d = 0; d < loop->rank; d++)
            if (load->broadcast[d]) dense.dims[d] = norn_dim_const(1);
        if (!norn_rows_reshape(walk, &norn_rows_value(walk, load->input)->shape, own, &dense,
                               &found) ||
            (rows->kind == NORN_ROWS_EACH && !norn_rows_equal(found, *rows)))
            return norn_rows_other;
        *rows = found;
    }
    return NULL;
}

/// Operands without rows are the same for all of them: they must repeat along `axis`.
static const char *others_repeat(const norn_rows_walk *walk, const norn_scalar_program *program,
                                 int32_t axis) {
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_scalar_load *load = &program->loads[i];
        if (load->input != NORN_SCALAR_ACC && norn_rows_free(walk, load->input) &&
            !load->broadcast[axis])
            return norn_rows_other;
    }
    return NULL;
}

static bool is_dynamic(const norn_scalar_program *program) {
    for (uint32_t i = 0; i < program->load_count; i++)
        if (program->loads[i].dynamic) return true;
    return false;
}

const char *norn_rows_pointwise_region(norn_rows_walk *walk) {
    const norn_pointwise_region *region = &walk->node->region->pointwise;
    const norn_scalar_program *program = &region->program;
    const norn_value *out = walk->node->out[0];
    norn_rows rows = {.kind = NORN_ROWS_NONE};
    const char *why;
    if (!out || out->shape.rank < 0) return norn_rows_unknown;
    norn_shape loop = out->shape;
    if (region->pad && (loop.rank == 0 || is_dynamic(program))) return norn_rows_other;
    if (region->pad) loop.dims[loop.rank - 1].constant -= region->pad;
    if (is_dynamic(program)) {
        why = norn_rows_broadcast(walk, 0, walk->node->in_count, out->shape.rank, &rows);
        return why ? why : put_at(walk, rows, rows.axis);
    }
    why = operands_agree(walk, program, &loop, &rows);
    // With no rows among the operands this is an Expand: all rows get the same.
    if (!why && rows.kind != NORN_ROWS_EACH && !norn_rows_filled(walk, &loop, &rows))
        why = norn_rows_counted;
    if (!why && region->pad && rows.axis == loop.rank - 1) why = norn_rows_other;
    if (!why) why = others_repeat(walk, program, rows.axis);
    return why ? why : put_at(walk, rows, rows.axis);
}

/// The loop dims of a reduction's prologue: those of its operands, aligned at the right.
static bool reduce_loop(const norn_rows_walk *walk, const norn_scalar_program *program,
                        norn_shape *out) {
    *out = (norn_shape){.rank = 0};
    for (uint32_t i = 0; i < program->load_count; i++) {
        const int32_t rank = norn_rows_rank(walk, program->loads[i].input);
        if (rank < 0) return false;
        if (rank > out->rank) out->rank = rank;
    }
    for (int32_t d = 0; d < out->rank; d++) out->dims[d] = norn_dim_const(1);
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_scalar_load *load = &program->loads[i];
        const norn_value *value = norn_rows_value(walk, load->input);
        const int32_t rank = norn_rows_rank(walk, load->input);
        for (int32_t d = 0; d < rank; d++) {
            const int32_t at = d + out->rank - rank;
            if (load->broadcast[at]) continue;
            out->dims[at] =
                value->data ? norn_dim_const(value->data->dims[d]) : value->shape.dims[d];
        }
    }
    return true;
}

const char *norn_rows_reduce_region(norn_rows_walk *walk) {
    const norn_row_reduce_region *region = &walk->node->region->row_reduce;
    const norn_scalar_load only = {.input = 0};
    const norn_scalar_program whole = {.load_count = 1, .loads = &only};
    const norn_scalar_program *prologue = region->prologue.instr_count ? &region->prologue : &whole;
    const int32_t reduced = (int32_t)region->reduced_dims;
    norn_shape loop, kept = {.rank = 0};
    norn_rows rows = {.kind = NORN_ROWS_NONE};
    if (!reduce_loop(walk, prologue, &loop)) return norn_rows_unknown;
    const int32_t end = loop.rank - (int32_t)region->inner_dims, begin = end - reduced;
    if (begin < 0) return norn_rows_unknown;
    const char *why = operands_agree(walk, prologue, &loop, &rows);
    if (why) return why;
    if (rows.kind != NORN_ROWS_EACH) return norn_rows_other; // only the epilogue has rows
    why = others_repeat(walk, prologue, rows.axis);
    if (why) return why;
    if (rows.axis >= begin && rows.axis < end) return "reduces over the rows of the batch";
    const int32_t axis = rows.axis < begin ? rows.axis : rows.axis - reduced;
    for (int32_t d = 0; d < loop.rank; d++)
        if (d < begin || d >= end) kept.dims[kept.rank++] = loop.dims[d];
    norn_rows after = norn_rows_moved(rows, axis);
    why = operands_agree(walk, &region->epilogue, &kept, &after);
    if (!why) why = others_repeat(walk, &region->epilogue, axis);
    return why ? why : put_at(walk, rows, region->keep_dims ? rows.axis : axis);
}

/// A[.., K] * B[K, N]: the leading dims of A are the rows M of the product.
const char *norn_rows_gemm_region(norn_rows_walk *walk) {
    const norn_gemm_region *region = &walk->node->region->gemm;
    const norn_rows a = norn_rows_in(walk, 0);
    const norn_value *out = walk->node->out[0];
    norn_shape loop = {.rank = 2};
    norn_rows rows;
    if (a.kind != NORN_ROWS_EACH || !norn_rows_free(walk, 1))
        return norn_rows_has(walk, 1) ? "multiplies rows of the batch with one another"
                                      : norn_rows_counted;
    if (a.axis == norn_rows_rank(walk, 0) - 1) return "sums over the rows of the batch";
    if (!out || out->shape.rank < 1) return norn_rows_unknown;
    if (norn_shape_product(&walk->symbols, &out->shape, 0, out->shape.rank - 1, &loop.dims[0]) !=
        NORN_OK)
        return norn_rows_unknown;
    loop.dims[1] = norn_dim_const(region->n);
    if (!norn_rows_reshape(walk, &out->shape, a, &loop, &rows)) return norn_rows_unknown;
    const char *why = operands_agree(walk, &region->epilogue, &loop, &rows);
    if (!why) why = others_repeat(walk, &region->epilogue, rows.axis);
    return why ? why : put_at(walk, a, a.axis);
}

// ---- lookups

/// Row r of a result of `total` rows has an equal run of the elements of operand `in`; *each: how
/// many. `rows`: as operands_agree.
static const char *runs_of(norn_rows_walk *walk, uint32_t in, norn_dim total, norn_rows *rows,
                           norn_dim *each) {
    const norn_rows own = norn_rows_in(walk, in);
    norn_dim outer, inner;
    norn_rows found, run;
    if (own.kind != NORN_ROWS_EACH) return norn_rows_other;
    if (!norn_rows_extent(walk, &norn_rows_value(walk, in)->shape, own, &outer, &inner))
        return norn_rows_unknown;
    const norn_shape result = {.rank = 1, .dims = {total}};
    if (!norn_rows_filled(walk, &result, &found)) return norn_rows_unknown;
    // total = before * B * after with the operand's before.
    if (norn_dim_apply(&walk->symbols, NORN_DIM_FLOORDIV, found.after, outer, &found.after) !=
        NORN_OK)
        return norn_rows_unknown;
    found.before = outer;
    if (rows->kind == NORN_ROWS_EACH && !norn_rows_equal(found, *rows)) return norn_rows_other;
    *rows = found;
    if (norn_dim_apply(&walk->symbols, NORN_DIM_FLOORDIV, inner, found.after, each) != NORN_OK)
        return norn_rows_unknown;
    const norn_shape split = {.rank = 2, .dims = {total, *each}};
    return norn_rows_locate(walk, &split, outer, inner, &run) && run.axis == 0 &&
                   norn_rows_equal(run, found)
               ? NULL
               : norn_rows_other;
}

static const char *column_rows(norn_rows_walk *walk, const norn_lookup_column *column,
                               norn_dim total, norn_rows *rows) {
    const bool weighted = column->weights_input != NORN_NO_INPUT;
    norn_dim each, weights;
    if (column->rows_input != NORN_NO_INPUT && !norn_rows_free(walk, column->rows_input))
        return norn_rows_other;
    if (column->form == NORN_KEYS_CSR) {
        const norn_shape result = {.rank = 1, .dims = {total}};
        norn_rows found;
        if (!norn_rows_free(walk, column->keys_input) ||
            (weighted && !norn_rows_free(walk, column->weights_input)) ||
            norn_rows_in(walk, column->offsets_input).kind != NORN_ROWS_OFFSETS ||
            !norn_rows_filled(walk, &result, &found) || !norn_rows_dim_is(found.after, 1) ||
            (rows->kind == NORN_ROWS_EACH && !norn_rows_equal(found, *rows)))
            return norn_rows_other;
        *rows = found;
        return NULL;
    }
    const char *why = runs_of(walk, column->keys_input, total, rows, &each);
    if (why || !weighted) return why;
    why = runs_of(walk, column->weights_input, total, rows, &weights);
    if (why) return why;
    if (column->keys_stride) each = norn_dim_const(column->keys_count);
    return norn_dim_equal(each, weights) ? NULL : norn_rows_other;
}

/// Columns are rows of tables, picked by the keys of each row. All columns have the same rows.
const char *norn_rows_lookup_region(norn_rows_walk *walk) {
    const norn_lookup_region *region = &walk->node->region->lookup;
    norn_rows rows = {.kind = NORN_ROWS_NONE};
    for (uint32_t i = 0; i < region->column_count; i++) {
        const norn_lookup_column *column = &region->columns[i];
        const norn_value *out =
            column->output < walk->node->out_count ? walk->node->out[column->output] : NULL;
        if (!out) continue;
        if (out->shape.rank < 2) return norn_rows_unknown;
        const char *why = column_rows(walk, column, out->shape.dims[0], &rows);
        if (why) return why;
    }
    return rows.kind == NORN_ROWS_EACH ? put_at(walk, rows, 0) : norn_rows_unknown;
}

const char *norn_rows_interaction_region(norn_rows_walk *walk) {
    const norn_interaction_region *region = &walk->node->region->interaction;
    const norn_value *out = walk->node->out[0];
    norn_rows rows = {.kind = NORN_ROWS_NONE};
    norn_dim each;
    int64_t width = 0;
    if (!out || out->shape.rank != 2) return norn_rows_unknown;
    for (uint32_t i = 0; i < walk->node->in_count; i++) {
        const char *why = runs_of(walk, i, out->shape.dims[0], &rows, &each);
        if (why) return why;
        if (!norn_dim_is_const(each)) return norn_rows_unknown;
        if (i < region->part_count) width += each.constant;
    }
    if (width != region->features * region->dim) return norn_rows_unknown;
    return put_at(walk, rows, 0);
}
