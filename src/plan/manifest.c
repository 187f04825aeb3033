#include "plan/manifest.h"
#include "plan/plan_file.h"
#include "tensor/dtype.h"

#include <string.h>

enum { FIELD_NAME = 1, FIELD_DEVICE = 2, FIELD_PRECISION = 3, FIELD_TABLE = 4 };
enum {
    TABLE_NAME = 1,
    TABLE_DIM = 2,
    TABLE_DTYPE = 3,
    TABLE_ROWS = 4,
    TABLE_FILE = 5,
    TABLE_MISSING_IS_ERROR = 6,
    TABLE_ROWS_HASH = 7
};
enum { TABLES_MAX = 1 << 16, TEXT_MAX = 1 << 12 };

// ---- file names of tables

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static void make_plain(const char *name, char *out, size_t room) {
    size_t i = 0;
    for (; name[i] && i + 1 < room; i++) out[i] = is_plain(name[i]) ? name[i] : '_';
    if (i == 0) out[i++] = '_';
    out[i] = '\0';
    if (out[0] == '.') out[0] = '_';
}

norn_status norn_plan_table_file(const norn_plan *plan, uint32_t index, norn_arena *arena,
                                 const char **out) {
    char own[128], other[128];
    uint32_t before = 0;
    make_plain(plan->tables[index].name, own, sizeof own);
    for (uint32_t i = 0; i < index; i++) {
        make_plain(plan->tables[i].name, other, sizeof other);
        before += strcmp(own, other) == 0;
    }
    if (before == 0) return norn_arena_format(arena, out, "%s.safetensors", own);
    return norn_arena_format(arena, out, "%s~%u.safetensors", own, before);
}

// ---- writing

/// So that a plan never takes the tables of another compilation for its own.
static norn_status put_rows_hash(const norn_plan *plan, const norn_plan_table *table,
                                 norn_buffer *out) {
    uint64_t hash;
    size_t bytes;
    NORN_TRY(norn_view_bytes(table->data, &bytes));
    NORN_TRY(norn_tree_hash_whole(norn_span_of(table->data->data, bytes), plan->alloc, &hash));
    norn_wire_put_varint(out, TABLE_ROWS_HASH, hash);
    return NORN_OK;
}

norn_status norn_manifest_encode(const norn_plan *plan, norn_arena *scratch, norn_buffer *out) {
    norn_wire_put_text(out, FIELD_NAME, plan->name);
    norn_wire_put_text(out, FIELD_DEVICE, plan->device_name);
    norn_wire_put_varint(out, FIELD_PRECISION, (uint64_t)plan->precision);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const norn_plan_table *table = &plan->tables[i];
        const char *file;
        size_t mark = norn_wire_begin(out, FIELD_TABLE);
        norn_wire_put_text(out, TABLE_NAME, table->name);
        norn_wire_put_varint(out, TABLE_DIM, (uint64_t)table->dim);
        norn_wire_put_varint(out, TABLE_DTYPE, (uint64_t)table->dtype);
        norn_wire_put_varint(out, TABLE_ROWS, (uint64_t)table->rows);
        if (table->data) {
            NORN_TRY(norn_plan_table_file(plan, i, scratch, &file));
            norn_wire_put_text(out, TABLE_FILE, file);
            NORN_TRY(put_rows_hash(plan, table, out));
        }
        norn_wire_put_varint(out, TABLE_MISSING_IS_ERROR, table->missing_is_error);
        norn_wire_end(out, mark);
    }
    return norn_buffer_status(out);
}

// ---- reading

static norn_status take_text(norn_arena *arena, const norn_wire_field *field, const char **out) {
    norn_span text = field->bytes;
    if (field->type != NORN_WIRE_BYTES || text.count > TEXT_MAX ||
        (text.count && memchr(text.bytes, 0, text.count)))
        return norn_fail(NORN_DATA_LOSS, "field %u is no text", field->number);
    return norn_arena_string(arena, (const char *)text.bytes, text.count, out);
}

static norn_status take_number(const norn_wire_field *field, uint64_t max, uint64_t *out) {
    if (field->type != NORN_WIRE_VARINT || field->value > max)
        return norn_fail(NORN_DATA_LOSS, "field %u is out of range", field->number);
    *out = field->value;
    return NORN_OK;
}

static norn_status decode_table(norn_arena *arena, norn_span bytes, norn_plan_table *table,
                                const char **file) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    uint64_t number = 0;
    while (norn_wire_each(&reader, &field)) {
        switch (field.number) {
        case TABLE_NAME:
            NORN_TRY(take_text(arena, &field, &table->name));
            break;
        case TABLE_FILE:
            NORN_TRY(take_text(arena, &field, file));
            break;
        case TABLE_DIM:
            NORN_TRY(take_number(&field, INT32_MAX, &number));
            table->dim = (int64_t)number;
            break;
        case TABLE_DTYPE:
            NORN_TRY(take_number(&field, NORN_DTYPE_COUNT - 1, &number));
            table->dtype = (norn_dtype)number;
            break;
        case TABLE_ROWS:
            NORN_TRY(take_number(&field, INT64_MAX, &number));
            table->rows = (int64_t)number;
            break;
        case TABLE_ROWS_HASH:
            NORN_TRY(take_number(&field, UINT64_MAX, &table->rows_hash));
            break;
        case TABLE_MISSING_IS_ERROR:
            NORN_TRY(take_number(&field, 1, &number));
            table->missing_is_error = number != 0;
            break;
        default:
            break;
        }
    }
    NORN_TRY(reader.status);
    if (!table->name || !*table->name || table->dim < 1 || norn_dtype_bits(table->dtype) < 8 ||
        table->dtype == NORN_STRING)
        return norn_fail(NORN_DATA_LOSS, "a table without name, dim or type");
    if (*file && (strchr(*file, '/') || (*file)[0] == '.'))
        return norn_fail(NORN_DATA_LOSS, "table '%s': '%s' is no file name", table->name, *file);
    return NORN_OK;
}

static norn_status count_tables(norn_span bytes, uint32_t *count) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    *count = 0;
    while (norn_wire_each(&reader, &field)) {
        *count += field.number == FIELD_TABLE;
        if (*count > TABLES_MAX) return norn_fail(NORN_DATA_LOSS, "too many tables");
    }
    return reader.status;
}

static norn_status decode(norn_span bytes, norn_plan *plan, const char **device,
                          const char ***files) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    norn_arena *arena = &plan->arena;
    uint32_t count;
    uint64_t precision = 0;
    NORN_TRY(count_tables(bytes, &count));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)count + 1, &plan->tables));
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)count + 1, files));
    while (norn_wire_each(&reader, &field)) {
        if (field.number == FIELD_NAME) NORN_TRY(take_text(arena, &field, &plan->name));
        if (field.number == FIELD_DEVICE) NORN_TRY(take_text(arena, &field, device));
        if (field.number == FIELD_PRECISION)
            NORN_TRY(take_number(&field, NORN_PRECISION_BF16, &precision));
        if (field.number != FIELD_TABLE) continue;
        if (field.type != NORN_WIRE_BYTES)
            return norn_fail(NORN_DATA_LOSS, "a table is no message");
        NORN_TRY(decode_table(arena, field.bytes, &plan->tables[plan->table_count],
                              &(*files)[plan->table_count]));
        plan->table_count++;
    }
    NORN_TRY(reader.status);
    plan->precision = (norn_precision)precision;
    if (!*device) return norn_fail(NORN_DATA_LOSS, "it names no device");
    return NORN_OK;
}

norn_status norn_manifest_decode(norn_span bytes, norn_plan *plan, const char **device,
                                 const char ***files) {
    *device = NULL;
    norn_status status = decode(bytes, plan, device, files);
    if (status == NORN_INVALID_ARGUMENT) status = NORN_DATA_LOSS; // of the wire reader
    return status;
}
