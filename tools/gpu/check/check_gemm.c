#include "check.h"
#include "cuda/gemm/gemm.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/// op(A B + bias) in float64; inputs 0, 1 and 2 of the case.
static double *product_of(const check_case *c, int64_t m, int64_t n, int64_t kk, bool transposed,
                          ending end) {
    const norn_view *a = &c->in[0], *b = &c->in[1], *bias = &c->in[2];
    double *want = check_doubles(m * n);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < kk; p++)
                sum += norn_element_f64(a->dtype, a->data, i * kk + p) *
                       norn_element_f64(b->dtype, b->data, transposed ? j * kk + p : p * n + j);
            want[i * n + j] = finish(sum, norn_element_f64(bias->dtype, bias->data, j), end);
        }
    return want;
}

/// The same in a half type, rounded after the product and after the bias.
typedef struct half_linear {
    norn_scalar_load loads[2];
    norn_scalar_instr instrs[9];
    uint16_t store;
} half_linear;

static norn_scalar_program half_epilogue(half_linear *h, norn_dtype dtype, ending end) {
    const norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 0},
                                        {.op = NORN_SCALAR_CAST, .dtype = dtype, .a = 0},
                                        {.op = NORN_SCALAR_CAST, .dtype = NORN_F32, .a = 1},
                                        {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                        {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 2, .b = 3},
                                        {.op = NORN_SCALAR_CAST, .dtype = dtype, .a = 4},
                                        {.op = NORN_SCALAR_CAST, .dtype = NORN_F32, .a = 5},
                                        {.op = NORN_SCALAR_CONST, .dtype = NORN_F32, .f64 = 0},
                                        {.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 6, .b = 7}};
    if (end == PLAIN) return (norn_scalar_program){0};
    memcpy(h->loads, linear_loads, sizeof h->loads);
    h->loads[1].dtype = dtype;
    memcpy(h->instrs, instrs, sizeof h->instrs);
    if (end == SIGMOID)
        h->instrs[7] = (norn_scalar_instr){.op = NORN_SCALAR_SIGMOID, .dtype = NORN_F32, .a = 6};
    h->store = end == BIAS ? 6 : end == SIGMOID ? 7 : 8;
    return (norn_scalar_program){2, h->store + 1u, 1, h->loads, h->instrs, &h->store};
}

/// Take `way` for every number of rows, with the panels of weights that preparing drops where no
/// choice reads them.
typedef struct forced_way {
    norn_cuda_gemm_choice choice;
    const norn_view *b;
    const norn_gemm_region *region;
} forced_way;

static norn_status make_panels(const forced_way *forced, norn_cuda_gemm_state *state) {
    const norn_gemm_region *region = forced->region;
    const size_t size = norn_cuda_gemm_elem_bytes(state);
    const size_t bytes = (size_t)(region->n * region->k) * size;
    void *staged = NULL;
    norn_status status;
    NORN_TRY_DONE(norn_cuda_status(cudaMalloc(&staged, bytes), "weights"));
    NORN_TRY_DONE(norn_cuda_status(
        cudaMalloc(&state->panels, norn_cuda_gemm_panel_bytes(region->n, region->k, (int64_t)size)),
        "panels"));
    NORN_TRY_DONE(norn_cuda_status(
        cudaMemcpy(staged, forced->b->data, bytes, cudaMemcpyHostToDevice), "weights"));
    NORN_TRY_DONE(norn_cuda_status(
        norn_cuda_gemm_panels_launch(staged, norn_cuda_elem_of(state->numbers.a),
                                     region->b_layout == NORN_GEMM_COLUMNS, (int32_t)region->n,
                                     (int32_t)region->k, state->panels, NULL),
        "panels"));
    NORN_TRY_DONE(norn_cuda_status(cudaDeviceSynchronize(), "panels"));
done:
    (void)cudaFree(staged);
    return status;
}

static norn_status force(const void *wish, void *memory) {
    const forced_way *forced = wish;
    norn_cuda_gemm_state *state = memory;
    if (forced->choice.way == NORN_CUDA_GEMM_TILE && !state->panels)
        NORN_TRY(make_panels(forced, state));
    state->choices[0] = forced->choice;
    state->choices[0].m = INT64_MAX;
    state->choice_count = 1;
    return NORN_OK;
}

/// Take the way that is asked for, and say so; NULL: the one that was fastest.
static void take_way(check_case *c, forced_way *forced, const norn_cuda_gemm_choice *way,
                     const norn_view *b) {
    if (!way) return;
    *forced = (forced_way){*way, b, &c->region.gemm};
    c->prepared = force;
    c->wish = forced;
    const size_t used = strlen(c->label);
    snprintf(c->label + used, sizeof c->label - used, " way %d split %d groups %d", (int)way->way,
             (int)way->split, (int)way->groups);
}

/// Tensor cores in the half types: every ending, rows and columns of every alignment, results of the
/// type or of float32.
static void gemm_half(checker *k, const norn_cuda_gemm_choice *way, norn_dtype dtype,
                      norn_dtype out, int64_t m, int64_t n, int64_t kk, bool transposed, ending end,
                      int64_t stride) {
    check_case c;
    half_linear program;
    forced_way forced;
    const int64_t a_dims[] = {m, kk}, b_dims[] = {transposed ? n : kk, transposed ? kk : n},
                  out_dims[] = {m, n};
    check_init(&c, NORN_OP_GemmRegion, "gemm %s %lldx%lldx%lld %s ending %d to %s stride %lld",
               norn_dtype_name(dtype), (long long)m, (long long)n, (long long)kk,
               transposed ? "nk" : "kn", (int)end, norn_dtype_name(out), (long long)stride);
    c.region.gemm = (norn_gemm_region){.k = kk,
                                       .n = n,
                                       .out = out,
                                       .b_layout = transposed ? NORN_GEMM_COLUMNS : NORN_GEMM_ROWS,
                                       .epilogue = half_epilogue(&program, out, end)};
    (void)check_input(k, &c, dtype, 2, a_dims, 0);
    const norn_view *b = check_input(k, &c, dtype, 2, b_dims, 0);
    (void)check_input(k, &c, out, 1, &n, 0);
    c.constant[1] = c.constant[2] = true;
    take_way(&c, &forced, way, b);
    check_output(&c, out, 2, out_dims, stride);
    double *want = product_of(&c, m, n, kk, transposed, end);
    check_against(k, &c, want, out == NORN_F32 ? 5e-5 : out == NORN_F16 ? 1e-3 : 8e-3);
    free(want);
}

/// A cross layer, x0 * (A B + bias) + x; x is A where that is as wide as the result. `out` may be F32.
static void gemm_cross(checker *k, const norn_cuda_gemm_choice *way, norn_dtype dtype,
                       norn_dtype out, int64_t m, int64_t n, int64_t kk, int64_t stride) {
    check_case c;
    forced_way forced;
    const uint32_t x = n == kk ? 0 : 4;
    const norn_scalar_load loads[] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                      {.input = 2, .dtype = out, .broadcast = {true, false}},
                                      {.input = 3, .dtype = dtype},
                                      {.input = x, .dtype = dtype}};
    const norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                        {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1},
                                        {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 2},
                                        {.op = NORN_SCALAR_MUL, .dtype = NORN_F32, .a = 3, .b = 2},
                                        {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 3},
                                        {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 4, .b = 5}};
    const uint16_t store = 6;
    const int64_t a_dims[] = {m, kk}, b_dims[] = {kk, n}, out_dims[] = {m, n};
    check_init(&c, NORN_OP_GemmRegion, "cross layer %s %lldx%lldx%lld to %s stride %lld",
               norn_dtype_name(dtype), (long long)m, (long long)n, (long long)kk,
               norn_dtype_name(out), (long long)stride);
    c.precision = dtype == NORN_F32 ? NORN_PRECISION_TF32 : NORN_PRECISION_FP32;
    c.region.gemm = (norn_gemm_region){
        .k = kk, .n = n, .out = out, .epilogue = {4, 7, 1, loads, instrs, &store}};
    (void)check_input(k, &c, dtype, 2, a_dims, 0);
    const norn_view *b = check_input(k, &c, dtype, 2, b_dims, 0);
    (void)check_input(k, &c, out, 1, &n, 0);
    (void)check_input(k, &c, dtype, 2, out_dims, 0);
    if (x) (void)check_input(k, &c, dtype, 2, out_dims, 0);
    c.constant[1] = c.constant[2] = true;
    take_way(&c, &forced, way, b);
    check_output(&c, out, 2, out_dims, stride);
    double *want = product_of(&c, m, n, kk, false, BIAS);
    for (int64_t i = 0; i < m * n; i++)
        want[i] = want[i] * norn_element_f64(dtype, c.in[3].data, i) +
                  norn_element_f64(dtype, c.in[x].data, i);
    check_against(k, &c, want,
                  dtype == NORN_F32   ? 1e-3
                  : out == NORN_F32   ? 5e-5
                  : dtype == NORN_F16 ? 1e-3
                                      : 8e-3);
    free(want);
}

/// DOT and TILE end it themselves, cuBLASLt leaves it to a pointwise kernel; which is fastest at the last.
static void cross_layers(checker *k) {
    static const int64_t shapes[][3] = {{1, 432, 432},  {9, 93, 93},     {64, 432, 432},
                                        {70, 429, 429}, {130, 100, 264}, {1100, 96, 96}};
    static const norn_dtype dtypes[] = {NORN_F32, NORN_F16, NORN_BF16};
    const norn_cuda_gemm_choice ways[] = {{.way = NORN_CUDA_GEMM_LT},
                                          {.way = NORN_CUDA_GEMM_DOT},
                                          {.way = NORN_CUDA_GEMM_TILE, .split = 1, .groups = 2},
                                          {.way = NORN_CUDA_GEMM_TILE, .split = 1, .groups = 4},
                                          {.way = NORN_CUDA_GEMM_TILE, .split = 2, .groups = 4}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t d = 0; d < 3; d++)
            for (size_t w = 0; w < 6; w++) {
                const int64_t k_bytes = shapes[s][2] * norn_dtype_bits(dtypes[d]) / 8;
                const norn_dtype out = (w + s) % 2 ? NORN_F32 : dtypes[d];
                if (w == 4 && k_bytes <= 256) continue; // a stage for every block
                if (w < 5 && ways[w].way == NORN_CUDA_GEMM_TILE &&
                    (shapes[s][1] + 31) / 32 * 32 % (ways[w].groups * 16) != 0)
                    continue; // the tuner does not offer it: a block would read past the panel
                gemm_cross(k, w < 5 ? &ways[w] : NULL, dtypes[d], out, shapes[s][0], shapes[s][1],
                           shapes[s][2], (w + d) % 3 == 2 ? shapes[s][1] + 8 : 0);
            }
}

/// Floats into halves: DOT and THIN_K round as they write, after cuBLASLt the pointwise kernel does.
static void narrowing(checker *k) {
    static const int64_t shapes[][3] = {{1, 512, 13},  {7, 512, 13}, {64, 512, 13},
                                        {300, 48, 29}, {12, 33, 7},  {5, 130, 520}};
    const norn_cuda_gemm_choice ways[] = {
        {.way = NORN_CUDA_GEMM_LT}, {.way = NORN_CUDA_GEMM_DOT}, {.way = NORN_CUDA_GEMM_THIN_K}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t w = 0; w < 4; w++)
            for (int d = 0; d < 2; d++) {
                const bool thin = shapes[s][1] % 4 == 0 && shapes[s][2] <= 32;
                if (w == 2 && !thin) continue;
                gemm_half(k, w < 3 ? &ways[w] : NULL, NORN_F32, d ? NORN_BF16 : NORN_F16,
                          shapes[s][0], shapes[s][1], shapes[s][2], d, BIAS + (w + s) % 3,
                          w == 1 ? shapes[s][1] + 5
                          : d    ? shapes[s][1] + 8
                                 : 0);
            }
}

/// `way` NULL: the one that was fastest.
static void gemm_by(checker *k, const norn_cuda_gemm_choice *way, int64_t m, int64_t n, int64_t kk,
                    bool transposed, ending end, norn_precision precision, int64_t stride) {
    check_case c;
    forced_way forced;
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
        .b_layout = transposed ? NORN_GEMM_COLUMNS : NORN_GEMM_ROWS,
        .epilogue =
            end == SIGMOID ? sigmoid_epilogue() : check_linear_epilogue(end != PLAIN, end == RELU)};
    (void)check_input(k, &c, NORN_F32, 2, a_dims, 0);
    const norn_view *b = check_input(k, &c, NORN_F32, 2, b_dims, 0);
    (void)check_input(k, &c, NORN_F32, 1, &n, 0);
    c.constant[1] = c.constant[2] = true;
    take_way(&c, &forced, way, b);
    check_output(&c, NORN_F32, 2, out_dims, stride);
    double *want = product_of(&c, m, n, kk, transposed, end);
    check_against(k, &c, want, precision == NORN_PRECISION_TF32 ? 1e-3 : 2e-6);
    free(want);
}

static void gemm(checker *k, int64_t m, int64_t n, int64_t kk, bool transposed, ending end,
                 norn_precision precision, int64_t stride) {
    gemm_by(k, NULL, m, n, kk, transposed, end, precision, stride);
}

/// Our own tensor-core kernels whether or not they are the fastest: each split and width, full
/// and part tiles, k that fills no stage, rows that no vector load can read.
static void own_ways(checker *k) {
    static const int64_t shapes[][3] = {{64, 128, 512},  {1, 64, 512},   {65, 192, 528},
                                        {200, 64, 1030}, {37, 128, 479}, {130, 64, 2050},
                                        {70, 49, 512},   {64, 430, 600}, {9, 100, 512}};
    static const norn_cuda_gemm_way ways[] = {NORN_CUDA_GEMM_SKINNY, NORN_CUDA_GEMM_TILE};
    for (size_t w = 0; w < 2; w++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int32_t split = 1, turn = 0; split <= 8; split *= 2, turn++)
                for (int32_t wide = 0; wide < 2; wide++) {
                    const bool tile = ways[w] == NORN_CUDA_GEMM_TILE;
                    if (!tile && shapes[s][1] % 32) continue;
                    const norn_cuda_gemm_choice way = {
                        .way = ways[w], .split = split, .groups = tile ? 2 + 2 * wide : 1 + wide};
                    gemm_by(k, &way, shapes[s][0], shapes[s][1], shapes[s][2], wide,
                            RELU + turn % 2, NORN_PRECISION_TF32,
                            turn == 3 ? shapes[s][1] + 13 : 0);
                    if (!tile) continue;
                    const norn_dtype dtype = (turn + (int)s) % 2 ? NORN_BF16 : NORN_F16;
                    gemm_half(k, &way, dtype, wide ? NORN_F32 : dtype, shapes[s][0], shapes[s][1],
                              shapes[s][2], turn % 2, (ending)((turn + (int)s) % 4),
                              turn == 3 ? shapes[s][1] + 13 : 0);
                }
    const norn_cuda_gemm_choice dot = {.way = NORN_CUDA_GEMM_DOT};
    static const int64_t few[][3] = {
        {1, 128, 512}, {4, 49, 1030}, {9, 430, 479}, {16, 7, 33}, {300, 1, 264}};
    for (size_t s = 0; s < sizeof few / sizeof *few; s++)
        for (int d = 0; d < 4; d++) {
            const norn_dtype dtype = d % 2 ? NORN_BF16 : NORN_F16;
            gemm_half(k, &dot, dtype, d / 2 ? NORN_F32 : dtype, few[s][0], few[s][1], few[s][2],
                      d % 2, (ending)((d + (int)s) % 4), 0);
        }
}

static void half_types(checker *k) {
    static const int64_t rows[] = {1, 3, 17, 64, 200};
    static const int64_t shapes[][2] = {{512, 13}, {256, 512}, {1024, 479},
                                        {1, 256},  {7, 33},    {48, 1}};
    for (size_t d = 0; d < 2; d++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                gemm_half(k, NULL, d ? NORN_BF16 : NORN_F16,
                          r % 2 ? NORN_F32
                          : d   ? NORN_BF16
                                : NORN_F16,
                          rows[r], shapes[s][0], shapes[s][1], (r + s) % 2 == 0,
                          (ending)((r + s + d) % 4),
                          r % 3 == 2 ? shapes[s][0] + 11 + (int64_t)r : 0);
}

void check_gemm(checker *k) {
    own_ways(k);
    half_types(k);
    cross_layers(k);
    narrowing(k);
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
