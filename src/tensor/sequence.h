/// Sequences and optionals in memory: one block of bytes without pointers, so that a sequence is
/// copied, carried by a Loop and kept in the pool like the bytes of a tensor.
///
///     header   bytes of all, how many tensors, whether an optional has its element
///     entries  dtype, shape and place of each tensor
///     tensors  each at a multiple of 64 bytes
///
/// The view of such a value has rank 1 and its dim counts the bytes. An optional tensor
/// is a sequence of one or none; an optional sequence is a sequence that may be absent.
#ifndef NORN_TENSOR_SEQUENCE_H
#define NORN_TENSOR_SEQUENCE_H

#include "norn/tensor.h"
#include "tensor/view.h"

enum { NORN_SEQUENCE_MAX = 1 << 24 }; ///< tensors in one

typedef struct norn_sequence {
    const void *block; ///< borrowed
    uint32_t count;
    bool present; ///< false: an optional without its element
} norn_sequence;

/// Read a value. Its bytes may be anybody's: everything is checked once, here.
/// Errors   INVALID_ARGUMENT: not a sequence, or not of the view's element type
norn_status norn_sequence_open(const norn_view *value, norn_sequence *out) NORN_NODISCARD;
/// Tensor `index` < count; its data points into the block.
norn_view norn_sequence_at(const norn_sequence *sequence, uint32_t index);

/// Bytes that these tensors take as a value.
/// Errors   RESOURCE_EXHAUSTED: too many, or too large
norn_status norn_sequence_bytes(const norn_view *tensors, uint32_t count,
                                size_t *out) NORN_NODISCARD;
/// Write the value into memory of that many bytes, 16-byte aligned.
void norn_sequence_write(void *block, const norn_view *tensors, uint32_t count, bool present);

#endif
