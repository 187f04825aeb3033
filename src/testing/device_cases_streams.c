/// What comes before what: streams, events, calls of the host; and ranges for a profiler.
#include "testing/device_case.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 20, PATIENCE = 200000 };

static void a_stream_keeps_its_order(device_bench *b) {
    SKIP_UNLESS(b->one, "it has no streams: calls are done on return");
    device_number(b->in, 1);
    device_number(b->out, 1000000);
    MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
    MUST_OK(device_bench_copy(b, b->one, b->b, b->out));
    for (int i = 0; i < ROUNDS; i++) { // a, b: exchanged by way of one another's place
        MUST_OK(device_bench_copy(b, b->one, b->b, b->a));
        MUST_OK(device_bench_copy(b, b->one, b->a, b->b));
    }
    MUST_OK(device_bench_copy(b, b->one, b->out, b->b));
    MUST_OK(device_bench_wait(b, b->one));
    MUST(device_is_numbered(b->out, 1));
}

static void a_stream_waits_for_another(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(b->one, "it has no streams: calls are done on return");
    for (int round = 0; round < ROUNDS; round++) {
        device_number(b->in, round);
        MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
        for (int i = 0; i < 8; i++) MUST_OK(device_bench_copy(b, b->one, b->b, b->a));
        MUST_OK(ops->event_record(b->device, b->event, b->one));
        MUST_OK(ops->event_wait(b->device, b->two, b->event));
        MUST_OK(device_bench_copy(b, b->two, b->out, b->b));
        MUST_OK(device_bench_wait(b, b->two));
        MUST(device_is_numbered(b->out, round));
    }
    MUST_OK(device_bench_wait(b, b->one));
}

static void an_event_is_done_after_what_came_before_it(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->event_query, "it has no events");
    bool done = false;
    int64_t ns = -1;
    device_number(b->in, 3);
    memset(b->out, 0, DEVICE_CASE_BYTES);
    MUST_OK(ops->event_record(b->device, b->event, b->one));
    MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
    MUST_OK(device_bench_copy(b, b->one, b->out, b->a));
    MUST_OK(ops->event_record(b->device, b->later, b->one));
    for (int i = 0; i < PATIENCE && !done; i++) {
        MUST_OK(ops->event_query(b->device, b->later, &done));
        if (!done) (void)nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    }
    MUST(done);
    MUST(device_is_numbered(b->out, 3)); // nobody has waited
    MUST_OK(ops->event_query(b->device, b->event, &done));
    MUST(done);
    MUST_OK(device_bench_wait(b, b->one));
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
    t->was_right = device_is_numbered(t->look, 21);
    atomic_fetch_add(&t->calls, 1);
}

static void the_host_is_called_in_turn(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->host_call, "it has no streams: calls are done on return");
    static told t;
    t = (told){.look = b->out};
    device_number(b->in, 21);
    memset(b->out, 0, DEVICE_CASE_BYTES);
    MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
    MUST_OK(device_bench_copy(b, b->one, b->out, b->a));
    MUST_OK(ops->host_call(b->device, b->one, on_call, &t));
    MUST_OK(device_bench_wait(b, b->one));
    MUST(atomic_load(&t.calls) == 1 && t.was_right);
}

static void ranges_nest(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->range_begin, "it has no profiler of its own");
    ops->range_begin(b->device, "outer");
    ops->range_begin(b->device, "inner");
    ops->range_end(b->device);
    ops->range_end(b->device);
}

const device_case device_cases_streams[] = {
    {"a stream keeps its order", a_stream_keeps_its_order},
    {"a stream waits for another", a_stream_waits_for_another},
    {"an event is done after what came before it", an_event_is_done_after_what_came_before_it},
    {"the host is called in turn", the_host_is_called_in_turn},
    {"ranges nest", ranges_nest},
    {NULL, NULL},
};
