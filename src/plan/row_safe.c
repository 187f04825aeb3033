#include "plan/row_safe.h"
#include "ops/op.h"

typedef struct finder {
    const norn_graph *graph;
    int32_t symbol; ///< that is asked about
    bool *depends;  ///< by symbol: follows from it
} finder;

// ---- dims

static void note_dependents(finder *f) {
    const norn_symbols *symbols = &f->graph->symbols;
    for (int32_t i = 0; i < symbols->count; i++) {
        const norn_symbol *s = &symbols->at[i];
        f->depends[i] = i == f->symbol;
        if (s->kind != NORN_SYMBOL_DERIVED) continue;
        f->depends[i] |= s->a.symbol >= 0 && f->depends[s->a.symbol];
        f->depends[i] |= s->b.symbol >= 0 && f->depends[s->b.symbol];
    }
}

static bool dim_depends(const finder *f, norn_dim dim) {
    return dim.symbol >= 0 && f->depends[dim.symbol];
}

static bool depends(const finder *f, const norn_value *value) {
    if (!value || value->data) return false;
    for (int32_t d = 0; d < value->shape.rank; d++)
        if (dim_depends(f, value->shape.dims[d])) return true;
    return false;
}

/// Rows first: dim 0 is a multiple of the symbol (row r of the batch is a run of its rows), no
/// other has it.
static bool rows_first(const finder *f, const norn_value *value) {
    if (!value || value->data) return true;
    const norn_shape *shape = &value->shape;
    for (int32_t d = 1; d < shape->rank; d++)
        if (dim_depends(f, shape->dims[d])) return false;
    if (shape->rank < 1 || !dim_depends(f, shape->dims[0])) return true;
    return shape->dims[0].symbol == f->symbol && shape->dims[0].constant == 0 &&
           shape->dims[0].coef > 0;
}

/// [B + 1] integers that only lookups read, as offsets.
static bool is_offsets(const finder *f, const norn_value *value) {
    const norn_shape *shape = &value->shape;
    if (shape->rank != 1 || shape->dims[0].symbol != f->symbol || shape->dims[0].coef != 1 ||
        shape->dims[0].constant != 1)
        return false;
    for (const norn_use *use = value->uses; use; use = use->next) {
        bool found = false;
        if (!use->node || !norn_node_is(use->node, NORN_OP_Lookup) || !use->node->region)
            return false;
        const norn_lookup_region *lookup = &use->node->region->lookup;
        for (uint32_t c = 0; c < lookup->column_count; c++) {
            const norn_lookup_column *column = &lookup->columns[c];
            if (column->keys_input == use->index || column->weights_input == use->index)
                return false;
            found |= column->offsets_input == use->index;
        }
        if (!found) return false;
    }
    return true;
}

// ---- operators

/// The axis of `node`, counted from the front of input `in`; -1 when it is not known.
static int64_t axis_of(const norn_node *node, uint32_t in, int64_t fallback) {
    const norn_value *value = norn_node_in(node, in);
    int64_t axis = norn_attr_i64(node->attrs, "axis", fallback);
    if (!value || value->shape.rank < 0) return -1;
    return axis < 0 ? axis + value->shape.rank : axis;
}

static bool matmul_keeps_rows(const finder *f, const norn_node *node) {
    const norn_value *a = norn_node_in(node, 0), *b = norn_node_in(node, 1);
    bool on_a = depends(f, a), on_b = depends(f, b);
    if (on_b) return a->shape.rank == b->shape.rank && b->shape.rank >= 3 && on_a;
    return !on_a || a->shape.rank >= 2;
}

static bool gather_keeps_rows(const finder *f, const norn_node *node) {
    bool data = depends(f, norn_node_in(node, 0)), indices = depends(f, norn_node_in(node, 1));
    int64_t axis = axis_of(node, 0, 0);
    if (data && indices) return false;
    return data ? axis > 0 : axis == 0;
}

/// Reduce* with constant axes, none of them 0.
static bool reduce_keeps_rows(const norn_node *node) {
    const norn_value *in = norn_node_in(node, 0), *axes = norn_node_in(node, 1);
    if (!axes || !axes->data || axes->data->dtype != NORN_I64 || axes->data->rank != 1 ||
        axes->data->dims[0] < 1)
        return false;
    for (int64_t i = 0; i < axes->data->dims[0]; i++) {
        int64_t axis = ((const int64_t *)axes->data->data)[i];
        if (axis == 0 || axis == -in->shape.rank) return false;
    }
    return true;
}

static bool row_reduce_keeps_rows(const norn_node *node) {
    const norn_row_reduce_region *r = &node->region->row_reduce;
    int32_t rank = 0; // of the prologue's loop
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *in = norn_node_in(node, i);
        if (in && in->shape.rank > rank) rank = in->shape.rank;
    }
    return rank - (int32_t)(r->reduced_dims + r->inner_dims) > 0;
}

static bool transpose_keeps_rows(const norn_node *node) {
    const int64_t *perm;
    return norn_attr_ints(node->attrs, "perm", &perm) > 0 && perm[0] == 0;
}

/// Does `node`, whose operands all have rows first, compute each row from the same row alone?
static bool keeps_rows(const finder *f, const norn_node *node) {
    switch (node->op->id) {
    case NORN_OP_GemmRegion:
        return !depends(f, norn_node_in(node, 1));
    case NORN_OP_Pointwise:
    case NORN_OP_Lookup:
    case NORN_OP_Interaction:
    case NORN_OP_Identity:
    case NORN_OP_Reshape:
    case NORN_OP_Flatten:
    case NORN_OP_Squeeze:
    case NORN_OP_Unsqueeze:
    case NORN_OP_Expand:
        return true;
    case NORN_OP_RowReduce:
        return row_reduce_keeps_rows(node);
    case NORN_OP_Softmax:
    case NORN_OP_LogSoftmax:
    case NORN_OP_LayerNormalization:
        return axis_of(node, 0, -1) > 0;
    case NORN_OP_Concat:
        return axis_of(node, 0, 0) > 0;
    case NORN_OP_Split:
        return axis_of(node, 0, 0) > 0;
    case NORN_OP_Gather:
        return gather_keeps_rows(f, node);
    case NORN_OP_Transpose:
        return transpose_keeps_rows(node);
    case NORN_OP_MatMul:
        return matmul_keeps_rows(f, node);
    case NORN_OP_ReduceSum:
    case NORN_OP_ReduceMean:
    case NORN_OP_ReduceMax:
    case NORN_OP_ReduceMin:
        return reduce_keeps_rows(node);
    default:
        return false;
    }
}

/// NULL when the batch may be rounded up; else the name of what forbids it.
static const char *forbids_batch(const finder *f, norn_pad *pads) {
    for (uint32_t i = 0; i < f->graph->input_count; i++) {
        const norn_value *input = f->graph->inputs[i];
        if (!depends(f, input)) continue;
        if (is_offsets(f, input))
            pads[i] = NORN_PAD_LAST_ELEM;
        else if (rows_first(f, input))
            pads[i] = NORN_PAD_LAST_ROW;
        else
            return input->name;
    }
    for (const norn_node *node = f->graph->nodes; node; node = node->next) {
        bool concerned = false;
        for (uint32_t i = 0; i < node->in_count; i++) {
            const norn_value *in = node->in[i].value;
            if (!depends(f, in)) continue;
            concerned = true;
            if (!rows_first(f, in) && !is_offsets(f, in)) return node->name;
        }
        for (uint32_t i = 0; i < node->out_count; i++) {
            concerned |= depends(f, node->out[i]);
            if (node->out[i] && !rows_first(f, node->out[i])) return node->name;
        }
        if (concerned && !keeps_rows(f, node)) return node->name;
    }
    return NULL;
}

// ---- lengths of CSR values

/// Only keys and weights of CSR columns have this dim: what lies beyond the last offset is not
/// read.
static bool is_csr_length(const finder *f, norn_pad *pads) {
    for (uint32_t i = 0; i < f->graph->input_count; i++) {
        const norn_value *input = f->graph->inputs[i];
        if (!depends(f, input)) continue;
        if (input->shape.rank != 1 || !rows_first(f, input)) return false;
        for (const norn_use *use = input->uses; use; use = use->next) {
            if (!use->node || !norn_node_is(use->node, NORN_OP_Lookup) || !use->node->region)
                return false;
            const norn_lookup_region *lookup = &use->node->region->lookup;
            for (uint32_t c = 0; c < lookup->column_count; c++) {
                const norn_lookup_column *column = &lookup->columns[c];
                bool reads =
                    column->keys_input == use->index || column->weights_input == use->index;
                if (column->offsets_input == use->index || (reads && column->form != NORN_KEYS_CSR))
                    return false;
            }
        }
        pads[i] = NORN_PAD_LAST_ROW;
    }
    for (const norn_node *node = f->graph->nodes; node; node = node->next)
        for (uint32_t i = 0; i < node->out_count; i++)
            if (depends(f, node->out[i])) return false;
    return true;
}

norn_status norn_row_safety_find(const norn_program *program, norn_arena *arena,
                                 norn_row_safety *out) {
    const norn_graph *graph = program->graph;
    finder f = {.graph = graph};
    size_t symbols = (size_t)graph->symbols.count + 1;
    norn_pad *tried;
    *out = (norn_row_safety){0};
    NORN_TRY(NORN_TAKE_ARRAY(arena, symbols, &out->symbol));
    NORN_TRY(NORN_TAKE_ARRAY(arena, symbols, &f.depends));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)graph->input_count + 1, &out->pads));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)graph->input_count + 1, &tried));
    for (int32_t s = 0; s < graph->symbols.count; s++) {
        if (graph->symbols.at[s].kind != NORN_SYMBOL_INPUT) continue;
        f.symbol = s;
        note_dependents(&f);
        for (uint32_t i = 0; i < graph->input_count; i++) tried[i] = out->pads[i];
        const char *why = s == graph->batch          ? forbids_batch(&f, tried)
                          : is_csr_length(&f, tried) ? NULL
                                                     : "";
        if (s == graph->batch) {
            out->batch = why == NULL;
            out->why = why;
        }
        if (why) continue;
        out->symbol[s] = true;
        for (uint32_t i = 0; i < graph->input_count; i++) out->pads[i] = tried[i];
    }
    return NORN_OK;
}
