#include "runtime/instance.h"
#include "testing/fake_device.h"
#include "testing/hand_graph.h"

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

/// Columns side by side, as addresses: what each producer writes is a part of one value.
static norn_value *place_beside(hand *h, const char *name, norn_value **parts, uint32_t count,
                                int64_t width) {
    norn_value *all = hand_value(h, name, NORN_F32, hand_rows(h, width * count));
    int64_t *placed;
    HAND_OK(NORN_TAKE_ARRAY(&h->graph->arena, count, &placed));
    for (uint32_t i = 0; i < count; i++) placed[i] = 1;
    norn_attr *attrs;
    HAND_OK(NORN_TAKE_ARRAY(&h->graph->arena, 3, &attrs));
    attrs[0] = (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
    attrs[1] = (norn_attr){.name = "norn_place", .kind = NORN_ATTR_INT, .i64 = 1};
    attrs[2] =
        (norn_attr){.name = "norn_placed", .kind = NORN_ATTR_INTS, .count = count, .ints = placed};
    hand_node(h, NORN_OP_Concat, name, parts, count, &all, 1, (norn_attrs){attrs, 3}, NULL);
    return all;
}

/// A random net of products: each of a random value before it; now and then four beside each other.
static norn_plan *random_net(const char *device, uint32_t seed) {
    enum { NODES = 24 };
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *values[NODES + 1];
    char name[NODES][16];
    values[0] = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    for (int i = 0; i < NODES; i++) {
        norn_value *from = values[next_random(&seed) % (uint32_t)(i + 1)];
        snprintf(name[i], sizeof name[i], "n%d", i);
        if (i % 6 != 5) {
            values[i + 1] = hand_gemm(&h, name[i], from, 4, 4, true);
            continue;
        }
        norn_value *parts[3];
        for (int p = 0; p < 3; p++) {
            char part[24];
            snprintf(part, sizeof part, "n%d.%d", i, p);
            parts[p] =
                hand_gemm(&h, part, values[next_random(&seed) % (uint32_t)(i + 1)], 4, 8, p == 0);
        }
        char all[24];
        snprintf(all, sizeof all, "n%d.all", i);
        values[i + 1] = hand_gemm(&h, name[i], place_beside(&h, all, parts, 3, 8), 24, 4, true);
    }
    for (int i = NODES - 3; i <= NODES; i++) hand_output(&h, values[i]);
    return hand_plan(&h, device);
}

typedef struct answers {
    float y[4][64 * 4];
} answers;

static void run(norn_session *session, int64_t batch, int64_t seed, answers *got) {
    float x[64 * 4];
    norn_view outs[4];
    size_t room[4];
    for (int64_t i = 0; i < batch * 4; i++) x[i] = (float)((i * 5 + seed) % 7 - 3) / 64;
    norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x);
    for (int i = 0; i < 4; i++) {
        outs[i] = (norn_view){.data = got->y[i]};
        room[i] = sizeof got->y[i];
    }
    HAND_OK(norn_session_run(
        session, &(norn_run_args){.inputs = &in, .outputs = outs, .output_bytes = room}));
}

static void compare(norn_session *device, norn_session *cpu, int64_t batch, int64_t seed) {
    static answers got, want;
    run(device, batch, seed, &got);
    run(cpu, batch, seed, &want);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(got.y[i], want.y[i], (size_t)batch * 4 * sizeof(float));
}

/// The fake device runs lanes by turns as early and as late as their waits allow.
static void random_nets_answer_in_lanes_as_they_do_on_the_cpu(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 40; seed++) {
        norn_session *cpu = hand_session(random_net("cpu", seed)),
                     *device = hand_session(random_net("fake", seed));
        const int lanes = fake_log.lanes;
        for (int64_t i = 0; i < 9; i++) compare(device, cpu, 8, (int64_t)seed + i);
        for (int64_t i = 0; i < 5; i++) compare(device, cpu, 1 + i * 11, (int64_t)seed + i);
        assert_true(fake_log.lanes > lanes);
        assert_true(fake_launched_lanes > 0);
        norn_session_destroy(device);
        norn_session_destroy(cpu);
    }
}

static void lanes_that_are_slower_are_not_kept(void **state) {
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        fake_log.lanes_are_slow = slow;
        norn_session *cpu = hand_session(random_net("cpu", 7)),
                     *device = hand_session(random_net("fake", 7));
        for (int64_t i = 0; i < 4; i++) compare(device, cpu, 8, i);
        assert_int_equal(fake_launched_lanes > 0, !slow);
        norn_session_destroy(device);
        norn_session_destroy(cpu);
    }
}

static void a_chain_is_captured_once_and_not_timed(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 64));
    float x[8 * 4] = {0}, y[8 * 3];
    for (int i = 0; i < 3; i++) {
        norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){8, 4}, x), out = {.data = y};
        size_t room = sizeof y;
        HAND_OK(norn_session_run(
            session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
    }
    assert_int_equal(fake_log.captures, 1);
    assert_int_equal(fake_log.launches, 2);
    assert_int_equal(fake_log.lanes, 0);
    norn_session_destroy(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_nets_answer_in_lanes_as_they_do_on_the_cpu,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(lanes_that_are_slower_are_not_kept, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_chain_is_captured_once_and_not_timed, fake_begin,
                                        fake_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
