/// Which epilogues a matrix product does itself: bias, ReLU, both.
#include "cuda/gemm/gemm.h"

static const norn_scalar_instr *skip_casts(const norn_scalar_program *program, const norn_scalar_instr *instr) {
    while (instr->op == NORN_SCALAR_CAST && instr->dtype == NORN_F32) instr = &program->instrs[instr->a];
    return instr;
}

static const norn_scalar_instr *at(const norn_scalar_program *program, uint16_t reg) {
    return skip_casts(program, &program->instrs[reg]);
}

static bool is_zero(const norn_scalar_instr *instr) {
    return instr->op == NORN_SCALAR_CONST && instr->dtype == NORN_F32 && instr->f64 == 0;
}

static bool is_accumulator(const norn_scalar_program *program, const norn_scalar_instr *instr) {
    return instr->op == NORN_SCALAR_LOAD && program->loads[instr->load].input == NORN_SCALAR_ACC;
}

static bool is_column(const norn_scalar_program *program, const norn_scalar_instr *instr) {
    if (instr->op != NORN_SCALAR_LOAD) return false;
    const norn_scalar_load *load = &program->loads[instr->load];
    return load->input != NORN_SCALAR_ACC && load->dtype == NORN_F32 && load->broadcast[0] && !load->broadcast[1];
}

bool norn_cuda_epilogue_match(const norn_scalar_program *program, bool *has_bias, uint32_t *bias_input, bool *relu) {
    *has_bias = *relu = false;
    *bias_input = 0;
    if (program->instr_count == 0) return true;
    if (program->store_count != 1) return false;
    const norn_scalar_instr *instr = at(program, program->stores[0]);
    bool rectified = false;
    if (instr->op == NORN_SCALAR_MAX) {
        const norn_scalar_instr *a = at(program, instr->a), *b = at(program, instr->b);
        if (!is_zero(a) && !is_zero(b)) return false;
        rectified = true;
        instr = is_zero(a) ? b : a;
    }
    if (is_accumulator(program, instr)) {
        *relu = rectified;
        return true;
    }
    if (instr->op != NORN_SCALAR_ADD || instr->dtype != NORN_F32) return false;
    const norn_scalar_instr *a = at(program, instr->a), *b = at(program, instr->b);
    if (!is_accumulator(program, a)) {
        const norn_scalar_instr *swap = a;
        a = b;
        b = swap;
    }
    if (!is_accumulator(program, a) || !is_column(program, b)) return false;
    *has_bias = true;
    *bias_input = program->loads[b->load].input;
    *relu = rectified;
    return true;
}
