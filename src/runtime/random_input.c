#include "runtime/random_input.h"
#include "kernel/host_rows.h"
#include "store/snapshot.h"

#include "base/hash.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

// ---- what an input is read as

/// What the readers of an integer input make of it.
typedef struct key_use {
    int64_t rows;                 ///< the fewest rows of any table that it indexes; INT64_MAX: none
    const norn_host_rows *hashed; ///< whose keys they are; NULL: 0 .. rows - 1
    int64_t offset;               ///< taken from a key
    bool offsets;                 ///< CSR offsets
    bool is_length;               ///< of sequences of at most `most`
    norn_dim most;
    bool is_compared; ///< with the constant `equal`: a rate or a mode that chooses what is run
    int64_t equal;
} key_use;

static key_use use_of_table(const norn_plan *plan, norn_snapshot *snapshot, uint32_t table) {
    const norn_table_binding *binding = NULL;
    if (snapshot) binding = snapshot->find(snapshot, plan->tables[table].name);
    const norn_table_view *view = binding ? &binding->view : NULL;
    if (view && view->row_count > 0 && view->kind == NORN_TABLE_DENSE)
        return (key_use){.rows = view->row_count};
    if (view && view->row_count > 0 && view->kind == NORN_TABLE_HOST_INDEX)
        return (key_use){.rows = view->row_count,
                         .hashed = view->host.rows->dense ? NULL : view->host.rows};
    // Hashed: any key will do.
    return (key_use){.rows = plan->tables[table].rows > 0 ? plan->tables[table].rows : 1000};
}

static key_use use_of_column(const norn_plan *plan, norn_snapshot *snapshot, const norn_node *node,
                             const norn_lookup_column *column) {
    key_use use = {.rows = INT64_MAX};
    if (column->rows_input == NORN_NO_INPUT) {
        use = use_of_table(plan, snapshot, column->table);
    } else if (norn_node_in(node, column->rows_input)->shape.rank > 0) {
        use.rows = norn_node_in(node, column->rows_input)->shape.dims[0].constant;
    }
    if (use.hashed) {
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
            found->rows = one.rows, found->hashed = one.hashed, found->offset = one.offset;
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

/// The largest element of the integer constants that `node` reads: what an Add
/// of the fields' offsets adds at most.
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

/// Sequence lengths of a recurrent layer.
static void see_lengths(const norn_use *use, key_use *found) {
    const norn_value *x = norn_node_in(use->node, 0);
    const int32_t axis = norn_attr_i64(use->node->attrs, "layout", 0) ? 1 : 0;
    if (use->index != 4 || !x || x->shape.rank != 3) return;
    found->is_length = true;
    found->most = x->shape.dims[axis];
}

/// An equality with a constant in a pointwise program: load (== perhaps converted) against it.
static void see_equality(const norn_use *use, key_use *found) {
    const norn_scalar_program *program = &use->node->region->pointwise.program;
    for (uint32_t i = 0; i < program->instr_count && !found->is_compared; i++) {
        if (program->instrs[i].op != NORN_SCALAR_EQ) continue;
        const norn_scalar_instr *a = &program->instrs[program->instrs[i].a],
                                *b = &program->instrs[program->instrs[i].b];
        if (a->op == NORN_SCALAR_CONST) {
            const norn_scalar_instr *swap = a;
            a = b, b = swap;
        }
        while (a->op == NORN_SCALAR_CAST) a = &program->instrs[a->a];
        if (a->op != NORN_SCALAR_LOAD || b->op != NORN_SCALAR_CONST ||
            program->loads[a->load].input != use->index)
            continue;
        found->is_compared = true;
        found->equal = norn_dtype_is_float(b->dtype) ? (int64_t)b->f64 : b->i64;
    }
}

static bool is_recurrent(const norn_node *node) {
    return norn_node_is(node, NORN_OP_LSTM) || norn_node_is(node, NORN_OP_GRU) ||
           norn_node_is(node, NORN_OP_RNN);
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
    if (behind.is_length) found->is_length = true, found->most = behind.most;
    if (behind.is_compared && !found->is_compared)
        found->is_compared = true, found->equal = behind.equal;
    if (behind.rows == INT64_MAX) return;
    if (norn_node_is(node, NORN_OP_Pointwise)) behind.rows -= largest_constant(node);
    if (behind.rows < found->rows)
        found->rows = behind.rows, found->hashed = behind.hashed, found->offset = behind.offset;
}

static void see_uses(const norn_plan *plan, norn_snapshot *snapshot, const norn_value *value,
                     int depth, key_use *found) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node) continue;
        if (norn_node_is(use->node, NORN_OP_Pointwise)) see_equality(use, found);
        if (norn_node_is(use->node, NORN_OP_Lookup)) {
            see_lookup(plan, snapshot, use, found);
        } else if (is_recurrent(use->node)) {
            see_lengths(use, found);
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

// What is said by no operator, a name may say.

/// Does `name` have `word` in it, whatever its case?
static bool is_named(const norn_value *value, const char *word) {
    return value->name && strcasestr(value->name, word) != NULL;
}

static void see_name(const norn_value *value, key_use *found) {
    if (found->rows != INT64_MAX || found->is_length || found->is_compared) return;
    if (is_named(value, "length") || is_named(value, "_len")) {
        found->is_length = true;
        found->most = norn_dim_const(1);
    } else if (strcmp(value->name, "sr") == 0 || is_named(value, "sample_rate") ||
               is_named(value, "sampling_rate")) {
        found->is_compared = true;
        found->equal = 16000;
    }
}

/// Ones, then in some rows a few zeros: what padding leaves of a sequence.
static void fill_mask(norn_random *random, norn_view *view, int64_t elems) {
    const int64_t width = view->rank > 0 ? view->dims[view->rank - 1] : 1;
    int64_t ones = 0;
    for (int64_t i = 0; i < elems; i++) {
        if (i % width == 0) ones = width - (int64_t)(norn_random_unit(random) * (double)width / 4);
        norn_element_set_f64(view->dtype, view->data, i, i % width < ones ? 1 : 0);
    }
}

static int64_t draw(norn_random *random, const key_use *use) {
    const int64_t rows = use->rows == INT64_MAX || use->rows < 1 ? 2 : use->rows;
    const int64_t row = random_key(random, rows);
    if (!use->hashed || use->rows < 1) return row;
    return norn_host_rows_draw(use->hashed, norn_hash_u64((uint64_t)row + 1)) - use->offset;
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
    see_name(plan->graph->inputs[index], &use);
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
    for (int64_t i = 0; i < elems && use.is_length; i++) {
        const int64_t most = norn_dim_eval(use.most, symbols);
        norn_element_set_i64(view->dtype, view->data, i,
                             most < 1 ? most : 1 + random_key(random, most));
    }
    for (int64_t i = 0; i < elems && use.is_compared; i++)
        norn_element_set_i64(view->dtype, view->data, i, use.equal);
    if (use.is_length || use.is_compared) return;
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
    if (value->fallback) { // nothing to make up
        *out = *value->fallback;
        return NORN_OK;
    }
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
    const bool is_mask = is_named(value, "mask"), is_probability = is_named(value, "prob");
    if (is_mask) {
        fill_mask(&random, out, elems);
    } else if (out->dtype == NORN_BOOL) {
        for (int64_t i = 0; i < elems; i++)
            norn_element_set_i64(NORN_BOOL, out->data, i, norn_random_unit(&random) < 0.5);
    } else if (norn_dtype_is_integer(out->dtype)) {
        fill_integers(plan, snapshot, index, &random, out, elems, symbols);
    } else {
        for (int64_t i = 0; i < elems; i++)
            norn_element_set_f64(out->dtype, out->data, i,
                                 is_probability ? norn_random_unit(&random)
                                                : 2 * norn_random_unit(&random) - 1);
    }
    return NORN_OK;
}
