#include "passes/has_kernel.h"

static norn_view view_of(norn_dtype dtype, const norn_shape *shape) {
    norn_view view = {.dtype = dtype, .rank = shape->rank};
    for (int32_t d = 0; d < shape->rank; d++)
        view.dims[d] = norn_dim_is_const(shape->dims[d]) ? shape->dims[d].constant : 1;
    return view;
}

bool norn_target_has(const norn_target *target, const norn_wanted *wanted) {
    norn_view in[NORN_WANTED_INPUTS_MAX] = {{.dtype = NORN_DTYPE_NONE}};
    const norn_view out = view_of(wanted->out, wanted->shape);
    for (uint32_t i = 0; i < wanted->in_count; i++) {
        const norn_value *value = wanted->in[i];
        if (value) in[i] = value->data ? *value->data : view_of(value->dtype, &value->shape);
    }
    const norn_step_spec spec = {.name = "",
                                 .op = wanted->op,
                                 .attrs = wanted->attrs,
                                 .region = wanted->region,
                                 .in = in,
                                 .out = &out,
                                 .in_count = wanted->in_count,
                                 .out_count = 1,
                                 .numbers = wanted->numbers};
    return norn_target_kernel(target, &spec) != NULL;
}

bool norn_pass_has_kernel(const norn_pass_context *context, const norn_wanted *wanted) {
    return norn_target_has(context->target ? context->target : context->host, wanted);
}
