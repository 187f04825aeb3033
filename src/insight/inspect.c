#include "insight/inspect.h"

#include "base/memory.h"
#include "plan/plan.h"
#include "tensor/dtype.h"
#include "tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32, UNKNOWN_SIZE = 64, TABLE_BYTES_MIN = 1 << 20 };

typedef struct inspector {
    norn_arena *arena;
    norn_inspection *out;
    const char *tables_dir;
    size_t node_capacity, table_capacity;
    uint32_t depth;
} inspector;

// ---- text of types and names

static norn_status type_text(const inspector *i, const norn_graph *graph, const norn_value *value,
                             const char **out) {
    norn_buffer text;
    char dim[NORN_DIM_TEXT];
    norn_buffer_init(&text, i->arena->alloc);
    norn_buffer_format(&text, "%s[", norn_dtype_name(value->dtype));
    if (value->shape.rank < 0) norn_buffer_text(&text, "...");
    for (int32_t d = 0; d < value->shape.rank; d++) {
        norn_buffer_format(&text, "%s%s", d ? "," : "",
                           norn_dim_text(&graph->symbols, value->shape.dims[d], dim));
    }
    norn_buffer_text(&text, "]");
    norn_status status = norn_buffer_status(&text);
    if (status == NORN_OK)
        status = norn_arena_string(i->arena, (const char *)text.bytes, text.count, out);
    norn_buffer_deinit(&text);
    return status;
}

static norn_status join(const inspector *i, const char *before, const char *more,
                        const char **out) {
    if (!*before) {
        *out = more;
        return NORN_OK;
    }
    return norn_arena_format(i->arena, out, "%s, %s", before, more);
}

// ---- work

typedef struct sizes {
    const norn_graph *graph;
    int64_t *symbols;
} sizes;

static norn_status sizes_of(const inspector *i, const norn_graph *graph, sizes *out) {
    *out = (sizes){.graph = graph};
    NORN_TRY(NORN_TAKE_ARRAY(i->arena, (size_t)graph->symbols.count, &out->symbols));
    for (int32_t s = 0; s < graph->symbols.count; s++) out->symbols[s] = UNKNOWN_SIZE;
    if (graph->batch >= 0) out->symbols[graph->batch] = i->out->rows;
    norn_symbols_eval(&graph->symbols, out->symbols);
    return NORN_OK;
}

static norn_view view_of(const sizes *s, const norn_value *value) {
    norn_view view = {0};
    if (!value) return view;
    if (value->data) return *value->data;
    view.dtype = value->dtype;
    view.rank = value->shape.rank < 0 ? 0 : value->shape.rank;
    for (int32_t d = 0; d < view.rank; d++) {
        int64_t size = norn_dim_eval(value->shape.dims[d], s->symbols);
        view.dims[d] = size < 0 ? 1 : size;
    }
    return view;
}

static norn_status node_cost(const inspector *i, const sizes *s, const norn_node *node,
                             norn_cost *cost) {
    norn_view *views;
    *cost = (norn_cost){0};
    NORN_TRY(NORN_TAKE_ARRAY(i->arena, (size_t)node->in_count + node->out_count, &views));
    for (uint32_t k = 0; k < node->in_count; k++) views[k] = view_of(s, node->in[k].value);
    for (uint32_t k = 0; k < node->out_count; k++)
        views[node->in_count + k] = view_of(s, node->out[k]);
    if (node->op->cost) {
        node->op->cost(node->attrs, node->region, views, node->in_count, views + node->in_count,
                       node->out_count, cost);
    }
    return NORN_OK;
}

// ---- tables

static norn_inspect_table *find_table(norn_inspection *out, const char *name) {
    for (uint32_t k = 0; k < out->table_count; k++) {
        if (strcmp(out->tables[k].name, name) == 0) return &out->tables[k];
    }
    return NULL;
}

static norn_status add_table(inspector *i, const char *name, norn_inspect_table **out) {
    norn_inspection *all = i->out;
    NORN_TRY(NORN_TAKE_MORE(i->arena, &all->tables, all->table_count, &i->table_capacity));
    *out = &all->tables[all->table_count++];
    **out = (norn_inspect_table){.name = name, .source = "missing", .rows = -1};
    return NORN_OK;
}

/// More than the header of any table, which has four tensors at most.
enum { TABLE_HEAD_BYTES = 1 << 20 };

/// What is said of a table in its file, where there is one.
static norn_status read_table(norn_arena *arena, const char *dir, norn_inspect_table *table) {
    const char *path;
    norn_file *file;
    norn_arena names;
    norn_safetensors tensors;
    if (!dir) return NORN_OK;
    NORN_TRY(norn_arena_format(arena, &path, "%s/%s.safetensors", dir, table->name));
    if (!norn_path_is_file(path)) return NORN_OK;
    NORN_TRY(norn_file_read_head(path, TABLE_HEAD_BYTES, arena->alloc, &file));
    norn_arena_init(&names, arena->alloc, 4096);
    norn_status status = norn_safetensors_decode(norn_file_bytes(file), path, &names, &tensors);
    const norn_view *rows = status == NORN_OK ? norn_safetensors_find(&tensors, "rows") : NULL;
    if (rows && rows->rank == 2) {
        table->source = path;
        table->rows = rows->dims[0];
        table->dim = rows->dims[1];
        table->bytes = norn_file_bytes(file).count;
    } else if (status == NORN_OK) {
        status = norn_fail(NORN_INVALID_ARGUMENT, "%s: no tensor 'rows' of rank 2", path);
    }
    norn_arena_deinit(&names);
    norn_file_release(file);
    return status;
}

/// ai.norn nodes name their table; a Gather from a large initializer is one in all but name.
static norn_status note_table(inspector *i, const norn_node *node) {
    norn_inspect_table *table;
    const char *name = NULL;
    const norn_value *rows = NULL;
    if (strcmp(node->op->domain, "ai.norn") == 0) {
        name = norn_attr_string(node->attrs, "table", NULL);
    } else if (strcmp(node->op->name, "Gather") == 0 &&
               norn_attr_i64(node->attrs, "axis", 0) == 0) {
        rows = norn_node_in(node, 0);
        size_t bytes = 0;
        if (!rows || !rows->data || rows->data->rank != 2 ||
            norn_view_bytes(rows->data, &bytes) != NORN_OK || bytes < TABLE_BYTES_MIN) {
            return NORN_OK;
        }
        name = rows->name;
    }
    if (!name) return NORN_OK;
    table = find_table(i->out, name);
    if (!table) {
        NORN_TRY(add_table(i, name, &table));
        table->dim = norn_attr_i64(node->attrs, "dim", 0);
        if (rows) {
            size_t bytes;
            NORN_TRY(norn_view_bytes(rows->data, &bytes));
            *table = (norn_inspect_table){
                name, "initializer", rows->data->dims[0], rows->data->dims[1], bytes, 0};
        }
        NORN_TRY(read_table(i->arena, i->tables_dir, table));
    }
    table->lookups++;
    return NORN_OK;
}

// ---- nodes

static norn_status add_node(inspector *i, norn_inspect_node **out) {
    norn_inspection *all = i->out;
    NORN_TRY(NORN_TAKE_MORE(i->arena, &all->nodes, all->node_count, &i->node_capacity));
    *out = &all->nodes[all->node_count++];
    **out = (norn_inspect_node){.depth = i->depth};
    return NORN_OK;
}

/// Constants of a node that no node before it read. `seen` is by value id.
static void count_parameters(inspector *i, const norn_node *node, uint8_t *seen,
                             norn_inspect_node *entry) {
    for (uint32_t k = 0; k < node->in_count; k++) {
        const norn_value *value = node->in[k].value;
        size_t bytes;
        if (!value || !value->data || seen[value->id]) continue;
        seen[value->id] = 1;
        int64_t elems = norn_view_elems(value->data);
        if (!norn_dtype_is_float(value->dtype) && elems < 16)
            continue; // axes and shapes are no parameters
        if (norn_view_bytes(value->data, &bytes) != NORN_OK) continue;
        entry->parameters += elems;
        i->out->parameters += elems;
        i->out->parameter_bytes += bytes;
    }
}

static norn_status describe(inspector *i, const norn_graph *graph, const norn_node *node,
                            norn_inspect_node *entry) {
    entry->name = node->name;
    entry->op = node->op->name;
    entry->outputs = entry->origin = "";
    if (*node->op->domain) {
        NORN_TRY(
            norn_arena_format(i->arena, &entry->op, "%s.%s", node->op->domain, node->op->name));
    }
    for (uint32_t k = 0; k < node->out_count; k++) {
        const char *type;
        if (!node->out[k]) continue;
        NORN_TRY(type_text(i, graph, node->out[k], &type));
        NORN_TRY(join(i, entry->outputs, type, &entry->outputs));
    }
    for (uint32_t k = 0; k < node->origin.count; k++) {
        NORN_TRY(join(i, entry->origin, node->origin.names[k], &entry->origin));
    }
    return NORN_OK;
}

static norn_status walk(inspector *i, const norn_graph *graph) {
    sizes s;
    uint8_t *seen;
    if (i->depth > DEPTH_MAX) return NORN_OK;
    NORN_TRY(sizes_of(i, graph, &s));
    NORN_TRY(NORN_TAKE_ARRAY(i->arena, graph->value_count, &seen));
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        norn_inspect_node *entry, filled;
        norn_cost cost;
        NORN_TRY(add_node(i, &entry));
        NORN_TRY(describe(i, graph, node, entry));
        NORN_TRY(node_cost(i, &s, node, &cost));
        entry->flops = cost.flops;
        entry->bytes = cost.bytes;
        count_parameters(i, node, seen, entry);
        filled = *entry;
        i->out->flops += filled.flops;
        i->out->bytes += filled.bytes;
        NORN_TRY(note_table(i, node));
        i->depth++;
        for (uint32_t k = 0; k < node->attrs.count; k++) {
            if (node->attrs.at[k].kind == NORN_ATTR_GRAPH)
                NORN_TRY(walk(i, node->attrs.at[k].graph));
        }
        i->depth--;
    }
    return NORN_OK;
}

static int by_count(const void *a, const void *b) {
    const norn_inspect_op *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static norn_status histogram(inspector *i) {
    norn_inspection *all = i->out;
    NORN_TRY(NORN_TAKE_ARRAY(i->arena, all->node_count, &all->ops));
    for (uint32_t k = 0; k < all->node_count; k++) {
        uint32_t at = 0;
        while (at < all->op_count && strcmp(all->ops[at].name, all->nodes[k].op) != 0) at++;
        if (at == all->op_count)
            all->ops[all->op_count++] = (norn_inspect_op){.name = all->nodes[k].op};
        all->ops[at].count++;
        all->ops[at].flops += all->nodes[k].flops;
    }
    if (all->op_count) qsort(all->ops, all->op_count, sizeof *all->ops, by_count);
    return NORN_OK;
}

static norn_status ports(inspector *i, const norn_graph *graph) {
    norn_inspection *all = i->out;
    NORN_TRY(NORN_TAKE_ARRAY(i->arena, graph->input_count, &all->inputs));
    NORN_TRY(NORN_TAKE_ARRAY(i->arena, graph->output_count, &all->outputs));
    for (uint32_t k = 0; k < graph->input_count; k++) {
        all->inputs[k].name = graph->inputs[k]->name;
        NORN_TRY(type_text(i, graph, graph->inputs[k], &all->inputs[k].type));
    }
    for (uint32_t k = 0; k < graph->output_count; k++) {
        all->outputs[k].name = graph->output_names[k];
        NORN_TRY(type_text(i, graph, graph->outputs[k].value, &all->outputs[k].type));
    }
    all->input_count = graph->input_count;
    all->output_count = graph->output_count;
    return NORN_OK;
}

norn_status norn_inspect_graph(const norn_graph *graph, const char *tables_dir, int64_t rows,
                               norn_arena *arena, norn_inspection *out) {
    inspector i = {.arena = arena, .out = out, .tables_dir = tables_dir};
    *out = (norn_inspection){
        .path = graph->path, .name = graph->name, .producer = "", .rows = rows > 0 ? rows : 1};
    if (graph->batch >= 0) out->batch = graph->symbols.at[graph->batch].name;
    NORN_TRY(ports(&i, graph));
    NORN_TRY(walk(&i, graph));
    return histogram(&i);
}

norn_status norn_inspect_plan_tables(const norn_plan *plan, const char *tables_dir,
                                     norn_arena *arena, norn_inspection *out) {
    NORN_TRY(NORN_TAKE_ARRAY(arena, plan->table_count, &out->tables));
    out->table_count = plan->table_count;
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const norn_plan_table *table = &plan->tables[i];
        size_t bytes = 0;
        if (table->data) NORN_TRY(norn_view_bytes(table->data, &bytes));
        out->tables[i] = (norn_inspect_table){
            .name = table->name,
            .source = table->data  ? table->source
                      : tables_dir ? "missing"
                                   : "the package's tables/",
            .rows = table->data ? table->data->dims[0] : -1,
            .dim = table->dim,
            .bytes = bytes,
        };
        if (!table->data) NORN_TRY(read_table(arena, tables_dir, &out->tables[i]));
    }
    return NORN_OK;
}
