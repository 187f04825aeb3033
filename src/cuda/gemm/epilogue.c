/// Which epilogues a matrix product does itself: bias, then ReLU or sigmoid, or a cross layer's x0 * (A B + bias) + x.
#include "cuda/gemm/gemm.h"

/// Past conversions that change nothing, and past rounding to a half type and back.
static const norn_scalar_instr *at(const norn_scalar_program *program, uint16_t reg) {
    const norn_scalar_instr *instr = &program->instrs[reg];
    while (instr->op == NORN_SCALAR_CAST && norn_sum_dtype(instr->dtype) == NORN_F32 &&
           norn_sum_dtype(program->instrs[instr->a].dtype) == NORN_F32)
        instr = &program->instrs[instr->a];
    return instr;
}

static bool is_const(const norn_scalar_instr *instr) {
    return instr->op == NORN_SCALAR_CONST && instr->dtype == NORN_F32;
}

static bool is_zero(const norn_scalar_instr *instr) {
    return is_const(instr) && instr->f64 == 0;
}

static bool is_accumulator(const norn_scalar_program *program, const norn_scalar_instr *instr) {
    return instr->op == NORN_SCALAR_LOAD && program->loads[instr->load].input == NORN_SCALAR_ACC;
}

static bool is_column(const norn_scalar_program *program, const norn_scalar_instr *instr,
                      norn_dtype dtype) {
    if (instr->op != NORN_SCALAR_LOAD) return false;
    const norn_scalar_load *load = &program->loads[instr->load];
    return load->input != NORN_SCALAR_ACC && load->dtype == dtype && load->broadcast[0] &&
           !load->broadcast[1];
}

/// An operand that does not repeat.
static bool is_dense(const norn_scalar_program *program, const norn_scalar_instr *instr,
                     norn_dtype dtype) {
    if (instr->op != NORN_SCALAR_LOAD) return false;
    const norn_scalar_load *load = &program->loads[instr->load];
    return load->input != NORN_SCALAR_ACC && load->dtype == dtype && !load->broadcast[0] &&
           !load->broadcast[1] && !load->dynamic;
}

/// The operand of `instr` beside one that is dense, which is input *input; NULL: there is none.
static const norn_scalar_instr *beside_dense(const norn_scalar_program *program,
                                             const norn_scalar_instr *instr, norn_dtype dtype,
                                             uint32_t *input) {
    const norn_scalar_instr *a = at(program, instr->a), *b = at(program, instr->b);
    const norn_scalar_instr *dense = is_dense(program, a, dtype) ? a : b;
    if (!is_dense(program, dense, dtype)) return NULL;
    *input = program->loads[dense->load].input;
    return dense == a ? b : a;
}

/// Strips `* times + plus`; the instruction below it, `top` where it is no such thing.
static const norn_scalar_instr *crossing(const norn_scalar_program *program,
                                         const norn_scalar_instr *top, norn_dtype dtype,
                                         norn_cuda_epilogue *out) {
    if (top->op != NORN_SCALAR_ADD || top->dtype != NORN_F32) return top;
    const norn_scalar_instr *product = beside_dense(program, top, dtype, &out->plus_input);
    if (!product || product->op != NORN_SCALAR_MUL || product->dtype != NORN_F32) return top;
    const norn_scalar_instr *below = beside_dense(program, product, dtype, &out->times_input);
    out->crosses = below != NULL;
    return below ? below : top;
}

/// Strips the activation; the instruction below it.
static const norn_scalar_instr *activation(const norn_scalar_program *program,
                                           const norn_scalar_instr *top,
                                           norn_cuda_activation *out) {
    *out = NORN_CUDA_LINEAR;
    if (top->dtype != NORN_F32) return top;
    if (top->op == NORN_SCALAR_SIGMOID) {
        *out = NORN_CUDA_SIGMOID;
        return at(program, top->a);
    }
    if (top->op != NORN_SCALAR_MAX) return top;
    const norn_scalar_instr *a = at(program, top->a), *b = at(program, top->b);
    if (!is_zero(a) && !is_zero(b)) return top;
    *out = NORN_CUDA_RELU;
    return is_zero(a) ? b : a;
}

/// Whether `instr` is the accumulator, or the accumulator and a bias.
static bool biased(const norn_scalar_program *program, const norn_scalar_instr *instr,
                   norn_dtype dtype, norn_cuda_epilogue *out) {
    if (is_accumulator(program, instr)) return true;
    if (instr->op != NORN_SCALAR_ADD || instr->dtype != NORN_F32) return false;
    const norn_scalar_instr *a = at(program, instr->a), *b = at(program, instr->b);
    const norn_scalar_instr *other = is_accumulator(program, a) ? b : a;
    if (!is_accumulator(program, a) && !is_accumulator(program, b)) return false;
    if (is_const(other)) {
        out->bias_value = (float)other->f64;
        return true;
    }
    if (!is_column(program, other, dtype)) return false;
    out->has_bias = true;
    out->bias_input = program->loads[other->load].input;
    return true;
}

norn_cuda_epilogue norn_cuda_epilogue_match(const norn_scalar_program *program,
                                            const norn_numbers *numbers) {
    norn_cuda_epilogue found = {.ending = NORN_CUDA_ENDING_ANY};
    const norn_cuda_epilogue none = {.ending = NORN_CUDA_ENDING_POINTWISE};
    if (program->instr_count == 0) return found;
    if (program->store_count != 1) return none;
    const norn_scalar_instr *below =
        crossing(program, at(program, program->stores[0]), numbers->a, &found);
    if (!found.crosses) below = activation(program, below, &found.activation);
    if (!biased(program, below, numbers->out, &found)) return none;
    // cuBLASLt multiplies floats into floats only.
    const bool narrows = numbers->a == NORN_F32 && numbers->out != NORN_F32;
    if (found.bias_value != 0 || found.activation == NORN_CUDA_SIGMOID || found.crosses || narrows)
        found.ending = NORN_CUDA_ENDING_OWN;
    return found;
}
