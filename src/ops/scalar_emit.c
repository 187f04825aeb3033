// ONNX pointwise operators as scalar programs: the one place that knows their formulas.
#include "base/status.h"
#include "ops/op.h"
#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

/// One operator being emitted. Formulas chain freely: after a failure every step returns register 0
/// and `status` keeps the first error.
typedef struct emitter {
    norn_scalar_builder *builder;
    norn_attrs attrs;
    const norn_dtype *dtypes;
    const uint16_t *in;
    uint32_t in_count;
    norn_dtype out_dtype;
    norn_dtype t; ///< what the first operand computes in
    norn_status status;
} emitter;

static uint16_t op_as(emitter *e, norn_scalar_op op, norn_dtype dtype, uint16_t a, uint16_t b,
                      uint16_t c) {
    uint16_t reg = 0;
    if (e->status == NORN_OK) e->status = norn_scalar_emit(e->builder, op, dtype, a, b, c, &reg);
    return reg;
}
static uint16_t op1(emitter *e, norn_scalar_op op, uint16_t a) {
    return op_as(e, op, e->t, a, 0, 0);
}
static uint16_t op2(emitter *e, norn_scalar_op op, uint16_t a, uint16_t b) {
    return op_as(e, op, e->t, a, b, 0);
}
static uint16_t test(emitter *e, norn_scalar_op op, uint16_t a, uint16_t b) {
    return op_as(e, op, NORN_BOOL, a, b, 0);
}
static uint16_t choose(emitter *e, uint16_t condition, uint16_t yes, uint16_t no) {
    return op_as(e, NORN_SCALAR_SELECT, e->t, condition, yes, no);
}
static uint16_t constant(emitter *e, double value) {
    uint16_t reg = 0;
    if (e->status == NORN_OK)
        e->status =
            norn_scalar_const(e->builder, e->t, value, isfinite(value) ? (int64_t)value : 0, &reg);
    return reg;
}
static uint16_t add(emitter *e, uint16_t a, uint16_t b) {
    return op2(e, NORN_SCALAR_ADD, a, b);
}
static uint16_t mul(emitter *e, uint16_t a, uint16_t b) {
    return op2(e, NORN_SCALAR_MUL, a, b);
}
static uint16_t attr(emitter *e, const char *name, float fallback) {
    return constant(e, (double)norn_attr_f32(e->attrs, name, fallback));
}

static norn_dtype dtype_of(const emitter *e, uint16_t reg) {
    return reg < e->builder->instr_count ? e->builder->instrs[reg].dtype : NORN_DTYPE_NONE;
}

/// To the register type of `dtype`. A conversion to a half type rounds, then goes on as float.
static uint16_t convert(emitter *e, uint16_t reg, norn_dtype dtype) {
    norn_dtype native = norn_scalar_register_dtype(dtype);
    if (e->status == NORN_OK && native == NORN_DTYPE_NONE)
        e->status = norn_fail(NORN_UNIMPLEMENTED, "%s elements have no scalar form",
                              norn_dtype_name(dtype));
    if (native != dtype) reg = op_as(e, NORN_SCALAR_CAST, dtype, reg, 0, 0);
    return dtype_of(e, reg) == native ? reg : op_as(e, NORN_SCALAR_CAST, native, reg, 0, 0);
}

// ---- activations

static uint16_t clamp01(emitter *e, uint16_t x) {
    return op2(e, NORN_SCALAR_MAX, op2(e, NORN_SCALAR_MIN, x, constant(e, 1)), constant(e, 0));
}
static uint16_t swish(emitter *e, uint16_t x, double alpha) {
    uint16_t inner = alpha == 1 ? x : mul(e, x, constant(e, alpha));
    return mul(e, x, op1(e, NORN_SCALAR_SIGMOID, inner));
}
/// log(1 + e^x) = max(x, 0) + log1p(e^-|x|), which never overflows.
static uint16_t softplus(emitter *e, uint16_t x) {
    uint16_t decay = op1(e, NORN_SCALAR_EXP, op1(e, NORN_SCALAR_NEG, op1(e, NORN_SCALAR_ABS, x)));
    return add(e, op2(e, NORN_SCALAR_MAX, x, constant(e, 0)), op1(e, NORN_SCALAR_LOG1P, decay));
}
static uint16_t gelu(emitter *e, uint16_t x) {
    uint16_t half = mul(e, x, constant(e, 0.5)), inner;
    if (strcmp(norn_attr_string(e->attrs, "approximate", "none"), "tanh") == 0) {
        uint16_t cubic = mul(e, mul(e, x, x), mul(e, x, constant(e, 0.044715)));
        inner =
            op1(e, NORN_SCALAR_TANH, mul(e, add(e, x, cubic), constant(e, 0.79788456080286535588)));
    } else {
        inner = op1(e, NORN_SCALAR_ERF, mul(e, x, constant(e, 0.70710678118654752440)));
    }
    return mul(e, half, add(e, inner, constant(e, 1)));
}
static uint16_t shrink(emitter *e, uint16_t x) {
    float lambd = norn_attr_f32(e->attrs, "lambd", 0.5f), bias = norn_attr_f32(e->attrs, "bias", 0);
    double limit = (double)lambd;
    if (!norn_dtype_is_float(e->t)) limit = floor(limit); // x > 1.5 is x > 1 of integers
    uint16_t above = test(e, NORN_SCALAR_GT, x, constant(e, limit));
    uint16_t below = test(e, NORN_SCALAR_LT, x, constant(e, -limit));
    uint16_t offset = constant(e, (double)bias);
    uint16_t low = choose(e, below, add(e, x, offset), constant(e, 0));
    return choose(e, above, op2(e, NORN_SCALAR_SUB, x, offset), low);
}
static uint16_t clip(emitter *e, uint16_t x) {
    if (e->in_count > 1 && e->in[1] != 0xffff) x = op2(e, NORN_SCALAR_MAX, x, e->in[1]);
    if (e->in_count > 2 && e->in[2] != 0xffff) x = op2(e, NORN_SCALAR_MIN, x, e->in[2]);
    return x;
}
static uint16_t exponential(emitter *e, uint16_t x, double alpha, double gamma) {
    uint16_t below = mul(e, op1(e, NORN_SCALAR_EXPM1, x), constant(e, alpha));
    uint16_t y = choose(e, test(e, NORN_SCALAR_GT, x, constant(e, 0)), x, below);
    return gamma == 1 ? y : mul(e, y, constant(e, gamma));
}
static uint16_t celu(emitter *e, uint16_t x) {
    uint16_t alpha = attr(e, "alpha", 1), zero = constant(e, 0);
    uint16_t below = mul(e, op1(e, NORN_SCALAR_EXPM1, op2(e, NORN_SCALAR_DIV, x, alpha)), alpha);
    return add(e, op2(e, NORN_SCALAR_MAX, x, zero), op2(e, NORN_SCALAR_MIN, below, zero));
}

// ---- arithmetic

static const norn_scalar_instr *constant_of(const emitter *e, uint16_t reg) {
    if (reg >= e->builder->instr_count || e->builder->instrs[reg].op != NORN_SCALAR_CONST)
        return NULL;
    return &e->builder->instrs[reg];
}

/// x^0.5, which is not sqrt(x) where x is -0 or minus infinity.
static uint16_t root(emitter *e, uint16_t x) {
    uint16_t y = op1(e, NORN_SCALAR_SQRT, add(e, x, constant(e, 0)));
    uint16_t at_end = test(e, NORN_SCALAR_EQ, x, constant(e, -(double)INFINITY));
    return choose(e, at_end, constant(e, (double)INFINITY), y);
}

/// The result has the base's type; the exponent may be of another.
/// Small constant powers are products.
static uint16_t power(emitter *e) {
    uint16_t x = e->in[0], y = e->in[1];
    const norn_scalar_instr *exponent = constant_of(e, y);
    bool x_float = norn_dtype_is_float(e->t), y_float = norn_dtype_is_float(dtype_of(e, y));
    if (exponent && x_float) {
        double value = y_float ? exponent->f64 : (double)exponent->i64;
        if (value == 1) return x;
        if (value == 2) return mul(e, x, x);
        if (value == 3) return mul(e, mul(e, x, x), x);
        if (value == 0.5) return root(e, x);
    }
    if (!x_float && y_float) { // an integer to a fraction: through double, cut to the integer
        norn_dtype kept = e->t;
        e->t = NORN_F64;
        uint16_t result = op2(e, NORN_SCALAR_POW, convert(e, x, NORN_F64), convert(e, y, NORN_F64));
        e->t = kept;
        return convert(e, result, kept);
    }
    return op2(e, NORN_SCALAR_POW, x, convert(e, y, e->t));
}

/// Shifts by a negative count, or by all bits or more, leave what the sign alone would.
static uint16_t shift(emitter *e) {
    uint16_t x = e->in[0], by = e->in[1];
    bool is_signed = norn_dtype_is_signed(e->t);
    bool right = strcmp(norn_attr_string(e->attrs, "direction", ""), "RIGHT") == 0;
    uint32_t bits = norn_dtype_bits(e->t);
    uint16_t zero = constant(e, 0), inside = test(e, NORN_SCALAR_LT, by, constant(e, bits));
    if (is_signed) inside = test(e, NORN_SCALAR_AND, inside, test(e, NORN_SCALAR_GE, by, zero));
    uint16_t safe = choose(e, inside, by, right && is_signed ? constant(e, bits - 1) : zero);
    uint16_t moved = op2(e, right ? NORN_SCALAR_SHR : NORN_SCALAR_SHL, x, safe);
    return right && is_signed ? moved : choose(e, inside, moved, zero);
}

static uint16_t is_inf(emitter *e, uint16_t x) {
    bool negative = norn_attr_i64(e->attrs, "detect_negative", 1) != 0;
    bool positive = norn_attr_i64(e->attrs, "detect_positive", 1) != 0;
    if (negative && positive) return op_as(e, NORN_SCALAR_IS_INF, NORN_BOOL, x, 0, 0);
    if (negative || positive) {
        uint16_t limit = 0;
        if (e->status == NORN_OK)
            e->status =
                norn_scalar_const(e->builder, e->t, negative ? -HUGE_VAL : HUGE_VAL, 0, &limit);
        return test(e, NORN_SCALAR_EQ, x, limit);
    }
    return test(e, NORN_SCALAR_AND, test(e, NORN_SCALAR_LT, x, x),
                test(e, NORN_SCALAR_EQ, x, x)); // never
}

static uint16_t chain(emitter *e, norn_scalar_op op) {
    uint16_t sum = e->in[0];
    for (uint32_t i = 1; i < e->in_count; i++) sum = op2(e, op, sum, e->in[i]);
    return sum;
}

static norn_status need_float(emitter *e) {
    if (e->t == NORN_F32 || e->t == NORN_F64) return NORN_OK;
    return norn_fail(NORN_UNIMPLEMENTED, "it takes floating types, not %s", norn_dtype_name(e->t));
}

/// Operators that are one instruction; false when `op` is none of them.
static bool simple(norn_op_id op, norn_scalar_op *scalar, bool *floating) {
    *floating = true;
    switch ((int)op) {
    case NORN_OP_Reciprocal:
        *scalar = NORN_SCALAR_RECIP;
        return true;
    case NORN_OP_Ceil:
        *scalar = NORN_SCALAR_CEIL;
        return true;
    case NORN_OP_Floor:
        *scalar = NORN_SCALAR_FLOOR;
        return true;
    case NORN_OP_Round:
        *scalar = NORN_SCALAR_ROUND;
        return true;
    case NORN_OP_Sqrt:
        *scalar = NORN_SCALAR_SQRT;
        return true;
    case NORN_OP_Exp:
        *scalar = NORN_SCALAR_EXP;
        return true;
    case NORN_OP_Log:
        *scalar = NORN_SCALAR_LOG;
        return true;
    case NORN_OP_Erf:
        *scalar = NORN_SCALAR_ERF;
        return true;
    case NORN_OP_Sin:
        *scalar = NORN_SCALAR_SIN;
        return true;
    case NORN_OP_Cos:
        *scalar = NORN_SCALAR_COS;
        return true;
    case NORN_OP_Tan:
        *scalar = NORN_SCALAR_TAN;
        return true;
    case NORN_OP_Asin:
        *scalar = NORN_SCALAR_ASIN;
        return true;
    case NORN_OP_Acos:
        *scalar = NORN_SCALAR_ACOS;
        return true;
    case NORN_OP_Atan:
        *scalar = NORN_SCALAR_ATAN;
        return true;
    case NORN_OP_Sinh:
        *scalar = NORN_SCALAR_SINH;
        return true;
    case NORN_OP_Cosh:
        *scalar = NORN_SCALAR_COSH;
        return true;
    case NORN_OP_Tanh:
        *scalar = NORN_SCALAR_TANH;
        return true;
    case NORN_OP_Asinh:
        *scalar = NORN_SCALAR_ASINH;
        return true;
    case NORN_OP_Acosh:
        *scalar = NORN_SCALAR_ACOSH;
        return true;
    case NORN_OP_Atanh:
        *scalar = NORN_SCALAR_ATANH;
        return true;
    case NORN_OP_Sigmoid:
        *scalar = NORN_SCALAR_SIGMOID;
        return true;
    default:
        break;
    }
    *floating = false;
    switch ((int)op) {
    case NORN_OP_Abs:
        *scalar = NORN_SCALAR_ABS;
        return true;
    case NORN_OP_Neg:
        *scalar = NORN_SCALAR_NEG;
        return true;
    case NORN_OP_Sign:
        *scalar = NORN_SCALAR_SIGN;
        return true;
    case NORN_OP_Add:
    case NORN_OP_Sum:
        *scalar = NORN_SCALAR_ADD;
        return true;
    case NORN_OP_Sub:
        *scalar = NORN_SCALAR_SUB;
        return true;
    case NORN_OP_Mul:
        *scalar = NORN_SCALAR_MUL;
        return true;
    case NORN_OP_Div:
        *scalar = NORN_SCALAR_DIV;
        return true;
    case NORN_OP_Min:
        *scalar = NORN_SCALAR_MIN;
        return true;
    case NORN_OP_Max:
        *scalar = NORN_SCALAR_MAX;
        return true;
    case NORN_OP_BitwiseAnd:
        *scalar = NORN_SCALAR_BIT_AND;
        return true;
    case NORN_OP_BitwiseOr:
        *scalar = NORN_SCALAR_BIT_OR;
        return true;
    case NORN_OP_BitwiseXor:
        *scalar = NORN_SCALAR_BIT_XOR;
        return true;
    case NORN_OP_BitwiseNot:
        *scalar = NORN_SCALAR_BIT_NOT;
        return true;
    default:
        return false;
    }
}

/// Comparisons and logic: the result is a bool whatever the operands are.
static bool to_bool(norn_op_id op, norn_scalar_op *scalar) {
    switch ((int)op) {
    case NORN_OP_Equal:
        *scalar = NORN_SCALAR_EQ;
        return true;
    case NORN_OP_Less:
        *scalar = NORN_SCALAR_LT;
        return true;
    case NORN_OP_LessOrEqual:
        *scalar = NORN_SCALAR_LE;
        return true;
    case NORN_OP_Greater:
        *scalar = NORN_SCALAR_GT;
        return true;
    case NORN_OP_GreaterOrEqual:
        *scalar = NORN_SCALAR_GE;
        return true;
    case NORN_OP_And:
        *scalar = NORN_SCALAR_AND;
        return true;
    case NORN_OP_Or:
        *scalar = NORN_SCALAR_OR;
        return true;
    case NORN_OP_Xor:
        *scalar = NORN_SCALAR_XOR;
        return true;
    case NORN_OP_Not:
        *scalar = NORN_SCALAR_NOT;
        return true;
    case NORN_OP_IsNaN:
        *scalar = NORN_SCALAR_IS_NAN;
        return true;
    default:
        return false;
    }
}

static norn_status floating_formula(emitter *e, norn_op_id op, uint16_t x, uint16_t *y) {
    NORN_TRY(need_float(e));
    switch ((int)op) {
    case NORN_OP_Elu:
        *y = exponential(e, x, (double)norn_attr_f32(e->attrs, "alpha", 1), 1);
        break;
    case NORN_OP_Selu:
        *y = exponential(e, x, (double)norn_attr_f32(e->attrs, "alpha", 1.67326319217681884765625f),
                         (double)norn_attr_f32(e->attrs, "gamma", 1.05070102214813232421875f));
        break;
    case NORN_OP_Celu:
        *y = celu(e, x);
        break;
    case NORN_OP_HardSigmoid:
        *y = clamp01(e, add(e, mul(e, x, attr(e, "alpha", 0.2f)), attr(e, "beta", 0.5f)));
        break;
    case NORN_OP_HardSwish:
        *y = mul(e, x, clamp01(e, add(e, mul(e, x, constant(e, 1.0 / 6)), constant(e, 0.5))));
        break;
    case NORN_OP_Swish:
        *y = swish(e, x, (double)norn_attr_f32(e->attrs, "alpha", 1));
        break;
    case NORN_OP_SwiGLU:
        *y = mul(e, swish(e, x, (double)norn_attr_f32(e->attrs, "alpha", 1)), e->in[1]);
        break;
    case NORN_OP_Mish:
        *y = mul(e, x, op1(e, NORN_SCALAR_TANH, softplus(e, x)));
        break;
    case NORN_OP_Gelu:
        *y = gelu(e, x);
        break;
    case NORN_OP_Softplus:
        *y = softplus(e, x);
        break;
    case NORN_OP_Softsign:
        *y = op2(e, NORN_SCALAR_DIV, x, add(e, constant(e, 1), op1(e, NORN_SCALAR_ABS, x)));
        break;
    case NORN_OP_LeakyRelu:
        *y = choose(e, test(e, NORN_SCALAR_LT, x, constant(e, 0)),
                    mul(e, x, attr(e, "alpha", 0.01f)), x);
        break;
    case NORN_OP_ThresholdedRelu:
        *y = choose(e, test(e, NORN_SCALAR_GT, x, attr(e, "alpha", 1)), x, constant(e, 0));
        break;
    case NORN_OP_Mean:
        *y = mul(e, chain(e, NORN_SCALAR_ADD), constant(e, 1.0 / e->in_count));
        break;
    case NORN_OP_IsInf:
        *y = is_inf(e, x);
        break;
    default:
        return norn_fail(NORN_UNIMPLEMENTED, "it has no scalar form");
    }
    return e->status;
}

static norn_status formula(emitter *e, norn_op_id op, uint16_t x, uint16_t *y) {
    switch ((int)op) {
    case NORN_OP_Relu:
        *y = op2(e, NORN_SCALAR_MAX, x, constant(e, 0));
        break;
    case NORN_OP_PRelu:
        *y = choose(e, test(e, NORN_SCALAR_LT, x, constant(e, 0)), mul(e, x, e->in[1]), x);
        break;
    case NORN_OP_Clip:
        *y = clip(e, x);
        break;
    case NORN_OP_Shrink:
        *y = shrink(e, x);
        break;
    case NORN_OP_Pow:
        *y = power(e);
        break;
    case NORN_OP_Mod:
        *y = op2(e, norn_attr_i64(e->attrs, "fmod", 0) ? NORN_SCALAR_FMOD : NORN_SCALAR_MOD, x,
                 e->in[1]);
        break;
    case NORN_OP_BitShift:
        *y = shift(e);
        break;
    case NORN_OP_Where:
        e->t = dtype_of(e, e->in[1]);
        *y = choose(e, x, e->in[1], e->in[2]);
        break;
    case NORN_OP_Cast:
    case NORN_OP_CastLike:
        *y = convert(e, x, e->out_dtype);
        break;
    default:
        return floating_formula(e, op, x, y);
    }
    return e->status;
}

static uint32_t operands_needed(norn_op_id op) {
    switch ((int)op) {
    case NORN_OP_Where:
        return 3;
    case NORN_OP_Pow:
    case NORN_OP_Mod:
    case NORN_OP_PRelu:
    case NORN_OP_BitShift:
    case NORN_OP_SwiGLU:
    case NORN_OP_Sub:
    case NORN_OP_Div:
    case NORN_OP_Equal:
    case NORN_OP_Less:
    case NORN_OP_LessOrEqual:
    case NORN_OP_Greater:
    case NORN_OP_GreaterOrEqual:
    case NORN_OP_And:
    case NORN_OP_Or:
    case NORN_OP_Xor:
        return 2;
    default:
        return 1;
    }
}

/// The result is one of the operands, or its negative: nothing to round.
static bool only_chooses(norn_op_id op) {
    switch ((int)op) {
    case NORN_OP_Where:
    case NORN_OP_Min:
    case NORN_OP_Max:
    case NORN_OP_Relu:
    case NORN_OP_Clip:
    case NORN_OP_Neg:
    case NORN_OP_Abs:
    case NORN_OP_Cast:
    case NORN_OP_CastLike:
        return true;
    default:
        return false;
    }
}

norn_status norn_scalar_emit_node(norn_scalar_builder *builder, const norn_op_info *op,
                                  norn_attrs attrs, const norn_dtype *in_dtypes,
                                  const uint16_t *in_regs, uint32_t in_count, norn_dtype out_dtype,
                                  uint16_t *reg) {
    if (!(op->flags & NORN_OP_POINTWISE))
        return norn_fail(NORN_UNIMPLEMENTED, "operator %s is not pointwise", op->name);
    norn_op_id id = (norn_op_id)op->id;
    if (in_count < operands_needed(id))
        return norn_fail(NORN_INVALID_ARGUMENT, "operator %s: %u operands", op->name, in_count);
    for (uint32_t i = 0; i < operands_needed(id); i++)
        if (in_regs[i] >= builder->instr_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "operator %s: operand %u is missing", op->name,
                             i);
    emitter e = {.builder = builder,
                 .attrs = attrs,
                 .dtypes = in_dtypes,
                 .in = in_regs,
                 .in_count = in_count,
                 .out_dtype = out_dtype};
    e.t = dtype_of(&e, in_regs[0]);
    norn_scalar_op scalar;
    bool floating;
    norn_status status;
    if (simple(id, &scalar, &floating)) {
        status = floating ? need_float(&e) : NORN_OK;
        bool unary = id != NORN_OP_Sum && in_count == 1;
        if (status == NORN_OK)
            *reg = unary && id != NORN_OP_Min && id != NORN_OP_Max ? op1(&e, scalar, in_regs[0])
                                                                   : chain(&e, scalar);
    } else if (to_bool(id, &scalar)) {
        bool alone = id == NORN_OP_Not || id == NORN_OP_IsNaN;
        status = id == NORN_OP_IsNaN ? need_float(&e) : NORN_OK;
        if (status == NORN_OK) *reg = test(&e, scalar, in_regs[0], alone ? 0 : in_regs[1]);
    } else {
        status = formula(&e, id, in_regs[0], reg);
    }
    if (status == NORN_OK && norn_dtype_is_half(out_dtype) && !only_chooses(id))
        *reg = convert(&e, *reg, out_dtype);
    if (status == NORN_OK) status = e.status;
    if (status != NORN_OK) norn_note("operator %s", op->name);
    return status;
}
