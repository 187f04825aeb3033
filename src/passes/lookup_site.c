#include "passes/lookup_site.h"

#include "base/checked.h"
#include "passes/has_kernel.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

static void add_node(norn_lookup_site *site, norn_node *node) {
    if (node && site->node_count < NORN_SITE_NODES_MAX) site->nodes[site->node_count++] = node;
}

static bool is_keys(const norn_value *value) {
    return value && !value->data && (value->dtype == NORN_I64 || value->dtype == NORN_I32);
}

// ---- Gather

/// Gather along axis 0 from a constant matrix.
static bool is_row_gather(const norn_node *node) {
    const norn_value *table = norn_node_in(node, 0), *ids = norn_node_in(node, 1);
    if (!norn_node_is(node, NORN_OP_Gather) || !node->out[0] || !table || !table->data ||
        !is_keys(ids))
        return false;
    if (!norn_dtype_is_float(table->dtype) || table->data->rank != 2 || table->data->dims[1] < 1)
        return false;
    int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
    return (axis == 0 || axis == -2) && ids->shape.rank >= 1 &&
           node->out[0]->shape.rank == ids->shape.rank + 1;
}

/// EmbeddingBag(keys, offsets, weights, table), as recognise_bag makes it.
static bool is_bag_of(const norn_node *node, const norn_value *table) {
    return norn_node_is(node, NORN_OP_EmbeddingBag) && norn_node_in(node, 3) == table;
}

static bool only_gathered(const norn_value *table) {
    for (const norn_use *use = table->uses; use; use = use->next) {
        if (use->node && is_bag_of(use->node, table) && use->index == 3) continue;
        if (!use->node || !is_row_gather(use->node) || use->index != 0) return false;
    }
    return true;
}

/// Mul(rows [.., n, dim], weights [.., n, 1]) that alone reads the rows: moves *value on.
static void follow_weights(norn_lookup_site *site, norn_value **value) {
    norn_node *mul = (*value)->readers == 1 ? norn_value_only_reader(*value) : NULL;
    if (!norn_node_is(mul, NORN_OP_Mul) || !norn_node_is_binary(mul)) return;
    norn_value *weights = mul->in[mul->in[0].value == *value ? 1 : 0].value;
    int32_t rank = (*value)->shape.rank;
    if (!weights || weights->dtype != (*value)->dtype || weights->shape.rank != rank) return;
    norn_shape wanted = (*value)->shape;
    wanted.dims[rank - 1] = norn_dim_const(1);
    if (!norn_shape_equal(&weights->shape, &wanted) ||
        !norn_shape_equal(&mul->out[0]->shape, &(*value)->shape))
        return;
    site->weights = norn_value_unreshaped(weights);
    *value = mul->out[0];
    add_node(site, mul);
}

/// The reduction over the axis of the keys that alone reads `value`.
static norn_node *pooling_node(const norn_value *value, bool weighted, norn_pool_mode *mode) {
    int32_t axes[NORN_MAX_RANK];
    uint32_t count;
    norn_node *node = value->readers == 1 ? norn_value_only_reader(value) : NULL;
    if (norn_node_is(node, NORN_OP_ReduceSum)) {
        *mode = NORN_POOL_SUM;
    } else if (norn_node_is(node, NORN_OP_ReduceMean)) {
        *mode = NORN_POOL_MEAN;
    } else if (norn_node_is(node, NORN_OP_ReduceMax) && !weighted) {
        *mode = NORN_POOL_MAX;
    } else {
        return NULL;
    }
    int32_t rank = value->shape.rank;
    if (node->in[0].value != value || rank < 3 || !node->out[0]) return NULL;
    if (!norn_node_axes(node, 1, "axes", rank, axes, &count)) return NULL;
    return count == 1 && axes[0] == rank - 2 ? node : NULL;
}

/// Add(ids, constant scalar or [.., F]), where the constant is the
/// start of each field in one table.
static const norn_value *field_starts(const norn_value *ids, norn_value **below) {
    const norn_node *add = norn_node_is(ids->producer, NORN_OP_Add) ? ids->producer : NULL;
    for (uint32_t i = 0; norn_node_is_binary(add) && i < 2; i++) {
        const norn_value *starts = add->in[i].value;
        *below = add->in[1 - i].value;
        if (!starts || !starts->data || !is_keys(*below)) continue;
        if (norn_shape_equal(&(*below)->shape, &ids->shape)) return starts;
    }
    return NULL;
}

static bool is_pooled(const norn_node *gather) {
    norn_lookup_site scratch = {.width = 0};
    norn_value *value = gather->out[0];
    norn_pool_mode mode;
    follow_weights(&scratch, &value);
    return pooling_node(value, scratch.weights != NULL, &mode) != NULL;
}

static bool looks_up(const norn_use *use) {
    if (!use->node) return false;
    if (norn_node_is(use->node, NORN_OP_Embedding)) return use->index == 0 && use->node->out[0];
    return is_row_gather(use->node) && use->index == 1;
}

/// Only lookups that can add the starts themselves read the sum, so that it is not computed.
static bool starts_can_move(const norn_value *ids, bool scalar) {
    for (const norn_use *use = ids->uses; use; use = use->next) {
        if (!looks_up(use)) return false;
        if (!scalar && is_pooled(use->node)) return false;
    }
    return true;
}

static norn_status move_starts(norn_graph *graph, norn_lookup_site *site, norn_value **ids) {
    norn_value *below;
    const norn_value *starts = field_starts(*ids, &below);
    if (!starts) return NORN_OK;
    int64_t count = norn_view_elems(starts->data), fields = 0;
    const norn_shape *shape = &(*ids)->shape;
    if (shape->rank == 2 && norn_dim_is_const(shape->dims[1]) &&
        norn_dim_equal(shape->dims[0], site->rows)) {
        fields = shape->dims[1].constant;
    }
    if (!starts_can_move(*ids, count == 1)) return NORN_OK;
    norn_node *add = (*ids)->producer;
    if (count == 1) {
        site->column.key_offset = norn_element_i64(starts->dtype, starts->data->data, 0);
    } else if (count == fields && site->column.pool == NORN_POOL_NONE &&
               starts->data->dims[starts->data->rank - 1] == count) {
        int64_t *offsets;
        NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, (size_t)count, &offsets));
        for (int64_t i = 0; i < count; i++)
            offsets[i] = norn_element_i64(starts->dtype, starts->data->data, i);
        site->field_offsets = offsets, site->fields = count;
    } else {
        return NORN_OK;
    }
    add_node(site, add);
    *ids = below;
    return NORN_OK;
}

/// The rows are looked up one by one to be set beside other rows of
/// the same history, [B, T, 2 * D].
static bool joins_rows(const norn_value *value) {
    const norn_node *concat = value->readers == 1 ? norn_value_only_reader(value) : NULL;
    int32_t rank = value->shape.rank;
    if (!norn_node_is(concat, NORN_OP_Concat) || rank < 3) return false;
    int64_t axis = norn_attr_i64(concat->attrs, "axis", 0);
    return axis == -1 || axis == rank - 1;
}

/// Rows and keys a row of ids that are not pooled; *count is 1 when each id is a row of its own.
static norn_status split_rows(norn_graph *graph, const norn_value *ids, const norn_value *result,
                              norn_dim *rows, int64_t *count) {
    const norn_shape *shape = &ids->shape;
    norn_dim inner = norn_dim_const(1);
    NORN_TRY(norn_shape_product(&graph->symbols, shape, 1, shape->rank, &inner));
    *rows = shape->dims[0], *count = 1;
    if (norn_dim_is_const(inner) && inner.constant >= 1 && !joins_rows(result)) {
        *count = inner.constant;
        return NORN_OK;
    }
    return norn_shape_product(&graph->symbols, shape, 0, shape->rank, rows);
}

static bool is_rows(const norn_shape *shape, norn_dim rows, int64_t width) {
    return shape->rank == 2 && norn_dim_equal(shape->dims[0], rows) &&
           norn_shape_dim_is(shape, 1, width);
}

/// The width; false when the region's output cannot take the result's shape.
static bool finish(const norn_graph *graph, norn_lookup_site *site) {
    const norn_lookup_column *column = &site->column;
    bool side_by_side = column->pool == NORN_POOL_NONE;
    site->width = column->dim;
    if (side_by_side && !norn_i64_mul(site->width, column->keys_count, &site->width)) return false;
    if (!norn_i64_mul(site->width, site->fields, &site->width)) return false;
    const norn_shape *shape = &site->result->shape;
    return norn_shape_is_static(graph, shape) || is_rows(shape, site->rows, site->width);
}

/// The lookup of each id of `ids` by `node`, and the pooling that follows it, if one does.
static norn_status rows_site(norn_graph *graph, norn_node *node, norn_value *ids,
                             norn_lookup_site *site, bool *found) {
    norn_value *value = node->out[0];
    norn_lookup_column *column = &site->column;
    int64_t count = 0; // keys a row, 0 when it is not constant
    add_node(site, node);
    follow_weights(site, &value);
    norn_node *pooling = pooling_node(value, site->weights != NULL, &column->pool);
    if (pooling) {
        int32_t last = ids->shape.rank - 1;
        add_node(site, pooling);
        site->result = pooling->out[0];
        NORN_TRY(norn_shape_product(&graph->symbols, &ids->shape, 0, last, &site->rows));
        if (norn_dim_is_const(ids->shape.dims[last])) count = ids->shape.dims[last].constant;
        if (norn_shape_dim_is(&ids->shape, last, 0)) return NORN_OK;
    } else {
        site->weights = NULL, site->node_count = 1;
        column->pool = NORN_POOL_NONE;
        site->result = node->out[0];
        NORN_TRY(split_rows(graph, ids, site->result, &site->rows, &count));
    }
    NORN_TRY(move_starts(graph, site, &ids));
    if (site->field_offsets) count = 1;
    bool one = count == 1 && (column->pool == NORN_POOL_NONE || !site->weights);
    if (one) column->pool = NORN_POOL_NONE;
    column->form = one ? NORN_KEYS_ONE : NORN_KEYS_FIXED;
    column->keys_count = count;
    norn_key_columns keys;
    NORN_TRY(norn_lookup_keys(graph, ids, site->rows, site->field_offsets ? site->fields : count,
                              &keys));
    site->keys = keys.keys;
    column->keys_first = keys.first, column->keys_stride = keys.stride;
    if (site->field_offsets && !keys.stride) column->keys_stride = site->fields;
    for (uint32_t i = 0; i < keys.node_count; i++) add_node(site, keys.nodes[i]);
    *found = finish(graph, site);
    return NORN_OK;
}

bool norn_lookup_has_kernel(const norn_pass_context *context, const norn_lookup_column *column,
                            const norn_value *keys, const norn_value *offsets,
                            const norn_value *weights, const norn_value *rows, norn_dtype out,
                            bool only_lookup) {
    enum { KEYS, OFFSETS, WEIGHTS, ROWS };
    norn_lookup_column asked = *column;
    const norn_region region = {.lookup = {.column_count = 1, .columns = &asked}};
    const norn_shape shape = {.rank = 2, .dims = {norn_dim_const(1), norn_dim_const(column->dim)}};
    const norn_wanted wanted = {.op = NORN_OP_Lookup,
                                .region = &region,
                                .in = {keys, offsets, weights, rows},
                                .in_count = 4,
                                .out = out,
                                .shape = &shape};
    asked.keys_input = KEYS;
    asked.offsets_input = offsets ? OFFSETS : NORN_NO_INPUT;
    asked.weights_input = weights ? WEIGHTS : NORN_NO_INPUT;
    asked.rows_input = rows ? ROWS : NORN_NO_INPUT;
    return norn_pass_has_kernel(context, &wanted) ||
           (only_lookup && norn_target_has(context->host, &wanted));
}

/// rows NULL: a table's, of any type that tables have.
static bool has_kernel(const norn_pass_context *context, const norn_lookup_site *site,
                       const norn_value *rows) {
    const bool only_lookup = !norn_node_is(site->nodes[0], NORN_OP_Gather);
    return norn_lookup_has_kernel(context, &site->column, site->keys, site->offsets, site->weights,
                                  rows, site->result->dtype, only_lookup);
}

/// Where the rows come from: the package, a new table, or the constant itself; *found false: no kernel
/// reads them there.
static norn_status find_rows(norn_pass_context *context, norn_graph *graph, norn_value *table,
                             norn_lookup_site *site, bool *found) {
    int64_t threshold =
        context->options->table_threshold ? context->options->table_threshold : 1 << 20;
    int64_t dim = table->data->dims[1];
    size_t bytes;
    bool packaged;
    NORN_TRY(norn_view_bytes(table->data, &bytes));
    NORN_TRY(norn_lookup_in_package(context, graph, table->name, &packaged));
    const bool as_table = has_kernel(context, site, NULL);
    *found = packaged ? as_table : as_table || has_kernel(context, site, table);
    if (!*found) return NORN_OK;
    if (packaged) return norn_lookup_table(context, graph, table->name, dim, NULL, &site->table);
    if (as_table && table->name[0] && bytes >= (size_t)threshold && only_gathered(table)) {
        return norn_lookup_table(context, graph, table->name, dim, table->data, &site->table);
    }
    site->inline_rows = table;
    return NORN_OK;
}

static norn_status gather_site(norn_pass_context *context, norn_graph *graph, norn_node *gather,
                               norn_lookup_site *site, bool *found) {
    norn_value *table = gather->in[0].value;
    site->column.dim = table->data->dims[1];
    site->column.negative_wraps = true;
    NORN_TRY(rows_site(graph, gather, gather->in[1].value, site, found));
    return *found ? find_rows(context, graph, table, site, found) : NORN_OK;
}

// ---- ai.norn operators

static norn_status pool_mode_of(const norn_node *node, norn_pool_mode *out) {
    static const char *const names[] = {
        [NORN_POOL_SUM] = "sum", [NORN_POOL_MEAN] = "mean", [NORN_POOL_MAX] = "max"};
    const char *mode = norn_attr_string(node->attrs, "mode", "sum");
    for (int i = NORN_POOL_SUM; i <= NORN_POOL_MAX; i++) {
        *out = (norn_pool_mode)i;
        if (strcmp(mode, names[i]) == 0) return NORN_OK;
    }
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "attribute 'mode' of %s is '%s'; it must be sum, mean or max", node->op->name,
                     mode);
}

static norn_status custom_site(norn_pass_context *context, norn_graph *graph, norn_node *node,
                               norn_lookup_site *site, bool *found) {
    norn_lookup_column *column = &site->column;
    const char *table = norn_attr_string(node->attrs, "table", "");
    const norn_shape *shape = &node->out[0]->shape;
    column->dim = norn_attr_i64(node->attrs, "dim", 0);
    norn_value *rows = norn_node_is(node, NORN_OP_EmbeddingBag) ? norn_node_in(node, 3) : NULL;
    if (rows && (!rows->data || !norn_dtype_is_float(rows->dtype) || rows->data->rank != 2 ||
                 rows->data->dims[1] != column->dim))
        return NORN_OK;
    if ((!rows && !table[0]) || column->dim < 1) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "attributes 'table' and 'dim' of %s must name a table and the elements of "
                         "its rows; norn.export.from_torch writes them",
                         node->op->name);
    }
    if (shape->rank < 2) return NORN_OK;
    if (norn_node_is(node, NORN_OP_EmbeddingBag)) {
        add_node(site, node);
        site->result = node->out[0];
        column->form = NORN_KEYS_CSR;
        NORN_TRY(pool_mode_of(node, &column->pool));
        site->keys = norn_node_in(node, 0);
        site->offsets = norn_node_in(node, 1), site->weights = norn_node_in(node, 2);
        site->rows = shape->dims[0];
        const norn_attr *padding = norn_attr_find(node->attrs, "padding_idx");
        column->has_padding = padding && padding->kind == NORN_ATTR_INT;
        if (column->has_padding) column->padding_key = padding->i64;
        *found = shape->rank == 2 && is_keys(site->keys) && is_keys(site->offsets) &&
                 finish(graph, site) && has_kernel(context, site, rows);
        column->negative_wraps = rows != NULL; // as the Gather that it was
        if (*found && rows) return find_rows(context, graph, rows, site, found);
        return *found ? norn_lookup_table(context, graph, table, column->dim, NULL, &site->table)
                      : NORN_OK;
    }
    norn_value *ids = norn_node_in(node, 0);
    if (!is_keys(ids) || ids->shape.rank < 1 || ids->shape.rank != shape->rank - 1) return NORN_OK;
    NORN_TRY(rows_site(graph, node, ids, site, found));
    *found = *found && has_kernel(context, site, NULL);
    return *found ? norn_lookup_table(context, graph, table, column->dim, NULL, &site->table)
                  : NORN_OK;
}

norn_status norn_lookup_site_of(norn_pass_context *context, norn_graph *graph, norn_node *node,
                                norn_lookup_site **site) {
    bool found = false, gather = is_row_gather(node);
    bool custom = norn_node_is(node, NORN_OP_Embedding) || norn_node_is(node, NORN_OP_EmbeddingBag);
    norn_lookup_site *made;
    *site = NULL;
    if ((!gather && !custom) || !node->out[0]) return NORN_OK;
    NORN_TRY(NORN_TAKE(&graph->arena, &made));
    made->fields = 1;
    made->column.rows_input = made->column.offsets_input = made->column.weights_input =
        NORN_NO_INPUT;
    if (gather) {
        NORN_TRY(gather_site(context, graph, node, made, &found));
    } else {
        NORN_TRY(custom_site(context, graph, node, made, &found));
    }
    if (found) *site = made;
    if (found || !norn_node_is(node, NORN_OP_EmbeddingBag)) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "EmbeddingBag takes values and offsets of int32 or int64 and rank 1, and a "
                     "constant table; norn.export.from_torch writes such bags");
}
