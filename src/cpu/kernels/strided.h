/// Copies between strided arrays of elements of any size: what operators
/// that only move data come down to.
///
/// Strides are in elements and may be 0 (repeat) or negative on the source side.
#ifndef NORN_CPU_STRIDED_H
#define NORN_CPU_STRIDED_H

#include "base/thread.h"
#include "kernel/call.h"

typedef struct norn_strided {
    int32_t rank;
    int64_t dims[NORN_MAX_RANK + 4];
    int64_t from[NORN_MAX_RANK + 4], to[NORN_MAX_RANK + 4]; ///< strides
} norn_strided;

/// Appends a dimension; call from the outermost to the innermost.
static inline void norn_strided_push(norn_strided *shape, int64_t dim, int64_t from, int64_t to) {
    shape->dims[shape->rank] = dim;
    shape->from[shape->rank] = from;
    shape->to[shape->rank] = to;
    shape->rank++;
}

/// `size`: bytes of an element. The two must not overlap.
void norn_strided_copy(norn_pool *pool, void *to, const void *from, size_t size,
                       const norn_strided *shape);

/// Dense strides of `dims`.
void norn_strided_dense(int32_t rank, const int64_t *dims, int64_t *strides);

/// Views with elements of at least a byte: packed types (int4 …) are spread to a byte an element in
/// scratch first, and gathered again after.
norn_status norn_unpack(norn_call *call, const norn_view *view, norn_view *out) NORN_NODISCARD;
/// A byte-an-element stand-in for a packed output, or the output itself.
norn_status norn_unpack_output(norn_call *call, const norn_view *view,
                               norn_view *out) NORN_NODISCARD;
void norn_pack(const norn_view *unpacked, const norn_view *view); ///< does nothing for plain types
static inline size_t norn_view_element_bytes(const norn_view *view);

#include "tensor/dtype.h"
static inline size_t norn_view_element_bytes(const norn_view *view) {
    return norn_dtype_bits(view->dtype) / 8;
}

#endif
