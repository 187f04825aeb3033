/// usage: norn_graph_time PLAN BATCH...
///
/// Device time of a compiled plan's steps at each batch: the session captures its graph as always,
/// and the tool, standing between the runtime and the CUDA device, launches that graph many times
/// in a row. Inputs are random and lie on the device. Prints `batch microseconds` lines: the median
/// over rounds of the mean of back-to-back launches.
#include "cuda/backend.h"
#include "plan/plan.h"
#include "runtime/random_input.h"
#include "tensor/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAUNCHES = 50, ROUNDS = 9, WARM_RUNS = 4 };

static norn_device_ops timed_ops;
static bool timing;
static double median_us;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static norn_status time_launches(norn_device *device, norn_capture *capture, norn_stream *stream) {
    double us[ROUNDS];
    norn_event *from = NULL, *to = NULL;
    norn_status status;
    NORN_TRY_DONE(norn_cuda_event_create(device, &from));
    NORN_TRY_DONE(norn_cuda_event_create(device, &to));
    for (int r = -1; r < ROUNDS; r++) {
        int64_t ns;
        NORN_TRY_DONE(norn_cuda_event_record(device, from, stream));
        for (int i = 0; i < LAUNCHES; i++)
            NORN_TRY_DONE(norn_cuda_capture_launch(device, capture, stream));
        NORN_TRY_DONE(norn_cuda_event_record(device, to, stream));
        NORN_TRY_DONE(norn_cuda_stream_wait(device, stream));
        NORN_TRY_DONE(norn_cuda_event_elapsed_ns(device, from, to, &ns));
        if (r >= 0) us[r] = (double)ns / 1e3 / LAUNCHES;
    }
    qsort(us, ROUNDS, sizeof *us, by_value);
    median_us = us[ROUNDS / 2];
done:
    norn_cuda_event_destroy(device, from);
    norn_cuda_event_destroy(device, to);
    return status;
}

static norn_status timed_launch(norn_device *device, norn_capture *capture, norn_stream *stream) {
    return timing ? time_launches(device, capture, stream)
                  : norn_cuda_capture_launch(device, capture, stream);
}

/// The CUDA backend with one call replaced.
static norn_status open_timed(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    NORN_TRY(norn_backend_open(ordinal, alloc, out));
    timed_ops = *(*out)->ops;
    timed_ops.capture_launch = timed_launch;
    (*out)->ops = &timed_ops;
    return NORN_OK;
}

static norn_status fill(norn_plan *plan, norn_instance *instance, int64_t batch,
                        norn_arena *arena) {
    const norn_random_inputs options = {.batch = batch, .seed = 1};
    int64_t *symbols;
    NORN_TRY(norn_random_bind(plan, &options, NULL, arena, &symbols));
    for (size_t i = 0; i < norn_plan_input_count(plan); i++) {
        norn_view view;
        void *to;
        size_t bytes;
        NORN_TRY(norn_random_fill(plan, NULL, symbols, i, 1, arena, &view));
        NORN_TRY(norn_instance_input(instance, i, view.rank, view.dims, &to));
        NORN_TRY(norn_view_bytes(&view, &bytes));
        memcpy(to, view.data, bytes);
    }
    return NORN_OK;
}

static norn_status time_batch(norn_plan *plan, norn_session *session, int64_t batch) {
    norn_instance *instance = NULL;
    norn_arena arena;
    norn_status status;
    norn_arena_init(&arena, norn_alloc_heap(), 1 << 20);
    median_us = 0;
    NORN_TRY_DONE(norn_instance_acquire(session, 0, &instance));
    NORN_TRY_DONE(fill(plan, instance, batch, &arena));
    for (int i = 0; i < WARM_RUNS; i++) NORN_TRY_DONE(norn_instance_run(instance));
    timing = true;
    status = norn_instance_run(instance);
    timing = false;
    if (status == NORN_OK && median_us == 0)
        status = norn_fail(NORN_INTERNAL, "the plan was not captured in a graph");
    if (status == NORN_OK) printf("%lld %.2f\n", (long long)batch, median_us);
done:
    norn_instance_release(instance);
    norn_arena_deinit(&arena);
    return status;
}

static norn_status run(int argc, char **argv) {
    const norn_session_options options = {.instances = 1};
    norn_plan *plan = NULL;
    norn_session *session = NULL;
    norn_status status;
    norn_device_register("cuda", open_timed);
    NORN_TRY_DONE(norn_plan_load(argv[1], norn_alloc_heap(), &plan));
    NORN_TRY_DONE(norn_session_create(plan, &options, norn_alloc_heap(), &session));
    for (int i = 2; i < argc; i++)
        NORN_TRY_DONE(time_batch(plan, session, strtoll(argv[i], NULL, 10)));
done:
    norn_session_destroy(session);
    norn_plan_release(plan);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: norn_graph_time PLAN BATCH...\n"), 2;
    if (run(argc, argv) == NORN_OK) return 0;
    fprintf(stderr, "norn_graph_time: %s\n", norn_message());
    return 1;
}
