/// Weights in a model.onnx by the names of their initializers: what is there, and the file again with
/// others in their place. Everything else of the file stays as it is, byte for byte.
#ifndef NORN_PACKAGE_MODEL_WEIGHTS_H
#define NORN_PACKAGE_MODEL_WEIGHTS_H

#include "store/log/dense_set.h"

/// Would `tensor` fit in place of an initializer of that name? `path` is a model.onnx.
/// Errors   NOT_FOUND: no such initializer; INVALID_ARGUMENT: of another type or shape
norn_status norn_model_weights_check(const char *path, const norn_dense_set *weights,
                                     norn_alloc alloc) NORN_NODISCARD;
/// Write `path` again with `weights` in it. Atomic.
/// Errors   those of the check
norn_status norn_model_weights_put(const char *path, const norn_dense_set *weights,
                                   norn_alloc alloc) NORN_NODISCARD;

#endif
