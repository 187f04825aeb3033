#include "serve/grpc/grpc_fields.h"

#include <string.h>

enum { STAGE_FIELD, STAGE_LENGTH, STAGE_INTEGER, STAGE_STRING };
enum { STEP_INDEX, STEP_LITERAL, STEP_NAME, STEP_VALUE }; // what the integer or string is
enum { TABLE_BYTES = 4096, INTEGER_BITS = 28 };

void norn_grpc_fields_init(norn_grpc_fields *fields, norn_alloc alloc) {
    *fields = (norn_grpc_fields){.stage = STAGE_FIELD};
    norn_buffer_init(&fields->kept, alloc);
}

void norn_grpc_fields_deinit(norn_grpc_fields *fields) {
    norn_buffer_deinit(&fields->kept);
}

void norn_grpc_fields_begin(norn_grpc_fields *fields, size_t room) {
    norn_buffer kept = fields->kept;
    norn_buffer_clear(&kept);
    (void)norn_buffer_extend(&kept, room); // latches
    *fields = (norn_grpc_fields){.kept = kept, .stage = STAGE_FIELD};
}

static void put(norn_grpc_fields *fields, const void *bytes, size_t count) {
    if (fields->dropping) {
        fields->dropped_bytes += count;
    } else {
        norn_buffer_append(&fields->kept, bytes, count);
    }
}

/// Leave out the current field, also what of it was kept.
static void drop(norn_grpc_fields *fields) {
    fields->dropped_bytes += fields->kept.count - fields->field_at;
    fields->kept.count = fields->field_at;
    fields->dropping = true;
}

/// An indexed literal that is larger than the table, so that it empties it and is not added.
static void put_stand_in(norn_grpc_fields *fields) {
    static const uint8_t start[] = {0x40, 1, 'x', 0x7f, 0x81, 0x1f}; // 127 + 0x01 + (0x1f << 7)
    uint8_t *value;
    norn_buffer_append(&fields->kept, start, sizeof start);
    value = norn_buffer_extend(&fields->kept, TABLE_BYTES);
    if (value) memset(value, 'x', TABLE_BYTES);
}

static bool end_field(norn_grpc_fields *fields) {
    if (!fields->dropping && fields->literal && !fields->indexed &&
        fields->kept.count > NORN_GRPC_FIELDS_KEPT)
        drop(fields);
    if (fields->dropping && fields->indexed) put_stand_in(fields);
    fields->dropping = false;
    fields->stage = STAGE_FIELD;
    return fields->kept.count <= NORN_GRPC_FIELDS_MAX;
}

static bool end_string(norn_grpc_fields *fields) {
    if (fields->step == STEP_VALUE) return end_field(fields);
    fields->step = STEP_VALUE;
    fields->stage = STAGE_LENGTH;
    return true;
}

static bool end_integer(norn_grpc_fields *fields) {
    if (fields->step == STEP_INDEX) return end_field(fields);
    if (fields->step == STEP_LITERAL) { // 0: a name follows; else it is in a table
        fields->step = fields->number ? STEP_VALUE : STEP_NAME;
        fields->stage = STAGE_LENGTH;
        return true;
    }
    if (fields->number > NORN_GRPC_FIELD_MAX && !fields->dropping) drop(fields);
    fields->left = fields->number;
    fields->stage = STAGE_STRING;
    return fields->left > 0 || end_string(fields);
}

/// The first byte of an integer, whose low `bits` are its prefix.
static bool begin_integer(norn_grpc_fields *fields, uint8_t byte, uint32_t bits) {
    const uint8_t most = (uint8_t)((1u << bits) - 1);
    fields->number = byte & most;
    fields->shift = 0;
    fields->stage = STAGE_INTEGER;
    return fields->number == most || end_integer(fields);
}

static bool begin_field(norn_grpc_fields *fields, uint8_t byte) {
    fields->field_at = fields->kept.count;
    fields->indexed = (byte & 0xc0) == 0x40;
    fields->literal = fields->indexed || (byte & 0xe0) == 0;
    fields->step = fields->literal ? STEP_LITERAL : STEP_INDEX;
    put(fields, &byte, 1);
    return begin_integer(fields, byte,
                         byte & 0x80       ? 7 // indexed field
                         : fields->indexed ? 6
                         : fields->literal ? 4
                                           : 5); // size of the table
}

static bool add_byte(norn_grpc_fields *fields, uint8_t byte) {
    if (fields->stage == STAGE_FIELD) return begin_field(fields, byte);
    put(fields, &byte, 1);
    if (fields->stage == STAGE_LENGTH) return begin_integer(fields, byte, 7);
    if (fields->shift >= INTEGER_BITS) return false;
    fields->number += (uint64_t)(byte & 0x7f) << fields->shift;
    fields->shift += 7;
    return byte & 0x80 || end_integer(fields);
}

bool norn_grpc_fields_add(norn_grpc_fields *fields, norn_span bytes) {
    size_t at = 0;
    while (at < bytes.count) {
        if (fields->stage != STAGE_STRING) {
            if (!add_byte(fields, bytes.bytes[at++])) return false;
            continue;
        }
        const size_t rest = bytes.count - at, count = rest < fields->left ? rest : fields->left;
        put(fields, bytes.bytes + at, count);
        at += count;
        fields->left -= count;
        if (fields->left == 0 && !end_string(fields)) return false;
    }
    return norn_buffer_status(&fields->kept) == NORN_OK;
}

bool norn_grpc_fields_end(const norn_grpc_fields *fields) {
    return fields->stage == STAGE_FIELD;
}
