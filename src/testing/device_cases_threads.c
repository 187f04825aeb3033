/// Threads that use a device beside each other.
#include "testing/device_case.h"

#include <pthread.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 20 };

typedef struct own_thread {
    pthread_t thread;
    device_bench bench;
    int32_t first;
} own_thread;

static void work_alone(device_bench *b, int32_t first) {
    for (int round = 0; round < ROUNDS; round++) {
        device_number(b->in, first + round);
        memset(b->out, 0, DEVICE_CASE_BYTES);
        if (b->one) {
            MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
            MUST_OK(device_bench_copy(b, b->one, b->b, b->a));
            MUST_OK(device_bench_copy(b, b->one, b->out, b->b));
            MUST_OK(device_bench_wait(b, b->one));
        } else {
            memcpy(b->a, b->in, DEVICE_CASE_BYTES);
            memcpy(b->out, b->a, DEVICE_CASE_BYTES);
        }
        MUST(device_is_numbered(b->out, first + round));
    }
}

/// A thread that has never touched the device enters it first; nothing else says which it means.
static void *thread_main(void *context) {
    own_thread *own = context;
    device_bench *b = &own->bench;
    if (device_bench_set_up(b) != NORN_OK)
        (void)snprintf(b->why, sizeof b->why, "%.300s", norn_message());
    else
        work_alone(b, own->first);
    device_bench_tear_down(b);
    return NULL;
}

static void threads_work_beside_each_other(device_bench *b) {
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

const device_case device_cases_threads[] = {
    {"threads work beside each other", threads_work_beside_each_other},
    {NULL, NULL},
};
