/// Where planned values lie: slots that are alive at the same time do not overlap.
#ifndef NORN_PLAN_MEMORY_PLAN_H
#define NORN_PLAN_MEMORY_PLAN_H

#include "plan/program.h"

enum { NORN_DEVICE_ALIGN = 256 };

/// The arena of one place. On a device the inputs come first, one after the other, then the outputs,
/// then the rest: one copy in, one copy out.
typedef struct norn_place_layout {
    size_t bytes;       ///< of all of it
    size_t input_bytes; ///< [0, input_bytes) are the inputs
    size_t output_offset, output_bytes;
} norn_place_layout;

/// Offsets by slot, of PLANNED slots and of inputs on devices, in the arena of their place.
typedef struct norn_layout {
    size_t *bytes;   ///< by slot: reserved
    size_t *offsets; ///< by slot
    norn_place_layout at[NORN_PLACES_MAX];
} norn_layout;

norn_status norn_layout_create(const norn_program *program, norn_alloc alloc,
                               norn_layout *layout) NORN_NODISCARD;
void norn_layout_destroy(norn_layout *layout, norn_alloc alloc);

/// What every slot needs when symbols have these values (-1: not known yet, counts
/// as nothing), by slot into `bytes`.
/// Errors   RESOURCE_EXHAUSTED: a size does not fit in memory; names the value
norn_status norn_layout_measure(const norn_program *program, const int64_t *symbols,
                                size_t *bytes) NORN_NODISCARD;

/// Give every slot its offset: largest first, each at the lowest place that is free while it lives.
/// Where steps may run beside each other (step_order.h), whatever order they run in.
norn_status norn_memory_plan(const norn_program *program, norn_alloc alloc,
                             norn_layout *layout) NORN_NODISCARD;

#endif
