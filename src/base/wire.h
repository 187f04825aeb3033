/// The protobuf wire format: a bounded reader over a span, and a writer into a growing buffer.
///
/// Source   https://protobuf.dev/programming-guides/encoding/
#ifndef NORN_BASE_WIRE_H
#define NORN_BASE_WIRE_H

#include "base/span.h"
#include "base/status.h"
#include "norn/alloc.h"

#include <stdbool.h>

typedef enum norn_wire_type {
    NORN_WIRE_VARINT = 0,
    NORN_WIRE_FIXED64 = 1,
    NORN_WIRE_BYTES = 2,
    NORN_WIRE_FIXED32 = 5,
} norn_wire_type;

/// One field as read. `bytes` borrows from the reader's span.
typedef struct norn_wire_field {
    uint32_t number;
    norn_wire_type type;
    uint64_t value;  ///< VARINT, FIXED64, FIXED32 (zero-extended)
    norn_span bytes; ///< BYTES; else empty
} norn_wire_field;

/// Begins as {message}.
typedef struct norn_wire_reader {
    norn_span rest;
    norn_status status; ///< of norn_wire_each: what ended it
} norn_wire_reader;

/// Reads the next field. At the end: *more = false, NORN_OK.
/// Errors   INVALID_ARGUMENT: truncated, over-long varint, field number 0, group wire types.
norn_status norn_wire_next(norn_wire_reader *reader, norn_wire_field *field,
                           bool *more) NORN_NODISCARD;
/// The same in a loop: `while (norn_wire_each(&reader, &field)) ...`, then reader.status.
bool norn_wire_each(norn_wire_reader *reader, norn_wire_field *field);
/// Calls `fn` for every field of a message.
/// Errors   of the message, or the first of `fn`
typedef norn_status (*norn_wire_field_fn)(void *context, const norn_wire_field *field);
norn_status norn_wire_visit(norn_span message, norn_wire_field_fn fn, void *context) NORN_NODISCARD;
/// A varint from packed bytes; advances `packed`.
norn_status norn_wire_varint(norn_span *packed, uint64_t *value) NORN_NODISCARD;
float norn_wire_float(const norn_wire_field *field);
double norn_wire_double(const norn_wire_field *field);

/// A growing buffer of bytes; also the writer. One thread. `failed` latches out of memory: write
/// freely, look at norn_buffer_status() once.
typedef struct norn_buffer {
    norn_alloc alloc;
    uint8_t *bytes;
    size_t count, capacity;
    bool failed;
} norn_buffer;

void norn_buffer_init(norn_buffer *buffer, norn_alloc alloc); ///< allocates nothing
void norn_buffer_deinit(norn_buffer *buffer);
void norn_buffer_clear(norn_buffer *buffer); ///< keeps the capacity
void norn_buffer_append(norn_buffer *buffer, const void *bytes, size_t count);
void norn_buffer_text(norn_buffer *buffer, const char *text);
void norn_buffer_format(norn_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/// Room for `count` more bytes, uninitialised; NULL when out of memory (also latches).
void *norn_buffer_extend(norn_buffer *buffer, size_t count);
/// RESOURCE_EXHAUSTED if failed.
norn_status norn_buffer_status(const norn_buffer *buffer) NORN_NODISCARD;

void norn_wire_put_varint(norn_buffer *buffer, uint32_t field, uint64_t value);
/// As int64: ten bytes if negative.
void norn_wire_put_signed(norn_buffer *buffer, uint32_t field, int64_t value);
void norn_wire_put_fixed32(norn_buffer *buffer, uint32_t field, uint32_t value);
void norn_wire_put_fixed64(norn_buffer *buffer, uint32_t field, uint64_t value);
void norn_wire_put_float(norn_buffer *buffer, uint32_t field, float value);
void norn_wire_put_bytes(norn_buffer *buffer, uint32_t field, const void *bytes, size_t count);
void norn_wire_put_text(norn_buffer *buffer, uint32_t field, const char *text);
void norn_wire_put_varint_raw(norn_buffer *buffer, uint64_t value);
/// A nested message: begin returns a mark for end. Lengths are fixed up
/// (5-byte padded varint or moved).
size_t norn_wire_begin(norn_buffer *buffer, uint32_t field);
void norn_wire_end(norn_buffer *buffer, size_t mark);

#endif
