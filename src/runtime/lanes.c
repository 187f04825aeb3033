#include "runtime/lanes.h"
#include "base/memory.h"

norn_status norn_lanes_open(norn_frame *frame) {
    const norn_step_order *order = frame->program->order;
    const uint32_t count = frame->program->step_count;
    norn_device *device = frame->room->at[1].device;
    NORN_TRY(norn_run_room_open_lanes(frame->room, order->lane_count));
    if (!frame->done) NORN_TRY(NORN_NEW_ARRAY(frame->room->alloc, (size_t)count + 1, &frame->done));
    for (uint32_t i = 0; i <= count; i++) {
        const bool wanted = i == count || order->awaited[i]; // the last is that of the fork
        if (wanted && !frame->done[i]) NORN_TRY(device->ops->event_create(device, &frame->done[i]));
    }
    return NORN_OK;
}

void norn_lanes_close(norn_frame *frame) {
    norn_device *device = frame->room->at[1].device;
    for (uint32_t i = 0; frame->done && i <= frame->program->step_count; i++)
        if (frame->done[i]) device->ops->event_destroy(device, frame->done[i]);
    norn_free(frame->room->alloc, frame->done);
    frame->done = NULL;
}

norn_status norn_lanes_fork(norn_frame *frame) {
    norn_room_place *at = &frame->room->at[1];
    const norn_device_ops *ops = at->device->ops;
    norn_event *begun = frame->done[frame->program->step_count];
    NORN_TRY(ops->event_record(at->device, begun, at->stream));
    for (uint32_t lane = 1; lane < frame->program->order->lane_count; lane++)
        NORN_TRY(ops->event_wait(at->device, at->lane[lane], begun));
    return NORN_OK;
}

norn_status norn_lanes_before(norn_frame *frame, uint32_t step) {
    const norn_step_order *order = frame->program->order;
    norn_room_place *at = &frame->room->at[1];
    for (uint32_t w = order->wait_begin[step]; w < order->wait_begin[step + 1]; w++)
        NORN_TRY(at->device->ops->event_wait(at->device, at->lane[order->lane[step]],
                                             frame->done[order->waits[w]]));
    return NORN_OK;
}

norn_status norn_lanes_after(norn_frame *frame, uint32_t step) {
    const norn_step_order *order = frame->program->order;
    norn_room_place *at = &frame->room->at[1];
    if (!order->awaited[step]) return NORN_OK;
    return at->device->ops->event_record(at->device, frame->done[step],
                                         at->lane[order->lane[step]]);
}

norn_status norn_lanes_join(norn_frame *frame) {
    const norn_program *program = frame->program;
    norn_room_place *at = &frame->room->at[1];
    uint32_t last[NORN_LANES] = {0};
    for (uint32_t i = 0; i < program->step_count; i++) last[program->order->lane[i]] = i;
    for (uint32_t lane = 1; lane < program->order->lane_count; lane++)
        NORN_TRY(at->device->ops->event_wait(at->device, at->stream, frame->done[last[lane]]));
    return NORN_OK;
}
