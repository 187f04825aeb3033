#include "graph/graph_fields.h"

#include "base/memory.h"
#include "tensor/dtype.h"

#include <string.h>

enum { DEPTH_MAX = 32 };

typedef struct decoder {
    const norn_graph_source *source;
    norn_graph *graph;
    norn_value **values; // by id
    uint32_t value_count, values_read;
    int depth;
} decoder;

static norn_status malformed(const char *what) {
    return norn_fail(NORN_DATA_LOSS, "malformed graph: %s", what);
}

static norn_status take_text(norn_arena *arena, norn_span text, const char **out) {
    if (text.count && memchr(text.bytes, 0, text.count))
        return malformed("a name holds a zero byte");
    return norn_arena_string(arena, (const char *)text.bytes, text.count, out);
}

// ---- symbols and dimensions

static norn_status dim_field(void *context, const norn_wire_field *field) {
    norn_dim *dim = context;
    switch (field->number) {
    case DIM_CONSTANT:
        dim->constant = (int64_t)field->value;
        break;
    case DIM_COEF:
        dim->coef = (int64_t)field->value;
        break;
    case DIM_SYMBOL:
        if (field->value >= NORN_SYMBOLS_MAX) return malformed("a dimension of no symbol");
        dim->symbol = (int32_t)field->value;
        break;
    default:
        break;
    }
    return NORN_OK;
}

/// Symbols below `count` exist.
static norn_status decode_dim(norn_span message, int32_t count, norn_dim *out) {
    *out = norn_dim_const(0);
    NORN_TRY(norn_wire_visit(message, dim_field, out));
    if (out->symbol >= count || (out->symbol < 0) != (out->coef == 0)) {
        return malformed("a dimension of no symbol");
    }
    return NORN_OK;
}

typedef struct symbol_message {
    norn_symbol symbol;
    norn_span name;
    int32_t count;
} symbol_message;

static norn_status symbol_field(void *context, const norn_wire_field *field) {
    symbol_message *m = context;
    switch (field->number) {
    case SYMBOL_KIND:
        if (field->value > NORN_SYMBOL_RUNTIME) return malformed("kind of a symbol");
        m->symbol.kind = (norn_symbol_kind)field->value;
        break;
    case SYMBOL_NAME:
        m->name = field->bytes;
        break;
    case SYMBOL_OP:
        if (field->value > NORN_DIM_MAX) return malformed("operation of a symbol");
        m->symbol.op = (norn_dim_op)field->value;
        break;
    case SYMBOL_A:
        return decode_dim(field->bytes, m->count, &m->symbol.a);
    case SYMBOL_B:
        return decode_dim(field->bytes, m->count, &m->symbol.b);
    case SYMBOL_MIN:
        m->symbol.min = (int64_t)field->value;
        break;
    case SYMBOL_OPT:
        m->symbol.opt = (int64_t)field->value;
        break;
    case SYMBOL_MAX:
        m->symbol.max = (int64_t)field->value;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status decode_symbol(decoder *d, norn_span message) {
    norn_symbols *symbols = &d->graph->symbols;
    symbol_message m = {.count = symbols->count};
    m.symbol.a = m.symbol.b = norn_dim_const(0);
    norn_dim dim;
    int32_t index;
    NORN_TRY(norn_wire_visit(message, symbol_field, &m));
    if (m.symbol.kind == NORN_SYMBOL_DERIVED) {
        return norn_symbol_derived(symbols, m.symbol.op, m.symbol.a, m.symbol.b, &index);
    }
    bool sane = m.symbol.min >= 0 && m.symbol.opt >= 0 && m.symbol.max >= -1;
    if (!sane) return malformed("profile of a symbol");
    NORN_TRY(norn_symbol_runtime(symbols, &dim)); // a place of its own, whatever the name
    norn_symbol *symbol = &symbols->at[dim.symbol];
    *symbol = m.symbol;
    return take_text(symbols->arena, m.name, &symbol->name);
}

// ---- tensors

typedef struct tensor_message {
    norn_view view;
    uint64_t offset, bytes;
    uint64_t string_count;
    norn_string *strings;
    norn_arena *arena;
} tensor_message;

static norn_status tensor_field(void *context, const norn_wire_field *field) {
    tensor_message *m = context;
    switch (field->number) {
    case TENSOR_DTYPE:
        if (field->value == 0 || field->value >= NORN_DTYPE_COUNT) {
            return malformed("element type of a constant");
        }
        m->view.dtype = (norn_dtype)field->value;
        break;
    case TENSOR_DIMS:
        if (m->view.rank == NORN_MAX_RANK) return malformed("rank of a constant");
        m->view.dims[m->view.rank++] = (int64_t)field->value;
        break;
    case TENSOR_OFFSET:
        m->offset = field->value;
        break;
    case TENSOR_BYTES:
        m->bytes = field->value;
        break;
    case TENSOR_STRING:
        m->string_count++;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status string_field(void *context, const norn_wire_field *field) {
    tensor_message *m = context;
    if (field->number != TENSOR_STRING) return NORN_OK;
    norn_string *string = &m->strings[m->string_count++];
    string->count = field->bytes.count;
    return norn_arena_string(m->arena, (const char *)field->bytes.bytes, field->bytes.count,
                             &string->bytes);
}

static norn_status decode_tensor(decoder *d, norn_span message, norn_view *out) {
    tensor_message m = {.arena = &d->graph->arena};
    size_t bytes;
    NORN_TRY(norn_wire_visit(message, tensor_field, &m));
    int64_t elems = norn_view_elems(&m.view);
    if (m.view.dtype == NORN_DTYPE_NONE || elems < 0) return malformed("shape of a constant");
    if (m.view.dtype == NORN_STRING) {
        if ((uint64_t)elems != m.string_count) return malformed("strings of a constant");
        NORN_TRY(NORN_TAKE_ARRAY(m.arena, m.string_count, &m.strings));
        m.string_count = 0;
        NORN_TRY(norn_wire_visit(message, string_field, &m));
        m.view.data = m.strings;
    } else {
        if (norn_view_bytes(&m.view, &bytes) != NORN_OK || bytes != m.bytes) {
            return malformed("size of a constant");
        }
        if (bytes == 0) { // never dereferenced, but present
            NORN_TRY(norn_arena_take(m.arena, 1, NORN_HOST_ALIGN, NORN_HOST_ALIGN, &m.view.data));
        } else {
            NORN_TRY(d->source->get(d->source->context, m.offset, bytes, &m.view.data));
        }
        uint32_t align = (norn_dtype_bits(m.view.dtype) + 7) / 8;
        if (align > 8) align = 8;
        if ((uintptr_t)m.view.data % align != 0) return malformed("alignment of a constant");
    }
    *out = m.view;
    return NORN_OK;
}

// ---- values

typedef struct value_message {
    decoder *d;
    norn_value *value;
    norn_dim *contents;
    int64_t rank;
    int32_t dims;
} value_message;

static norn_status value_field(void *context, const norn_wire_field *field) {
    value_message *m = context;
    norn_graph *graph = m->d->graph;
    norn_value *value = m->value;
    switch (field->number) {
    case VALUE_NAME:
        return take_text(&graph->arena, field->bytes, &value->name);
    case VALUE_DTYPE:
        if (field->value != NORN_DTYPE_NONE && !norn_dtype_is_known(field->value))
            return malformed("element type of a value");
        value->dtype = (norn_dtype)field->value;
        break;
    case VALUE_RANK_PLUS_1:
        if (field->value > NORN_MAX_RANK + 1) return malformed("rank of a value");
        m->rank = (int64_t)field->value - 1;
        break;
    case VALUE_DIM:
        if (m->dims == NORN_MAX_RANK) return malformed("rank of a value");
        return decode_dim(field->bytes, graph->symbols.count, &value->shape.dims[m->dims++]);
    case VALUE_CONTENTS:
        if (value->contents_count == NORN_CONTENTS_MAX) return malformed("contents of a value");
        if (!m->contents) NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, NORN_CONTENTS_MAX, &m->contents));
        value->contents = m->contents;
        return decode_dim(field->bytes, graph->symbols.count,
                          &m->contents[value->contents_count++]);
    case VALUE_DATA:
    case VALUE_FALLBACK: {
        norn_view *view;
        NORN_TRY(NORN_TAKE(&graph->arena, &view));
        NORN_TRY(decode_tensor(m->d, field->bytes, view));
        *(field->number == VALUE_DATA ? &value->data : &value->fallback) = view;
        break;
    }
    default:
        break;
    }
    return NORN_OK;
}

static norn_status decode_value(decoder *d, norn_span message) {
    value_message m = {.d = d, .rank = -1};
    NORN_TRY(norn_graph_value(d->graph, NULL, NORN_DTYPE_NONE, NULL, &m.value));
    NORN_TRY(norn_wire_visit(message, value_field, &m));
    norn_value *value = m.value;
    if (m.dims != (m.rank < 0 ? 0 : m.rank)) return malformed("rank of a value");
    value->shape.rank = (int32_t)m.rank;
    if (value->data) {
        norn_shape shape = {.rank = value->data->rank};
        for (int32_t i = 0; i < shape.rank; i++)
            shape.dims[i] = norn_dim_const(value->data->dims[i]);
        if (!norn_shape_equal(&shape, &value->shape) || value->dtype != value->data->dtype) {
            return malformed("a constant does not have its value's shape");
        }
    }
    d->values[d->values_read++] = value;
    return NORN_OK;
}

// ---- nodes

static norn_status decode_graph(decoder *d, norn_span message);

typedef struct attr_message {
    decoder *d;
    norn_attr attr;
    int64_t *ints;
    float *floats;
    norn_string *strings;
    uint32_t count;
    bool fill; // the second reading: lists have room
} attr_message;

static norn_status take_string(norn_arena *arena, norn_span bytes, norn_string *out) {
    out->count = bytes.count;
    return norn_arena_string(arena, (const char *)bytes.bytes, bytes.count, &out->bytes);
}

static norn_status attr_body(attr_message *m, norn_span message) {
    decoder inner = {.source = m->d->source, .depth = m->d->depth + 1};
    if (inner.depth > DEPTH_MAX) return malformed("bodies are nested too deep");
    NORN_TRY(norn_graph_create_body(m->d->graph, "", &inner.graph));
    m->attr.graph = inner.graph;
    return decode_graph(&inner, message);
}

static norn_status attr_list_field(attr_message *m, const norn_wire_field *field) {
    uint32_t i = m->count++;
    if (!m->fill) return NORN_OK;
    if (field->number == ATTR_INTS) m->ints[i] = (int64_t)field->value;
    if (field->number == ATTR_FLOATS) m->floats[i] = norn_wire_float(field);
    if (field->number == ATTR_STRINGS) {
        return take_string(&m->d->graph->arena, field->bytes, &m->strings[i]);
    }
    return NORN_OK;
}

static norn_status attr_field(void *context, const norn_wire_field *field) {
    attr_message *m = context;
    norn_arena *arena = &m->d->graph->arena;
    norn_attr *attr = &m->attr;
    static const uint32_t field_of[] = {
        [NORN_ATTR_INT] = ATTR_I64,       [NORN_ATTR_FLOAT] = ATTR_F32,
        [NORN_ATTR_STRING] = ATTR_STRING, [NORN_ATTR_INTS] = ATTR_INTS,
        [NORN_ATTR_FLOATS] = ATTR_FLOATS, [NORN_ATTR_STRINGS] = ATTR_STRINGS,
        [NORN_ATTR_TENSOR] = ATTR_TENSOR, [NORN_ATTR_GRAPH] = ATTR_GRAPH,
    };
    if (m->fill && field->number != field_of[attr->kind]) return NORN_OK;
    switch (field->number) {
    case ATTR_NAME:
        return take_text(arena, field->bytes, &attr->name);
    case ATTR_KIND:
        if (field->value < NORN_ATTR_INT || field->value > NORN_ATTR_GRAPH) {
            return malformed("kind of an attribute");
        }
        attr->kind = (norn_attr_kind)field->value;
        break;
    case ATTR_INTS:
    case ATTR_FLOATS:
    case ATTR_STRINGS:
        // Lists are counted in the first reading, whose kind comes before them.
        if (attr->kind == 0 || field->number != field_of[attr->kind]) break;
        return attr_list_field(m, field);
    case ATTR_I64:
        if (m->fill) attr->i64 = (int64_t)field->value;
        break;
    case ATTR_F32:
        if (m->fill) attr->f32 = norn_wire_float(field);
        break;
    case ATTR_STRING:
        return m->fill ? take_string(arena, field->bytes, &attr->string) : NORN_OK;
    case ATTR_TENSOR: {
        norn_view *view;
        if (!m->fill) break;
        NORN_TRY(NORN_TAKE(arena, &view));
        NORN_TRY(decode_tensor(m->d, field->bytes, view));
        attr->tensor = view;
        break;
    }
    case ATTR_GRAPH:
        if (!m->fill) break;
        return attr->graph ? malformed("two bodies in one attribute") : attr_body(m, field->bytes);
    default:
        break;
    }
    return NORN_OK;
}

static norn_status decode_attr(decoder *d, norn_span message, norn_attr *out) {
    attr_message m = {.d = d};
    norn_arena *arena = &d->graph->arena;
    NORN_TRY(norn_wire_visit(message, attr_field, &m));
    if (m.attr.kind == 0 || !m.attr.name) return malformed("an attribute without kind or name");
    switch (m.attr.kind) {
    case NORN_ATTR_INTS:
        NORN_TRY(NORN_TAKE_ARRAY(arena, m.count, &m.ints));
        m.attr.ints = m.ints;
        break;
    case NORN_ATTR_FLOATS:
        NORN_TRY(NORN_TAKE_ARRAY(arena, m.count, &m.floats));
        m.attr.floats = m.floats;
        break;
    case NORN_ATTR_STRINGS:
        NORN_TRY(NORN_TAKE_ARRAY(arena, m.count, &m.strings));
        m.attr.strings = m.strings;
        break;
    case NORN_ATTR_INT:
    case NORN_ATTR_FLOAT:
    case NORN_ATTR_STRING:
    case NORN_ATTR_TENSOR:
    case NORN_ATTR_GRAPH:
        break;
    }
    m.attr.count = m.count;
    m.count = 0;
    m.fill = true;
    NORN_TRY(norn_wire_visit(message, attr_field, &m));
    bool missing = (m.attr.kind == NORN_ATTR_TENSOR && !m.attr.tensor) ||
                   (m.attr.kind == NORN_ATTR_GRAPH && !m.attr.graph) ||
                   (m.attr.kind == NORN_ATTR_STRING && !m.attr.string.bytes);
    if (missing) return malformed("an attribute without its value");
    *out = m.attr;
    return NORN_OK;
}

typedef struct node_message {
    decoder *d;
    const char *domain, *op, *name;
    uint32_t in_count, out_count, attr_count, origin_count;
    norn_value **in, **out;
    norn_attr *attrs;
    const char **origin;
    uint64_t place;
    norn_numbers numbers;
    norn_span region;
    bool fill, has_region;
} node_message;

static norn_status node_value(const node_message *m, uint64_t id_plus_1, norn_value **out) {
    *out = NULL;
    if (id_plus_1 == 0) return NORN_OK;
    if (id_plus_1 > m->d->value_count) return malformed("a node reads or writes no value");
    *out = m->d->values[id_plus_1 - 1];
    return NORN_OK;
}

static norn_status numbers_field(void *context, const norn_wire_field *field) {
    norn_numbers *numbers = context;
    norn_dtype *of[] = {[NUMBERS_A] = &numbers->a,
                        [NUMBERS_B] = &numbers->b,
                        [NUMBERS_ACC] = &numbers->acc,
                        [NUMBERS_OUT] = &numbers->out};
    if (field->number == NUMBERS_TF32) numbers->tf32 = field->value != 0;
    if (field->number < NUMBERS_A || field->number > NUMBERS_OUT) return NORN_OK;
    if (!norn_dtype_is_known(field->value)) return malformed("numbers of a product");
    *of[field->number] = (norn_dtype)field->value;
    return NORN_OK;
}

static norn_status node_field(void *context, const norn_wire_field *field) {
    node_message *m = context;
    norn_arena *arena = &m->d->graph->arena;
    uint32_t i;
    switch (field->number) {
    case NODE_DOMAIN:
        return m->fill ? NORN_OK : take_text(arena, field->bytes, &m->domain);
    case NODE_OP:
        return m->fill ? NORN_OK : take_text(arena, field->bytes, &m->op);
    case NODE_NAME:
        return m->fill ? NORN_OK : take_text(arena, field->bytes, &m->name);
    case NODE_IN:
        i = m->in_count++;
        return m->fill ? node_value(m, field->value, &m->in[i]) : NORN_OK;
    case NODE_OUT:
        i = m->out_count++;
        return m->fill ? node_value(m, field->value, &m->out[i]) : NORN_OK;
    case NODE_ATTR:
        i = m->attr_count++;
        return m->fill ? decode_attr(m->d, field->bytes, &m->attrs[i]) : NORN_OK;
    case NODE_ORIGIN:
        i = m->origin_count++;
        return m->fill ? take_text(arena, field->bytes, &m->origin[i]) : NORN_OK;
    case NODE_PLACE:
        m->place = field->value;
        break;
    case NODE_NUMBERS:
        return norn_wire_visit(field->bytes, numbers_field, &m->numbers);
    case NODE_REGION:
        m->region = field->bytes;
        m->has_region = true;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status decode_node(decoder *d, norn_span message) {
    node_message m = {.d = d, .domain = "", .op = "", .name = ""};
    norn_arena *arena = &d->graph->arena;
    norn_node *node;
    NORN_TRY(norn_wire_visit(message, node_field, &m));
    NORN_TRY(NORN_TAKE_ARRAY(arena, m.in_count, &m.in));
    NORN_TRY(NORN_TAKE_ARRAY(arena, m.out_count, &m.out));
    NORN_TRY(NORN_TAKE_ARRAY(arena, m.attr_count, &m.attrs));
    NORN_TRY(NORN_TAKE_ARRAY(arena, m.origin_count, &m.origin));
    m.in_count = m.out_count = m.attr_count = m.origin_count = 0;
    m.fill = true;
    NORN_TRY(norn_wire_visit(message, node_field, &m));
    const norn_op_info *op = d->source->find_op(m.domain, m.op);
    if (!op) {
        return norn_fail(
            NORN_FAILED_PRECONDITION,
            "the plan uses operator '%s%s%s', which this build does not have; compile again",
            m.domain, *m.domain ? "." : "", m.op);
    }
    NORN_TRY(norn_graph_node(d->graph, NULL, op, m.name, m.in, m.in_count, m.out, m.out_count,
                             (norn_attrs){m.attrs, m.attr_count}, NULL, &node));
    node->origin = (norn_origin){m.origin, m.origin_count};
    if (m.place > UINT8_MAX) return malformed("place of a node");
    node->place = (uint8_t)m.place;
    node->numbers = m.numbers;
    if (!m.has_region) return NORN_OK;
    return norn_region_decode(norn_region_kind_of(op->name), m.region, arena, m.in_count,
                              m.out_count, &node->region);
}

// ---- graphs

static norn_status decode_output(decoder *d, norn_span message);

/// What does not refer to values; values are made in the order of their ids.
static norn_status first_pass(void *context, const norn_wire_field *field) {
    decoder *d = context;
    norn_graph *graph = d->graph;
    switch (field->number) {
    case GRAPH_NAME:
        return take_text(&graph->arena, field->bytes, &graph->name);
    case GRAPH_PATH:
        return take_text(&graph->arena, field->bytes, &graph->path);
    case GRAPH_SYMBOL:
        return decode_symbol(d, field->bytes);
    case GRAPH_VALUE:
        d->value_count++;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status value_pass(void *context, const norn_wire_field *field) {
    return field->number == GRAPH_VALUE ? decode_value(context, field->bytes) : NORN_OK;
}

static norn_status second_pass(void *context, const norn_wire_field *field) {
    decoder *d = context;
    switch (field->number) {
    case GRAPH_BATCH:
        if (field->value >= (uint64_t)d->graph->symbols.count)
            return malformed("symbol of the batch");
        d->graph->batch = (int32_t)field->value;
        break;
    case GRAPH_INPUT:
        if (field->value >= d->value_count) return malformed("an input of no value");
        return norn_graph_add_input(d->graph, d->values[field->value]);
    case GRAPH_NODE:
        return decode_node(d, field->bytes);
    case GRAPH_OUTPUT:
        return decode_output(d, field->bytes);
    default:
        break;
    }
    return NORN_OK;
}

typedef struct output_message {
    decoder *d;
    norn_value *value;
    const char *name;
    bool squeezed;
} output_message;

static norn_status output_field(void *context, const norn_wire_field *field) {
    output_message *m = context;
    if (field->number == OUTPUT_NAME) {
        return take_text(&m->d->graph->arena, field->bytes, &m->name);
    }
    if (field->number == OUTPUT_SQUEEZED) m->squeezed = field->value != 0;
    if (field->number != OUTPUT_VALUE) return NORN_OK;
    if (field->value >= m->d->value_count) return malformed("an output of no value");
    m->value = m->d->values[field->value];
    return NORN_OK;
}

static norn_status decode_output(decoder *d, norn_span message) {
    output_message m = {.d = d};
    NORN_TRY(norn_wire_visit(message, output_field, &m));
    if (!m.value || !m.name) return malformed("an output without value or name");
    NORN_TRY(norn_graph_add_output(d->graph, m.value));
    d->graph->output_names[d->graph->output_count - 1] = m.name;
    d->graph->output_squeezed[d->graph->output_count - 1] = m.squeezed;
    return NORN_OK;
}

static norn_status decode_graph(decoder *d, norn_span message) {
    NORN_TRY(norn_wire_visit(message, first_pass, d));
    NORN_TRY(NORN_TAKE_ARRAY(&d->graph->arena, d->value_count, &d->values));
    NORN_TRY(norn_wire_visit(message, value_pass, d));
    return norn_wire_visit(message, second_pass, d);
}

static norn_status version_field(void *context, const norn_wire_field *field) {
    if (field->number == GRAPH_VERSION) *(uint64_t *)context = field->value;
    return NORN_OK;
}

norn_status norn_graph_decode(norn_span bytes, const norn_graph_source *source, norn_alloc alloc,
                              norn_graph **out) {
    decoder d = {.source = source};
    uint64_t version = 0;
    norn_status status;
    *out = NULL;
    NORN_TRY_DONE(norn_wire_visit(bytes, version_field, &version));
    if (version != NORN_GRAPH_FILE_VERSION) {
        NORN_TRY_DONE(norn_fail(NORN_FAILED_PRECONDITION,
                                "graph version %llu, this build reads %d; compile again",
                                (unsigned long long)version, (int)NORN_GRAPH_FILE_VERSION));
    }
    NORN_TRY_DONE(norn_graph_create("", alloc, &d.graph));
    NORN_TRY_DONE(decode_graph(&d, bytes));
    NORN_TRY_DONE(norn_graph_verify(d.graph));
    *out = d.graph;
    d.graph = NULL;
done:
    norn_graph_destroy(d.graph);
    // The wire reader and the verifier know nothing of files: here both mean a damaged one.
    if (status == NORN_INVALID_ARGUMENT || status == NORN_INTERNAL) status = NORN_DATA_LOSS;
    return status;
}
