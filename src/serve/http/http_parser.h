/// A strict reader of HTTP/1.1 requests, as their bytes arrive. Pure: no I/O, no memory, no clock.
///
/// Strict, because what stands between a client and Norn reads the same bytes: wherever two readers
/// could disagree about where a request ends, or what it says, it is refused. So no bare LF,
/// no folded lines, no space before a colon, no second Content-Length, not even an equal one.
///
/// A request is a run of bytes at the front of one buffer: the head as it came, then the body;
/// chunks are taken apart in place. Ranges are offsets, so the buffer may move between calls.
///
/// Source   RFC 9112 (messages), RFC 9110 (fields)
#ifndef NORN_SERVE_HTTP_PARSER_H
#define NORN_SERVE_HTTP_PARSER_H

#include "base/span.h"

enum {
    NORN_HTTP_TARGET_MAX = 8000,       ///< bytes; more is 414
    NORN_HTTP_HEAD_MAX = 64 * 1024,    ///< bytes of a whole head; more is 431
    NORN_HTTP_FIELDS_MAX = 100,        ///< header lines; more is 431
    NORN_HTTP_CHUNK_LINE_MAX = 4096,   ///< size and extensions of one chunk
    NORN_HTTP_TRAILER_MAX = 8 * 1024,  ///< bytes of all trailer lines
    NORN_HTTP_CHUNK_SPARE = 64 * 1024, ///< bytes of chunk lines that are free; see http_chunks.c
};

typedef enum norn_http_method {
    NORN_HTTP_GET,
    NORN_HTTP_HEAD,
    NORN_HTTP_POST,
    NORN_HTTP_OTHER, ///< one of RFC 9110's or PATCH, which no endpoint takes
} norn_http_method;

/// The fields that mean something to Norn; others are checked and passed over.
typedef enum norn_http_field {
    NORN_HTTP_HOST,
    NORN_HTTP_CONTENT_LENGTH,
    NORN_HTTP_TRANSFER_ENCODING,
    NORN_HTTP_CONNECTION,
    NORN_HTTP_EXPECT,
    NORN_HTTP_CONTENT_ENCODING,
    NORN_HTTP_ACCEPT_ENCODING,
    NORN_HTTP_JSON_LENGTH, ///< Inference-Header-Content-Length
    NORN_HTTP_FIELD_COUNT,
} norn_http_field;

typedef struct norn_http_range {
    uint32_t at, count;
} norn_http_range;

typedef struct norn_http_request {
    norn_http_method method;
    norn_http_range target; ///< as it was sent
    norn_http_range field[NORN_HTTP_FIELD_COUNT];
    uint32_t fields_seen; ///< bit f: field f was sent (its value may be empty)
    int32_t minor;        ///< of HTTP/1.x
    bool keep_alive, expect_continue, chunked;
    size_t head_bytes;
    size_t body_bytes; ///< Content-Length; of a chunked body what was decoded, final when DONE
} norn_http_request;

typedef enum norn_http_step {
    NORN_HTTP_MORE, ///< bytes are missing
    NORN_HTTP_DONE,
    NORN_HTTP_BAD, ///< code and why say what to answer; the connection is of no more use
} norn_http_step;

typedef struct norn_http_parser {
    norn_http_request request;
    size_t body_max;
    int code;        ///< BAD: the status to answer with
    const char *why; ///< BAD: for the client, static
    // how far it came
    uint8_t stage;
    size_t line;    ///< where the line that is being read begins
    size_t scanned; ///< no LF before this
    uint32_t blank_lines, field_lines;
    // of a chunked body
    uint8_t chunk_stage;
    size_t chunk_left, overhead, trailer_bytes;
} norn_http_parser;

void norn_http_parser_init(norn_http_parser *parser, size_t body_max);
/// The head, of the `count` bytes that are there so far. After DONE the request
/// is filled; a body follows at head_bytes.
norn_http_step norn_http_parse_head(norn_http_parser *parser, const uint8_t *bytes, size_t count);
/// A chunked body, after the head. Decoded bytes are moved together at head_bytes;
/// what follows them is moved behind them, and *count becomes smaller by what was taken out.
norn_http_step norn_http_parse_chunks(norn_http_parser *parser, uint8_t *bytes, size_t *count);

/// The value of a field; empty when it was not sent.
static inline norn_span norn_http_value(const norn_http_request *request, norn_http_field field,
                                        const uint8_t *bytes) {
    return norn_span_of(bytes + request->field[field].at, request->field[field].count);
}
static inline bool norn_http_sent(const norn_http_request *request, norn_http_field field) {
    return request->fields_seen >> field & 1;
}
/// Equal but for the case of ASCII letters.
bool norn_http_same(norn_span text, const char *word);
/// Is `word` an element of a comma-separated list?
bool norn_http_has_token(norn_span list, const char *word);
/// Digits only, no sign, no space. False: not that, or over INT64_MAX.
bool norn_http_number(norn_span text, int64_t *out);

// ---- shared by http_parser.c and http_chunks.c
norn_http_step norn_http_refuse(norn_http_parser *parser, int code, const char *why);
/// The next whole line, [*begin, *end) without its CRLF. MORE: it is not there yet.
norn_http_step norn_http_take_line(norn_http_parser *parser, const uint8_t *bytes, size_t count,
                                   size_t *begin, size_t *end);
/// "name: value" into its ranges.
norn_http_step norn_http_take_field(norn_http_parser *parser, const uint8_t *bytes, size_t begin,
                                    size_t end, norn_http_range *name, norn_http_range *value);

#endif
