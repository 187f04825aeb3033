/// Operands as plain arrays of one type, for kernels that compute in that type whatever comes.
///
/// A view that has the type already is used where it lies; others are converted into scratch.
#ifndef NORN_CPU_OPERAND_H
#define NORN_CPU_OPERAND_H

#include "cpu/cpu_kernel.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

norn_status norn_operand_f32(norn_call *call, const norn_view *view,
                             const float **out) NORN_NODISCARD;
norn_status norn_operand_f64(norn_call *call, const norn_view *view,
                             const double **out) NORN_NODISCARD;
norn_status norn_operand_i64(norn_call *call, const norn_view *view,
                             const int64_t **out) NORN_NODISCARD;
/// Input `index`; *out NULL when the call does not have it.
norn_status norn_input_f32(norn_call *call, uint32_t index, const float **out) NORN_NODISCARD;
norn_status norn_input_f64(norn_call *call, uint32_t index, const double **out) NORN_NODISCARD;
norn_status norn_input_i64(norn_call *call, uint32_t index, const int64_t **out) NORN_NODISCARD;

/// Room to compute output `index` in float or double; finish with norn_result_* which converts when
/// the output has another type. *out NULL when nobody reads the output.
norn_status norn_output_f32(norn_call *call, uint32_t index, float **out) NORN_NODISCARD;
norn_status norn_output_f64(norn_call *call, uint32_t index, double **out) NORN_NODISCARD;
void norn_result_f32(norn_call *call, uint32_t index, const float *values);
void norn_result_f64(norn_call *call, uint32_t index, const double *values);

static inline bool norn_call_has(const norn_call *call, uint32_t index) {
    return index < call->in_count && norn_view_present(&call->in[index]);
}
static inline bool norn_call_wants(const norn_call *call, uint32_t index) {
    return index < call->out_count && norn_view_present(&call->out[index]);
}
/// Axis attribute in [0, rank); shape functions have checked that it is inside.
static inline int32_t norn_call_axis(const norn_call *call, int64_t fallback, int32_t rank) {
    int64_t axis = norn_attr_i64(call->attrs, "axis", fallback);
    return (int32_t)(axis < 0 ? axis + rank : axis);
}
/// Inputs [first, end) are one number each, where they are given; a misfit else.
norn_status norn_call_numbers(const norn_call *call, uint32_t first, uint32_t end) NORN_NODISCARD;
/// UNIMPLEMENTED for a type.
norn_status norn_call_refuse(norn_dtype dtype) NORN_NODISCARD;

#endif
