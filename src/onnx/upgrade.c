#include "onnx/upgrade.h"

#include "tensor/dtype.h"

#include <string.h>

static const struct {
    const char *op_type;
    int64_t below; ///< opsets under this one need it
    norn_status (*upgrade)(norn_onnx_call *call);
} upgrades[] = {
    {"Squeeze", 13, norn_upgrade_axes},
    {"Unsqueeze", 13, norn_upgrade_axes},
    {"ReduceSum", 13, norn_upgrade_axes},
    {"ReduceMean", 18, norn_upgrade_axes},
    {"ReduceMax", 18, norn_upgrade_axes},
    {"ReduceMin", 18, norn_upgrade_axes},
    {"ReduceProd", 18, norn_upgrade_axes},
    {"ReduceL1", 18, norn_upgrade_axes},
    {"ReduceL2", 18, norn_upgrade_axes},
    {"ReduceLogSum", 18, norn_upgrade_axes},
    {"ReduceLogSumExp", 18, norn_upgrade_axes},
    {"ReduceSumSquare", 18, norn_upgrade_axes},
    {"Split", 13, norn_upgrade_split},
    {"Split", 18, norn_upgrade_num_outputs},
    {"Slice", 10, norn_upgrade_slice},
    {"Pad", 11, norn_upgrade_pad},
    {"Clip", 11, norn_upgrade_clip},
    {"TopK", 10, norn_upgrade_top_k},
    {"Dropout", 12, norn_upgrade_dropout},
    {"Softmax", 13, norn_upgrade_softmax},
    {"LogSoftmax", 13, norn_upgrade_softmax},
    {"Hardmax", 13, norn_upgrade_softmax},
    {"BatchNormalization", 14, norn_upgrade_batch_norm},
    {"GroupNormalization", 21, norn_upgrade_group_norm},
    {"Upsample", NORN_ONNX_OPSET_MAX + 1, norn_upgrade_upsample},
    {"Resize", 11, norn_upgrade_resize},
    {"GridSample", 20, norn_upgrade_grid_sample},
    {"RoiAlign", 16, norn_upgrade_roi_align},
    {"Scatter", NORN_ONNX_OPSET_MAX + 1, norn_upgrade_scatter},
    {"DFT", 20, norn_upgrade_dft},
    {"Scan", 9, norn_upgrade_scan},
    {"Sum", NORN_ONNX_OPSET_MAX + 1, norn_upgrade_variadic},
    {"Max", NORN_ONNX_OPSET_MAX + 1, norn_upgrade_variadic},
    {"Min", NORN_ONNX_OPSET_MAX + 1, norn_upgrade_variadic},
    {"Mean", NORN_ONNX_OPSET_MAX + 1, norn_upgrade_variadic},
};

norn_status norn_upgrade(norn_onnx_call *call) {
    const char *op_type = call->op_type; // an upgrade may rename
    if (*call->domain) return NORN_OK;
    for (size_t i = 0; i < sizeof upgrades / sizeof *upgrades && !call->done; i++) {
        if (call->opset < upgrades[i].below && strcmp(op_type, upgrades[i].op_type) == 0) {
            NORN_TRY(upgrades[i].upgrade(call));
        }
    }
    return NORN_OK;
}

const norn_attr *norn_upgrade_attr(const norn_onnx_call *call, const char *name) {
    return norn_attr_find(norn_call_attrs(call), name);
}

void norn_upgrade_drop(norn_onnx_call *call, const char *name) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < call->attr_count; i++) {
        if (strcmp(call->attrs[i].name, name) != 0) call->attrs[kept++] = call->attrs[i];
    }
    call->attr_count = kept;
}

static void set_attr(norn_onnx_call *call, norn_attr attr) {
    norn_upgrade_drop(call, attr.name);
    call->attrs[call->attr_count++] = attr;
}

void norn_upgrade_set_i64(norn_onnx_call *call, const char *name, int64_t value) {
    set_attr(call, (norn_attr){.name = name, .kind = NORN_ATTR_INT, .i64 = value});
}

void norn_upgrade_set_text(norn_onnx_call *call, const char *name, const char *value) {
    set_attr(call,
             (norn_attr){.name = name, .kind = NORN_ATTR_STRING, .string = {value, strlen(value)}});
}

void norn_upgrade_set_input(norn_onnx_call *call, uint32_t index, norn_value *value) {
    while (call->in_count <= index) call->in[call->in_count++] = NULL;
    call->in[index] = value;
}

norn_status norn_upgrade_ints(norn_onnx_call *call, const int64_t *values, uint32_t count,
                              bool scalar, norn_value **out) {
    norn_graph *graph = call->scope->graph;
    norn_view view = {.dtype = NORN_I64, .rank = scalar ? 0 : 1, .dims = {count}};
    NORN_TRY(norn_arena_take(&graph->arena, count, sizeof *values, 64, &view.data));
    if (count) memcpy(view.data, values, count * sizeof *values);
    return norn_graph_constant(graph, NULL, &view, out);
}

norn_status norn_upgrade_scalar_like(norn_onnx_call *call, double value, norn_value **out) {
    norn_graph *graph = call->scope->graph;
    const norn_value *like = call->in_count ? call->in[0] : NULL;
    if (!like) return norn_fail(NORN_INVALID_ARGUMENT, "node '%s': input 0 is missing", call->name);
    if (!norn_dtype_is_float(like->dtype) && !norn_dtype_is_integer(like->dtype)) {
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s': input 0 is %s, not a number",
                         call->name, norn_dtype_name(like->dtype));
    }
    norn_view view = {.dtype = like->dtype, .rank = 0};
    NORN_TRY(norn_arena_take(&graph->arena, 1, 16, 64, &view.data));
    norn_element_set_f64(view.dtype, view.data, 0, value);
    return norn_graph_constant(graph, NULL, &view, out);
}

norn_status norn_upgrade_attr_to_input(norn_onnx_call *call, const char *name, uint32_t index) {
    const norn_attr *attr = norn_upgrade_attr(call, name);
    norn_value *value;
    if (!attr) return NORN_OK;
    if (attr->kind != NORN_ATTR_INT && attr->kind != NORN_ATTR_INTS) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s' (%s): attribute '%s' is not a list of integers", call->name,
                         call->op_type, name);
    }
    bool one = attr->kind == NORN_ATTR_INT;
    NORN_TRY(norn_upgrade_ints(call, one ? &attr->i64 : attr->ints, one ? 1 : attr->count, false,
                               &value));
    norn_upgrade_drop(call, name);
    if (call->in_count > index + 1) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s' (%s) has %u input%s, too many for its opset", call->name,
                         call->op_type, call->in_count, norn_plural(call->in_count));
    }
    norn_upgrade_set_input(call, index, value);
    return NORN_OK;
}
