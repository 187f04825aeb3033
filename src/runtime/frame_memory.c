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
    norn_note("value '%s'%s%s%s is %zu byte%s", value->name, value->producer ? " of node '" : "",
              value->producer ? value->producer->name : "", value->producer ? "'" : "",
              layout->bytes[largest], norn_plural(layout->bytes[largest]));
}

/// Arenas at least as large as `layout` says; on failure those there are stay.
static norn_status take_arenas(norn_frame *frame, const norn_layout *layout) {
    norn_run_room *room = frame->room;
    const uint32_t places = frame->program->place_count;
    void *taken[NORN_PLACES_MAX] = {NULL};
    norn_status status = NORN_OK;
    for (norn_place p = 0; p < places && status == NORN_OK; p++) {
        const bool grows =
            layout->at[p].bytes > frame->capacity[p] || (p == NORN_HOST && !frame->memory[p]);
        if (!grows) continue;
        status = norn_room_enter(room, p);
        if (status == NORN_OK)
            status = norn_room_take(room, p, layout->at[p].bytes, frame->capacity[p], &taken[p]);
    }
    for (norn_place p = 0; p < places; p++) {
        if (!taken[p]) continue;
        (void)norn_room_enter(room, p);
        if (status != NORN_OK) {
            norn_room_give(room, p, taken[p], layout->at[p].bytes);
            continue;
        }
        norn_room_give(room, p, frame->memory[p], frame->capacity[p]);
        frame->memory[p] = taken[p];
        frame->capacity[p] = layout->at[p].bytes;
    }
    if (status != NORN_OK) note_largest(frame, layout);
    return status;
}

void norn_frame_give_arenas(norn_frame *frame) {
    for (norn_place p = 0; p < frame->program->place_count; p++) {
        (void)norn_room_enter(frame->room, p);
        norn_room_give(frame->room, p, frame->memory[p], frame->capacity[p]);
        frame->memory[p] = NULL;
        frame->capacity[p] = 0;
    }
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
    bool fits = frame->memory[NORN_HOST] != NULL;
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

static bool is_little(const norn_program *program, const norn_layout *layout) {
    for (norn_place p = 0; p < program->place_count; p++)
        if (layout->at[p].bytes > PRESIZED_BYTES) return false;
    return true;
}

void norn_frame_presize(norn_frame *frame) {
    const norn_program *program = frame->program;
    norn_layout *next = &frame->next_layout;
    if (!program->target) return;
    norn_symbols_at_max(program->graph, frame->incoming);
    if (norn_layout_measure(program, frame->incoming, next->bytes) == NORN_OK &&
        norn_memory_plan(program, frame->room->alloc, next) == NORN_OK &&
        is_little(program, next) && take_arenas(frame, next) == NORN_OK) {
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
    size_t held = 0;
    for (norn_place p = 0; p < program->place_count; p++) held += frame->capacity[p];
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
