/// Field numbers of the graph section, shared by encoder and decoder. Never reuse one: raise
/// NORN_GRAPH_FILE_VERSION when a meaning changes.
#ifndef NORN_GRAPH_GRAPH_FIELDS_H
#define NORN_GRAPH_GRAPH_FIELDS_H

#include "graph/graph_file.h"

enum {
    GRAPH_VERSION = 1,
    GRAPH_NAME,
    GRAPH_SYMBOL,
    GRAPH_BATCH,
    GRAPH_VALUE,
    GRAPH_INPUT,
    GRAPH_OUTPUT,
    GRAPH_NODE,
    GRAPH_PATH
};
enum { DIM_CONSTANT = 1, DIM_COEF, DIM_SYMBOL };
enum {
    SYMBOL_KIND = 1,
    SYMBOL_NAME,
    SYMBOL_OP,
    SYMBOL_A,
    SYMBOL_B,
    SYMBOL_MIN,
    SYMBOL_OPT,
    SYMBOL_MAX
};
enum {
    VALUE_NAME = 1,
    VALUE_DTYPE,
    VALUE_RANK_PLUS_1,
    VALUE_DIM,
    VALUE_CONTENTS,
    VALUE_DATA,
    VALUE_FALLBACK
};
enum { OUTPUT_VALUE = 1, OUTPUT_NAME, OUTPUT_SQUEEZED };
enum {
    NODE_DOMAIN = 1,
    NODE_OP,
    NODE_NAME,
    NODE_IN,
    NODE_OUT,
    NODE_ATTR,
    NODE_REGION,
    NODE_ORIGIN,
    NODE_PLACE,
    NODE_NUMBERS
};
enum { NUMBERS_A = 1, NUMBERS_B, NUMBERS_ACC, NUMBERS_OUT, NUMBERS_TF32 };
enum {
    ATTR_NAME = 1,
    ATTR_KIND,
    ATTR_I64,
    ATTR_F32,
    ATTR_STRING,
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSOR,
    ATTR_GRAPH
};
enum { TENSOR_DTYPE = 1, TENSOR_DIMS, TENSOR_OFFSET, TENSOR_BYTES, TENSOR_STRING };
enum { PROGRAM_LOAD = 1, PROGRAM_INSTR, PROGRAM_STORES };
enum { LOAD_INPUT = 1, LOAD_DTYPE, LOAD_BROADCAST, LOAD_DYNAMIC };
enum { INSTR_OP = 1, INSTR_DTYPE, INSTR_A, INSTR_B, INSTR_C, INSTR_LOAD, INSTR_F64, INSTR_I64 };
enum { GEMM_K = 1, GEMM_N, GEMM_B_LAYOUT, GEMM_EPILOGUE, GEMM_OUT };
enum { POINTWISE_PROGRAM = 1, POINTWISE_PAD };
enum {
    REDUCE_KIND = 1,
    REDUCE_DIMS,
    REDUCE_INNER_DIMS,
    REDUCE_PROLOGUE,
    REDUCE_EPILOGUE,
    REDUCE_KEEP_DIMS
};
enum { LOOKUP_COLUMN = 1 };
enum {
    COLUMN_TABLE = 1,
    COLUMN_DIM,
    COLUMN_FORM,
    COLUMN_POOL,
    COLUMN_ROWS,
    COLUMN_KEYS,
    COLUMN_OFFSETS,
    COLUMN_WEIGHTS,
    COLUMN_FIRST,
    COLUMN_STRIDE,
    COLUMN_COUNT,
    COLUMN_WRAPS,
    COLUMN_KEY_OFFSET,
    COLUMN_OUTPUT,
    COLUMN_COLUMN,
    COLUMN_HAS_PADDING,
    COLUMN_PADDING_KEY,
    COLUMN_OUT
};
enum {
    INTERACTION_KIND = 1,
    INTERACTION_FEATURES,
    INTERACTION_DIM,
    INTERACTION_PARTS,
    INTERACTION_DIAGONAL,
    INTERACTION_UPPER,
    INTERACTION_PASS_INPUT,
    INTERACTION_PASS_THROUGH,
    INTERACTION_PAIR_COUNT,
    INTERACTION_PAIRS,
    INTERACTION_OUT,
    INTERACTION_PAD
};

void norn_region_encode(norn_region_kind kind, const norn_region *region, norn_buffer *out);
/// Checks every register, load and operand index against the node's counts.
norn_status norn_region_decode(norn_region_kind kind, norn_span message, norn_arena *arena,
                               uint32_t in_count, uint32_t out_count,
                               const norn_region **out) NORN_NODISCARD;

#endif
