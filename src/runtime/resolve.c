#include "base/checked.h"
#include "base/memory.h"
#include "plan/bind.h"
#include "runtime/executor.h"
#include "tensor/dtype.h"

#include <string.h>

// ---- symbols from inputs

norn_status norn_frame_read_symbols(norn_frame *frame, const norn_view *inputs) {
    return norn_bind_shapes(frame->program->graph, inputs, frame->incoming, frame->binder);
}

// ---- addresses

static size_t bytes_now(const norn_view *view) {
    int64_t elems = norn_view_elems(view);
    size_t bytes = 0;
    if (elems > 0) (void)norn_dtype_bytes(view->dtype, elems, &bytes);
    return norn_align_up(bytes, NORN_DEVICE_ALIGN);
}

/// Inputs and outputs on a device lie side by side at this run's sizes,
/// which the layout's never pass.
static void lay_ends(norn_frame *frame, norn_place place) {
    const norn_program *program = frame->program;
    norn_frame_ends *ends = &frame->ends[place];
    size_t at = 0;
    for (uint32_t i = 0; i < program->graph->input_count; i++) {
        uint32_t slot = program->inputs[place][i];
        ends->input_offsets[i] = at;
        if (slot == NORN_NO_SLOT) continue;
        frame->slots[slot].data = frame->memory[place] + at;
        at += bytes_now(&frame->slots[slot]);
    }
    ends->input_bytes = at;
    ends->output_begin = at = frame->layout.at[place].output_offset;
    for (uint32_t i = 0; i < program->graph->output_count; i++) {
        uint32_t slot = program->outputs[i];
        bool repeated = false;
        if (program->slots[slot].place != place) continue;
        for (uint32_t k = 0; k < i && !repeated; k++) {
            repeated = program->outputs[k] == slot;
            if (repeated) frame->output_offsets[i] = frame->output_offsets[k];
        }
        if (repeated) continue;
        frame->output_offsets[i] = at;
        frame->slots[slot].data = frame->memory[place] + at;
        at += bytes_now(&frame->slots[slot]);
    }
    ends->output_bytes = at - ends->output_begin;
}

/// An input's symbol that `dim` follows from, or -1.
static int32_t input_symbol(const norn_symbols *symbols, norn_dim dim) {
    while (dim.symbol >= 0 && symbols->at[dim.symbol].kind == NORN_SYMBOL_DERIVED) {
        const norn_symbol *symbol = &symbols->at[dim.symbol];
        dim = symbol->a.symbol >= 0 ? symbol->a : symbol->b;
    }
    return dim.symbol >= 0 && symbols->at[dim.symbol].kind == NORN_SYMBOL_INPUT ? dim.symbol : -1;
}

/// What would have less than nothing: offsets of B + 1 elements of which there
/// are none, a Slice of more than is there.
static norn_status bad_size(const norn_frame *frame, const norn_value *value, int32_t d) {
    const norn_symbols *symbols = &frame->program->graph->symbols;
    char text[NORN_DIM_TEXT];
    int32_t symbol = input_symbol(symbols, value->shape.dims[d]);
    int32_t binder = symbol < 0 ? -1 : frame->binder[symbol];
    norn_dim_text(symbols, value->shape.dims[d], text);
    const char *node = value->producer ? value->producer->name : "";
    if (binder < 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s': dim %d of '%s' is %s, less than 0 for these inputs", node, d,
                         value->name, text);
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "input '%s' makes %s %lld, too small: node '%s' makes '%s' with dim %d of %s",
                     frame->program->graph->inputs[binder]->name, symbols->at[symbol].name,
                     (long long)frame->symbols[symbol], node, value->name, d, text);
}

static norn_status lay_slot(norn_frame *frame, uint32_t index) {
    const norn_slot *slot = &frame->program->slots[index];
    norn_view *view = &frame->slots[index];
    *view = (norn_view){.dtype = slot->dtype, .row_stride = slot->row_stride};
    norn_shape_at(&slot->shape, frame->symbols, &view->rank, view->dims);
    if (slot->kind == NORN_SLOT_CONST) {
        *view = *slot->value->data;
        view->data = slot->place ? frame->room->resident->weights[slot->place] + slot->weight_offset
                                 : (void *)(uintptr_t)slot->data;
    }
    if (slot->kind != NORN_SLOT_PLANNED) return NORN_OK;
    for (int32_t d = 0; d < view->rank; d++)
        if (view->dims[d] < 0) return bad_size(frame, slot->value, d);
    view->data = frame->memory[slot->place] + frame->layout.offsets[index];
    return NORN_OK;
}

/// Elements from the first to just after the last.
static int64_t reach_of(const norn_view *view) {
    int64_t elems = norn_view_elems(view);
    if (elems <= 0 || view->row_stride == 0) return elems;
    int64_t inner = view->dims[view->rank - 1];
    return (elems / inner - 1) * view->row_stride + inner;
}

/// A view's shape may come from a model's or a plan's word, so see that it stays inside its root.
static norn_status lay_alias(norn_frame *frame, uint32_t index) {
    const norn_slot *slot = &frame->program->slots[index];
    const norn_view *root = &frame->slots[slot->root];
    char *base = root->data;
    size_t skip = 0;
    int64_t reach = reach_of(&frame->slots[index]), room = norn_view_elems(root), end;
    bool dense = slot->row_stride == 0 && slot->column == 0;
    if (reach < 0 || (reach > 0 && (!norn_i64_add(reach, slot->column, &end) || end > room)) ||
        (dense && reach != room))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "'%s' has %lld element%s, '%s' whose bytes it shows has %lld",
                         slot->value->name, (long long)reach, norn_plural(reach),
                         frame->program->slots[slot->root].value->name, (long long)room);
    if (norn_dtype_bits(slot->dtype) !=
        norn_dtype_bits(root->dtype)) // elements were counted, not bytes
        return norn_fail(NORN_INVALID_ARGUMENT, "'%s' is %s, '%s' whose bytes it shows is %s",
                         slot->value->name, norn_dtype_name(slot->dtype),
                         frame->program->slots[slot->root].value->name,
                         norn_dtype_name(root->dtype));
    (void)norn_dtype_bytes(slot->dtype, slot->column, &skip);
    frame->slots[index].data = base ? base + skip : NULL;
    return NORN_OK;
}

static norn_status lay_step(norn_frame *frame, norn_frame_step *own) {
    const norn_step *step = own->step;
    for (uint32_t k = 0; k < step->in_count; k++)
        own->in[k] = step->in[k] == NORN_NO_SLOT ? (norn_view){0} : frame->slots[step->in[k]];
    own->empty = step->out_count > 0 && !step->dynamic;
    for (uint32_t k = 0; k < step->out_count; k++) {
        own->out[k] = step->out[k] == NORN_NO_SLOT ? (norn_view){0} : frame->slots[step->out[k]];
        if (norn_view_present(&own->out[k]) && norn_view_elems(&own->out[k]) != 0)
            own->empty = false;
    }
    if (!step->fit) return NORN_OK;
    norn_status status = norn_step_fit(step->node, own->in, step->in_count, own->out,
                                       step->out_count, frame->symbols, frame->shapes);
    if (status != NORN_OK) norn_note("node '%s'", step->node->name);
    return status;
}

norn_status norn_frame_resolve(norn_frame *frame) {
    const norn_program *program = frame->program;
    size_t symbol_bytes = (size_t)program->graph->symbols.count * sizeof *frame->symbols;
    if (frame->resolved && memcmp(frame->symbols, frame->incoming, symbol_bytes) == 0)
        return NORN_OK;
    frame->resolved = false;
    NORN_TRY(norn_frame_make_room(frame));
    memcpy(frame->symbols, frame->incoming, symbol_bytes);
    for (uint32_t i = 0; i < program->slot_count; i++) NORN_TRY(lay_slot(frame, i));
    for (uint32_t i = 0; i < program->graph->output_count; i++) frame->output_offsets[i] = SIZE_MAX;
    for (norn_place p = 1; p < program->place_count; p++) lay_ends(frame, p);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].kind == NORN_SLOT_ALIAS) NORN_TRY(lay_alias(frame, i));
    for (uint32_t i = 0; i < program->step_count; i++) NORN_TRY(lay_step(frame, &frame->steps[i]));
    frame->resolved = true;
    return NORN_OK;
}

/// This run's addresses of the inputs, and of what only renames them.
void norn_frame_patch(norn_frame *frame, const norn_view *inputs) {
    const norn_program *program = frame->program;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *root = norn_slot_root(program, i);
        if (root->kind != NORN_SLOT_INPUT || root->place) continue;
        if (program->slots[i].kind == NORN_SLOT_INPUT)
            frame->slots[i] = inputs[root->input];
        else
            frame->slots[i].data = inputs[root->input].data;
    }
    for (uint32_t i = 0; i < frame->patch_count; i++)
        frame->patches[i].view->data = inputs[frame->patches[i].input].data;
}

norn_status norn_frame_bind(norn_frame *frame, const norn_view *inputs) {
    norn_frame_reset(frame);
    NORN_TRY(norn_frame_read_symbols(frame, inputs));
    NORN_TRY(norn_frame_resolve(frame));
    norn_frame_patch(frame, inputs);
    return NORN_OK;
}
