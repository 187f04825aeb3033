/// The steps of one frame on several streams, while a graph of them is captured: steps that do not
/// need each other become branches of the graph. See plan/step_order.h for what waits for what.
///
///     open       streams and events, once a frame
///     fork       every lane begins where the main stream is
///     before     the step's lane waits for what the step needs of others
///     after      others may wait for the step
///     join       the main stream waits for every lane
#ifndef NORN_RUNTIME_LANES_H
#define NORN_RUNTIME_LANES_H

#include "runtime/frame.h"

/// Can this program gain from lanes: two steps at least could run beside each other?
static inline bool norn_lanes_worthwhile(const norn_frame *frame) {
    const norn_program *program = frame->program;
    const norn_device_ops *ops =
        frame->room->place_count > 1 ? frame->room->at[1].device->ops : NULL;
    return program->order && program->order->lane_count > 1 && ops->event_wait && ops->event_create;
}

norn_status norn_lanes_open(norn_frame *frame) NORN_NODISCARD;
void norn_lanes_close(norn_frame *frame);
norn_status norn_lanes_fork(norn_frame *frame) NORN_NODISCARD;
norn_status norn_lanes_before(norn_frame *frame, uint32_t step) NORN_NODISCARD;
norn_status norn_lanes_after(norn_frame *frame, uint32_t step) NORN_NODISCARD;
norn_status norn_lanes_join(norn_frame *frame) NORN_NODISCARD;

/// Where a step goes now: 0 is the main stream.
static inline uint32_t norn_lane_of(const norn_frame *frame, uint32_t step) {
    return frame->room->laned ? frame->program->order->lane[step] : 0;
}

#endif
