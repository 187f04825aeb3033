/// Softmax, norms and reductions.
#include "cuda/kernels/rows_kernel.h"
#include "cuda/ops/ops.h"

bool norn_cuda_rows_supports(const norn_step_spec *spec) {
    for (uint32_t i = 0; i < spec->in_count; i++)
        if (norn_view_present(&spec->in[i]) && spec->in[i].dtype != NORN_F32) return false;
    for (uint32_t i = 0; i < spec->out_count; i++)
        if (norn_view_present(&spec->out[i]) && spec->out[i].dtype != NORN_F32) return false;
    if (spec->op == NORN_OP_BatchNormalization)
        return norn_attr_i64(spec->attrs, "training_mode", 0) == 0;
    if (spec->op != NORN_OP_LayerNormalization && spec->op != NORN_OP_RMSNormalization) return true;
    // Scale and bias that are the normalised dims exactly; broadcast ones run on the CPU.
    int32_t axis = norn_cuda_axis(norn_attr_i64(spec->attrs, "axis", -1), spec->in[0].rank);
    int64_t n = norn_dims_product(spec->in[0].dims, axis, spec->in[0].rank);
    for (uint32_t i = 1; i < spec->in_count; i++)
        if (norn_view_present(&spec->in[i]) && norn_view_elems(&spec->in[i]) != n) return false;
    return true;
}

static norn_status softmax(norn_call *call, bool log) {
    const norn_view *in = &call->in[0];
    int32_t axis = norn_cuda_axis(norn_attr_i64(call->attrs, "axis", -1), in->rank);
    if (norn_view_elems(in) == 0) return NORN_OK;
    norn_cuda_softmax_args args = {.in = in->data,
                                   .out = call->out[0].data,
                                   .outer = norn_dims_product(in->dims, 0, axis),
                                   .n = in->rank ? in->dims[axis] : 1,
                                   .inner = norn_dims_product(in->dims, axis + 1, in->rank),
                                   .log = log};
    return norn_cuda_launched(norn_cuda_softmax_launch(&args, norn_cuda_stream_of(call)->handle));
}

norn_status norn_cuda_softmax(norn_call *call) {
    return softmax(call, false);
}
norn_status norn_cuda_log_softmax(norn_call *call) {
    return softmax(call, true);
}

static void *data_or_null(const norn_view *views, uint32_t count, uint32_t index) {
    return index < count && norn_view_present(&views[index]) ? views[index].data : NULL;
}

static norn_status norm(norn_call *call, bool rms) {
    const norn_view *in = &call->in[0];
    int32_t axis = norn_cuda_axis(norn_attr_i64(call->attrs, "axis", -1), in->rank);
    if (norn_view_elems(in) == 0) return NORN_OK;
    norn_cuda_norm_args args = {.in = in->data,
                                .scale = data_or_null(call->in, call->in_count, 1),
                                .bias = data_or_null(call->in, call->in_count, 2),
                                .out = call->out[0].data,
                                .mean_out = data_or_null(call->out, call->out_count, 1),
                                .inv_out = data_or_null(call->out, call->out_count, 2),
                                .rows = norn_dims_product(in->dims, 0, axis),
                                .n = norn_dims_product(in->dims, axis, in->rank),
                                .epsilon = norn_attr_f32(call->attrs, "epsilon", 1e-5f),
                                .rms = rms};
    return norn_cuda_launched(norn_cuda_norm_launch(&args, norn_cuda_stream_of(call)->handle));
}

norn_status norn_cuda_layer_norm(norn_call *call) {
    return norm(call, false);
}
norn_status norn_cuda_rms_norm(norn_call *call) {
    return norm(call, true);
}

norn_status norn_cuda_batch_norm(norn_call *call) {
    const norn_view *in = &call->in[0];
    if (norn_view_elems(in) == 0) return NORN_OK;
    norn_cuda_batch_norm_args args = {.in = in->data,
                                      .scale = call->in[1].data,
                                      .bias = call->in[2].data,
                                      .mean = call->in[3].data,
                                      .var = call->in[4].data,
                                      .out = call->out[0].data,
                                      .outer = in->dims[0],
                                      .channels = in->rank > 1 ? in->dims[1] : 1,
                                      .inner = norn_dims_product(in->dims, 2, in->rank),
                                      .epsilon = norn_attr_f32(call->attrs, "epsilon", 1e-5f)};
    return norn_cuda_launched(
        norn_cuda_batch_norm_launch(&args, norn_cuda_stream_of(call)->handle));
}

// ---- Reduce*
typedef struct reduce_state {
    int32_t kind, type;
    bool reduced[NORN_MAX_RANK];
    bool nothing; ///< no axes and noop_with_empty_axes
} reduce_state;

static bool reduce_kind(norn_op_id op, int32_t *kind) {
    switch ((int)op) {
    case NORN_OP_ReduceSum:
        *kind = NORN_CUDA_REDUCE_SUM;
        return true;
    case NORN_OP_ReduceMean:
        *kind = NORN_CUDA_REDUCE_MEAN;
        return true;
    case NORN_OP_ReduceMax:
        *kind = NORN_CUDA_REDUCE_MAX;
        return true;
    case NORN_OP_ReduceMin:
        *kind = NORN_CUDA_REDUCE_MIN;
        return true;
    case NORN_OP_ReduceProd:
        *kind = NORN_CUDA_REDUCE_PROD;
        return true;
    case NORN_OP_ReduceL1:
        *kind = NORN_CUDA_REDUCE_L1;
        return true;
    case NORN_OP_ReduceL2:
        *kind = NORN_CUDA_REDUCE_L2;
        return true;
    case NORN_OP_ReduceSumSquare:
        *kind = NORN_CUDA_REDUCE_SUM_SQUARE;
        return true;
    case NORN_OP_ReduceLogSum:
        *kind = NORN_CUDA_REDUCE_LOG_SUM;
        return true;
    case NORN_OP_ReduceLogSumExp:
        *kind = NORN_CUDA_REDUCE_LOG_SUM_EXP;
        return true;
    default:
        return false;
    }
}

static bool reduce_type(norn_dtype dtype, int32_t *type) {
    switch ((int)dtype) {
    case NORN_F32:
        *type = NORN_CUDA_REDUCE_F32;
        return true;
    case NORN_F64:
        *type = NORN_CUDA_REDUCE_F64;
        return true;
    case NORN_I32:
        *type = NORN_CUDA_REDUCE_I32;
        return true;
    case NORN_I64:
        *type = NORN_CUDA_REDUCE_I64;
        return true;
    default:
        return false;
    }
}

static bool read_reduce(const norn_step_spec *spec, reduce_state *state) {
    int64_t axes[NORN_MAX_RANK];
    uint32_t count = 0;
    *state = (reduce_state){0};
    if (!reduce_kind(spec->op, &state->kind) || !reduce_type(spec->in[0].dtype, &state->type))
        return false;
    bool given = spec->in_count > 1 && norn_view_present(&spec->in[1]);
    if (given && !norn_cuda_constant_ints(spec, 1, axes, NORN_MAX_RANK, &count)) return false;
    for (uint32_t i = 0; i < count; i++)
        state->reduced[norn_cuda_axis(axes[i], spec->in[0].rank)] = true;
    if (count > 0) return true;
    if (norn_attr_i64(spec->attrs, "noop_with_empty_axes", 0))
        return false; // rare; the CPU does it
    for (int32_t d = 0; d < spec->in[0].rank; d++) state->reduced[d] = true;
    return true;
}

bool norn_cuda_reduce_supports(const norn_step_spec *spec) {
    reduce_state state;
    return read_reduce(spec, &state);
}

norn_status norn_cuda_reduce_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **out) {
    reduce_state *state = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    (void)read_reduce(spec, state); // supported, or there would be no step
    *out = state;
    return NORN_OK;
}

norn_status norn_cuda_reduce(norn_call *call) {
    const reduce_state *state = call->state;
    const norn_view *in = &call->in[0];
    norn_cuda_reduce_args args = {.in = in->data,
                                  .out = call->out[0].data,
                                  .outputs = 1,
                                  .count = 1,
                                  .kind = state->kind,
                                  .type = state->type};
    int64_t stride[NORN_MAX_RANK];
    norn_cuda_dense_strides(in->rank, in->dims, stride);
    for (int32_t d = 0; d < in->rank; d++) {
        if (state->reduced[d]) {
            args.reduced[args.reduced_rank] = in->dims[d],
            args.reduced_stride[args.reduced_rank++] = stride[d];
            args.count *= in->dims[d];
        } else {
            args.kept[args.kept_rank] = in->dims[d], args.kept_stride[args.kept_rank++] = stride[d];
            args.outputs *= in->dims[d];
        }
    }
    if (args.outputs == 0) return NORN_OK;
    return norn_cuda_launched(norn_cuda_reduce_launch(&args, norn_cuda_stream_of(call)->handle));
}
