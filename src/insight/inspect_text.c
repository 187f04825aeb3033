#include "insight/inspect.h"

#include "base/json.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *scaled(double value, double step, const char *const *units,
                          char text[NORN_COUNT_TEXT]) {
    uint32_t unit = 0;
    while (value >= step * 0.9995 && units[unit + 1]) value /= step, unit++;
    int digits = unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
    snprintf(text, NORN_COUNT_TEXT, "%.*f%s", digits, value, units[unit]);
    return text;
}

const char *norn_count_text(double count, char text[NORN_COUNT_TEXT]) {
    static const char *const units[] = {"", " k", " M", " G", " T", " P", NULL};
    return scaled(count, 1000, units, text);
}

const char *norn_bytes_text(double bytes, char text[NORN_COUNT_TEXT]) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", NULL};
    return scaled(bytes, 1024, units, text);
}

// ---- text

static void text_ports(const char *title, const norn_inspect_port *ports, uint32_t count,
                       norn_buffer *out) {
    int width = 8;
    for (uint32_t i = 0; i < count; i++) {
        int n = (int)strlen(ports[i].name);
        if (n > width) width = n > 40 ? 40 : n;
    }
    norn_buffer_format(out, "%s\n", title);
    for (uint32_t i = 0; i < count; i++) {
        norn_buffer_format(out, "  %-*s  %s\n", width, ports[i].name, ports[i].type);
    }
}

static void text_tables(const norn_inspection *all, norn_buffer *out) {
    char bytes[NORN_COUNT_TEXT];
    if (all->table_count == 0) return;
    norn_buffer_format(out, "tables\n  %-24s %12s %6s %10s  %s\n", "name", "rows", "dim", "size",
                       "from");
    for (uint32_t i = 0; i < all->table_count; i++) {
        const norn_inspect_table *table = &all->tables[i];
        if (table->rows < 0) {
            norn_buffer_format(out, "  %-24s %12s %6lld %10s  %s\n", table->name, "?",
                               (long long)table->dim, "?", table->source);
            continue;
        }
        norn_buffer_format(out, "  %-24s %12lld %6lld %10s  %s\n", table->name,
                           (long long)table->rows, (long long)table->dim,
                           norn_bytes_text((double)table->bytes, bytes), table->source);
    }
}

static int by_work(const void *a, const void *b) {
    const norn_inspect_node *x = *(const norn_inspect_node *const *)a,
                            *y = *(const norn_inspect_node *const *)b;
    double wx = x->flops + x->bytes, wy = y->flops + y->bytes;
    if (wx != wy) return wx < wy ? 1 : -1;
    return x < y ? -1 : x > y;
}

static void text_nodes(const norn_inspection *all, bool every, norn_buffer *out) {
    enum { SHOWN = 20 };
    const norn_inspect_node **order;
    char flops[NORN_COUNT_TEXT], bytes[NORN_COUNT_TEXT], parameters[NORN_COUNT_TEXT];
    if (NORN_NEW_ARRAY(out->alloc, all->node_count, &order) != NORN_OK) {
        out->failed = true;
        return;
    }
    for (uint32_t i = 0; i < all->node_count; i++) order[i] = &all->nodes[i];
    uint32_t shown = all->node_count;
    if (!every && shown > SHOWN) {
        shown = SHOWN;
        qsort((void *)order, all->node_count, sizeof *order, by_work);
        norn_buffer_format(out, "nodes: the %d with the most work (--nodes lists all %u)\n", SHOWN,
                           all->node_count);
    } else {
        norn_buffer_text(out, "nodes\n");
    }
    norn_buffer_format(out, "  %10s %10s %10s  %-20s %-24s %s\n", "FLOPs", "bytes", "params",
                       "operator", "output", "name");
    for (uint32_t i = 0; i < shown; i++) {
        const norn_inspect_node *node = order[i];
        norn_buffer_format(out, "  %10s %10s %10s  %*s%-*s %-24s %s\n",
                           norn_count_text(node->flops, flops), norn_bytes_text(node->bytes, bytes),
                           norn_count_text((double)node->parameters, parameters),
                           (int)node->depth * 2, "",
                           20 - (int)node->depth * 2 > 1 ? 20 - (int)node->depth * 2 : 1, node->op,
                           node->outputs, *node->origin ? node->origin : node->name);
    }
    norn_free(out->alloc, (void *)order);
}

void norn_inspect_text(const norn_inspection *all, bool all_nodes, norn_buffer *out) {
    char a[NORN_COUNT_TEXT], b[NORN_COUNT_TEXT];
    norn_buffer_format(out, "%s", all->path);
    if (all->opset) norn_buffer_format(out, ": opset %lld", (long long)all->opset);
    if (*all->producer) norn_buffer_format(out, ", made by %s", all->producer);
    norn_buffer_format(out, "\nbatch       %s\n",
                       all->batch ? all->batch : "none: every size is fixed");
    norn_buffer_format(out, "parameters  %s (%s)\n", norn_count_text((double)all->parameters, a),
                       norn_bytes_text((double)all->parameter_bytes, b));
    norn_buffer_format(out, "work        %s FLOPs, %s moved, at batch %lld\n",
                       norn_count_text(all->flops, a), norn_bytes_text(all->bytes, b),
                       (long long)all->rows);
    text_ports("inputs", all->inputs, all->input_count, out);
    text_ports("outputs", all->outputs, all->output_count, out);
    text_tables(all, out);
    norn_buffer_format(out, "operators: %u node%s\n", all->node_count,
                       norn_plural(all->node_count));
    for (uint32_t i = 0; i < all->op_count; i++) {
        norn_buffer_format(out, "  %6u  %-28s %10s FLOPs\n", all->ops[i].count, all->ops[i].name,
                           norn_count_text(all->ops[i].flops, a));
    }
    text_nodes(all, all_nodes, out);
}

// ---- JSON

static void add_ports(norn_json_writer *json, const char *key, const norn_inspect_port *ports,
                      uint32_t count) {
    norn_json_begin_array(json, key);
    for (uint32_t i = 0; i < count; i++) {
        norn_json_begin_object(json, NULL);
        norn_json_add_text(json, "name", ports[i].name);
        norn_json_add_text(json, "type", ports[i].type);
        norn_json_end(json);
    }
    norn_json_end(json);
}

static void add_table(norn_json_writer *json, const norn_inspect_table *table) {
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", table->name);
    norn_json_add_text(json, "source", table->source);
    norn_json_add_i64(json, "rows", table->rows);
    norn_json_add_i64(json, "dim", table->dim);
    norn_json_add_u64(json, "bytes", table->bytes);
    norn_json_add_u64(json, "lookups", table->lookups);
    norn_json_end(json);
}

static void add_node(norn_json_writer *json, const norn_inspect_node *node) {
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", node->name);
    norn_json_add_text(json, "op", node->op);
    norn_json_add_text(json, "outputs", node->outputs);
    norn_json_add_text(json, "origin", node->origin);
    norn_json_add_fixed(json, "flops", node->flops, 0);
    norn_json_add_fixed(json, "bytes", node->bytes, 0);
    norn_json_add_i64(json, "parameters", node->parameters);
    norn_json_add_u64(json, "depth", node->depth);
    norn_json_end(json);
}

void norn_inspect_json(const norn_inspection *all, norn_buffer *out) {
    norn_json_writer json = {.buffer = out};
    norn_json_begin_object(&json, NULL);
    norn_json_add_text(&json, "path", all->path);
    norn_json_add_text(&json, "name", all->name);
    norn_json_add_text(&json, "producer", all->producer);
    norn_json_add_text(&json, "batch_symbol", all->batch);
    norn_json_add_i64(&json, "opset", all->opset);
    norn_json_add_i64(&json, "batch", all->rows);
    norn_json_add_i64(&json, "parameters", all->parameters);
    norn_json_add_u64(&json, "parameter_bytes", all->parameter_bytes);
    norn_json_add_fixed(&json, "flops", all->flops, 0);
    norn_json_add_fixed(&json, "bytes", all->bytes, 0);
    add_ports(&json, "inputs", all->inputs, all->input_count);
    add_ports(&json, "outputs", all->outputs, all->output_count);
    norn_json_begin_object(&json, "operators");
    for (uint32_t i = 0; i < all->op_count; i++)
        norn_json_add_u64(&json, all->ops[i].name, all->ops[i].count);
    norn_json_end(&json);
    norn_json_begin_array(&json, "tables");
    for (uint32_t i = 0; i < all->table_count; i++) add_table(&json, &all->tables[i]);
    norn_json_end(&json);
    norn_json_begin_array(&json, "nodes");
    for (uint32_t i = 0; i < all->node_count; i++) add_node(&json, &all->nodes[i]);
    norn_json_end(&json);
    norn_json_end(&json);
    norn_buffer_text(out, "\n");
}
