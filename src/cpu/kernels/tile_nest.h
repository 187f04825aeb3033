/// A loop nest of up to NORN_MAX_RANK dims over operands with byte strides, made as shallow as the
/// strides allow, and cut into planes that threads share.
#ifndef NORN_CPU_TILE_NEST_H
#define NORN_CPU_TILE_NEST_H

#include "base/thread.h"
#include "cpu/kernels/tile_program.h"

enum { NORN_NEST_OPERAND_MAX = NORN_SCALAR_LOAD_MAX + NORN_SCALAR_STORE_MAX };

typedef struct norn_tile_nest {
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    uint32_t load_count, store_count;
    char *data[NORN_NEST_OPERAND_MAX]; ///< loads, then stores
    int64_t strides[NORN_NEST_OPERAND_MAX][NORN_MAX_RANK];
} norn_tile_nest;

/// Drop dims of one and merge neighbours that every operand walks as one.
void norn_tile_nest_collapse(norn_tile_nest *nest);

/// Run `program` over the whole nest, on `pool` when there is enough work.
void norn_tile_nest_run(const norn_tile_nest *nest, const norn_tile_program *program,
                        norn_pool *pool);

/// Dims of a view as a store sees them: byte strides of `view`, its row_stride honoured.
void norn_tile_view_strides(const norn_view *view, int64_t element_bytes, int64_t *strides);

#endif
