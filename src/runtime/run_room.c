#include "runtime/run_room.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/poison.h"
#include "plan/memory_plan.h"

/// Half of the memory that is left now, for all instances of a session: requests, other models and
/// the next version need the rest.
static size_t share_of_machine(int32_t instances) {
    uint64_t left = norn_memory_left_bytes();
    return left == UINT64_MAX ? SIZE_MAX : (size_t)(left / 2 / (uint64_t)instances);
}

static norn_status take_place(void *context, size_t bytes, void **out) {
    norn_room_place *at = context;
    return norn_room_take(at->room, (norn_place)(at - at->room->at), bytes, 0, out);
}
static void give_place(void *context, void *memory, size_t bytes) {
    norn_room_place *at = context;
    norn_room_give(at->room, (norn_place)(at - at->room->at), memory, bytes);
}

static size_t views_bytes(const norn_run_room *room) {
    return room->table_count * sizeof *room->at[NORN_HOST].views;
}

/// The stream of a device, and where kernels read tables' views.
static norn_status open_place(norn_run_room *room, norn_place place) {
    norn_room_place *at = &room->at[place];
    const norn_device_ops *ops = at->device->ops;
    NORN_TRY(norn_device_enter(at->device));
    if (ops->stream_create) NORN_TRY(ops->stream_create(at->device, NULL, &at->stream));
    at->lane[0] = at->stream;
    if (room->place_count > 2 && ops->event_create)
        NORN_TRY(ops->event_create(at->device, &at->passed));
    if (room->table_count == 0 || !room->resident->looks_up[place]) return NORN_OK;
    return norn_room_take(room, place, views_bytes(room), 0, (void **)&at->views);
}

norn_status norn_run_room_init(norn_run_room *room, const norn_session_options *options) {
    const size_t limit = (size_t)options->max_memory_bytes;
    room->place_count = room->resident->place_count;
    for (norn_place p = 0; p < room->place_count; p++) {
        norn_room_place *at = &room->at[p];
        const norn_memory_source source = {take_place, give_place, at, p == NORN_HOST};
        at->room = room;
        at->device = room->resident->devices[p];
        at->bound.limit = limit ? limit : p ? SIZE_MAX : share_of_machine(options->instances);
        for (int i = 0; i < NORN_LANES; i++)
            norn_scratch_init(&at->scratch[i], source, p ? NORN_DEVICE_ALIGN : NORN_HOST_ALIGN);
        if (p == NORN_HOST) norn_blocks_init(&room->blocks, source);
    }
    NORN_TRY(norn_pool_create(options->threads, room->alloc, &room->threads));
    for (norn_place p = 1; p < room->place_count; p++) NORN_TRY(open_place(room, p));
    return NORN_OK;
}

static void close_place(norn_run_room *room, norn_place place) {
    norn_room_place *at = &room->at[place];
    for (int i = 0; i < NORN_LANES; i++) norn_scratch_deinit(&at->scratch[i]);
    if (place == NORN_HOST) return;
    norn_room_give(room, place, at->views, views_bytes(room));
    if (at->passed) at->device->ops->event_destroy(at->device, at->passed);
    for (int i = NORN_LANES; i-- > 0;)
        if (at->lane[i]) at->device->ops->stream_destroy(at->device, at->lane[i]);
}

void norn_run_room_deinit(norn_run_room *room) {
    if (room->place_count) norn_blocks_deinit(&room->blocks);
    for (norn_place p = 0; p < room->place_count; p++) {
        (void)norn_room_enter(room, p);
        close_place(room, p);
    }
    norn_pool_destroy(room->threads);
}

norn_status norn_run_room_open_lanes(norn_run_room *room, uint32_t count) {
    norn_room_place *at = &room->at[1];
    for (uint32_t i = 1; i < count && i < NORN_LANES; i++)
        if (!at->lane[i])
            NORN_TRY(at->device->ops->stream_create(at->device, at->stream, &at->lane[i]));
    return NORN_OK;
}

norn_status norn_room_wait(norn_run_room *room, norn_place except) {
    norn_status first = NORN_OK; // also after a failure: for all of them
    for (norn_place p = 1; p < room->place_count; p++) {
        norn_room_place *at = &room->at[p];
        if (!at->busy || p == except) continue;
        norn_status status = norn_room_enter(room, p);
        if (status == NORN_OK) status = at->device->ops->stream_wait(at->device, at->stream);
        if (first == NORN_OK) first = status;
        at->busy = status != NORN_OK;
    }
    return first;
}

// ---- memory

static norn_status within_bound(const norn_memory_bound *bound, norn_place place, size_t bytes,
                                size_t leaving) {
    size_t kept = bound->held - leaving, held = SIZE_MAX;
    if (norn_size_add(kept, bytes, &held) && held <= bound->limit) return NORN_OK;
    return norn_fail(NORN_RESOURCE_EXHAUSTED,
                     "%zu bytes are needed%s, and an instance may take %zu%s: send a smaller "
                     "request, or raise \"max_memory_mb\" in norn.json (--max-memory)",
                     held, place ? " on the device" : "", bound->limit, kept > 0 ? " in all" : "");
}

norn_status norn_room_take(norn_run_room *room, norn_place place, size_t bytes, size_t leaving,
                           void **out) {
    norn_room_place *at = &room->at[place];
    *out = NULL;
    NORN_TRY(within_bound(&at->bound, place, bytes, leaving));
    if (place == NORN_HOST)
        NORN_TRY(norn_alloc_bytes(room->alloc, bytes, out));
    else
        NORN_TRY(
            at->device->ops->memory_create(at->device, NORN_MEMORY_DEVICE, bytes ? bytes : 1, out));
    at->bound.held += bytes;
    return NORN_OK;
}

void norn_room_give(norn_run_room *room, norn_place place, void *memory, size_t bytes) {
    norn_room_place *at = &room->at[place];
    if (!memory) return;
    at->bound.held -= bytes;
    if (place) {
        at->device->ops->memory_destroy(at->device, NORN_MEMORY_DEVICE, memory);
    } else {
        norn_unpoison(memory, bytes);
        norn_free(room->alloc, memory);
    }
}

norn_status norn_room_take_staging(norn_run_room *room, size_t bytes, size_t leaving, void **out) {
    if (room->place_count == 1) return norn_room_take(room, NORN_HOST, bytes, leaving, out);
    norn_memory_bound *bound = &room->at[NORN_HOST].bound;
    norn_device *device = room->at[1].device;
    *out = NULL;
    NORN_TRY(within_bound(bound, NORN_HOST, bytes, leaving));
    NORN_TRY(norn_room_enter(room, 1));
    NORN_TRY(device->ops->memory_create(device, NORN_MEMORY_STAGING, bytes ? bytes : 1, out));
    bound->held += bytes;
    return NORN_OK;
}

void norn_room_give_staging(norn_run_room *room, void *memory, size_t bytes) {
    if (room->place_count <= 1) {
        norn_room_give(room, NORN_HOST, memory, bytes);
        return;
    }
    if (!memory) return;
    norn_device *device = room->at[1].device;
    room->at[NORN_HOST].bound.held -= bytes;
    norn_unpoison(memory, bytes);
    (void)norn_room_enter(room, 1);
    device->ops->memory_destroy(device, NORN_MEMORY_STAGING, memory);
}
