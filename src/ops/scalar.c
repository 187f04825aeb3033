// Building, checking and finishing scalar programs.
#include "base/status.h"
#include "ops/op.h"
#include "tensor/dtype.h"

#include <string.h>

static norn_status append(norn_scalar_builder *builder, const norn_scalar_instr *instr,
                          uint16_t *reg) {
    if (builder->instr_count == NORN_SCALAR_INSTR_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "a scalar program of more than %d instructions",
                         NORN_SCALAR_INSTR_MAX);
    *reg = (uint16_t)builder->instr_count;
    builder->instrs[builder->instr_count++] = *instr;
    return NORN_OK;
}

norn_dtype norn_scalar_register_dtype(norn_dtype dtype) {
    if (norn_dtype_is_half(dtype)) return NORN_F32;
    bool native = dtype == NORN_BOOL || dtype == NORN_F32 || dtype == NORN_F64 ||
                  (norn_dtype_is_integer(dtype) && norn_dtype_bits(dtype) >= 8);
    return native ? dtype : NORN_DTYPE_NONE;
}

norn_status norn_scalar_emit(norn_scalar_builder *builder, norn_scalar_op op, norn_dtype dtype,
                             uint16_t a, uint16_t b, uint16_t c, uint16_t *reg) {
    norn_scalar_instr instr = {.op = (uint16_t)op, .dtype = dtype, .a = a, .b = b, .c = c};
    return append(builder, &instr, reg);
}

norn_status norn_scalar_const(norn_scalar_builder *builder, norn_dtype dtype, double f64,
                              int64_t i64, uint16_t *reg) {
    dtype = norn_scalar_register_dtype(dtype);
    if (dtype == NORN_DTYPE_NONE)
        return norn_fail(NORN_UNIMPLEMENTED, "no scalar constant of this type");
    bool floating = norn_dtype_is_float(dtype);
    norn_scalar_instr instr = {.op = NORN_SCALAR_CONST,
                               .dtype = dtype,
                               .f64 = floating ? f64 : 0,
                               .i64 = floating ? 0 : i64};
    for (uint32_t i = 0; i < builder->instr_count; i++) {
        const norn_scalar_instr *old = &builder->instrs[i];
        bool same = old->op == NORN_SCALAR_CONST && old->dtype == dtype && old->i64 == instr.i64 &&
                    memcmp(&old->f64, &instr.f64, sizeof instr.f64) == 0;
        if (same) {
            *reg = (uint16_t)i;
            return NORN_OK;
        }
    }
    return append(builder, &instr, reg);
}

norn_status norn_scalar_load_of(norn_scalar_builder *builder, const norn_scalar_load *load,
                                uint16_t *reg) {
    norn_dtype dtype = norn_scalar_register_dtype(load->dtype);
    if (dtype == NORN_DTYPE_NONE)
        return norn_fail(NORN_UNIMPLEMENTED, "%s elements have no scalar form",
                         norn_dtype_name(load->dtype));
    if (builder->load_count == NORN_SCALAR_LOAD_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "a scalar program of more than %d operands",
                         NORN_SCALAR_LOAD_MAX);
    norn_scalar_instr instr = {
        .op = NORN_SCALAR_LOAD, .dtype = dtype, .load = (uint16_t)builder->load_count};
    NORN_TRY(append(builder, &instr, reg));
    builder->loads[builder->load_count++] = *load;
    return NORN_OK;
}

norn_status norn_scalar_finish(norn_scalar_builder *builder, const uint16_t *stores,
                               uint32_t store_count, norn_scalar_program *out) {
    if (store_count > NORN_SCALAR_STORE_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "a scalar program of more than %d results",
                         NORN_SCALAR_STORE_MAX);
    norn_scalar_load *loads;
    norn_scalar_instr *instrs;
    uint16_t *kept;
    NORN_TRY(NORN_TAKE_ARRAY(builder->arena, builder->load_count + 1, &loads));
    NORN_TRY(NORN_TAKE_ARRAY(builder->arena, builder->instr_count + 1, &instrs));
    NORN_TRY(NORN_TAKE_ARRAY(builder->arena, store_count + 1, &kept));
    memcpy(loads, builder->loads, builder->load_count * sizeof *loads);
    memcpy(instrs, builder->instrs, builder->instr_count * sizeof *instrs);
    if (store_count) memcpy(kept, stores, store_count * sizeof *kept);
    *out = (norn_scalar_program){.load_count = builder->load_count,
                                 .instr_count = builder->instr_count,
                                 .store_count = store_count,
                                 .loads = loads,
                                 .instrs = instrs,
                                 .stores = kept};
    return NORN_OK;
}

// ---- verifying

static bool is_comparison(uint16_t op) {
    return op >= NORN_SCALAR_EQ && op <= NORN_SCALAR_GE;
}
static bool is_test(uint16_t op) {
    return op == NORN_SCALAR_IS_NAN || op == NORN_SCALAR_IS_INF;
}
static bool is_logic(uint16_t op) {
    return op >= NORN_SCALAR_AND && op <= NORN_SCALAR_NOT;
}

/// The dtypes of an instruction's operands and of its result go together.
static bool dtypes_agree(const norn_scalar_program *program, const norn_scalar_instr *instr) {
    const uint32_t arity = norn_scalar_arity(instr->op);
    norn_dtype a = arity > 0 ? program->instrs[instr->a].dtype : NORN_DTYPE_NONE;
    norn_dtype b = arity > 1 ? program->instrs[instr->b].dtype : NORN_DTYPE_NONE;
    norn_dtype c = arity > 2 ? program->instrs[instr->c].dtype : NORN_DTYPE_NONE;
    if (instr->op == NORN_SCALAR_CAST || arity == 0) return true;
    if (instr->op == NORN_SCALAR_SELECT)
        return a == NORN_BOOL && b == instr->dtype && c == instr->dtype;
    if (is_test(instr->op)) return norn_dtype_is_float(a) && instr->dtype == NORN_BOOL;
    if (is_comparison(instr->op)) return a == b && instr->dtype == NORN_BOOL;
    if (is_logic(instr->op))
        return a == NORN_BOOL && (arity < 2 || b == NORN_BOOL) && instr->dtype == NORN_BOOL;
    return a == instr->dtype && (arity < 2 || b == a) && (arity < 3 || c == a);
}

static norn_status verify_instr(const norn_scalar_program *program, uint32_t at) {
    const norn_scalar_instr *instr = &program->instrs[at];
    if (instr->op >= NORN_SCALAR_COUNT)
        return norn_fail(NORN_INVALID_ARGUMENT, "instruction %u: operation %u does not exist", at,
                         instr->op);
    norn_dtype native = norn_scalar_register_dtype(instr->dtype);
    bool rounds = instr->op == NORN_SCALAR_CAST && native == NORN_F32;
    if (native == NORN_DTYPE_NONE || (native != instr->dtype && !rounds))
        return norn_fail(NORN_INVALID_ARGUMENT, "instruction %u: registers of %s do not exist", at,
                         norn_dtype_name(instr->dtype));
    const uint16_t operands[3] = {instr->a, instr->b, instr->c};
    for (uint32_t i = 0; i < norn_scalar_arity(instr->op); i++)
        if (operands[i] >= at)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "instruction %u reads register %u, which is not before it", at,
                             operands[i]);
    if (instr->op == NORN_SCALAR_LOAD && instr->load >= program->load_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "instruction %u: operand %u of %u", at, instr->load,
                         program->load_count);
    if (!dtypes_agree(program, instr))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "instruction %u: the types of its operands do not go together", at);
    return NORN_OK;
}

norn_status norn_scalar_verify(const norn_scalar_program *program, uint32_t input_count,
                               uint32_t output_count) {
    if (program->load_count > NORN_SCALAR_LOAD_MAX ||
        program->instr_count > NORN_SCALAR_INSTR_MAX ||
        program->store_count > NORN_SCALAR_STORE_MAX)
        return norn_fail(
            NORN_INVALID_ARGUMENT,
            "a scalar program of %u operands, %u instructions, %u results is too large",
            program->load_count, program->instr_count, program->store_count);
    if (program->store_count > output_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "a scalar program of %u result%s for %u output%s",
                         program->store_count, norn_plural(program->store_count), output_count,
                         norn_plural(output_count));
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_scalar_load *load = &program->loads[i];
        if (load->input != NORN_SCALAR_ACC && load->input >= input_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "operand %u reads input %u of %u", i,
                             load->input, input_count);
        if (norn_scalar_register_dtype(load->dtype) == NORN_DTYPE_NONE)
            return norn_fail(NORN_INVALID_ARGUMENT, "operand %u: %s elements have no scalar form",
                             i, norn_dtype_name(load->dtype));
    }
    for (uint32_t i = 0; i < program->instr_count; i++) NORN_TRY(verify_instr(program, i));
    for (uint32_t i = 0; i < program->store_count; i++)
        if (program->stores[i] >= program->instr_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "result %u stores register %u of %u", i,
                             program->stores[i], program->instr_count);
    return NORN_OK;
}
