/// What the frames of one instance share: devices, threads, this run's tables, and the memory that
/// all its buffers come from. That is bounded, so that a request which needs too much is refused
/// and the process, the instance and other requests go on.
#ifndef NORN_RUNTIME_RUN_ROOM_H
#define NORN_RUNTIME_RUN_ROOM_H

#include "base/thread.h"
#include "device/device.h"
#include "norn/session.h"
#include "plan/step_order.h"
#include "runtime/resident.h"
#include "runtime/run_memory.h"

typedef enum norn_place {
    NORN_PLACE_HOST,
    NORN_PLACE_STAGING, ///< host memory; pinned where the plan's device copies from it
    NORN_PLACE_DEVICE,
} norn_place;

/// Bytes that an instance holds on one side, and may.
typedef struct norn_memory_bound {
    size_t limit, held;
} norn_memory_bound;

typedef struct norn_run_room {
    norn_alloc alloc;
    norn_pool *threads;
    const norn_resident *resident; ///< whose states and weights the frames use
    norn_device *host, *device;    ///< its; device NULL: a plan for the CPU
    norn_stream *stream;           ///< of the device
    norn_stream *lane[NORN_LANES]; ///< [0] is `stream`; the others are made when first needed
    bool laned;                    ///< steps are given to the lanes of program->order
    norn_memory_bound host_bound, device_bound;
    norn_blocks blocks;
    norn_scratch host_scratch, device_scratch[NORN_LANES];
    /// By the plan's table index; of this run.
    const norn_table_binding *host_tables, *device_tables;
    norn_table_view *views; ///< device memory: those of `device_tables`, for kernels to read
    const norn_table_view *host_views; ///< what lies there, in host memory
    uint64_t views_of;                 ///< the set whose views lie there; 0: none
    uint64_t tables_layout;            ///< captured graphs are of one layout
    uint32_t table_count;
    bool device_busy;           ///< work was given to the stream that the host has not waited for
    struct norn_gather *gather; ///< this run's tables are not all in memory; else NULL
    struct norn_trace *trace;   ///< of the top frame; NULL: not recorded
} norn_run_room;

/// alloc, resident, host, device and table_count are in place; takes threads, a stream and no
/// memory yet but for `views`. On failure norn_run_room_deinit is still to be called.
/// `options`: threads, instances, max_memory_bytes.
norn_status norn_run_room_init(norn_run_room *room,
                               const norn_session_options *options) NORN_NODISCARD;
void norn_run_room_deinit(norn_run_room *room);
/// Streams for `count` lanes.
norn_status norn_run_room_open_lanes(norn_run_room *room, uint32_t count) NORN_NODISCARD;

/// Memory of `place`, not zeroed. `leaving`: bytes that the caller gives back as soon as it has
/// these, which the bound therefore does not count.
/// Errors   RESOURCE_EXHAUSTED: there is none, or the bound; says what to do
norn_status norn_room_take(norn_run_room *room, norn_place place, size_t bytes, size_t leaving,
                           void **out) NORN_NODISCARD;
/// Takes NULL.
void norn_room_give(norn_run_room *room, norn_place place, void *memory, size_t bytes);
/// `wanted` for a buffer of `held` bytes that must grow to `needed`: half as much again as it had,
/// so that slowly rising sizes grow it rarely.
static inline size_t norn_grown(size_t held, size_t needed) {
    size_t more = held + held / 2;
    return more > needed ? more : needed;
}

#endif
