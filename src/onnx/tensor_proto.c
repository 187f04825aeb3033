#include "onnx/tensor_proto.h"

#include "onnx/proto.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

typedef enum storage { RAW, FLOATS, INT32S, INT64S, DOUBLES, UINT64S, STRINGS, STORAGES } storage;

typedef struct message {
    norn_arena *arena;
    const norn_external_source *external;
    const char *name;
    norn_dtype dtype;
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    uint64_t dim_count, data_type;
    bool has_raw, has_segment, is_external;
    norn_span raw;
    const char *location;
    uint64_t offset, length;
    bool has_length;
    uint64_t strings; // string_data entries
    // The second pass, over typed fields: elements written so far, of `total`.
    uint8_t *data;
    uint64_t written, total;
} message;

static norn_status invalid(const message *m, const char *what) {
    return norn_fail(NORN_INVALID_ARGUMENT, "tensor '%s': %s", m->name ? m->name : "", what);
}

// ---- header

static bool parse_u64(const char *text, uint64_t *out) {
    uint64_t value = 0;
    if (!*text) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

typedef struct entry {
    norn_arena *arena;
    const char *key, *value;
} entry;

static norn_status entry_field(void *context, const norn_wire_field *field) {
    entry *e = context;
    if (field->number == 1) return norn_onnx_text(e->arena, field->bytes, &e->key);
    if (field->number == 2) return norn_onnx_text(e->arena, field->bytes, &e->value);
    return NORN_OK;
}

static norn_status external_entry(message *m, norn_span bytes) {
    entry e = {m->arena, "", ""};
    NORN_TRY(norn_wire_visit(bytes, entry_field, &e));
    if (strcmp(e.key, "location") == 0) m->location = e.value;
    if (strcmp(e.key, "offset") == 0 && !parse_u64(e.value, &m->offset)) {
        return invalid(m, "the offset of its external data is no number");
    }
    if (strcmp(e.key, "length") == 0) {
        m->has_length = true;
        if (!parse_u64(e.value, &m->length)) {
            return invalid(m, "the length of its external data is no number");
        }
    }
    return NORN_OK;
}

static norn_status add_dim(message *m, uint64_t value) {
    if (m->dim_count < NORN_MAX_RANK) m->dims[m->dim_count] = (int64_t)value;
    m->dim_count++;
    return NORN_OK;
}

static norn_status add_dims(message *m, const norn_wire_field *field) {
    norn_span packed = field->bytes;
    if (field->type != NORN_WIRE_BYTES) return add_dim(m, field->value);
    while (packed.count) {
        uint64_t value;
        NORN_TRY(norn_wire_varint(&packed, &value));
        NORN_TRY(add_dim(m, value));
    }
    return NORN_OK;
}

static norn_status header_field(void *context, const norn_wire_field *field) {
    message *m = context;
    switch (field->number) {
    case 1:
        return add_dims(m, field);
    case 2:
        if (field->type != NORN_WIRE_VARINT) {
            // Field 2 of SequenceProto and OptionalProto is a number as well; here it must be one.
            return norn_fail(NORN_UNIMPLEMENTED, "expected a TensorProto; this is another message");
        }
        m->data_type = field->value;
        break;
    case 3:
        m->has_segment = true;
        break;
    case 6:
        m->strings++;
        break;
    case 8:
        return norn_onnx_text(m->arena, field->bytes, &m->name);
    case 9:
        m->has_raw = true;
        m->raw = field->bytes;
        break;
    case 13:
        return external_entry(m, field->bytes);
    case 14:
        m->is_external = field->value == 1;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status check_header(message *m) {
    if (m->has_segment) {
        return norn_fail(NORN_UNIMPLEMENTED, "tensor '%s' is stored in segments", m->name);
    }
    if (m->data_type == 0 || m->data_type >= NORN_DTYPE_COUNT) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "tensor '%s': element type %llu is not one of ONNX's", m->name,
                         (unsigned long long)m->data_type);
    }
    if (m->dim_count > NORN_MAX_RANK) {
        return norn_fail(NORN_INVALID_ARGUMENT, "tensor '%s' has rank %llu; the largest is %d",
                         m->name, (unsigned long long)m->dim_count, (int)NORN_MAX_RANK);
    }
    m->dtype = (norn_dtype)m->data_type;
    m->rank = (int32_t)m->dim_count;
    return NORN_OK;
}

// ---- typed fields

static storage storage_of(norn_dtype dtype) {
    switch (dtype) {
    case NORN_F32:
    case NORN_C64:
        return FLOATS;
    case NORN_F64:
    case NORN_C128:
        return DOUBLES;
    case NORN_I64:
        return INT64S;
    case NORN_U32:
    case NORN_U64:
        return UINT64S;
    case NORN_STRING:
        return STRINGS;
    case NORN_U8:
    case NORN_I8:
    case NORN_U16:
    case NORN_I16:
    case NORN_I32:
    case NORN_BOOL:
    case NORN_F16:
    case NORN_BF16:
    case NORN_F8E4M3FN:
    case NORN_F8E4M3FNUZ:
    case NORN_F8E5M2:
    case NORN_F8E5M2FNUZ:
    case NORN_F8E8M0:
    case NORN_U4:
    case NORN_I4:
    case NORN_F4E2M1:
    case NORN_U2:
    case NORN_I2:
        return INT32S;
    case NORN_DTYPE_NONE:
    case NORN_DTYPE_COUNT:
        break;
    }
    return STORAGES;
}

/// Bytes of one stored number: of the element itself, of half a complex one, or of a packed byte.
static uint32_t unit_bytes(norn_dtype dtype) {
    uint32_t bits = norn_dtype_bits(dtype);
    if (dtype == NORN_C64 || dtype == NORN_C128) bits /= 2;
    return bits < 8 ? 1 : bits / 8;
}

static norn_status put_unit(message *m, uint64_t value) {
    uint32_t bytes = unit_bytes(m->dtype);
    if (m->written == m->total) return invalid(m, "it has more elements than its shape");
    if (m->dtype == NORN_BOOL) value = value != 0;
    memcpy(m->data + m->written++ * bytes, &value, bytes); // little-endian: the low bytes
    return NORN_OK;
}

static norn_status put_fixed(message *m, const norn_wire_field *field, uint32_t bytes) {
    if (field->type != NORN_WIRE_BYTES) return put_unit(m, field->value);
    if (field->bytes.count % bytes != 0) return invalid(m, "its data is cut short");
    uint64_t count = field->bytes.count / bytes;
    if (count > m->total - m->written) return invalid(m, "it has more elements than its shape");
    if (count) memcpy(m->data + m->written * bytes, field->bytes.bytes, field->bytes.count);
    m->written += count;
    return NORN_OK;
}

static norn_status put_varints(message *m, const norn_wire_field *field) {
    norn_span packed = field->bytes;
    if (field->type != NORN_WIRE_BYTES) return put_unit(m, field->value);
    while (packed.count) {
        uint64_t value;
        NORN_TRY(norn_wire_varint(&packed, &value));
        NORN_TRY(put_unit(m, value));
    }
    return NORN_OK;
}

static norn_status put_string(message *m, const norn_wire_field *field) {
    if (m->written == m->total) return invalid(m, "it has more elements than its shape");
    norn_string *string = (norn_string *)(void *)m->data + m->written++;
    string->count = field->bytes.count;
    return norn_arena_string(m->arena, (const char *)field->bytes.bytes, field->bytes.count,
                             &string->bytes);
}

static norn_status data_field(void *context, const norn_wire_field *field) {
    static const uint32_t numbers[] = {
        [FLOATS] = 4, [INT32S] = 5, [STRINGS] = 6, [INT64S] = 7, [DOUBLES] = 10, [UINT64S] = 11};
    message *m = context;
    storage kind = storage_of(m->dtype);
    if (field->number != numbers[kind]) return NORN_OK;
    if (kind == STRINGS) return put_string(m, field);
    if (kind == FLOATS) return put_fixed(m, field, 4);
    if (kind == DOUBLES) return put_fixed(m, field, 8);
    return put_varints(m, field);
}

/// A message of n bytes holds at most n elements, so a shape cannot ask for more memory than that.
static norn_status decode_typed(message *m, norn_span bytes, norn_view *view, size_t data_bytes) {
    uint64_t elems = (uint64_t)norn_view_elems(view);
    m->total = m->dtype == NORN_STRING ? elems : data_bytes / unit_bytes(m->dtype);
    if (m->total > bytes.count) return invalid(m, "it has fewer elements than its shape");
    NORN_TRY(norn_arena_take(m->arena, 1, data_bytes, ALIGN, &view->data));
    m->data = view->data;
    NORN_TRY(norn_wire_visit(bytes, data_field, m));
    if (m->written != m->total) return invalid(m, "it has fewer elements than its shape");
    return NORN_OK;
}

// ---- raw and external bytes

static bool has_odd_bool(norn_span raw) {
    uint8_t all = 0;
    for (size_t i = 0; i < raw.count; i++) all |= raw.bytes[i];
    return all > 1;
}

static norn_status decode_raw(message *m, norn_span raw, norn_view *view, size_t data_bytes) {
    if (m->dtype == NORN_STRING) return invalid(m, "strings cannot be raw data");
    if (raw.count != data_bytes) {
        char text[NORN_VIEW_TEXT];
        return norn_fail(
            NORN_INVALID_ARGUMENT, "tensor '%s' is %s, which takes %zu byte%s; it has %zu", m->name,
            norn_view_text(view, text), data_bytes, norn_plural(data_bytes), raw.count);
    }
    uint32_t align = unit_bytes(m->dtype);
    bool odd_bool = m->dtype == NORN_BOOL && has_odd_bool(raw);
    if (data_bytes > 0 && (uintptr_t)raw.bytes % align == 0 && !odd_bool) {
        // Views are not const; constants are never written.
        view->data = (void *)(uintptr_t)raw.bytes;
        return NORN_OK;
    }
    NORN_TRY(norn_arena_take(m->arena, 1, data_bytes, ALIGN, &view->data));
    uint8_t *data = view->data;
    if (data_bytes) memcpy(data, raw.bytes, data_bytes);
    for (size_t i = 0; odd_bool && i < data_bytes; i++) data[i] = data[i] != 0;
    return NORN_OK;
}

static norn_status decode_external(message *m, norn_view *view, size_t data_bytes) {
    norn_span raw;
    if (!m->location) return invalid(m, "its external data has no location");
    if (!m->external) return invalid(m, "its data is in another file, which cannot be here");
    norn_status status =
        m->external->find(m->external->context, m->location, m->offset, m->has_length,
                          m->has_length ? m->length : data_bytes, &raw);
    if (status != NORN_OK) {
        norn_note("tensor '%s'", m->name);
        return status;
    }
    return decode_raw(m, raw, view, data_bytes);
}

norn_status norn_tensor_proto_decode(norn_span bytes, const norn_external_source *external,
                                     norn_arena *arena, norn_view *out, const char **name) {
    message m = {.arena = arena, .external = external, .name = ""};
    size_t data_bytes;
    NORN_TRY(norn_wire_visit(bytes, header_field, &m));
    NORN_TRY(check_header(&m));
    norn_view view = {.dtype = m.dtype, .rank = m.rank};
    memcpy(view.dims, m.dims, sizeof view.dims);
    if (norn_view_elems(&view) < 0 || norn_view_bytes(&view, &data_bytes) != NORN_OK) {
        return invalid(&m, "its shape is negative or too large");
    }
    if (m.is_external) {
        NORN_TRY(decode_external(&m, &view, data_bytes));
    } else if (m.has_raw) {
        NORN_TRY(decode_raw(&m, m.raw, &view, data_bytes));
    } else {
        NORN_TRY(decode_typed(&m, bytes, &view, data_bytes));
    }
    *out = view;
    if (name) *name = m.name;
    return NORN_OK;
}

// ---- sparse

typedef struct sparse {
    norn_span values, indices;
    norn_view dense;
    uint64_t rank;
} sparse;

static norn_status sparse_dim(sparse *s, uint64_t value) {
    if (s->rank < NORN_MAX_RANK) s->dense.dims[s->rank] = (int64_t)value;
    s->rank++;
    return NORN_OK;
}

static norn_status sparse_field(void *context, const norn_wire_field *field) {
    sparse *s = context;
    if (field->number == 1) s->values = field->bytes;
    if (field->number == 2) s->indices = field->bytes;
    if (field->number != 3) return NORN_OK;
    norn_span packed = field->bytes;
    if (field->type != NORN_WIRE_BYTES) return sparse_dim(s, field->value);
    while (packed.count) {
        uint64_t value;
        NORN_TRY(norn_wire_varint(&packed, &value));
        NORN_TRY(sparse_dim(s, value));
    }
    return NORN_OK;
}

/// Where value number `i` goes: its index is linear, or one index a dim. -1: outside.
static int64_t sparse_position(const norn_view *dense, const norn_view *indices, int64_t i) {
    const int64_t *at = indices->data;
    int64_t elems = norn_view_elems(dense), position = 0;
    if (indices->rank == 1) return at[i] >= 0 && at[i] < elems ? at[i] : -1;
    for (int32_t d = 0; d < dense->rank; d++) {
        int64_t index = at[i * dense->rank + d];
        if (index < 0 || index >= dense->dims[d]) return -1;
        position = position * dense->dims[d] + index;
    }
    return position;
}

norn_status norn_sparse_tensor_proto_decode(norn_span bytes, const norn_external_source *external,
                                            norn_arena *arena, norn_view *out, const char **name) {
    enum { DENSE_BYTES_MAX = 64 << 20 };
    sparse s = {0};
    norn_view values, indices;
    const char *own_name;
    size_t dense_bytes;
    NORN_TRY(norn_wire_visit(bytes, sparse_field, &s));
    NORN_TRY(norn_tensor_proto_decode(s.values, external, arena, &values, &own_name));
    NORN_TRY(norn_tensor_proto_decode(s.indices, external, arena, &indices, NULL));
    if (name) *name = own_name;
    s.dense.dtype = values.dtype;
    s.dense.rank = s.rank > NORN_MAX_RANK ? 0 : (int32_t)s.rank;
    bool pairs =
        indices.rank == 2 && indices.dims[1] == s.dense.rank && indices.dims[0] == values.dims[0];
    bool linear = indices.rank == 1 && indices.dims[0] == values.dims[0];
    uint32_t bits = norn_dtype_bits(values.dtype);
    if (s.rank > NORN_MAX_RANK || values.rank != 1 || indices.dtype != NORN_I64 ||
        (!pairs && !linear) || values.dtype == NORN_STRING || bits % 8 != 0) {
        return norn_fail(NORN_INVALID_ARGUMENT, "sparse tensor '%s' is malformed", own_name);
    }
    if (norn_view_elems(&s.dense) < 0 || norn_view_bytes(&s.dense, &dense_bytes) != NORN_OK ||
        dense_bytes > DENSE_BYTES_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "sparse tensor '%s' is larger than 64 MiB when dense", own_name);
    }
    NORN_TRY(norn_arena_take(arena, 1, dense_bytes, ALIGN, &s.dense.data));
    size_t unit = bits / 8;
    for (int64_t i = 0; i < values.dims[0]; i++) {
        int64_t position = sparse_position(&s.dense, &indices, i);
        if (position < 0) {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "sparse tensor '%s': index %lld is outside its shape", own_name,
                             (long long)i);
        }
        memcpy((uint8_t *)s.dense.data + (size_t)position * unit,
               (const uint8_t *)values.data + (size_t)i * unit, unit);
    }
    *out = s.dense;
    return NORN_OK;
}
