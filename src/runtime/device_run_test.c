#include "base/clock.h"
#include "base/file.h"
#include "plan/plan_file.h"
#include "plan/plan_load.h"
#include "runtime/instance.h"
#include "testing/fake_device.h"
#include "testing/hand_graph.h"

#include <pthread.h>
#include <unistd.h>

static void fill(float *x, int64_t count, int64_t seed) {
    for (int64_t i = 0; i < count; i++) x[i] = (float)((i * 5 + seed) % 7 - 3);
}

static void expect_mlp(norn_session *session, int64_t batch, int64_t seed) {
    float *x = calloc((size_t)batch * 4 + 1, sizeof *x),
          *y = calloc((size_t)batch * 3 + 1, sizeof *y), want[3];
    fill(x, batch * 4, seed);
    norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x), out = {.data = y};
    size_t room = (size_t)batch * 3 * sizeof *y;
    HAND_OK(norn_session_run(
        session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
    assert_int_equal(out.dims[0], batch);
    for (int64_t r = 0; r < batch; r++) {
        hand_mlp_row(x + r * 4, want);
        for (int j = 0; j < 3; j++) assert_true(y[r * 3 + j] == want[j]);
    }
    free(x);
    free(y);
}

static void a_run_is_one_copy_in_and_one_out_and_one_wait(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 64));
    for (int i = 0; i < 5; i++) {
        int in = fake_log.copies_in, out = fake_log.copies_out, waits = fake_log.waits;
        expect_mlp(session, 7, i);
        assert_int_equal(fake_log.copies_in - in, 1);
        assert_int_equal(fake_log.copies_out - out, 1);
        assert_int_equal(fake_log.waits - waits, 1);
    }
    assert_int_equal(fake_log.captures, 1);
    assert_int_equal(fake_log.launches, 4); // the first run came without
    norn_session_destroy(session);
}

static void batches_of_one_bucket_share_a_graph_and_give_their_own_rows(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 1000));
    static const int64_t small[] = {2, 8, 5, 3, 7, 2, 8, 0}, large[] = {9, 32, 20, 31, 10};
    for (size_t i = 0; i < 8; i++) expect_mlp(session, small[i], (int64_t)i);
    assert_int_equal(fake_log.captures, 1);
    for (size_t i = 0; i < 5; i++) expect_mlp(session, large[i], (int64_t)i + 3);
    assert_int_equal(fake_log.captures, 2);
    for (size_t i = 0; i < 8; i++) expect_mlp(session, small[i], (int64_t)i + 40);
    // An empty batch runs as one row: the second time only now.
    assert_int_equal(fake_log.captures, 3);
    expect_mlp(session, 1000, 1);
    expect_mlp(session, 999, 2);
    norn_session_destroy(session);
}

static void a_batch_above_the_profile_ends_the_graphs_and_is_right(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 16));
    for (int i = 0; i < 3; i++) expect_mlp(session, 5, i);
    for (int i = 0; i < 3; i++) expect_mlp(session, 100, i);
    for (int i = 0; i < 3; i++) expect_mlp(session, 5, i + 9); // its graph's addresses are gone
    norn_session_destroy(session);
}

static void many_shapes_evict_each_others_graphs(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 1 << 20));
    for (int round = 0; round < 3; round++)
        for (int64_t batch = 1; batch <= 1 << 12; batch *= 2) expect_mlp(session, batch, round);
    norn_session_destroy(session);
}

static void a_large_input_goes_over_from_where_it_lies(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 40000));
    for (int i = 0; i < 4; i++) expect_mlp(session, 20000 + i, i); // 320 KB, and a padded tail
    norn_session_destroy(session);
}

static void a_step_without_a_device_kernel_runs_on_the_cpu_between_copies(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *a = hand_gemm(&h, "a", x, 4, 4, true), *b;
    // Transpose twice: refused by the device, and mixes rows, so that nothing is padded.
    norn_shape turned = {.rank = 2};
    turned.dims[0] = norn_dim_const(4);
    turned.dims[1] = norn_dim_symbol(h.batch);
    b = hand_value(&h, "b", NORN_F32, turned);
    norn_value *c = hand_value(&h, "c", NORN_F32, hand_rows(&h, 4));
    static const int64_t perm[] = {1, 0};
    norn_attr attr = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 2, .ints = perm};
    hand_node(&h, NORN_OP_Transpose, "turn", &a, 1, &b, 1, (norn_attrs){&attr, 1}, NULL);
    hand_node(&h, NORN_OP_Transpose, "back", &b, 1, &c, 1, (norn_attrs){&attr, 1}, NULL);
    hand_output(&h, hand_gemm(&h, "d", c, 4, 3, false));
    fake_log.refuse_op = NORN_OP_Transpose;
    norn_session *session = hand_session(hand_plan(&h, "fake"));
    for (int64_t batch = 1; batch < 20; batch += 6) {
        float x_rows[20 * 4], y[20 * 3], middle[4], want[3];
        fill(x_rows, batch * 4, batch);
        norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x_rows), out = {.data = y};
        size_t room = sizeof y;
        HAND_OK(norn_session_run(
            session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
        assert_int_equal(out.dims[0], batch);
        for (int64_t r = 0; r < batch; r++) {
            hand_gemm_row(x_rows + r * 4, 4, 4, true, middle);
            hand_gemm_row(middle, 4, 3, false, want);
            for (int j = 0; j < 3; j++) assert_true(y[r * 3 + j] == want[j]);
        }
    }
    assert_int_equal(fake_log.captures, 0);
    norn_session_destroy(session);
    fake_log.refuse_op = 0;
}

static void steps_that_mix_rows_run_at_the_exact_batch(void **state) {
    (void)state;
    // y[1, 4] = sum over the batch: added rows would show.
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_shape one = {.rank = 2, .dims = {norn_dim_const(1), norn_dim_const(4)}};
    norn_value *y = hand_value(&h, "y", NORN_F32, one);
    norn_value *axes = hand_const(&h, "axes", NORN_I64, 1, (int64_t[]){1}, &(int64_t){0});
    hand_node(&h, NORN_OP_ReduceSum, "sum", (norn_value *[]){x, axes}, 2, &y, 1, (norn_attrs){0},
              NULL);
    hand_output(&h, y);
    norn_session *session = hand_session(hand_plan(&h, "fake"));
    for (int round = 0; round < 3; round++) {
        for (int64_t batch = 3; batch < 6; batch++) {
            float rows[6 * 4], got[4], want[4] = {0};
            fill(rows, batch * 4, batch);
            for (int64_t i = 0; i < batch * 4; i++) want[i % 4] += rows[i];
            norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, rows),
                      out = {.data = got};
            size_t room = sizeof got;
            HAND_OK(norn_session_run(
                session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
            for (int j = 0; j < 4; j++) assert_true(got[j] == want[j]);
        }
    }
    assert_int_equal(fake_log.captures, 3);
    norn_session_destroy(session);
}

static void a_device_that_cannot_capture_still_runs(void **state) {
    (void)state;
    fake_log.refuse_capture = true;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 64));
    for (int i = 0; i < 4; i++) expect_mlp(session, 3, i);
    assert_int_equal(fake_log.launches, 0);
    norn_session_destroy(session);
    fake_log.refuse_capture = false;
}

static void a_trace_times_every_step_on_the_device(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 64));
    norn_instance *instance;
    const norn_step_trace *steps;
    void *data;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    HAND_OK(norn_instance_input(instance, 0, 2, (int64_t[]){8, 4}, &data));
    memset(data, 0, 8 * 4 * sizeof(float));
    norn_instance_trace_enable(instance, 1);
    HAND_OK(norn_instance_run(instance));
    assert_int_equal(norn_instance_trace(instance, &steps), 2);
    assert_string_equal(steps[0].op, "GemmRegion");
    assert_string_equal(steps[0].device, "fake");
    assert_true(steps[0].end_ns > steps[0].begin_ns);
    assert_true(steps[1].begin_ns >= steps[0].end_ns);
    assert_true(steps[0].flops >= 2 * 8 * 4 * 8);
    assert_true(norn_instance_phases(instance).compute_ns > 0);
    norn_instance_release(instance);
    norn_session_destroy(session);
}

typedef struct worker {
    norn_session *session;
    pthread_t thread;
    int64_t seed;
} worker;

static void *run_some(void *context) {
    worker *w = context;
    for (int64_t i = 0; i < 20; i++) expect_mlp(w->session, 1 + i % 9, w->seed + i);
    return NULL;
}

/// Threads that create nothing, as a server's compute threads: the fake device aborts where one of
/// them works on a device that it has not entered.
static void sessions_of_several_devices_run_on_threads_that_allocate_nothing(void **state) {
    (void)state;
    static const char *const devices[] = {"fake", "fake:1", "fake:3"};
    worker workers[3];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) { // one at a time: the fake device's log is not locked
            if (round == 0)
                workers[i].session = hand_session(hand_mlp(norn_alloc_heap(), devices[i], 64));
        }
        for (int i = 0; i < 3; i++) {
            workers[i].seed = 10 * i + round;
            assert_int_equal(pthread_create(&workers[i].thread, NULL, run_some, &workers[i]), 0);
            pthread_join(workers[i].thread, NULL);
        }
    }
    for (int i = 0; i < 3; i++) norn_session_destroy(workers[i].session);
}

static void phases_are_of_the_run_itself_also_where_they_are_not_measured(void **state) {
    (void)state;
    norn_session *session = hand_session(hand_mlp(norn_alloc_heap(), "fake", 64));
    norn_instance *instance;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    int measured = 0;
    for (int i = 0; i < 40; i++) {
        void *data;
        HAND_OK(norn_instance_input(instance, 0, 2, (int64_t[]){8, 4}, &data));
        memset(data, 0, 8 * 4 * sizeof(float));
        const int64_t begin_ns = norn_clock_now_ns();
        HAND_OK(norn_instance_run(instance));
        const int64_t ns = norn_clock_now_ns() - begin_ns;
        const norn_run_phases phases = norn_instance_phases(instance);
        measured += phases.measured;
        if (phases.measured) { // the fake device's clock goes 1000 a record
            assert_int_equal(phases.input_ns, 1000);
            continue;
        }
        assert_true(phases.compute_ns > 0 && phases.input_ns >= 0);
        assert_true(phases.input_ns + phases.compute_ns + phases.output_ns <= ns);
        assert_in_range(phases.input_ns, phases.output_ns, phases.output_ns); // equal shares
    }
    assert_int_equal(measured, 4 + 2); // the first four, then every sixteenth
    norn_instance_release(instance);
    norn_session_destroy(session);
}

/// x[B, 4] -> NonZero, which the device has not -> [2, n]: a block of the pool a run.
static void runs_with_values_of_the_pool_hold_no_more_each_time(void **state) {
    (void)state;
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *where = hand_value(&h, "where", NORN_I64, norn_shape_unknown());
    hand_node(&h, NORN_OP_NonZero, "nonzero", &x, 1, &where, 1, (norn_attrs){0}, NULL);
    hand_output(&h, where);
    fake_log.refuse_op = NORN_OP_NonZero;
    norn_session *session = hand_session(hand_plan(&h, "fake"));
    norn_instance *instance;
    size_t held = 0;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    for (int run = 0; run < 12; run++) {
        float *data;
        HAND_OK(norn_instance_input(instance, 0, 2, (int64_t[]){3, 4}, (void **)&data));
        for (int i = 0; i < 12; i++) data[i] = i % 2 ? 0 : 1;
        HAND_OK(norn_instance_run(instance));
        const norn_view *out = norn_instance_output(instance, 0);
        assert_int_equal(out->dims[1], 6);
        const int64_t *at = out->data;
        for (int64_t i = 0; i < 6; i++) {
            assert_int_equal(at[i], 2 * i / 4);
            assert_int_equal(at[6 + i], 2 * i % 4);
        }
        const size_t now =
            instance->room.at[NORN_HOST].bound.held + instance->room.at[1].bound.held;
        if (run == 2) held = now; // the first runs find out how much they need
        if (run > 2) assert_int_equal(now, held);
    }
    norn_instance_release(instance);
    norn_session_destroy(session);
    fake_log.refuse_op = 0;
}

/// As many codes as steps, up to some and with none left out: each is the bytes that its step got.
static void every_step_of_a_plan_may_have_code(void **state) {
    (void)state;
    for (uint32_t steps = 1; steps <= 20; steps++) {
        hand h = hand_begin(norn_alloc_heap(), 64);
        norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
        for (uint32_t i = 0; i < steps; i++) {
            char name[16];
            snprintf(name, sizeof name, "g%u", i);
            x = hand_gemm(&h, name, x, 4, 4, true);
        }
        hand_output(&h, x);
        norn_plan *plan = hand_plan(&h, "fake");
        HAND_OK(norn_plan_generate_code(plan, &(norn_compile_options){0}));
        assert_int_equal(plan->program->step_count, steps);
        assert_int_equal(plan->code_count, steps);
        for (uint32_t i = 0; i < steps; i++) {
            assert_int_equal(plan->codes[i].state, plan->program->steps[i].state);
            assert_int_equal(plan->codes[i].bytes.count, 4);
            assert_memory_equal(plan->codes[i].bytes.bytes, "code", 4);
            assert_ptr_equal(plan->program->steps[i].code.bytes, plan->codes[i].bytes.bytes);
        }
        norn_plan_release(plan);
    }
}

typedef struct code_edit {
    size_t word; ///< of the section: 0 their count; then for each its node, bytes and offset
    uint64_t value;
    const char *said; ///< NULL: it is still right
} code_edit;

/// A plan file's bytes with one word of section 'code' changed, and all hashes right. Objects of no
/// step are those of another Norn: they are generated again.
static norn_status decode_edited(norn_span file, const code_edit *edit, norn_plan **out) {
    uint8_t *bytes = aligned_alloc(NORN_PLAN_PAGE, (file.count + NORN_PLAN_PAGE - 1) /
                                                       NORN_PLAN_PAGE * NORN_PLAN_PAGE);
    memcpy(bytes, file.bytes, file.count);
    norn_plan_header *header = (norn_plan_header *)bytes;
    norn_plan_entry *code = &header->section[NORN_SECTION_CODE];
    assert_string_equal(code->name, "code");
    if (edit) memcpy(bytes + code->offset + 8 * edit->word, &edit->value, 8);
    HAND_OK(norn_tree_hash_of(norn_span_of(bytes + code->offset, code->bytes), NULL,
                              norn_alloc_heap(), &code->hash));
    header->hash = norn_plan_header_hash(header);
    HAND_OK(norn_plan_create(norn_alloc_heap(), out));
    norn_status status = norn_plan_decode(norn_span_of(bytes, file.count), "x.norn", false, *out);
    for (uint32_t i = 0; status == NORN_OK && !edit && i < (*out)->code_count; i++) {
        assert_int_equal((*out)->codes[i].bytes.count, 4);
        assert_memory_equal((*out)->codes[i].bytes.bytes, "code", 4);
        assert_ptr_equal((*out)->codes[i].bytes.bytes, (*out)->program->steps[i].code.bytes);
    }
    norn_plan_release(*out);
    free(bytes);
    return status;
}

static void code_goes_to_the_file_and_what_lies_about_it_is_refused(void **state) {
    static const code_edit edits[] = {{0, 3, "object 2 lies outside"},
                                      {0, UINT64_MAX, "truncated"},
                                      {0, 1, NULL},
                                      {1, 7, NULL},
                                      {1, 1ull << 32, "object 0 lies outside"},
                                      {2, 1 << 20, "object 0 lies outside"},
                                      {3, 1 << 20, "object 0 lies outside"},
                                      {4, 9, NULL},
                                      {6, UINT64_MAX, "object 1 lies outside"}};
    char path[] = "/tmp/norn-code-XXXXXX";
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64), *again;
    norn_file *file;
    (void)state;
    close(mkstemp(path));
    HAND_OK(norn_plan_generate_code(plan, &(norn_compile_options){0}));
    assert_int_equal(plan->code_count, 2);
    HAND_OK(norn_plan_save(plan, path));
    norn_plan_release(plan);
    HAND_OK(norn_plan_read(path, norn_alloc_heap(), &again));
    assert_int_equal(again->code_count, 2);
    assert_memory_equal(again->program->steps[1].code.bytes, "code", 4);
    norn_plan_release(again);
    HAND_OK(norn_file_read(path, norn_alloc_heap(), &file));
    HAND_OK(decode_edited(norn_file_bytes(file), NULL, &again));
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        const norn_status status = decode_edited(norn_file_bytes(file), &edits[i], &again);
        assert_int_equal(status, edits[i].said ? NORN_DATA_LOSS : NORN_OK);
        if (edits[i].said) assert_non_null(strstr(norn_message(), edits[i].said));
    }
    norn_file_release(file);
    unlink(path);
}

/// Another GPU's kernels are of no use: they are generated again, from the graph.
static void code_of_another_gpu_is_generated_again(void **state) {
    char path[] = "/tmp/norn-code-XXXXXX";
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64), *again;
    (void)state;
    close(mkstemp(path));
    HAND_OK(norn_plan_save(plan, path)); // it has no code
    norn_plan_release(plan);
    HAND_OK(norn_plan_read(path, norn_alloc_heap(), &again));
    assert_int_equal(again->code_count, 0);
    norn_plan_release(again);
    fake_stamp_text = "another fake";
    HAND_OK(norn_plan_read(path, norn_alloc_heap(), &again));
    assert_int_equal(again->code_count, 2);
    assert_memory_equal(again->program->steps[0].code.bytes, "code", 4);
    norn_plan_release(again);
    fake_stamp_text = NULL;
    unlink(path);
}

// ---- tables

typedef struct two_tables {
    norn_snapshot base;
    norn_table_binding table[2];
    atomic_int *destroyed;
} two_tables;

static const norn_table_binding *find_table(const norn_snapshot *self, const char *name) {
    const two_tables *two = (const two_tables *)(const void *)self;
    for (int i = 0; i < 2; i++)
        if (strcmp(two->table[i].name, name) == 0) return &two->table[i];
    return NULL;
}

static void destroy_tables(norn_snapshot *self) {
    two_tables *two = (two_tables *)(void *)self;
    atomic_fetch_add(two->destroyed, 1);
    free(two);
}

/// Tables "a" and "b" with these rows of two elements; the rows are the caller's.
static norn_snapshot *snapshot_of(const float *a, const float *b, int64_t rows,
                                  atomic_int *destroyed) {
    two_tables *two = calloc(1, sizeof *two);
    const float *data[2] = {a, b};
    two->base.find = find_table;
    two->base.destroy = destroy_tables;
    atomic_init(&two->base.references, 1);
    for (int i = 0; i < 2; i++)
        two->table[i] = (norn_table_binding){.name = i ? "b" : "a",
                                             .dtype = NORN_F32,
                                             .dim = 2,
                                             .view = {.kind = NORN_TABLE_DENSE,
                                                      .missing = NORN_MISSING_ERROR,
                                                      .row_count = rows,
                                                      .row_bytes = 8,
                                                      .dense = {data[i]}}};
    two->destroyed = destroyed;
    return &two->base;
}

/// keys[B, 2] -> [B, 4]: a row of "a", then one of "b".
static norn_plan *two_table_plan(const char *device) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *keys = hand_input(&h, "keys", NORN_I64, hand_rows(&h, 2));
    norn_value *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 4));
    norn_region *region;
    norn_lookup_column *columns;
    HAND_OK(NORN_TAKE(&h.graph->arena, &region));
    HAND_OK(NORN_TAKE_ARRAY(&h.graph->arena, 2, &columns));
    for (uint32_t i = 0; i < 2; i++)
        columns[i] = (norn_lookup_column){.table = i,
                                          .dim = 2,
                                          .form = NORN_KEYS_ONE,
                                          .rows_input = NORN_NO_INPUT,
                                          .offsets_input = NORN_NO_INPUT,
                                          .weights_input = NORN_NO_INPUT,
                                          .keys_first = i,
                                          .keys_stride = 2,
                                          .keys_count = 1,
                                          .column = 2 * i};
    region->lookup = (norn_lookup_region){2, columns};
    hand_node(&h, NORN_OP_Lookup, "look", &keys, 1, &y, 1, (norn_attrs){0}, region);
    hand_output(&h, y);
    norn_plan *plan = hand_plan(&h, device);
    HAND_OK(NORN_TAKE_ARRAY(&plan->arena, 2, &plan->tables));
    for (uint32_t i = 0; i < 2; i++)
        plan->tables[i] =
            (norn_plan_table){.name = i ? "b" : "a", .dim = 2, .dtype = NORN_F32, .source = "x"};
    plan->table_count = 2;
    return plan;
}

static void expect_rows(norn_session *session, const float *a, const float *b) {
    int64_t keys[6] = {0, 3, 2, 1, 3, 0};
    float y[12];
    norn_view in = norn_view_of(NORN_I64, 2, (int64_t[]){3, 2}, keys), out = {.data = y};
    size_t room = sizeof y;
    HAND_OK(norn_session_run(
        session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
    for (int r = 0; r < 3; r++)
        for (int e = 0; e < 2; e++) {
            assert_true(y[r * 4 + e] == a[keys[r * 2] * 2 + e]);
            assert_true(y[r * 4 + 2 + e] == b[keys[r * 2 + 1] * 2 + e]);
        }
}

static void a_swapped_snapshot_keeps_graphs_and_uploads_only_what_changed(void **state) {
    (void)state;
    enum { ROWS = 4, SWAPS = 9 };
    float a[SWAPS + 1][ROWS * 2], b[ROWS * 2];
    atomic_int destroyed = 0;
    norn_session *session;
    for (int i = 0; i < ROWS * 2; i++) b[i] = (float)(1000 + i);
    for (int v = 0; v <= SWAPS; v++)
        for (int i = 0; i < ROWS * 2; i++) a[v][i] = (float)(100 * v + i);
    norn_snapshot *first = snapshot_of(a[0], b, ROWS, &destroyed);
    norn_plan *plan = two_table_plan("fake");
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1, .snapshot = first},
                                norn_alloc_heap(), &session));
    norn_plan_release(plan);
    norn_snapshot_release(first);
    for (int i = 0; i < 3; i++) expect_rows(session, a[0], b);
    assert_int_equal(fake_log.captures, 1);
    const int blocks = fake_log.blocks;
    for (int v = 1; v <= SWAPS; v++) {
        norn_snapshot *next = snapshot_of(a[v], b, ROWS, &destroyed);
        const int tables = fake_log.tables;
        HAND_OK(norn_session_set_snapshot(session, next));
        norn_snapshot_release(next);
        assert_int_equal(fake_log.tables - tables, 1); // "a" alone went over
        for (int i = 0; i < 3; i++) expect_rows(session, a[v], b);
        assert_int_equal(fake_log.blocks, blocks); // and what nobody reads was freed
        assert_int_equal(destroyed, v);
    }
    assert_int_equal(fake_log.captures, 1);
    norn_session_destroy(session);
    assert_int_equal(destroyed, SWAPS + 1);
}

static void missing_keys_of_a_device_are_told_while_the_table_stays_there(void **state) {
    (void)state;
    float rows[4 * 2] = {0};
    atomic_int destroyed = 0;
    _Atomic uint64_t missing = 0;
    norn_snapshot *snapshot = snapshot_of(rows, rows, 4, &destroyed);
    two_tables *two = (two_tables *)(void *)snapshot;
    two->table[1].view.missing_count = &missing;
    norn_plan *plan = two_table_plan("fake");
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1, .snapshot = snapshot},
                                norn_alloc_heap(), &session));
    norn_plan_release(plan);
    norn_snapshot_release(snapshot);
    for (uint64_t round = 1; round <= 3; round++) {
        int64_t keys[4] = {0, 99, 1, 3}; // one that table "b" does not have
        float y[8];
        norn_view in = norn_view_of(NORN_I64, 2, (int64_t[]){2, 2}, keys), out = {.data = y};
        size_t room = sizeof y;
        assert_int_equal(
            norn_session_run(
                session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}),
            NORN_INVALID_ARGUMENT);
        norn_table_set *tables = norn_session_pin_tables(session);
        assert_int_equal(norn_table_set_missing(tables, 0), 0);
        assert_int_equal(norn_table_set_missing(tables, 1), round);
        norn_table_set_release(tables);
    }
    norn_session_destroy(session);
    assert_int_equal(missing, 3);
}

static void a_plan_for_a_device_that_is_absent_says_so(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake:9", 64);
    norn_session *session;
    assert_int_equal(norn_session_create(plan, NULL, norn_alloc_heap(), &session),
                     NORN_UNAVAILABLE);
    assert_non_null(strstr(norn_message(), "fake:9"));
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_is_one_copy_in_and_one_out_and_one_wait, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(batches_of_one_bucket_share_a_graph_and_give_their_own_rows,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_batch_above_the_profile_ends_the_graphs_and_is_right,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(many_shapes_evict_each_others_graphs, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_large_input_goes_over_from_where_it_lies, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(
            a_step_without_a_device_kernel_runs_on_the_cpu_between_copies, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(steps_that_mix_rows_run_at_the_exact_batch, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_device_that_cannot_capture_still_runs, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_trace_times_every_step_on_the_device, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(a_plan_for_a_device_that_is_absent_says_so, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(
            missing_keys_of_a_device_are_told_while_the_table_stays_there, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(
            sessions_of_several_devices_run_on_threads_that_allocate_nothing, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(
            phases_are_of_the_run_itself_also_where_they_are_not_measured, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(runs_with_values_of_the_pool_hold_no_more_each_time,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(every_step_of_a_plan_may_have_code, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(code_goes_to_the_file_and_what_lies_about_it_is_refused,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(code_of_another_gpu_is_generated_again, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(
            a_swapped_snapshot_keeps_graphs_and_uploads_only_what_changed, fake_begin, fake_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
