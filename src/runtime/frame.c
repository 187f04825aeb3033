#include "runtime/frame.h"
#include "base/memory.h"
#include "runtime/executor.h"
#include "runtime/lanes.h"

// ---- making

static uint32_t count_patches(const norn_program *program, norn_frame *frame) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const norn_step *step = &program->steps[s];
        if (step->dynamic) continue;
        for (uint32_t k = 0; k < step->in_count; k++) {
            if (step->in[k] == NORN_NO_SLOT) continue;
            const norn_slot *root = norn_slot_root(program, step->in[k]);
            if (root->kind != NORN_SLOT_INPUT || root->place) continue;
            if (frame->patches)
                frame->patches[count] = (norn_input_patch){&frame->steps[s].in[k], root->input};
            count++;
        }
    }
    return count;
}

/// Which pooled slots end with which step, in one array ordered by step.
static norn_status note_releases(norn_frame *frame) {
    const norn_program *program = frame->program;
    uint32_t *slots, count = 0;
    NORN_TRY(NORN_TAKE_ARRAY(&frame->arena, (size_t)program->slot_count + 1, &slots));
    for (uint32_t s = 0; program->has_pooled && s < program->step_count; s++) {
        frame->steps[s].release = slots + count;
        // Only a step's own operands can end with it.
        const norn_step *step = &program->steps[s];
        for (uint32_t k = 0; k < step->in_count + step->out_count; k++) {
            uint32_t slot = k < step->in_count ? step->in[k] : step->out[k - step->in_count];
            if (slot == NORN_NO_SLOT || program->slots[slot].kind != NORN_SLOT_POOLED) continue;
            if (program->slots[slot].last != s || program->slots[slot].is_output) continue;
            bool seen = false;
            for (uint32_t i = 0; i < frame->steps[s].release_count; i++)
                seen |= frame->steps[s].release[i] == slot;
            if (seen) continue;
            slots[count++] = slot;
            frame->steps[s].release_count++;
        }
    }
    return NORN_OK;
}

static norn_status make_step(norn_frame *frame, uint32_t index) {
    const norn_step *step = &frame->program->steps[index];
    norn_frame_step *own = &frame->steps[index];
    norn_run_room *room = frame->room;
    NORN_TRY(
        NORN_TAKE_ARRAY(&frame->arena, (size_t)step->in_count + step->out_count + 1, &own->in));
    own->out = own->in + step->in_count;
    own->frame = frame;
    own->step = step;
    own->call = (norn_call){
        .in = own->in,
        .in_count = step->in_count,
        .out = own->out,
        .out_count = step->out_count,
        .pool = room->threads,
        .stream = room->at[step->place].stream,
        .state = step->kind == NORN_STEP_KERNEL ? room->resident->states[step->state] : NULL,
        .host = &norn_executor_host};
    if (step->node) {
        own->call.name = step->node->name;
        own->call.op = step->node->op->id;
        own->call.attrs = step->node->attrs;
        own->call.region = step->node->region;
    }
    if (step->check)
        NORN_TRY(NORN_TAKE_ARRAY(&frame->arena, (size_t)step->out_count + 1, &own->checked));
    uint32_t operands = step->in_count + step->out_count;
    if (operands > frame->shapes.count) frame->shapes.count = operands;
    if (step->fit && step->in_count > frame->fit_inputs) frame->fit_inputs = step->in_count;
    if (step->body_count == 0) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(&frame->arena, step->body_count, &own->bodies));
    for (uint32_t b = 0; b < step->body_count; b++)
        NORN_TRY(norn_frame_create(step->bodies[b], room, &own->bodies[b]));
    return NORN_OK;
}

static norn_status make_arrays(norn_frame *frame) {
    const norn_program *program = frame->program;
    const norn_graph *graph = program->graph;
    norn_arena *arena = &frame->arena;
    size_t symbols = (size_t)graph->symbols.count + 1;
    NORN_TRY(NORN_TAKE_ARRAY(arena, symbols, &frame->symbols));
    NORN_TRY(NORN_TAKE_ARRAY(arena, symbols, &frame->incoming));
    NORN_TRY(NORN_TAKE_ARRAY(arena, symbols, &frame->binder));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)program->slot_count + 1, &frame->slots));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)program->slot_count + 1, &frame->blocks));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)program->slot_count + 1, &frame->needed));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)program->slot_count + 1, &frame->recent));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)program->step_count + 1, &frame->steps));
    for (norn_place p = 1; p < program->place_count; p++)
        NORN_TRY(
            NORN_TAKE_ARRAY(arena, (size_t)graph->input_count + 1, &frame->ends[p].input_offsets));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)graph->output_count + 1, &frame->output_offsets));
    for (uint32_t i = 0; i < program->step_count; i++) NORN_TRY(make_step(frame, i));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)frame->shapes.count + 1, &frame->shapes.io));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)frame->fit_inputs * NORN_CONTENTS_MAX + 1,
                             &frame->shapes.contents));
    NORN_TRY(note_releases(frame));
    frame->patch_count = count_patches(program, frame);
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)frame->patch_count + 1, &frame->patches));
    (void)count_patches(program, frame);
    return NORN_OK;
}

norn_status norn_frame_create(const norn_program *program, norn_run_room *room, norn_frame **out) {
    norn_frame *frame = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(room->alloc, &frame));
    frame->program = program;
    frame->room = room;
    norn_arena_init(&frame->arena, room->alloc, 1 << 14);
    NORN_TRY_DONE(make_arrays(frame));
    NORN_TRY_DONE(norn_layout_create(program, room->alloc, &frame->layout));
    NORN_TRY_DONE(norn_layout_create(program, room->alloc, &frame->next_layout));
    norn_frame_presize(frame);
    *out = frame;
    frame = NULL;
done:
    norn_frame_destroy(frame);
    return status;
}

void norn_frame_destroy(norn_frame *frame) {
    if (!frame) return;
    norn_run_room *room = frame->room;
    for (uint32_t i = 0; frame->steps && i < frame->program->step_count; i++)
        for (uint32_t b = 0; frame->steps[i].bodies && b < frame->program->steps[i].body_count; b++)
            norn_frame_destroy(frame->steps[i].bodies[b]);
    norn_frame_give_arenas(frame);
    norn_lanes_close(frame);
    norn_layout_destroy(&frame->layout, room->alloc);
    norn_layout_destroy(&frame->next_layout, room->alloc);
    norn_arena_deinit(&frame->arena);
    norn_free(room->alloc, frame);
}

void norn_frame_reset(norn_frame *frame) {
    if (!frame->program->has_pooled) return;
    for (uint32_t i = 0; i < frame->program->slot_count; i++) {
        norn_blocks_give(&frame->room->blocks, frame->blocks[i]);
        frame->blocks[i] = NULL;
    }
}

const norn_view *norn_frame_output(const norn_frame *frame, uint32_t index) {
    return &frame->slots[frame->program->outputs[index]];
}
