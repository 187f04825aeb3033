/// The steady state of a run touches the heap not once: every allocation of the process is counted.
#include "runtime/instance.h"
#include "tensor/dtype.h"
#include "testing/hand_graph.h"

#include <errno.h>
#include <stdatomic.h>

// Sanitizers bring their own malloc, and then this test can only run, not count.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_COUNT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define CAN_COUNT 0
#endif
#endif
#if !defined(CAN_COUNT) && defined(__GLIBC__)
#define CAN_COUNT 1
#elif !defined(CAN_COUNT)
#define CAN_COUNT 0
#endif

static atomic_int counting, allocations;

#if CAN_COUNT
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

static void note(void) {
    if (atomic_load(&counting)) atomic_fetch_add(&allocations, 1);
}
void *malloc(size_t bytes) {
    note();
    return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
    note();
    return __libc_calloc(count, bytes);
}
void *realloc(void *memory, size_t bytes) {
    note();
    return __libc_realloc(memory, bytes);
}
void *memalign(size_t align, size_t bytes);
void *memalign(size_t align, size_t bytes) {
    note();
    return __libc_memalign(align, bytes);
}
void *aligned_alloc(size_t align, size_t bytes) {
    return memalign(align, bytes);
}
int posix_memalign(void **out, size_t align, size_t bytes) {
    *out = memalign(align, bytes);
    return *out ? 0 : ENOMEM;
}
#endif

/// x[B, 4] -> NonZero -> [2, n] -> Transpose: values whose size shows only while running.
static norn_plan *pooled_plan(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_shape shape = {.rank = 2, .dims = {norn_dim_const(2)}};
    HAND_OK(norn_symbol_runtime(&h.graph->symbols, &shape.dims[1]));
    norn_value *where = hand_value(&h, "where", NORN_I64, shape);
    hand_node(&h, NORN_OP_NonZero, "nonzero", &x, 1, &where, 1, (norn_attrs){0}, NULL);
    norn_shape turned = {.rank = 2, .dims = {shape.dims[1], norn_dim_const(2)}};
    norn_value *rows = hand_value(&h, "rows", NORN_I64, turned);
    static const int64_t perm[] = {1, 0};
    norn_attr attr = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 2, .ints = perm};
    hand_node(&h, NORN_OP_Transpose, "turn", &where, 1, &rows, 1, (norn_attrs){&attr, 1}, NULL);
    hand_output(&h, rows);
    return hand_plan(&h, "cpu");
}

/// x[B, 4] -> SplitToSequence -> SequenceInsert(x) -> ConcatFromSequence: [B, 8], x twice.
static norn_plan *sequence_plan(void) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_dtype type = norn_dtype_with(NORN_F32, NORN_SEQUENCE);
    norn_value *parts = hand_value(&h, "parts", type, norn_shape_unknown());
    norn_value *more = hand_value(&h, "more", type, norn_shape_unknown());
    norn_value *whole = hand_value(&h, "whole", NORN_F32, norn_shape_unknown());
    norn_attr axis = {.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
    norn_attrs attrs = {&axis, 1};
    hand_node(&h, NORN_OP_SplitToSequence, "split", &x, 1, &parts, 1, attrs, NULL);
    norn_value *both[2] = {parts, x};
    hand_node(&h, NORN_OP_SequenceInsert, "insert", both, 2, &more, 1, (norn_attrs){0}, NULL);
    hand_node(&h, NORN_OP_ConcatFromSequence, "join", &more, 1, &whole, 1, attrs, NULL);
    hand_output(&h, whole);
    return hand_plan(&h, "cpu");
}

static norn_session *session_of(norn_plan *plan, int32_t threads) {
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = threads},
                                norn_alloc_heap(), &session));
    norn_plan_release(plan);
    return session;
}

/// Runs batches of several sizes twice, and counts in the second round.
static int allocations_of(norn_session *session, void *out_data, size_t room, bool whole) {
    static float x[64 * 4];
    static const int64_t batches[] = {64, 1, 17, 64, 33, 0, 64};
    for (int i = 0; i < 64 * 4; i++) x[i] = (float)(i % 3 - 1);
    for (int round = 0; round < 3; round++) {
        atomic_store(&counting, round == 2);
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batches[i], 4}, x),
                      out = {.data = out_data};
            norn_status status = NORN_OK;
            if (whole)
                status = norn_session_run(
                    session,
                    &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room});
            norn_instance *instance = NULL;
            void *data;
            if (!whole) status = norn_instance_acquire(session, 0, &instance);
            if (instance && status == NORN_OK)
                status = norn_instance_input(instance, 0, 2, in.dims, &data);
            if (instance && status == NORN_OK) {
                memcpy(data, x, (size_t)batches[i] * 4 * sizeof *x);
                status = norn_instance_run(instance);
            }
            if (instance) norn_instance_release(instance);
            if (status != NORN_OK) atomic_store(&counting, 0);
            if (status != NORN_OK) print_error("%s\n", norn_message());
            assert_int_equal(status, NORN_OK);
        }
        atomic_store(&counting, 0);
    }
    return atomic_exchange(&allocations, 0);
}

static void the_counter_counts(void **state) {
    (void)state;
    atomic_store(&counting, 1);
    free(malloc(10));
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 64, 10), 0);
    free(memory);
    atomic_store(&counting, 0);
    if (CAN_COUNT) assert_int_equal(atomic_exchange(&allocations, 0), 2);
}

static void a_run_of_planned_values_allocates_nothing(void **state) {
    (void)state;
    static float y[64 * 3];
    for (int32_t threads = 1; threads <= 2; threads++) {
        norn_session *session = session_of(hand_mlp(norn_alloc_heap(), "cpu", 64), threads);
        assert_int_equal(allocations_of(session, y, sizeof y, true), 0);
        assert_int_equal(allocations_of(session, y, sizeof y, false), 0);
        norn_session_destroy(session);
    }
}

static void a_run_with_values_sized_while_running_allocates_nothing(void **state) {
    (void)state;
    static int64_t rows[64 * 4 * 2];
    norn_session *session = session_of(pooled_plan(), 1);
    assert_int_equal(allocations_of(session, rows, sizeof rows, true), 0);
    norn_session_destroy(session);
}

static void a_run_with_sequences_allocates_nothing_and_keeps_their_tensors(void **state) {
    (void)state;
    static float y[64 * 8];
    norn_session *session = session_of(sequence_plan(), 1);
    assert_int_equal(allocations_of(session, y, sizeof y, true), 0);
    for (int i = 0; i < 64 * 8; i++) {
        int at = i / 8 * 4 + i % 4; // of x, whose elements go -1, 0, 1
        if (y[i] != (float)(at % 3 - 1)) fail_msg("element %d is %g", i, (double)y[i]);
    }
    norn_session_destroy(session);
}

static void a_value_sized_while_running_has_the_right_size_and_elements(void **state) {
    (void)state;
    norn_session *session = session_of(pooled_plan(), 1);
    for (int64_t batch = 0; batch < 12; batch++) {
        float x[12 * 4];
        int64_t rows[12 * 4 * 2], count = 0;
        for (int64_t i = 0; i < batch * 4; i++) x[i] = (float)((i * i + batch) % 3);
        norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x), out = {.data = rows};
        size_t room = sizeof rows;
        HAND_OK(norn_session_run(
            session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
        for (int64_t i = 0; i < batch * 4; i++) {
            if (x[i] == 0) continue;
            assert_int_equal(rows[count * 2], i / 4);
            assert_int_equal(rows[count * 2 + 1], i % 4);
            count++;
        }
        assert_int_equal(out.dims[0], count);
        assert_int_equal(out.dims[1], 2);
        if (count == 0) continue;
        room = (size_t)count * 16 - 1;
        assert_int_equal(
            norn_session_run(
                session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}),
            NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), "output 'rows'"));
    }
    norn_session_destroy(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(a_run_of_planned_values_allocates_nothing),
        cmocka_unit_test(a_run_with_values_sized_while_running_allocates_nothing),
        cmocka_unit_test(a_run_with_sequences_allocates_nothing_and_keeps_their_tensors),
        cmocka_unit_test(a_value_sized_while_running_has_the_right_size_and_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
