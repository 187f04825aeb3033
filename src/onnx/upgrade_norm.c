/// Softmax over flattened axes, and normalisations whose parameters changed shape or meaning.
#include "onnx/upgrade.h"

#include <string.h>

static norn_attr axis_attr(int64_t axis) {
    return (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = axis};
}

/// Before 13 the input was seen as [product before axis, product from axis]
/// and each row normalised.
norn_status norn_upgrade_softmax(norn_onnx_call *call) {
    int64_t axis = norn_attr_i64(norn_call_attrs(call), "axis", 1);
    norn_value *x = call->in_count == 1 ? call->in[0] : NULL;
    if (!x || call->out_count == 0) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (%s) needs one input and one output",
                         call->name, call->op_type);
    }
    int32_t rank = x->shape.rank;
    if (rank >= 0 && axis < 0) axis += rank;
    if (rank >= 0 && axis == rank - 1) { // the last axis alone: the same in every opset
        norn_upgrade_set_i64(call, "axis", -1);
        return NORN_OK;
    }
    norn_value *flat, *soft, *shape;
    norn_attr split = axis_attr(axis), last = axis_attr(-1);
    NORN_TRY(norn_call_emit(call, "Flatten", &x, 1, &split, 1, NULL, &flat, 1));
    NORN_TRY(norn_call_emit(call, call->op_type, &flat, 1, &last, 1, NULL, &soft, 1));
    NORN_TRY(norn_call_emit(call, "Shape", &x, 1, NULL, 0, NULL, &shape, 1));
    norn_value *both[] = {soft, shape};
    NORN_TRY(norn_call_emit(call, "Reshape", both, 2, NULL, 0, NULL, &call->out[0], 1));
    call->done = true;
    return NORN_OK;
}

/// Outputs after the first were for training; `spatial` = 0 had statistics for each element.
norn_status norn_upgrade_batch_norm(norn_onnx_call *call) {
    if (norn_attr_i64(norn_call_attrs(call), "spatial", 1) == 0) {
        return norn_fail(NORN_UNIMPLEMENTED,
                         "node '%s' (BatchNormalization): spatial=0 is not implemented; export "
                         "with opset 9 or newer",
                         call->name);
    }
    norn_upgrade_drop(call, "spatial");
    norn_upgrade_drop(call, "momentum");
    for (uint32_t i = 1; i < call->out_count; i++) call->wanted[i] = false;
    if (call->out_count > 1) call->out_count = 1;
    return NORN_OK;
}

/// [groups] -> [channels]: each group's number repeats for its channels.
static norn_status repeat_for_channels(norn_onnx_call *call, uint32_t index, int64_t groups,
                                       int64_t each) {
    const int64_t column[] = {groups, 1}, table[] = {groups, each}, flat[] = {groups * each};
    norn_value *in[2] = {call->in[index], NULL}, *out;
    NORN_TRY(norn_upgrade_ints(call, column, 2, false, &in[1]));
    NORN_TRY(norn_call_emit(call, "Reshape", in, 2, NULL, 0, NULL, &out, 1));
    in[0] = out;
    NORN_TRY(norn_upgrade_ints(call, table, 2, false, &in[1]));
    NORN_TRY(norn_call_emit(call, "Expand", in, 2, NULL, 0, NULL, &out, 1));
    in[0] = out;
    NORN_TRY(norn_upgrade_ints(call, flat, 1, false, &in[1]));
    return norn_call_emit(call, "Reshape", in, 2, NULL, 0, NULL, &call->in[index], 1);
}

/// Opset 18 had scale and bias for each group; since 21 they are for each channel.
norn_status norn_upgrade_group_norm(norn_onnx_call *call) {
    int64_t groups = norn_attr_i64(norn_call_attrs(call), "num_groups", 0);
    const norn_value *x = call->in_count == 3 ? call->in[0] : NULL;
    if (!x || !call->in[1] || !call->in[2] || groups < 1) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (GroupNormalization) is malformed",
                         call->name);
    }
    if (x->shape.rank < 2 || !norn_dim_is_const(x->shape.dims[1])) {
        return norn_fail(NORN_UNIMPLEMENTED,
                         "node '%s' (GroupNormalization): opset 18 needs a fixed number of "
                         "channels; export with opset 21",
                         call->name);
    }
    int64_t channels = x->shape.dims[1].constant;
    if (channels < groups || channels % groups != 0) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s' (GroupNormalization): %lld channel%s in %lld group%s",
                         call->name, (long long)channels, norn_plural(channels), (long long)groups,
                         norn_plural(groups));
    }
    NORN_TRY(repeat_for_channels(call, 1, groups, channels / groups));
    return repeat_for_channels(call, 2, groups, channels / groups);
}
