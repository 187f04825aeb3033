/// Answers of a server, read with bounds: what is too long, too many or too deep ends the connection,
/// however hostile the server is. hiredis reads the protocol; what it finds becomes a flat list here,
/// so that an answer costs no allocation.
#ifndef NORN_STORE_REDIS_REPLY_H
#define NORN_STORE_REDIS_REPLY_H

#include "base/span.h"
#include "base/wire.h"

typedef enum norn_redis_type {
    NORN_REDIS_NIL,
    NORN_REDIS_TEXT,  ///< bytes
    NORN_REDIS_WORD,  ///< a simple string: OK, QUEUED
    NORN_REDIS_ERROR, ///< text
    NORN_REDIS_INTEGER,
    NORN_REDIS_ARRAY, ///< `count` values follow, each with what it has
} norn_redis_type;

typedef struct norn_redis_value {
    norn_redis_type type;
    uint32_t count; ///< of bytes, or of elements
    union {
        int64_t integer;
        size_t at; ///< of the bytes
    };
} norn_redis_value;

/// values[0] is the answer. Valid until the reader is asked for the next.
typedef struct norn_redis_reply {
    const norn_redis_value *values;
    uint32_t count; ///< of values
    const char *bytes;
} norn_redis_reply;

/// Bytes of a TEXT, WORD or ERROR; empty for others, and where i is past the end.
norn_span norn_redis_bytes(const norn_redis_reply *reply, uint32_t i);
/// The value after the one at i and all that it has; reply->count: there is none.
uint32_t norn_redis_after(const norn_redis_reply *reply, uint32_t i);
static inline bool norn_redis_is(const norn_redis_reply *reply, uint32_t i, norn_redis_type type) {
    return i < reply->count && reply->values[i].type == type;
}
/// "127.0.0.1:7001 says 'WRONGTYPE …'", with what is no print replaced; for messages.
void norn_redis_print(const norn_redis_reply *reply, char *out, size_t room);

enum {
    NORN_REDIS_VALUES_MAX = 1 << 19, ///< the slots of a cluster that is cut up as finely as can be
    NORN_REDIS_REPLY_BYTES_MAX = 16 << 20 ///< far above the longest row and record
};

typedef struct norn_redis_reader norn_redis_reader;
norn_status norn_redis_reader_create(norn_alloc alloc, norn_redis_reader **out) NORN_NODISCARD;
void norn_redis_reader_destroy(norn_redis_reader *reader); ///< takes NULL
/// Some kilobytes at a time: what is fed and not read is moved with each answer.
/// Errors   DATA_LOSS: no protocol; RESOURCE_EXHAUSTED. The connection is of no use any more.
norn_status norn_redis_reader_feed(norn_redis_reader *reader, const char *bytes,
                                   size_t count) NORN_NODISCARD;
/// *more: whether a whole answer was there.
/// Errors   as above
norn_status norn_redis_reader_next(norn_redis_reader *reader, norn_redis_reply *out,
                                   bool *more) NORN_NODISCARD;

#endif
