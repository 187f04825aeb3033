/// A bounded JSON pull reader and a writer. One reader serves safetensors headers, norn.json and
/// the tensors in request bodies (why not a packaged one: the core needs it with libc alone, and
/// the request path must read numbers straight into batch memory).
///
/// Source   RFC 8259. Depth at most 64. Duplicate keys are passed on as they come.
#ifndef NORN_BASE_JSON_H
#define NORN_BASE_JSON_H

#include "base/wire.h"

typedef enum norn_json_kind {
    NORN_JSON_END, ///< of the document
    NORN_JSON_OBJECT_BEGIN,
    NORN_JSON_OBJECT_END,
    NORN_JSON_ARRAY_BEGIN,
    NORN_JSON_ARRAY_END,
    NORN_JSON_KEY,
    NORN_JSON_STRING,
    NORN_JSON_NUMBER,
    NORN_JSON_TRUE,
    NORN_JSON_FALSE,
    NORN_JSON_NULL,
} norn_json_kind;

typedef struct norn_json_token {
    norn_json_kind kind;
    norn_span text; ///< KEY, STRING: between the quotes, escapes as they stand; NUMBER: the literal
    bool escaped;   ///< KEY, STRING hold a backslash: norn_json_unescape
    size_t offset;  ///< of the token in the document, for messages
} norn_json_token;

typedef struct norn_json_reader {
    norn_span text;
    size_t position;
    uint32_t depth;
    uint8_t stack[64]; ///< '{' or '['
    uint8_t state;
    bool specials; ///< set after init: NaN, Infinity, -Infinity are numbers, as Python writes them
} norn_json_reader;

/// `text` is UTF-8; a byte order mark before it is passed over.
void norn_json_init(norn_json_reader *reader, norn_span text);
/// Errors   INVALID_ARGUMENT with the byte offset.
norn_status norn_json_next(norn_json_reader *reader, norn_json_token *token) NORN_NODISCARD;
/// Skip the value that begins with `token` (already read), or the value after a KEY.
norn_status norn_json_skip(norn_json_reader *reader, const norn_json_token *token) NORN_NODISCARD;
/// Into UTF-8; `out` has room for text.count bytes.
/// Errors   INVALID_ARGUMENT: bad escape or surrogate.
norn_status norn_json_unescape(norn_span text, char *out, size_t *count) NORN_NODISCARD;
bool norn_json_i64(norn_span number, int64_t *out);  ///< false: not an integer, or out of range
bool norn_json_u64(norn_span number, uint64_t *out); ///< likewise
/// Correctly rounded, locale-free; infinite for what no double holds. Takes the specials.
bool norn_json_f64(norn_span number, double *out);

/// One value, no comma: text with quotes and escapes, bytes that are not UTF-8 as U+FFFD; the fewest
/// digits that read back the same, with a point or an exponent ("1.0"). JSON has no NaN or infinity:
/// null.
void norn_json_put_string(norn_buffer *buffer, const char *bytes, size_t count);
void norn_json_put_f32(norn_buffer *buffer, float value);
void norn_json_put_f64(norn_buffer *buffer, double value);
void norn_json_put_i64(norn_buffer *buffer, int64_t value);
void norn_json_put_u64(norn_buffer *buffer, uint64_t value);

/// Objects and arrays into a buffer: the writer places brackets, commas and colons, the buffer keeps
/// whether memory ran out. `key` names a member of an object; it is NULL for an element of an array
/// and for the document itself. Anything else is a bug (asserted), as is a depth over 64.
/// {.buffer = b} begins a document.
typedef struct norn_json_writer {
    norn_buffer *buffer;
    uint64_t arrays; ///< bit d: what was begun at depth d is an array
    uint32_t depth;
    bool comma; ///< the next value has one before it
} norn_json_writer;

void norn_json_begin_object(norn_json_writer *writer, const char *key);
void norn_json_begin_array(norn_json_writer *writer, const char *key);
void norn_json_end(norn_json_writer *writer); ///< of what was begun last
void norn_json_add_text(norn_json_writer *writer, const char *key,
                        const char *text); ///< NULL: null
void norn_json_add_i64(norn_json_writer *writer, const char *key, int64_t value);
void norn_json_add_u64(norn_json_writer *writer, const char *key, uint64_t value);
void norn_json_add_bool(norn_json_writer *writer, const char *key, bool value);
/// With so many digits after the point, none: a whole number; NaN and infinity: null.
void norn_json_add_fixed(norn_json_writer *writer, const char *key, double value, int digits);

#endif
