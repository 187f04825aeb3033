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

typedef struct norn_run_room norn_run_room;

/// Bytes that an instance holds in one place, and may.
typedef struct norn_memory_bound {
    size_t limit, held;
} norn_memory_bound;

/// The host, or a device of the plan, as one instance uses it.
typedef struct norn_room_place {
    norn_run_room *room; ///< that it is part of
    norn_device *device;
    norn_stream *stream;           ///< of a device
    norn_stream *lane[NORN_LANES]; ///< [0] is `stream`; the others are made when first needed
    norn_memory_bound bound;
    norn_scratch scratch[NORN_LANES];  ///< by lane; the host has one
    const norn_table_binding *tables;  ///< by the plan's table index; of this run
    norn_table_view *views;            ///< device memory: those of `tables`, for kernels to read
    const norn_table_view *host_views; ///< what lies there, in host memory
    uint64_t views_of;                 ///< the set whose views lie there; 0: none
    norn_event *passed; ///< where the stream is, for another device's to wait for; of several
    bool busy;          ///< work was given to the stream that the host has not waited for
} norn_room_place;

struct norn_run_room {
    norn_alloc alloc;
    norn_pool *threads;
    const norn_resident *resident; ///< whose states and weights the frames use
    norn_room_place at[NORN_PLACES_MAX];
    uint32_t place_count;
    bool laned; ///< steps are given to the lanes of program->order
    norn_blocks blocks;
    uint64_t tables_layout; ///< captured graphs are of one layout
    uint32_t table_count;
    struct norn_gather *gather; ///< this run's tables are not all in memory; else NULL
    struct norn_trace *trace;   ///< of the top frame; NULL: not recorded
};

/// alloc, resident and table_count are in place; takes threads, streams and no memory yet but for
/// `views`. On failure norn_run_room_deinit is still to be called.
/// `options`: threads, instances, max_memory_bytes.
norn_status norn_run_room_init(norn_run_room *room,
                               const norn_session_options *options) NORN_NODISCARD;
void norn_run_room_deinit(norn_run_room *room);
/// Streams for `count` lanes of the first device.
norn_status norn_run_room_open_lanes(norn_run_room *room, uint32_t count) NORN_NODISCARD;
/// The calling thread is that place's from now on. With one device it is from the beginning of a run.
static inline norn_status norn_room_enter(norn_run_room *room, norn_place place) {
    return room->place_count > 2 && place ? norn_device_enter(room->at[place].device) : NORN_OK;
}
/// The host waits for what devices were given, but for that of `except` (NORN_HOST: for all).
norn_status norn_room_wait(norn_run_room *room, norn_place except) NORN_NODISCARD;

/// Memory of `place`, not zeroed. `leaving`: bytes that the caller gives back as soon as it has
/// these, which the bound therefore does not count.
/// Errors   RESOURCE_EXHAUSTED: there is none, or the bound; says what to do
norn_status norn_room_take(norn_run_room *room, norn_place place, size_t bytes, size_t leaving,
                           void **out) NORN_NODISCARD;
/// Takes NULL.
void norn_room_give(norn_run_room *room, norn_place place, void *memory, size_t bytes);
/// Host memory likewise, pinned where devices copy from it.
norn_status norn_room_take_staging(norn_run_room *room, size_t bytes, size_t leaving,
                                   void **out) NORN_NODISCARD;
void norn_room_give_staging(norn_run_room *room, void *memory, size_t bytes);
/// `wanted` for a buffer of `held` bytes that must grow to `needed`: half as much again as it had,
/// so that slowly rising sizes grow it rarely.
static inline size_t norn_grown(size_t held, size_t needed) {
    size_t more = held + held / 2;
    return more > needed ? more : needed;
}

#endif
