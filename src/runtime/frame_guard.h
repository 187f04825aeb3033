/// Under the address sanitizer a frame's host arena is poisoned but for the values that live:
/// a step that reads what is not written yet, or no more, or one byte beside a value, is told.
#ifndef NORN_RUNTIME_FRAME_GUARD_H
#define NORN_RUNTIME_FRAME_GUARD_H

#include "base/poison.h"
#include "runtime/frame.h"

#if NORN_POISONS

static inline void norn_guard_slot(const norn_frame *frame, uint32_t slot, bool lives) {
    const norn_view *view = &frame->slots[slot];
    size_t bytes = 0;
    if (norn_view_bytes(view, &bytes) != NORN_OK) return;
    (lives ? norn_unpoison : norn_poison)(view->data, bytes);
}

/// Slots that begin (`begins`) or end with a step.
static inline void norn_guard_step(const norn_frame *frame, uint32_t step, bool begins) {
    const norn_program *program = frame->program;
    if (program->target) return; // its copies come late, when the stream gets to them
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *slot = &program->slots[i];
        if (slot->kind != NORN_SLOT_PLANNED || slot->place) continue;
        if (begins ? slot->first == step : slot->last == step) norn_guard_slot(frame, i, begins);
    }
}

static inline void norn_guard_run(const norn_frame *frame) {
    if (!frame->program->target) norn_poison(frame->memory[NORN_HOST], frame->capacity[NORN_HOST]);
}

#else

static inline void norn_guard_step(const norn_frame *frame, uint32_t step, bool begins) {
    (void)frame, (void)step, (void)begins;
}
static inline void norn_guard_run(const norn_frame *frame) {
    (void)frame;
}

#endif

#endif
