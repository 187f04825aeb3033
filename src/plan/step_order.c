#include "plan/step_order.h"

#include <string.h>

typedef struct ordering {
    const norn_program *program;
    norn_arena *arena;
    norn_step_order *order;
    uint64_t *past;
    uint8_t *lane;
    uint32_t *wait_begin, *waits;
    bool *awaited;
    uint32_t tail[NORN_LANES]; ///< last step so far of each lane
} ordering;

static uint64_t *past_of(const ordering *o, uint32_t step) {
    return o->past + (size_t)step * o->order->words;
}

/// One stream's work already, or steps that the host or another device must see to.
static bool has_order(const norn_program *program) {
    if (program->place_count != 2 || program->has_pooled || program->host_steps > 0) return false;
    if (program->step_count < 2 || program->step_count > NORN_ORDER_STEPS_MAX) return false;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        if (!norn_step_stays_on(program, step, 1) || step->body_count > 0) return false;
    }
    return true;
}

// ---- what comes before what

/// Columns [from, to) of the root's rows that are written through the slot; false: all of it.
static bool part_of(const norn_slot *slot, int64_t *from, int64_t *to) {
    const norn_shape *shape = &slot->shape;
    if (slot->kind != NORN_SLOT_ALIAS || slot->row_stride == 0 || shape->rank < 1) return false;
    const norn_dim last = shape->dims[shape->rank - 1];
    if (!norn_dim_is_const(last)) return false;
    *from = slot->column;
    *to = slot->column + last.constant;
    return true;
}

static bool writes_overlap(const norn_program *program, uint32_t a, uint32_t b) {
    const norn_slot *x = &program->slots[a], *y = &program->slots[b];
    int64_t x_from, x_to, y_from, y_to;
    if (x->root != y->root) return false;
    if (!part_of(x, &x_from, &x_to) || !part_of(y, &y_from, &y_to)) return true;
    return x->row_stride != y->row_stride || (x_from < y_to && y_from < x_to);
}

static bool touches(const norn_program *program, const uint32_t *slots, uint32_t count,
                    uint32_t root) {
    for (uint32_t i = 0; i < count; i++)
        if (slots[i] != NORN_NO_SLOT && program->slots[slots[i]].root == root) return true;
    return false;
}

/// Must `later` wait for `earlier`? By what it reads, by what it writes over, or by who reads that.
static bool follows(const norn_program *program, const norn_step *later, const norn_step *earlier) {
    for (uint32_t k = 0; k < earlier->out_count; k++) {
        const uint32_t made = earlier->out[k];
        if (made == NORN_NO_SLOT) continue;
        if (touches(program, later->in, later->in_count, program->slots[made].root)) return true;
        for (uint32_t j = 0; j < later->out_count; j++)
            if (later->out[j] != NORN_NO_SLOT && writes_overlap(program, made, later->out[j]))
                return true;
    }
    for (uint32_t j = 0; j < later->out_count; j++)
        if (later->out[j] != NORN_NO_SLOT &&
            touches(program, earlier->in, earlier->in_count, program->slots[later->out[j]].root))
            return true;
    return false;
}

static void note_past(ordering *o) {
    const norn_program *program = o->program;
    const uint32_t words = o->order->words;
    for (uint32_t i = 1; i < program->step_count; i++) {
        uint64_t *mine = past_of(o, i);
        for (uint32_t before = i; before-- > 0;) { // the nearest first: they bring their own past
            if (norn_step_set_has(mine, before) ||
                !follows(program, &program->steps[i], &program->steps[before]))
                continue;
            const uint64_t *theirs = past_of(o, before);
            for (uint32_t w = 0; w < words; w++) mine[w] |= theirs[w];
            mine[before / 64] |= (uint64_t)1 << before % 64;
        }
    }
}

// ---- lanes

/// The lane whose last step this one follows anyway, the most recent first;
/// else a new one; else the one that has rested longest.
static uint8_t choose_lane(const ordering *o, uint32_t step) {
    const uint32_t count = o->order->lane_count;
    uint32_t best = UINT32_MAX, idle = 0;
    for (uint32_t lane = 0; lane < count; lane++) {
        if (o->tail[lane] < o->tail[idle]) idle = lane;
        if (!norn_step_set_has(past_of(o, step), o->tail[lane])) continue;
        if (best == UINT32_MAX || o->tail[lane] > o->tail[best]) best = lane;
    }
    if (best != UINT32_MAX) return (uint8_t)best;
    return (uint8_t)(count < NORN_LANES ? count : idle);
}

/// What lane `other` must have done before `step`, if the step's own lane does not know already.
static bool needs(const ordering *o, uint32_t step, uint32_t before_in_lane, uint8_t other,
                  uint32_t *out) {
    for (uint32_t i = step; i-- > 0;) {
        if (o->lane[i] != other || !norn_step_set_has(past_of(o, step), i)) continue;
        *out = i;
        return before_in_lane == UINT32_MAX || !(norn_step_set_has(past_of(o, before_in_lane), i));
    }
    return false;
}

static void cut_lanes(ordering *o) {
    norn_step_order *order = o->order;
    uint32_t waits = 0;
    for (uint32_t i = 0; i < o->program->step_count; i++) {
        const uint8_t lane = i == 0 ? 0 : choose_lane(o, i);
        uint32_t before = UINT32_MAX, needed;
        if (lane < order->lane_count)
            before = o->tail[lane];
        else
            order->lane_count++;
        o->lane[i] = lane;
        o->wait_begin[i] = waits;
        for (uint8_t other = 0; other < order->lane_count; other++) {
            if (other == lane || !needs(o, i, before, other, &needed)) continue;
            o->waits[waits++] = needed;
            o->awaited[needed] = true;
        }
        o->tail[lane] = i;
    }
    o->wait_begin[o->program->step_count] = waits;
    for (uint32_t lane = 1; lane < order->lane_count; lane++) o->awaited[o->tail[lane]] = true;
}

norn_status norn_step_order_make(const norn_program *program, norn_arena *arena,
                                 const norn_step_order **out) {
    const size_t count = program->step_count;
    norn_step_order *order;
    ordering o = {.program = program, .arena = arena};
    *out = NULL;
    if (!has_order(program)) return NORN_OK;
    NORN_TRY(NORN_TAKE(arena, &order));
    o.order = order;
    order->words = (uint32_t)((count + 63) / 64);
    NORN_TRY(NORN_TAKE_ARRAY(arena, count * order->words, &o.past));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, &o.lane));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count + 1, &o.wait_begin));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count * NORN_LANES, &o.waits));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, &o.awaited));
    note_past(&o);
    cut_lanes(&o);
    order->past = o.past;
    order->lane = o.lane;
    order->wait_begin = o.wait_begin;
    order->waits = o.waits;
    order->awaited = o.awaited;
    *out = order;
    return NORN_OK;
}
