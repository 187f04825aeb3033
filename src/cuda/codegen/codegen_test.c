// Generated CUDA source: every scalar operation compiles for every dtype that it takes, and the
// shapes of the loops are as expected. NVRTC needs no GPU.
#include "cuda/gemm/gemm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int arities[] = {
#define NORN_SCALAR(name, arity, expression) arity,
#include "graph/scalar_table.inc"
#undef NORN_SCALAR
};

static norn_device *device;

static int open_device(void **state) {
    (void)state;
    return norn_backend_open(0, norn_alloc_heap(), &device) == NORN_OK ? 0 : -1;
}
static int close_device(void **state) {
    (void)state;
    device->ops->destroy(device);
    return 0;
}

static char *source_of(const norn_scalar_program *program, int32_t rank, const norn_view *stores) {
    norn_buffer buffer;
    norn_buffer_init(&buffer, norn_alloc_heap());
    assert_int_equal(norn_cuda_pointwise_source(program, rank, stores, &buffer), NORN_OK);
    char *text = strdup((const char *)buffer.bytes);
    norn_buffer_deinit(&buffer);
    return text;
}

static void compiles(const char *source) {
    norn_span code;
    norn_status status = norn_cuda_compile(source, 90, norn_alloc_heap(), &code);
    if (status != NORN_OK) fail_msg("%s\n%s", norn_message(), strstr(source, "program("));
    assert_true(code.count > 1000);
    norn_free(norn_alloc_heap(), (void *)(uintptr_t)code.bytes);
}

/// Every operation at once, each stored through a sum so that none is dropped.
static uint32_t every_op(norn_dtype dtype, norn_scalar_instr *instrs, norn_scalar_load *loads) {
    uint32_t n = 0;
    bool real = norn_dtype_is_float(dtype);
    for (uint16_t i = 0; i < 3; i++) {
        loads[i] = (norn_scalar_load){.input = i, .dtype = dtype, .broadcast = {i == 1, i == 2}};
        instrs[n++] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = dtype, .load = i};
    }
    instrs[n++] = (norn_scalar_instr){.op = NORN_SCALAR_NE, .dtype = NORN_BOOL, .a = 0, .b = 1};
    instrs[n++] =
        (norn_scalar_instr){.op = NORN_SCALAR_CONST, .dtype = dtype, .f64 = 1.5, .i64 = 3};
    uint16_t sum = (uint16_t)(n - 1);
    for (int op = NORN_SCALAR_ADD; op < NORN_SCALAR_COUNT; op++) {
        bool test = (op >= NORN_SCALAR_EQ && op <= NORN_SCALAR_GE) || op == NORN_SCALAR_IS_NAN ||
                    op == NORN_SCALAR_IS_INF;
        bool logic = op >= NORN_SCALAR_AND && op <= NORN_SCALAR_NOT;
        bool bits = op >= NORN_SCALAR_BIT_AND && op <= NORN_SCALAR_SHR;
        bool of_reals =
            (op >= NORN_SCALAR_SQRT && op <= NORN_SCALAR_ROUND && op != NORN_SCALAR_RECIP) ||
            op == NORN_SCALAR_IS_INF;
        if ((bits && real) || (of_reals && !real)) continue;
        uint16_t a = logic || op == NORN_SCALAR_SELECT ? 3 : 0, b = logic ? 3 : 1;
        instrs[n++] = (norn_scalar_instr){.op = (uint16_t)op,
                                          .dtype = test || logic ? NORN_BOOL : dtype,
                                          .a = a,
                                          .b = arities[op] > 1 ? b : 0,
                                          .c = arities[op] > 2 ? 2 : 0};
        instrs[n] =
            (norn_scalar_instr){.op = NORN_SCALAR_CAST, .dtype = dtype, .a = (uint16_t)(n - 1)};
        n++;
        instrs[n] = (norn_scalar_instr){
            .op = NORN_SCALAR_ADD, .dtype = dtype, .a = sum, .b = (uint16_t)(n - 1)};
        n++;
        sum = (uint16_t)(n - 1);
    }
    return n;
}

static void every_operation_compiles_for(norn_dtype dtype) {
    norn_scalar_instr instrs[NORN_SCALAR_INSTR_MAX];
    norn_scalar_load loads[3];
    uint32_t count = every_op(dtype, instrs, loads);
    const uint16_t store = (uint16_t)(count - 1);
    const norn_scalar_program program = {3, count, 1, loads, instrs, &store};
    const int64_t dims[] = {4, 8};
    norn_view out = norn_view_of(dtype, 2, dims, NULL);
    assert_true(norn_cuda_program_supported(&program));
    char *source = source_of(&program, 2, &out);
    compiles(source);
    free(source);
}

static void every_operation_compiles_for_float32(void **state) {
    (void)state;
    every_operation_compiles_for(NORN_F32);
}
static void every_operation_compiles_for_float64(void **state) {
    (void)state;
    every_operation_compiles_for(NORN_F64);
}
static void every_operation_compiles_for_half_types(void **state) {
    (void)state;
    every_operation_compiles_for(NORN_F16);
    every_operation_compiles_for(NORN_BF16);
}
static void every_operation_compiles_for_integers(void **state) {
    (void)state;
    static const norn_dtype dtypes[] = {NORN_I64, NORN_I32, NORN_U8};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        every_operation_compiles_for(dtypes[i]);
}

static void a_bias_and_relu_print_as_expected(void **state) {
    (void)state;
    const norn_scalar_load loads[] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                      {.input = 2, .dtype = NORN_F32, .broadcast = {true, false}}};
    const norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                        {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1},
                                        {.op = NORN_SCALAR_CONST, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 2, .b = 3}};
    const uint16_t store = 4;
    const norn_scalar_program program = {2, 5, 1, loads, instrs, &store};
    const int64_t dims[] = {4, 8};
    norn_view out = norn_view_of(NORN_F32, 2, dims, NULL);
    char *source = source_of(&program, 2, &out);
    assert_non_null(strstr(
        source, "static __device__ __forceinline__ void program(float v0, float v1, float &s0) {\n"
                "    const float r0 = (float)v0;\n"
                "    const float r1 = (float)v1;\n"
                "    const float r2 = (float)(r0 + r1);\n"
                "    const float r3 = (float)0x0p+0;\n"
                "    const float r4 = (float)(norn_max(r2, r3));\n"
                "    s0 = r4;\n}\n"));
    assert_non_null(strstr(
        source, "const norn_four<float> x1 = ((const norn_four<float> *)a.load[1])[(i1) / 4];"));
    assert_non_null(strstr(source, "((norn_four<float> *)a.store[0])[((long long)(e / (I)a.dim[1]) "
                                   "* a.row_stride[0] + i1) / 4] = o0;"));
    free(source);
}

static void loop_dims_merge_where_operands_agree(void **state) {
    (void)state;
    const norn_scalar_load loads[] = {{.broadcast = {false, false, false, false}},
                                      {.broadcast = {true, true, false, false}}};
    const norn_scalar_program program = {.load_count = 2, .loads = loads};
    const int64_t dims[] = {2, 3, 5, 7};
    int64_t merged[NORN_MAX_RANK];
    norn_cuda_loop loop;
    norn_cuda_loop_of(&program, 4, false, &loop);
    norn_cuda_loop_dims(&loop, dims, merged);
    assert_int_equal(loop.count, 2);
    assert_int_equal(merged[0], 6);
    assert_int_equal(merged[1], 35);
    assert_true(loop.repeats[1][0] && !loop.repeats[1][1] && !loop.repeats[0][0]);
    norn_cuda_loop_of(&program, 4, true, &loop);
    assert_int_equal(loop.count, 3); // strided stores keep the last dim by itself
}

static void a_row_reduce_compiles_with_inner_dims_and_an_epilogue(void **state) {
    (void)state;
    const norn_scalar_load loads[] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                      {.input = 1, .dtype = NORN_F32, .broadcast = {true, false}}};
    const norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                        {.op = NORN_SCALAR_DIV, .dtype = NORN_F32, .a = 0, .b = 1}};
    const uint16_t store = 2;
    norn_region region = {.row_reduce = {.kind = NORN_REDUCE_MEAN,
                                         .reduced_dims = 1,
                                         .inner_dims = 1,
                                         .epilogue = {2, 3, 1, loads, instrs, &store}}};
    const int64_t in_dims[] = {4, 6, 8}, scale[] = {8}, out_dims[] = {4, 8};
    const norn_dtype dtypes[] = {NORN_F32, NORN_I64, NORN_F16, NORN_U8};
    for (size_t i = 0; i < 4; i++) {
        norn_view in[] = {norn_view_of(dtypes[i], 3, in_dims, NULL),
                          norn_view_of(NORN_F32, 1, scale, NULL)};
        norn_view out = norn_view_of(NORN_F32, 2, out_dims, NULL);
        norn_step_spec spec = {.name = "mean",
                               .op = NORN_OP_RowReduce,
                               .region = &region,
                               .in = in,
                               .out = &out,
                               .in_count = 2,
                               .out_count = 1};
        norn_span code;
        assert_non_null(norn_target_kernel(&device->target, &spec));
        norn_status status =
            device->target.ops->codegen(&device->target, &spec, norn_alloc_heap(), &code);
        if (status != NORN_OK) fail_msg("%s", norn_message());
        assert_true(code.count > 1000);
        norn_free(norn_alloc_heap(), (void *)(uintptr_t)code.bytes);
    }
}

static void broken_source_names_the_error(void **state) {
    (void)state;
    norn_span code;
    assert_int_equal(norn_cuda_compile("extern \"C\" __global__ void f() { nothing(); }", 90,
                                       norn_alloc_heap(), &code),
                     NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "nothing"));
}

static void a_corrupt_code_object_is_refused(void **state) {
    (void)state;
    norn_cuda_module module;
    uint8_t bytes[64] = {0};
    const norn_cuda_device *cuda = norn_cuda_device_of(device);
    assert_int_equal(norn_cuda_module_load(cuda, norn_span_of(bytes, 3), &module), NORN_DATA_LOSS);
    assert_int_equal(norn_cuda_module_load(cuda, norn_span_of(bytes, sizeof bytes), &module),
                     NORN_DATA_LOSS);
}

static void strings_have_no_cuda_form(void **state) {
    (void)state;
    const norn_scalar_load load = {.dtype = NORN_STRING};
    const norn_scalar_program program = {.load_count = 1, .loads = &load};
    assert_false(norn_cuda_program_supported(&program));
}

static const norn_numbers f32 = {NORN_F32, NORN_F32, NORN_F32, NORN_F32, false},
                          f16 = {NORN_F16, NORN_F16, NORN_F32, NORN_F16, false};

static void bias_and_relu_go_into_the_product(void **state) {
    (void)state;
    const norn_scalar_load loads[] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                      {.input = 3, .dtype = NORN_F32, .broadcast = {true, false}}};
    norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                  {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                  {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 1, .b = 0},
                                  {.op = NORN_SCALAR_CONST, .dtype = NORN_F32},
                                  {.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 2, .b = 3}};
    const uint16_t add = 2, max = 4;
    norn_scalar_program program = {2, 5, 1, loads, instrs, &max};
    norn_cuda_epilogue found = norn_cuda_epilogue_match(&program, &f32);
    assert_int_equal(found.ending, NORN_CUDA_ENDING_ANY);
    assert_true(found.has_bias);
    assert_int_equal(found.bias_input, 3);
    assert_int_equal(found.activation, NORN_CUDA_RELU);
    program.stores = &add;
    found = norn_cuda_epilogue_match(&program, &f32);
    assert_true(found.has_bias);
    assert_int_equal(found.activation, NORN_CUDA_LINEAR);
    program.stores = &max;
    instrs[3].f64 = 6; // max(x, 6) is no ReLU
    assert_int_equal(norn_cuda_epilogue_match(&program, &f32).ending, NORN_CUDA_ENDING_POINTWISE);
    program.instr_count = 0;
    found = norn_cuda_epilogue_match(&program, &f32);
    assert_int_equal(found.ending, NORN_CUDA_ENDING_ANY);
    assert_false(found.has_bias);
}

/// Rounding in between is left to the product's end; a bias of another type is not the product's.
static void half_products_take_bias_relu_and_sigmoid_but_no_more(void **state) {
    (void)state;
    norn_scalar_load loads[] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                {.input = 2, .dtype = NORN_F16, .broadcast = {true, false}}};
    norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                  {.op = NORN_SCALAR_CAST, .dtype = NORN_F16, .a = 0},
                                  {.op = NORN_SCALAR_CAST, .dtype = NORN_F32, .a = 1},
                                  {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                  {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 2, .b = 3},
                                  {.op = NORN_SCALAR_CAST, .dtype = NORN_F16, .a = 4},
                                  {.op = NORN_SCALAR_CAST, .dtype = NORN_F32, .a = 5},
                                  {.op = NORN_SCALAR_CONST, .dtype = NORN_F32},
                                  {.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 6, .b = 7}};
    const uint16_t store = 8;
    const norn_scalar_program program = {2, 9, 1, loads, instrs, &store};
    norn_cuda_epilogue found = norn_cuda_epilogue_match(&program, &f16);
    assert_int_equal(found.ending, NORN_CUDA_ENDING_ANY);
    assert_true(found.has_bias);
    assert_int_equal(found.bias_input, 2);
    assert_int_equal(found.activation, NORN_CUDA_RELU);
    loads[1].dtype = NORN_F32;
    assert_int_equal(norn_cuda_epilogue_match(&program, &f16).ending, NORN_CUDA_ENDING_POINTWISE);
    loads[1].dtype = NORN_F16;
    instrs[8] = (norn_scalar_instr){.op = NORN_SCALAR_SIGMOID, .dtype = NORN_F32, .a = 6};
    found = norn_cuda_epilogue_match(&program, &f16); // cuBLASLt has no sigmoid
    assert_int_equal(found.ending, NORN_CUDA_ENDING_OWN);
    assert_int_equal(found.activation, NORN_CUDA_SIGMOID);
    assert_true(found.has_bias);
    instrs[8].op = NORN_SCALAR_TANH;
    assert_int_equal(norn_cuda_epilogue_match(&program, &f16).ending, NORN_CUDA_ENDING_POINTWISE);
}

static void floats_into_halves_end_in_our_own_kernels(void **state) {
    (void)state;
    const norn_scalar_load load = {.input = NORN_SCALAR_ACC, .dtype = NORN_F32};
    const norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_CONST, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_MAX, .dtype = NORN_F32, .a = 0, .b = 1}};
    const uint16_t store = 2;
    const norn_scalar_program program = {1, 3, 1, &load, instrs, &store};
    norn_numbers numbers = f32;
    assert_int_equal(norn_cuda_epilogue_match(&program, &numbers).ending, NORN_CUDA_ENDING_ANY);
    numbers.out = NORN_F16; // cuBLASLt writes no halves from floats
    assert_int_equal(norn_cuda_epilogue_match(&program, &numbers).ending, NORN_CUDA_ENDING_OWN);
}

/// x0 * (acc + bias) + x with its operands in either order; where one repeats or is of another type, or
/// more is done, it is no cross layer.
static void a_cross_layer_ends_in_our_own_kernels(void **state) {
    (void)state;
    for (int turn = 0; turn < 8; turn++) {
        norn_scalar_load loads[] = {{.input = NORN_SCALAR_ACC, .dtype = NORN_F32},
                                    {.input = 2, .dtype = NORN_F16, .broadcast = {true, false}},
                                    {.input = 3, .dtype = NORN_F16},
                                    {.input = 0, .dtype = NORN_F16}};
        norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                      {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
                                      {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1},
                                      {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 2},
                                      {.op = NORN_SCALAR_MUL, .dtype = NORN_F32, .a = 3, .b = 2},
                                      {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 3},
                                      {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 4, .b = 5},
                                      {.op = NORN_SCALAR_TANH, .dtype = NORN_F32, .a = 6}};
        if (turn & 1) instrs[4].a = 2, instrs[4].b = 3;
        if (turn & 2) instrs[6].a = 5, instrs[6].b = 4;
        uint16_t store = 6;
        const norn_scalar_program program = {4, 8, 1, loads, instrs, &store};
        norn_cuda_epilogue found = norn_cuda_epilogue_match(&program, &f16);
        assert_int_equal(found.ending, NORN_CUDA_ENDING_OWN);
        assert_true(found.crosses && found.has_bias);
        assert_int_equal(found.bias_input, 2);
        assert_int_equal(found.times_input, 3);
        assert_int_equal(found.plus_input, 0);
        assert_int_equal(found.activation, NORN_CUDA_LINEAR);
        if (turn & 4)
            store = 7;
        else if (turn & 1)
            loads[3].broadcast[1] = true;
        else
            loads[2].dtype = NORN_F32;
        found = norn_cuda_epilogue_match(&program, &f16);
        assert_int_equal(found.ending, NORN_CUDA_ENDING_POINTWISE);
        assert_false(found.crosses);
    }
}

static void a_constant_bias_and_sigmoid_end_in_our_own_kernels(void **state) {
    (void)state;
    const norn_scalar_load load = {.input = NORN_SCALAR_ACC, .dtype = NORN_F32};
    const norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                        {.op = NORN_SCALAR_CONST, .dtype = NORN_F32, .f64 = 0.25},
                                        {.op = NORN_SCALAR_ADD, .dtype = NORN_F32, .a = 0, .b = 1},
                                        {.op = NORN_SCALAR_SIGMOID, .dtype = NORN_F32, .a = 2}};
    const uint16_t store = 3;
    const norn_scalar_program program = {1, 4, 1, &load, instrs, &store};
    norn_cuda_epilogue found = norn_cuda_epilogue_match(&program, &f32);
    assert_int_equal(found.ending, NORN_CUDA_ENDING_OWN);
    assert_int_equal(found.activation, NORN_CUDA_SIGMOID);
    assert_true(found.bias_value == 0.25f);
}

static void without_a_gpu_the_device_compiles_and_refuses_to_run(void **state) {
    (void)state;
    assert_string_equal(device->target.ops->kind, "cuda");
    assert_non_null(strstr(device->target.ops->stamp(&device->target), "cuda sm_"));
    if (device->can_run) skip();
    void *memory;
    norn_stream *stream;
    assert_int_equal(device->ops->memory_create(device, NORN_MEMORY_DEVICE, 16, &memory),
                     NORN_UNAVAILABLE);
    assert_int_equal(device->ops->stream_create(device, NULL, &stream), NORN_UNAVAILABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_compiles_for_float32),
        cmocka_unit_test(every_operation_compiles_for_float64),
        cmocka_unit_test(every_operation_compiles_for_half_types),
        cmocka_unit_test(every_operation_compiles_for_integers),
        cmocka_unit_test(a_bias_and_relu_print_as_expected),
        cmocka_unit_test(loop_dims_merge_where_operands_agree),
        cmocka_unit_test(a_row_reduce_compiles_with_inner_dims_and_an_epilogue),
        cmocka_unit_test(broken_source_names_the_error),
        cmocka_unit_test(a_corrupt_code_object_is_refused),
        cmocka_unit_test(strings_have_no_cuda_form),
        cmocka_unit_test(bias_and_relu_go_into_the_product),
        cmocka_unit_test(half_products_take_bias_relu_and_sigmoid_but_no_more),
        cmocka_unit_test(floats_into_halves_end_in_our_own_kernels),
        cmocka_unit_test(a_cross_layer_ends_in_our_own_kernels),
        cmocka_unit_test(a_constant_bias_and_sigmoid_end_in_our_own_kernels),
        cmocka_unit_test(without_a_gpu_the_device_compiles_and_refuses_to_run),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
