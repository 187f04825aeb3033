/// What is recorded once and launched again, with its lanes.
#include "testing/device_case.h"

#include <string.h>

enum { ROUNDS = 20 };

static void a_capture_is_launched_again_on_what_is_there_then(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->capture_begin, "it has no captures");
    norn_capture *capture = NULL;
    MUST_OK(ops->capture_begin(b->device, b->one));
    MUST_OK(device_bench_copy(b, b->one, b->b, b->a));
    MUST_OK(ops->capture_end(b->device, b->one, &capture));
    norn_status status = NORN_OK;
    bool right = true;
    for (int round = 0; round < ROUNDS && right && status == NORN_OK; round++) {
        device_number(b->in, 100 * round);
        status = device_bench_copy(b, b->one, b->a, b->in);
        if (status == NORN_OK) status = ops->capture_launch(b->device, capture, b->one);
        if (status == NORN_OK) status = device_bench_copy(b, b->one, b->out, b->b);
        if (status == NORN_OK) status = device_bench_wait(b, b->one);
        right = device_is_numbered(b->out, 100 * round);
    }
    ops->capture_destroy(b->device, capture);
    MUST_OK(status);
    MUST(right);
    device_number(b->in, 9); // and the stream is as it was
    MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
    MUST_OK(device_bench_copy(b, b->one, b->out, b->a));
    MUST_OK(device_bench_wait(b, b->one));
    MUST(device_is_numbered(b->out, 9));
}

static norn_status capture_lanes(device_bench *b, norn_stream *lane, norn_capture **out) {
    const norn_device_ops *ops = b->device->ops;
    NORN_TRY(ops->capture_begin(b->device, b->one));
    NORN_TRY(ops->event_record(b->device, b->event, b->one));
    NORN_TRY(ops->event_wait(b->device, lane, b->event));
    NORN_TRY(ops->copy(b->device, lane, b->b, b->a, DEVICE_CASE_BYTES / 2));
    NORN_TRY(ops->event_record(b->device, b->later, lane));
    NORN_TRY(ops->copy(b->device, b->one, (char *)b->b + DEVICE_CASE_BYTES / 2,
                       (char *)b->a + DEVICE_CASE_BYTES / 2,
                       DEVICE_CASE_BYTES - DEVICE_CASE_BYTES / 2));
    NORN_TRY(ops->event_wait(b->device, b->one, b->later));
    return ops->capture_end(b->device, b->one, out);
}

static void lanes_of_a_stream_are_captured_with_it(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->capture_begin, "it has no captures");
    norn_capture *capture = NULL;
    norn_stream *lane = NULL;
    MUST_OK(ops->stream_create(b->device, b->one, &lane));
    norn_status status = capture_lanes(b, lane, &capture);
    device_number(b->in, 31);
    memset(b->out, 0, DEVICE_CASE_BYTES);
    if (status == NORN_OK) status = device_bench_copy(b, b->one, b->a, b->in);
    if (status == NORN_OK) status = ops->capture_launch(b->device, capture, b->one);
    if (status == NORN_OK) status = device_bench_copy(b, b->one, b->out, b->b);
    if (status == NORN_OK) status = device_bench_wait(b, b->one);
    if (capture) ops->capture_destroy(b->device, capture);
    ops->stream_destroy(b->device, lane);
    MUST_OK(status);
    MUST(device_is_numbered(b->out, 31));
}

const device_case device_cases_captures[] = {
    {"a capture is launched again", a_capture_is_launched_again_on_what_is_there_then},
    {"lanes are captured with their stream", lanes_of_a_stream_are_captured_with_it},
    {NULL, NULL},
};
