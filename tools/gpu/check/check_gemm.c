#include "check.h"
#include "tensor/view.h"

#include <math.h>
#include <stdlib.h>

static const norn_scalar_load linear_loads[2] = {
    {.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
    {.input = 2, .dtype = NORN_F32, .broadcast = {true, false}}};
static const norn_scalar_instr linear_instrs[] = {
    {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 0},
    {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
    {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1},
    {.op = NORN_SCALAR_CONST, .dtype = NORN_F32, .f64 = 0},
    {.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 2, .b = 3},
    {.op = NORN_SCALAR_SIGMOID, .dtype = NORN_F32, .a = 2}};
static const uint16_t linear_stores[] = {2, 4, 5, 0};

norn_scalar_program check_linear_epilogue(bool bias, bool relu) {
    if (!bias) return (norn_scalar_program){0};
    return (norn_scalar_program){
        2, relu ? 5 : 3, 1, linear_loads, linear_instrs, &linear_stores[relu ? 1 : 0]};
}
static norn_scalar_program sigmoid_epilogue(void) {
    return (norn_scalar_program){2, 6, 1, linear_loads, linear_instrs, &linear_stores[2]};
}

typedef enum ending { PLAIN, BIAS, RELU, SIGMOID } ending;

static double finish(double x, double bias, ending end) {
    if (end == PLAIN) return x;
    x += bias;
    if (end == RELU) return x > 0 ? x : 0;
    return end == SIGMOID ? 1 / (1 + exp(-x)) : x;
}

static void gemm(checker *k, int64_t m, int64_t n, int64_t kk, bool transposed, ending end,
                 norn_precision precision, int64_t stride) {
    check_case c;
    const int64_t a_dims[] = {m, kk}, b_dims[] = {transposed ? n : kk, transposed ? kk : n},
                  out_dims[] = {m, n};
    check_init(&c, NORN_OP_GemmRegion, "gemm %lldx%lldx%lld %s%s%s stride %lld", (long long)m,
               (long long)n, (long long)kk, transposed ? "nk " : "kn ",
               end == RELU      ? "relu "
               : end == SIGMOID ? "sigmoid "
               : end == BIAS    ? "bias "
                                : "",
               precision == NORN_PRECISION_TF32 ? "tf32" : "fp32", (long long)stride);
    c.precision = precision;
    c.region.gemm = (norn_gemm_region){
        .k = kk,
        .n = n,
        .b_transposed = transposed,
        .epilogue =
            end == SIGMOID ? sigmoid_epilogue() : check_linear_epilogue(end != PLAIN, end == RELU)};
    const norn_view *a = check_input(k, &c, NORN_F32, 2, a_dims, 0),
                    *b = check_input(k, &c, NORN_F32, 2, b_dims, 0);
    const norn_view *bias = check_input(k, &c, NORN_F32, 1, &n, 0);
    c.constant[1] = c.constant[2] = true;
    check_output(&c, NORN_F32, 2, out_dims, stride);
    double *want = check_doubles(m * n);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < kk; p++)
                sum += check_f32(a, i * kk + p) * check_f32(b, transposed ? j * kk + p : p * n + j);
            want[i * n + j] = finish(sum, check_f32(bias, j), end);
        }
    check_against(k, &c, want, precision == NORN_PRECISION_TF32 ? 1e-3 : 2e-6);
    free(want);
}

void check_gemm(checker *k) {
    static const int64_t rows[] = {1, 3, 8, 17, 64, 200};
    static const int64_t shapes[][2] = {{512, 13},  {256, 512}, {1024, 479}, {1, 256},
                                        {128, 256}, {48, 100},  {30, 7},     {7, 33}};
    for (size_t p = 0; p < 2; p++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                gemm(k, rows[r], shapes[s][0], shapes[s][1], (r + s) % 2 == 0,
                     (ending)((r + s + p) % 4), p ? NORN_PRECISION_TF32 : NORN_PRECISION_FP32,
                     r % 3 == 2 ? shapes[s][0] + 12 + (int64_t)r : 0);
    gemm(k, 3000, 1, 256, true, SIGMOID, NORN_PRECISION_FP32, 0);
    gemm(k, 5000, 512, 13, true, RELU, NORN_PRECISION_FP32, 0);
}
