/// The applier on the host tier, with a log in memory that loses, repeats and forges frames.
#include "base/clock.h"
#include "base/hash.h"
#include "store/host/host_tier.h"
#include "store/log/applier.h"
#include "store/log/log_writer.h"
#include "testing/memory_log.h"
#include "testing/tier_fixture.h"

#include <string.h>

typedef struct rig {
    memory_log *log;
    norn_tier *tier;
    norn_version *version;
    norn_applier *applier;
    norn_log_writer *writer;
} rig;

static norn_log_writer *open_writer(rig *r, uint64_t base) {
    const norn_log_writer_options options = {"m", base, r->version->tables,
                                             r->version->table_count};
    norn_log_writer *writer;
    OK(norn_log_writer_create(&r->log->base, &options, norn_alloc_heap(), &writer));
    return writer;
}

static norn_applier *open_applier(rig *r, const norn_cut *cut) {
    const norn_applier_options options = {&r->log->base, r->tier, r->version, 1, cut, NULL, 0};
    norn_applier *applier;
    OK(norn_applier_create(&options, norn_alloc_heap(), &applier));
    return applier;
}

static rig rig_open(uint32_t partitions) {
    rig r = {.log = memory_log_create(partitions)};
    OK(norn_host_tier_create(norn_alloc_heap(), &r.tier));
    OK(r.tier->ops->load(r.tier, 1, norn_tier_version_dir(1), &r.version));
    r.writer = open_writer(&r, 1);
    r.applier = open_applier(&r, NULL);
    return r;
}

static void rig_close(rig *r) {
    norn_log_writer_destroy(r->writer);
    norn_applier_destroy(r->applier);
    norn_tier_close(r->tier);
    norn_delta_log_close(&r->log->base);
}

static norn_status put(norn_log_writer *writer, uint64_t step, uint32_t table, const int64_t *keys,
                       uint32_t count) {
    const int64_t dim = norn_tier_dims[table];
    float rows[64 * TIER_WIDEST];
    for (uint32_t i = 0; i < count; i++)
        for (int64_t c = 0; c < dim; c++) rows[i * dim + c] = norn_tier_cell(1, step, keys[i]);
    return norn_log_writer_put(writer, table, keys, rows, count);
}

/// Step `step` with the rows of these keys in table `a_hashed`.
static void publish(norn_log_writer *writer, uint64_t step, const int64_t *keys, uint32_t count) {
    uint64_t sealed;
    OK(put(writer, step, TIER_HASHED, keys, count));
    OK(norn_log_writer_seal(writer, &sealed));
    assert_int_equal(sealed, step);
}

static norn_status run(rig *r) {
    return norn_applier_run(r->applier, INT64_MAX);
}

/// The row that readers of now see.
static void expect(rig *r, uint32_t table, int64_t key, uint64_t step) {
    norn_pin pin;
    OK(r->tier->ops->pin(r->tier, r->version, &pin));
    norn_tier_expect(r->tier, &pin, table, key, step);
    r->tier->ops->unpin(r->tier, &pin);
}

static void expect_error(rig *r, norn_status wanted, const char *words) {
    const uint64_t step = norn_applier_stat_of(r->applier).step;
    assert_int_equal(run(r), wanted);
    if (!strstr(norn_message(), words))
        fail_msg("'%s' says nothing of '%s'", norn_message(), words);
    assert_int_equal(norn_applier_stat_of(r->applier).step, step);
    assert_int_equal(run(r), wanted); // and again the same
}

static void test_steps_after_the_last_wanted_are_left_out(void **state) {
    (void)state;
    for (uint32_t partitions = 1; partitions <= 3; partitions += 2) {
        rig r = rig_open(partitions);
        publish(r.writer, 1, (int64_t[]){4, 7}, 2);
        for (int again = 0; again < 2; again++) {
            norn_log_writer_destroy(r.writer);
            r.writer = open_writer(&r, 1);
        }
        publish(r.writer, 2, (int64_t[]){7, 10}, 2);
        publish(r.writer, 3, (int64_t[]){4, 10}, 2);
        norn_applier_destroy(r.applier);
        const norn_applier_options options = {
            .log = &r.log->base, .tier = r.tier, .version = r.version, .base = 1, .last_step = 2};
        OK(norn_applier_create(&options, norn_alloc_heap(), &r.applier));
        for (int again = 0; again < 2; again++) {
            OK(run(&r));
            assert_int_equal(norn_applier_stat_of(r.applier).step, 2);
            assert_int_equal(norn_applier_cut(r.applier).step, 2);
            expect(&r, TIER_HASHED, 4, 1);
            expect(&r, TIER_HASHED, 10, 2);
        }
        rig_close(&r);
    }
}

static void test_steps_are_applied_whole(void **state) {
    (void)state;
    for (uint32_t partitions = 1; partitions <= 3; partitions += 2) {
        rig r = rig_open(partitions);
        uint64_t step;
        expect(&r, TIER_HASHED, 4, 0);
        OK(put(r.writer, 1, TIER_HASHED, (int64_t[]){4, 7, 1000000}, 3));
        OK(put(r.writer, 1, TIER_DENSE, (int64_t[]){0, 199}, 2));
        OK(put(r.writer, 1, TIER_WIDE, (int64_t[]){-5}, 1));
        OK(run(&r));
        expect(&r, TIER_HASHED, 4, 0);
        OK(norn_log_writer_seal(r.writer, &step));
        OK(run(&r));
        expect(&r, TIER_HASHED, 4, 1);
        expect(&r, TIER_HASHED, 1000000, 1);
        expect(&r, TIER_HASHED, 10, 0);
        expect(&r, TIER_DENSE, 199, 1);
        expect(&r, TIER_WIDE, -5, 1);
        OK(norn_log_writer_put(r.writer, TIER_HASHED, (int64_t[]){4, 13}, NULL, 2));
        OK(norn_log_writer_seal(r.writer, &step));
        publish(r.writer, 3, (int64_t[]){13}, 1);
        OK(run(&r));
        expect(&r, TIER_HASHED, 4, NORN_TIER_NONE);
        expect(&r, TIER_HASHED, 13, 3);
        const norn_applier_stat stat = norn_applier_stat_of(r.applier);
        assert_int_equal(stat.step, 3);
        assert_int_equal(stat.steps, 3);
        assert_int_equal(stat.rows, 7);
        assert_int_equal(stat.deletes, 2);
        assert_int_equal(stat.epoch, 1);
        size_t bytes = 0;
        for (uint32_t p = 0; p < partitions; p++)
            for (size_t i = 0; i < r.log->parts[p].count; i++)
                bytes += r.log->parts[p].frames[i].count;
        assert_int_equal(stat.bytes, bytes);
        assert_true(stat.published_ns > 0 && stat.published_ns <= norn_clock_wall_ns());
        const norn_cut cut = norn_applier_cut(r.applier);
        assert_int_equal(cut.step, 3);
        for (uint32_t p = 0; p < partitions; p++)
            assert_int_equal(cut.positions[p].sequence, r.log->parts[p].count);
        rig_close(&r);
    }
}

/// However much of the log a reader sees, it is at a whole step.
static void test_every_prefix_is_a_whole_step(void **state) {
    rig r = rig_open(1);
    (void)state;
    for (uint64_t step = 1; step <= 4; step++) publish(r.writer, step, (int64_t[]){4, 7}, 2);
    for (size_t n = 0; n <= r.log->parts[0].count; n++) {
        r.log->visible = n;
        OK(run(&r));
        const uint64_t whole = n < 3 ? 0 : (n - 1) / 2;
        expect(&r, TIER_HASHED, 4, whole);
        expect(&r, TIER_HASHED, 7, whole);
    }
    rig_close(&r);
}

/// The rows of a step that its writer never sealed go with it; those of the next are seen.
static void test_an_abandoned_step(void **state) {
    (void)state;
    for (uint32_t partitions = 1; partitions <= 2; partitions++) {
        rig r = rig_open(partitions);
        publish(r.writer, 1, (int64_t[]){4, 7, 10, 13, 16}, 5);
        publish(r.writer, 2, (int64_t[]){4, 7, 10, 13, 16}, 5);
        // The last partition lost its seal: step 2 is not whole, whatever the others have.
        memory_log_remove(r.log, partitions - 1, r.log->parts[partitions - 1].count - 1);
        OK(run(&r));
        expect(&r, TIER_HASHED, 4, 1);
        norn_log_writer_destroy(r.writer);
        r.writer = open_writer(&r, 1);
        OK(run(&r));
        expect(&r, TIER_HASHED, 7, 1);
        publish(r.writer, 2, (int64_t[]){10}, 1);
        OK(run(&r));
        expect(&r, TIER_HASHED, 4, 1);
        expect(&r, TIER_HASHED, 7, 1);
        expect(&r, TIER_HASHED, 10, 2);
        assert_int_equal(norn_applier_stat_of(r.applier).epoch, 2);
        // Somebody who reads it all at once sees the same.
        norn_applier_destroy(r.applier);
        norn_tier_close(r.tier);
        OK(norn_host_tier_create(norn_alloc_heap(), &r.tier));
        OK(r.tier->ops->load(r.tier, 1, norn_tier_version_dir(1), &r.version));
        r.applier = open_applier(&r, NULL);
        OK(run(&r));
        expect(&r, TIER_HASHED, 7, 1);
        expect(&r, TIER_HASHED, 10, 2);
        rig_close(&r);
    }
}

static void test_from_a_cut(void **state) {
    rig r = rig_open(2);
    norn_position positions[2];
    (void)state;
    publish(r.writer, 1, (int64_t[]){4, 7}, 2);
    const norn_cut now = norn_log_writer_cut(r.writer);
    memcpy(positions, now.positions, sizeof positions);
    const norn_cut cut = {now.step, 2, positions};
    publish(r.writer, 2, (int64_t[]){7}, 1);
    norn_applier_destroy(r.applier);
    r.applier = open_applier(&r, &cut);
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 0);
    expect(&r, TIER_HASHED, 7, 2);
    assert_int_equal(norn_applier_stat_of(r.applier).steps, 1);
    // A cut of another log.
    positions[0].chain++;
    norn_applier_destroy(r.applier);
    r.applier = open_applier(&r, &cut);
    expect_error(&r, NORN_DATA_LOSS, "a fork");
    const norn_cut wrong = {1, 1, positions};
    const norn_applier_options options = {&r.log->base, r.tier, r.version, 1, &wrong, NULL, 0};
    norn_applier *none;
    assert_int_equal(norn_applier_create(&options, norn_alloc_heap(), &none),
                     NORN_INVALID_ARGUMENT);
    assert_null(none);
    rig_close(&r);
}

/// Steps of another line of training are passed over, and this version stays as it is.
static void test_another_line_of_training(void **state) {
    rig r = rig_open(1);
    (void)state;
    publish(r.writer, 1, (int64_t[]){4}, 1);
    norn_log_writer_destroy(r.writer);
    norn_table_form other[TIER_TABLES];
    memcpy(other, r.version->tables, sizeof other);
    other[0].dim = 99;
    const norn_log_writer_options options = {"m", 9, other, TIER_TABLES};
    OK(norn_log_writer_create(&r.log->base, &options, norn_alloc_heap(), &r.writer));
    publish(r.writer, 2, (int64_t[]){4, 7}, 2);
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 1);
    expect(&r, TIER_HASHED, 7, 0);
    assert_int_equal(norn_applier_stat_of(r.applier).step, 2);
    rig_close(&r);
}

// ---- what does not fit

/// A log of three steps: frames 0 open, 1 rows, 2 seal, 3 rows, 4 seal, 5 rows, 6 seal.
static rig rig_with_steps(void) {
    rig r = rig_open(1);
    for (uint64_t step = 1; step <= 3; step++) publish(r.writer, step, (int64_t[]){4, 7}, 2);
    return r;
}

static void test_a_gap(void **state) {
    rig r = rig_with_steps();
    (void)state;
    norn_log_frame_header *lost = memory_log_header(r.log, 0, 3);
    char copy[4096];
    const size_t bytes = r.log->parts[0].frames[3].count;
    memcpy(copy, lost, bytes);
    memory_log_remove(r.log, 0, 3);
    assert_int_equal(run(&r), NORN_DATA_LOSS);
    expect_error(&r, NORN_DATA_LOSS, "a gap: sequence 5 comes after 3");
    expect(&r, TIER_HASHED, 4, 1);
    expect(&r, TIER_HASHED, 7, 1);
    memory_log_insert(r.log, 0, 3, copy, bytes);
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 3);
    rig_close(&r);
}

static void test_a_trimmed_log(void **state) {
    rig r = rig_with_steps();
    (void)state;
    OK(r.log->base.ops->trim(&r.log->base, 0, 5));
    assert_int_equal(run(&r), NORN_OUT_OF_RANGE);
    expect(&r, TIER_HASHED, 4, 0);
    rig_close(&r);
}

static void change(rig *r, size_t index, void (*how)(norn_log_frame_header *header)) {
    how(memory_log_header(r->log, 0, index));
    memory_log_mend(r->log, 0, index);
}

static void of_other_chain(norn_log_frame_header *h) {
    h->previous_crc ^= 1;
}
static void of_older_epoch(norn_log_frame_header *h) {
    h->epoch = 0;
}
static void of_unopened_epoch(norn_log_frame_header *h) {
    h->epoch = 2;
}
static void of_step_before(norn_log_frame_header *h) {
    h->step = 1;
}
static void of_next_step(norn_log_frame_header *h) {
    h->step = 3;
}
static void of_no_table(norn_log_frame_header *h) {
    h->table = TIER_TABLES;
}
static void of_other_table(norn_log_frame_header *h) {
    h->table = TIER_WIDE;
}
static void of_other_dtype(norn_log_frame_header *h) {
    h->dtype = norn_log_frame_dtype_of(NORN_F16);
}
static void of_other_size(norn_log_frame_header *h) {
    h->row_bytes = 15;
}
static void of_other_partition(norn_log_frame_header *h) {
    h->partition = 1;
}
static void of_other_seal(norn_log_frame_header *h) {
    *(uint64_t *)(void *)(h + 1) += 1;
}

static void test_what_is_refused(void **state) {
    static const struct {
        size_t frame;
        void (*how)(norn_log_frame_header *header);
        norn_status status;
        const char *words;
    } cases[] = {
        {3, of_other_chain, NORN_DATA_LOSS, "a fork: sequence 4"},
        {3, of_older_epoch, NORN_DATA_LOSS, "of epoch 0"},
        {3, of_unopened_epoch, NORN_DATA_LOSS,
         "of epoch 2, which has not been opened after epoch 1"},
        {3, of_step_before, NORN_DATA_LOSS, "step 1 was applied already"},
        {4, of_next_step, NORN_DATA_LOSS, "step 2 is not sealed yet"},
        {3, of_no_table, NORN_INVALID_ARGUMENT, "rows of table 3"},
        {3, of_other_table, NORN_INVALID_ARGUMENT, "table 'c_wide'"},
        {3, of_other_dtype, NORN_INVALID_ARGUMENT, "float16 rows of 16 bytes for table 'a_hashed'"},
        {3, of_other_size, NORN_DATA_LOSS, "a payload of 48 bytes"},
        {3, of_other_partition, NORN_DATA_LOSS, "partition 1"},
        {4, of_other_seal, NORN_DATA_LOSS, "a seal of other partitions"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = rig_with_steps();
        r.log->visible = 3;
        OK(run(&r));
        r.log->visible = SIZE_MAX;
        change(&r, cases[i].frame, cases[i].how);
        expect_error(&r, cases[i].status, cases[i].words);
        expect(&r, TIER_HASHED, 4, 1);
        expect(&r, TIER_HASHED, 7, 1);
        rig_close(&r);
    }
}

/// One byte of a frame is another: it is damage, wherever it lies.
static void test_every_flipped_byte(void **state) {
    rig r = rig_with_steps();
    (void)state;
    r.log->visible = 3;
    OK(run(&r));
    r.log->visible = SIZE_MAX;
    uint8_t *bytes = r.log->parts[0].frames[3].bytes;
    const size_t count = r.log->parts[0].frames[3].count;
    for (size_t i = 0; i < count; i++) {
        bytes[i] ^= 0x40;
        // The memory log finds frames by their sequence: a change of it hides the frame.
        const norn_status status = run(&r);
        assert_int_equal(status, NORN_DATA_LOSS);
        expect(&r, TIER_HASHED, 4, 1);
        bytes[i] ^= 0x40;
    }
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 3);
    rig_close(&r);
}

static void test_other_tables(void **state) {
    (void)state;
    for (int what = 0; what < 6; what++) {
        rig r = rig_open(1);
        norn_table_form forms[TIER_TABLES + 1];
        norn_log_writer *writer;
        memcpy(forms, r.version->tables, TIER_TABLES * sizeof *forms);
        forms[TIER_TABLES] = (norn_table_form){.name = "z", .dtype = NORN_F32, .dim = 1};
        if (what == 0) forms[1].name = "other";
        if (what == 1) forms[1].dim = 4;
        if (what == 2) forms[1].dtype = NORN_BF16;
        if (what == 3) forms[1].dense = false;
        const uint32_t count = what == 4   ? TIER_TABLES - 1
                               : what == 5 ? TIER_TABLES + 1
                                           : TIER_TABLES;
        const norn_log_writer_options options = {"m", 1, forms, count};
        OK(norn_log_writer_create(&r.log->base, &options, norn_alloc_heap(), &writer));
        expect_error(&r, NORN_INVALID_ARGUMENT,
                     what == 4   ? "it has no table 'c_wide'"
                     : what == 5 ? "its table 'z' is not one of the 3"
                                 : "that of version 1 is 'b_dense' (dense F32, dim 3)");
        assert_non_null(strstr(norn_message(), "epoch 2"));
        norn_log_writer_destroy(writer);
        rig_close(&r);
    }
}

static void test_a_key_outside_a_dense_table(void **state) {
    rig r = rig_open(1);
    norn_table_form forms[TIER_TABLES];
    uint64_t step;
    (void)state;
    memcpy(forms, r.version->tables, sizeof forms);
    forms[TIER_DENSE].rows = 1000; // the writer thinks
    const norn_log_writer_options options = {"m", 1, forms, TIER_TABLES};
    norn_log_writer_destroy(r.writer);
    OK(norn_log_writer_create(&r.log->base, &options, norn_alloc_heap(), &r.writer));
    OK(put(r.writer, 1, TIER_HASHED, (int64_t[]){4}, 1));
    OK(put(r.writer, 1, TIER_DENSE, (int64_t[]){5, TIER_DENSE_ROWS}, 2));
    OK(norn_log_writer_seal(r.writer, &step));
    expect_error(&r, NORN_INVALID_ARGUMENT, "table 'b_dense': key 200 is outside");
    expect(&r, TIER_HASHED, 4, 0);
    expect(&r, TIER_DENSE, 5, 0);
    rig_close(&r);
}

/// A step that could not be appended is tried again, before any other.
static void test_a_failed_append(void **state) {
    rig r = rig_open(1);
    uint64_t step;
    (void)state;
    OK(put(r.writer, 1, TIER_HASHED, (int64_t[]){4}, 1));
    r.log->appends_that_fail = 1;
    assert_int_equal(norn_log_writer_seal(r.writer, &step), NORN_RESOURCE_EXHAUSTED);
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 0);
    assert_int_equal(put(r.writer, 1, TIER_HASHED, (int64_t[]){7}, 1), NORN_FAILED_PRECONDITION);
    OK(norn_log_writer_seal(r.writer, &step));
    assert_int_equal(step, 1);
    publish(r.writer, 2, (int64_t[]){7}, 1);
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 1);
    expect(&r, TIER_HASHED, 7, 2);
    rig_close(&r);
}

// ---- dense tensors

static void expect_weights(norn_dense_set *set, const char *name, float first, float last,
                           int64_t rows, int64_t columns) {
    const norn_dense_tensor *at = set->first;
    while (at && strcmp(at->name, name) != 0) at = at->next;
    assert_non_null(at);
    assert_int_equal(at->view.dtype, NORN_F32);
    assert_int_equal(at->view.rank, 2);
    assert_int_equal(at->view.dims[0], rows);
    assert_int_equal(at->view.dims[1], columns);
    assert_int_equal(at->filled, rows * columns * 4);
    const float *data = at->view.data;
    assert_true(data[0] == first && data[rows * columns - 1] == last);
}

static const norn_tier_ops *host_ops;
static int commits_to_fail;

static norn_status commit_or_fail(norn_tier *tier, norn_version *version, const norn_cut *cut) {
    if (commits_to_fail-- > 0) return norn_fail(NORN_UNAVAILABLE, "no tier now");
    return host_ops->commit(tier, version, cut);
}

/// The step is not passed over when the tier takes it later.
static void test_a_failed_commit(void **state) {
    (void)state;
    rig r = rig_open(2);
    host_ops = r.tier->ops;
    norn_tier_ops failing = *host_ops;
    failing.commit = commit_or_fail;
    r.tier->ops = &failing;
    publish(r.writer, 1, (int64_t[]){4}, 1);
    OK(run(&r));
    publish(r.writer, 2, (int64_t[]){4, 7}, 2);
    publish(r.writer, 3, (int64_t[]){10}, 1);
    commits_to_fail = 2;
    expect_error(&r, NORN_UNAVAILABLE, "no tier now");
    expect(&r, TIER_HASHED, 4, 1);
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 2);
    expect(&r, TIER_HASHED, 7, 2);
    expect(&r, TIER_HASHED, 10, 3);
    rig_close(&r);
}

static void test_dense_tensors(void **state) {
    enum { ROWS = 700, COLUMNS = 500 }; // 1.4 MB: two pieces
    static float weights[ROWS * COLUMNS];
    norn_view view = {.dtype = NORN_F32, .rank = 2, .dims = {ROWS, COLUMNS}, .data = weights};
    rig r = rig_open(2);
    uint64_t step;
    (void)state;
    weights[0] = 1, weights[ROWS * COLUMNS - 1] = 2;
    OK(norn_log_writer_put_dense(r.writer, "top.weight", &view));
    OK(put(r.writer, 1, TIER_HASHED, (int64_t[]){4}, 1));
    OK(run(&r));
    assert_null(norn_applier_dense(r.applier)->first);
    OK(norn_log_writer_seal(r.writer, &step));
    r.log->visible = 3; // of partition 0: open and both pieces
    OK(run(&r));
    assert_null(norn_applier_dense(r.applier)->first);
    r.log->visible = SIZE_MAX;
    OK(run(&r));
    expect(&r, TIER_HASHED, 4, 1);
    expect_weights(norn_applier_dense(r.applier), "top.weight", 1, 2, ROWS, COLUMNS);
    // The newest of each, until they are taken.
    view = (norn_view){.dtype = NORN_F32, .rank = 2, .dims = {1, 2}, .data = (float[]){5, 6}};
    OK(norn_log_writer_put_dense(r.writer, "b", &view));
    OK(norn_log_writer_put_dense(r.writer, "top.weight", &view));
    OK(norn_log_writer_put_dense(
        r.writer, "top.weight",
        &(norn_view){.dtype = NORN_F32, .rank = 2, .dims = {2, 1}, .data = (float[]){7, 8}}));
    OK(norn_log_writer_seal(r.writer, &step));
    OK(run(&r));
    expect_weights(norn_applier_dense(r.applier), "top.weight", 7, 8, 2, 1);
    expect_weights(norn_applier_dense(r.applier), "b", 5, 6, 1, 2);
    norn_dense_set_clear(norn_applier_dense(r.applier));
    OK(run(&r));
    assert_null(norn_applier_dense(r.applier)->first);
    rig_close(&r);
}

static void test_a_dense_tensor_that_is_not_whole(void **state) {
    static float weights[300000];
    const norn_view view = {.dtype = NORN_F32, .rank = 1, .dims = {300000}, .data = weights};
    rig r = rig_open(1);
    uint64_t step;
    (void)state;
    OK(norn_log_writer_put_dense(r.writer, "w", &view));
    OK(norn_log_writer_seal(r.writer, &step));
    // Its second piece is now of another place.
    norn_log_frame_header *second = memory_log_header(r.log, 0, 2);
    uint64_t offset;
    memcpy(&offset, (char *)(second + 1) + 8, sizeof offset);
    offset += 4;
    memcpy((char *)(second + 1) + 8, &offset, sizeof offset);
    memory_log_mend(r.log, 0, 2);
    expect_error(&r, NORN_DATA_LOSS, "sequence 3: this is no piece");
    rig_close(&r);
}

// ---- many steps against a model in memory

static void test_random_steps(void **state) {
    enum { KEYS = 200, STEPS = 300 };
    norn_random random;
    uint64_t newest[KEYS] = {0};
    bool gone[KEYS] = {false};
    rig r = rig_open(3);
    (void)state;
    norn_random_init(&random, 7);
    for (uint64_t step = 1; step <= STEPS; step++) {
        uint64_t sealed;
        const uint64_t puts = norn_random_u64(&random) % 6;
        for (uint64_t i = 0; i < puts; i++) {
            const int64_t key = (int64_t)(norn_random_u64(&random) % KEYS);
            const bool deletes = norn_random_u64(&random) % 4 == 0;
            if (deletes)
                OK(norn_log_writer_put(r.writer, TIER_HASHED, &key, NULL, 1));
            else
                OK(put(r.writer, step, TIER_HASHED, &key, 1));
            newest[key] = step;
            gone[key] = deletes;
        }
        OK(norn_log_writer_seal(r.writer, &sealed));
        if (step % 50 == 0) { // another writer, another epoch
            norn_log_writer_destroy(r.writer);
            r.writer = open_writer(&r, 1);
        }
        if (norn_random_u64(&random) % 3 > 0) continue;
        OK(run(&r));
        assert_int_equal(norn_applier_stat_of(r.applier).step, step);
        for (int64_t key = 0; key < KEYS; key++)
            expect(&r, TIER_HASHED, key,
                   gone[key]                     ? NORN_TIER_NONE
                   : newest[key] || key % 3 == 1 ? newest[key]
                                                 : NORN_TIER_NONE);
    }
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_applied_whole),
        cmocka_unit_test(test_steps_after_the_last_wanted_are_left_out),
        cmocka_unit_test(test_every_prefix_is_a_whole_step),
        cmocka_unit_test(test_an_abandoned_step),
        cmocka_unit_test(test_from_a_cut),
        cmocka_unit_test(test_another_line_of_training),
        cmocka_unit_test(test_a_gap),
        cmocka_unit_test(test_a_trimmed_log),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_every_flipped_byte),
        cmocka_unit_test(test_other_tables),
        cmocka_unit_test(test_a_key_outside_a_dense_table),
        cmocka_unit_test(test_a_failed_append),
        cmocka_unit_test(test_a_failed_commit),
        cmocka_unit_test(test_dense_tensors),
        cmocka_unit_test(test_a_dense_tensor_that_is_not_whole),
        cmocka_unit_test(test_random_steps),
    };
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
