/// Resampling operators, and forms that were renamed or withdrawn.
#include "onnx/upgrade.h"

#include <string.h>

/// Resize(X, scales) of opset 10 -> Resize(X, roi, scales): it sampled at output / scale. The nearest was what
/// ONNX's own case of it and onnxruntime have: the next pixel where an axis shrinks, else the one before.
norn_status norn_upgrade_resize(norn_onnx_call *call) {
    if (call->in_count != 2) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (%s) needs the inputs X and scales",
                         call->name, call->op_type);
    }
    norn_value *scales = call->in[1];
    call->in[1] = NULL;
    norn_upgrade_set_input(call, 2, scales);
    norn_upgrade_set_text(call, "coordinate_transformation_mode", "asymmetric");
    const char *mode = norn_attr_string(norn_call_attrs(call), "mode", "nearest");
    if (strcmp(mode, "nearest") == 0) norn_upgrade_set_text(call, "nearest_mode", "norn_simple");
    if (strcmp(mode, "bilinear") == 0) norn_upgrade_set_text(call, "mode", "linear");
    return NORN_OK;
}

/// Upsample took its scales as an attribute (7), then as an input (9); Resize took over.
norn_status norn_upgrade_upsample(norn_onnx_call *call) {
    const norn_attr *scales = norn_upgrade_attr(call, "scales");
    if (scales && scales->kind == NORN_ATTR_FLOATS && call->in_count == 1) {
        norn_value *value;
        norn_view view = {.dtype = NORN_F32,
                          .rank = 1,
                          .dims = {scales->count},
                          .data = (void *)(uintptr_t)scales->floats};
        NORN_TRY(norn_graph_constant(call->scope->graph, NULL, &view, &value));
        norn_upgrade_drop(call, "scales");
        norn_upgrade_set_input(call, 1, value);
    }
    call->op_type = "Resize";
    return norn_upgrade_resize(call);
}

norn_status norn_upgrade_grid_sample(norn_onnx_call *call) {
    const char *mode = norn_attr_string(norn_call_attrs(call), "mode", "bilinear");
    if (strcmp(mode, "bilinear") == 0) norn_upgrade_set_text(call, "mode", "linear");
    if (strcmp(mode, "bicubic") == 0) norn_upgrade_set_text(call, "mode", "cubic");
    return NORN_OK;
}

/// Pixels had their corner, not their middle, at whole coordinates.
norn_status norn_upgrade_roi_align(norn_onnx_call *call) {
    norn_upgrade_set_text(call, "coordinate_transformation_mode", "output_half_pixel");
    return NORN_OK;
}

norn_status norn_upgrade_scatter(norn_onnx_call *call) {
    call->op_type = "ScatterElements";
    return NORN_OK;
}

norn_status norn_upgrade_scan(norn_onnx_call *call) {
    return norn_fail(NORN_UNIMPLEMENTED,
                     "node '%s' (Scan): the batched form of opset 8 is not implemented; export "
                     "with opset 9 or newer",
                     call->name);
}
