/// The parser on any bytes, cut in two ways: both must come to the same end.
#include "serve/http/http_parser.h"

#include <stdlib.h>

enum { INPUT_MAX = 80 * 1024, BODY_MAX = 4096 };

typedef struct outcome {
    norn_http_step head, body;
    norn_http_parser parser;
    uint8_t bytes[INPUT_MAX];
    size_t count;
} outcome;

/// Feed `data` in pieces whose lengths come from `seed`; 0: all at once.
static void feed(const uint8_t *data, size_t size, uint32_t seed, outcome *out) {
    size_t at = 0;
    *out = (outcome){.head = NORN_HTTP_MORE, .body = NORN_HTTP_MORE};
    norn_http_parser_init(&out->parser, BODY_MAX);
    while (at < size) {
        size_t n = size - at;
        if (seed) {
            seed = seed * 1664525 + 1013904223;
            if (n > 1 + (seed >> 24)) n = 1 + (seed >> 24);
        }
        memcpy(out->bytes + out->count, data + at, n);
        out->count += n;
        at += n;
        if (out->head == NORN_HTTP_MORE)
            out->head = norn_http_parse_head(&out->parser, out->bytes, out->count);
        if (out->head == NORN_HTTP_DONE && out->parser.request.chunked &&
            out->body == NORN_HTTP_MORE)
            out->body = norn_http_parse_chunks(&out->parser, out->bytes, &out->count);
        if (out->head == NORN_HTTP_BAD || out->body == NORN_HTTP_BAD) return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static outcome whole, pieces;
    if (size < 1 || size > INPUT_MAX) return 0;
    feed(data + 1, size - 1, 0, &whole);
    feed(data + 1, size - 1, 1u + data[0], &pieces);
    if (whole.head != pieces.head || whole.body != pieces.body) abort();
    if (whole.head == NORN_HTTP_BAD || whole.body == NORN_HTTP_BAD) {
        if (whole.parser.code < 400 || whole.parser.code > 599 || !whole.parser.why) abort();
        return 0;
    }
    if (whole.head != NORN_HTTP_DONE) return 0;
    const norn_http_request *a = &whole.parser.request, *b = &pieces.parser.request;
    if (a->head_bytes != b->head_bytes || a->body_bytes != b->body_bytes ||
        a->fields_seen != b->fields_seen || a->body_bytes > BODY_MAX)
        abort();
    if (whole.body == NORN_HTTP_DONE &&
        (whole.count != pieces.count || memcmp(whole.bytes, pieces.bytes, whole.count) != 0))
        abort();
    return 0;
}
