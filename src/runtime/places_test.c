/// Programs over the host and two devices: what they compute is what the CPU alone computes, wherever
/// the steps are.
#include "base/hash.h"
#include "ops/shape.h"
#include "plan/plan_file.h"
#include "plan/plan_load.h"
#include "runtime/instance.h"
#include "testing/fake_device.h"
#include "testing/hand_graph.h"
#include "testing/memory_sweep.h"

#include <unistd.h>

enum { WIDTH = 4, NODES = 14, BATCH_MAX = 64, OUTPUTS_MAX = 3 };
#define TWO "fake:0,fake:1"

// ---- random programs

static int64_t below(norn_random *random, int64_t count) {
    return (int64_t)(norn_random_u64(random) % (uint64_t)count);
}

static norn_value *softmax(hand *h, const char *name, norn_value *x) {
    norn_value *y = hand_value(h, name, NORN_F32, hand_rows(h, WIDTH));
    hand_node(h, NORN_OP_Softmax, name, &x, 1, &y, 1, (norn_attrs){0}, NULL);
    return y;
}

static norn_value *renamed(hand *h, const char *name, norn_value *x) {
    norn_value *y = hand_value(h, name, NORN_F32, hand_rows(h, WIDTH));
    hand_node(h, NORN_OP_Identity, name, &x, 1, &y, 1, (norn_attrs){0}, NULL);
    return y;
}

/// Two side by side, and back to one's width.
static norn_value *joined(hand *h, const char *name, norn_value *a, norn_value *b) {
    static const norn_attr axis = {.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
    char text[32];
    snprintf(text, sizeof text, "%s.join", name);
    norn_value *parts[2] = {a, b}, *both = hand_value(h, text, NORN_F32, hand_rows(h, 2 * WIDTH));
    hand_node(h, NORN_OP_Concat, text, parts, 2, &both, 1, (norn_attrs){&axis, 1}, NULL);
    return hand_gemm(h, name, both, 2 * WIDTH, WIDTH, true);
}

/// The plan of one seed is the same graph on every device; `spread`: nodes ask for places.
static norn_plan *random_plan(uint64_t seed, const char *device, bool spread) {
    norn_random random;
    norn_random_init(&random, seed);
    hand h = hand_begin(norn_alloc_heap(), BATCH_MAX);
    norn_value *made[NODES + 2] = {hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH)),
                                   hand_input(&h, "z", NORN_F32, hand_rows(&h, WIDTH))};
    for (int i = 2; i < NODES + 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        norn_value *a = made[below(&random, i)], *b = made[i - 1 - below(&random, i < 4 ? i : 4)];
        const int64_t kind = below(&random, 6);
        made[i] = kind == 0   ? softmax(&h, name, b)
                  : kind == 1 ? renamed(&h, name, b)
                  : kind < 4  ? joined(&h, name, a, b)
                              : hand_gemm(&h, name, b, WIDTH, WIDTH, kind == 4);
    }
    for (norn_node *node = h.graph->nodes; node; node = node->next) {
        const uint8_t place = (uint8_t)below(&random, 3);
        if (spread) node->place = place;
    }
    hand_output(&h, made[NODES + 1]);
    hand_output(&h, made[NODES / 2]);
    hand_output(&h, made[below(&random, NODES + 2)]); // an input too, or one that is there twice
    return hand_plan(&h, device);
}

typedef struct answers {
    float y[OUTPUTS_MAX][BATCH_MAX * WIDTH];
} answers;

static norn_status run(norn_session *session, int64_t batch, uint64_t seed, answers *out) {
    static float x[2][BATCH_MAX * WIDTH];
    const int64_t dims[2] = {batch, WIDTH};
    norn_random random;
    norn_random_init(&random, seed);
    for (int i = 0; i < 2; i++)
        for (int64_t e = 0; e < batch * WIDTH; e++)
            x[i][e] = (float)(norn_random_unit(&random) - 0.5);
    norn_view in[2] = {norn_view_of(NORN_F32, 2, dims, x[0]),
                       norn_view_of(NORN_F32, 2, dims, x[1])};
    norn_view outs[OUTPUTS_MAX];
    size_t room[OUTPUTS_MAX];
    for (int i = 0; i < OUTPUTS_MAX; i++)
        outs[i] = (norn_view){.data = out->y[i]}, room[i] = sizeof out->y[i];
    return norn_session_run(session,
                            &(norn_run_args){.inputs = in, .outputs = outs, .output_bytes = room});
}

static void expect_alike(norn_session *wanted, norn_session *found, uint64_t seed) {
    static const int64_t batches[] = {1, 7, 7, 3, BATCH_MAX, 7};
    static answers a, b;
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        memset(&a, 0, sizeof a), memset(&b, 0, sizeof b);
        HAND_OK(run(wanted, batches[i], seed + i, &a));
        HAND_OK(run(found, batches[i], seed + i, &b));
        for (int o = 0; o < OUTPUTS_MAX; o++)
            if (memcmp(a.y[o], b.y[o], (size_t)(batches[i] * WIDTH) * sizeof(float)) != 0)
                fail_msg("seed %d, run %d: output %d differs", (int)seed, (int)i, o);
    }
}

static void steps_on_two_devices_and_the_host_compute_what_the_cpu_does(void **state) {
    int between = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        fake_log.refuse_op = seed % 3 == 0 ? NORN_OP_Softmax : 0; // those are on the host then
        norn_session *cpu = hand_session(random_plan(seed, "cpu", true)),
                     *two = hand_session(random_plan(seed, TWO, true));
        const int before = fake_log.copies_between;
        expect_alike(cpu, two, seed);
        between += fake_log.copies_between > before;
        norn_session_destroy(cpu);
        norn_session_destroy(two);
    }
    fake_log.refuse_op = 0;
    assert_in_range(between, 100, 150); // of nearly all graphs something goes from one to the other
}

static void what_asks_for_no_place_is_on_the_first_device(void **state) {
    (void)state;
    norn_plan *plan = random_plan(5, TWO, false);
    for (uint32_t i = 0; i < plan->program->step_count; i++)
        assert_int_equal(plan->program->steps[i].place, 1);
    assert_int_equal(plan->program->weight_bytes[2], 0);
    norn_session *one = hand_session(random_plan(5, "cpu", false)), *two = hand_session(plan);
    expect_alike(one, two, 5);
    assert_int_equal(fake_log.copies_between, 0);
    norn_session_destroy(one);
    norn_session_destroy(two);
}

/// x -> a on device 1 -> b on device 2 -> c on device 1, d on the host: one copy each way.
static norn_plan *there_and_back(const char *device) {
    hand h = hand_begin(norn_alloc_heap(), BATCH_MAX);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH));
    (void)hand_input(&h, "z", NORN_F32, hand_rows(&h, WIDTH)); // nobody reads it
    norn_value *a = hand_gemm(&h, "a", x, WIDTH, WIDTH, false),
               *b = hand_gemm(&h, "b", a, WIDTH, WIDTH, true),
               *c = hand_gemm(&h, "c", b, WIDTH, WIDTH, false);
    hand_output(&h, c);
    hand_output(&h, softmax(&h, "d", b));
    hand_output(&h, a);
    for (norn_node *node = h.graph->nodes; node; node = node->next)
        node->place = strcmp(node->name, "b") == 0 ? 2 : 1;
    return hand_plan(&h, device);
}

static void a_value_goes_over_once_whoever_reads_it_there(void **state) {
    (void)state;
    static answers out;
    fake_log.refuse_op = NORN_OP_Softmax;
    norn_plan *plan = there_and_back(TWO);
    norn_buffer text;
    norn_buffer_init(&text, norn_alloc_heap());
    norn_program_print(plan->program, &text);
    norn_buffer_text(&text, "");
    norn_buffer_append(&text, "", 1);
    assert_non_null(strstr((const char *)text.bytes, "fake   1 a@device1 = GemmRegion(x@device1"));
    assert_non_null(strstr((const char *)text.bytes, "a@device2 = copy GemmRegion(a@device1)"));
    assert_non_null(strstr((const char *)text.bytes, "fake   2 b@device2"));
    assert_non_null(strstr((const char *)text.bytes, "cpu    0 d = Softmax(b)"));
    norn_buffer_deinit(&text);
    norn_session *session = hand_session(plan);
    HAND_OK(run(session, 3, 1, &out));
    const int within = fake_log.copies_within, between = fake_log.copies_between,
              in = fake_log.copies_in, outs = fake_log.copies_out;
    HAND_OK(run(session, 3, 2, &out));
    assert_int_equal(fake_log.copies_between - between, 2);
    assert_int_equal(fake_log.copies_within - within, 0);
    assert_int_equal(fake_log.copies_in - in, 1);
    assert_int_equal(fake_log.copies_out - outs, 2); // b for d; c and a together
    fake_log.refuse_op = 0;
    norn_session_destroy(session);
}

/// s goes from the host to device 2 for the last time; then what device 1 made comes to its memory.
static norn_plan *one_memory_for_two(const char *device) {
    hand h = hand_begin(norn_alloc_heap(), BATCH_MAX);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH)),
               *z = hand_input(&h, "z", NORN_F32, hand_rows(&h, WIDTH)),
               *there = hand_gemm(&h, "there", softmax(&h, "s", x), WIDTH, WIDTH, false),
               *here = hand_gemm(&h, "here", z, WIDTH, WIDTH, false);
    hand_output(&h, there);
    hand_output(&h, softmax(&h, "t", here));
    hand_output(&h, here);
    for (norn_node *node = h.graph->nodes; node; node = node->next)
        node->place = strcmp(node->name, "there") == 0 ? 2 : 1;
    return hand_plan(&h, device);
}

static void host_memory_is_used_again_only_when_no_device_reads_it(void **state) {
    (void)state;
    fake_log.refuse_op = NORN_OP_Softmax;
    norn_session *one = hand_session(one_memory_for_two("cpu")),
                 *two = hand_session(one_memory_for_two(TWO));
    expect_alike(one, two, 3);
    fake_log.refuse_op = 0;
    norn_session_destroy(one);
    norn_session_destroy(two);
}

// ---- bodies

/// y = s after three times s = relu(s * w + b): a Loop whose body has a product.
static norn_plan *looped_plan(const char *device, double body_flops) {
    static norn_attr attr = {.name = "body", .kind = NORN_ATTR_GRAPH};
    static const int64_t three = 3;
    static const uint8_t yes = 1;
    const int64_t none[1] = {0};
    hand h = hand_begin(norn_alloc_heap(), BATCH_MAX), b = {NULL, 0};
    HAND_OK(norn_graph_create_body(h.graph, "body", &b.graph));
    HAND_OK(norn_symbol_input(&b.graph->symbols, "B", &b.batch));
    norn_symbol *symbol = &b.graph->symbols.at[b.batch];
    symbol->min = 1, symbol->opt = symbol->max = BATCH_MAX;
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH)), *y;
    (void)hand_input(&h, "z", NORN_F32, hand_rows(&h, WIDTH));
    norn_value *m = hand_const(&h, "m", NORN_I64, 0, none, &three),
               *go = hand_const(&h, "go", NORN_BOOL, 0, none, &yes);
    (void)hand_input(&b, "i", NORN_I64, norn_shape_scalar());
    norn_value *c = hand_input(&b, "c", NORN_BOOL, norn_shape_scalar()),
               *s = hand_input(&b, "s", NORN_F32, hand_rows(&b, WIDTH)),
               *d = hand_value(&b, "d", NORN_BOOL, norn_shape_scalar());
    hand_node(&b, NORN_OP_Identity, "d", &c, 1, &d, 1, (norn_attrs){0}, NULL);
    hand_output(&b, d);
    hand_output(&b, hand_gemm(&b, "in", hand_gemm(&b, "up", s, WIDTH, 8, true), 8, WIDTH, true));
    attr.graph = b.graph;
    y = hand_value(&h, "y", NORN_F32, hand_rows(&h, WIDTH));
    norn_value *in[3] = {m, go, x};
    hand_node(&h, NORN_OP_Loop, "loop", in, 3, &y, 1, (norn_attrs){&attr, 1}, NULL);
    hand_output(&h, y);
    hand_output(&h, hand_gemm(&h, "after", y, WIDTH, WIDTH, false));
    hand_output(&h, x);
    norn_plan *plan;
    HAND_OK(norn_plan_create(norn_alloc_heap(), &plan));
    plan->graph = h.graph, plan->name = "looped", plan->body_flops = body_flops;
    norn_device_offer(&norn_cpu_kind);
    HAND_OK(norn_plan_open_devices(plan, device));
    HAND_OK(norn_plan_finish(plan));
    return plan;
}

static void a_body_with_work_enough_runs_on_the_device(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        norn_plan *plan = looped_plan(way == 2 ? TWO : "fake", way ? 0 : 1e9);
        const norn_program *body = NULL;
        for (uint32_t i = 0; i < plan->program->step_count && !body; i++)
            if (plan->program->steps[i].body_count) body = plan->program->steps[i].bodies[0];
        uint32_t on_device = 0;
        for (uint32_t i = 0; i < body->step_count; i++)
            on_device += body->steps[i].kind == NORN_STEP_KERNEL && body->steps[i].place;
        assert_int_equal(on_device, way ? 2 : 0);
        norn_session *cpu = hand_session(looped_plan("cpu", 0)), *there = hand_session(plan);
        expect_alike(cpu, there, 11);
        norn_session_destroy(cpu);
        norn_session_destroy(there);
    }
}

static void code_is_of_the_steps_that_there_are(void **state) {
    (void)state;
    char path[] = "/tmp/norn-places-XXXXXX";
    close(mkstemp(path));
    norn_plan *plan = looped_plan("fake", 0), *again;
    HAND_OK(norn_plan_generate_code(plan, NULL));
    assert_int_equal(plan->code_count, 3); // two in the body, one after it
    HAND_OK(norn_plan_save(plan, path));
    HAND_OK(
        norn_plan_read(path, norn_alloc_heap(), &again)); // its body is on the host, as by default
    assert_int_equal(again->code_count, 1);               // so its code is its own
    norn_plan_release(again);
    unlink(path);
    norn_plan_release(plan);
}

static void a_plan_file_keeps_its_places(void **state) {
    (void)state;
    char path[] = "/tmp/norn-places-XXXXXX";
    close(mkstemp(path));
    norn_plan *plan = random_plan(7, TWO, true), *again;
    HAND_OK(norn_plan_save(plan, path));
    HAND_OK(norn_plan_read(path, norn_alloc_heap(), &again));
    assert_string_equal(again->device_name, TWO);
    assert_int_equal(again->place_count, 3);
    assert_int_equal(again->program->step_count, plan->program->step_count);
    for (uint32_t i = 0; i < plan->program->step_count; i++)
        assert_int_equal(again->program->steps[i].place, plan->program->steps[i].place);
    norn_session *one = hand_session(plan), *two = hand_session(again);
    expect_alike(one, two, 7);
    norn_session_destroy(one);
    norn_session_destroy(two);
    unlink(path);
}

static norn_status open_devices(const char *names) {
    norn_plan *plan;
    HAND_OK(norn_plan_create(norn_alloc_heap(), &plan));
    norn_device_offer(&norn_cpu_kind);
    norn_status status = norn_plan_open_devices(plan, names);
    norn_plan_release(plan);
    return status;
}

static void devices_that_do_not_go_together_are_refused(void **state) {
    (void)state;
    HAND_OK(open_devices(TWO ",fake:2,fake:3,fake:4,fake:5,fake:6,fake:7"));
    assert_int_equal(open_devices(TWO ",fake:2,fake:3,fake:4,fake:5,fake:6,fake:7,fake:8"),
                     NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "more than 8 devices"));
    assert_int_equal(open_devices("fake:0,cpu"), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "the devices of a plan are of one kind"));
    assert_int_equal(open_devices("fake:0,"), NORN_INVALID_ARGUMENT);
    assert_int_equal(open_devices(",fake:0"), NORN_INVALID_ARGUMENT);
    hand h = hand_begin(norn_alloc_heap(), BATCH_MAX);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH));
    hand_output(&h, hand_gemm(&h, "far", x, WIDTH, WIDTH, false));
    h.graph->nodes->place = 3;
    norn_plan *plan;
    HAND_OK(norn_plan_create(norn_alloc_heap(), &plan));
    plan->graph = h.graph;
    HAND_OK(norn_plan_open_devices(plan, TWO));
    assert_int_equal(norn_plan_finish(plan), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "node 'far' is to be on device 3 of 2"));
    norn_plan_release(plan);
}

static void a_resident_may_be_on_other_devices_of_the_kind(void **state) {
    (void)state;
    static answers a, b;
    norn_device *devices[2];
    norn_resident *resident;
    norn_session *session;
    for (int i = 0; i < 2; i++)
        HAND_OK(norn_device_open(i ? "fake:3" : "fake:2", norn_alloc_heap(), &devices[i]));
    norn_plan *plan = there_and_back(TWO);
    HAND_OK(norn_resident_create(plan, devices, norn_alloc_heap(), &resident));
    HAND_OK(norn_session_create_on(resident, &(norn_session_options){.threads = 1},
                                   norn_alloc_heap(), &session));
    norn_resident_release(resident);
    norn_session *own = hand_session(plan);
    HAND_OK(run(session, 5, 9, &a));
    HAND_OK(run(own, 5, 9, &b));
    for (int o = 0; o < OUTPUTS_MAX; o++)
        assert_memory_equal(a.y[o], b.y[o], 5 * WIDTH * sizeof(float));
    norn_session_destroy(own);
    norn_session_destroy(session);
    for (int i = 0; i < 2; i++) norn_device_close(devices[i]);
}

static void a_trace_times_the_steps_of_every_device(void **state) {
    (void)state;
    norn_plan *plan = there_and_back(TWO);
    norn_session *session;
    norn_instance *instance;
    const norn_step_trace *steps;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1}, norn_alloc_heap(),
                                &session));
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    norn_instance_trace_enable(instance, 1);
    for (size_t i = 0; i < 2; i++) {
        void *data;
        HAND_OK(norn_instance_input(instance, i, 2, (int64_t[]){3, WIDTH}, &data));
        memset(data, 0, 3 * WIDTH * sizeof(float));
    }
    HAND_OK(norn_instance_run(instance));
    const size_t count = norn_instance_trace(instance, &steps);
    assert_int_equal(count, plan->program->step_count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(steps[i].device, "fake");
        assert_true(steps[i].begin_ns > 0 && steps[i].end_ns > steps[i].begin_ns);
    }
    norn_run_phases phases = norn_instance_phases(instance);
    assert_int_equal(phases.measured, 0);
    assert_true(phases.compute_ns > 0);
    norn_instance_release(instance);
    norn_session_destroy(session);
    norn_plan_release(plan);
}

static norn_status open_session(norn_plan *plan, norn_alloc alloc, norn_session **out) {
    return norn_session_create(plan, &(norn_session_options){.threads = 1}, alloc, out);
}

static void a_session_on_two_devices_cleans_up_wherever_memory_ends(void **state) {
    (void)state;
    norn_plan *plan = there_and_back(TWO);
    norn_session *session = NULL;
    NORN_MEMORY_SWEEP(open_session(plan, alloc, &session), session, norn_session_destroy(session));
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_on_two_devices_and_the_host_compute_what_the_cpu_does,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(what_asks_for_no_place_is_on_the_first_device, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_value_goes_over_once_whoever_reads_it_there, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(host_memory_is_used_again_only_when_no_device_reads_it,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_body_with_work_enough_runs_on_the_device, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(code_is_of_the_steps_that_there_are, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_plan_file_keeps_its_places, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(devices_that_do_not_go_together_are_refused, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_resident_may_be_on_other_devices_of_the_kind, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_trace_times_the_steps_of_every_device, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_session_on_two_devices_cleans_up_wherever_memory_ends,
                                        fake_begin, fake_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
