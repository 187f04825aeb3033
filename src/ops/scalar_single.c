// One pointwise node on known shapes as a region.
#include "base/status.h"
#include "ops/op.h"

norn_status norn_scalar_single(norn_arena *arena, const norn_op_info *op, norn_attrs attrs,
                               const norn_view *in, uint32_t in_count, const norn_view *out,
                               norn_pointwise_region *region) {
    norn_scalar_builder *builder;
    norn_dtype dtypes[NORN_SCALAR_LOAD_MAX];
    uint16_t regs[NORN_SCALAR_LOAD_MAX], result;
    if (in_count > NORN_SCALAR_LOAD_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "operator %s of %u operands; at most %d are taken",
                         op->name, in_count, NORN_SCALAR_LOAD_MAX);
    NORN_TRY(NORN_TAKE(arena, &builder));
    builder->arena = arena;
    for (uint32_t i = 0; i < in_count; i++) {
        dtypes[i] = in[i].dtype;
        regs[i] = 0xffff;
        bool type_only = i == 1 && op->id == NORN_OP_CastLike;
        if (!norn_view_present(&in[i]) || type_only) continue;
        norn_scalar_load load = {.input = i, .dtype = in[i].dtype};
        for (int32_t d = 0; d < out->rank; d++) {
            int32_t own = d - (out->rank - in[i].rank);
            load.broadcast[d] = own < 0 || (in[i].dims[own] == 1 && out->dims[d] != 1);
        }
        NORN_TRY(norn_scalar_load_of(builder, &load, &regs[i]));
    }
    NORN_TRY(
        norn_scalar_emit_node(builder, op, attrs, dtypes, regs, in_count, out->dtype, &result));
    return norn_scalar_finish(builder, &result, 1, &region->program);
}
