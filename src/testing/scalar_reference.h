/// Scalar programs evaluated one element at a time in double and int64: slow, obviously right, the oracle of tests.
#ifndef NORN_TESTING_SCALAR_REFERENCE_H
#define NORN_TESTING_SCALAR_REFERENCE_H

#include "graph/region.h"
#include "tensor/dtype.h"

#include <math.h>

typedef struct reference_scalar {
    double f;  ///< of floating registers
    int64_t i; ///< of integer and bool registers; uint64 by its bits
} reference_scalar;

/// What is left of a value when it is kept in `dtype`.
static inline reference_scalar reference_narrow(norn_dtype dtype, reference_scalar value) {
    uint64_t bits = 0;
    if (norn_dtype_is_float(dtype)) {
        norn_element_set_f64(dtype, &bits, 0, value.f);
        return (reference_scalar){.f = norn_element_f64(dtype, &bits, 0)};
    }
    switch ((int)dtype) {
    case NORN_BOOL:
        return (reference_scalar){.i = value.i != 0};
    case NORN_I8:
        return (reference_scalar){.i = (int8_t)value.i};
    case NORN_U8:
        return (reference_scalar){.i = (uint8_t)value.i};
    case NORN_I16:
        return (reference_scalar){.i = (int16_t)value.i};
    case NORN_U16:
        return (reference_scalar){.i = (uint16_t)value.i};
    case NORN_I32:
        return (reference_scalar){.i = (int32_t)value.i};
    case NORN_U32:
        return (reference_scalar){.i = (uint32_t)value.i};
    default:
        return (reference_scalar){.i = value.i};
    }
}

static inline double reference_modulo(double a, double b) {
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static inline double reference_float_op(norn_scalar_op op, double a, double b, double c) {
    switch ((int)op) {
    case NORN_SCALAR_ADD:
        return a + b;
    case NORN_SCALAR_SUB:
        return a - b;
    case NORN_SCALAR_MUL:
        return a * b;
    case NORN_SCALAR_DIV:
        return a / b;
    case NORN_SCALAR_MOD:
        return reference_modulo(a, b);
    case NORN_SCALAR_FMOD:
        return fmod(a, b);
    case NORN_SCALAR_POW:
        return pow(a, b);
    case NORN_SCALAR_MIN:
        return isnan(a) ? a : isnan(b) ? b : a < b ? a : b;
    case NORN_SCALAR_MAX:
        return isnan(a) ? a : isnan(b) ? b : a > b ? a : b;
    case NORN_SCALAR_FMA:
        return a * b + c;
    case NORN_SCALAR_NEG:
        return -a;
    case NORN_SCALAR_ABS:
        return fabs(a);
    case NORN_SCALAR_SIGN:
        return isnan(a) ? a : (a > 0) - (a < 0);
    case NORN_SCALAR_SQRT:
        return sqrt(a);
    case NORN_SCALAR_RSQRT:
        return 1 / sqrt(a);
    case NORN_SCALAR_RECIP:
        return 1 / a;
    case NORN_SCALAR_EXP:
        return exp(a);
    case NORN_SCALAR_LOG:
        return log(a);
    case NORN_SCALAR_LOG1P:
        return log1p(a);
    case NORN_SCALAR_EXPM1:
        return expm1(a);
    case NORN_SCALAR_SIN:
        return sin(a);
    case NORN_SCALAR_COS:
        return cos(a);
    case NORN_SCALAR_TAN:
        return tan(a);
    case NORN_SCALAR_ASIN:
        return asin(a);
    case NORN_SCALAR_ACOS:
        return acos(a);
    case NORN_SCALAR_ATAN:
        return atan(a);
    case NORN_SCALAR_SINH:
        return sinh(a);
    case NORN_SCALAR_COSH:
        return cosh(a);
    case NORN_SCALAR_TANH:
        return tanh(a);
    case NORN_SCALAR_ASINH:
        return asinh(a);
    case NORN_SCALAR_ACOSH:
        return acosh(a);
    case NORN_SCALAR_ATANH:
        return atanh(a);
    case NORN_SCALAR_ERF:
        return erf(a);
    case NORN_SCALAR_SIGMOID:
        return 1 / (1 + exp(-a));
    case NORN_SCALAR_CEIL:
        return ceil(a);
    case NORN_SCALAR_FLOOR:
        return floor(a);
    case NORN_SCALAR_ROUND:
        return rint(a);
    default:
        return (double)NAN;
    }
}

static inline int64_t reference_int_power(int64_t a, int64_t b, bool wide) {
    uint64_t r = 1, base = (uint64_t)a;
    if (b < 0 && !wide) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    for (uint64_t e = (uint64_t)b; e; e >>= 1, base *= base)
        if (e & 1) r *= base;
    return (int64_t)r;
}

/// Wraps; division by zero gives 0, since data must not stop the process.
static inline int64_t reference_int_op(norn_scalar_op op, norn_dtype dtype, int64_t a, int64_t b,
                                       int64_t c) {
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    bool wide = dtype == NORN_U64;
    switch ((int)op) {
    case NORN_SCALAR_ADD:
        return (int64_t)(ua + ub);
    case NORN_SCALAR_SUB:
        return (int64_t)(ua - ub);
    case NORN_SCALAR_MUL:
        return (int64_t)(ua * ub);
    case NORN_SCALAR_FMA:
        return (int64_t)(ua * ub + (uint64_t)c);
    case NORN_SCALAR_DIV:
        return b == 0 ? 0 : wide ? (int64_t)(ua / ub) : b == -1 ? (int64_t)(0 - ua) : a / b;
    case NORN_SCALAR_FMOD:
        return b == 0 ? 0 : wide ? (int64_t)(ua % ub) : b == -1 ? 0 : a % b;
    case NORN_SCALAR_MOD: {
        int64_t r = reference_int_op(NORN_SCALAR_FMOD, dtype, a, b, 0);
        return !wide && r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
    case NORN_SCALAR_POW:
        return reference_int_power(a, b, wide);
    case NORN_SCALAR_MIN:
        return (wide ? ua < ub : a < b) ? a : b;
    case NORN_SCALAR_MAX:
        return (wide ? ua > ub : a > b) ? a : b;
    case NORN_SCALAR_NEG:
        return (int64_t)(0 - ua);
    case NORN_SCALAR_ABS:
        return a < 0 && !wide ? (int64_t)(0 - ua) : a;
    case NORN_SCALAR_SIGN:
        return a == 0 ? 0 : a < 0 && !wide ? -1 : 1;
    case NORN_SCALAR_BIT_AND:
        return a & b;
    case NORN_SCALAR_BIT_OR:
        return a | b;
    case NORN_SCALAR_BIT_XOR:
        return a ^ b;
    case NORN_SCALAR_BIT_NOT:
        return ~a;
    case NORN_SCALAR_SHL:
        return ub >= norn_dtype_bits(dtype) ? 0 : (int64_t)(ua << ub);
    case NORN_SCALAR_SHR:
        return ub >= norn_dtype_bits(dtype) ? 0 : wide ? (int64_t)(ua >> ub) : a >> b;
    case NORN_SCALAR_AND:
        return a && b;
    case NORN_SCALAR_OR:
        return a || b;
    case NORN_SCALAR_XOR:
        return !a != !b;
    case NORN_SCALAR_NOT:
        return !a;
    default:
        return 0;
    }
}

static inline bool reference_compare(norn_scalar_op op, norn_dtype dtype, reference_scalar a,
                                     reference_scalar b) {
    bool less, same;
    if (norn_dtype_is_float(dtype)) {
        if (isnan(a.f) || isnan(b.f)) return op == NORN_SCALAR_NE;
        less = a.f < b.f, same = a.f == b.f;
    } else {
        less = dtype == NORN_U64 ? (uint64_t)a.i < (uint64_t)b.i : a.i < b.i;
        same = a.i == b.i;
    }
    switch ((int)op) {
    case NORN_SCALAR_EQ:
        return same;
    case NORN_SCALAR_NE:
        return !same;
    case NORN_SCALAR_LT:
        return less;
    case NORN_SCALAR_LE:
        return less || same;
    case NORN_SCALAR_GT:
        return !less && !same;
    default:
        return !less;
    }
}

static inline reference_scalar reference_cast(norn_dtype from, norn_dtype to, reference_scalar a) {
    bool from_float = norn_dtype_is_float(from), to_float = norn_dtype_is_float(to);
    if (to == NORN_BOOL) return (reference_scalar){.i = from_float ? a.f != 0 : a.i != 0};
    if (from_float && to_float) return a;
    if (to_float)
        return (reference_scalar){.f = from == NORN_U64 ? (double)(uint64_t)a.i : (double)a.i};
    if (!from_float) return a;
    // Towards zero, ending at the ends of the type; NaN gives 0.
    uint64_t bits = 0;
    norn_element_set_f64(to, &bits, 0, a.f);
    if (to == NORN_U64) return (reference_scalar){.i = (int64_t)bits};
    return (reference_scalar){.i = norn_element_i64(to, &bits, 0)};
}

/// Registers of floats come and go in double, all others in int64 (uint64 by its bits).
static inline void norn_scalar_reference(const norn_scalar_program *program, const double *load_f64,
                                         const int64_t *load_i64, double *out_f64,
                                         int64_t *out_i64) {
    reference_scalar regs[NORN_SCALAR_INSTR_MAX] = {{0}};
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const norn_scalar_instr *instr = &program->instrs[i];
        norn_scalar_op op = (norn_scalar_op)instr->op;
        reference_scalar a = regs[instr->a], b = regs[instr->b], c = regs[instr->c], r;
        norn_dtype from = program->instrs[instr->a].dtype;
        if (op == NORN_SCALAR_LOAD) {
            r = (reference_scalar){load_f64[instr->load], load_i64[instr->load]};
            r = reference_cast(program->loads[instr->load].dtype, instr->dtype, r);
        } else if (op == NORN_SCALAR_CONST) {
            r = (reference_scalar){instr->f64, instr->i64};
        } else if (op == NORN_SCALAR_CAST) {
            r = reference_cast(from, instr->dtype, a);
        } else if (op == NORN_SCALAR_SELECT) {
            r = a.i ? b : c;
        } else if (op == NORN_SCALAR_IS_NAN || op == NORN_SCALAR_IS_INF) {
            r = (reference_scalar){.i = op == NORN_SCALAR_IS_NAN ? isnan(a.f) != 0
                                                                 : isinf(a.f) != 0};
        } else if (op >= NORN_SCALAR_EQ && op <= NORN_SCALAR_GE) {
            r = (reference_scalar){.i = reference_compare(op, from, a, b)};
        } else if (norn_dtype_is_float(instr->dtype)) {
            r = (reference_scalar){.f = reference_float_op(op, a.f, b.f, c.f)};
        } else {
            r = (reference_scalar){.i = reference_int_op(op, instr->dtype, a.i, b.i, c.i)};
        }
        regs[i] = reference_narrow(instr->dtype, r);
    }
    for (uint32_t i = 0; i < program->store_count; i++) {
        out_f64[i] = regs[program->stores[i]].f;
        out_i64[i] = regs[program->stores[i]].i;
    }
}

#endif
