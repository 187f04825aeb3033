/// NumPy's .npy files, versions 1 to 3, C order, little-endian;
/// fortran order of rank > 1 is refused.
///
/// Source   https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef NORN_TENSOR_NPY_H
#define NORN_TENSOR_NPY_H

#include "base/file.h"
#include "norn/tensor.h"

/// The view aliases `bytes`. `name` is for messages. float8/bfloat16 come
/// as '<V1'/'<V2' and are refused.
norn_status norn_npy_decode(norn_span bytes, const char *name, norn_view *out) NORN_NODISCARD;
/// Atomic write. BF16 is written as float32.
norn_status norn_npy_write(const char *path, const norn_view *view,
                           norn_alloc alloc) NORN_NODISCARD;

#endif
