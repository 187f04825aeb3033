/// One page without a network: tables that sort when their heads are clicked.
#include "insight/inspect.h"

#include <string.h>

static void escape(norn_buffer *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<':
            norn_buffer_text(out, "&lt;");
            break;
        case '>':
            norn_buffer_text(out, "&gt;");
            break;
        case '&':
            norn_buffer_text(out, "&amp;");
            break;
        case '"':
            norn_buffer_text(out, "&quot;");
            break;
        default:
            norn_buffer_append(out, text, 1);
            break;
        }
    }
}

static void cell(norn_buffer *out, const char *text) {
    norn_buffer_text(out, "<td>");
    escape(out, text);
    norn_buffer_text(out, "</td>");
}

/// data-v sorts; the text reads.
static void number_cell(norn_buffer *out, double value, const char *text) {
    norn_buffer_format(out, "<td class=n data-v=%.17g>%s</td>", value, text);
}

static void port_rows(norn_buffer *out, const char *kind, const norn_inspect_port *ports,
                      uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        norn_buffer_text(out, "<tr>");
        cell(out, kind);
        cell(out, ports[i].name);
        cell(out, ports[i].type);
        norn_buffer_text(out, "</tr>\n");
    }
}

static const char head[] =
    "<!doctype html><meta charset=utf-8><title>Norn</title><style>"
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1200px;padding:0 "
    "1em;color:#222}"
    "table{border-collapse:collapse;margin:.5em 0 2em;width:100%}th,td{padding:.25em "
    ".6em;text-align:left;"
    "border-bottom:1px solid "
    "#ddd;vertical-align:top;overflow-wrap:anywhere}th{cursor:pointer;background:#f4f4f4;"
    "position:sticky;top:0}.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-"
    "nums}"
    "h1{font-size:1.4em}h2{font-size:1.1em}p{margin:.2em 0}</style>\n";

static const char tail[] =
    "<script>document.querySelectorAll('th').forEach(th=>th.onclick=()=>{const "
    "b=th.closest('table').tBodies[0],"
    "i=th.cellIndex,k=r=>{const c=r.cells[i];return "
    "c.dataset.v!==undefined?+c.dataset.v:c.textContent},"
    "d=th.dataset.d=th.dataset.d==='-1'?'1':'-1';[...b.rows].sort((x,y)=>{const p=k(x),q=k(y);"
    "return (p<q?-1:p>q?1:0)*d}).forEach(r=>b.append(r))})</script>\n";

static void tables(const norn_inspection *all, norn_buffer *out) {
    char text[NORN_COUNT_TEXT];
    if (all->table_count == 0) return;
    norn_buffer_text(out,
                     "<h2>Tables</h2><table><thead><tr><th>name<th>rows<th>dim<th>size<th>from</"
                     "thead><tbody>\n");
    for (uint32_t i = 0; i < all->table_count; i++) {
        const norn_inspect_table *table = &all->tables[i];
        norn_buffer_text(out, "<tr>");
        cell(out, table->name);
        number_cell(out, (double)table->rows,
                    table->rows < 0 ? "?" : norn_count_text((double)table->rows, text));
        number_cell(out, (double)table->dim, norn_count_text((double)table->dim, text));
        number_cell(out, (double)table->bytes, norn_bytes_text((double)table->bytes, text));
        cell(out, table->source);
        norn_buffer_text(out, "</tr>\n");
    }
    norn_buffer_text(out, "</tbody></table>\n");
}

void norn_inspect_html(const norn_inspection *all, norn_buffer *out) {
    char a[NORN_COUNT_TEXT], b[NORN_COUNT_TEXT];
    norn_buffer_text(out, head);
    norn_buffer_text(out, "<h1>");
    escape(out, all->path);
    norn_buffer_format(out, "</h1><p>%s parameters (%s)",
                       norn_count_text((double)all->parameters, a),
                       norn_bytes_text((double)all->parameter_bytes, b));
    norn_buffer_format(out, "<p>%s FLOPs, %s moved at batch %lld", norn_count_text(all->flops, a),
                       norn_bytes_text(all->bytes, b), (long long)all->rows);
    norn_buffer_text(
        out,
        "<h2>Inputs and outputs</h2><table><thead><tr><th>kind<th>name<th>type</thead><tbody>\n");
    port_rows(out, "input", all->inputs, all->input_count);
    port_rows(out, "output", all->outputs, all->output_count);
    norn_buffer_text(out, "</tbody></table>\n");
    tables(all, out);
    norn_buffer_text(
        out, "<h2>Operators</h2><table><thead><tr><th>operator<th>nodes<th>FLOPs</thead><tbody>\n");
    for (uint32_t i = 0; i < all->op_count; i++) {
        norn_buffer_text(out, "<tr>");
        cell(out, all->ops[i].name);
        number_cell(out, all->ops[i].count, norn_count_text(all->ops[i].count, a));
        number_cell(out, all->ops[i].flops, norn_count_text(all->ops[i].flops, a));
        norn_buffer_text(out, "</tr>\n");
    }
    norn_buffer_text(out, "</tbody></table>\n<h2>Nodes</"
                          "h2><table><thead><tr><th>#<th>operator<th>output<th>FLOPs<th>bytes"
                          "<th>parameters<th>from</thead><tbody>\n");
    for (uint32_t i = 0; i < all->node_count; i++) {
        const norn_inspect_node *node = &all->nodes[i];
        norn_buffer_format(out, "<tr><td class=n data-v=%u>%u</td>", i, i);
        cell(out, node->op);
        cell(out, node->outputs);
        number_cell(out, node->flops, norn_count_text(node->flops, a));
        number_cell(out, node->bytes, norn_bytes_text(node->bytes, a));
        number_cell(out, (double)node->parameters, norn_count_text((double)node->parameters, a));
        cell(out, *node->origin ? node->origin : node->name);
        norn_buffer_text(out, "</tr>\n");
    }
    norn_buffer_text(out, "</tbody></table>\n");
    norn_buffer_text(out, tail);
}
