/// A scalar program compiled to loops over tiles that fit the first-level cache: how the CPU runs
/// Pointwise regions, the epilogues of GEMMs and the two ends of a RowReduce.
///
/// Compiling takes well under a microsecond and allocates nothing, so kernels do it for every call.
#ifndef NORN_CPU_TILE_PROGRAM_H
#define NORN_CPU_TILE_PROGRAM_H

#include "base/status.h"
#include "cpu/micro/tile_op.h"
#include "graph/region.h"

/// Registers: one for each instruction, and one more for each conversion that takes two steps.
enum { NORN_TILE_REGISTER_MAX = NORN_SCALAR_INSTR_MAX + 2 * NORN_SCALAR_LOAD_MAX };

typedef enum norn_tile_kind {
    NORN_TILE_CONST,
    NORN_TILE_LOAD, ///< read in place when the operand's rows are contiguous, else gathered
    NORN_TILE_COMPUTE,
} norn_tile_kind;

typedef struct norn_tile_register {
    norn_tile_fn fn; ///< COMPUTE
    uint64_t value;  ///< CONST: the element's bytes
    uint16_t in[3];  ///< COMPUTE: earlier registers; unused ones repeat in[0]
    uint16_t slot;   ///< where a tile of it is kept
    uint8_t kind;    ///< norn_tile_kind
    uint8_t in_count;
    uint8_t size; ///< bytes of an element
    uint8_t dtype;
    uint16_t load; ///< LOAD: index into the plane's loads
    int16_t store; ///< COMPUTE: the output that the loop may write in place, or -1
} norn_tile_register;

typedef struct norn_tile_program {
    uint32_t register_count, load_count, store_count, slot_count;
    int64_t tile_elems; ///< of a full tile
    int64_t slot_bytes;
    norn_tile_register registers[NORN_TILE_REGISTER_MAX];
    uint16_t stores[NORN_SCALAR_STORE_MAX];
    norn_tile_fn store_fn[NORN_SCALAR_STORE_MAX]; ///< conversion (or copy) to the output's dtype
    uint8_t store_size[NORN_SCALAR_STORE_MAX];
} norn_tile_program;

/// Operand or result over a plane: element (r, c) is at data + r * row_bytes + c * column_bytes.
typedef struct norn_tile_access {
    char *data;
    int64_t row_bytes, column_bytes; ///< 0 where a load repeats
} norn_tile_access;

typedef struct norn_tile_plane {
    int64_t rows, columns;
    norn_tile_access loads[NORN_SCALAR_LOAD_MAX];
    norn_tile_access stores[NORN_SCALAR_STORE_MAX];
} norn_tile_plane;

/// `store_dtypes[i]`: dtype of output i.
/// Errors   UNIMPLEMENTED: an operation that the CPU has not for its dtype, named with `name`;
///          INVALID_ARGUMENT: a program past the maxima.
norn_status norn_tile_compile(norn_tile_program *out, const norn_scalar_program *source,
                              norn_isa isa, const norn_dtype *store_dtypes,
                              const char *name) NORN_NODISCARD;

/// Run over a plane on the calling thread. An output may be the memory of a load with the same
/// strides, if the program has one store; other overlap is not allowed.
void norn_tile_run(const norn_tile_program *program, const norn_tile_plane *plane);

/// Byte strides of an operand over loop dims: 0 where it repeats. `element_bytes` as in memory.
void norn_tile_strides(const norn_scalar_load *load, int32_t rank, const int64_t *dims,
                       int64_t element_bytes, int64_t *strides);

#endif
