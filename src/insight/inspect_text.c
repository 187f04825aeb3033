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
    norn_buffer_format(out, "operators: %u nodes\n", all->node_count);
    for (uint32_t i = 0; i < all->op_count; i++) {
        norn_buffer_format(out, "  %6u  %-28s %10s FLOPs\n", all->ops[i].count, all->ops[i].name,
                           norn_count_text(all->ops[i].flops, a));
    }
    text_nodes(all, all_nodes, out);
}

// ---- JSON

static void json_text(norn_buffer *out, const char *key, const char *value) {
    norn_buffer_format(out, "\"%s\":", key);
    if (value) {
        norn_json_put_string(out, value, strlen(value));
    } else {
        norn_buffer_text(out, "null");
    }
}

static void json_number(norn_buffer *out, const char *key, double value) {
    norn_buffer_format(out, ",\"%s\":%.0f", key, value); // counts: whole, if large
}

static void json_ports(const char *key, const norn_inspect_port *ports, uint32_t count,
                       norn_buffer *out) {
    norn_buffer_format(out, ",\"%s\":[", key);
    for (uint32_t i = 0; i < count; i++) {
        norn_buffer_text(out, i ? ",{" : "{");
        json_text(out, "name", ports[i].name);
        norn_buffer_text(out, ",");
        json_text(out, "type", ports[i].type);
        norn_buffer_text(out, "}");
    }
    norn_buffer_text(out, "]");
}

static void json_node(const norn_inspect_node *node, norn_buffer *out) {
    json_text(out, "name", node->name);
    norn_buffer_text(out, ",");
    json_text(out, "op", node->op);
    norn_buffer_text(out, ",");
    json_text(out, "outputs", node->outputs);
    norn_buffer_text(out, ",");
    json_text(out, "origin", node->origin);
    json_number(out, "flops", node->flops);
    json_number(out, "bytes", node->bytes);
    json_number(out, "parameters", (double)node->parameters);
    json_number(out, "depth", node->depth);
}

void norn_inspect_json(const norn_inspection *all, norn_buffer *out) {
    norn_buffer_text(out, "{");
    json_text(out, "path", all->path);
    norn_buffer_text(out, ",");
    json_text(out, "name", all->name);
    norn_buffer_text(out, ",");
    json_text(out, "producer", all->producer);
    norn_buffer_text(out, ",");
    json_text(out, "batch_symbol", all->batch);
    json_number(out, "opset", (double)all->opset);
    json_number(out, "batch", (double)all->rows);
    json_number(out, "parameters", (double)all->parameters);
    json_number(out, "parameter_bytes", (double)all->parameter_bytes);
    json_number(out, "flops", all->flops);
    json_number(out, "bytes", all->bytes);
    json_ports("inputs", all->inputs, all->input_count, out);
    json_ports("outputs", all->outputs, all->output_count, out);
    norn_buffer_text(out, ",\"operators\":{");
    for (uint32_t i = 0; i < all->op_count; i++) {
        if (i) norn_buffer_text(out, ",");
        norn_json_put_string(out, all->ops[i].name, strlen(all->ops[i].name));
        norn_buffer_format(out, ":%u", all->ops[i].count);
    }
    norn_buffer_text(out, "},\"tables\":[");
    for (uint32_t i = 0; i < all->table_count; i++) {
        const norn_inspect_table *table = &all->tables[i];
        norn_buffer_text(out, i ? ",{" : "{");
        json_text(out, "name", table->name);
        norn_buffer_text(out, ",");
        json_text(out, "source", table->source);
        json_number(out, "rows", (double)table->rows);
        json_number(out, "dim", (double)table->dim);
        json_number(out, "bytes", (double)table->bytes);
        json_number(out, "lookups", table->lookups);
        norn_buffer_text(out, "}");
    }
    norn_buffer_text(out, "],\"nodes\":[");
    for (uint32_t i = 0; i < all->node_count; i++) {
        norn_buffer_text(out, i ? ",{" : "{");
        json_node(&all->nodes[i], out);
        norn_buffer_text(out, "}");
    }
    norn_buffer_text(out, "]}\n");
}
