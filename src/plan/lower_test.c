#include "base/memory.h"
#include "testing/hand_graph.h"

static norn_value *view_node(hand *h, norn_op_id op, const char *name, norn_value *in,
                             norn_shape shape) {
    norn_value *out = hand_value(h, name, in->dtype, shape);
    hand_node(h, op, name, &in, 1, &out, 1, (norn_attrs){0}, NULL);
    return out;
}

static norn_value *concat(hand *h, const char *name, norn_value **in, uint32_t count, int64_t axis,
                          norn_shape shape) {
    norn_value *out = hand_value(h, name, NORN_F32, shape);
    static norn_attr attrs[8];
    static int used;
    norn_attr *attr = &attrs[used++ % 8];
    *attr = (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = axis};
    hand_node(h, NORN_OP_Concat, name, in, count, &out, 1, (norn_attrs){attr, 1}, NULL);
    return out;
}

static char *text_of(const norn_plan *plan) {
    static char text[4096];
    norn_buffer out;
    norn_buffer_init(&out, norn_alloc_heap());
    norn_program_print(plan->program, &out);
    snprintf(text, sizeof text, "%.*s", (int)out.count, (const char *)out.bytes);
    norn_buffer_deinit(&out);
    return text;
}

static const norn_slot *output_of(const norn_plan *plan, uint32_t step) {
    return &plan->program->slots[plan->program->steps[step].out[0]];
}

static norn_shape rows3(const hand *h, int64_t a, int64_t b) {
    norn_shape shape = {.rank = 3,
                        .dims = {norn_dim_symbol(h->batch), norn_dim_const(a), norn_dim_const(b)}};
    return shape;
}

static void a_reshape_is_no_step_but_a_view(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    norn_value *y = hand_gemm(&h, "y", x, 8, 6, false);
    norn_value *z =
        view_node(&h, NORN_OP_Identity, "z",
                  view_node(&h, NORN_OP_Identity, "y2", y, hand_rows(&h, 6)), hand_rows(&h, 6));
    hand_output(&h, hand_gemm(&h, "end", z, 6, 2, false));
    norn_plan *plan = hand_plan(&h, "cpu");
    assert_int_equal(plan->program->step_count, 2);
    const norn_slot *read = &plan->program->slots[plan->program->steps[1].in[0]];
    assert_int_equal(read->kind, NORN_SLOT_ALIAS);
    assert_ptr_equal(&plan->program->slots[read->root], output_of(plan, 0));
    assert_int_equal(plan->program->slots[read->root].last, 1);
    norn_plan_release(plan);
}

static void a_concat_of_products_is_where_they_are_written(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    norn_value *parts[3] = {hand_gemm(&h, "a", x, 8, 3, false), x,
                            hand_gemm(&h, "b", x, 8, 5, false)};
    norn_value *all = concat(&h, "all", parts, 3, -1, hand_rows(&h, 16));
    hand_output(&h, hand_gemm(&h, "end", all, 16, 2, false));
    norn_plan *plan = hand_plan(&h, "cpu");
    // a, b, the copy of x between them, end.
    assert_int_equal(plan->program->step_count, 4);
    assert_int_equal(output_of(plan, 0)->row_stride, 16);
    assert_int_equal(output_of(plan, 0)->column, 0);
    assert_int_equal(output_of(plan, 1)->column, 11);
    assert_int_equal(plan->program->steps[2].kind, NORN_STEP_PLACE);
    assert_int_equal(output_of(plan, 2)->column, 3);
    assert_int_equal(output_of(plan, 0)->root, output_of(plan, 1)->root);
    const norn_slot *root = &plan->program->slots[output_of(plan, 0)->root];
    assert_int_equal(root->first, 0);
    assert_int_equal(root->last, 3);
    norn_plan_release(plan);
}

static void vectors_that_are_stacked_are_written_into_the_stack(void **state) {
    (void)state;
    // [B, 4] -> Unsqueeze -> [B, 1, 4], stacked to [B, 2, 4]: as DLRM's exporters write it.
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    norn_value *parts[2];
    for (int i = 0; i < 2; i++) {
        char name[2] = {(char)('a' + i), 0};
        norn_value *v = hand_gemm(&h, name, x, 8, 4, false);
        norn_shape shape = rows3(&h, 1, 4);
        // One input, as passes leave a Reshape to a known shape.
        norn_value *out = hand_value(&h, i ? "b3" : "a3", NORN_F32, shape);
        static const norn_attr known = {
            .name = "norn_static_shape", .kind = NORN_ATTR_INT, .i64 = 1};
        hand_node(&h, NORN_OP_Reshape, out->name, &v, 1, &out, 1, (norn_attrs){&known, 1}, NULL);
        parts[i] = out;
    }
    hand_output(&h, concat(&h, "all", parts, 2, 1, rows3(&h, 2, 4)));
    norn_plan *plan = hand_plan(&h, "cpu");
    assert_int_equal(plan->program->step_count, 2);
    assert_int_equal(output_of(plan, 1)->row_stride, 8);
    assert_int_equal(output_of(plan, 1)->column, 4);
    norn_plan_release(plan);
}

static void a_value_with_two_readers_is_copied_into_a_concat(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    norn_value *a = hand_gemm(&h, "a", x, 8, 3, false), *b = hand_gemm(&h, "b", a, 3, 5, false);
    hand_output(&h, concat(&h, "all", (norn_value *[]){a, b}, 2, 1, hand_rows(&h, 8)));
    norn_plan *plan = hand_plan(&h, "cpu");
    assert_int_equal(plan->program->step_count, 3);
    assert_int_equal(output_of(plan, 0)->row_stride, 0);
    assert_int_equal(output_of(plan, 1)->row_stride, 8);
    assert_int_equal(plan->program->steps[2].kind, NORN_STEP_PLACE);
    norn_plan_release(plan);
}

static void a_concat_in_a_concat_is_one_place(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    norn_value *a = hand_gemm(&h, "a", x, 8, 3, false), *b = hand_gemm(&h, "b", x, 8, 5, false);
    norn_value *c = hand_gemm(&h, "c", x, 8, 2, false);
    norn_value *inner = concat(&h, "inner", (norn_value *[]){a, b}, 2, 1, hand_rows(&h, 8));
    hand_output(&h, concat(&h, "outer", (norn_value *[]){c, inner}, 2, 1, hand_rows(&h, 10)));
    norn_plan *plan = hand_plan(&h, "cpu");
    char *text = text_of(plan);
    // A Concat is no strided operator, so the inner one is copied as a whole into the outer.
    assert_non_null(strstr(text, "place Concat(inner)"));
    norn_plan_release(plan);
}

static void an_operator_without_a_kernel_is_named(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8)),
               *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 8));
    // A region without passes.
    hand_node(&h, NORN_OP_Relu, "top/Relu_3", &x, 1, &y, 1, (norn_attrs){0}, NULL);
    hand_output(&h, y);
    norn_plan *plan;
    HAND_OK(norn_plan_create(norn_alloc_heap(), &plan));
    plan->graph = h.graph;
    norn_device_offer(&norn_cpu_kind);
    HAND_OK(norn_plan_open_devices(plan, NULL));
    assert_int_equal(norn_plan_finish(plan), NORN_UNIMPLEMENTED);
    assert_non_null(strstr(norn_message(), "node 'top/Relu_3': operator Relu"));
    norn_plan_release(plan);
}

static void outputs_that_are_inputs_or_constants_are_ports_too(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 16);
    float three = 3;
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    hand_output(&h, x);
    hand_output(&h, hand_const(&h, "three", NORN_F32, 0, NULL, &three));
    norn_plan *plan = hand_plan(&h, "cpu");
    assert_int_equal(plan->program->step_count, 0);
    assert_int_equal(norn_plan_output(plan, 0)->dims[0], -1);
    assert_int_equal(norn_plan_output(plan, 1)->rank, 0);
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reshape_is_no_step_but_a_view),
        cmocka_unit_test(a_concat_of_products_is_where_they_are_written),
        cmocka_unit_test(vectors_that_are_stacked_are_written_into_the_stack),
        cmocka_unit_test(a_value_with_two_readers_is_copied_into_a_concat),
        cmocka_unit_test(a_concat_in_a_concat_is_one_place),
        cmocka_unit_test(an_operator_without_a_kernel_is_named),
        cmocka_unit_test(outputs_that_are_inputs_or_constants_are_ports_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
