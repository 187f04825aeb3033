#include "plan/step_shape.h"

static norn_shape_io io_of(const norn_view *view) {
    norn_shape_io io = {.dtype = view->dtype, .shape = {.rank = view->rank}, .data = view};
    for (int32_t d = 0; d < view->rank; d++) io.shape.dims[d] = norn_dim_const(view->dims[d]);
    return io;
}

norn_status norn_step_shapes(const norn_node *node, const norn_view *in, uint32_t in_count,
                             norn_view *out, uint32_t out_count, norn_shape_room room) {
    if (room.count < in_count + out_count)
        return norn_fail(NORN_INTERNAL, "node '%s': no room for its shapes", node->name);
    norn_shape_io *outs = room.io + in_count;
    for (uint32_t i = 0; i < in_count; i++)
        room.io[i] =
            norn_view_present(&in[i]) ? io_of(&in[i]) : (norn_shape_io){.dtype = NORN_DTYPE_NONE};
    for (uint32_t i = 0; i < out_count; i++)
        outs[i] = (norn_shape_io){.dtype = NORN_DTYPE_NONE, .shape = norn_shape_unknown()};
    norn_shape_ctx ctx = {.node = node->name,
                          .attrs = node->attrs,
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
        for (int32_t d = 0; d < outs[i].shape.rank && out[i].rank >= 0; d++) {
            if (norn_dim_is_const(outs[i].shape.dims[d]))
                out[i].dims[d] = outs[i].shape.dims[d].constant;
            else
                out[i].rank = -1; // the kernel sizes it
        }
    }
    return NORN_OK;
}
