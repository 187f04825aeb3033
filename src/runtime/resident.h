/// A plan on its devices: its weights uploaded, its steps prepared. What a plan needs to run and is not
/// itself: a plan is never written, and several residents of one plan stand beside each other, each
/// on devices of its own.
///
/// Memory   counted; a resident retains its plan and borrows the devices.
/// Threads  one is made or ended at a time in the process, for choices are timed while steps are
///          prepared; what is made is immutable, and any number of sessions run on it.
#ifndef NORN_RUNTIME_RESIDENT_H
#define NORN_RUNTIME_RESIDENT_H

#include "norn/session.h"
#include "plan/plan.h"

typedef struct norn_resident norn_resident;
struct norn_resident {
    norn_alloc alloc;
    atomic_uint references;
    norn_plan *plan;                       ///< retained
    norn_device *devices[NORN_PLACES_MAX]; ///< by place
    uint32_t place_count;
    void **states;                  ///< by norn_step.state: what the device's prepare made
    char *weights[NORN_PLACES_MAX]; ///< memory of a device: the constants that steps there read
    bool looks_up[NORN_PLACES_MAX]; ///< a lookup runs there
    norn_resident *next;            ///< among those that norn_resident_share gives
};

/// Upload the weights of `plan` to `devices` and prepare its steps there. They are as many as the plan
/// has and of the kind that it was compiled for, and outlive the resident; NULL: the plan's own.
/// Choices that the plan's first device knows are taken, not timed again.
/// Errors   UNAVAILABLE: this machine cannot run it; INVALID_ARGUMENT: one is of another kind;
///          RESOURCE_EXHAUSTED
norn_status norn_resident_create(norn_plan *plan, norn_device *const *devices, norn_alloc alloc,
                                 norn_resident **out) NORN_NODISCARD;
/// The one resident of `plan` on its own devices that sessions share, retained; made where there is
/// none now.
norn_status norn_resident_share(norn_plan *plan, norn_resident **out) NORN_NODISCARD;
norn_resident *norn_resident_retain(norn_resident *resident);
void norn_resident_release(norn_resident *resident); ///< takes NULL

/// norn_session_create on a resident, which the session retains.
norn_status norn_session_create_on(norn_resident *resident, const norn_session_options *options,
                                   norn_alloc alloc, norn_session **out) NORN_NODISCARD;

#endif
