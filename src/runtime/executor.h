/// Inside the runtime: what frame.c, frame_memory.c, resolve.c and executor.c share.
#ifndef NORN_RUNTIME_EXECUTOR_H
#define NORN_RUNTIME_EXECUTOR_H

#include "runtime/frame.h"

extern const norn_call_host norn_executor_host;

/// Nothing for values yet; on a device what the profile's maximum needs, if that is little.
void norn_frame_presize(norn_frame *frame);
/// Room for every value at frame->incoming. A failure leaves layout and arenas
/// as they were, so that smaller runs go on.
norn_status norn_frame_make_room(norn_frame *frame) NORN_NODISCARD;
void norn_frame_give_arenas(norn_frame *frame);

#endif
