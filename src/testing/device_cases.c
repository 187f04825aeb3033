#include "testing/device_cases.h"

#include "testing/device_case.h"

void device_number(int32_t *to, int32_t first) {
    for (int32_t i = 0; i < DEVICE_CASE_COUNT; i++) to[i] = first + i;
}

bool device_is_numbered(const int32_t *at, int32_t first) {
    for (int32_t i = 0; i < DEVICE_CASE_COUNT; i++)
        if (at[i] != first + i) return false;
    return true;
}

norn_status device_bench_copy(const device_bench *b, norn_stream *stream, void *to,
                              const void *from) {
    return b->device->ops->copy(b->device, stream, to, from, DEVICE_CASE_BYTES);
}

norn_status device_bench_wait(const device_bench *b, norn_stream *stream) {
    return b->device->ops->stream_wait(b->device, stream);
}

norn_status device_bench_set_up(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    NORN_TRY(norn_device_enter(b->device));
    NORN_TRY(
        ops->memory_create(b->device, NORN_MEMORY_STAGING, DEVICE_CASE_BYTES, (void **)&b->in));
    NORN_TRY(
        ops->memory_create(b->device, NORN_MEMORY_STAGING, DEVICE_CASE_BYTES, (void **)&b->out));
    NORN_TRY(ops->memory_create(b->device, NORN_MEMORY_DEVICE, DEVICE_CASE_BYTES, (void **)&b->a));
    NORN_TRY(ops->memory_create(b->device, NORN_MEMORY_DEVICE, DEVICE_CASE_BYTES, (void **)&b->b));
    if (!ops->stream_create) return NORN_OK;
    NORN_TRY(ops->stream_create(b->device, NULL, &b->one));
    NORN_TRY(ops->stream_create(b->device, NULL, &b->two));
    NORN_TRY(ops->event_create(b->device, &b->event));
    return ops->event_create(b->device, &b->later);
}

void device_bench_tear_down(device_bench *b) {
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

static const device_case *const all[] = {device_cases_memory, device_cases_streams,
                                         device_cases_captures, device_cases_tables,
                                         device_cases_threads};

norn_device_verdict norn_device_cases_run(norn_device *device, norn_device *other) {
    norn_device_verdict verdict = {0};
    const char *kind = device->target.ops->kind;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const device_case *one = all[i]; one->name; one++) {
            device_bench b = {.device = device, .other = other};
            if (device_bench_set_up(&b) != NORN_OK)
                (void)snprintf(b.why, sizeof b.why, "set-up: %.300s", norn_message());
            else
                one->run(&b);
            device_bench_tear_down(&b);
            verdict.skipped += b.skipped;
            verdict.failed += b.why[0] && !b.skipped;
            verdict.passed += !b.why[0];
            printf("%s %s: %s%s%s\n",
                   b.skipped  ? "skip"
                   : b.why[0] ? "FAIL"
                              : "ok  ",
                   kind, one->name, b.why[0] ? ": " : "", b.why);
        }
    return verdict;
}
