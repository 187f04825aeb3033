/// Gather, GatherElements, GatherND.
#include "cuda/kernels/move_kernel.h"
#include "cuda/ops/ops.h"

bool norn_cuda_gather_supports(const norn_step_spec *spec) {
    const norn_view *in = &spec->in[0], *indices = &spec->in[1];
    bool narrow = indices->dtype == NORN_I32 && spec->op != NORN_OP_GatherND;
    if (indices->dtype != NORN_I64 && !narrow) return false;
    // Other dims may be smaller than the input's: not here.
    if (spec->op == NORN_OP_GatherElements) {
        int32_t axis = norn_cuda_axis(norn_attr_i64(spec->attrs, "axis", 0), in->rank);
        for (int32_t d = 0; d < in->rank; d++)
            if (d != axis && in->dims[d] != indices->dims[d]) return false;
    }
    return norn_cuda_move_supports(spec);
}

norn_status norn_cuda_gather_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **out) {
    norn_cuda_site *site = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &site));
    *site = (norn_cuda_site){.node = spec->name, .what = "the gathered axis"};
    *out = site;
    return NORN_OK;
}

static norn_cuda_gather_args common(norn_call *call) {
    const norn_view *in = &call->in[0];
    int32_t axis = norn_cuda_axis(norn_attr_i64(call->attrs, "axis", 0), in->rank);
    return (norn_cuda_gather_args){.in = in->data,
                                   .out = call->out[0].data,
                                   .indices = call->in[1].data,
                                   .indices_32 = call->in[1].dtype == NORN_I32,
                                   .outer = norn_dims_product(in->dims, 0, axis),
                                   .axis = in->dims[axis],
                                   .inner = norn_dims_product(in->dims, axis + 1, in->rank),
                                   .unit = (int32_t)norn_dtype_bits(in->dtype) / 8,
                                   .fault = norn_cuda_stream_of(call)->fault,
                                   .site = call->state};
}

norn_status norn_cuda_gather(norn_call *call) {
    norn_cuda_gather_args args = common(call);
    args.count = norn_view_elems(&call->in[1]);
    if (norn_view_elems(&call->out[0]) == 0) return NORN_OK;
    // Rows move by 16 bytes where they can.
    while (args.unit < 16 && args.inner % 2 == 0 &&
           (((uintptr_t)args.in | (uintptr_t)args.out) & ((uintptr_t)args.unit * 2 - 1)) == 0) {
        args.unit *= 2;
        args.inner /= 2;
    }
    return norn_cuda_launched(norn_cuda_gather_launch(&args, norn_cuda_stream_of(call)->handle));
}

norn_status norn_cuda_gather_elements(norn_call *call) {
    norn_cuda_gather_args args = common(call);
    int32_t axis = norn_cuda_axis(norn_attr_i64(call->attrs, "axis", 0), call->in[0].rank);
    args.count = call->in[1].dims[axis];
    if (norn_view_elems(&call->out[0]) == 0) return NORN_OK;
    return norn_cuda_launched(
        norn_cuda_gather_elements_launch(&args, norn_cuda_stream_of(call)->handle));
}

norn_status norn_cuda_gather_nd(norn_call *call) {
    const norn_view *in = &call->in[0], *indices = &call->in[1];
    int32_t batch_dims = (int32_t)norn_attr_i64(call->attrs, "batch_dims", 0);
    int32_t depth = (int32_t)indices->dims[indices->rank - 1];
    norn_cuda_gather_nd_args args = {
        .in = in->data,
        .out = call->out[0].data,
        .indices = indices->data,
        .batch = norn_dims_product(in->dims, 0, batch_dims),
        .count = norn_dims_product(indices->dims, batch_dims, indices->rank - 1),
        .inner = norn_dims_product(in->dims, batch_dims + depth, in->rank),
        .batch_stride = norn_dims_product(in->dims, batch_dims, in->rank),
        .depth = depth,
        .unit = (int32_t)norn_dtype_bits(in->dtype) / 8,
        .fault = norn_cuda_stream_of(call)->fault,
        .site = call->state};
    for (int32_t d = 0; d < batch_dims; d++)
        if (in->dims[d] != indices->dims[d]) return norn_call_misfit(call, 1);
    if (args.batch * args.count * args.inner != norn_view_elems(&call->out[0]))
        return norn_call_misfit(call, 1);
    if (norn_view_elems(&call->out[0]) == 0) return NORN_OK;
    for (int32_t d = 0; d < depth; d++) {
        args.dims[d] = in->dims[batch_dims + d];
        args.stride[d] = norn_dims_product(in->dims, batch_dims + d + 1, in->rank);
    }
    return norn_cuda_launched(norn_cuda_gather_nd_launch(&args, norn_cuda_stream_of(call)->handle));
}
