/// Which steps of a program on one device must come after which, and so which may run beside each other.
///
/// A step comes after those that write what it reads. Parts of one value that different steps
/// write (the columns of a placed Concat) do not order them. From this follow the lanes:
/// each is a sequence of steps that one stream gets, and a step waits for steps of other
/// lanes where it needs them. The memory plan asks too: two values share memory only
/// where all users of one come before the writers of the other.
#ifndef NORN_PLAN_STEP_ORDER_H
#define NORN_PLAN_STEP_ORDER_H

#include "plan/program.h"

enum {
    NORN_LANES = 8,             ///< streams that one run may use
    NORN_ORDER_STEPS_MAX = 2048 ///< a longer program runs in one lane
};

struct norn_step_order {
    uint32_t words;             ///< of a set of steps
    const uint64_t *past;       ///< [step][words]: what must be done before the step begins
    uint32_t lane_count;        ///< 1: no two steps could run beside each other
    const uint8_t *lane;        ///< by step
    const uint32_t *wait_begin; ///< by step, one more at the end: its part of `waits`
    const uint32_t *waits;      ///< steps of other lanes, the last that it needs of each
    const bool *awaited;        ///< by step: one of another lane, or the end, waits for it
};

/// Of a program whose steps all run on the device with planned shapes; NULL for others.
norn_status norn_step_order_make(const norn_program *program, norn_arena *arena,
                                 const norn_step_order **out) NORN_NODISCARD;

static inline bool norn_step_set_has(const uint64_t *set, uint32_t step) {
    return set[step / 64] >> step % 64 & 1;
}

#endif
