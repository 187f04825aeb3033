/// Inputs and outputs of a case as onnx's runner writes them: TensorProto, SequenceProto and
/// OptionalProto, read into what an instance takes and gives.
#ifndef NORN_CONFORMANCE_CASE_VALUE_H
#define NORN_CONFORMANCE_CASE_VALUE_H

#include "base/arena.h"
#include "base/span.h"
#include "norn/tensor.h"

#include <stdbool.h>

/// `dtype` is the port's: it tells what kind of message `bytes` are. Maps are UNIMPLEMENTED.
norn_status case_value_read(norn_span bytes, norn_dtype dtype, norn_arena *arena,
                            norn_view *out) NORN_NODISCARD;

/// As numpy.testing.assert_allclose: |got - want| <= atol + rtol |want|, NaN equals NaN; integers, bools and strings are
/// exact. Of tensors; *error becomes the largest difference of numbers where that is more.
typedef struct case_tolerance {
    double rtol, atol;
} case_tolerance;
bool case_value_same(const norn_view *got, const norn_view *want, int64_t element,
                     case_tolerance tolerance, double *error);
/// Type, shape and every element.
bool case_tensor_same(const norn_view *got, const norn_view *want, case_tolerance tolerance);

#endif
