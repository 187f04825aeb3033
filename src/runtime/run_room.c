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

static norn_status take_host(void *context, size_t bytes, void **out) {
    return norn_room_take(context, NORN_PLACE_HOST, bytes, 0, out);
}
static void give_host(void *context, void *memory, size_t bytes) {
    norn_room_give(context, NORN_PLACE_HOST, memory, bytes);
}
static norn_status take_device(void *context, size_t bytes, void **out) {
    return norn_room_take(context, NORN_PLACE_DEVICE, bytes, 0, out);
}
static void give_device(void *context, void *memory, size_t bytes) {
    norn_room_give(context, NORN_PLACE_DEVICE, memory, bytes);
}

static size_t views_bytes(const norn_run_room *room) {
    return room->table_count * sizeof *room->views;
}

norn_status norn_run_room_init(norn_run_room *room, const norn_session_options *options) {
    const size_t limit = (size_t)options->max_memory_bytes;
    const norn_memory_source host = {take_host, give_host, room, true},
                             device = {take_device, give_device, room, false};
    room->host_bound.limit = limit ? limit : share_of_machine(options->instances);
    room->device_bound.limit = limit ? limit : SIZE_MAX;
    norn_blocks_init(&room->blocks, host);
    norn_scratch_init(&room->host_scratch, host, NORN_HOST_ALIGN);
    for (int i = 0; i < NORN_LANES; i++)
        norn_scratch_init(&room->device_scratch[i], device, NORN_DEVICE_ALIGN);
    NORN_TRY(norn_pool_create(options->threads, room->alloc, &room->threads));
    if (!room->device) return NORN_OK;
    if (room->device->ops->stream_create)
        NORN_TRY(room->device->ops->stream_create(room->device, NULL, &room->stream));
    room->lane[0] = room->stream;
    if (room->table_count == 0) return NORN_OK;
    return norn_room_take(room, NORN_PLACE_DEVICE, views_bytes(room), 0, (void **)&room->views);
}

void norn_run_room_deinit(norn_run_room *room) {
    norn_blocks_deinit(&room->blocks);
    norn_scratch_deinit(&room->host_scratch);
    for (int i = 0; i < NORN_LANES; i++) norn_scratch_deinit(&room->device_scratch[i]);
    norn_room_give(room, NORN_PLACE_DEVICE, room->views, views_bytes(room));
    for (int i = NORN_LANES; i-- > 0;)
        if (room->lane[i]) room->device->ops->stream_destroy(room->device, room->lane[i]);
    norn_pool_destroy(room->threads);
}

norn_status norn_run_room_open_lanes(norn_run_room *room, uint32_t count) {
    for (uint32_t i = 1; i < count && i < NORN_LANES; i++)
        if (!room->lane[i])
            NORN_TRY(room->device->ops->stream_create(room->device, room->stream, &room->lane[i]));
    return NORN_OK;
}

// ---- memory

static norn_memory_bound *bound_of(norn_run_room *room, norn_place place) {
    return place == NORN_PLACE_DEVICE ? &room->device_bound : &room->host_bound;
}

/// The C heap's or the instance's allocator, but for memory that only the device can make.
static bool is_of_device(const norn_run_room *room, norn_place place) {
    return room->device && place != NORN_PLACE_HOST;
}

norn_status norn_room_take(norn_run_room *room, norn_place place, size_t bytes, size_t leaving,
                           void **out) {
    norn_memory_bound *bound = bound_of(room, place);
    size_t kept = bound->held - leaving, held = SIZE_MAX;
    *out = NULL;
    if (!norn_size_add(kept, bytes, &held) || held > bound->limit)
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "%zu bytes are needed%s, and an instance may take %zu%s: send a smaller "
                         "request, or raise \"max_memory_mb\" in norn.json (--max-memory)",
                         held, place == NORN_PLACE_DEVICE ? " on the device" : "", bound->limit,
                         kept > 0 ? " in all" : "");
    if (!is_of_device(room, place)) {
        NORN_TRY(norn_alloc_bytes(room->alloc, bytes, out));
    } else {
        norn_memory_kind kind =
            place == NORN_PLACE_DEVICE ? NORN_MEMORY_DEVICE : NORN_MEMORY_STAGING;
        NORN_TRY(room->device->ops->memory_create(room->device, kind, bytes ? bytes : 1, out));
    }
    bound->held += bytes;
    return NORN_OK;
}

void norn_room_give(norn_run_room *room, norn_place place, void *memory, size_t bytes) {
    if (!memory) return;
    bound_of(room, place)->held -= bytes;
    if (place != NORN_PLACE_DEVICE) norn_unpoison(memory, bytes);
    if (!is_of_device(room, place))
        norn_free(room->alloc, memory);
    else
        room->device->ops->memory_destroy(
            room->device, place == NORN_PLACE_DEVICE ? NORN_MEMORY_DEVICE : NORN_MEMORY_STAGING,
            memory);
}
