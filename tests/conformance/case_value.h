/// Inputs and outputs of a case as onnx's runner writes them: TensorProto, SequenceProto and
/// OptionalProto, read into what an instance takes and gives.
#ifndef NORN_CONFORMANCE_CASE_VALUE_H
#define NORN_CONFORMANCE_CASE_VALUE_H

#include "base/arena.h"
#include "base/span.h"
#include "norn/tensor.h"

/// `dtype` is the port's: it tells what kind of message `bytes` are. Maps are UNIMPLEMENTED.
norn_status case_value_read(norn_span bytes, norn_dtype dtype, norn_arena *arena,
                            norn_view *out) NORN_NODISCARD;

#endif
