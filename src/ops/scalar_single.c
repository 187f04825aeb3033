// One pointwise node on known shapes as a region.
#include "base/status.h"
#include "ops/op.h"
#include "tensor/dtype.h"

bool norn_scalar_is_const(const norn_view *view) {
    if (!view->data || norn_view_elems(view) != 1) return false;
    return view->dtype == NORN_F32 || view->dtype == NORN_F64 || view->dtype == NORN_I64 ||
           view->dtype == NORN_I32 || view->dtype == NORN_BOOL;
}

norn_status norn_scalar_const_of(norn_scalar_builder *builder, const norn_view *view,
                                 uint16_t *reg) {
    double f64 = norn_element_f64(view->dtype, view->data, 0);
    int64_t i64 =
        norn_dtype_is_float(view->dtype) ? 0 : norn_element_i64(view->dtype, view->data, 0);
    return norn_scalar_const(builder, view->dtype, f64, i64, reg);
}

norn_status norn_scalar_single(norn_arena *arena, const norn_op_info *op, norn_attrs attrs,
                               const norn_view *in, uint32_t in_count, const norn_view *out,
                               norn_pointwise_region *region) {
    norn_scalar_builder *builder;
    norn_dtype dtypes[NORN_SCALAR_LOAD_MAX];
    uint16_t regs[NORN_SCALAR_LOAD_MAX], result;
    if (in_count > NORN_SCALAR_LOAD_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "operator %s of %u operands; at most %d are taken",
                         op->name, in_count, NORN_SCALAR_LOAD_MAX);
    *region = (norn_pointwise_region){.pad = 0};
    NORN_TRY(NORN_TAKE(arena, &builder));
    builder->arena = arena;
    for (uint32_t i = 0; i < in_count; i++) {
        dtypes[i] = in[i].dtype;
        regs[i] = 0xffff;
        bool type_only = i == 1 && op->id == NORN_OP_CastLike;
        if (!norn_view_present(&in[i]) || type_only) continue;
        // Not operand 0: a program of constants alone would be none.
        if (i > 0 && in[i].rank <= out->rank && norn_scalar_is_const(&in[i])) {
            NORN_TRY(norn_scalar_const_of(builder, &in[i], &regs[i]));
            continue;
        }
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
