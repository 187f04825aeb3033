#include "graph/graph.h"

#include "tensor/dtype.h"

#include <string.h>

enum { INLINE_ELEMS = 8, DEPTH_MAX = 32 };

static void print_indent(norn_buffer *out, int depth) {
    for (int i = 0; i < depth; i++) norn_buffer_text(out, "    ");
}

static void print_type(const norn_graph *graph, const norn_value *value, norn_buffer *out) {
    char text[NORN_DIM_TEXT];
    norn_buffer_text(out, norn_dtype_name(value->dtype));
    if (value->shape.rank < 0) {
        norn_buffer_text(out, "[...]");
        return;
    }
    norn_buffer_text(out, "[");
    for (int32_t i = 0; i < value->shape.rank; i++) {
        norn_buffer_format(out, "%s%s", i ? "," : "",
                           norn_dim_text(&graph->symbols, value->shape.dims[i], text));
    }
    norn_buffer_text(out, "]");
}

static void print_elements(const norn_view *view, int64_t count, norn_buffer *out) {
    bool is_float = norn_dtype_is_float(view->dtype);
    norn_buffer_text(out, "{");
    for (int64_t i = 0; i < count; i++) {
        if (i) norn_buffer_text(out, ",");
        if (is_float) {
            norn_buffer_format(out, "%.9g", norn_element_f64(view->dtype, view->data, i));
        } else {
            norn_buffer_format(out, "%lld",
                               (long long)norn_element_i64(view->dtype, view->data, i));
        }
    }
    norn_buffer_text(out, "}");
}

static bool is_numeric(norn_dtype dtype) {
    return norn_dtype_is_float(dtype) || norn_dtype_is_integer(dtype) || dtype == NORN_BOOL;
}

/// Computed values and inputs by id; a constant by its name, or its elements when it has few.
static void print_operand(const norn_value *value, norn_buffer *out) {
    if (!value) {
        norn_buffer_text(out, "_");
        return;
    }
    if (!value->data) {
        norn_buffer_format(out, "%%%u", value->id);
        return;
    }
    int64_t count = norn_view_elems(value->data);
    if (count >= 0 && count <= INLINE_ELEMS && is_numeric(value->dtype)) {
        print_elements(value->data, count, out);
    } else if (*value->name) {
        norn_buffer_format(out, "%%%s", value->name);
    } else {
        norn_buffer_format(out, "%%%u", value->id);
    }
}

static void print_attr(const norn_attr *attr, norn_buffer *out) {
    char text[NORN_VIEW_TEXT];
    norn_buffer_format(out, "%s=", attr->name);
    switch (attr->kind) {
    case NORN_ATTR_INT:
        norn_buffer_format(out, "%lld", (long long)attr->i64);
        break;
    case NORN_ATTR_FLOAT:
        norn_buffer_format(out, "%.9g", (double)attr->f32);
        break;
    case NORN_ATTR_STRING:
        norn_buffer_text(out, "\"");
        norn_buffer_append(out, attr->string.bytes, attr->string.count);
        norn_buffer_text(out, "\"");
        break;
    case NORN_ATTR_INTS:
        norn_buffer_text(out, "[");
        for (uint32_t i = 0; i < attr->count; i++) {
            norn_buffer_format(out, "%s%lld", i ? "," : "", (long long)attr->ints[i]);
        }
        norn_buffer_text(out, "]");
        break;
    case NORN_ATTR_FLOATS:
        norn_buffer_text(out, "[");
        for (uint32_t i = 0; i < attr->count; i++) {
            norn_buffer_format(out, "%s%.9g", i ? "," : "", (double)attr->floats[i]);
        }
        norn_buffer_text(out, "]");
        break;
    case NORN_ATTR_STRINGS:
        norn_buffer_format(out, "%u strings", attr->count);
        break;
    case NORN_ATTR_TENSOR:
        norn_buffer_text(out, norn_view_text(attr->tensor, text));
        break;
    case NORN_ATTR_GRAPH:
        norn_buffer_format(out, "body '%s'", attr->graph->name);
        break;
    }
}

static void print_origin(const norn_node *node, norn_buffer *out) {
    if (node->origin.count == 0 && *node->name == 0) return;
    norn_buffer_text(out, "  # ");
    if (node->origin.count == 0) norn_buffer_text(out, node->name);
    for (uint32_t i = 0; i < node->origin.count; i++) {
        norn_buffer_format(out, "%s%s", i ? ", " : "", node->origin.names[i]);
    }
}

/// Numbers that F32 values do not say already.
static void print_numbers(const norn_numbers *numbers, norn_buffer *out) {
    if (numbers->tf32) norn_buffer_text(out, " in tf32");
    if (numbers->acc == NORN_DTYPE_NONE || (numbers->a == NORN_F32 && numbers->b == NORN_F32))
        return;
    norn_buffer_format(out, " in %s x %s + %s", norn_dtype_name(numbers->a),
                       norn_dtype_name(numbers->b), norn_dtype_name(numbers->acc));
}

static void print_graph(const norn_graph *graph, int depth, norn_buffer *out);

static void print_node(const norn_graph *graph, const norn_node *node, int depth,
                       norn_buffer *out) {
    print_indent(out, depth);
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (i) norn_buffer_text(out, ", ");
        if (!node->out[i]) {
            norn_buffer_text(out, "_");
            continue;
        }
        norn_buffer_format(out, "%%%u ", node->out[i]->id);
        print_type(graph, node->out[i], out);
    }
    norn_buffer_format(out, " = %s%s%s(", node->op->domain, *node->op->domain ? "." : "",
                       node->op->name);
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (i) norn_buffer_text(out, ", ");
        print_operand(node->in[i].value, out);
    }
    norn_buffer_text(out, ")");
    for (uint32_t i = 0; i < node->attrs.count; i++) {
        norn_buffer_text(out, i ? ", " : " {");
        print_attr(&node->attrs.at[i], out);
    }
    if (node->attrs.count) norn_buffer_text(out, "}");
    print_numbers(&node->numbers, out);
    print_origin(node, out);
    norn_buffer_text(out, "\n");
    if (node->region) norn_region_print(norn_region_kind_of(node->op->name), node->region, out);
    for (uint32_t i = 0; i < node->attrs.count; i++) {
        if (node->attrs.at[i].kind == NORN_ATTR_GRAPH) {
            print_graph(node->attrs.at[i].graph, depth + 1, out);
        }
    }
}

static void print_graph(const norn_graph *graph, int depth, norn_buffer *out) {
    if (depth > DEPTH_MAX) return;
    print_indent(out, depth);
    norn_buffer_format(out, "graph '%s'", graph->name);
    if (graph->batch >= 0) {
        norn_buffer_format(out, " batch=%s", graph->symbols.at[graph->batch].name);
    }
    norn_buffer_text(out, "\n");
    for (uint32_t i = 0; i < graph->input_count; i++) {
        print_indent(out, depth);
        norn_buffer_format(out, "input %%%u ", graph->inputs[i]->id);
        print_type(graph, graph->inputs[i], out);
        norn_buffer_format(out, " %s\n", graph->inputs[i]->name);
    }
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        print_node(graph, node, depth, out);
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        print_indent(out, depth);
        norn_buffer_text(out, "output ");
        print_operand(graph->outputs[i].value, out);
        norn_buffer_text(out, " ");
        if (graph->outputs[i].value) print_type(graph, graph->outputs[i].value, out);
        norn_buffer_format(out, " %s\n", graph->output_names[i]);
    }
}

void norn_graph_print(const norn_graph *graph, norn_buffer *out) {
    print_graph(graph, 0, out);
}
