/// The equation of an Einsum, for its shape function and its kernel.
///
/// Source   https://numpy.org/doc/stable/reference/generated/numpy.einsum.html
#ifndef NORN_OPS_EINSUM_H
#define NORN_OPS_EINSUM_H

#include "base/status.h"
#include "norn/tensor.h"

enum { NORN_EINSUM_INPUT_MAX = 64, NORN_EINSUM_INDEX_MAX = 60 }; ///< every letter, and an ellipsis

/// Every subscript letter and every dimension of the ellipsis is an index, numbered from 0.
typedef struct norn_einsum {
    int32_t index_count;
    uint8_t in[NORN_EINSUM_INPUT_MAX][NORN_MAX_RANK]; ///< index of each dim of each input
    uint8_t out[NORN_MAX_RANK];
    int32_t out_rank;
} norn_einsum;

/// Errors   INVALID_ARGUMENT: what is wrong with the equation.
norn_status norn_einsum_parse(const char *equation, const int32_t *ranks, uint32_t inputs,
                              norn_einsum *out) NORN_NODISCARD;

#endif
