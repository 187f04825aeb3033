#include "plan/memory_plan.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/poison.h"
#include "plan/step_order.h"
#include "tensor/dtype.h"

#include <stdlib.h>

norn_status norn_layout_create(const norn_program *program, norn_alloc alloc, norn_layout *layout) {
    *layout = (norn_layout){0};
    NORN_TRY(NORN_NEW_ARRAY(alloc, program->slot_count, &layout->bytes));
    norn_status status = NORN_NEW_ARRAY(alloc, program->slot_count, &layout->offsets);
    if (status != NORN_OK) norn_layout_destroy(layout, alloc);
    return status;
}

void norn_layout_destroy(norn_layout *layout, norn_alloc alloc) {
    norn_free(alloc, layout->bytes);
    norn_free(alloc, layout->offsets);
    *layout = (norn_layout){0};
}

/// Slots that have memory in the arenas.
static bool has_memory(const norn_slot *slot) {
    return slot->kind == NORN_SLOT_PLANNED || (slot->kind == NORN_SLOT_INPUT && slot->place);
}

static size_t align_of(const norn_slot *slot) {
    return slot->place ? (size_t)NORN_DEVICE_ALIGN : (size_t)64;
}

norn_status norn_layout_measure(const norn_program *program, const int64_t *symbols, size_t *out) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *slot = &program->slots[i];
        out[i] = 0;
        if (!has_memory(slot)) continue;
        norn_view view = {.dtype = slot->dtype};
        norn_shape_at(&slot->shape, symbols, &view.rank, view.dims);
        int64_t elems = view.rank < 0 ? 0 : 1;
        bool fits = true;
        for (int32_t d = 0; d < view.rank; d++)
            if (view.dims[d] <= 0) elems = 0;
        for (int32_t d = 0; d < view.rank && elems > 0 && fits; d++)
            fits = norn_i64_mul(elems, view.dims[d], &elems);
        size_t bytes = 0;
        fits = fits && norn_dtype_bytes(slot->dtype, elems, &bytes) && bytes < SIZE_MAX / 2;
        if (!fits)
            return norn_fail(
                NORN_RESOURCE_EXHAUSTED, "node '%s': the size of '%s' does not fit in memory",
                slot->value->producer ? slot->value->producer->name : "", slot->value->name);
        if (bytes > 0 && !slot->place) bytes += NORN_RED_BYTES;
        out[i] = norn_align_up(bytes, align_of(slot));
    }
    return NORN_OK;
}

// ---- greedy by size

typedef struct item {
    uint32_t slot, first, last;
    size_t bytes, offset;
    uint64_t *users; ///< where steps may run beside each other: those that read or write it
    uint64_t *prior; ///< likewise: those that are done before any of them writes it
} item;

static bool within(const uint64_t *part, const uint64_t *whole, uint32_t words) {
    for (uint32_t w = 0; w < words; w++)
        if (part[w] & ~whole[w]) return false;
    return true;
}

/// Can both be needed at the same time?
static bool live_together(const norn_step_order *order, const item *a, const item *b) {
    if (!order) return a->last >= b->first && b->last >= a->first;
    return !within(a->users, b->prior, order->words) && !within(b->users, a->prior, order->words);
}

/// Sets of every item's steps, from the steps; `sets` has room for two an item, zeroed.
static void note_users(const norn_program *program, item *items, const uint32_t *item_of,
                       size_t count, uint64_t *sets) {
    const norn_step_order *order = program->order;
    for (size_t i = 0; i < count; i++) {
        items[i].users = sets + 2 * i * order->words;
        items[i].prior = items[i].users + order->words;
        for (uint32_t w = 0; w < order->words; w++) items[i].prior[w] = UINT64_MAX;
    }
    for (uint32_t s = 0; s < program->step_count; s++) {
        const norn_step *step = &program->steps[s];
        for (uint32_t k = 0; k < step->in_count + step->out_count; k++) {
            const bool writes = k >= step->in_count;
            const uint32_t slot = writes ? step->out[k - step->in_count] : step->in[k];
            if (slot == NORN_NO_SLOT) continue;
            const uint32_t at = item_of[program->slots[slot].root];
            if (at == UINT32_MAX) continue;
            items[at].users[s / 64] |= (uint64_t)1 << s % 64;
            for (uint32_t w = 0; writes && w < order->words; w++)
                items[at].prior[w] &= order->past[(size_t)s * order->words + w];
        }
    }
}

static int larger_first(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->slot < y->slot ? -1 : 1; // the same plan every time
}

/// items[0, count) are placed and sorted by offset; put `it` in the lowest gap that it fits.
static norn_status place(const norn_step_order *order, item *items, size_t count, item it,
                         size_t base, size_t *end) {
    size_t at = base;
    for (size_t i = 0; i < count; i++) {
        const item *other = &items[i];
        if (!live_together(order, other, &it)) continue;
        if (other->offset >= at && other->offset - at >= it.bytes) break;
        size_t after = other->offset + other->bytes;
        if (after > at) at = after;
    }
    size_t stop;
    if (!norn_size_add(at, it.bytes, &stop) || stop > SIZE_MAX / 2)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "the arena does not fit in memory");
    it.offset = at;
    size_t i = count;
    for (; i > 0 && items[i - 1].offset > at; i--) items[i] = items[i - 1];
    items[i] = it;
    if (stop > *end) *end = stop;
    return NORN_OK;
}

static norn_status append(norn_layout *layout, uint32_t slot, size_t *end) {
    layout->offsets[slot] = *end;
    if (!norn_size_add(*end, layout->bytes[slot], end) || *end > SIZE_MAX / 2)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "the arena does not fit in memory");
    return NORN_OK;
}

/// Inputs and outputs of a device, side by side at the front.
static norn_status plan_ends(const norn_program *program, norn_place place, norn_layout *layout) {
    norn_place_layout *at = &layout->at[place];
    size_t end = 0;
    for (uint32_t i = 0; i < program->graph->input_count; i++)
        if (program->inputs[place][i] != NORN_NO_SLOT)
            NORN_TRY(append(layout, program->inputs[place][i], &end));
    at->input_bytes = at->output_offset = end;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *slot = &program->slots[i];
        if (slot->kind == NORN_SLOT_PLANNED && slot->place == place && slot->is_output)
            NORN_TRY(append(layout, i, &end));
    }
    at->output_bytes = end - at->output_offset;
    at->bytes = end;
    return NORN_OK;
}

norn_status norn_memory_plan(const norn_program *program, norn_alloc alloc, norn_layout *layout) {
    const norn_step_order *order = program->order;
    item *waiting = NULL, *placed = NULL;
    uint32_t *item_of = NULL;
    uint64_t *sets = NULL;
    size_t count = 0;
    norn_status status;
    layout->at[NORN_HOST] = (norn_place_layout){0};
    for (norn_place p = 1; p < program->place_count; p++) NORN_TRY(plan_ends(program, p, layout));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, program->slot_count, &waiting));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, program->slot_count, &placed));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, program->slot_count, &item_of));
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *slot = &program->slots[i];
        item_of[i] = UINT32_MAX;
        if (slot->kind != NORN_SLOT_PLANNED || (slot->place && slot->is_output)) continue;
        layout->offsets[i] = 0;
        if (layout->bytes[i] == 0) continue; // empty: any address will do
        waiting[count++] =
            (item){.slot = i, .first = slot->first, .last = slot->last, .bytes = layout->bytes[i]};
    }
    if (count > 1) qsort(waiting, count, sizeof *waiting, larger_first);
    if (order) {
        NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, 2 * count * order->words, &sets));
        for (size_t i = 0; i < count; i++) item_of[waiting[i].slot] = (uint32_t)i;
        note_users(program, waiting, item_of, count, sets);
    }
    for (norn_place p = 0; p < program->place_count; p++) {
        const size_t base = layout->at[p].bytes;
        size_t done = 0;
        for (size_t i = 0; i < count; i++)
            if (program->slots[waiting[i].slot].place == p)
                NORN_TRY_DONE(place(order, placed, done++, waiting[i], base, &layout->at[p].bytes));
        for (size_t i = 0; i < done; i++) layout->offsets[placed[i].slot] = placed[i].offset;
    }
done:
    norn_free(alloc, waiting);
    norn_free(alloc, placed);
    norn_free(alloc, item_of);
    norn_free(alloc, sets);
    return status;
}
