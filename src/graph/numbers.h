/// Which types a product multiplies, adds up and writes: stated a node, by the pass
/// assign_precision, so that kernels, the plan file and reports go by the same words.
///
/// Scales of quantised operands are operands of the epilogue, which begins with the accumulator.
#ifndef NORN_GRAPH_NUMBERS_H
#define NORN_GRAPH_NUMBERS_H

#include "norn/tensor.h"

#include <stdbool.h>

typedef struct norn_node norn_node;

typedef struct norn_numbers {
    norn_dtype a, b; ///< operands, as they lie in memory
    norn_dtype acc;  ///< sums, with which an epilogue begins; NONE: the node is no product
    norn_dtype out;  ///< result, as it is written
    bool tf32;       ///< F32 operands are rounded to ten bits of mantissa as they are multiplied
} norn_numbers;

/// What elements of `dtype` are added up in: F32 for the half types, else the type itself.
norn_dtype norn_sum_dtype(norn_dtype dtype);

/// The numbers of a NORN_OP_PRODUCT from the types of its values, multiplied exactly; all NONE for
/// other nodes.
norn_numbers norn_numbers_of(const norn_node *node);

#endif
