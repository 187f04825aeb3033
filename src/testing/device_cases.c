#include "testing/device_cases.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { COUNT = 100003, THREADS = 4, ROUNDS = 20, PATIENCE = 200000 };

/// A case's device, its streams, and its memory; all of it is given back when the case is over.
typedef struct bench {
    norn_device *device, *other;
    norn_stream *one, *two;
    norn_event *event, *later;
    int32_t *in, *out;         ///< staging
    int32_t *a, *b, *on_other; ///< on the device; on the other one
    char why[512];             ///< what went wrong; "": nothing
    bool skipped;
} bench;

/// Ends the case, which returns nothing.
#define MUST(condition)                                                                         \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            (void)snprintf(b->why, sizeof b->why, "%s:%d: %s", __func__, __LINE__, #condition); \
            return;                                                                             \
        }                                                                                       \
    } while (0)
#define MUST_OK(call)                                                                  \
    do {                                                                               \
        if ((call) != NORN_OK) {                                                       \
            (void)snprintf(b->why, sizeof b->why, "%s:%d: %.300s", __func__, __LINE__, \
                           norn_message());                                            \
            return;                                                                    \
        }                                                                              \
    } while (0)
#define SKIP_UNLESS(condition, reason)                             \
    do {                                                           \
        if (!(condition)) {                                        \
            b->skipped = true;                                     \
            (void)snprintf(b->why, sizeof b->why, "%s", (reason)); \
            return;                                                \
        }                                                          \
    } while (0)

static const size_t BYTES = COUNT * sizeof(int32_t);

static void number(int32_t *to, int32_t first) {
    for (int32_t i = 0; i < COUNT; i++) to[i] = first + i;
}

static bool is_numbered(const int32_t *at, int32_t first) {
    for (int32_t i = 0; i < COUNT; i++)
        if (at[i] != first + i) return false;
    return true;
}

static norn_status copy(const bench *b, norn_stream *stream, void *to, const void *from) {
    return b->device->ops->copy(b->device, stream, to, from, BYTES);
}

static norn_status wait_for(const bench *b, norn_stream *stream) {
    return b->device->ops->stream_wait(b->device, stream);
}

static norn_status set_up(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    NORN_TRY(norn_device_enter(b->device));
    NORN_TRY(ops->memory_create(b->device, NORN_MEMORY_STAGING, BYTES, (void **)&b->in));
    NORN_TRY(ops->memory_create(b->device, NORN_MEMORY_STAGING, BYTES, (void **)&b->out));
    NORN_TRY(ops->memory_create(b->device, NORN_MEMORY_DEVICE, BYTES, (void **)&b->a));
    NORN_TRY(ops->memory_create(b->device, NORN_MEMORY_DEVICE, BYTES, (void **)&b->b));
    if (!ops->stream_create) return NORN_OK;
    NORN_TRY(ops->stream_create(b->device, NULL, &b->one));
    NORN_TRY(ops->stream_create(b->device, NULL, &b->two));
    NORN_TRY(ops->event_create(b->device, &b->event));
    return ops->event_create(b->device, &b->later);
}

static void tear_down(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    (void)norn_device_enter(b->device);
    if (b->event) ops->event_destroy(b->device, b->event);
    if (b->later) ops->event_destroy(b->device, b->later);
    if (b->one) ops->stream_destroy(b->device, b->one);
    if (b->two) ops->stream_destroy(b->device, b->two);
    if (b->a) ops->memory_destroy(b->device, NORN_MEMORY_DEVICE, b->a);
    if (b->b) ops->memory_destroy(b->device, NORN_MEMORY_DEVICE, b->b);
    if (b->in) ops->memory_destroy(b->device, NORN_MEMORY_STAGING, b->in);
    if (b->out) ops->memory_destroy(b->device, NORN_MEMORY_STAGING, b->out);
}

// ---- memory and copies

static void memory_is_given_and_taken_back(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    static const size_t sizes[] = {0, 1, 3, 4096, 1 << 20, 100 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (norn_memory_kind kind = NORN_MEMORY_DEVICE; kind <= NORN_MEMORY_STAGING; kind++) {
            void *memory;
            MUST_OK(ops->memory_create(b->device, kind, sizes[i], &memory));
            MUST(memory != NULL && (uintptr_t)memory % 64 == 0);
            if (kind == NORN_MEMORY_STAGING) memset(memory, 7, sizes[i]);
            ops->memory_destroy(b->device, kind, memory);
        }
    ops->memory_destroy(b->device, NORN_MEMORY_DEVICE, NULL);
}

static void more_than_there_is_is_refused_and_nothing_is_broken(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    void *memory = b;
    MUST(ops->memory_create(b->device, NORN_MEMORY_DEVICE, (size_t)1 << 60, &memory) ==
         NORN_RESOURCE_EXHAUSTED);
    MUST(memory == NULL);
    MUST(ops->memory_create(b->device, NORN_MEMORY_STAGING, (size_t)1 << 60, &memory) ==
         NORN_RESOURCE_EXHAUSTED);
    MUST(memory == NULL);
    number(b->in, 5);
    MUST_OK(ops->copy ? copy(b, b->one, b->a, b->in) : NORN_OK);
    MUST_OK(b->one ? wait_for(b, b->one) : NORN_OK);
}

static void bytes_come_back_as_they_went(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->copy && b->one, "its memory is the host's: nothing is copied");
    number(b->in, 11);
    memset(b->out, 0, BYTES);
    MUST_OK(copy(b, b->one, b->a, b->in));
    MUST_OK(copy(b, b->one, b->b, b->a));
    MUST_OK(copy(b, b->one, b->out, b->b));
    MUST_OK(wait_for(b, b->one));
    MUST(is_numbered(b->out, 11));
    // At any byte, of any length, none too.
    static const size_t at[][2] = {{0, 0}, {0, 1}, {1, 1}, {3, 5}, {7, 64}, {61, 4097}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        memset(b->out, 0xee, BYTES);
        MUST_OK(ops->copy(b->device, b->one, (char *)b->out + at[i][0], (char *)b->a + at[i][0],
                          at[i][1]));
        MUST_OK(wait_for(b, b->one));
        MUST(memcmp((char *)b->out + at[i][0], (char *)b->in + at[i][0], at[i][1]) == 0);
        for (size_t k = 0; k < at[i][0]; k++) MUST(((uint8_t *)b->out)[k] == 0xee);
        MUST(((uint8_t *)b->out)[at[i][0] + at[i][1]] == 0xee);
    }
    // Without a stream: done on return.
    number(b->in, -9);
    MUST_OK(ops->copy(b->device, NULL, b->a, b->in, BYTES));
    MUST_OK(ops->copy(b->device, NULL, b->out, b->a, BYTES));
    MUST(is_numbered(b->out, -9));
}

static void devices_copy_from_each_other(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(b->other && ops->copy_peer, "there is no other device of its kind");
    MUST_OK(norn_device_enter(b->other));
    MUST_OK(ops->memory_create(b->other, NORN_MEMORY_DEVICE, BYTES, (void **)&b->on_other));
    number(b->in, 77);
    norn_status status = ops->copy(b->other, NULL, b->on_other, b->in, BYTES);
    if (status == NORN_OK) status = norn_device_enter(b->device);
    memset(b->out, 0, BYTES);
    if (status == NORN_OK)
        status = ops->copy_peer(b->device, b->one, b->a, b->other, b->on_other, BYTES);
    if (status == NORN_OK) status = copy(b, b->one, b->out, b->a);
    if (status == NORN_OK) status = wait_for(b, b->one);
    (void)norn_device_enter(b->other);
    ops->memory_destroy(b->other, NORN_MEMORY_DEVICE, b->on_other);
    MUST_OK(norn_device_enter(b->device));
    MUST_OK(status);
    MUST(is_numbered(b->out, 77));
}

// ---- streams and events

static void a_stream_keeps_its_order(bench *b) {
    SKIP_UNLESS(b->one, "it has no streams: calls are done on return");
    number(b->in, 1);
    number(b->out, 1000000);
    MUST_OK(copy(b, b->one, b->a, b->in));
    MUST_OK(copy(b, b->one, b->b, b->out));
    for (int i = 0; i < ROUNDS; i++) { // a, b: exchanged by way of one another's place
        MUST_OK(copy(b, b->one, b->b, b->a));
        MUST_OK(copy(b, b->one, b->a, b->b));
    }
    MUST_OK(copy(b, b->one, b->out, b->b));
    MUST_OK(wait_for(b, b->one));
    MUST(is_numbered(b->out, 1));
}

static void a_stream_waits_for_another(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(b->one, "it has no streams: calls are done on return");
    for (int round = 0; round < ROUNDS; round++) {
        number(b->in, round);
        MUST_OK(copy(b, b->one, b->a, b->in));
        for (int i = 0; i < 8; i++) MUST_OK(copy(b, b->one, b->b, b->a));
        MUST_OK(ops->event_record(b->device, b->event, b->one));
        MUST_OK(ops->event_wait(b->device, b->two, b->event));
        MUST_OK(copy(b, b->two, b->out, b->b));
        MUST_OK(wait_for(b, b->two));
        MUST(is_numbered(b->out, round));
    }
    MUST_OK(wait_for(b, b->one));
}

static void an_event_is_done_after_what_came_before_it(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->event_query, "it has no events");
    bool done = false;
    int64_t ns = -1;
    number(b->in, 3);
    memset(b->out, 0, BYTES);
    MUST_OK(ops->event_record(b->device, b->event, b->one));
    MUST_OK(copy(b, b->one, b->a, b->in));
    MUST_OK(copy(b, b->one, b->out, b->a));
    MUST_OK(ops->event_record(b->device, b->later, b->one));
    for (int i = 0; i < PATIENCE && !done; i++) {
        MUST_OK(ops->event_query(b->device, b->later, &done));
        if (!done) (void)nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    }
    MUST(done);
    MUST(is_numbered(b->out, 3)); // nobody has waited
    MUST_OK(ops->event_query(b->device, b->event, &done));
    MUST(done);
    MUST_OK(wait_for(b, b->one));
    MUST_OK(ops->event_elapsed_ns(b->device, b->event, b->later, &ns));
    MUST(ns >= 0);
}

typedef struct told {
    const int32_t *look;
    _Atomic int calls;
    bool was_right;
} told;

static void on_call(void *context) {
    told *t = context;
    t->was_right = is_numbered(t->look, 21);
    atomic_fetch_add(&t->calls, 1);
}

static void the_host_is_called_in_turn(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->host_call, "it has no streams: calls are done on return");
    static told t;
    t = (told){.look = b->out};
    number(b->in, 21);
    memset(b->out, 0, BYTES);
    MUST_OK(copy(b, b->one, b->a, b->in));
    MUST_OK(copy(b, b->one, b->out, b->a));
    MUST_OK(ops->host_call(b->device, b->one, on_call, &t));
    MUST_OK(wait_for(b, b->one));
    MUST(atomic_load(&t.calls) == 1 && t.was_right);
}

static void ranges_nest(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->range_begin, "it has no profiler of its own");
    ops->range_begin(b->device, "outer");
    ops->range_begin(b->device, "inner");
    ops->range_end(b->device);
    ops->range_end(b->device);
}

// ---- captures

static void a_capture_is_launched_again_on_what_is_there_then(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->capture_begin, "it has no captures");
    norn_capture *capture = NULL;
    MUST_OK(ops->capture_begin(b->device, b->one));
    MUST_OK(copy(b, b->one, b->b, b->a));
    MUST_OK(ops->capture_end(b->device, b->one, &capture));
    norn_status status = NORN_OK;
    bool right = true;
    for (int round = 0; round < ROUNDS && right && status == NORN_OK; round++) {
        number(b->in, 100 * round);
        status = copy(b, b->one, b->a, b->in);
        if (status == NORN_OK) status = ops->capture_launch(b->device, capture, b->one);
        if (status == NORN_OK) status = copy(b, b->one, b->out, b->b);
        if (status == NORN_OK) status = wait_for(b, b->one);
        right = is_numbered(b->out, 100 * round);
    }
    ops->capture_destroy(b->device, capture);
    MUST_OK(status);
    MUST(right);
    number(b->in, 9); // and the stream is as it was
    MUST_OK(copy(b, b->one, b->a, b->in));
    MUST_OK(copy(b, b->one, b->out, b->a));
    MUST_OK(wait_for(b, b->one));
    MUST(is_numbered(b->out, 9));
}

static norn_status capture_lanes(bench *b, norn_stream *lane, norn_capture **out) {
    const norn_device_ops *ops = b->device->ops;
    NORN_TRY(ops->capture_begin(b->device, b->one));
    NORN_TRY(ops->event_record(b->device, b->event, b->one));
    NORN_TRY(ops->event_wait(b->device, lane, b->event));
    NORN_TRY(ops->copy(b->device, lane, b->b, b->a, BYTES / 2));
    NORN_TRY(ops->event_record(b->device, b->later, lane));
    NORN_TRY(ops->copy(b->device, b->one, (char *)b->b + BYTES / 2, (char *)b->a + BYTES / 2,
                       BYTES - BYTES / 2));
    NORN_TRY(ops->event_wait(b->device, b->one, b->later));
    return ops->capture_end(b->device, b->one, out);
}

static void lanes_of_a_stream_are_captured_with_it(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->capture_begin, "it has no captures");
    norn_capture *capture = NULL;
    norn_stream *lane = NULL;
    MUST_OK(ops->stream_create(b->device, b->one, &lane));
    norn_status status = capture_lanes(b, lane, &capture);
    number(b->in, 31);
    memset(b->out, 0, BYTES);
    if (status == NORN_OK) status = copy(b, b->one, b->a, b->in);
    if (status == NORN_OK) status = ops->capture_launch(b->device, capture, b->one);
    if (status == NORN_OK) status = copy(b, b->one, b->out, b->b);
    if (status == NORN_OK) status = wait_for(b, b->one);
    if (capture) ops->capture_destroy(b->device, capture);
    ops->stream_destroy(b->device, lane);
    MUST_OK(status);
    MUST(is_numbered(b->out, 31));
}

// ---- tables

static void a_table_is_bound_and_let_go(bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->table_bind, "it binds no tables");
    static float rows[8][4];
    static _Atomic uint64_t missing;
    for (int i = 0; i < 32; i++) rows[i / 4][i % 4] = (float)i;
    norn_table_binding bound, host = {.dim = 4,
                                      .dtype = NORN_F32,
                                      .view = {.kind = NORN_TABLE_DENSE,
                                               .row_bytes = sizeof rows[0],
                                               .row_count = 8,
                                               .dense = {.rows = rows},
                                               .missing_count = &missing}};
    MUST_OK(ops->table_bind(b->device, &host, &bound));
    MUST(bound.view.row_count == 8 && bound.view.row_bytes == sizeof rows[0] && bound.dim == 4);
    norn_status status = NORN_OK;
    float back[8][4] = {{0}};
    if (ops->copy && b->one) {
        status = ops->copy(b->device, b->one, b->out, bound.view.dense.rows, sizeof rows);
        if (status == NORN_OK) status = wait_for(b, b->one);
        memcpy(back, b->out, sizeof back);
    } else {
        memcpy(back, bound.view.dense.rows, sizeof back);
    }
    if (status == NORN_OK && ops->table_count) status = ops->table_count(b->device, &bound);
    if (ops->table_unbind) ops->table_unbind(b->device, &bound);
    MUST_OK(status);
    MUST(memcmp(back, rows, sizeof rows) == 0);
    MUST(atomic_load(&missing) == 0);
}

// ---- threads

typedef struct own_thread {
    pthread_t thread;
    bench bench;
    int32_t first;
} own_thread;

static void work_alone(bench *b, int32_t first) {
    for (int round = 0; round < ROUNDS; round++) {
        number(b->in, first + round);
        memset(b->out, 0, BYTES);
        if (b->one) {
            MUST_OK(copy(b, b->one, b->a, b->in));
            MUST_OK(copy(b, b->one, b->b, b->a));
            MUST_OK(copy(b, b->one, b->out, b->b));
            MUST_OK(wait_for(b, b->one));
        } else {
            memcpy(b->a, b->in, BYTES);
            memcpy(b->out, b->a, BYTES);
        }
        MUST(is_numbered(b->out, first + round));
    }
}

/// A thread that has never touched the device enters it first; nothing else says which it means.
static void *thread_main(void *context) {
    own_thread *own = context;
    bench *b = &own->bench;
    if (set_up(b) != NORN_OK)
        (void)snprintf(b->why, sizeof b->why, "%.300s", norn_message());
    else
        work_alone(b, own->first);
    tear_down(b);
    return NULL;
}

static void threads_work_beside_each_other(bench *b) {
    own_thread threads[THREADS];
    int started = 0;
    for (; started < THREADS; started++) {
        threads[started] =
            (own_thread){.bench = {.device = started % 2 && b->other ? b->other : b->device},
                         .first = 1000 * started};
        if (pthread_create(&threads[started].thread, NULL, thread_main, &threads[started]) != 0)
            break;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i].thread, NULL);
        if (threads[i].bench.why[0] && !b->why[0])
            memcpy(b->why, threads[i].bench.why, sizeof b->why);
    }
    if (!b->why[0]) MUST(started == THREADS);
}

// ---- all of them

static const struct device_case {
    const char *name;
    void (*run)(bench *b);
} cases[] = {
    {"memory is given and taken back", memory_is_given_and_taken_back},
    {"more than there is is refused", more_than_there_is_is_refused_and_nothing_is_broken},
    {"bytes come back as they went", bytes_come_back_as_they_went},
    {"devices copy from each other", devices_copy_from_each_other},
    {"a stream keeps its order", a_stream_keeps_its_order},
    {"a stream waits for another", a_stream_waits_for_another},
    {"an event is done after what came before it", an_event_is_done_after_what_came_before_it},
    {"the host is called in turn", the_host_is_called_in_turn},
    {"ranges nest", ranges_nest},
    {"a capture is launched again", a_capture_is_launched_again_on_what_is_there_then},
    {"lanes are captured with their stream", lanes_of_a_stream_are_captured_with_it},
    {"a table is bound and let go", a_table_is_bound_and_let_go},
    {"threads work beside each other", threads_work_beside_each_other},
};

norn_device_verdict norn_device_cases_run(norn_device *device, norn_device *other) {
    norn_device_verdict verdict = {0};
    const char *kind = device->target.ops->kind;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = {.device = device, .other = other};
        if (set_up(&b) != NORN_OK)
            (void)snprintf(b.why, sizeof b.why, "set-up: %.300s", norn_message());
        else
            cases[i].run(&b);
        tear_down(&b);
        verdict.skipped += b.skipped;
        verdict.failed += b.why[0] && !b.skipped;
        verdict.passed += !b.why[0];
        printf("%s %s: %s%s%s\n",
               b.skipped  ? "skip"
               : b.why[0] ? "FAIL"
                          : "ok  ",
               kind, cases[i].name, b.why[0] ? ": " : "", b.why);
    }
    return verdict;
}
