/// Memory follows the requests: it grows with them, is bounded, and goes back.
#include "base/memory.h"
#include "base/poison.h"
#include "runtime/instance.h"
#include "testing/failing_alloc.h"
#include "testing/hand_graph.h"

enum { WIDTH = 1024, MB = 1 << 20 };

/// x[B, 1024] -> copied twice -> y, planned for 2^20 rows: 4 KB
/// a value and row, 4 GB at the profile.
static norn_plan *wide_plan(void) {
    hand h = hand_begin(norn_alloc_heap(), 1 << 20);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH));
    norn_value *a = hand_value(&h, "a", NORN_F32, hand_rows(&h, WIDTH)),
               *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, WIDTH));
    static const int64_t perm[] = {0, 1};
    static const norn_attr attr = {
        .name = "perm", .kind = NORN_ATTR_INTS, .count = 2, .ints = perm};
    hand_node(&h, NORN_OP_Transpose, "first", &x, 1, &a, 1, (norn_attrs){&attr, 1}, NULL);
    hand_node(&h, NORN_OP_Transpose, "second", &a, 1, &y, 1, (norn_attrs){&attr, 1}, NULL);
    hand_output(&h, y);
    return hand_plan(&h, "cpu");
}

/// x[B, 1024] -> NonZero -> where[2, n]: a value sized while running.
static norn_plan *pooled_plan(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, WIDTH));
    norn_shape shape = {.rank = 2, .dims = {norn_dim_const(2)}};
    HAND_OK(norn_symbol_runtime(&h.graph->symbols, &shape.dims[1]));
    norn_value *where = hand_value(&h, "where", NORN_I64, shape);
    hand_node(&h, NORN_OP_NonZero, "nonzero", &x, 1, &where, 1, (norn_attrs){0}, NULL);
    hand_output(&h, where);
    return hand_plan(&h, "cpu");
}

static norn_session *session_of(norn_plan *plan, int64_t max_memory_bytes, norn_alloc alloc) {
    norn_session *session;
    HAND_OK(norn_session_create(
        plan, &(norn_session_options){.threads = 1, .max_memory_bytes = max_memory_bytes}, alloc,
        &session));
    norn_plan_release(plan);
    return session;
}

/// One run of `rows`; what the instance then holds goes to *held (may be NULL).
static norn_status run(norn_session *session, int64_t rows, size_t *held) {
    norn_instance *instance;
    void *data;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    norn_status status = norn_instance_input(instance, 0, 2, (int64_t[]){rows, WIDTH}, &data);
    if (status == NORN_OK) {
        float *x = data;
        for (int64_t i = 0; i < rows * WIDTH; i++) x[i] = (float)(i % 1000 + 1);
        status = norn_instance_run(instance);
    }
    if (status == NORN_OK && norn_instance_output(instance, 0)->dtype == NORN_F32) {
        const norn_view *y = norn_instance_output(instance, 0);
        assert_int_equal(y->dims[0], rows);
        for (int64_t i = 0; i < rows * WIDTH; i += 997)
            assert_true(((const float *)y->data)[i] == (float)(i % 1000 + 1));
    }
    norn_instance_release(instance);
    if (held) *held = instance->room.at[NORN_HOST].bound.held;
    return status;
}

static void a_row_takes_a_rows_memory_whatever_the_profile_says(void **state) {
    (void)state;
    norn_session *session = session_of(wide_plan(), 0, norn_alloc_heap());
    size_t held;
    HAND_OK(run(session, 1, &held));
    assert_in_range(held, 3 * 4096, 1 << 17);
    HAND_OK(run(session, 1000, &held));
    assert_in_range(held, 3 * 4096000, 20 * MB);
    norn_session_destroy(session);
}

static void rising_batches_grow_memory_rarely(void **state) {
    (void)state;
    norn_alloc_faulty counted = {.fail_at = SIZE_MAX};
    norn_session *session = session_of(wide_plan(), 0, norn_alloc_failing(&counted));
    HAND_OK(run(session, 1, NULL));
    size_t before = counted.count;
    for (int64_t rows = 2; rows <= 1500; rows += 1 + rows / 40) HAND_OK(run(session, rows, NULL));
    // Half as much again each time: at most 18 times, each an arena and
    // what planning takes, and staging.
    assert_in_range(counted.count - before, 10, 18 * 5);
    before = counted.count;
    for (int64_t rows = 1440; rows > 0; rows -= 70) HAND_OK(run(session, rows, NULL));
    assert_int_equal(counted.count, before);
    norn_session_destroy(session);
    assert_int_equal(counted.live, 0);
}

static void a_run_above_the_bound_is_refused_alone_and_says_why(void **state) {
    (void)state;
    norn_session *session = session_of(wide_plan(), 32 * MB, norn_alloc_heap());
    size_t before, after;
    HAND_OK(run(session, 1000, &before));                                // 12 MB
    assert_int_equal(run(session, 3000, NULL), NORN_RESOURCE_EXHAUSTED); // 36 MB
    assert_non_null(strstr(norn_message(), "max_memory_mb"));
    assert_non_null(strstr(norn_message(), "33554432"));
    HAND_OK(run(session, 1000, &after));
    assert_in_range(after, before, 32 * MB);
    HAND_OK(run(session, 2500, &after)); // 31 MB: without room to grow generously
    assert_in_range(after, 3 * 2500 * 4096, 32 * MB);
    assert_int_equal(run(session, 1 << 19, NULL), NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "input 'x'")); // it is the first that does not fit
    HAND_OK(run(session, 1, NULL));
    norn_session_destroy(session);
}

static void a_value_sized_while_running_is_bounded_too(void **state) {
    (void)state;
    norn_session *session = session_of(pooled_plan(), 24 * MB, norn_alloc_heap());
    HAND_OK(run(session, 500, NULL));                                    // 2 MB in, 8 MB out
    assert_int_equal(run(session, 2000, NULL), NORN_RESOURCE_EXHAUSTED); // 8 MB in, 32 MB out
    assert_non_null(strstr(norn_message(), "node 'nonzero'"));
    HAND_OK(run(session, 500, NULL));
    norn_session_destroy(session);
}

static void what_one_large_run_took_goes_back_after_some_small_ones(void **state) {
    (void)state;
    norn_plan *(*const plans[])(void) = {wide_plan, pooled_plan};
    for (int p = 0; p < 2; p++) {
        norn_alloc_faulty counted = {.fail_at = SIZE_MAX};
        norn_session *session = session_of(plans[p](), 0, norn_alloc_failing(&counted));
        size_t held, large;
        HAND_OK(run(session, 5000, &large));
        assert_true(large >= 40 * (size_t)MB);
        HAND_OK(run(session, 8, &held));
        assert_true(held >= large); // kept: the next may be large again
        for (int i = 0; i < 2 * NORN_TRIM_EVERY; i++) HAND_OK(run(session, 8, &held));
        assert_in_range(held, 3 * 8 * 4096, MB);
        size_t before = counted.count;
        for (int i = 0; i < 3 * NORN_TRIM_EVERY; i++) HAND_OK(run(session, 8, &held));
        assert_int_equal(counted.count, before); // and that is the steady state
        norn_session_destroy(session);
        assert_int_equal(counted.live, 0);
    }
}

static void sizes_that_come_again_and_again_keep_their_memory(void **state) {
    (void)state;
    norn_alloc_faulty counted = {.fail_at = SIZE_MAX};
    norn_session *session = session_of(wide_plan(), 0, norn_alloc_failing(&counted));
    HAND_OK(run(session, 4000, NULL));
    HAND_OK(run(session, 3, NULL));
    size_t before = counted.count;
    for (int i = 0; i < 4 * NORN_TRIM_EVERY; i++)
        HAND_OK(run(session, i % (NORN_TRIM_EVERY - 1) == 0 ? 4000 : 3, NULL));
    assert_int_equal(counted.count, before);
    norn_session_destroy(session);
}

static void a_run_goes_on_wherever_memory_ends_while_it_grows_or_shrinks(void **state) {
    (void)state;
    for (size_t at = 0; at < 16; at++) {
        norn_alloc_faulty faulty = {.fail_at = SIZE_MAX};
        norn_session *session =
            session_of(at % 2 ? wide_plan() : pooled_plan(), 0, norn_alloc_failing(&faulty));
        HAND_OK(run(session, 2, NULL));
        faulty.fail_at = faulty.count + at / 2;
        norn_status status = run(session, 2500, NULL);
        assert_true(status == NORN_OK || status == NORN_RESOURCE_EXHAUSTED);
        for (int i = 0; i < NORN_TRIM_EVERY + 8; i++)
            if (run(session, 2, NULL) != NORN_OK) faulty.fail_at = SIZE_MAX;
        faulty.fail_at = SIZE_MAX;
        HAND_OK(run(session, 2600, NULL));
        norn_session_destroy(session);
        assert_int_equal(faulty.live, 0);
    }
}

// ---- scratch and blocks by themselves

static norn_status take(void *context, size_t bytes, void **out) {
    *(size_t *)context += bytes;
    return norn_alloc_bytes(norn_alloc_heap(), bytes, out);
}
static void give(void *context, void *memory, size_t bytes) {
    *(size_t *)context -= bytes;
    norn_free(norn_alloc_heap(), memory);
}

static void scratch_settles_to_what_was_in_use_at_once(void **state) {
    (void)state;
    size_t held = 0;
    norn_scratch scratch;
    norn_scratch_init(&scratch, (norn_memory_source){take, give, &held, true}, 64);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 1; i <= 40; i++) {
            norn_scratch_mark mark = norn_scratch_save(&scratch);
            void *a, *b;
            HAND_OK(norn_scratch_take(&scratch, i * MB, &a));
            HAND_OK(norn_scratch_take(&scratch, i * 1000, &b));
            memset(a, 1, i * MB);
            memset(b, 2, i * 1000);
            assert_int_equal(((unsigned char *)a)[i * MB - 1], 1);
            norn_scratch_restore(&scratch, mark);
        }
        norn_scratch_settle(&scratch);
        assert_in_range(held, 40 * MB + 40000, 40 * MB + 40000 + 64 + 2 * NORN_RED_BYTES);
    }
    norn_scratch_trim(&scratch);
    norn_scratch_trim(&scratch); // nothing was used in between
    assert_int_equal(held, 0);
    norn_scratch_deinit(&scratch);
}

static void free_blocks_make_room_for_one_of_another_size(void **state) {
    (void)state;
    size_t held = 0;
    norn_blocks blocks;
    norn_block *block[8], *large;
    norn_blocks_init(&blocks, (norn_memory_source){take, give, &held, true});
    for (int i = 0; i < 8; i++)
        HAND_OK(norn_blocks_take(&blocks, (size_t)(i + 1) * MB - NORN_RED_BYTES, &block[i]));
    for (int i = 1; i < 8; i++) norn_blocks_give(&blocks, block[i]);
    norn_blocks_trim(&blocks); // all of it was taken since the last time
    assert_true(held >= 36 * (size_t)MB);
    norn_blocks_trim(&blocks);
    assert_in_range(held, MB, MB + 64);
    HAND_OK(norn_blocks_take(&blocks, 3 * MB, &large));
    memset(norn_block_data(large), 1, 3 * MB);
    memset(norn_block_data(block[0]), 2, MB - NORN_RED_BYTES);
    norn_block_use(large, 100);
    assert_int_equal(!!norn_is_poisoned((char *)norn_block_data(large) + 99), false);
    assert_int_equal(!!norn_is_poisoned((char *)norn_block_data(large) + 100), NORN_POISONS);
    norn_blocks_deinit(&blocks); // taken ones too
    assert_int_equal(held, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_takes_a_rows_memory_whatever_the_profile_says),
        cmocka_unit_test(rising_batches_grow_memory_rarely),
        cmocka_unit_test(a_run_above_the_bound_is_refused_alone_and_says_why),
        cmocka_unit_test(a_value_sized_while_running_is_bounded_too),
        cmocka_unit_test(what_one_large_run_took_goes_back_after_some_small_ones),
        cmocka_unit_test(sizes_that_come_again_and_again_keep_their_memory),
        cmocka_unit_test(a_run_goes_on_wherever_memory_ends_while_it_grows_or_shrinks),
        cmocka_unit_test(scratch_settles_to_what_was_in_use_at_once),
        cmocka_unit_test(free_blocks_make_room_for_one_of_another_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
