#include "base/wire.h"

/// Ten groups of seven bits hold 64; the tenth may only carry one bit.
enum { VARINT_BYTES = 10 };

/// Bytes read, or 0 when truncated or over-long.
static size_t read_varint(norn_span span, uint64_t *value) {
    uint64_t result = 0;
    size_t limit = span.count < VARINT_BYTES ? span.count : VARINT_BYTES;
    for (size_t i = 0; i < limit; i++) {
        uint64_t byte = span.bytes[i];
        if (i == VARINT_BYTES - 1 && byte > 1) return 0;
        result |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value = result;
            return i + 1;
        }
    }
    return 0;
}

static norn_status fail_varint(norn_span span) {
    return norn_fail(NORN_INVALID_ARGUMENT, span.count < VARINT_BYTES
                                                ? "protobuf: truncated inside a number"
                                                : "protobuf: a number is longer than 64 bits");
}

norn_status norn_wire_varint(norn_span *packed, uint64_t *value) {
    size_t used = read_varint(*packed, value);
    if (used == 0) return fail_varint(*packed);
    packed->bytes += used;
    packed->count -= used;
    return NORN_OK;
}

static norn_status take_fixed(norn_span *rest, void *value, size_t count) {
    if (rest->count < count)
        return norn_fail(NORN_INVALID_ARGUMENT, "protobuf: truncated inside a fixed number");
    memcpy(value, rest->bytes, count);
    rest->bytes += count;
    rest->count -= count;
    return NORN_OK;
}

norn_status norn_wire_next(norn_wire_reader *reader, norn_wire_field *field, bool *more) {
    norn_span *rest = &reader->rest;
    uint64_t key, length;
    *field = (norn_wire_field){0};
    *more = rest->count > 0;
    if (!*more) return NORN_OK;
    NORN_TRY(norn_wire_varint(rest, &key));
    if (key >> 3 == 0 || key >> 3 > 0x1fffffff)
        return norn_fail(NORN_INVALID_ARGUMENT, "protobuf: field number %llu is out of range",
                         (unsigned long long)(key >> 3));
    field->number = (uint32_t)(key >> 3);
    switch (key & 7) {
    case NORN_WIRE_VARINT:
        field->type = NORN_WIRE_VARINT;
        return norn_wire_varint(rest, &field->value);
    case NORN_WIRE_FIXED64:
        field->type = NORN_WIRE_FIXED64;
        return take_fixed(rest, &field->value, 8);
    case NORN_WIRE_FIXED32: {
        uint32_t value = 0;
        field->type = NORN_WIRE_FIXED32;
        NORN_TRY(take_fixed(rest, &value, 4));
        field->value = value;
        return NORN_OK;
    }
    case NORN_WIRE_BYTES:
        field->type = NORN_WIRE_BYTES;
        NORN_TRY(norn_wire_varint(rest, &length));
        if (length > rest->count)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "protobuf: field %u has %llu byte%s, but %zu are left", field->number,
                             (unsigned long long)length, norn_plural(length), rest->count);
        field->bytes = norn_span_of(rest->bytes, (size_t)length);
        rest->bytes += length;
        rest->count -= (size_t)length;
        return NORN_OK;
    default:
        return norn_fail(NORN_INVALID_ARGUMENT, "protobuf: field %u has wire type %u",
                         field->number, (unsigned)(key & 7));
    }
}

bool norn_wire_each(norn_wire_reader *reader, norn_wire_field *field) {
    bool more = false;
    reader->status = norn_wire_next(reader, field, &more);
    return reader->status == NORN_OK && more;
}

norn_status norn_wire_visit(norn_span message, norn_wire_field_fn fn, void *context) {
    norn_wire_reader reader = {.rest = message};
    norn_wire_field field;
    while (norn_wire_each(&reader, &field)) NORN_TRY(fn(context, &field));
    return reader.status;
}

float norn_wire_float(const norn_wire_field *field) {
    uint32_t bits = (uint32_t)field->value;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double norn_wire_double(const norn_wire_field *field) {
    double value;
    memcpy(&value, &field->value, sizeof value);
    return value;
}

static size_t encode_varint(uint64_t value, uint8_t out[VARINT_BYTES]) {
    size_t count = 0;
    while (value >= 0x80) {
        out[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[count++] = (uint8_t)value;
    return count;
}

void norn_wire_put_varint_raw(norn_buffer *buffer, uint64_t value) {
    uint8_t bytes[VARINT_BYTES];
    norn_buffer_append(buffer, bytes, encode_varint(value, bytes));
}

static void put_key(norn_buffer *buffer, uint32_t field, norn_wire_type type) {
    norn_wire_put_varint_raw(buffer, (uint64_t)field << 3 | (uint64_t)type);
}

void norn_wire_put_varint(norn_buffer *buffer, uint32_t field, uint64_t value) {
    put_key(buffer, field, NORN_WIRE_VARINT);
    norn_wire_put_varint_raw(buffer, value);
}

void norn_wire_put_signed(norn_buffer *buffer, uint32_t field, int64_t value) {
    norn_wire_put_varint(buffer, field, (uint64_t)value);
}

void norn_wire_put_fixed32(norn_buffer *buffer, uint32_t field, uint32_t value) {
    put_key(buffer, field, NORN_WIRE_FIXED32);
    norn_buffer_append(buffer, &value, sizeof value);
}

void norn_wire_put_fixed64(norn_buffer *buffer, uint32_t field, uint64_t value) {
    put_key(buffer, field, NORN_WIRE_FIXED64);
    norn_buffer_append(buffer, &value, sizeof value);
}

void norn_wire_put_float(norn_buffer *buffer, uint32_t field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    norn_wire_put_fixed32(buffer, field, bits);
}

void norn_wire_put_bytes(norn_buffer *buffer, uint32_t field, const void *bytes, size_t count) {
    put_key(buffer, field, NORN_WIRE_BYTES);
    norn_wire_put_varint_raw(buffer, count);
    norn_buffer_append(buffer, bytes, count);
}

void norn_wire_put_text(norn_buffer *buffer, uint32_t field, const char *text) {
    norn_wire_put_bytes(buffer, field, text, strlen(text));
}

/// One byte is kept for the length: most messages are short. A longer one is moved up by what its
/// length needs, so that the encoding is canonical.
size_t norn_wire_begin(norn_buffer *buffer, uint32_t field) {
    static const uint8_t empty = 0;
    put_key(buffer, field, NORN_WIRE_BYTES);
    norn_buffer_append(buffer, &empty, 1);
    return buffer->count;
}

void norn_wire_end(norn_buffer *buffer, size_t mark) {
    uint8_t length[VARINT_BYTES];
    if (buffer->failed) return;
    size_t count = buffer->count - mark;
    size_t wide = encode_varint(count, length);
    if (wide > 1) {
        if (!norn_buffer_extend(buffer, wide - 1)) return;
        memmove(buffer->bytes + mark + wide - 1, buffer->bytes + mark, count);
    }
    memcpy(buffer->bytes + mark - 1, length, wide);
}
