#include "plan/placement.h"
#include "ops/op.h"
#include "tensor/dtype.h"

#include <string.h>

typedef struct placer {
    norn_graph *graph;
    const norn_lower_options *options;
    norn_arena *arena;
    norn_placement *place;
    int64_t *symbols_max;
} placer;

static norn_node_place *note_of(const norn_node *node) {
    return node->note;
}

// ---- shapes that follow from the inputs

static norn_status find_runtime_symbols(placer *p) {
    const norn_symbols *symbols = &p->graph->symbols;
    uint8_t *runtime;
    NORN_TRY(NORN_TAKE_ARRAY(p->arena, (size_t)symbols->count + 1, &runtime));
    for (int32_t i = 0; i < symbols->count; i++) {
        const norn_symbol *symbol = &symbols->at[i];
        if (symbol->kind == NORN_SYMBOL_RUNTIME) runtime[i] = 1;
        if (symbol->kind != NORN_SYMBOL_DERIVED) continue;
        if (symbol->a.symbol >= 0 && runtime[symbol->a.symbol]) runtime[i] = 1;
        if (symbol->b.symbol >= 0 && runtime[symbol->b.symbol]) runtime[i] = 1;
    }
    p->place->symbol_runtime = runtime;
    return NORN_OK;
}

static bool shape_is_planned(const placer *p, const norn_shape *shape) {
    if (shape->rank < 0) return false;
    for (int32_t d = 0; d < shape->rank; d++)
        if (shape->dims[d].symbol >= 0 && p->place->symbol_runtime[shape->dims[d].symbol])
            return false;
    return true;
}

static norn_value_place *place_of(const placer *p, const norn_value *value) {
    return &p->place->values[value->id];
}

static void note_value(placer *p, const norn_value *value) {
    norn_value_place *v = place_of(p, value);
    v->planned = value->data || shape_is_planned(p, &value->shape);
}

static norn_status note_values(placer *p) {
    NORN_TRY(NORN_TAKE_ARRAY(p->arena, (size_t)p->graph->value_count + 1, &p->place->values));
    for (uint32_t i = 0; i < p->graph->value_count; i++) p->place->values[i].input = -1;
    for (const norn_node *node = p->graph->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->in_count; i++)
            if (node->in[i].value) note_value(p, node->in[i].value);
        for (uint32_t i = 0; i < node->out_count; i++)
            if (node->out[i]) note_value(p, node->out[i]);
    }
    for (uint32_t i = 0; i < p->graph->output_count; i++) note_value(p, p->graph->outputs[i].value);
    for (uint32_t i = 0; i < p->graph->input_count; i++) {
        note_value(p, p->graph->inputs[i]);
        place_of(p, p->graph->inputs[i])->input = (int32_t)i;
    }
    return NORN_OK;
}

// ---- views

static bool renames_bytes(const norn_node *node) {
    switch (node->op->id) {
    case NORN_OP_Identity:
    case NORN_OP_Reshape:
    case NORN_OP_Flatten:
    case NORN_OP_Squeeze:
    case NORN_OP_Unsqueeze:
        return true;
    default:
        return false;
    }
}

static bool is_view(const placer *p, const norn_node *node) {
    if (!renames_bytes(node) || node->out_count < 1 || !node->out[0]) return false;
    const norn_value *in = norn_node_in(node, 0);
    return in && in->dtype == node->out[0]->dtype && place_of(p, in)->planned &&
           place_of(p, node->out[0])->planned;
}

norn_value *norn_placement_source(norn_value *value) {
    while (!value->data && value->producer && note_of(value->producer)->is_view)
        value = norn_node_in(value->producer, 0);
    return value;
}

// ---- shapes that are somebody's word

/// Regions whose size is their output's: kernels check each operand against it.
static bool sized_by_output(const norn_node *node) {
    return norn_node_is(node, NORN_OP_Pointwise) || norn_node_is(node, NORN_OP_RowReduce);
}

static bool inputs_planned(const placer *p, const norn_node *node) {
    for (uint32_t i = 0; i < node->in_count; i++)
        if (node->in[i].value && !place_of(p, node->in[i].value)->planned) return false;
    return true;
}

static bool outputs_planned(const placer *p, const norn_node *node) {
    for (uint32_t i = 0; i < node->out_count; i++)
        if (node->out[i] && !place_of(p, node->out[i])->planned) return false;
    return true;
}

/// A model declares shapes and a plan file stores them; where inference does not say the same,
/// kernels must not rely on them before a run has looked.
static norn_status find_declared(placer *p, norn_node *node) {
    norn_shape_io *io;
    size_t count = (size_t)node->in_count + node->out_count;
    NORN_TRY(NORN_TAKE_ARRAY(p->arena, count + 1, &io));
    norn_shape_ctx ctx = {.attrs = node->attrs,
                          .region = node->region,
                          .symbols = &p->graph->symbols,
                          .arena = p->arena,
                          .in = io,
                          .in_count = node->in_count,
                          .out = io + node->in_count,
                          .out_count = node->out_count,
                          .unproved = &note_of(node)->fit};
    for (size_t i = 0; i < count; i++) io[i].shape = norn_shape_unknown();
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *value = node->in[i].value;
        if (value)
            io[i] = (norn_shape_io){.dtype = value->dtype,
                                    .shape = value->shape,
                                    .data = value->data,
                                    .contents = value->contents,
                                    .contents_count = value->contents_count};
    }
    int32_t symbols = p->graph->symbols.count;
    norn_status status = norn_node_shapes(node, &ctx);
    p->graph->symbols.count = symbols; // what it made up is of no use to anybody else
    NORN_TRY(status);
    for (uint32_t i = 0; i < node->out_count && !sized_by_output(node); i++) {
        const norn_value *value = node->out[i];
        if (!value) continue;
        if (ctx.out[i].dtype != NORN_DTYPE_NONE && ctx.out[i].dtype != value->dtype)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "node '%s': output %u is %s, but its operator makes %s", node->name, i,
                             norn_dtype_name(value->dtype), norn_dtype_name(ctx.out[i].dtype));
        if (place_of(p, value)->planned && !norn_shape_equal(&ctx.out[i].shape, &value->shape))
            note_of(node)->check = true;
    }
    if (!note_of(node)->fit) return NORN_OK;
    note_of(node)->fit = outputs_planned(p, node); // else the step's shape function runs first
    if (note_of(node)->fit && !inputs_planned(p, node)) {
        note_of(node)->fit = false; // their sizes come with the step
        note_of(node)->check = true;
    }
    return NORN_OK;
}

// ---- devices

static norn_status place_node(placer *p, norn_node *node) {
    norn_node_place *place = note_of(node);
    norn_view *views;
    if (is_view(p, node)) {
        place->is_view = true;
        return NORN_OK;
    }
    NORN_TRY(find_declared(p, node));
    NORN_TRY(NORN_TAKE_ARRAY(p->arena, (size_t)node->in_count + node->out_count + 1, &views));
    const norn_target *host = p->options->host, *target = p->options->target;
    norn_step_spec spec = norn_node_spec(node, p->symbols_max, views);
    if (target && node->place >= p->options->place_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' is to be on device %u of %u", node->name,
                         (unsigned)node->place, p->options->place_count - 1);
    // Bodies and values of unknown size need the host between steps.
    if (target && !(node->op->flags & NORN_OP_SUBGRAPH) && !place->check &&
        inputs_planned(p, node) && outputs_planned(p, node))
        place->kernel = norn_target_kernel(target, &spec);
    if (place->kernel) {
        place->place = node->place ? node->place : 1;
        return NORN_OK;
    }
    if (target && p->place->fallback_count++ == 0) p->place->fallback_op = node->op->name;
    place->kernel = norn_target_kernel(host, &spec);
    if (!place->kernel)
        return norn_fail(NORN_UNIMPLEMENTED,
                         "node '%s': operator %s%s%s has no kernel for these types on %s%s%s%s",
                         node->name, node->op->domain, *node->op->domain ? "." : "", node->op->name,
                         target ? target->ops->kind : "", target ? " or " : "", host->ops->kind,
                         strcmp(node->op->domain, "ai.norn") == 0
                             ? "; tables are looked up in the main graph, not in bodies: "
                               "norn.export.from_torch writes such models"
                             : "");
    return NORN_OK;
}

// ---- Concat as an address

static int64_t const_product(const norn_shape *shape, int32_t begin, int32_t end) {
    int64_t product = 1;
    for (int32_t d = begin; d < end; d++) {
        if (!norn_dim_is_const(shape->dims[d]) ||
            __builtin_mul_overflow(product, shape->dims[d].constant, &product))
            return -1;
    }
    return product;
}

/// The value to write in place for input `v` of a Concat: `v`, or what `v` only renames.
static norn_value *placeable(const placer *p, norn_value *v, const norn_node *concat,
                             int64_t width) {
    while (v && v->readers == 1 && v->producer && note_of(v->producer)->is_view)
        v = norn_node_in(v->producer, 0);
    if (!v || v->data || v->readers != 1 || !v->producer || !place_of(p, v)->planned) return NULL;
    if (!(v->producer->op->flags & NORN_OP_STRIDED) || place_of(p, v)->into) return NULL;
    if (note_of(v->producer)->place != note_of(concat)->place) return NULL;
    if (v->shape.rank < 1) return NULL;
    norn_dim inner = v->shape.dims[v->shape.rank - 1];
    return norn_dim_is_const(inner) && inner.constant == width ? v : NULL;
}

/// A Concat's own output may already lie in another one's: then rows must agree with its width.
static bool outer_place(const placer *p, const norn_node *concat, int64_t width,
                        norn_value_place *outer) {
    norn_value *out = concat->out[0];
    *outer = *place_of(p, out);
    if (!outer->into) {
        outer->into = out;
        outer->row_stride = width;
        return true;
    }
    norn_dim inner = out->shape.dims[out->shape.rank - 1];
    return norn_dim_is_const(inner) && inner.constant == width;
}

/// Is a part as many rows as the whole, whatever the run? If not, the kernel joins them and looks.
static bool same_rows(const norn_value *part, const norn_value *whole, int32_t axis) {
    if (part->shape.rank != whole->shape.rank) return false;
    for (int32_t d = 0; d < part->shape.rank; d++)
        if (d != axis && !norn_dim_equal(part->shape.dims[d], whole->shape.dims[d])) return false;
    return true;
}

static void place_concat(placer *p, norn_node *concat) {
    norn_value *out = concat->out_count ? concat->out[0] : NULL;
    if (!out || !place_of(p, out)->planned || out->shape.rank < 1) return;
    int64_t axis = norn_attr_i64(concat->attrs, "axis", 0);
    int32_t rank = out->shape.rank;
    if (axis < 0) axis += rank;
    if (axis < 1 || axis >= rank) return;
    int64_t width = const_product(&out->shape, (int32_t)axis, rank);
    norn_value_place outer;
    if (width <= 0 || !outer_place(p, concat, width, &outer)) return;
    uint32_t can = 0;
    for (uint32_t i = 0; i < concat->in_count; i++) {
        norn_value *v = norn_node_in(concat, i);
        if (!v || !place_of(p, v)->planned || !same_rows(v, out, (int32_t)axis)) return;
        int64_t part = const_product(&v->shape, (int32_t)axis, rank);
        if (part <= 0) return;
        if (placeable(p, v, concat, part)) can++;
    }
    // A device has no strided copy for the rest, so there it is all or nothing.
    if (can == 0 || (note_of(concat)->place && can != concat->in_count)) return;
    int64_t column = outer.column;
    for (uint32_t i = 0; i < concat->in_count; i++) {
        norn_value *v = norn_node_in(concat, i);
        int64_t part = const_product(&v->shape, (int32_t)axis, rank);
        norn_value *written = placeable(p, v, concat, part);
        if (written) {
            norn_value_place *place = place_of(p, written);
            place->into = outer.into;
            place->column = column;
            place->row_stride = outer.row_stride;
        }
        column += part;
    }
    note_of(concat)->is_placed = true;
}

norn_status norn_placement_make(norn_graph *graph, const norn_lower_options *options,
                                norn_arena *arena, norn_placement *out) {
    placer p = {graph, options, arena, out, NULL};
    uint32_t count = 0;
    *out = (norn_placement){0};
    NORN_TRY(find_runtime_symbols(&p));
    NORN_TRY(note_values(&p));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)graph->symbols.count + 1, &p.symbols_max));
    norn_symbols_at_max(graph, p.symbols_max);
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)graph->node_count + 1, &out->nodes));
    for (norn_node *node = graph->nodes; node; node = node->next, count++) {
        out->nodes[count].index = count;
        node->note = &out->nodes[count];
    }
    for (norn_node *node = graph->nodes; node; node = node->next) NORN_TRY(place_node(&p, node));
    // Last first: an inner Concat learns where the outer one puts it.
    for (norn_node *node = graph->last; node; node = node->prev)
        if (norn_node_is(node, NORN_OP_Concat)) place_concat(&p, node);
    return NORN_OK;
}
