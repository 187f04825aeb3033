#include "base/checked.h"
#include "ops/op.h"
#include "plan/memory_plan.h"
#include "plan/placement.h"
#include "plan/program.h"
#include "plan/step_order.h"

#include <string.h>

/// Of a program and its bodies, so far.
typedef struct lowered {
    uint32_t states;
    size_t weight_bytes[NORN_PLACES_MAX];
} lowered;

typedef struct lowering {
    norn_program *program;
    norn_arena *arena;
    norn_graph *graph;
    norn_placement place;
    uint32_t *map; ///< by value id and place: its slot there
    size_t slot_capacity, step_capacity;
    const norn_lower_options *options;
    lowered *whole;
    bool is_body; ///< its inputs and outputs are the host's
} lowering;

static norn_node_place *note_of(const norn_node *node) {
    return node->note;
}

// ---- slots

static uint32_t *slot_of(const lowering *l, const norn_value *value, norn_place place) {
    return &l->map[(size_t)value->id * l->program->place_count + place];
}

static norn_status add_slot(lowering *l, norn_value *value, norn_slot_kind kind, norn_place place,
                            uint32_t *out) {
    norn_program *program = l->program;
    NORN_TRY(NORN_TAKE_MORE(l->arena, &program->slots, program->slot_count, &l->slot_capacity));
    *out = program->slot_count++;
    program->slots[*out] = (norn_slot){.value = value,
                                       .kind = kind,
                                       .place = place,
                                       .root = *out,
                                       .dtype = value->dtype,
                                       .shape = value->shape,
                                       .first = UINT32_MAX};
    return NORN_OK;
}

static norn_status add_step(lowering *l, norn_step step) {
    norn_program *program = l->program;
    NORN_TRY(NORN_TAKE_MORE(l->arena, &program->steps, program->step_count, &l->step_capacity));
    program->steps[program->step_count++] = step;
    return NORN_OK;
}

static norn_status add_alias(lowering *l, norn_value *value, uint32_t of, uint32_t *out) {
    norn_slot source = l->program->slots[of];
    NORN_TRY(add_slot(l, value, NORN_SLOT_ALIAS, source.place, out));
    norn_slot *slot = &l->program->slots[*out];
    slot->root = source.root;
    slot->column = source.column;
    return NORN_OK;
}

/// Memory for a value that a step writes, or a part of the Concat that it is written into.
static norn_status add_home(lowering *l, norn_value *value, norn_place place, uint32_t *out) {
    const norn_value_place *in = &l->place.values[value->id];
    if (!in->into)
        return add_slot(l, value, in->planned ? NORN_SLOT_PLANNED : NORN_SLOT_POOLED, place, out);
    uint32_t *root = slot_of(l, in->into, place);
    if (*root == NORN_NO_SLOT) NORN_TRY(add_slot(l, in->into, NORN_SLOT_PLANNED, place, root));
    NORN_TRY(add_alias(l, value, *root, out));
    l->program->slots[*out].column = in->column;
    l->program->slots[*out].row_stride = in->row_stride;
    return NORN_OK;
}

static norn_status add_copy(lowering *l, const norn_node *reader, uint32_t from, uint32_t to) {
    uint32_t *ends;
    NORN_TRY(NORN_TAKE_ARRAY(l->arena, 2, &ends));
    ends[0] = from, ends[1] = to;
    const norn_place to_place = l->program->slots[to].place;
    norn_step step = {.kind = NORN_STEP_COPY,
                      .place = to_place ? to_place : l->program->slots[from].place,
                      .node = reader,
                      .in = ends,
                      .out = ends + 1,
                      .in_count = 1,
                      .out_count = 1};
    step.node_index = reader ? note_of(reader)->index : 0;
    return add_step(l, step);
}

static norn_status add_const(lowering *l, norn_value *value, norn_place place, uint32_t *out) {
    NORN_TRY(add_slot(l, value, NORN_SLOT_CONST, place, out));
    norn_slot *slot = &l->program->slots[*out];
    slot->shape.rank = value->data->rank;
    for (int32_t d = 0; d < value->data->rank; d++)
        slot->shape.dims[d] = norn_dim_const(value->data->dims[d]);
    if (place == NORN_HOST) slot->data = value->data->data;
    return NORN_OK;
}

static norn_status slot_for(lowering *l, norn_value *value, norn_place place,
                            const norn_node *reader, uint32_t *out);

/// `value` is in another place: bring it over, just before its first reader here.
static norn_status bring_over(lowering *l, norn_value *value, norn_place from_place,
                              norn_place place, const norn_node *reader, uint32_t *out) {
    uint32_t from;
    NORN_TRY(slot_for(l, value, from_place, reader, &from));
    NORN_TRY(add_slot(l, value, NORN_SLOT_PLANNED, place, out));
    return add_copy(l, reader, from, *out);
}

static norn_status make_slot(lowering *l, norn_value *value, norn_place place,
                             const norn_node *reader, uint32_t *out) {
    int32_t input = l->place.values[value->id].input;
    if (value->data) return add_const(l, value, place, out);
    if (input >= 0 && l->is_body && place != NORN_HOST)
        return bring_over(l, value, NORN_HOST, place, reader, out);
    if (input >= 0) {
        NORN_TRY(add_slot(l, value, NORN_SLOT_INPUT, place, out));
        l->program->slots[*out].input = (uint32_t)input;
        l->program->inputs[place][input] = *out;
        return NORN_OK;
    }
    if (!value->producer)
        return norn_fail(NORN_INTERNAL, "value '%s' has no producer", value->name);
    if (note_of(value->producer)->is_view) {
        uint32_t source;
        NORN_TRY(slot_for(l, norn_node_in(value->producer, 0), place, reader, &source));
        return add_alias(l, value, source, out);
    }
    const norn_place made = note_of(value->producer)->place;
    if (made != place) return bring_over(l, value, made, place, reader, out);
    return add_home(l, value, place, out);
}

/// Where `value` is in a place; made, and copied there, when it is not yet.
static norn_status slot_for(lowering *l, norn_value *value, norn_place place,
                            const norn_node *reader, uint32_t *out) {
    uint32_t slot = *slot_of(l, value, place);
    if (slot == NORN_NO_SLOT) {
        NORN_TRY(make_slot(l, value, place, reader, &slot));
        *slot_of(l, value, place) = slot;
    }
    *out = slot;
    return NORN_OK;
}

// ---- steps

static norn_status lower_program(norn_graph *graph, const norn_lower_options *options,
                                 norn_arena *arena, lowered *whole, bool is_body,
                                 norn_program **out);

/// Dims that only a run knows count as one.
static void fill_in(norn_view *views, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        for (int32_t d = 0; d < views[i].rank; d++)
            if (views[i].dims[d] < 0) views[i].dims[d] = 1;
}

/// Is there work enough in one run of a body that copies pay?
static norn_status is_worth_copies(const lowering *l, const norn_graph *body, bool *worth) {
    int64_t *max;
    double flops = 0;
    *worth = false;
    if (!l->options->target) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(l->arena, (size_t)body->symbols.count + 1, &max));
    norn_symbols_at_max(body, max);
    for (const norn_node *node = body->nodes; node; node = node->next) {
        norn_view *views;
        norn_cost cost = {0};
        const uint32_t count = node->in_count + node->out_count;
        NORN_TRY(NORN_TAKE_ARRAY(l->arena, (size_t)count + 1, &views));
        const norn_step_spec spec = norn_node_spec(node, max, views);
        if (!norn_target_kernel(l->options->target, &spec) || !node->op->cost) continue;
        fill_in(views, count);
        node->op->cost(node->attrs, node->region, spec.in, spec.in_count, spec.out, spec.out_count,
                       &cost);
        flops += cost.flops;
    }
    *worth = flops >= l->options->body_flops;
    return NORN_OK;
}

static norn_status lower_bodies(lowering *l, norn_step *step) {
    const norn_attrs attrs = step->node->attrs;
    norn_program **bodies;
    uint32_t count = 0;
    for (uint32_t i = 0; i < attrs.count; i++) count += attrs.at[i].kind == NORN_ATTR_GRAPH;
    if (count == 0) return NORN_OK;
    NORN_TRY(NORN_TAKE_ARRAY(l->arena, count, &bodies));
    step->bodies = bodies;
    for (uint32_t i = 0; i < attrs.count; i++) {
        if (attrs.at[i].kind != NORN_ATTR_GRAPH) continue;
        norn_program *body;
        norn_lower_options options = *l->options;
        bool worth;
        NORN_TRY(is_worth_copies(l, attrs.at[i].graph, &worth));
        if (!worth) options.target = NULL, options.place_count = 1;
        norn_status status =
            lower_program(attrs.at[i].graph, &options, l->arena, l->whole, true, &body);
        if (status != NORN_OK)
            norn_note("body '%s' of node '%s'", attrs.at[i].name, step->node->name);
        NORN_TRY(status);
        bodies[step->body_count++] = body;
    }
    return NORN_OK;
}

/// Copies of the inputs of a Concat that are not written in place.
static norn_status lower_placed(lowering *l, norn_node *node) {
    const norn_place place = note_of(node)->place;
    norn_value *out = node->out[0];
    int32_t rank = out->shape.rank;
    int64_t axis = norn_attr_i64(node->attrs, "axis", 0), column = 0;
    if (axis < 0) axis += rank;
    uint32_t whole;
    NORN_TRY(slot_for(l, out, place, node, &whole));
    norn_slot into = l->program->slots[whole];
    for (uint32_t i = 0; i < node->in_count; i++) {
        norn_value *v = norn_node_in(node, i);
        int64_t part = 1, width = 1;
        for (int32_t d = (int32_t)axis; d < rank; d++) {
            part *= v->shape.dims[d].constant;
            width *= out->shape.dims[d].constant;
        }
        norn_value *source = norn_placement_source(v);
        if (!l->place.values[source->id].into) {
            uint32_t from, to, *ends;
            NORN_TRY(slot_for(l, v, place, node, &from));
            NORN_TRY(add_alias(l, v, whole, &to));
            norn_slot *slot = &l->program->slots[to];
            slot->column = into.column + column;
            slot->row_stride = into.row_stride ? into.row_stride : width;
            // As rows of `part` elements, whatever the axis.
            slot->shape.rank = 2;
            NORN_TRY(norn_shape_product(&l->graph->symbols, &v->shape, 0, (int32_t)axis,
                                        &slot->shape.dims[0]));
            slot->shape.dims[1] = norn_dim_const(part);
            NORN_TRY(NORN_TAKE_ARRAY(l->arena, 2, &ends));
            ends[0] = from, ends[1] = to;
            NORN_TRY(add_step(l, (norn_step){.kind = NORN_STEP_PLACE,
                                             .node = node,
                                             .node_index = note_of(node)->index,
                                             .in = ends,
                                             .out = ends + 1,
                                             .in_count = 1,
                                             .out_count = 1}));
        }
        column += part;
    }
    return NORN_OK;
}

static norn_status lower_node(lowering *l, norn_node *node) {
    norn_node_place *place = note_of(node);
    uint32_t *slots;
    if (place->is_view) return NORN_OK;
    if (place->is_placed) return lower_placed(l, node);
    norn_step step = {.kind = NORN_STEP_KERNEL,
                      .place = place->place,
                      .node = node,
                      .node_index = place->index,
                      .kernel = place->kernel,
                      .check = place->check,
                      .fit = place->fit,
                      .state = l->whole->states++,
                      .in_count = node->in_count,
                      .out_count = node->out_count};
    NORN_TRY(NORN_TAKE_ARRAY(l->arena, (size_t)node->in_count + node->out_count + 1, &slots));
    step.in = slots, step.out = slots + node->in_count;
    for (uint32_t i = 0; i < node->in_count; i++) {
        slots[i] = NORN_NO_SLOT;
        if (node->in[i].value)
            NORN_TRY(slot_for(l, node->in[i].value, place->place, node, &slots[i]));
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        uint32_t *slot = &slots[node->in_count + i];
        *slot = NORN_NO_SLOT;
        if (node->out[i]) NORN_TRY(slot_for(l, node->out[i], place->place, node, slot));
    }
    NORN_TRY(lower_bodies(l, &step));
    return add_step(l, step);
}

/// Outputs of a device are read with one copy, so each needs memory of its own there.
static norn_status lower_output(lowering *l, uint32_t index) {
    norn_value *value = l->graph->outputs[index].value, *source = norn_placement_source(value);
    uint32_t slot;
    const norn_place place = !l->is_body && !source->data && source->producer
                                 ? note_of(source->producer)->place
                                 : NORN_HOST;
    NORN_TRY(slot_for(l, value, place, NULL, &slot));
    if (place && l->program->slots[slot].kind != NORN_SLOT_PLANNED) {
        uint32_t own;
        NORN_TRY(add_slot(l, value, NORN_SLOT_PLANNED, place, &own));
        NORN_TRY(add_copy(l, NULL, slot, own));
        slot = own;
    }
    l->program->outputs[index] = slot;
    return NORN_OK;
}

// ---- what follows from the steps

/// Shape not known before the run: operands of this kind make a step dynamic.
static bool is_dynamic(const lowering *l, uint32_t slot) {
    const norn_slot *s = &l->program->slots[slot];
    if (s->kind == NORN_SLOT_POOLED) return true;
    return s->kind == NORN_SLOT_INPUT && !l->place.values[s->value->id].planned;
}

static void note_lifetimes(lowering *l) {
    norn_program *program = l->program;
    for (uint32_t i = 0; i < program->step_count; i++) {
        norn_step *step = &program->steps[i];
        for (uint32_t k = 0; k < step->in_count; k++) {
            if (step->in[k] == NORN_NO_SLOT) continue;
            norn_slot *root = &program->slots[program->slots[step->in[k]].root];
            root->last = i;
            step->dynamic |= is_dynamic(l, step->in[k]);
        }
        for (uint32_t k = 0; k < step->out_count; k++) {
            if (step->out[k] == NORN_NO_SLOT) continue;
            norn_slot *root = &program->slots[program->slots[step->out[k]].root];
            if (root->first == UINT32_MAX) root->first = i;
            if (root->last < i) root->last = i;
            step->infer |= root->kind == NORN_SLOT_POOLED;
        }
        step->dynamic |= step->infer;
        program->has_pooled |= step->dynamic;
        program->host_steps += step->kind == NORN_STEP_KERNEL && step->place == NORN_HOST;
    }
    for (uint32_t i = 0; i < l->graph->output_count; i++) {
        norn_slot *root = &program->slots[program->slots[program->outputs[i]].root];
        root->is_output = true;
        root->last = program->step_count;
        if (root->kind == NORN_SLOT_POOLED) program->has_pooled = true;
    }
}

/// Where each constant is in the one block that a resident uploads to each device; bodies' lie there
/// too.
static norn_status place_weights(norn_program *program, lowered *whole) {
    size_t bytes;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        norn_slot *slot = &program->slots[i];
        if (slot->kind != NORN_SLOT_CONST || slot->place == NORN_HOST) continue;
        size_t *end = &whole->weight_bytes[slot->place];
        NORN_TRY(norn_view_bytes(slot->value->data, &bytes));
        slot->weight_offset = *end;
        if (!norn_size_add(*end, norn_align_up(bytes, NORN_DEVICE_ALIGN), end))
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "the weights do not fit in memory");
    }
    return NORN_OK;
}

static norn_status lower_graph(lowering *l) {
    norn_program *program = l->program;
    norn_graph *graph = l->graph;
    const size_t places = program->place_count;
    NORN_TRY(NORN_TAKE_ARRAY(l->arena, (size_t)graph->value_count * places + 1, &l->map));
    for (size_t i = 0; i < graph->value_count * places; i++) l->map[i] = NORN_NO_SLOT;
    for (size_t p = 0; p < places; p++) {
        NORN_TRY(NORN_TAKE_ARRAY(l->arena, (size_t)graph->input_count + 1, &program->inputs[p]));
        for (uint32_t i = 0; i < graph->input_count; i++) program->inputs[p][i] = NORN_NO_SLOT;
    }
    NORN_TRY(NORN_TAKE_ARRAY(l->arena, (size_t)graph->output_count + 1, &program->outputs));
    for (uint32_t i = 0; i < graph->input_count; i++) {
        uint32_t slot;
        NORN_TRY(slot_for(l, graph->inputs[i], NORN_HOST, NULL, &slot));
    }
    for (norn_node *node = graph->nodes; node; node = node->next) NORN_TRY(lower_node(l, node));
    for (uint32_t i = 0; i < graph->output_count; i++) NORN_TRY(lower_output(l, i));
    note_lifetimes(l);
    return place_weights(program, l->whole);
}

static norn_status lower_program(norn_graph *graph, const norn_lower_options *options,
                                 norn_arena *arena, lowered *whole, bool is_body,
                                 norn_program **out) {
    lowering l = {
        .arena = arena, .graph = graph, .options = options, .whole = whole, .is_body = is_body};
    *out = NULL;
    NORN_TRY(NORN_TAKE(arena, &l.program));
    l.program->graph = graph;
    l.program->host = options->host;
    l.program->target = options->target;
    l.program->place_count = options->place_count;
    NORN_TRY(norn_placement_make(graph, options, arena, &l.place));
    NORN_TRY(lower_graph(&l));
    NORN_TRY(norn_step_order_make(l.program, arena, &l.program->order));
    *out = l.program;
    return NORN_OK;
}

norn_status norn_program_lower(norn_graph *graph, const norn_lower_options *options,
                               norn_arena *arena, norn_program **out) {
    lowered whole = {0};
    NORN_TRY(lower_program(graph, options, arena, &whole, false, out));
    (*out)->state_count = whole.states;
    memcpy((*out)->weight_bytes, whole.weight_bytes, sizeof whole.weight_bytes);
    return NORN_OK;
}
