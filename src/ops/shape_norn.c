// Shapes of Norn's own operators: what exporters emit (ai.norn) and what passes make (norn). Passes
// keep the shapes of the values that they cover; where a region alone does not tell, the output
// stays unknown here and the value keeps what it has.
#include "ops/shape.h"

#include <string.h>

norn_status norn_shape_embedding(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    int64_t dim = norn_attr_i64(ctx->attrs, "dim", 0);
    if (dim < 1) return norn_fail(NORN_INVALID_ARGUMENT, "attribute dim must be at least 1");
    norn_shape out;
    if (norn_shape_has(ctx, 1)) { // EmbeddingBag: CSR offsets [B + 1]
        if (ctx->in[1].shape.rank >= 0 && ctx->in[1].shape.rank != 1)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "the offsets of EmbeddingBag have rank %d, not 1; "
                             "norn.export.from_torch writes bags as Norn reads them",
                             ctx->in[1].shape.rank);
        NORN_TRY(norn_shape_fresh_rank(ctx, 2, &out));
        if (ctx->in[1].shape.rank == 1) {
            NORN_TRY(
                norn_shape_dim_i64(ctx, NORN_DIM_ADD, ctx->in[1].shape.dims[0], -1, &out.dims[0]));
            if (norn_dim_is_const(out.dims[0]) && out.dims[0].constant < 0)
                return norn_fail(NORN_INVALID_ARGUMENT,
                                 "offsets are empty; they have one more value than rows");
        }
        out.dims[1] = norn_dim_const(dim);
    } else {
        NORN_TRY(norn_shape_rank_in(ctx, 0, 0, NORN_MAX_RANK - 1));
        out = ctx->in[0].shape;
        if (out.rank >= 0) out.dims[out.rank++] = norn_dim_const(dim);
    }
    // Rows that a bag brings along are written as they are; those of a table as float32.
    norn_shape_put(ctx, 0, norn_shape_has(ctx, 3) ? ctx->in[3].dtype : NORN_F32, &out);
    return NORN_OK;
}

static norn_status need_region(const norn_shape_ctx *ctx) {
    if (!ctx->region) return norn_fail(NORN_INTERNAL, "it has no region");
    return NORN_OK;
}

norn_status norn_shape_gemm_region(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 2));
    NORN_TRY(need_region(ctx));
    const norn_gemm_region *gemm = &((const norn_region *)ctx->region)->gemm;
    norn_shape out = ctx->in[0].shape;
    NORN_TRY(norn_shape_rank_in(ctx, 0, 1, NORN_MAX_RANK));
    if (out.rank > 0) {
        NORN_TRY(norn_shape_match(ctx, out.dims[out.rank - 1], norn_dim_const(gemm->k),
                                  "columns of A and rows of B"));
        out.dims[out.rank - 1] = norn_dim_const(gemm->n);
    }
    norn_shape_put(ctx, 0, gemm->out ? gemm->out : ctx->in[0].dtype, &out);
    return NORN_OK;
}

/// Loop dims that the loads tell: where one does not repeat, the size is its operand's. A dim in
/// which all repeat (an Expand) is the output's to know: *known is false.
static norn_status loop_dims(const norn_shape_ctx *ctx, const norn_scalar_program *program,
                             norn_shape *out, bool *known) {
    int32_t rank = 0;
    *known = program->load_count > 0;
    for (uint32_t i = 0; i < program->load_count; i++) {
        if (program->loads[i].dynamic) { // one operator; with one operand it may be an Expand
            *known = program->load_count > 1;
            return norn_shape_broadcast_all(ctx, 0, out);
        }
        const norn_shape *in = norn_shape_in(ctx, program->loads[i].input);
        if (in->rank < 0) *known = false;
        if (in->rank > rank) rank = in->rank;
        for (int32_t d = 0; d < NORN_MAX_RANK; d++)
            if (program->loads[i].broadcast[d] && d >= rank) rank = d + 1;
    }
    *out = (norn_shape){.rank = rank};
    for (int32_t d = 0; d < rank && *known; d++) {
        bool told = false;
        for (uint32_t i = 0; i < program->load_count && !told; i++) {
            const norn_shape *in = norn_shape_in(ctx, program->loads[i].input);
            int32_t own = d - (rank - in->rank);
            if (program->loads[i].broadcast[d] || own < 0) continue;
            out->dims[d] = in->dims[own];
            told = true;
        }
        *known = told;
    }
    return NORN_OK;
}

norn_status norn_shape_pointwise(norn_shape_ctx *ctx) {
    NORN_TRY(need_region(ctx));
    const norn_pointwise_region *region = &((const norn_region *)ctx->region)->pointwise;
    norn_shape shape;
    bool known;
    NORN_TRY(loop_dims(ctx, &region->program, &shape, &known));
    if (known && shape.rank > 0) shape.dims[shape.rank - 1].constant += region->pad;
    for (uint32_t i = 0; i < ctx->out_count && known; i++)
        norn_shape_put(ctx, i, NORN_DTYPE_NONE, &shape);
    return NORN_OK;
}

norn_status norn_shape_row_reduce(norn_shape_ctx *ctx) {
    NORN_TRY(need_region(ctx));
    const norn_row_reduce_region *reduce = &((const norn_region *)ctx->region)->row_reduce;
    norn_shape loop, out = {.rank = 0};
    bool known;
    NORN_TRY(loop_dims(ctx, &reduce->prologue, &loop, &known));
    int32_t end = loop.rank - (int32_t)reduce->inner_dims;
    int32_t begin = end - (int32_t)reduce->reduced_dims;
    if (!known || begin < 0) return NORN_OK;
    for (int32_t d = 0; d < loop.rank; d++) {
        bool reduced = d >= begin && d < end;
        if (!reduced || reduce->keep_dims)
            out.dims[out.rank++] = reduced ? norn_dim_const(1) : loop.dims[d];
    }
    for (uint32_t i = 0; i < ctx->out_count; i++) norn_shape_put(ctx, i, NORN_DTYPE_NONE, &out);
    return NORN_OK;
}

/// Rows of a column's output, and keys that it writes side by side in
/// one; rank -1 of the keys: unknown.
static norn_status lookup_rows(norn_shape_ctx *ctx, const norn_lookup_column *column,
                               norn_dim *rows, int64_t *per_row, bool *known) {
    const norn_shape *keys = norn_shape_in(ctx, column->keys_input);
    bool side_by_side = column->form == NORN_KEYS_FIXED && column->pool == NORN_POOL_NONE;
    *per_row = side_by_side ? column->keys_count : 1;
    *known = false;
    if (column->form == NORN_KEYS_CSR) {
        const norn_shape *offsets = norn_shape_in(ctx, column->offsets_input);
        *known = offsets->rank == 1;
        return *known ? norn_shape_dim_i64(ctx, NORN_DIM_ADD, offsets->dims[0], -1, rows) : NORN_OK;
    }
    if (keys->rank < 1 || (side_by_side && column->keys_count < 1)) return NORN_OK;
    *known = true;
    *rows = keys->dims[0];
    if (column->keys_stride) return NORN_OK;
    if (column->keys_count < 1) // all keys of a row are pooled: [rows.., n]
        return norn_shape_product(ctx->symbols, keys, 0, keys->rank - 1, rows);
    NORN_TRY(norn_shape_product(ctx->symbols, keys, 0, keys->rank, rows));
    return norn_dim_apply(ctx->symbols, NORN_DIM_FLOORDIV, *rows,
                          norn_dim_const(column->keys_count), rows);
}

norn_status norn_shape_lookup(norn_shape_ctx *ctx) {
    NORN_TRY(need_region(ctx));
    const norn_lookup_region *lookup = &((const norn_region *)ctx->region)->lookup;
    for (uint32_t o = 0; o < ctx->out_count; o++) {
        int64_t width = 0, per_row;
        norn_dtype dtype = NORN_F32;
        norn_dim rows = norn_dim_const(0);
        bool known = true;
        for (uint32_t i = 0; i < lookup->column_count && known; i++) {
            const norn_lookup_column *column = &lookup->columns[i];
            if (column->output != o) continue;
            if (column->out) dtype = column->out;
            NORN_TRY(lookup_rows(ctx, column, &rows, &per_row, &known));
            if (column->column + column->dim * per_row > width)
                width = column->column + column->dim * per_row;
        }
        if (!known) continue;
        norn_shape out = {.rank = 2, .dims = {rows, norn_dim_const(width)}};
        norn_shape_put(ctx, o, dtype, &out);
    }
    return NORN_OK;
}

norn_status norn_shape_interaction(norn_shape_ctx *ctx) {
    NORN_TRY(norn_shape_inputs(ctx, 1));
    NORN_TRY(need_region(ctx));
    const norn_interaction_region *r = &((const norn_region *)ctx->region)->interaction;
    const norn_shape *part = &ctx->in[0].shape;
    NORN_TRY(norn_shape_rank_in(ctx, 0, 2, 3));
    norn_shape out = {.rank = 2};
    NORN_TRY(norn_shape_fresh_rank(ctx, 2, &out));
    if (part->rank > 0) out.dims[0] = part->dims[0];
    int64_t pairs =
        r->pair_order ? r->pair_count : r->features * (r->features + (r->diagonal ? 1 : -1)) / 2;
    out.dims[1] = norn_dim_const(r->kind == NORN_INTERACTION_FM
                                     ? r->dim
                                     : pairs + r->pad +
                                           (r->pass_input == NORN_NO_INPUT ? 0 : r->pass_through));
    norn_shape_put(ctx, 0, r->out ? r->out : ctx->in[0].dtype, &out);
    return NORN_OK;
}
