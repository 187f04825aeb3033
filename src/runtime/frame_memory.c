// The memory of a frame's values: grows with the requests, and shrinks when they did.
#include "base/checked.h"
#include "base/memory.h"
#include "runtime/executor.h"

#include <string.h>

/// A device's arena up to this size is taken at once for the profile's maximum.
enum { PRESIZED_BYTES = 64 << 20 };

// ---- arenas

/// Name what takes most of an arena that there is no memory for.
static void note_largest(const norn_frame *frame, const norn_layout *layout) {
    const norn_program *program = frame->program;
    uint32_t largest = 0;
    for (uint32_t i = 1; i < program->slot_count; i++)
        if (layout->bytes[i] > layout->bytes[largest]) largest = i;
    if (program->slot_count == 0 || !program->slots[largest].value) return;
    const norn_value *value = program->slots[largest].value;
    norn_note("value '%s'%s%s%s is %zu bytes", value->name, value->producer ? " of node '" : "",
              value->producer ? value->producer->name : "", value->producer ? "'" : "",
              layout->bytes[largest]);
}

/// Arenas at least as large as `layout` says; on failure those there are stay.
static norn_status take_arenas(norn_frame *frame, const norn_layout *layout) {
    norn_run_room *room = frame->room;
    void *host = NULL, *device = NULL;
    norn_status status = NORN_OK;
    bool host_grows = layout->host_bytes > frame->host_capacity || !frame->host_arena;
    bool device_grows = frame->program->target && layout->device_bytes > frame->device_capacity;
    if (host_grows)
        status =
            norn_room_take(room, NORN_PLACE_HOST, layout->host_bytes, frame->host_capacity, &host);
    if (status == NORN_OK && device_grows)
        status = norn_room_take(room, NORN_PLACE_DEVICE, layout->device_bytes,
                                frame->device_capacity, &device);
    if (status != NORN_OK) {
        norn_room_give(room, NORN_PLACE_HOST, host, layout->host_bytes);
        note_largest(frame, layout);
        return status;
    }
    if (host_grows) {
        norn_room_give(room, NORN_PLACE_HOST, frame->host_arena, frame->host_capacity);
        frame->host_arena = host;
        frame->host_capacity = layout->host_bytes;
    }
    if (device_grows) {
        norn_room_give(room, NORN_PLACE_DEVICE, frame->device_arena, frame->device_capacity);
        frame->device_arena = device;
        frame->device_capacity = layout->device_bytes;
    }
    return NORN_OK;
}

void norn_frame_give_arenas(norn_frame *frame) {
    norn_room_give(frame->room, NORN_PLACE_HOST, frame->host_arena, frame->host_capacity);
    norn_room_give(frame->room, NORN_PLACE_DEVICE, frame->device_arena, frame->device_capacity);
    frame->host_arena = frame->device_arena = NULL;
    frame->host_capacity = frame->device_capacity = 0;
}

/// Plan what next_layout reserves, take the memory, and from now on use it.
static norn_status adopt_next(norn_frame *frame) {
    norn_layout *next = &frame->next_layout;
    NORN_TRY(norn_memory_plan(frame->program, frame->room->alloc, next));
    NORN_TRY(take_arenas(frame, next));
    norn_layout old = frame->layout;
    frame->layout = *next;
    frame->next_layout = old;
    frame->generation++;
    return NORN_OK;
}

// ---- growing

/// Reserve what is needed, and where that is more than there was, half as much again as that.
static void reserve_generously(norn_frame *frame) {
    for (uint32_t i = 0; i < frame->program->slot_count; i++) {
        size_t held = frame->layout.bytes[i], needed = frame->needed[i];
        frame->next_layout.bytes[i] =
            needed > held ? norn_align_up(norn_grown(held, needed), NORN_DEVICE_ALIGN) : held;
    }
}

norn_status norn_frame_make_room(norn_frame *frame) {
    const norn_program *program = frame->program;
    bool fits = frame->host_arena != NULL;
    NORN_TRY(norn_layout_measure(program, frame->incoming, frame->needed));
    for (uint32_t i = 0; i < program->slot_count && fits; i++)
        fits = frame->needed[i] <= frame->layout.bytes[i];
    if (!fits) {
        reserve_generously(frame);
        if (adopt_next(frame) != NORN_OK) {
            // Only what this run needs: other shapes are planned again when they come back.
            memcpy(frame->next_layout.bytes, frame->needed,
                   program->slot_count * sizeof *frame->needed);
            NORN_TRY(adopt_next(frame));
        }
    }
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (frame->needed[i] > frame->recent[i]) frame->recent[i] = frame->needed[i];
    return NORN_OK;
}

void norn_frame_presize(norn_frame *frame) {
    const norn_program *program = frame->program;
    norn_layout *next = &frame->next_layout;
    if (!program->target) return;
    norn_symbols_at_max(program->graph, frame->incoming);
    if (norn_layout_measure(program, frame->incoming, next->bytes) == NORN_OK &&
        norn_memory_plan(program, frame->room->alloc, next) == NORN_OK &&
        next->device_bytes <= PRESIZED_BYTES && next->host_bytes <= PRESIZED_BYTES &&
        take_arenas(frame, next) == NORN_OK) {
        norn_layout empty = frame->layout;
        frame->layout = *next;
        frame->next_layout = empty;
    }
}

// ---- shrinking

static double sum_of(const size_t *bytes, uint32_t count) {
    double sum = 0; // of sizes that together may pass SIZE_MAX
    for (uint32_t i = 0; i < count; i++) sum += (double)bytes[i];
    return sum;
}

/// Begin anew at what was needed lately; without memory even for that, at nothing.
static void shrink(norn_frame *frame) {
    size_t count = frame->program->slot_count;
    norn_frame_give_arenas(frame);
    frame->resolved = false;
    frame->generation++;
    memcpy(frame->next_layout.bytes, frame->recent, count * sizeof *frame->recent);
    if (adopt_next(frame) != NORN_OK) memset(frame->layout.bytes, 0, count * sizeof(size_t));
}

void norn_frame_trim(norn_frame *frame) {
    const norn_program *program = frame->program;
    uint32_t count = program->slot_count;
    size_t held = frame->host_capacity + frame->device_capacity;
    double reserved = sum_of(frame->layout.bytes, count), recent = sum_of(frame->recent, count);
    bool presized = program->target && held <= PRESIZED_BYTES;
    if (reserved > 0 && !presized &&
        norn_keeps_too_much(held, (size_t)((double)held * (recent / reserved))))
        shrink(frame);
    // The shapes that are laid out may run on without being looked at again.
    if (!frame->resolved || norn_layout_measure(program, frame->symbols, frame->recent) != NORN_OK)
        memset(frame->recent, 0, count * sizeof *frame->recent);
    for (uint32_t i = 0; i < program->step_count; i++)
        for (uint32_t b = 0; b < program->steps[i].body_count; b++)
            norn_frame_trim(frame->steps[i].bodies[b]);
}
