/// From the form of an operator in the model's opset to the newest one, which the IR holds.
///
/// Source   https://github.com/onnx/onnx/blob/main/docs/Changelog.md
#ifndef NORN_ONNX_UPGRADE_H
#define NORN_ONNX_UPGRADE_H

#include "onnx/importer.h"

/// Errors   UNIMPLEMENTED: a form that has no equal in the newest opset.
norn_status norn_upgrade(norn_onnx_call *call) NORN_NODISCARD;

// ---- what upgrades are made of (upgrade.c)
const norn_attr *norn_upgrade_attr(const norn_onnx_call *call, const char *name);
void norn_upgrade_drop(norn_onnx_call *call, const char *name);
/// name, value: static.
void norn_upgrade_set_i64(norn_onnx_call *call, const char *name, int64_t value);
void norn_upgrade_set_text(norn_onnx_call *call, const char *name, const char *value);
void norn_upgrade_set_input(norn_onnx_call *call, uint32_t index, norn_value *value);
/// Int64 constant of rank 1 (or 0 when `scalar`).
norn_status norn_upgrade_ints(norn_onnx_call *call, const int64_t *values, uint32_t count,
                              bool scalar, norn_value **out) NORN_NODISCARD;
/// A scalar of input 0's type.
norn_status norn_upgrade_scalar_like(norn_onnx_call *call, double value,
                                     norn_value **out) NORN_NODISCARD;
/// The INTS or INT attribute `name` becomes input `index`; nothing happens without the attribute.
norn_status norn_upgrade_attr_to_input(norn_onnx_call *call, const char *name,
                                       uint32_t index) NORN_NODISCARD;

// ---- one family a file
norn_status norn_upgrade_axes(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_split(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_num_outputs(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_slice(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_pad(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_clip(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_top_k(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_dropout(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_softmax(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_batch_norm(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_group_norm(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_resize(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_upsample(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_grid_sample(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_roi_align(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_scatter(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_dft(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_variadic(norn_onnx_call *call) NORN_NODISCARD;
norn_status norn_upgrade_scan(norn_onnx_call *call) NORN_NODISCARD;

#endif
