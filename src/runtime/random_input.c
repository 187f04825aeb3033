#include "runtime/random_input.h"

#include "base/hash.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

// ---- shapes

/// `binder`: by symbol, the input of this kind that set it; NULL: none yet.
static norn_status bind_dims(const norn_graph *graph, uint32_t input, int32_t rank,
                             const int64_t *dims, int64_t *symbols, const norn_value **binder) {
    const norn_value *value = graph->inputs[input];
    char text[NORN_DIM_TEXT];
    if (value->shape.rank >= 0 && value->shape.rank != rank)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': %d dimensions were given, the model takes %d", value->name,
                         (int)rank, (int)value->shape.rank);
    for (int32_t d = 0; d < rank && value->shape.rank >= 0; d++) {
        const norn_dim dim = value->shape.dims[d];
        if (norn_dim_is_const(dim)) {
            if (dim.constant != dims[d])
                return norn_fail(NORN_INVALID_ARGUMENT,
                                 "input '%s': dim %d is %lld, the model expects %lld", value->name,
                                 (int)d, (long long)dims[d], (long long)dim.constant);
        } else if (graph->symbols.at[dim.symbol].kind == NORN_SYMBOL_INPUT && dim.coef != 0) {
            const int64_t size = (dims[d] - dim.constant) / dim.coef;
            if (binder[dim.symbol] && symbols[dim.symbol] != size)
                return norn_fail(NORN_INVALID_ARGUMENT,
                                 "input '%s': dim %d is %lld, but input '%s' makes %s %lld",
                                 value->name, (int)d, (long long)dims[d], binder[dim.symbol]->name,
                                 norn_dim_text(&graph->symbols, dim, text),
                                 (long long)norn_dim_eval(dim, symbols));
            symbols[dim.symbol] = size;
            binder[dim.symbol] = value;
        }
    }
    return NORN_OK;
}

norn_status norn_random_bind(const norn_plan *plan, const norn_random_inputs *options,
                             const norn_view *given, norn_arena *arena, int64_t **out) {
    const norn_graph *graph = plan->graph;
    const size_t count = (size_t)graph->symbols.count;
    const norn_value **binder;
    int64_t *symbols;
    *out = NULL;
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, &symbols));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, &binder));
    const int64_t batch = options->batch > 0 ? options->batch : 1;
    for (int32_t s = 0; s < graph->symbols.count; s++) {
        const norn_symbol *symbol = &graph->symbols.at[s];
        // A ragged length: a few elements a row.
        symbols[s] = s == graph->batch ? batch : symbol->opt > 0 ? symbol->opt : 4 * batch;
    }
    for (size_t i = 0; i < options->shape_count; i++) {
        uint32_t input = 0;
        while (input < graph->input_count &&
               strcmp(graph->inputs[input]->name, options->shapes[i].name) != 0)
            ++input;
        if (input == graph->input_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "--shapes: the model has no input '%s'",
                             options->shapes[i].name);
        NORN_TRY(bind_dims(graph, input, options->shapes[i].rank, options->shapes[i].dims, symbols,
                           binder));
    }
    for (size_t s = 0; s < count; s++) binder[s] = NULL; // a file wins over --shapes
    for (uint32_t i = 0; given && i < graph->input_count; i++)
        if (given[i].dtype != NORN_DTYPE_NONE)
            NORN_TRY(bind_dims(graph, i, given[i].rank, given[i].dims, symbols, binder));
    norn_symbols_eval(&graph->symbols, symbols);
    *out = symbols;
    return NORN_OK;
}

// ---- what an input is read as

/// What the readers of an integer input make of it.
typedef struct key_use {
    int64_t rows;        ///< the fewest rows of any table that it indexes; INT64_MAX: none
    const int64_t *keys; ///< of those rows, when the table is hashed; NULL: 0 .. rows - 1
    int64_t offset;      ///< taken from a key
    bool offsets;        ///< CSR offsets
} key_use;

static key_use use_of_table(const norn_plan *plan, norn_snapshot *snapshot, uint32_t table) {
    const norn_table_binding *binding = NULL;
    if (snapshot) binding = snapshot->find(snapshot, plan->tables[table].name);
    if (binding && binding->row_count > 0 && (binding->keys || !binding->resolve))
        return (key_use){.rows = binding->row_count, .keys = binding->keys};
    return (key_use){.rows = plan->tables[table].rows > 0 ? plan->tables[table].rows
                                                          : 1000}; // hashed: any key will do
}

static key_use use_of_column(const norn_plan *plan, norn_snapshot *snapshot, const norn_node *node,
                             const norn_lookup_column *column) {
    key_use use = {.rows = INT64_MAX};
    if (column->rows_input == NORN_NO_INPUT) {
        use = use_of_table(plan, snapshot, column->table);
    } else if (norn_node_in(node, column->rows_input)->shape.rank > 0) {
        use.rows = norn_node_in(node, column->rows_input)->shape.dims[0].constant;
    }
    if (use.keys) {
        use.offset = column->key_offset;
    } else {
        use.rows -= column->key_offset;
    }
    return use;
}

static void see_lookup(const norn_plan *plan, norn_snapshot *snapshot, const norn_use *use,
                       key_use *found) {
    const norn_lookup_region *region = &use->node->region->lookup;
    for (uint32_t c = 0; c < region->column_count; c++) {
        const norn_lookup_column *column = &region->columns[c];
        if (column->offsets_input == use->index) found->offsets = true;
        if (column->keys_input != use->index) continue;
        const key_use one = use_of_column(plan, snapshot, use->node, column);
        if (one.rows < found->rows)
            found->rows = one.rows, found->keys = one.keys, found->offset = one.offset;
    }
}

static void see_gather(const norn_use *use, key_use *found) {
    const norn_value *data = norn_node_in(use->node, 0);
    int64_t axis = norn_attr_i64(use->node->attrs, "axis", 0);
    if (use->index != 1 || data->shape.rank <= 0) return;
    if (axis < 0) axis += data->shape.rank;
    if (axis < 0 || axis >= data->shape.rank || !norn_dim_is_const(data->shape.dims[axis])) return;
    if (data->shape.dims[axis].constant < found->rows)
        *found = (key_use){.rows = data->shape.dims[axis].constant, .offsets = found->offsets};
}

/// The largest element of the integer constants that `node` reads: what an Add of the fields'
/// offsets adds at most.
static int64_t largest_constant(const norn_node *node) {
    int64_t largest = 0;
    for (uint32_t i = 0; i < node->in_count; i++) {
        const norn_value *value = norn_node_in(node, i);
        if (!value || !value->data || !norn_dtype_is_integer(value->dtype)) continue;
        const int64_t elems = norn_view_elems(value->data);
        for (int64_t e = 0; e < elems && e < 65536; e++) {
            const int64_t element = norn_element_i64(value->dtype, value->data->data, e);
            if (element > largest) largest = element;
        }
    }
    return largest;
}

static void see_uses(const norn_plan *plan, norn_snapshot *snapshot, const norn_value *value,
                     int depth, key_use *found);

/// Follow the value through an operator that hands its elements on, perhaps with something added.
static void see_through(const norn_plan *plan, norn_snapshot *snapshot, const norn_node *node,
                        int depth, key_use *found) {
    key_use behind = {.rows = INT64_MAX};
    for (uint32_t o = 0; o < node->out_count; o++)
        if (node->out[o] && norn_dtype_is_integer(node->out[o]->dtype))
            see_uses(plan, snapshot, node->out[o], depth - 1, &behind);
    if (behind.rows == INT64_MAX) return;
    if (norn_node_is(node, NORN_OP_Pointwise)) behind.rows -= largest_constant(node);
    if (behind.rows < found->rows)
        found->rows = behind.rows, found->keys = behind.keys, found->offset = behind.offset;
}

static void see_uses(const norn_plan *plan, norn_snapshot *snapshot, const norn_value *value,
                     int depth, key_use *found) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node) continue;
        if (norn_node_is(use->node, NORN_OP_Lookup)) {
            see_lookup(plan, snapshot, use, found);
        } else if (norn_node_is(use->node, NORN_OP_Gather)) {
            see_gather(use, found);
            if (use->index == 0 && depth > 0 && use->node->out[0])
                see_uses(plan, snapshot, use->node->out[0], depth - 1, found);
        } else if (depth > 0 && use->index == 0) {
            see_through(plan, snapshot, use->node, depth, found);
        }
    }
}

// ---- elements

/// Log-uniform ranks, as in traffic, spread over the table by a hash.
static int64_t random_key(norn_random *random, int64_t rows) {
    const double rank = exp(norn_random_unit(random) * log((double)rows + 1)) - 1;
    return (int64_t)(norn_hash_u64((uint64_t)rank + 1) % (uint64_t)rows);
}

static int64_t draw(norn_random *random, const key_use *use) {
    const int64_t rows = use->rows == INT64_MAX || use->rows < 1 ? 2 : use->rows;
    const int64_t row = random_key(random, rows);
    return use->keys && use->rows >= 1 ? use->keys[row] - use->offset : row;
}

enum { COLUMNS_MAX = 512 };

/// A [B, F] input whose columns index tables of their own: what each column may hold. Columns that
/// no lookup reads directly keep `all`.
static int64_t uses_of_columns(const norn_plan *plan, norn_snapshot *snapshot,
                               const norn_value *input, const key_use *all,
                               key_use columns[COLUMNS_MAX]) {
    const int32_t rank = input->shape.rank;
    if (rank < 2 || !norn_dim_is_const(input->shape.dims[rank - 1])) return 0;
    const int64_t width = input->shape.dims[rank - 1].constant;
    if (width < 2 || width > COLUMNS_MAX) return 0;
    for (int64_t i = 0; i < width; i++) columns[i] = *all, columns[i].rows = INT64_MAX;
    for (const norn_use *use = input->uses; use; use = use->next) {
        if (!norn_node_is(use->node, NORN_OP_Lookup)) {
            if (use->node)
                return 0; // something else reads whole rows: only the narrowest range is safe
            continue;
        }
        const norn_lookup_region *region = &use->node->region->lookup;
        for (uint32_t c = 0; c < region->column_count; c++) {
            const norn_lookup_column *column = &region->columns[c];
            if (column->keys_input != use->index) continue;
            if (column->keys_stride != width || column->keys_first + column->keys_count > width)
                return 0;
            const key_use one = use_of_column(plan, snapshot, use->node, column);
            for (int64_t k = column->keys_first; k < column->keys_first + column->keys_count; k++)
                if (one.rows < columns[k].rows) columns[k] = one;
        }
    }
    return width;
}

static void fill_integers(const norn_plan *plan, norn_snapshot *snapshot, size_t index,
                          norn_random *random, norn_view *view, int64_t elems,
                          const int64_t *symbols) {
    key_use columns[COLUMNS_MAX];
    key_use use = {.rows = INT64_MAX};
    see_uses(plan, snapshot, plan->graph->inputs[index], 6, &use);
    if (use.offsets) {
        // Offsets over the values of the lookup that reads both: rise evenly from 0 to their count.
        int64_t values = 0;
        for (const norn_use *u = plan->graph->inputs[index]->uses; u; u = u->next) {
            if (!norn_node_is(u->node, NORN_OP_Lookup)) continue;
            const norn_lookup_region *region = &u->node->region->lookup;
            for (uint32_t c = 0; c < region->column_count; c++) {
                if (region->columns[c].offsets_input != u->index) continue;
                const norn_value *keys = norn_node_in(u->node, region->columns[c].keys_input);
                if (keys->shape.rank > 0) values = norn_dim_eval(keys->shape.dims[0], symbols);
            }
        }
        for (int64_t i = 0; i < elems; i++)
            norn_element_set_i64(view->dtype, view->data, i,
                                 elems > 1 ? values * i / (elems - 1) : 0);
        return;
    }
    const int64_t width =
        uses_of_columns(plan, snapshot, plan->graph->inputs[index], &use, columns);
    for (int64_t i = 0; i < elems; i++)
        norn_element_set_i64(view->dtype, view->data, i,
                             draw(random, width ? &columns[i % width] : &use));
}

norn_status norn_random_fill(const norn_plan *plan, norn_snapshot *snapshot, const int64_t *symbols,
                             size_t index, uint64_t seed, norn_arena *arena, norn_view *out) {
    const norn_value *value = plan->graph->inputs[index];
    norn_random random;
    size_t bytes;
    if (value->shape.rank < 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s' has no declared shape: give it with --input or --shapes",
                         value->name);
    *out = (norn_view){.dtype = value->dtype, .rank = value->shape.rank};
    for (int32_t d = 0; d < out->rank; d++)
        out->dims[d] = norn_dim_eval(value->shape.dims[d], symbols);
    if (out->dtype == NORN_STRING)
        return norn_fail(NORN_UNIMPLEMENTED, "input '%s' is of strings: give it with --input",
                         value->name);
    NORN_TRY(norn_view_bytes(out, &bytes));
    NORN_TRY(norn_arena_take(arena, bytes + 1, 1, 64, &out->data));
    norn_random_init(&random, seed * 1000003 + index);
    const int64_t elems = norn_view_elems(out);
    if (out->dtype == NORN_BOOL) {
        for (int64_t i = 0; i < elems; i++)
            norn_element_set_i64(NORN_BOOL, out->data, i, norn_random_unit(&random) < 0.5);
    } else if (norn_dtype_is_integer(out->dtype)) {
        fill_integers(plan, snapshot, index, &random, out, elems, symbols);
    } else {
        for (int64_t i = 0; i < elems; i++)
            norn_element_set_f64(out->dtype, out->data, i, 2 * norn_random_unit(&random) - 1);
    }
    return NORN_OK;
}
