/// What fusion makes: payloads of the region operators (domain "norn").
///
/// A region is immutable once built, holds no pointers into the graph but to its own parts, and
/// reads its operands by input index of its node; so it goes into the plan file as it stands.
#ifndef NORN_GRAPH_REGION_H
#define NORN_GRAPH_REGION_H

#include "base/arena.h"
#include "base/wire.h"
#include "norn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

// ---- scalar programs: the one description of pointwise work

/// Operations of a scalar program. CUDA prints them as source; the CPU runs them over tiles.
typedef enum norn_scalar_op {
#define NORN_SCALAR(name, arity, c_expression) NORN_SCALAR_##name,
#include "graph/scalar_table.inc"
#undef NORN_SCALAR
    NORN_SCALAR_COUNT
} norn_scalar_op;
const char *norn_scalar_name(uint32_t op); ///< "ADD"; "?" outside the enum
uint32_t norn_scalar_arity(uint32_t op);   ///< registers that it reads

/// How an operand of the program is read at one element of the region's loop dims.
///
/// The operand is dense over the loop dims where it does not repeat, in their order; so its strides
/// follow from `broadcast` and the sizes of the loop dims alone (its own rank may differ:
/// a [B, T, N] operand of a Gemm over loop dims {M, N}).
typedef struct norn_scalar_load {
    uint32_t input; ///< of the node; NORN_SCALAR_ACC: the accumulator of a GEMM or reduction
    norn_dtype dtype;
    bool broadcast[NORN_MAX_RANK]; ///< per loop dim of the region: true where the operand repeats
    /// Pointwise only: whether a dim repeats shows when running; go by the operand's dims, aligned
    /// at the last (numpy). A region with such a load is one operator, unfused.
    bool dynamic;
} norn_scalar_load;
enum { NORN_SCALAR_ACC = 0xffff };

/// SSA: instruction i defines register i. `a`, `b`, `c` are earlier registers.
typedef struct norn_scalar_instr {
    uint16_t op;      ///< norn_scalar_op
    norn_dtype dtype; ///< of the result: F32, F64, I64, I32, BOOL, … ; conversions are CAST
    uint16_t a, b, c;
    uint16_t load; ///< LOAD: index into loads
    double f64;    ///< CONST of a floating dtype
    int64_t i64;   ///< CONST of an integer or bool dtype
} norn_scalar_instr;

enum { NORN_SCALAR_INSTR_MAX = 256, NORN_SCALAR_LOAD_MAX = 32, NORN_SCALAR_STORE_MAX = 8 };

typedef struct norn_scalar_program {
    uint32_t load_count, instr_count, store_count;
    const norn_scalar_load *loads;
    const norn_scalar_instr *instrs;
    const uint16_t *stores; ///< register written to output i, converted to the output's dtype
} norn_scalar_program;

// ---- regions

enum { NORN_GEMM_PANEL = 16 }; ///< columns of a packed panel

/// How B of a product lies in memory.
typedef enum norn_gemm_layout {
    NORN_GEMM_ROWS,    ///< [K, N]
    NORN_GEMM_COLUMNS, ///< [N, K]
    NORN_GEMM_PANELS,  ///< CPU plans: [panels][k][NORN_GEMM_PANEL], zero-padded; any ISA reads it
    NORN_GEMM_LAYOUTS
} norn_gemm_layout;

/// Gemm: Y[.., N] = epilogue(A[.., K] * B[K, N]). Inputs: 0 A (leading dims flattened to M), 1 B,
/// then the operands of the epilogue. Its types are the node's numbers.
/// Batched products of two activations stay MatMul.
typedef struct norn_gemm_region {
    int64_t k, n;
    norn_gemm_layout b_layout;
    norn_dtype out;               ///< of Y; NONE: as A
    norn_scalar_program epilogue; ///< instr_count 0: none. Loads broadcast over loop dims {M, N}
} norn_gemm_region;

/// Pointwise: outputs all of one shape, which are the loop dims (with `pad`: less that); inputs and outputs by the program.
/// All loads may repeat in a dim (an Expand is such a program): the size comes from the outputs.
typedef struct norn_pointwise_region {
    norn_scalar_program program;
    int64_t
        pad; ///< zeros at the end of every row of the outputs; the loop's last dim is less so many
} norn_pointwise_region;

typedef enum norn_reduce_kind {
    NORN_REDUCE_SUM,
    NORN_REDUCE_MEAN,
    NORN_REDUCE_MAX,
    NORN_REDUCE_MIN,
    NORN_REDUCE_PROD,
} norn_reduce_kind;

/// RowReduce: prologue over [rows, columns], reduce columns, epilogue over rows.
/// Softmax and norms are their own operators; this covers Reduce* with fused neighbours.
/// The last `inner_dims` loop dims are kept: [outer, reduced, inner]. The prologue's loop dims are
/// the numpy broadcast of its operands' dims.
typedef struct norn_row_reduce_region {
    norn_reduce_kind kind;
    uint32_t reduced_dims; ///< how many dims, just before the last `inner_dims`, are reduced
    uint32_t inner_dims;
    bool keep_dims;               ///< the output has its reduced dims as 1
    norn_scalar_program prologue; ///< loop dims: the input's
    norn_scalar_program epilogue; ///< loop dims: the output's, not the reduced ones; ACC is the sum
} norn_row_reduce_region;

typedef enum norn_pool_mode {
    NORN_POOL_NONE,
    NORN_POOL_SUM,
    NORN_POOL_MEAN,
    NORN_POOL_MAX
} norn_pool_mode;

/// How the keys of a column come.
typedef enum norn_keys_form {
    NORN_KEYS_ONE,   ///< [B] or [B,1]: one key a row, no pooling
    NORN_KEYS_FIXED, ///< [B, n]: n keys a row; pooled, or n rows written side by side (NONE)
    NORN_KEYS_CSR,   ///< values [nnz] and offsets [B+1]
} norn_keys_form;

typedef struct norn_lookup_column {
    uint32_t table; ///< index into the plan's table names
    int64_t dim;    ///< elements a row
    norn_keys_form form;
    norn_pool_mode pool;
    /// NORN_NO_INPUT: the rows are `table`'s. Else the rows are this input, a small constant
    /// [rows, dim]: dense, a missing key is an error; `table` is unused.
    uint32_t rows_input;
    uint32_t keys_input;                   ///< node input index; int32 or int64
    uint32_t offsets_input, weights_input; ///< CSR / per-key weights; NORN_NO_INPUT when absent
    /// ONE, FIXED: row b's keys are the `keys_count` elements from
    /// keys[b * keys_stride + keys_first]: a column of a [B, F] input.
    /// keys_stride 0: dense, keys_count = elements / B (1 for ONE).
    int64_t keys_first, keys_stride, keys_count;
    bool negative_wraps; ///< ONNX Gather: key < 0 counts from the end (after key_offset is added)
    int64_t key_offset;  ///< added to the key (fields that share one table)
    bool has_padding; ///< pooled: key `padding_key`, offset and wrapped, is as if it were not there
    int64_t padding_key;
    uint32_t output; ///< node output that the column writes
    norn_dtype out;  ///< of that output, the same in all its columns; NONE: F32
    int64_t column;  ///< first element in that output's row (concat elided)
} norn_lookup_column;
#define NORN_NO_INPUT UINT32_MAX

/// Lookup: all embedding lookups of a model (or of one dependency level) at once.
/// Outputs: [B, width] each; several columns may write one output side by side. Together the
/// columns of an output cover its row. MEAN divides by the number of keys, weights or not.
typedef struct norn_lookup_region {
    uint32_t column_count;
    const norn_lookup_column *columns;
} norn_lookup_region;

typedef enum norn_interaction_kind {
    NORN_INTERACTION_DOT, ///< strict lower triangle (or with diagonal) of X X^T, X [B, F, D]
    NORN_INTERACTION_FM,  ///< 0.5 * ((sum_f x)^2 - sum_f x^2), X [B, F, D] -> [B, D]
} norn_interaction_kind;

/// Interaction. Inputs: parts of X, in order, each [B, f_i * D] or [B, f_i, D] (F is their total);
/// then, if it is not one of them, the pass-through. Output: DOT [B, pass + pairs + pad] with the first
/// `pass_through` elements of a row copied from input `pass_input`; FM [B, D].
typedef struct norn_interaction_region {
    norn_interaction_kind kind;
    int64_t features, dim;
    uint32_t part_count; ///< inputs that are parts of X
    bool diagonal;
    bool upper;          ///< order of pairs: by (i<j) row-major; else (i>j) row-major
    uint32_t pass_input; ///< NORN_NO_INPUT: none
    int64_t pass_through;
    const int32_t *pair_order; ///< NULL: as `upper` says; else [pairs][2] explicit gather order
    norn_dtype out;            ///< of the output; NONE: as the parts
    int64_t pad;               ///< DOT: zeros at the end of a row
    uint32_t pair_count;
} norn_interaction_region;

typedef struct norn_region {
    union {
        norn_gemm_region gemm;
        norn_pointwise_region pointwise;
        norn_row_reduce_region row_reduce;
        norn_lookup_region lookup;
        norn_interaction_region interaction;
    };
} norn_region;

typedef enum norn_region_kind {
    NORN_REGION_NONE,
    NORN_REGION_GEMM,
    NORN_REGION_POINTWISE,
    NORN_REGION_ROW_REDUCE,
    NORN_REGION_LOOKUP,
    NORN_REGION_INTERACTION,
} norn_region_kind;

/// Which member of norn_region a node of domain "norn" carries, by the name of its operator.
norn_region_kind norn_region_kind_of(const char *op_name);
/// A deep copy in `arena`.
norn_status norn_region_clone(norn_region_kind kind, const norn_region *region, norn_arena *arena,
                              const norn_region **out) NORN_NODISCARD;
/// Facts on one line, then a line an instruction of its programs, each with two spaces before it.
void norn_region_print(norn_region_kind kind, const norn_region *region, norn_buffer *out);

#endif
