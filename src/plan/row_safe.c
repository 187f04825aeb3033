#include "plan/row_safe.h"

#include "base/status.h"
#include "plan/row_rules.h"

#include <stdio.h>
#include <string.h>

// ---- the rule of an operator

norn_rows_rule norn_rows_rule_of(const norn_op_info *op) {
    static const norn_rows_rule rules[NORN_OP_COUNT] = {
#define NORN_ROWS_RULE(op, rule) [NORN_OP_##op] = rule,
#define NORN_ROWS_FILL(op, rule) [NORN_OP_##op] = rule,
#include "plan/row_rules.inc"
#undef NORN_ROWS_RULE
#undef NORN_ROWS_FILL
    };
    return op->id < NORN_OP_COUNT ? rules[op->id] : NULL;
}

/// Can its result have rows though no operand has?
static bool fills(const norn_op_info *op) {
    static const bool yes[NORN_OP_COUNT] = {
#define NORN_ROWS_RULE(op, rule) [NORN_OP_##op] = false,
#define NORN_ROWS_FILL(op, rule) [NORN_OP_##op] = true,
#include "plan/row_rules.inc"
#undef NORN_ROWS_RULE
#undef NORN_ROWS_FILL
    };
    return op->id < NORN_OP_COUNT && yes[op->id];
}

// ---- symbols

/// depends[i]: symbol i follows from `symbol`, or (runtime) from data that may.
static void note_dependents(const norn_symbols *symbols, int32_t symbol, bool runtime,
                            bool *depends) {
    for (int32_t i = 0; i < symbols->count; i++) {
        const norn_symbol *s = &symbols->at[i];
        depends[i] = i == symbol || (runtime && s->kind == NORN_SYMBOL_RUNTIME);
        if (s->kind != NORN_SYMBOL_DERIVED) continue;
        depends[i] |= s->a.symbol >= 0 && depends[s->a.symbol];
        depends[i] |= s->b.symbol >= 0 && depends[s->b.symbol];
    }
}

/// The same of a dim that may have symbols made during the walk.
static bool dim_follows(const norn_rows_walk *walk, norn_dim dim, int depth) {
    if (dim.symbol < 0) return false;
    if (dim.symbol < walk->graph->symbols.count) return walk->depends[dim.symbol];
    const norn_symbol *s = &walk->symbols.at[dim.symbol];
    if (s->kind != NORN_SYMBOL_DERIVED || depth == 0) return true;
    return dim_follows(walk, s->a, depth - 1) || dim_follows(walk, s->b, depth - 1);
}

static bool value_depends(const bool *depends, const norn_value *value) {
    for (int32_t d = 0; !value->data && d < value->shape.rank; d++)
        if (value->shape.dims[d].symbol >= 0 && depends[value->shape.dims[d].symbol]) return true;
    return false;
}

// ---- inputs

/// Do only lookups read the value, and only as offsets (or, else, as
/// keys and weights of CSR columns)?
static bool only_csr(const norn_value *value, bool offsets) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        bool found = false;
        if (!norn_node_is(use->node, NORN_OP_Lookup) || !use->node->region) return false;
        const norn_lookup_region *lookup = &use->node->region->lookup;
        for (uint32_t c = 0; c < lookup->column_count; c++) {
            const norn_lookup_column *column = &lookup->columns[c];
            const bool as_offsets = column->offsets_input == use->index,
                       as_data =
                           column->keys_input == use->index || column->weights_input == use->index;
            if (offsets ? as_data : as_offsets) return false;
            if (as_data && column->form != NORN_KEYS_CSR) return false;
            found |= as_offsets || as_data;
        }
        if (!found) return false;
    }
    return true;
}

/// NULL, or what is wrong with where an input has the batch.
static const char *place_input(norn_rows_walk *walk, const norn_value *input) {
    const norn_shape *shape = &input->shape;
    norn_rows *rows = &walk->all[input->id];
    *rows = (norn_rows){.kind = NORN_ROWS_NONE};
    if (shape->rank < 0) return "has a rank that is known only while running";
    for (int32_t d = 0; d < shape->rank; d++) {
        const norn_dim dim = shape->dims[d];
        if (!norn_rows_dim_depends(walk, dim)) continue;
        if (rows->kind != NORN_ROWS_NONE) return "has the batch in two dims";
        if (dim.symbol == walk->graph->batch && dim.coef == 1 && dim.constant == 1 &&
            shape->rank == 1 && only_csr(input, true)) {
            rows->kind = NORN_ROWS_OFFSETS;
        } else if (dim.symbol == walk->graph->batch && dim.coef > 0 && dim.constant == 0) {
            *rows = (norn_rows){.kind = NORN_ROWS_EACH,
                                .axis = d,
                                .before = norn_dim_const(1),
                                .after = norn_dim_const(dim.coef)};
        } else {
            return "has a dim that is not a multiple of the batch";
        }
    }
    return NULL;
}

// ---- nodes

/// Elements of a small integer result, as far as its shape function tells them.
static void measure(norn_rows_walk *walk, const norn_value *out, uint32_t index) {
    const norn_node *node = walk->node;
    norn_rows *rows = &walk->all[out->id];
    norn_shape_io *io;
    if ((out->dtype != NORN_I64 && out->dtype != NORN_I32) || out->shape.rank < 0 ||
        out->shape.rank > 1)
        return;
    walk->status = NORN_TAKE_ARRAY(walk->arena, (size_t)node->in_count + node->out_count + 1, &io);
    if (walk->status != NORN_OK) return;
    norn_shape_ctx ctx = {.attrs = node->attrs,
                          .region = node->region,
                          .symbols = &walk->symbols,
                          .arena = walk->arena,
                          .in = io,
                          .in_count = node->in_count,
                          .out = io + node->in_count,
                          .out_count = node->out_count};
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *value = node->in[i].value;
        io[i] = (norn_shape_io){.shape = norn_shape_unknown()};
        if (!value) continue;
        const norn_rows own = norn_rows_in(walk, i);
        io[i] = (norn_shape_io){.dtype = value->dtype,
                                .shape = value->shape,
                                .data = value->data,
                                .contents = own.contents,
                                .contents_count = own.contents_count};
    }
    for (uint32_t i = 0; i < node->out_count; i++)
        ctx.out[i] = (norn_shape_io){.shape = norn_shape_unknown()};
    if (node->op->shape(&ctx) != NORN_OK || !ctx.out[index].contents) return;
    rows->contents = ctx.out[index].contents;
    rows->contents_count = ctx.out[index].contents_count;
    bool counted = false;
    for (uint32_t i = 0; i < rows->contents_count; i++)
        counted |= dim_follows(walk, rows->contents[i], 16);
    if (!counted) rows->kind = NORN_ROWS_NONE;
}

/// No operand has rows: so has no result, unless the operator fills them.
static const char *follow_free(norn_rows_walk *walk, bool sized, const bool *follows) {
    const norn_node *node = walk->node;
    for (uint32_t i = 0; i < node->out_count; i++)
        if (node->out[i] && value_depends(follows, node->out[i]))
            return fills(node->op) ? norn_rows_rule_of(node->op)(walk) : norn_rows_counted;
    for (uint32_t i = 0; i < node->out_count; i++) {
        norn_rows_put(walk, i, (norn_rows){.kind = sized ? NORN_ROWS_SIZE : NORN_ROWS_NONE});
        if (node->out[i]) measure(walk, node->out[i], i);
    }
    return NULL;
}

/// Every result with rows has them in one dim, of exactly their number.
static const char *check_results(norn_rows_walk *walk) {
    for (uint32_t i = 0; i < walk->node->out_count; i++) {
        const norn_value *out = walk->node->out[i];
        norn_dim outer, inner;
        norn_rows found;
        if (!out || walk->all[out->id].kind != NORN_ROWS_EACH) continue;
        const norn_rows rows = walk->all[out->id];
        if (out->shape.rank < 0 || rows.axis < 0 ||
            !norn_rows_extent(walk, &out->shape, rows, &outer, &inner) ||
            !norn_rows_locate(walk, &out->shape, outer, inner, &found) ||
            !norn_rows_equal(rows, found))
            return "makes a shape in which the rows cannot be told apart";
    }
    return NULL;
}

static const char *follow_node(norn_rows_walk *walk, const bool *follows) {
    const norn_node *node = walk->node;
    bool each = false, sized = false;
    if (node->out_count == 0 ||
        (norn_region_kind_of(node->op->name) != NORN_REGION_NONE && !node->region))
        return norn_rows_unknown;
    if (node->out_count == 1 && !node->out[0]) return NULL; // nobody reads it
    if (node->op->flags & NORN_OP_EFFECT) return norn_rows_draw(walk);
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_rows_kind kind = norn_rows_in(walk, i).kind;
        each |= kind == NORN_ROWS_EACH;
        sized |= kind == NORN_ROWS_SIZE || kind == NORN_ROWS_OFFSETS;
    }
    if (!each) return follow_free(walk, sized, follows);
    const norn_rows_rule rule = norn_rows_rule_of(node->op);
    const char *why;
    if (rule) {
        why = rule(walk);
    } else if (node->op->flags & NORN_OP_POINTWISE) {
        norn_rows rows;
        const norn_value *out = node->out_count ? node->out[0] : NULL;
        if (!out || out->shape.rank < 0) return norn_rows_unknown;
        why = norn_rows_broadcast(walk, 0, node->in_count, out->shape.rank, &rows);
        if (!why) norn_rows_put_all(walk, rows);
    } else {
        why = norn_rows_unknown;
    }
    for (uint32_t i = 0; i < node->out_count && !why; i++)
        if (node->out[i] && walk->all[node->out[i]->id].kind == NORN_ROWS_SIZE)
            measure(walk, node->out[i], i);
    return why ? why : check_results(walk);
}

// ---- saying it

/// "node 'a'" or "nodes 'a', 'b'": the ONNX nodes that `node` came from.
static norn_status say_node(norn_arena *arena, const norn_node *node, const char *what,
                            const char **out) {
    enum { NAMES_MAX = 4 };
    char names[512] = "";
    const uint32_t count = node->origin.count;
    int used = 0;
    for (uint32_t i = 0; i < count && i < NAMES_MAX && used >= 0 && used < (int)sizeof names; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s'%.80s'", i ? ", " : "",
                         node->origin.names[i]);
    if (count == 0) (void)snprintf(names, sizeof names, "'%.80s'", node->name);
    return norn_arena_format(arena, out, "node%s %s%s (%s) %s", count > 1 ? "s" : "", names,
                             count > NAMES_MAX ? ", …" : "", node->op->name, what);
}

static norn_status forbid(norn_arena *arena, norn_row_verdict *verdict, const char *kind,
                          const char *name, const char *what) {
    if (verdict->why) return NORN_OK;
    verdict->allowed = false;
    return norn_arena_format(arena, &verdict->why, "%s '%.80s' %s", kind, name, what);
}

static norn_status judge_inputs(const norn_rows_walk *walk, norn_arena *arena,
                                norn_row_safety *out) {
    for (uint32_t i = 0; i < walk->graph->input_count; i++) {
        const norn_value *input = walk->graph->inputs[i];
        const norn_rows rows = walk->all[input->id];
        norn_row_verdict *all[] = {&out->join, &out->split, &out->pad};
        if (rows.kind == NORN_ROWS_NONE && !input->fallback) // else: who overrides it runs alone
            NORN_TRY(forbid(arena, &out->join, "input", input->name,
                            "has no rows: each request brings its own"));
        for (int v = 0; v < 3; v++) {
            if (rows.kind == NORN_ROWS_EACH && rows.axis != 0)
                NORN_TRY(forbid(arena, all[v], "input", input->name,
                                "has its rows in another dim than the first"));
            if (v == 2 || rows.kind == NORN_ROWS_NONE) continue;
            if (rows.kind == NORN_ROWS_OFFSETS)
                NORN_TRY(forbid(arena, all[v], "input", input->name,
                                "holds offsets of ragged rows, which are not cut yet"));
            else if (!norn_rows_dim_is(rows.after, 1))
                NORN_TRY(forbid(arena, all[v], "input", input->name,
                                "has several entries a row of the batch"));
        }
        out->pads[i] = rows.kind == NORN_ROWS_OFFSETS ? NORN_PAD_LAST_ELEM
                       : rows.kind == NORN_ROWS_EACH  ? NORN_PAD_LAST_ROW
                                                      : NORN_PAD_NONE;
    }
    return NORN_OK;
}

static norn_status judge_outputs(norn_rows_walk *walk, norn_arena *arena, norn_row_safety *out) {
    static const char elsewhere[] = "does not have its rows in the first dim";
    for (uint32_t i = 0; i < walk->graph->output_count; i++) {
        const norn_value *value = walk->graph->outputs[i].value;
        const char *name = walk->graph->output_names[i];
        const norn_rows rows =
            value->data ? (norn_rows){.kind = NORN_ROWS_NONE} : walk->all[value->id];
        norn_row_verdict *all[] = {&out->join, &out->split, &out->pad};
        norn_dim outer, inner;
        for (int v = 0; v < 3; v++)
            if (rows.kind == NORN_ROWS_SIZE || rows.kind == NORN_ROWS_OFFSETS)
                NORN_TRY(forbid(arena, all[v], "output", name, "follows from the number of rows"));
        if (rows.kind != NORN_ROWS_EACH) continue;
        const bool first = rows.axis == 0 && norn_rows_dim_is(rows.before, 1) &&
                           norn_dim_is_const(rows.after) && rows.after.constant > 0;
        if (first) out->output_rows[i] = rows.after.constant;
        for (int v = 0; v < 2 && !first; v++)
            NORN_TRY(forbid(arena, all[v], "output", name, elsewhere));
        if (!norn_rows_extent(walk, &value->shape, rows, &outer, &inner) ||
            !norn_rows_dim_is(outer, 1))
            NORN_TRY(forbid(arena, &out->pad, "output", name, elsewhere));
    }
    return NORN_OK;
}

// ---- the walk

/// *why: what forbids all three; NULL when every value has been followed.
static norn_status follow(norn_rows_walk *walk, norn_arena *arena, const bool *follows,
                          const char **why) {
    const norn_graph *graph = walk->graph;
    *why = NULL;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const char *what = place_input(walk, graph->inputs[i]);
        if (what)
            return norn_arena_format(arena, why, "input '%.80s' %s", graph->inputs[i]->name, what);
    }
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        walk->node = node;
        const char *what = follow_node(walk, follows);
        NORN_TRY(walk->status);
        if (what) return say_node(arena, node, what, why);
    }
    return NORN_OK;
}

/// The graph's symbols with room above them.
static norn_status copy_symbols(const norn_graph *graph, norn_arena *arena, norn_symbols *out) {
    *out = (norn_symbols){.arena = arena, .count = graph->symbols.count};
    out->capacity = (size_t)graph->symbols.count + 64;
    NORN_TRY(NORN_TAKE_ARRAY(arena, out->capacity, &out->at));
    if (out->count) memcpy(out->at, graph->symbols.at, (size_t)out->count * sizeof *out->at);
    return NORN_OK;
}

static norn_status find_batch(const norn_graph *graph, norn_arena *arena, norn_arena *scratch,
                              norn_row_safety *out) {
    norn_rows_walk walk = {.graph = graph, .arena = scratch};
    const size_t symbols = (size_t)graph->symbols.count + 1;
    bool *follows;
    const char *why = "no input has a batch whose size is open";
    if (graph->batch >= 0 && graph->batch < graph->symbols.count) {
        NORN_TRY(NORN_TAKE_ARRAY(scratch, symbols, &walk.depends));
        NORN_TRY(NORN_TAKE_ARRAY(scratch, symbols, &follows));
        NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)graph->value_count + 1, &walk.all));
        NORN_TRY(copy_symbols(graph, scratch, &walk.symbols));
        note_dependents(&graph->symbols, graph->batch, true, walk.depends);
        note_dependents(&graph->symbols, graph->batch, false, follows);
        NORN_TRY(follow(&walk, arena, follows, &why));
    }
    out->join = out->split = out->pad = (norn_row_verdict){why == NULL, why};
    if (why) return NORN_OK;
    NORN_TRY(judge_inputs(&walk, arena, out));
    NORN_TRY(judge_outputs(&walk, arena, out));
    out->symbol[graph->batch] = out->pad.allowed;
    return NORN_OK;
}

// ---- lengths of CSR values

/// Only keys and weights of CSR columns have this dim: what lies
/// beyond the last offset is not read.
static bool is_csr_length(const norn_graph *graph, const bool *depends, norn_pad *pads) {
    for (const norn_node *node = graph->nodes; node; node = node->next)
        for (uint32_t i = 0; i < node->out_count; i++)
            if (node->out[i] && value_depends(depends, node->out[i])) return false;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const norn_value *input = graph->inputs[i];
        if (!value_depends(depends, input)) continue;
        if (input->shape.rank != 1 || input->shape.dims[0].constant != 0 ||
            input->shape.dims[0].coef < 1 || !only_csr(input, false))
            return false;
        pads[i] = NORN_PAD_LAST_ROW;
    }
    return true;
}

static norn_status find_lengths(const norn_graph *graph, norn_arena *scratch,
                                norn_row_safety *out) {
    bool *depends;
    norn_pad *pads;
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)graph->symbols.count + 1, &depends));
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)graph->input_count + 1, &pads));
    for (int32_t s = 0; s < graph->symbols.count; s++) {
        if (graph->symbols.at[s].kind != NORN_SYMBOL_INPUT || s == graph->batch) continue;
        note_dependents(&graph->symbols, s, false, depends);
        for (uint32_t i = 0; i < graph->input_count; i++) pads[i] = out->pads[i];
        if (!is_csr_length(graph, depends, pads)) continue;
        out->symbol[s] = true;
        for (uint32_t i = 0; i < graph->input_count; i++) out->pads[i] = pads[i];
    }
    return NORN_OK;
}

norn_status norn_row_safety_find(const norn_graph *graph, norn_arena *arena, norn_row_safety *out) {
    norn_arena scratch;
    norn_status status;
    *out = (norn_row_safety){.symbol = NULL};
    norn_arena_init(&scratch, graph->alloc, 1 << 14);
    NORN_TRY_DONE(NORN_TAKE_ARRAY(arena, (size_t)graph->symbols.count + 1, &out->symbol));
    NORN_TRY_DONE(NORN_TAKE_ARRAY(arena, (size_t)graph->input_count + 1, &out->pads));
    NORN_TRY_DONE(NORN_TAKE_ARRAY(arena, (size_t)graph->output_count + 1, &out->output_rows));
    NORN_TRY_DONE(find_batch(graph, arena, &scratch, out));
    NORN_TRY_DONE(find_lengths(graph, &scratch, out));
done:
    norn_arena_deinit(&scratch);
    return status;
}
