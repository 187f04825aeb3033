#include "store/version_record.h"
#include "base/memory.h"
#include "tensor/dtype.h"

#include <string.h>

enum { FORMS_TABLE = 1 };
enum {
    TABLE_NAME = 1,
    TABLE_SOURCE,
    TABLE_DTYPE,
    TABLE_DENSE,
    TABLE_DIM,
    TABLE_ROW_BYTES,
    TABLE_ROWS,
    TABLE_DEFAULT
};
enum { CUT_STEP = 1, CUT_POSITION };
enum { POSITION_EPOCH = 1, POSITION_SEQUENCE, POSITION_CHAIN };

static norn_status damaged(const char *what) {
    return norn_fail(NORN_DATA_LOSS, "the record of a version's %s is damaged", what);
}

// ---- tables

static size_t default_bytes(const norn_table_form *form) {
    return (size_t)form->dim * norn_dtype_bits(form->dtype) / 8;
}

static norn_status copy_row(norn_arena *arena, norn_span bytes, const void **out) {
    void *row;
    NORN_TRY(norn_arena_take(arena, 1, bytes.count, NORN_HOST_ALIGN, &row));
    memcpy(row, bytes.bytes, bytes.count);
    *out = row;
    return NORN_OK;
}

norn_status norn_form_of_table(const norn_table *table, norn_arena *arena, norn_table_form *out) {
    const norn_table_binding *binding = &table->binding;
    const norn_table_view *view = &binding->view;
    *out = (norn_table_form){.dtype = binding->dtype,
                             .dense = view->kind == NORN_TABLE_DENSE,
                             .dim = binding->dim,
                             .row_bytes = view->row_bytes,
                             .rows = view->row_count};
    NORN_TRY(norn_arena_format(arena, &out->name, "%s", table->name));
    NORN_TRY(norn_arena_format(arena, &out->source, "%s", table->source));
    if (!view->default_row) return NORN_OK;
    return copy_row(arena, norn_span_of(view->default_row, default_bytes(out)), &out->default_row);
}

void norn_forms_encode(const norn_version *version, norn_buffer *out) {
    for (uint32_t t = 0; t < version->table_count; t++) {
        const norn_table_form *form = &version->tables[t];
        const size_t mark = norn_wire_begin(out, FORMS_TABLE);
        norn_wire_put_text(out, TABLE_NAME, form->name);
        norn_wire_put_text(out, TABLE_SOURCE, form->source);
        norn_wire_put_varint(out, TABLE_DTYPE, (uint64_t)form->dtype);
        norn_wire_put_varint(out, TABLE_DENSE, form->dense);
        norn_wire_put_varint(out, TABLE_DIM, (uint64_t)form->dim);
        norn_wire_put_varint(out, TABLE_ROW_BYTES, (uint64_t)form->row_bytes);
        norn_wire_put_varint(out, TABLE_ROWS, (uint64_t)form->rows);
        if (form->default_row)
            norn_wire_put_bytes(out, TABLE_DEFAULT, form->default_row, default_bytes(form));
        norn_wire_end(out, mark);
    }
}

static bool is_whole(const norn_table_form *form, const norn_span *fallback) {
    const bool known = form->dtype == NORN_F32 || form->dtype == NORN_F16 ||
                       form->dtype == NORN_BF16 || form->dtype == NORN_I8;
    if (!form->name || !known || form->dim < 1 || form->dim > INT32_MAX || form->rows < 0)
        return false;
    const int64_t least = (int64_t)default_bytes(form);
    return form->row_bytes >= least && form->row_bytes <= least + 16 &&
           (!fallback->bytes || fallback->count == default_bytes(form));
}

static norn_status decode_form(norn_span bytes, norn_arena *arena, norn_table_form *form) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    norn_span fallback = {0};
    *form = (norn_table_form){.source = ""};
    while (norn_wire_each(&reader, &field)) {
        const bool is_text = field.type == NORN_WIRE_BYTES;
        const int64_t value = (int64_t)field.value;
        if (field.number == TABLE_NAME && is_text)
            NORN_TRY(norn_arena_string(arena, (const char *)field.bytes.bytes, field.bytes.count,
                                       &form->name));
        else if (field.number == TABLE_SOURCE && is_text)
            NORN_TRY(norn_arena_string(arena, (const char *)field.bytes.bytes, field.bytes.count,
                                       &form->source));
        else if (field.number == TABLE_DEFAULT && is_text)
            fallback = field.bytes;
        else if (field.number == TABLE_DTYPE)
            form->dtype = value >= 0 && value < 64 ? (norn_dtype)value : NORN_BOOL;
        else if (field.number == TABLE_DENSE)
            form->dense = value != 0;
        else if (field.number == TABLE_DIM)
            form->dim = value;
        else if (field.number == TABLE_ROW_BYTES)
            form->row_bytes = value;
        else if (field.number == TABLE_ROWS)
            form->rows = value;
    }
    if (reader.status != NORN_OK || !is_whole(form, &fallback)) return damaged("tables");
    return fallback.bytes ? copy_row(arena, fallback, &form->default_row) : NORN_OK;
}

norn_status norn_forms_decode(norn_span bytes, norn_arena *arena, norn_version *out) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    norn_table_form *forms = NULL;
    size_t count = 0, capacity = 0;
    while (norn_wire_each(&reader, &field)) {
        if (field.number != FORMS_TABLE || field.type != NORN_WIRE_BYTES) continue;
        NORN_TRY(NORN_TAKE_MORE(arena, &forms, count, &capacity));
        NORN_TRY(decode_form(field.bytes, arena, &forms[count]));
        count++;
    }
    if (reader.status != NORN_OK) return damaged("tables");
    out->tables = forms;
    out->table_count = (uint32_t)count;
    return NORN_OK;
}

// ---- the cut

void norn_cut_encode(const norn_cut *cut, norn_buffer *out) {
    norn_wire_put_varint(out, CUT_STEP, cut->step);
    for (uint32_t p = 0; p < cut->partition_count; p++) {
        const norn_position *position = &cut->positions[p];
        const size_t mark = norn_wire_begin(out, CUT_POSITION);
        norn_wire_put_varint(out, POSITION_EPOCH, position->epoch);
        norn_wire_put_varint(out, POSITION_SEQUENCE, position->sequence);
        norn_wire_put_fixed32(out, POSITION_CHAIN, position->chain);
        norn_wire_end(out, mark);
    }
}

static norn_status decode_position(norn_span bytes, norn_position *out) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    *out = (norn_position){0};
    while (norn_wire_each(&reader, &field)) {
        if (field.number == POSITION_EPOCH) out->epoch = field.value;
        if (field.number == POSITION_SEQUENCE) out->sequence = field.value;
        if (field.number == POSITION_CHAIN) out->chain = (uint32_t)field.value;
    }
    return reader.status == NORN_OK ? NORN_OK : damaged("cut");
}

static norn_status decode_cut(norn_span bytes, norn_alloc alloc, norn_cut *out,
                              norn_position **positions) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    size_t count = 0, capacity = 0;
    while (norn_wire_each(&reader, &field)) {
        if (field.number == CUT_STEP) out->step = field.value;
        if (field.number != CUT_POSITION || field.type != NORN_WIRE_BYTES) continue;
        NORN_TRY(NORN_MORE(alloc, positions, count, &capacity));
        NORN_TRY(decode_position(field.bytes, &(*positions)[count]));
        count++;
    }
    out->partition_count = (uint32_t)count;
    return reader.status == NORN_OK ? NORN_OK : damaged("cut");
}

norn_status norn_cut_decode(norn_span bytes, norn_alloc alloc, norn_cut *out) {
    norn_position *positions = NULL;
    *out = (norn_cut){0};
    const norn_status status = decode_cut(bytes, alloc, out, &positions);
    if (status == NORN_OK)
        out->positions = positions;
    else
        norn_free(alloc, positions);
    return status;
}
