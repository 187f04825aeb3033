#include "check.h"
#include "tensor/dtype.h"
#include "tensor/view.h"
#include "testing/scalar_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define NORN_SCALAR(name, arity, expression) #name,
#include "graph/scalar_table.inc"
#undef NORN_SCALAR
};
static const int arities[] = {
#define NORN_SCALAR(name, arity, expression) arity,
#include "graph/scalar_table.inc"
#undef NORN_SCALAR
};

/// What the program gives at one element of the loop.
static void element(const check_case *c, const norn_scalar_program *program, int32_t rank,
                    const int64_t *dims, int64_t index, double *f, int64_t *i) {
    double load_f[NORN_SCALAR_LOAD_MAX] = {0};
    int64_t load_i[NORN_SCALAR_LOAD_MAX] = {0}, at[NORN_MAX_RANK] = {0};
    for (int32_t d = rank - 1; d >= 0; d--) at[d] = index % dims[d], index /= dims[d];
    for (uint32_t l = 0; l < program->load_count; l++) {
        const norn_scalar_load *load = &program->loads[l];
        const norn_view *view = &c->in[load->input];
        int64_t offset = 0;
        for (int32_t d = 0; d < rank; d++)
            if (!load->broadcast[d]) offset = offset * dims[d] + at[d];
        load_f[l] = norn_element_f64(view->dtype, view->data, offset);
        load_i[l] = norn_element_i64(view->dtype, view->data, offset);
    }
    norn_scalar_reference(program, load_f, load_i, f, i);
}

static void compare(checker *k, check_case *c, const norn_scalar_program *program,
                    double tolerance) {
    const norn_view *out = &c->out[0];
    int64_t elems = norn_view_elems(out);
    double *want = check_doubles(elems);
    norn_dtype dtype = program->instrs[program->stores[0]].dtype;
    for (int64_t e = 0; e < elems; e++) {
        double f[NORN_SCALAR_STORE_MAX] = {0};
        int64_t i[NORN_SCALAR_STORE_MAX] = {0};
        element(c, program, out->rank, out->dims, e, f, i);
        want[e] = norn_dtype_is_float(dtype) ? f[0] : (double)i[0];
    }
    check_against(k, c, want, tolerance);
    free(want);
}

/// Operands of an operator over [6, 5, 8]: whole, a row, a column.
static void one(checker *k, norn_scalar_op op, norn_dtype dtype, norn_dtype result, int64_t gap) {
    check_case c;
    const int64_t dims[] = {6, 5, 8}, row[] = {8}, column[] = {6, 1, 1};
    norn_scalar_load loads[3] = {{.input = 0, .dtype = dtype},
                                 {.input = 1, .dtype = dtype, .broadcast = {true, true, false}},
                                 {.input = 2, .dtype = dtype, .broadcast = {false, true, true}}};
    uint16_t arity = (uint16_t)arities[op], store = arity;
    norn_scalar_instr instrs[4];
    memset(instrs, 0, sizeof instrs);
    check_init(&c, NORN_OP_Pointwise, "pointwise %s %s -> %s%s", names[op], norn_dtype_name(dtype),
               norn_dtype_name(result), gap ? " strided" : "");
    norn_view *x = check_input(k, &c, dtype, 3, dims, 9);
    if (arity > 1) check_input(k, &c, dtype, 1, row, 9);
    if (arity > 2) check_input(k, &c, dtype, 3, column, 9);
    if (op == NORN_SCALAR_SELECT) { // (bool, x, y)
        loads[0].dtype = NORN_BOOL;
        x->dtype = NORN_BOOL;
        for (int64_t e = 0; e < 240; e++) ((uint8_t *)x->data)[e] = (uint8_t)check_below(k, 2);
    }
    for (uint32_t i = 0; !norn_dtype_is_float(dtype) && dtype != NORN_BOOL && i < c.in_count;
         i++) // no division by zero
        for (int64_t e = 0; e < norn_view_elems(&c.in[i]); e++)
            if (c.in[i].dtype == dtype)
                norn_element_set_i64(dtype, c.in[i].data, e,
                                     1 + norn_element_i64(dtype, c.in[i].data, e));
    for (uint16_t i = 0; i < arity; i++)
        instrs[i] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = loads[i].dtype, .load = i};
    instrs[arity] = (norn_scalar_instr){.op = (uint16_t)op,
                                        .dtype = result,
                                        .a = 0,
                                        .b = arity > 1 ? 1 : 0,
                                        .c = arity > 2 ? 2 : 0};
    c.region.pointwise.program = (norn_scalar_program){arity, arity + 1u, 1, loads, instrs, &store};
    check_output(&c, result, 3, dims, gap ? 8 + gap : 0);
    const norn_scalar_program *program = &c.region.pointwise.program;
    compare(k, &c, program,
            norn_dtype_is_float(result) ? (dtype == NORN_F64 ? 1e-13 : 2e-6) : 1e-12);
}

static void casts(checker *k) {
    static const norn_dtype types[] = {NORN_F32, NORN_F64, NORN_F16, NORN_BF16, NORN_I8,
                                       NORN_U8,  NORN_I16, NORN_I32, NORN_I64,  NORN_BOOL};
    for (size_t a = 0; a < sizeof types / sizeof *types; a++)
        for (size_t b = 0; b < sizeof types / sizeof *types; b++)
            if (a != b) one(k, NORN_SCALAR_CAST, types[a], types[b], (int64_t)(a + b) % 3);
}

/// Broadcasts that show only when running, and sizes that are no multiple of four.
static void shapes(checker *k) {
    static const int64_t sizes[][3] = {
        {1, 1, 1}, {3, 1, 7}, {2, 129, 4}, {1000, 1, 33}, {64, 64, 16}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int dynamic = 0; dynamic < 2; dynamic++) {
            check_case c;
            const int64_t *dims = sizes[s];
            const int64_t small[] = {dims[1], 1};
            norn_scalar_load loads[2] = {
                {.input = 0, .dtype = NORN_F32},
                {.input = 1, .dtype = NORN_F32, .broadcast = {true, false, true}}};
            if (dynamic) loads[1].dynamic = true;
            const norn_scalar_instr instrs[] = {
                {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                {.op = NORN_SCALAR_MUL, .dtype = NORN_F32, .a = 0, .b = 1},
                {.op = NORN_SCALAR_TANH, .dtype = NORN_F32, .a = 2}};
            const uint16_t store = 3;
            check_init(&c, NORN_OP_Pointwise, "pointwise [%lld,%lld,%lld]%s", (long long)dims[0],
                       (long long)dims[1], (long long)dims[2], dynamic ? " dynamic" : "");
            check_input(k, &c, NORN_F32, 3, dims, 0);
            check_input(k, &c, NORN_F32, 2, small, 0);
            c.region.pointwise.program = (norn_scalar_program){2, 4, 1, loads, instrs, &store};
            check_output(&c, NORN_F32, 3, dims, 0);
            compare(k, &c, &c.region.pointwise.program, 2e-6);
        }
}

/// Rows that end in zeros: of every alignment, beside others (a part of a Concat) and alone.
static void pads(checker *k) {
    static const int64_t sizes[][3] = {
        {1, 13, 3}, {70, 13, 3}, {33, 12, 4}, {300, 416, 16}, {5, 1, 7}};
    static const norn_dtype types[] = {NORN_F32, NORN_F16, NORN_BF16};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 6; t++) {
            check_case c;
            const norn_dtype type = types[t % 3];
            const int64_t m = sizes[s][0], n = sizes[s][1], pad = sizes[s][2], in_dims[] = {m, n},
                          out_dims[] = {m, n + pad};
            const norn_scalar_load load = {.input = 0, .dtype = NORN_F32};
            const norn_scalar_instr instrs[] = {
                {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                {.op = NORN_SCALAR_CONST, .dtype = NORN_F32, .f64 = 2},
                {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1}};
            const uint16_t store = 2;
            check_init(&c, NORN_OP_Pointwise, "pointwise [%lld,%lld] and %lld zeros of %s%s",
                       (long long)m, (long long)n, (long long)pad, norn_dtype_name(type),
                       t < 3 ? "" : " strided");
            const norn_view *in = check_input(k, &c, NORN_F32, 2, in_dims, 0);
            c.region.pointwise =
                (norn_pointwise_region){.program = {1, 3, 1, &load, instrs, &store}, .pad = pad};
            check_output(&c, type, 2, out_dims, t < 3 ? 0 : n + pad + 24);
            double *want = check_doubles(m * (n + pad));
            for (int64_t e = 0; e < m * n; e++)
                want[e / n * (n + pad) + e % n] = check_f32(in, e) + 2;
            check_against(k, &c, want, type == NORN_F32 ? 2e-6 : type == NORN_F16 ? 1e-3 : 8e-3);
            free(want);
        }
}

void check_pointwise(checker *k) {
    pads(k);
    for (int op = NORN_SCALAR_ADD; op < NORN_SCALAR_COUNT; op++) {
        bool test = (op >= NORN_SCALAR_EQ && op <= NORN_SCALAR_GE) || op == NORN_SCALAR_IS_NAN ||
                    op == NORN_SCALAR_IS_INF;
        bool logic = op == NORN_SCALAR_AND || op == NORN_SCALAR_OR || op == NORN_SCALAR_XOR ||
                     op == NORN_SCALAR_NOT;
        bool bits = op >= NORN_SCALAR_BIT_AND && op <= NORN_SCALAR_SHR;
        bool plain = op <= NORN_SCALAR_FMOD || op == NORN_SCALAR_MIN || op == NORN_SCALAR_MAX ||
                     op == NORN_SCALAR_ABS || op == NORN_SCALAR_SIGN;
        if (logic) one(k, (norn_scalar_op)op, NORN_BOOL, NORN_BOOL, op % 3);
        if (!logic && !bits) {
            one(k, (norn_scalar_op)op, NORN_F32, test ? NORN_BOOL : NORN_F32, op % 3);
            one(k, (norn_scalar_op)op, NORN_F64, test ? NORN_BOOL : NORN_F64, 0);
        }
        if (bits || plain || (test && op <= NORN_SCALAR_GE) || op == NORN_SCALAR_SELECT) {
            one(k, (norn_scalar_op)op, NORN_I32, test ? NORN_BOOL : NORN_I32, 0);
            one(k, (norn_scalar_op)op, NORN_I64, test ? NORN_BOOL : NORN_I64, 4);
        }
    }
    casts(k);
    shapes(k);
}

// ---- row reduce
static double reduce(norn_reduce_kind kind, double x, double y) {
    switch (kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        return x + y;
    case NORN_REDUCE_MAX:
        return fmax(x, y);
    case NORN_REDUCE_MIN:
        return fmin(x, y);
    case NORN_REDUCE_PROD:
        return x * y;
    }
    return 0;
}

/// square(x) reduced over the middle of [outer, n, inner], then times a scale of the inner dim.
static void row_reduce(checker *k, norn_reduce_kind kind, int64_t outer, int64_t n, int64_t inner,
                       int64_t gap) {
    static const char *const kinds[] = {"sum", "mean", "max", "min", "prod"};
    check_case c;
    const int64_t dims[] = {outer, n, inner}, out_dims[] = {outer, inner};
    const norn_scalar_load pro_load = {.input = 0, .dtype = NORN_F32};
    const norn_scalar_instr pro[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                     {.op = NORN_SCALAR_MUL, .dtype = NORN_F32}};
    const norn_scalar_load epi_loads[] = {
        {.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
        {.input = 1, .dtype = NORN_F32, .broadcast = {true, false}}};
    const norn_scalar_instr epi[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                     {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                     {.op = NORN_SCALAR_MUL, .dtype = NORN_F32, .a = 0, .b = 1}};
    const uint16_t one_store = 1, two_store = 2;
    bool last = inner == 0; // reduce the last dim: [outer, n]
    int32_t rank = last ? 2 : 3;
    check_init(&c, NORN_OP_RowReduce, "row reduce %s [%lld,%lld,%lld] gap %lld", kinds[kind],
               (long long)outer, (long long)n, (long long)inner, (long long)gap);
    const norn_view *x = check_input(k, &c, NORN_F32, rank, dims, 0),
                    *scale = check_input(k, &c, NORN_F32, 1, &inner, 0);
    c.region.row_reduce =
        (norn_row_reduce_region){.kind = kind,
                                 .reduced_dims = 1,
                                 .inner_dims = last ? 0 : 1,
                                 .prologue = {1, 2, 1, &pro_load, pro, &one_store}};
    if (!last)
        c.region.row_reduce.epilogue = (norn_scalar_program){2, 3, 1, epi_loads, epi, &two_store};
    check_output(&c, NORN_F32, last ? 1 : 2, out_dims, gap ? inner + gap : 0);
    int64_t width = last ? 1 : inner;
    double *want = check_doubles(outer * width);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < width; i++) {
            double acc = 0;
            for (int64_t r = 0; r < n; r++) {
                double v = check_f32(x, (o * n + r) * width + i);
                acc = r ? reduce(kind, acc, v * v) : v * v;
            }
            if (kind == NORN_REDUCE_MEAN) acc /= (double)n;
            want[o * width + i] = acc * (last ? 1 : check_f32(scale, i));
        }
    check_against(k, &c, want, 3e-6);
    free(want);
}

void check_row_reduce(checker *k) {
    for (int kind = 0; kind <= NORN_REDUCE_PROD; kind++) {
        row_reduce(k, (norn_reduce_kind)kind, 37, 20, 0, 0);
        row_reduce(k, (norn_reduce_kind)kind, 5, 7, 12, 0);
        row_reduce(k, (norn_reduce_kind)kind, 100, 3, 16, 5);
    }
    row_reduce(k, NORN_REDUCE_SUM, 3, 5000, 0, 0);
    row_reduce(k, NORN_REDUCE_MAX, 2000, 33, 0, 0);
}
