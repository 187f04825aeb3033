#include "plan/memory_plan.h"
#include "plan/step_order.h"
#include "testing/hand_graph.h"

#include "testing/fake_device.h"

/// x -> left, right -> sum of a product of each.
static norn_plan *diamond(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *root = hand_gemm(&h, "root", x, 4, 8, true);
    norn_value *left = hand_gemm(&h, "left", root, 8, 8, true);
    norn_value *right = hand_gemm(&h, "right", root, 8, 8, true);
    norn_value *left2 = hand_gemm(&h, "left2", left, 8, 8, true);
    norn_value *right2 = hand_gemm(&h, "right2", right, 8, 8, true);
    hand_output(&h, left2);
    hand_output(&h, right2);
    return hand_plan(&h, "fake");
}

static int begin(void **state) {
    (void)state;
    memset(&fake_log, 0, sizeof fake_log);
    norn_device_register("fake", fake_open);
    return 0;
}

static uint32_t step_named(const norn_plan *plan, const char *name) {
    for (uint32_t i = 0; i < plan->program->step_count; i++)
        if (strcmp(plan->program->steps[i].node->name, name) == 0) return i;
    fail_msg("no step '%s'", name);
    return 0;
}

static bool comes_before(const norn_plan *plan, const char *a, const char *b) {
    const norn_step_order *order = plan->program->order;
    return norn_step_set_has(order->past + step_named(plan, b) * order->words, step_named(plan, a));
}

static void a_step_comes_after_what_it_reads_and_all_before_that(void **state) {
    (void)state;
    norn_plan *plan = diamond();
    assert_non_null(plan->program->order);
    assert_true(comes_before(plan, "root", "left"));
    assert_true(comes_before(plan, "root", "right2"));
    assert_true(comes_before(plan, "right", "right2"));
    assert_false(comes_before(plan, "left", "right"));
    assert_false(comes_before(plan, "left", "right2"));
    assert_false(comes_before(plan, "right2", "right"));
    norn_plan_release(plan);
}

static void branches_get_lanes_and_wait_where_they_leave_the_first(void **state) {
    (void)state;
    norn_plan *plan = diamond();
    const norn_step_order *order = plan->program->order;
    const uint32_t left = step_named(plan, "left"), right = step_named(plan, "right");
    assert_int_equal(order->lane_count, 2);
    assert_int_equal(order->lane[step_named(plan, "root")], 0);
    assert_int_not_equal(order->lane[left], order->lane[right]);
    assert_int_equal(order->lane[left], order->lane[step_named(plan, "left2")]);
    assert_int_equal(order->lane[right], order->lane[step_named(plan, "right2")]);
    // One wait: the branch that left lane 0, for the root. The other follows it there.
    assert_int_equal(order->wait_begin[plan->program->step_count], 1);
    assert_int_equal(order->waits[0], step_named(plan, "root"));
    assert_true(order->awaited[step_named(plan, "root")]);
    norn_plan_release(plan);
}

static const norn_slot *slot_of(const norn_plan *plan, const char *name, uint32_t *index) {
    for (uint32_t i = 0; i < plan->program->slot_count; i++) {
        const norn_slot *slot = &plan->program->slots[i];
        if (slot->kind != NORN_SLOT_PLANNED || strcmp(slot->value->name, name) != 0) continue;
        *index = i;
        return slot;
    }
    fail_msg("no slot '%s'", name);
    return NULL;
}

static bool share_memory(const norn_plan *plan, const norn_layout *layout, const char *a,
                         const char *b) {
    uint32_t x = 0, y = 0;
    (void)slot_of(plan, a, &x), (void)slot_of(plan, b, &y);
    return layout->offsets[x] < layout->offsets[y] + layout->bytes[y] &&
           layout->offsets[y] < layout->offsets[x] + layout->bytes[x];
}

/// In the order of the steps, right2's operand could lie where left's was; beside each other not.
static void values_of_branches_share_no_memory_whatever_their_lifetimes(void **state) {
    (void)state;
    norn_plan *plan = diamond();
    const norn_program *program = plan->program;
    norn_layout layout;
    int64_t symbols[8] = {0};
    symbols[plan->graph->batch] = 64;
    HAND_OK(norn_layout_create(program, norn_alloc_heap(), &layout));
    HAND_OK(norn_layout_measure(program, symbols, layout.bytes));
    HAND_OK(norn_memory_plan(program, norn_alloc_heap(), &layout));
    assert_false(share_memory(plan, &layout, "left", "right"));
    assert_false(share_memory(plan, &layout, "root", "left"));
    assert_false(share_memory(plan, &layout, "root", "right"));
    norn_layout_destroy(&layout, norn_alloc_heap());
    norn_plan_release(plan);
}

/// Two products write columns [0, 8) and [8, 16) of one value: neither waits for the other.
static void parts_of_a_placed_concat_do_not_order_their_producers(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    static const int64_t both[] = {1, 1};
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *parts[2] = {hand_gemm(&h, "a", x, 4, 8, false), hand_gemm(&h, "b", x, 4, 8, false)};
    norn_value *all = hand_value(&h, "all", NORN_F32, hand_rows(&h, 16));
    norn_attr *attrs;
    HAND_OK(NORN_TAKE_ARRAY(&h.graph->arena, 3, &attrs));
    attrs[0] = (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
    attrs[1] = (norn_attr){.name = "norn_place", .kind = NORN_ATTR_INT, .i64 = 1};
    attrs[2] = (norn_attr){.name = "norn_placed", .kind = NORN_ATTR_INTS, .count = 2, .ints = both};
    hand_node(&h, NORN_OP_Concat, "all", parts, 2, &all, 1, (norn_attrs){attrs, 3}, NULL);
    hand_output(&h, hand_gemm(&h, "end", all, 16, 4, false));
    norn_plan *plan = hand_plan(&h, "fake");
    assert_false(comes_before(plan, "a", "b"));
    assert_true(comes_before(plan, "a", "end"));
    assert_true(comes_before(plan, "b", "end"));
    assert_int_equal(plan->program->order->lane_count, 2);
    norn_plan_release(plan);
}

static void a_chain_keeps_one_lane_and_shares_memory(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *v = hand_input(&h, "x", NORN_F32, hand_rows(&h, 8));
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) v = hand_gemm(&h, names[i], v, 8, 8, false);
    hand_output(&h, v);
    norn_plan *plan = hand_plan(&h, "fake");
    norn_layout layout;
    int64_t symbols[8] = {0};
    symbols[plan->graph->batch] = 64;
    assert_int_equal(plan->program->order->lane_count, 1);
    assert_int_equal(plan->program->order->wait_begin[plan->program->step_count], 0);
    HAND_OK(norn_layout_create(plan->program, norn_alloc_heap(), &layout));
    HAND_OK(norn_layout_measure(plan->program, symbols, layout.bytes));
    HAND_OK(norn_memory_plan(plan->program, norn_alloc_heap(), &layout));
    assert_true(share_memory(plan, &layout, "a", "c"));
    assert_false(share_memory(plan, &layout, "a", "b"));
    norn_layout_destroy(&layout, norn_alloc_heap());
    norn_plan_release(plan);
}

static void a_program_for_the_cpu_has_no_order(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 64);
    assert_null(plan->program->order);
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_comes_after_what_it_reads_and_all_before_that),
        cmocka_unit_test(branches_get_lanes_and_wait_where_they_leave_the_first),
        cmocka_unit_test(values_of_branches_share_no_memory_whatever_their_lifetimes),
        cmocka_unit_test(parts_of_a_placed_concat_do_not_order_their_producers),
        cmocka_unit_test(a_chain_keeps_one_lane_and_shares_memory),
        cmocka_unit_test(a_program_for_the_cpu_has_no_order),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
