/// A header block on its way to the HTTP/2 library, without the fields that are too long for it: a
/// string above 64 KiB would end the connection, and with it every call of a client one of whose
/// calls has too much metadata. HPACK is cut at its fields here; nothing is decoded.
///
/// A field that is left out must leave the decoder's table as it would have. A literal
/// that is not indexed does nothing to it. One that is indexed, and larger than the table,
/// empties it (RFC 7541, 4.4): in its place goes the shortest field that does.
///
/// Source   RFC 7541, 5 and 6 (representations)
#ifndef NORN_SERVE_GRPC_FIELDS_H
#define NORN_SERVE_GRPC_FIELDS_H

#include "base/wire.h"

#include <stdbool.h>

enum {
    NORN_GRPC_FIELD_MAX = 32 * 1024, ///< of a name or value as it is coded; 52 KiB decoded at most
    NORN_GRPC_FIELDS_KEPT = 64 * 1024, ///< then what does not change the table is left out too
    NORN_GRPC_FIELDS_MAX = 128 * 1024, ///< more than this would have to be kept: malice
};

typedef struct norn_grpc_fields {
    norn_buffer kept;
    size_t dropped_bytes; ///< coded bytes of the fields that were left out
    size_t field_at;      ///< where the current field begins in `kept`
    uint8_t stage, step;
    bool literal, indexed, dropping; ///< what the current field is
    uint32_t shift;
    uint64_t number, left; ///< the integer that is read; bytes of the string that are to come
} norn_grpc_fields;

void norn_grpc_fields_init(norn_grpc_fields *fields, norn_alloc alloc);
void norn_grpc_fields_deinit(norn_grpc_fields *fields);
/// A block begins: `kept` is emptied but for `room` bytes at its front.
void norn_grpc_fields_begin(norn_grpc_fields *fields, size_t room);
/// The next bytes of the block. False: malformed, too much, or no memory.
bool norn_grpc_fields_add(norn_grpc_fields *fields, norn_span bytes);
/// Does the block end where a field does?
bool norn_grpc_fields_end(const norn_grpc_fields *fields);

#endif
