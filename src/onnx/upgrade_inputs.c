/// Attributes that became inputs.
#include "onnx/upgrade.h"

#include <float.h>
#include <string.h>

norn_status norn_upgrade_axes(norn_onnx_call *call) {
    return norn_upgrade_attr_to_input(call, "axes", 1);
}

norn_status norn_upgrade_split(norn_onnx_call *call) {
    return norn_upgrade_attr_to_input(call, "split", 1);
}

/// Since 18 an even split says how many parts it makes; the last one may be
/// smaller, which it must not be before.
norn_status norn_upgrade_num_outputs(norn_onnx_call *call) {
    bool explicit_sizes = call->in_count > 1 && call->in[1];
    if (explicit_sizes) return NORN_OK;
    norn_upgrade_set_i64(call, "num_outputs", call->out_count);
    norn_upgrade_set_i64(call, "norn_equal", 1);
    return NORN_OK;
}

/// Slice(data; starts, ends, axes) -> Slice(data, starts, ends, axes)
norn_status norn_upgrade_slice(norn_onnx_call *call) {
    if (!norn_upgrade_attr(call, "starts") || !norn_upgrade_attr(call, "ends")) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s' (Slice) needs the attributes starts and ends", call->name);
    }
    NORN_TRY(norn_upgrade_attr_to_input(call, "starts", 1));
    NORN_TRY(norn_upgrade_attr_to_input(call, "ends", 2));
    return norn_upgrade_attr_to_input(call, "axes", 3);
}

/// Pad(data; pads, value) -> Pad(data, pads, value)
norn_status norn_upgrade_pad(norn_onnx_call *call) {
    norn_value *value;
    float fill = norn_attr_f32(norn_call_attrs(call), "value", 0);
    if (!norn_upgrade_attr(call, "pads")) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (Pad) needs the attribute pads",
                         call->name);
    }
    NORN_TRY(norn_upgrade_attr_to_input(call, "pads", 1));
    NORN_TRY(norn_upgrade_scalar_like(call, (double)fill, &value));
    norn_upgrade_drop(call, "value");
    norn_upgrade_set_input(call, 2, value);
    return NORN_OK;
}

/// Clip(x; min, max) -> Clip(x, min, max). A bound that is not there is no bound.
norn_status norn_upgrade_clip(norn_onnx_call *call) {
    static const char *const names[] = {"min", "max"};
    for (uint32_t i = 0; i < 2; i++) {
        norn_value *value;
        const norn_attr *attr = norn_upgrade_attr(call, names[i]);
        if (!attr) continue;
        float bound = norn_attr_f32(norn_call_attrs(call), names[i], i ? FLT_MAX : -FLT_MAX);
        NORN_TRY(norn_upgrade_scalar_like(call, (double)bound, &value));
        norn_upgrade_drop(call, names[i]);
        norn_upgrade_set_input(call, i + 1, value);
    }
    return NORN_OK;
}

norn_status norn_upgrade_top_k(norn_onnx_call *call) {
    if (!norn_upgrade_attr(call, "k")) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (TopK) needs the attribute k",
                         call->name);
    }
    return norn_upgrade_attr_to_input(call, "k", 1);
}

/// Nothing is dropped while scoring, so the ratio does not matter.
norn_status norn_upgrade_dropout(norn_onnx_call *call) {
    norn_upgrade_drop(call, "ratio");
    return NORN_OK;
}

norn_status norn_upgrade_dft(norn_onnx_call *call) {
    norn_value *axis;
    int64_t value = norn_attr_i64(norn_call_attrs(call), "axis", 1);
    norn_upgrade_drop(call, "axis");
    NORN_TRY(norn_upgrade_ints(call, &value, 1, true, &axis));
    norn_upgrade_set_input(call, 2, axis);
    return NORN_OK;
}
