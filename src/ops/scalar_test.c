#include "base/memory.h"
#include "base/status.h"
#include "ops/op.h"
#include "tensor/dtype.h"
#include "testing/scalar_reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static norn_arena arena;

/// One node on scalars: its region's program, evaluated by the reference.
static double eval(norn_op_id op, norn_attrs attrs, norn_dtype in_dtype, norn_dtype out_dtype,
                   uint32_t count, const double *values) {
    norn_view in[4], out = norn_view_of(out_dtype, 0, NULL, NULL);
    norn_pointwise_region region = {.pad = 7}; // as whoever asks had it
    double load_f64[4] = {0}, out_f64;
    int64_t load_i64[4] = {0}, out_i64;
    for (uint32_t i = 0; i < count; i++) {
        in[i] = norn_view_of(op == NORN_OP_Where && i == 0 ? NORN_BOOL : in_dtype, 0, NULL, NULL);
        load_f64[i] = values[i];
        load_i64[i] = (int64_t)values[i];
    }
    assert_int_equal(
        norn_scalar_single(&arena, norn_op_info_of(op), attrs, in, count, &out, &region), NORN_OK);
    assert_int_equal(region.pad, 0);
    assert_int_equal(norn_scalar_verify(&region.program, count, 1), NORN_OK);
    norn_scalar_reference(&region.program, load_f64, load_i64, &out_f64, &out_i64);
    return norn_dtype_is_float(out_dtype) ? out_f64 : (double)out_i64;
}

static double eval_f32(norn_op_id op, double a, double b, double c) {
    return eval(op, (norn_attrs){0}, NORN_F32, NORN_F32,
                op == NORN_OP_Where ? 3
                : b == b            ? 2
                                    : 1,
                (double[]){a, b, c});
}

static void close_to(double got, double want) {
    if (isnan(want))
        assert_true(isnan(got));
    else
        assert_true(got == want || fabs(got - want) <= 2e-6 * (1 + fabs(want)));
}

static void activations_follow_their_formulas(void **state) {
    (void)state;
    const double points[] = {-30, -3, -1, -0.5, -1e-4, 0, 1e-4, 0.5, 1, 3, 30};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        double x = (double)(float)points[i], s = 1 / (1 + exp(-x));
        close_to(eval_f32(NORN_OP_Relu, x, NAN, 0), x > 0 ? x : 0);
        close_to(eval_f32(NORN_OP_Sigmoid, x, NAN, 0), s);
        close_to(eval_f32(NORN_OP_Tanh, x, NAN, 0), tanh(x));
        close_to(eval_f32(NORN_OP_Swish, x, NAN, 0), x * s);
        close_to(eval_f32(NORN_OP_Softplus, x, NAN, 0), log1p(exp(x)));
        close_to(eval_f32(NORN_OP_Gelu, x, NAN, 0), 0.5 * x * (1 + erf(x / sqrt(2))));
        close_to(eval_f32(NORN_OP_Elu, x, NAN, 0), x > 0 ? x : expm1(x));
        close_to(eval_f32(NORN_OP_Mish, x, NAN, 0), x * tanh(log1p(exp(x))));
        close_to(eval_f32(NORN_OP_HardSwish, x, NAN, 0), x * fmax(0, fmin(1, x / 6 + 0.5)));
        close_to(eval_f32(NORN_OP_LeakyRelu, x, NAN, 0), x < 0 ? 0.01 * x : x);
        close_to(eval_f32(NORN_OP_PRelu, x, 0.25, 0), x < 0 ? 0.25 * x : x);
        close_to(eval_f32(NORN_OP_Celu, x, NAN, 0), fmax(0, x) + fmin(0, expm1(x)));
        close_to(eval_f32(NORN_OP_Softsign, x, NAN, 0), x / (1 + fabs(x)));
    }
}

static void gelu_by_tanh_is_chosen_by_its_attribute(void **state) {
    (void)state;
    const norn_attr attr = {.name = "approximate", .kind = NORN_ATTR_STRING, .string = {"tanh", 4}};
    double x = 1.5,
           want = 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
    close_to(eval(NORN_OP_Gelu, (norn_attrs){&attr, 1}, NORN_F32, NORN_F32, 1, &x), want);
}

static void integers_wrap_in_their_own_type(void **state) {
    (void)state;
    assert_true(eval(NORN_OP_Add, (norn_attrs){0}, NORN_U8, NORN_U8, 2, (double[]){200, 100}) ==
                44);
    assert_true(eval(NORN_OP_Mul, (norn_attrs){0}, NORN_I8, NORN_I8, 2, (double[]){100, 2}) == -56);
    assert_true(eval(NORN_OP_Div, (norn_attrs){0}, NORN_I32, NORN_I32, 2, (double[]){7, 0}) == 0);
    assert_true(eval(NORN_OP_Mod, (norn_attrs){0}, NORN_I32, NORN_I32, 2, (double[]){-7, 3}) == 2);
    assert_true(eval(NORN_OP_Pow, (norn_attrs){0}, NORN_I64, NORN_I64, 2, (double[]){3, 4}) == 81);
}

static void shifts_past_the_type_leave_the_sign(void **state) {
    (void)state;
    const norn_attr right = {.name = "direction", .kind = NORN_ATTR_STRING, .string = {"RIGHT", 5}};
    const norn_attr left = {.name = "direction", .kind = NORN_ATTR_STRING, .string = {"LEFT", 4}};
    assert_true(eval(NORN_OP_BitShift, (norn_attrs){&right, 1}, NORN_I32, NORN_I32, 2,
                     (double[]){-8, 1}) == -4);
    assert_true(eval(NORN_OP_BitShift, (norn_attrs){&right, 1}, NORN_I32, NORN_I32, 2,
                     (double[]){-8, 40}) == -1);
    assert_true(eval(NORN_OP_BitShift, (norn_attrs){&right, 1}, NORN_I32, NORN_I32, 2,
                     (double[]){-8, -1}) == -1);
    assert_true(
        eval(NORN_OP_BitShift, (norn_attrs){&left, 1}, NORN_U8, NORN_U8, 2, (double[]){3, 9}) == 0);
    assert_true(eval(NORN_OP_BitShift, (norn_attrs){&left, 1}, NORN_U8, NORN_U8, 2,
                     (double[]){200, 1}) == 144);
}

static void a_cast_to_half_rounds(void **state) {
    (void)state;
    norn_view in = norn_view_of(NORN_F32, 0, NULL, NULL),
              out = norn_view_of(NORN_F16, 0, NULL, NULL);
    norn_pointwise_region region;
    double x = 1.0 + 1.0 / 4096, y;
    int64_t zero = 0, ignored;
    assert_int_equal(norn_scalar_single(&arena, norn_op_info_of(NORN_OP_Cast), (norn_attrs){0}, &in,
                                        1, &out, &region),
                     NORN_OK);
    norn_scalar_reference(&region.program, &x, &zero, &y, &ignored);
    assert_true(y == 1.0);
}

/// (a + b) - a in halves: 2048 + 1 is 2048 there, so fused work must lose the 1 as unfused work does.
static void nodes_of_halves_round_one_by_one_when_they_are_fused(void **state) {
    (void)state;
    static const norn_dtype halves[2] = {NORN_F16, NORN_BF16};
    static const double large[2] = {2048, 256};
    for (int h = 0; h < 2; h++) {
        const norn_dtype dtypes[2] = {halves[h], halves[h]};
        norn_scalar_builder builder = {.arena = &arena};
        norn_scalar_program program;
        uint16_t a, b, sum, difference;
        const double loads[2] = {large[h], 1};
        const int64_t none[2] = {0};
        double y;
        int64_t ignored;
        assert_int_equal(
            norn_scalar_load_of(&builder, &(norn_scalar_load){.input = 0, .dtype = halves[h]}, &a),
            NORN_OK);
        assert_int_equal(
            norn_scalar_load_of(&builder, &(norn_scalar_load){.input = 1, .dtype = halves[h]}, &b),
            NORN_OK);
        assert_int_equal(norn_scalar_emit_node(&builder, norn_op_info_of(NORN_OP_Add),
                                               (norn_attrs){0}, dtypes, (uint16_t[]){a, b}, 2,
                                               halves[h], &sum),
                         NORN_OK);
        assert_int_equal(norn_scalar_emit_node(&builder, norn_op_info_of(NORN_OP_Sub),
                                               (norn_attrs){0}, dtypes, (uint16_t[]){sum, a}, 2,
                                               halves[h], &difference),
                         NORN_OK);
        assert_int_equal(norn_scalar_finish(&builder, &difference, 1, &program), NORN_OK);
        norn_scalar_reference(&program, loads, none, &y, &ignored);
        assert_true(y == 0);
    }
}

static void comparisons_give_bools_and_where_chooses(void **state) {
    (void)state;
    assert_true(eval(NORN_OP_Less, (norn_attrs){0}, NORN_F32, NORN_BOOL, 2, (double[]){1, 2}) == 1);
    assert_true(eval(NORN_OP_Equal, (norn_attrs){0}, NORN_I64, NORN_BOOL, 2, (double[]){1, 2}) ==
                0);
    assert_true(eval_f32(NORN_OP_Where, 1, 5, 6) == 5);
    assert_true(eval_f32(NORN_OP_Where, 0, 5, 6) == 6);
}

/// Types in which an operator must have a scalar form: one of them will do.
static void every_pointwise_operator_has_a_scalar_form(void **state) {
    (void)state;
    const norn_dtype dtypes[] = {NORN_F32, NORN_I32, NORN_BOOL};
    const norn_attr attr = {.name = "direction", .kind = NORN_ATTR_STRING, .string = {"LEFT", 4}};
    for (int op = 1; op < NORN_OP_COUNT; op++) {
        const norn_op_info *info = norn_op_info_of((norn_op_id)op);
        bool has = false;
        if (!(info->flags & NORN_OP_POINTWISE)) continue;
        for (size_t i = 0; i < 3; i++) {
            norn_view in[3], out = norn_view_of(dtypes[i], 0, NULL, NULL);
            norn_pointwise_region region;
            for (int k = 0; k < 3; k++)
                in[k] = norn_view_of(op == NORN_OP_Where && k == 0 ? NORN_BOOL : dtypes[i], 0, NULL,
                                     NULL);
            uint32_t count = op == NORN_OP_Where ? 3 : 2;
            if (norn_scalar_single(&arena, info, (norn_attrs){&attr, 1}, in, count, &out,
                                   &region) != NORN_OK)
                continue;
            if (norn_scalar_verify(&region.program, count, 1) == NORN_OK) has = true;
        }
        if (!has) fail_msg("%s: %s", info->name, norn_message());
    }
}

static void types_without_a_scalar_form_are_refused(void **state) {
    (void)state;
    norn_view in[2] = {norn_view_of(NORN_STRING, 0, NULL, NULL),
                       norn_view_of(NORN_STRING, 0, NULL, NULL)};
    norn_view out = norn_view_of(NORN_BOOL, 0, NULL, NULL);
    norn_pointwise_region region;
    assert_int_equal(norn_scalar_single(&arena, norn_op_info_of(NORN_OP_Equal), (norn_attrs){0}, in,
                                        2, &out, &region),
                     NORN_UNIMPLEMENTED);
    assert_non_null(strstr(norn_message(), "string"));
}

static void verify_refuses_what_a_bad_plan_may_hold(void **state) {
    (void)state;
    norn_scalar_load load = {.input = 0, .dtype = NORN_F32};
    norn_scalar_instr instrs[2] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                   {.op = NORN_SCALAR_ADD, .dtype = NORN_F32}};
    uint16_t store = 1;
    norn_scalar_program program = {.load_count = 1,
                                   .instr_count = 2,
                                   .store_count = 1,
                                   .loads = &load,
                                   .instrs = instrs,
                                   .stores = &store};
    assert_int_equal(norn_scalar_verify(&program, 1, 1), NORN_OK);
    assert_int_equal(norn_scalar_verify(&program, 0, 1), NORN_INVALID_ARGUMENT); // no such input
    assert_int_equal(norn_scalar_verify(&program, 1, 0), NORN_INVALID_ARGUMENT); // no such output
    instrs[1].a = 1;
    assert_int_equal(norn_scalar_verify(&program, 1, 1), NORN_INVALID_ARGUMENT); // reads itself
    instrs[1].a = 0, instrs[1].dtype = NORN_I32;
    // Float operands, int result.
    assert_int_equal(norn_scalar_verify(&program, 1, 1), NORN_INVALID_ARGUMENT);
    instrs[1].dtype = NORN_F32, instrs[1].op = NORN_SCALAR_COUNT;
    assert_int_equal(norn_scalar_verify(&program, 1, 1), NORN_INVALID_ARGUMENT);
    instrs[1].op = NORN_SCALAR_ADD, instrs[0].load = 1;
    assert_int_equal(norn_scalar_verify(&program, 1, 1), NORN_INVALID_ARGUMENT); // no such operand
    instrs[0].load = 0, store = 2;
    // Stores no register.
    assert_int_equal(norn_scalar_verify(&program, 1, 1), NORN_INVALID_ARGUMENT);
}

static int setup(void **state) {
    (void)state;
    norn_arena_init(&arena, norn_alloc_heap(), 1 << 16);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    norn_arena_deinit(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_follow_their_formulas),
        cmocka_unit_test(gelu_by_tanh_is_chosen_by_its_attribute),
        cmocka_unit_test(integers_wrap_in_their_own_type),
        cmocka_unit_test(shifts_past_the_type_leave_the_sign),
        cmocka_unit_test(nodes_of_halves_round_one_by_one_when_they_are_fused),
        cmocka_unit_test(a_cast_to_half_rounds),
        cmocka_unit_test(comparisons_give_bools_and_where_chooses),
        cmocka_unit_test(every_pointwise_operator_has_a_scalar_form),
        cmocka_unit_test(types_without_a_scalar_form_are_refused),
        cmocka_unit_test(verify_refuses_what_a_bad_plan_may_hold),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
