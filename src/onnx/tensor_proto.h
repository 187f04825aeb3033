/// onnx.TensorProto and onnx.SparseTensorProto: decoded into views.
///
/// Source   https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
#ifndef NORN_ONNX_TENSOR_PROTO_H
#define NORN_ONNX_TENSOR_PROTO_H

#include "base/arena.h"
#include "base/span.h"
#include "norn/tensor.h"

/// Finds the bytes of a tensor that lie in another file. NULL: external data is refused.
/// `location` is as the file says: not yet checked for where it leads.
typedef struct norn_external_source {
    norn_status (*find)(void *context, const char *location, uint64_t offset, bool has_length,
                        uint64_t length, norn_span *out);
    void *context;
} norn_external_source;

/// Raw data is aliased where it is aligned for its type; all else is copied into the arena.
/// *name (may be NULL) gets the tensor's name, in the arena.
/// Errors   INVALID_ARGUMENT names the tensor and what is wrong with it. UNIMPLEMENTED:
///          segments, and a SequenceProto, OptionalProto or MapProto where a tensor
///          is expected (as far as it shows).
norn_status norn_tensor_proto_decode(norn_span bytes, const norn_external_source *external,
                                     norn_arena *arena, norn_view *out,
                                     const char **name) NORN_NODISCARD;

/// A sparse tensor as a dense one. At most 64 MiB: INVALID_ARGUMENT above that.
norn_status norn_sparse_tensor_proto_decode(norn_span bytes, const norn_external_source *external,
                                            norn_arena *arena, norn_view *out,
                                            const char **name) NORN_NODISCARD;

#endif
