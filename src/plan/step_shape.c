#include "plan/step_shape.h"

#include "ops/op.h"

static norn_shape_io io_of(const norn_view *view) {
    norn_shape_io io = {.dtype = view->dtype, .shape = {.rank = view->rank}, .data = view};
    for (int32_t d = 0; d < view->rank; d++) io.shape.dims[d] = norn_dim_const(view->dims[d]);
    return io;
}

/// What the elements of a small integer tensor are at `symbols`; left out where one is not known.
static void add_contents(const norn_value *value, const int64_t *symbols, norn_dim *room,
                         norn_shape_io *io) {
    if (!value->contents || value->contents_count > NORN_CONTENTS_MAX) return;
    for (uint32_t i = 0; i < value->contents_count; i++) {
        norn_dim dim = value->contents[i];
        if (dim.symbol >= 0 && symbols[dim.symbol] < 0) return;
        room[i] = norn_dim_const(norn_dim_eval(dim, symbols));
    }
    io->contents = room;
    io->contents_count = value->contents_count;
}

/// What a shape function leaves open (rank -1) is as planned.
static norn_status same_size(uint32_t index, const norn_shape *made, const norn_view *planned) {
    bool same = made->rank < 0 || made->rank == planned->rank;
    for (int32_t d = 0; d < made->rank && same; d++)
        same = made->dims[d].constant == planned->dims[d];
    if (same) return NORN_OK;
    char is[NORN_VIEW_TEXT], was[NORN_VIEW_TEXT];
    norn_view view = {.dtype = planned->dtype, .rank = made->rank};
    for (int32_t d = 0; d < made->rank; d++) view.dims[d] = made->dims[d].constant;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "output %u is %s for these inputs, the model makes it %s", index,
                     norn_view_text(&view, is), norn_view_text(planned, was));
}

norn_status norn_step_fit(const norn_node *node, const norn_view *in, uint32_t in_count,
                          const norn_view *out, uint32_t out_count, const int64_t *symbols,
                          norn_shape_room room) {
    if (room.count < in_count + out_count)
        return norn_fail(NORN_INTERNAL, "no room for its shapes");
    for (uint32_t i = 0; i < in_count; i++) {
        const norn_value *value = node->in[i].value;
        room.io[i] = (norn_shape_io){.dtype = NORN_DTYPE_NONE};
        if (!value || !norn_view_present(&in[i])) continue;
        room.io[i] = io_of(&in[i]);
        room.io[i].data = value->data; // a constant's, on the host: the view's may be a device's
        if (value->data) continue;
        add_contents(value, symbols, room.contents + (size_t)i * NORN_CONTENTS_MAX, &room.io[i]);
    }
    for (uint32_t i = 0; i < out_count; i++)
        room.io[in_count + i] =
            (norn_shape_io){.dtype = NORN_DTYPE_NONE, .shape = norn_shape_unknown()};
    norn_shape_ctx ctx = {.attrs = node->attrs,
                          .region = node->region,
                          .in = room.io,
                          .in_count = in_count,
                          .out = room.io + in_count,
                          .out_count = out_count,
                          .sizes_only = true};
    NORN_TRY(node->op->shape(&ctx));
    for (uint32_t i = 0; i < out_count; i++)
        if (norn_view_present(&out[i])) NORN_TRY(same_size(i, &ctx.out[i].shape, &out[i]));
    return NORN_OK;
}

/// Do kernels of this operator find their outputs' sizes? No other may be called without.
static bool sizes_itself(const norn_node *node) {
    return node->op->id == NORN_OP_Pointwise || // what its operands broadcast to
           node->op->flags & (NORN_OP_RUNTIME_SHAPE | NORN_OP_SUBGRAPH | NORN_OP_SEQUENCE);
}

norn_status norn_step_shapes(const norn_node *node, const norn_view *in, uint32_t in_count,
                             norn_view *out, uint32_t out_count, norn_shape_room room) {
    if (room.count < in_count + out_count)
        return norn_fail(NORN_INTERNAL, "no room for its shapes");
    norn_shape_io *outs = room.io + in_count;
    for (uint32_t i = 0; i < in_count; i++)
        room.io[i] =
            norn_view_present(&in[i]) ? io_of(&in[i]) : (norn_shape_io){.dtype = NORN_DTYPE_NONE};
    for (uint32_t i = 0; i < out_count; i++)
        outs[i] = (norn_shape_io){.dtype = NORN_DTYPE_NONE, .shape = norn_shape_unknown()};
    norn_shape_ctx ctx = {.attrs = node->attrs,
                          .region = node->region,
                          .in = room.io,
                          .in_count = in_count,
                          .out = outs,
                          .out_count = out_count};
    NORN_TRY(node->op->shape(&ctx));
    for (uint32_t i = 0; i < out_count; i++) {
        if (!norn_view_present(&out[i])) continue;
        if (outs[i].dtype != NORN_DTYPE_NONE) out[i].dtype = outs[i].dtype;
        out[i].rank = outs[i].shape.rank;
        for (int32_t d = 0; d < out[i].rank; d++) out[i].dims[d] = outs[i].shape.dims[d].constant;
        if (out[i].rank < 0 && !sizes_itself(node))
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "its inputs do not say how large output %u is; what gives "
                             "sizes, axes or counts must be a list of integers",
                             i);
    }
    return NORN_OK;
}
