#include "graph/graph_fields.h"

#include "tensor/dtype.h"

#include <string.h>

typedef struct encoder {
    const norn_graph_sink *sink;
    norn_buffer *out;
} encoder;

static norn_status encode_graph(const encoder *e, const norn_graph *graph);

static void encode_dim(norn_buffer *out, uint32_t field, norn_dim dim) {
    size_t mark = norn_wire_begin(out, field);
    norn_wire_put_signed(out, DIM_CONSTANT, dim.constant);
    if (!norn_dim_is_const(dim)) {
        norn_wire_put_signed(out, DIM_COEF, dim.coef);
        norn_wire_put_varint(out, DIM_SYMBOL, (uint64_t)dim.symbol);
    }
    norn_wire_end(out, mark);
}

static void encode_symbol(norn_buffer *out, const norn_symbol *symbol) {
    size_t mark = norn_wire_begin(out, GRAPH_SYMBOL);
    norn_wire_put_varint(out, SYMBOL_KIND, (uint64_t)symbol->kind);
    norn_wire_put_text(out, SYMBOL_NAME, symbol->name);
    if (symbol->kind == NORN_SYMBOL_DERIVED) {
        norn_wire_put_varint(out, SYMBOL_OP, (uint64_t)symbol->op);
        encode_dim(out, SYMBOL_A, symbol->a);
        encode_dim(out, SYMBOL_B, symbol->b);
    } else {
        norn_wire_put_signed(out, SYMBOL_MIN, symbol->min);
        norn_wire_put_signed(out, SYMBOL_OPT, symbol->opt);
        norn_wire_put_signed(out, SYMBOL_MAX, symbol->max);
    }
    norn_wire_end(out, mark);
}

static norn_status encode_tensor(const encoder *e, uint32_t field, const norn_view *view) {
    norn_buffer *out = e->out;
    size_t mark = norn_wire_begin(out, field);
    norn_wire_put_varint(out, TENSOR_DTYPE, (uint64_t)view->dtype);
    for (int32_t i = 0; i < view->rank; i++) norn_wire_put_signed(out, TENSOR_DIMS, view->dims[i]);
    if (view->dtype == NORN_STRING) {
        const norn_string *strings = view->data;
        int64_t count = norn_view_elems(view);
        for (int64_t i = 0; i < count; i++) {
            norn_wire_put_bytes(out, TENSOR_STRING, strings[i].bytes, strings[i].count);
        }
    } else {
        size_t bytes;
        uint64_t offset = 0;
        NORN_TRY(norn_view_bytes(view, &bytes));
        if (bytes) NORN_TRY(e->sink->put(e->sink->context, view->data, bytes, &offset));
        norn_wire_put_varint(out, TENSOR_OFFSET, offset);
        norn_wire_put_varint(out, TENSOR_BYTES, bytes);
    }
    norn_wire_end(out, mark);
    return NORN_OK;
}

static norn_status encode_value(const encoder *e, const norn_value *value) {
    norn_buffer *out = e->out;
    size_t mark = norn_wire_begin(out, GRAPH_VALUE);
    if (value) { // an id that nothing uses any more is an empty message
        norn_wire_put_text(out, VALUE_NAME, value->name);
        norn_wire_put_varint(out, VALUE_DTYPE, (uint64_t)value->dtype);
        norn_wire_put_varint(out, VALUE_RANK_PLUS_1, (uint64_t)(value->shape.rank + 1));
        for (int32_t i = 0; i < value->shape.rank; i++) {
            encode_dim(out, VALUE_DIM, value->shape.dims[i]);
        }
        for (uint32_t i = 0; i < value->contents_count; i++) {
            encode_dim(out, VALUE_CONTENTS, value->contents[i]);
        }
        if (value->data) NORN_TRY(encode_tensor(e, VALUE_DATA, value->data));
        if (value->fallback) NORN_TRY(encode_tensor(e, VALUE_FALLBACK, value->fallback));
    }
    norn_wire_end(out, mark);
    return NORN_OK;
}

static norn_status encode_attr(const encoder *e, const norn_attr *attr) {
    norn_buffer *out = e->out;
    size_t mark = norn_wire_begin(out, NODE_ATTR);
    norn_wire_put_text(out, ATTR_NAME, attr->name);
    norn_wire_put_varint(out, ATTR_KIND, (uint64_t)attr->kind);
    switch (attr->kind) {
    case NORN_ATTR_INT:
        norn_wire_put_signed(out, ATTR_I64, attr->i64);
        break;
    case NORN_ATTR_FLOAT:
        norn_wire_put_float(out, ATTR_F32, attr->f32);
        break;
    case NORN_ATTR_STRING:
        norn_wire_put_bytes(out, ATTR_STRING, attr->string.bytes, attr->string.count);
        break;
    case NORN_ATTR_INTS:
        for (uint32_t i = 0; i < attr->count; i++)
            norn_wire_put_signed(out, ATTR_INTS, attr->ints[i]);
        break;
    case NORN_ATTR_FLOATS:
        for (uint32_t i = 0; i < attr->count; i++) {
            norn_wire_put_float(out, ATTR_FLOATS, attr->floats[i]);
        }
        break;
    case NORN_ATTR_STRINGS:
        for (uint32_t i = 0; i < attr->count; i++) {
            norn_wire_put_bytes(out, ATTR_STRINGS, attr->strings[i].bytes, attr->strings[i].count);
        }
        break;
    case NORN_ATTR_TENSOR:
        NORN_TRY(encode_tensor(e, ATTR_TENSOR, attr->tensor));
        break;
    case NORN_ATTR_GRAPH: {
        size_t body = norn_wire_begin(out, ATTR_GRAPH);
        NORN_TRY(encode_graph(e, attr->graph));
        norn_wire_end(out, body);
        break;
    }
    }
    norn_wire_end(out, mark);
    return NORN_OK;
}

static void encode_numbers(norn_buffer *out, const norn_numbers *numbers) {
    if (numbers->acc == NORN_DTYPE_NONE) return;
    size_t mark = norn_wire_begin(out, NODE_NUMBERS);
    norn_wire_put_varint(out, NUMBERS_A, (uint64_t)numbers->a);
    norn_wire_put_varint(out, NUMBERS_B, (uint64_t)numbers->b);
    norn_wire_put_varint(out, NUMBERS_ACC, (uint64_t)numbers->acc);
    norn_wire_put_varint(out, NUMBERS_OUT, (uint64_t)numbers->out);
    if (numbers->tf32) norn_wire_put_varint(out, NUMBERS_TF32, 1);
    norn_wire_end(out, mark);
}

static norn_status encode_node(const encoder *e, const norn_node *node) {
    norn_buffer *out = e->out;
    size_t mark = norn_wire_begin(out, GRAPH_NODE);
    norn_wire_put_text(out, NODE_DOMAIN, node->op->domain);
    norn_wire_put_text(out, NODE_OP, node->op->name);
    norn_wire_put_text(out, NODE_NAME, node->name);
    for (uint32_t i = 0; i < node->in_count; i++) { // 0: omitted
        const norn_value *value = node->in[i].value;
        norn_wire_put_varint(out, NODE_IN, value ? (uint64_t)value->id + 1 : 0);
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        norn_wire_put_varint(out, NODE_OUT, node->out[i] ? (uint64_t)node->out[i]->id + 1 : 0);
    }
    for (uint32_t i = 0; i < node->attrs.count; i++) NORN_TRY(encode_attr(e, &node->attrs.at[i]));
    if (node->region) {
        size_t region = norn_wire_begin(out, NODE_REGION);
        norn_region_encode(norn_region_kind_of(node->op->name), node->region, out);
        norn_wire_end(out, region);
    }
    encode_numbers(out, &node->numbers);
    if (node->place) norn_wire_put_varint(out, NODE_PLACE, node->place);
    for (uint32_t i = 0; i < node->origin.count; i++) {
        norn_wire_put_text(out, NODE_ORIGIN, node->origin.names[i]);
    }
    norn_wire_end(out, mark);
    return NORN_OK;
}

static norn_status encode_values(const encoder *e, const norn_graph *graph) {
    norn_arena scratch;
    norn_value **by_id;
    norn_arena_init(&scratch, graph->alloc, 4096);
    norn_status status = norn_graph_values(graph, &scratch, &by_id);
    for (uint32_t i = 0; status == NORN_OK && i < graph->value_count; i++) {
        status = encode_value(e, by_id[i]);
    }
    norn_arena_deinit(&scratch);
    return status;
}

static norn_status encode_graph(const encoder *e, const norn_graph *graph) {
    norn_buffer *out = e->out;
    norn_wire_put_text(out, GRAPH_NAME, graph->name);
    norn_wire_put_text(out, GRAPH_PATH, graph->path);
    for (int32_t i = 0; i < graph->symbols.count; i++) encode_symbol(out, &graph->symbols.at[i]);
    if (graph->batch >= 0) norn_wire_put_varint(out, GRAPH_BATCH, (uint64_t)graph->batch);
    NORN_TRY(encode_values(e, graph));
    for (uint32_t i = 0; i < graph->input_count; i++) {
        norn_wire_put_varint(out, GRAPH_INPUT, graph->inputs[i]->id);
    }
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        if (!node->dead) NORN_TRY(encode_node(e, node));
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        size_t mark = norn_wire_begin(out, GRAPH_OUTPUT);
        norn_wire_put_varint(out, OUTPUT_VALUE, graph->outputs[i].value->id);
        norn_wire_put_text(out, OUTPUT_NAME, graph->output_names[i]);
        if (graph->output_squeezed[i]) norn_wire_put_varint(out, OUTPUT_SQUEEZED, 1);
        norn_wire_end(out, mark);
    }
    return NORN_OK;
}

norn_status norn_graph_encode(const norn_graph *graph, const norn_graph_sink *sink,
                              norn_buffer *out) {
    encoder e = {sink, out};
    norn_wire_put_varint(out, GRAPH_VERSION, NORN_GRAPH_FILE_VERSION);
    NORN_TRY(encode_graph(&e, graph));
    return norn_buffer_status(out);
}
