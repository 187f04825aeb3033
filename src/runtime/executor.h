/// Inside the runtime: what frame.c, resolve.c and executor.c share.
#ifndef NORN_RUNTIME_EXECUTOR_H
#define NORN_RUNTIME_EXECUTOR_H

#include "runtime/frame.h"

extern const norn_call_host norn_executor_host;

/// Arenas at least as large as `layout` says; on failure those there are stay.
norn_status norn_frame_take_arenas(norn_frame *frame, const norn_layout *layout) NORN_NODISCARD;

#endif
