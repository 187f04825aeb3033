/// Products of F32 by a constant matrix become products of halves,
///     GemmRegion(A, B, C…) -> GemmRegion(A half, B half, C…)
/// and what they multiply is written as halves in the first place, by whatever makes it: a product,
/// pointwise work, a reduction, a lookup, an interaction, and through a Concat, a Reshape or a product
/// of two activations what these are made of. That is so where all that reads a value can read
/// halves; elsewhere A is cast. An interaction whose result is multiplied takes halves too. Constant columns that are added to a half
/// result are halves, as a product on a GPU adds them by itself.
///
/// Thin products (fewer than 16 columns or terms) are no faster in halves and multiply as they did, though those
/// of few terms write halves where they are asked to; products of two activations that nothing asks for
/// halves stay: they are multiplied in tf32.
#include "passes/make_halves.h"

#include "passes/rewrite.h"

enum { THIN = 16 };

/// What is known of a value, in its note.
typedef enum mark {
    UNKNOWN,
    WIDE,   ///< stays F32
    NARROW, ///< may be written as a half: all that reads it can
    HALF    ///< is
} mark;

typedef struct halves {
    norn_graph *graph;
    norn_dtype half;
    norn_remade *done; ///< casts and constants, by type
} halves;

static mark mark_of(const norn_value *value) {
    return (mark)(uintptr_t)value->note;
}
static void set_mark(norn_value *value, mark is) {
    value->note = (void *)(uintptr_t)is;
}

// ---- which

/// The products that become such have a note.
static bool is_half_product(const norn_node *node) {
    return norn_node_is(node, NORN_OP_GemmRegion) && node->note;
}

static bool may_become_half(const norn_node *node) {
    if (node->dead || !norn_node_is(node, NORN_OP_GemmRegion)) return false;
    const norn_value *b = norn_node_in(node, 1);
    return b->data && b->dtype == NORN_F32 && node->region->gemm.k >= THIN;
}

static bool pays(const norn_node *node) {
    return may_become_half(node) && node->region->gemm.n >= THIN;
}

/// A thin product goes along with one that pays and reads the same: a gate beside its experts.
static bool becomes_half(const norn_node *node) {
    if (!may_become_half(node) || pays(node)) return may_become_half(node);
    for (const norn_use *use = norn_node_in(node, 0)->uses; use; use = use->next)
        if (use->node && use->index == 0 && pays(use->node)) return true;
    return false;
}

/// Rounded by its epilogue as it writes: a short sum of floats, a model's dense features.
static bool narrows(const norn_node *node) {
    return norn_node_is(node, NORN_OP_GemmRegion) && !node->note && norn_node_in(node, 1)->data &&
           norn_node_in(node, 1)->dtype == NORN_F32 && node->region->gemm.k < THIN &&
           node->region->gemm.epilogue.instr_count > 0;
}

/// Its operands and its result are of one type.
static bool is_of_one_type(const norn_node *node) {
    return norn_node_is(node, NORN_OP_Concat) || norn_node_is_static_reshape(node) ||
           norn_node_is(node, NORN_OP_MatMul);
}

static bool writes_halves(const norn_node *node) {
    return node &&
           (is_half_product(node) || narrows(node) || is_of_one_type(node) ||
            norn_node_is(node, NORN_OP_Pointwise) || norn_node_is(node, NORN_OP_RowReduce) ||
            norn_node_is(node, NORN_OP_Lookup) || norn_node_is(node, NORN_OP_Interaction));
}

/// Whether the loads of `input` have a known way to repeat.
static bool loads_halves(const norn_scalar_program *program, uint32_t input) {
    for (uint32_t i = 0; i < program->load_count; i++)
        if (program->loads[i].input == input && program->loads[i].dynamic) return false;
    return true;
}

static bool can_be_half(norn_value *value);

static bool reads_halves(const norn_use *use) {
    norn_node *node = use->node;
    if (!node) return false; // a result of the model
    if (norn_node_is(node, NORN_OP_GemmRegion))
        return use->index >= 2 || (use->index == 0 && is_half_product(node));
    if (norn_node_is(node, NORN_OP_Pointwise))
        return loads_halves(&node->region->pointwise.program, use->index);
    if (norn_node_is(node, NORN_OP_RowReduce))
        return loads_halves(&node->region->row_reduce.prologue, use->index) &&
               loads_halves(&node->region->row_reduce.epilogue, use->index);
    if (is_of_one_type(node)) return can_be_half(node->out[0]);
    return norn_node_is(node, NORN_OP_Interaction); // whatever it writes
}

/// By what makes the value and what reads it; ends, for it follows the readers alone.
static bool can_be_half(norn_value *value) {
    if (mark_of(value) == UNKNOWN) {
        bool can = value->dtype == NORN_F32 && !value->data && value->uses &&
                   writes_halves(value->producer);
        for (const norn_use *use = value->uses; use && can; use = use->next)
            can = reads_halves(use);
        set_mark(value, can ? NARROW : WIDE);
    }
    return mark_of(value) != WIDE;
}

// ---- making

static norn_status convert_constant(halves *h, norn_value *value, norn_value **to) {
    return norn_rewrite_convert(h->graph, &h->done, value, h->half, to);
}

/// Right after what makes it: whoever reads the cast comes later.
static norn_status cast(halves *h, norn_value *value, norn_value **to) {
    norn_node *before = value->producer ? value->producer->next : h->graph->nodes;
    norn_scalar_builder builder = {.arena = &h->graph->arena};
    const norn_scalar_load load = {.input = 0, .dtype = value->dtype};
    norn_region *region;
    norn_node *made;
    uint16_t reg;
    if (value->data) return convert_constant(h, value, to);
    *to = norn_remade_find(h->done, value, h->half);
    if (*to) return NORN_OK;
    NORN_TRY(NORN_TAKE(&h->graph->arena, &region));
    NORN_TRY(norn_scalar_load_of(&builder, &load, &reg));
    NORN_TRY(norn_scalar_finish(&builder, &reg, 1, &region->pointwise.program));
    NORN_TRY(norn_rewrite_node(h->graph, before, NORN_OP_Pointwise, &value, 1,
                               (norn_attrs){NULL, 0}, h->half, &value->shape, before, &made));
    made->region = region;
    *to = made->out[0];
    set_mark(*to, HALF);
    return norn_remade_keep(h->graph, &h->done, value, h->half, *to);
}

/// What the region says of the type of its output, where it says it.
static norn_status say_type(const halves *h, norn_node *node, const norn_value *out) {
    norn_lookup_column *columns;
    norn_region *region;
    if (!norn_node_is(node, NORN_OP_GemmRegion) && !norn_node_is(node, NORN_OP_Lookup))
        return NORN_OK;
    NORN_TRY(NORN_TAKE(&h->graph->arena, &region));
    *region = *node->region;
    node->region = region;
    if (norn_node_is(node, NORN_OP_GemmRegion)) {
        region->gemm.out = h->half;
        return NORN_OK;
    }
    NORN_TRY(NORN_TAKE_ARRAY(&h->graph->arena, region->lookup.column_count, &columns));
    for (uint32_t i = 0; i < region->lookup.column_count; i++) {
        columns[i] = region->lookup.columns[i];
        if (node->out[columns[i].output] == out) columns[i].out = h->half;
    }
    region->lookup.columns = columns;
    return NORN_OK;
}

static norn_status want_half(halves *h, norn_node *node, uint32_t input);

static norn_status want_halves(halves *h, norn_node *node) {
    for (uint32_t i = 0; i < node->in_count; i++) NORN_TRY(want_half(h, node, i));
    return NORN_OK;
}

/// What has one type for all its values, and what takes halves or none, follows, above and below.
static norn_status make_half(halves *h, norn_value *value) {
    norn_node *made_by = value->producer;
    if (mark_of(value) == HALF) return NORN_OK;
    set_mark(value, HALF);
    value->dtype = h->half;
    NORN_TRY(say_type(h, made_by, value));
    if (is_of_one_type(made_by) || norn_node_is(made_by, NORN_OP_Interaction))
        NORN_TRY(want_halves(h, made_by));
    for (const norn_use *use = value->uses, *next; use; use = next) {
        norn_node *reader = use->node;
        next = use->next;
        if (is_of_one_type(reader)) NORN_TRY(make_half(h, reader->out[0]));
        if (norn_node_is(reader, NORN_OP_Interaction)) NORN_TRY(want_halves(h, reader));
    }
    return NORN_OK;
}

/// `input` of `node` as a half: written so, or cast.
static norn_status want_half(halves *h, norn_node *node, uint32_t input) {
    norn_value *value = norn_node_in(node, input);
    if (!value || value->dtype != NORN_F32) return NORN_OK;
    if (can_be_half(value)) return make_half(h, value);
    NORN_TRY(cast(h, value, &value));
    norn_node_set_input(node, input, value);
    return NORN_OK;
}

/// The loads of a program as its operands are now.
static norn_status retype_loads(halves *h, norn_node *node, norn_scalar_program *program) {
    const bool to_half = norn_node_is(node, NORN_OP_GemmRegion) && node->out[0]->dtype == h->half;
    norn_scalar_load *loads;
    NORN_TRY(NORN_TAKE_ARRAY(&h->graph->arena, program->load_count, &loads));
    for (uint32_t i = 0; i < program->load_count; i++) {
        loads[i] = program->loads[i];
        if (loads[i].input == NORN_SCALAR_ACC) continue;
        norn_value *value = norn_node_in(node, loads[i].input), *narrow;
        if (to_half && value->data && value->dtype == NORN_F32 && loads[i].broadcast[0]) {
            NORN_TRY(convert_constant(h, value, &narrow));
            norn_node_set_input(node, loads[i].input, narrow);
        }
        loads[i].dtype = norn_node_in(node, loads[i].input)->dtype;
    }
    program->loads = loads;
    return NORN_OK;
}

/// What a region says of types, as its values are now.
static norn_status retype(halves *h, norn_node *node) {
    norn_region *region;
    NORN_TRY(NORN_TAKE(&h->graph->arena, &region));
    *region = *node->region;
    node->region = region;
    if (norn_node_is(node, NORN_OP_Pointwise))
        return retype_loads(h, node, &region->pointwise.program);
    if (norn_node_is(node, NORN_OP_GemmRegion))
        return retype_loads(h, node, &region->gemm.epilogue);
    if (norn_node_is(node, NORN_OP_Interaction)) {
        const norn_dtype out = node->out[0]->dtype;
        region->interaction.out = node->in[0].value->dtype == out ? NORN_DTYPE_NONE : out;
    }
    if (!norn_node_is(node, NORN_OP_RowReduce)) return NORN_OK;
    NORN_TRY(retype_loads(h, node, &region->row_reduce.prologue));
    return retype_loads(h, node, &region->row_reduce.epilogue);
}

static norn_status make_product(halves *h, norn_node *node) {
    norn_value *b;
    norn_region *region;
    NORN_TRY(NORN_TAKE(&h->graph->arena, &region));
    *region = *node->region;
    if (!region->gemm.out) region->gemm.out = NORN_F32; // A is a half from here on
    node->region = region;
    NORN_TRY(convert_constant(h, norn_node_in(node, 1), &b));
    norn_node_set_input(node, 1, b);
    NORN_TRY(want_half(h, node, 0));
    return can_be_half(node->out[0]) ? make_half(h, node->out[0]) : NORN_OK;
}

norn_status norn_make_halves(norn_graph *graph, norn_dtype half) {
    halves h = {.graph = graph, .half = half};
    for (norn_node *node = graph->nodes; node; node = node->next) {
        node->note = becomes_half(node) ? node : NULL;
        for (uint32_t i = 0; i < node->in_count; i++)
            if (node->in[i].value) set_mark(node->in[i].value, UNKNOWN);
        for (uint32_t i = 0; i < node->out_count; i++)
            if (node->out[i]) set_mark(node->out[i], UNKNOWN);
    }
    for (norn_node *node = graph->nodes; node; node = node->next)
        if (is_half_product(node)) NORN_TRY(make_product(&h, node));
    for (norn_node *node = graph->nodes; node; node = node->next)
        if (!node->dead && node->region) NORN_TRY(retype(&h, node));
    return NORN_OK;
}
