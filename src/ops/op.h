/// The operator table: enum, rows, look-up; and the scalar form of pointwise operators.
#ifndef NORN_OPS_OP_H
#define NORN_OPS_OP_H

#include "graph/graph.h"

typedef enum norn_op_id {
    NORN_OP_NONE = 0,
#define NORN_OP(name, domain, since, flags, shape, cost, cpu, cuda) NORN_OP_##name,
#include "ops/op_table.inc"
#undef NORN_OP
    NORN_OP_COUNT
} norn_op_id;

const norn_op_info *norn_op_info_of(norn_op_id op); ///< never NULL for a valid id
/// NULL if Norn does not have it. Domain "ai.onnx" is "".
const norn_op_info *norn_op_find(const char *domain, const char *name);

/// INVALID_ARGUMENT when a text attribute is none of the words that the operator knows
/// (attr_choices.inc).
norn_status norn_op_check_choices(const norn_op_info *op, const char *node,
                                  norn_attrs attrs) NORN_NODISCARD;

// ---- shape functions: one family a file (shape_*.c), declared here from the table
#define NORN_OP(name, domain, since, flags, shape, cost, cpu, cuda)                         \
    norn_status shape(norn_shape_ctx *ctx);                                                 \
    void cost(norn_attrs attrs, const void *region, const norn_view *in, uint32_t in_count, \
              const norn_view *out, uint32_t out_count, norn_cost *result);
#include "ops/op_table.inc"
#undef NORN_OP

// ---- pointwise operators as scalar programs

/// Builds a scalar program. Arrays grow in `arena`; INVALID_ARGUMENT (not fatal to a caller that
/// fuses: it stops there) when the maxima of region.h are passed.
typedef struct norn_scalar_builder {
    norn_arena *arena;
    uint32_t load_count, instr_count;
    norn_scalar_load loads[NORN_SCALAR_LOAD_MAX];
    norn_scalar_instr instrs[NORN_SCALAR_INSTR_MAX];
} norn_scalar_builder;

/// What an element of `dtype` is kept in: the type itself, F32 for half types, NONE for types that
/// have no scalar form (strings, 8-bit floats and smaller, complex). A LOAD converts to it. A CAST
/// to a half type rounds to it; the register then holds the rounded value, and a CAST to F32
/// follows before its next use.
norn_dtype norn_scalar_register_dtype(norn_dtype dtype);

norn_status norn_scalar_emit(norn_scalar_builder *builder, norn_scalar_op op, norn_dtype dtype,
                             uint16_t a, uint16_t b, uint16_t c, uint16_t *reg) NORN_NODISCARD;
norn_status norn_scalar_const(norn_scalar_builder *builder, norn_dtype dtype, double f64,
                              int64_t i64, uint16_t *reg) NORN_NODISCARD;
norn_status norn_scalar_load_of(norn_scalar_builder *builder, const norn_scalar_load *load,
                                uint16_t *reg) NORN_NODISCARD;
/// Emit ONNX pointwise node `node` (any operator flagged NORN_OP_POINTWISE: Add, Relu, Gelu, Where,
/// Clip, PRelu, Cast, …) given a register for each of its inputs (0xffff: omitted).
/// Half types compute in float and round after every node, so that fused and unfused work agree to
/// the bit. UNIMPLEMENTED for dtypes that have no scalar form (strings).
norn_status norn_scalar_emit_node(norn_scalar_builder *builder, const norn_op_info *op,
                                  norn_attrs attrs, const norn_dtype *in_dtypes,
                                  const uint16_t *in_regs, uint32_t in_count, norn_dtype out_dtype,
                                  uint16_t *reg) NORN_NODISCARD;
norn_status norn_scalar_finish(norn_scalar_builder *builder, const uint16_t *stores,
                               uint32_t store_count, norn_scalar_program *out) NORN_NODISCARD;
/// A constant that a program holds instead of loading it: one element, of a type that a CONST can
/// hold exactly. An operator may have a better form for a constant operand (Pow), so whoever builds
/// a program must ask this, or folding and running would differ.
bool norn_scalar_is_const(const norn_view *view);
norn_status norn_scalar_const_of(norn_scalar_builder *builder, const norn_view *view,
                                 uint16_t *reg) NORN_NODISCARD;
/// One pointwise node as a region of its own; operand i is the node's input i,
/// its broadcasts follow from the shapes of `in` and `out` (dims and dtype set).
/// For the constant folder and for tests.
norn_status norn_scalar_single(norn_arena *arena, const norn_op_info *op, norn_attrs attrs,
                               const norn_view *in, uint32_t in_count, const norn_view *out,
                               norn_pointwise_region *region) NORN_NODISCARD;
/// What a Reduce* operator of float32 is as a RowReduce region: f(x) (MUL: x * x)
/// before and after a reduction; LOAD: nothing. False: it has no such form
/// (ReduceLogSumExp, which must not overflow).
typedef struct norn_reduce_form {
    norn_reduce_kind kind;
    norn_scalar_op before, after;
} norn_reduce_form;
bool norn_reduce_form_of(norn_op_id op, norn_reduce_form *out);
/// Checks a program from a plan file: every index in range, dtypes consistent.
norn_status norn_scalar_verify(const norn_scalar_program *program, uint32_t input_count,
                               uint32_t output_count) NORN_NODISCARD;

#endif
