#include "base/hash.h"
#include "base/memory.h"
#include "plan/memory_plan.h"
#include "testing/hand_graph.h"

enum { SLOTS = 120, STEPS = 60 };

/// A program of slots alone, with made-up sizes and lifetimes.
typedef struct made {
    norn_program program;
    norn_slot slots[SLOTS];
    norn_graph *graph;
    norn_layout layout;
} made;

static void make(made *m, uint64_t seed, bool device) {
    norn_random random;
    memset(m, 0, sizeof *m);
    norn_random_init(&random, seed);
    HAND_OK(norn_graph_create("made", norn_alloc_heap(), &m->graph));
    m->program = (norn_program){
        .graph = m->graph, .slots = m->slots, .slot_count = SLOTS, .step_count = STEPS};
    m->program.place_count = device ? 2 : 1;
    HAND_OK(norn_layout_create(&m->program, norn_alloc_heap(), &m->layout));
    for (uint32_t i = 0; i < SLOTS; i++) {
        norn_slot *slot = &m->slots[i];
        slot->kind = i % 10 == 9 ? NORN_SLOT_POOLED : NORN_SLOT_PLANNED;
        slot->place = device && norn_random_u64(&random) % 3 != 0;
        slot->root = i;
        slot->first = (uint32_t)(norn_random_u64(&random) % STEPS);
        slot->last = slot->first + (uint32_t)(norn_random_u64(&random) % 12);
        slot->is_output = i % 40 == 7;
        if (slot->is_output) slot->last = STEPS;
        m->layout.bytes[i] = (norn_random_u64(&random) % 50) * (slot->place ? 256 : 64);
    }
}

static void unmake(made *m) {
    norn_layout_destroy(&m->layout, norn_alloc_heap());
    norn_graph_destroy(m->graph);
}

static bool alive_together(const norn_slot *a, const norn_slot *b) {
    return a->first <= b->last && b->first <= a->last;
}

static void slots_that_live_together_never_overlap(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        made m;
        make(&m, seed, seed % 2 == 0);
        HAND_OK(norn_memory_plan(&m.program, norn_alloc_heap(), &m.layout));
        for (uint32_t a = 0; a < SLOTS; a++) {
            const norn_slot *x = &m.slots[a];
            size_t begin = m.layout.offsets[a], end = begin + m.layout.bytes[a];
            if (x->kind != NORN_SLOT_PLANNED || begin == end) continue;
            assert_int_equal(begin % (x->place ? 256 : 64), 0);
            assert_true(end <= m.layout.at[x->place].bytes);
            bool is_end = x->place && x->is_output;
            if (is_end)
                assert_true(begin >= m.layout.at[1].output_offset &&
                            end <= m.layout.at[1].output_offset + m.layout.at[1].output_bytes);
            for (uint32_t b = 0; b < a; b++) {
                const norn_slot *y = &m.slots[b];
                size_t other = m.layout.offsets[b], other_end = other + m.layout.bytes[b];
                if (y->kind != NORN_SLOT_PLANNED || other == other_end || y->place != x->place)
                    continue;
                bool apart = end <= other || other_end <= begin;
                assert_true(apart ||
                            (!alive_together(x, y) && !is_end && !(y->place && y->is_output)));
            }
        }
        unmake(&m);
    }
}

/// Inputs and outputs of the device are one copy each: packed, in order, nothing else among them.
static void the_ends_of_the_device_lie_side_by_side_at_the_front(void **state) {
    enum { IN = 2, OTHER = 3 }; // first and last slots are outputs
    (void)state;
    made m;
    make(&m, 1, true);
    norn_value *inputs[3] = {NULL};
    uint32_t inputs_there[3] = {IN, NORN_NO_SLOT, OTHER};
    m.graph->inputs = inputs, m.graph->input_count = 3;
    m.program.inputs[1] = inputs_there;
    m.program.slot_count = SLOTS - 1; // what lies behind is not the plan's
    for (uint32_t i = 0; i < SLOTS; i++) {
        m.slots[i] =
            (norn_slot){.kind = NORN_SLOT_PLANNED, .root = i, .place = i % 2 == 0, .last = STEPS};
        m.slots[i].is_output = i == 0 || i == 1 || i >= SLOTS - 2;
        m.layout.bytes[i] = 256;
    }
    const uint32_t last = SLOTS - 2;
    m.slots[SLOTS - 1].place = 1;
    m.slots[IN].kind = m.slots[OTHER].kind = NORN_SLOT_INPUT;
    m.slots[IN].place = m.slots[OTHER].place = 1;
    m.slots[4].kind = NORN_SLOT_POOLED, m.slots[4].is_output = true;
    m.layout.bytes[IN] = 512, m.layout.bytes[OTHER] = 768;
    m.layout.bytes[0] = 1024, m.layout.bytes[last] = 1280;
    m.layout.offsets[SLOTS - 1] = 12345;
    HAND_OK(norn_memory_plan(&m.program, norn_alloc_heap(), &m.layout));
    assert_int_equal(m.layout.offsets[IN], 0);
    assert_int_equal(m.layout.offsets[OTHER], 512);
    assert_int_equal(m.layout.at[1].input_bytes, 512 + 768);
    assert_int_equal(m.layout.at[1].output_offset, 512 + 768);
    assert_int_equal(m.layout.offsets[0], 1280);
    assert_int_equal(m.layout.offsets[last], 1280 + 1024);
    assert_int_equal(m.layout.at[1].output_bytes, 1024 + 1280);
    assert_int_equal(m.layout.offsets[SLOTS - 1], 12345);
    for (uint32_t i = 1; i < last; i++)
        if (m.slots[i].kind == NORN_SLOT_PLANNED && m.slots[i].place)
            assert_true(m.layout.offsets[i] >= 1280 + 2304);
    m.graph->inputs = NULL, m.graph->input_count = 0;
    unmake(&m);
}

static void memory_is_shared_by_values_that_do_not_meet(void **state) {
    (void)state;
    made m;
    make(&m, 1, false);
    // A chain: value i is made by step i and read by step i + 1; two are alive at a time.
    for (uint32_t i = 0; i < SLOTS; i++) {
        m.slots[i] = (norn_slot){.kind = NORN_SLOT_PLANNED, .root = i, .first = i, .last = i + 1};
        m.layout.bytes[i] = 1024;
    }
    HAND_OK(norn_memory_plan(&m.program, norn_alloc_heap(), &m.layout));
    assert_int_equal(m.layout.at[NORN_HOST].bytes, 2048);
    unmake(&m);
}

static void a_plan_is_the_same_every_time(void **state) {
    (void)state;
    made a, b;
    make(&a, 77, true);
    make(&b, 77, true);
    HAND_OK(norn_memory_plan(&a.program, norn_alloc_heap(), &a.layout));
    HAND_OK(norn_memory_plan(&b.program, norn_alloc_heap(), &b.layout));
    assert_memory_equal(a.layout.offsets, b.layout.offsets, SLOTS * sizeof(size_t));
    unmake(&a);
    unmake(&b);
}

static void a_size_that_overflows_is_refused_by_name(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 64);
    size_t *bytes = calloc(plan->program->slot_count, sizeof *bytes);
    int64_t symbols[8] = {0};
    symbols[plan->graph->batch] = INT64_MAX / 3;
    assert_int_equal(norn_layout_measure(plan->program, symbols, bytes), NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "'bottom'"));
    free(bytes);
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_that_live_together_never_overlap),
        cmocka_unit_test(the_ends_of_the_device_lie_side_by_side_at_the_front),
        cmocka_unit_test(memory_is_shared_by_values_that_do_not_meet),
        cmocka_unit_test(a_plan_is_the_same_every_time),
        cmocka_unit_test(a_size_that_overflows_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
