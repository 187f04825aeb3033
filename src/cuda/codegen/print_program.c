/// Scalar programs as CUDA C. The expressions are those of graph/scalar_table.inc.
#include "cuda/codegen/codegen.h"
#include "tensor/dtype.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

extern const char norn_cuda_prelude[];

typedef struct scalar_row {
    uint32_t arity;
    const char *expression;
} scalar_row;

static const scalar_row rows[NORN_SCALAR_COUNT] = {
#define NORN_SCALAR(name, arity, expression) {arity, expression},
#include "graph/scalar_table.inc"
#undef NORN_SCALAR
};

/// How elements lie in memory.
const char *norn_cuda_storage_type(norn_dtype dtype) {
    switch ((int)dtype) {
    case NORN_F32:
        return "float";
    case NORN_F64:
        return "double";
    case NORN_F16:
        return "norn_f16";
    case NORN_BF16:
        return "norn_bf16";
    case NORN_I8:
        return "signed char";
    case NORN_U8:
        return "unsigned char";
    case NORN_BOOL:
        return "norn_bool";
    case NORN_I16:
        return "short";
    case NORN_U16:
        return "unsigned short";
    case NORN_I32:
        return "int";
    case NORN_U32:
        return "unsigned int";
    case NORN_I64:
        return "long long";
    case NORN_U64:
        return "unsigned long long";
    default:
        return NULL;
    }
}

/// How a register of this dtype is computed: halves in float.
const char *norn_cuda_register_type(norn_dtype dtype) {
    if (norn_dtype_is_half(dtype)) return "float";
    if (dtype == NORN_BOOL) return "bool";
    return norn_cuda_storage_type(dtype);
}

bool norn_cuda_program_supported(const norn_scalar_program *program) {
    for (uint32_t i = 0; i < program->load_count; i++)
        if (!norn_cuda_storage_type(program->loads[i].dtype)) return false;
    for (uint32_t i = 0; i < program->instr_count; i++)
        if (!norn_cuda_register_type(program->instrs[i].dtype)) return false;
    return true;
}

bool norn_cuda_program_dynamic(const norn_scalar_program *program) {
    for (uint32_t i = 0; i < program->load_count; i++)
        if (program->loads[i].dynamic) return true;
    return false;
}

static void print_const(norn_buffer *out, const norn_scalar_instr *instr) {
    if (!norn_dtype_is_float(instr->dtype)) {
        if (instr->dtype == NORN_BOOL)
            norn_buffer_text(out, instr->i64 ? "true" : "false");
        else
            norn_buffer_format(out, "(%s)%lluull", norn_cuda_register_type(instr->dtype),
                               (unsigned long long)instr->i64);
        return;
    }
    const char *type = instr->dtype == NORN_F64 ? "double" : "float";
    if (isnan(instr->f64))
        norn_buffer_format(out, "norn_nan<%s>()", type);
    else if (isinf(instr->f64))
        norn_buffer_format(out, "%snorn_inf<%s>()", instr->f64 < 0 ? "-" : "", type);
    else if (instr->dtype == NORN_F64)
        norn_buffer_format(out, "%a", instr->f64);
    else
        norn_buffer_format(out, "(float)%a", instr->f64);
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/// The table's expression with A, B, C as registers, T as the type and F(x) as the function norn_x.
static void print_expression(norn_buffer *out, const norn_scalar_instr *instr) {
    const uint16_t operand[3] = {instr->a, instr->b, instr->c};
    const char *p = rows[instr->op].expression;
    while (*p) {
        if (!is_word(*p)) {
            norn_buffer_append(out, p++, 1);
            continue;
        }
        size_t n = 1;
        while (is_word(p[n])) n++;
        if (n == 1 && *p >= 'A' && *p <= 'C') {
            norn_buffer_format(out, "r%u", operand[*p - 'A']);
        } else if (n == 1 && *p == 'T') {
            norn_buffer_text(out, norn_cuda_register_type(instr->dtype));
        } else if (n == 1 && *p == 'F' && p[1] == '(') {
            const char *close = strchr(p, ')');
            norn_buffer_text(out, "norn_");
            norn_buffer_append(out, p + 2, (size_t)(close - p - 2));
            n = (size_t)(close - p) + 1;
        } else {
            norn_buffer_append(out, p, n);
        }
        p += n;
    }
}

static void print_instr(norn_buffer *out, uint32_t index, const norn_scalar_program *program) {
    const norn_scalar_instr *instr = &program->instrs[index];
    const char *type = norn_cuda_register_type(instr->dtype);
    norn_buffer_format(out, "    const %s r%u = ", type, index);
    bool round_half = instr->op == NORN_SCALAR_CAST && norn_dtype_is_half(instr->dtype);
    if (instr->op == NORN_SCALAR_LOAD) {
        norn_buffer_format(out, "(%s)v%u", type, instr->load);
    } else if (instr->op == NORN_SCALAR_CONST) {
        print_const(out, instr);
    } else if (instr->op == NORN_SCALAR_CAST) {
        // A conversion to bool is a test, and one to a half type rounds.
        if (instr->dtype == NORN_BOOL)
            norn_buffer_format(out, "r%u != 0", instr->a);
        else if (round_half)
            norn_buffer_format(out, "norn_get(norn_put<%s>((float)r%u))",
                               norn_cuda_storage_type(instr->dtype), instr->a);
        else
            norn_buffer_format(out, "norn_cast<%s>(r%u)", type, instr->a);
    } else {
        norn_buffer_format(out, "(%s)(", type);
        print_expression(out, instr);
        norn_buffer_text(out, ")");
    }
    norn_buffer_text(out, ";\n");
}

void norn_cuda_print_program(norn_buffer *out, const char *name, const norn_scalar_program *program,
                             norn_dtype acc) {
    norn_buffer_format(out, "static __device__ __forceinline__ void %s(", name);
    for (uint32_t i = 0; i < program->load_count; i++) {
        norn_dtype dtype =
            program->loads[i].input == NORN_SCALAR_ACC && acc ? acc : program->loads[i].dtype;
        norn_buffer_format(out, "%s%s v%u", i ? ", " : "", norn_cuda_register_type(dtype), i);
    }
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "%s%s &s%u", i || program->load_count ? ", " : "",
                           norn_cuda_register_type(program->instrs[program->stores[i]].dtype), i);
    norn_buffer_text(out, ") {\n");
    for (uint32_t i = 0; i < program->instr_count; i++) print_instr(out, i, program);
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "    s%u = r%u;\n", i, program->stores[i]);
    norn_buffer_text(out, "}\n");
}

/// The struct mirrors norn_cuda_generated_args.
void norn_cuda_print_prelude(norn_buffer *out) {
    norn_buffer_format(
        out,
        "struct Args {\n    const void *load[%d];\n    void *store[%d];\n    long long "
        "row_stride[%d];\n"
        "    long long total;\n    long long dim[%d];\n    long long dim_out[%d];\n"
        "    long long outer, reduced, inner, row;\n    long long stride[%d][%d];\n    long long "
        "pad;\n};\n",
        (int)NORN_SCALAR_LOAD_MAX, (int)NORN_SCALAR_STORE_MAX, (int)NORN_SCALAR_STORE_MAX,
        (int)NORN_MAX_RANK, (int)NORN_MAX_RANK, (int)NORN_SCALAR_LOAD_MAX, (int)NORN_MAX_RANK);
    norn_buffer_text(out, norn_cuda_prelude);
}
