/// Loops of one scalar operation over a tile: what a compiled scalar program calls.
///
/// `in[0..2]` are the operands a, b, c. An operand of step 0 is one element that repeats.
/// `out` may be the very memory of an operand, never a shifted part of it.
/// Any n >= 0; no alignment is needed.
#ifndef NORN_CPU_MICRO_TILE_OP_H
#define NORN_CPU_MICRO_TILE_OP_H

#include "cpu/isa.h"
#include "graph/region.h"

typedef struct norn_tile_operand {
    const void *data;
    int64_t step; ///< 0 or 1 elements
} norn_tile_operand;

typedef void (*norn_tile_fn)(void *out, const norn_tile_operand *in, int64_t n);

/// The loop for `op` with operands of `from` (SELECT: of the chosen values)
/// and a result of `to`; NULL when there is none. The scalar one is the reference;
/// variants exist for what is hot in float32.
norn_tile_fn norn_tile_op(norn_isa isa, norn_scalar_op op, norn_dtype from, norn_dtype to);
norn_tile_fn norn_tile_op_scalar(norn_scalar_op op, norn_dtype from, norn_dtype to);
norn_tile_fn norn_tile_cast(norn_dtype from, norn_dtype to);

/// Float32 variants, NULL where the reference serves. In 2^-24 relative steps (ulp) of the result
/// over the whole range: EXP 2, LOG 2, TANH 3, ERF 3, SIGMOID 4; subnormal results of EXP are kept,
/// those of SIGMOID become 0.
norn_tile_fn norn_tile_f32__avx2(norn_scalar_op op);
norn_tile_fn norn_tile_f32__avx512(norn_scalar_op op);

#endif
