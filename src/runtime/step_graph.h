/// The steps of a frame as a graph that a device launches as one: one after the other or,
/// where that is faster, in lanes beside each other.
#ifndef NORN_RUNTIME_STEP_GRAPH_H
#define NORN_RUNTIME_STEP_GRAPH_H

#include "runtime/frame.h"

/// Capture the frame's steps at the shapes it is resolved to, after they have run once.
/// Inputs and tables are in place: where steps could run beside each other both forms are
/// launched some times and the faster is kept. `events` (NULL where the device has none)
/// are the caller's, for the timing.
/// Errors   of the device, when the steps cannot be captured
norn_status norn_step_graph_make(norn_frame *frame, norn_event *const events[2],
                                 norn_capture **out) NORN_NODISCARD;

#endif
