#include "graph/graph.h"

#include "base/memory.h"
#include "tensor/dtype.h"

#include <string.h>

enum { IO_MAX = 16 }; // more go to the heap

/// Does `dim` follow from a RUNTIME symbol that is not older than `base`?
static bool is_fresh(const norn_symbols *symbols, norn_dim dim, int32_t base, int depth) {
    if (norn_dim_is_const(dim) || dim.symbol < base) return false;
    const norn_symbol *symbol = &symbols->at[dim.symbol];
    if (symbol->kind == NORN_SYMBOL_RUNTIME) return true;
    if (symbol->kind != NORN_SYMBOL_DERIVED || depth == 0) return false;
    return is_fresh(symbols, symbol->a, base, depth - 1) ||
           is_fresh(symbols, symbol->b, base, depth - 1);
}

/// What was known of a value stays where inference can only make up a new symbol: from a declared
/// shape, or from the run of inference before this one.
static void merge_shape(const norn_graph *graph, norn_shape *known, const norn_shape *inferred,
                        int32_t base) {
    if (inferred->rank < 0) return;
    norn_shape merged = *inferred;
    if (known->rank == inferred->rank) {
        for (int32_t i = 0; i < merged.rank; i++) {
            if (is_fresh(&graph->symbols, merged.dims[i], base, 8)) merged.dims[i] = known->dims[i];
        }
    }
    *known = merged;
}

static norn_status store(norn_graph *graph, const norn_node *node, const norn_shape_io *io,
                         uint32_t index, int32_t base) {
    norn_value *value = node->out[index];
    if (io->dtype != NORN_DTYPE_NONE) value->dtype = io->dtype;
    if (value->dtype == NORN_DTYPE_NONE) {
        return norn_fail(NORN_INTERNAL, "node '%s' (%s): output %u has no element type", node->name,
                         node->op->name, index);
    }
    merge_shape(graph, &value->shape, &io->shape, base);
    value->contents = io->contents;
    value->contents_count = io->contents ? io->contents_count : 0;
    return NORN_OK;
}

static void describe(norn_shape_ctx *ctx, const norn_node *node) {
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *value = node->in[i].value;
        ctx->in[i] = (norn_shape_io){.shape = norn_shape_unknown()};
        if (!value) continue;
        ctx->in[i] = (norn_shape_io){.dtype = value->dtype,
                                     .shape = value->shape,
                                     .data = value->data,
                                     .contents = value->contents,
                                     .contents_count = value->contents_count};
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        ctx->out[i] = (norn_shape_io){.shape = norn_shape_unknown()};
    }
}

norn_status norn_node_shapes(const norn_node *node, norn_shape_ctx *ctx) {
    for (uint32_t i = 0; i < node->in_count && !(node->op->flags & NORN_OP_SEQUENCE); i++)
        if (norn_dtype_holds_tensors(ctx->in[i].dtype))
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "node '%s' (%s): input %u is a %s; it takes tensors only", node->name,
                             node->op->name, i, norn_dtype_name(ctx->in[i].dtype));
    for (uint32_t i = 0; i < node->out_count && !(node->op->flags & NORN_OP_SEQUENCE); i++)
        if (node->out[i] && norn_dtype_holds_tensors(node->out[i]->dtype))
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "node '%s' (%s): output %u is a %s; it makes tensors only", node->name,
                             node->op->name, i, norn_dtype_name(node->out[i]->dtype));
    norn_status status = node->op->shape(ctx);
    if (status != NORN_OK) norn_note("node '%s'", node->name); // shape functions know no name
    return status;
}

norn_status norn_node_infer(norn_graph *graph, norn_node *node) {
    norn_shape_io near_io[IO_MAX], *far_io = NULL;
    size_t io_count = (size_t)node->in_count + node->out_count;
    norn_status status;
    if (io_count > IO_MAX) NORN_TRY(NORN_NEW_ARRAY(graph->alloc, io_count, &far_io));
    norn_shape_io *io = far_io ? far_io : near_io;
    int32_t base = graph->symbols.count;
    norn_shape_ctx ctx = {.attrs = node->attrs,
                          .region = node->region,
                          .symbols = &graph->symbols,
                          .arena = &graph->arena,
                          .in = io,
                          .in_count = node->in_count,
                          .out = io + node->in_count,
                          .out_count = node->out_count};
    describe(&ctx, node);
    NORN_TRY_DONE(norn_node_shapes(node, &ctx));
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->out[i]) NORN_TRY_DONE(store(graph, node, &ctx.out[i], i, base));
    }
done:
    norn_free(graph->alloc, far_io);
    return status;
}
