/// Content-Encoding of requests and answers: gzip and deflate, where zlib was found.
#include "serve/http/http_route.h"

#include "serve/io/inflate.h"

#include <stdlib.h>

/// Smaller answers cost more to compress than to send.
enum { COMPRESS_MIN = 256, NAME_MAX_BYTES = 64 };

static norn_span encoding_of(const norn_http_connection *connection) {
    return norn_http_value(&connection->parser.request, NORN_HTTP_CONTENT_ENCODING,
                           connection->bytes);
}

bool norn_http_is_compressed(const norn_http_connection *connection) {
    const norn_span encoding = encoding_of(connection);
    return encoding.count > 0 && !norn_http_same(encoding, "identity");
}

norn_status norn_http_body(norn_http_connection *connection, norn_span *body) {
    const norn_span encoding = encoding_of(connection);
    const int64_t limit = norn_http_service(connection)->limits.request_bytes;
    char name[NAME_MAX_BYTES];
    *body = norn_http_raw_body(connection);
    if (!norn_http_is_compressed(connection)) return NORN_OK;
    const size_t count = encoding.count < sizeof name ? encoding.count : sizeof name - 1;
    memcpy(name, encoding.bytes, count);
    name[count] = '\0';
    if (!norn_inflate_knows(name))
        return norn_fail(NORN_UNIMPLEMENTED, "Content-Encoding '%s' is not supported; send %s",
                         name,
                         norn_inflate_knows("gzip") ? "gzip, deflate or the body as it is"
                                                    : "the body as it is");
    NORN_TRY(norn_inflate_within(*body, (size_t)limit, &norn_http_service(connection)->budget,
                                 &connection->charged_bytes, &connection->plain));
    *body = norn_span_of(connection->plain.bytes ? connection->plain.bytes : (const uint8_t *)"",
                         connection->plain.count);
    return NORN_OK;
}

/// Does an element such as "gzip;q=0.8" name `name`, and not with q=0?
static bool element_takes(norn_span element, const char *name) {
    size_t end = 0;
    while (end < element.count && !strchr(" \t;", element.bytes[end])) end++;
    if (!norn_http_same(norn_span_of(element.bytes, end), name)) return false;
    for (size_t i = end; i < element.count; i++) {
        if (element.bytes[i] != '=') continue;
        for (i++; i < element.count; i++) // q is 0 when it has no digit but 0
            if (element.bytes[i] >= '1' && element.bytes[i] <= '9') return true;
        return false;
    }
    return true;
}

static bool list_takes(norn_span list, const char *name) {
    for (size_t at = 0; at < list.count;) {
        size_t end = at;
        while (end < list.count && list.bytes[end] != ',') end++;
        while (at < end && (list.bytes[at] == ' ' || list.bytes[at] == '\t')) at++;
        if (element_takes(norn_span_of(list.bytes + at, end - at), name)) return true;
        at = end + 1;
    }
    return false;
}

bool norn_http_wants_compression(const norn_http_connection *connection) {
    return norn_http_sent(&connection->parser.request, NORN_HTTP_ACCEPT_ENCODING) &&
           norn_inflate_knows("gzip");
}

void norn_http_compress(norn_http_connection *connection, norn_buffer *body) {
    static const char *const names[] = {"gzip", "deflate"};
    if (!norn_http_wants_compression(connection) || body->count < COMPRESS_MIN) return;
    const norn_span list =
        norn_http_value(&connection->parser.request, NORN_HTTP_ACCEPT_ENCODING, connection->bytes);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        norn_buffer packed;
        if (!list_takes(list, names[i])) continue;
        norn_buffer_init(&packed, body->alloc);
        if (norn_deflate(norn_span_of(body->bytes, body->count), i == 0, &packed) != NORN_OK) {
            norn_buffer_deinit(&packed);
            return; // it goes as it is
        }
        norn_buffer_deinit(body);
        *body = packed;
        connection->encoding = names[i];
        return;
    }
}
