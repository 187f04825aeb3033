/// Content-Encoding of requests and answers: gzip and deflate, where zlib was found.
#include "serve/http/http_route.h"

#include "serve/inflate.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/// Smaller answers cost more to compress than to send.
enum { COMPRESS_MIN = 256 };

norn_status norn_http_body(const norn_http_route *route, norn_buffer *room, norn_span *body) {
    struct evbuffer *buffer = evhttp_request_get_input_buffer(route->request);
    const char *encoding =
        evhttp_find_header(evhttp_request_get_input_headers(route->request), "Content-Encoding");
    const size_t count = evbuffer_get_length(buffer);
    *body = norn_span_of(count ? evbuffer_pullup(buffer, -1) : (const unsigned char *)"", count);
    if (!body->bytes)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for a body of %zu bytes", count);
    if (!encoding || strcasecmp(encoding, "identity") == 0) return NORN_OK;
    if (!norn_inflate_knows(encoding))
        return norn_fail(NORN_UNIMPLEMENTED, "Content-Encoding '%s' is not supported; send %s",
                         encoding,
                         norn_inflate_knows("gzip") ? "gzip, deflate or the body as it is"
                                                    : "the body as it is");
    NORN_TRY(norn_inflate(*body, (size_t)route->io->server->limits.request_bytes, room));
    *body = norn_span_of(room->bytes ? room->bytes : (const unsigned char *)"", room->count);
    return NORN_OK;
}

/// Does a list such as "gzip;q=0.8, deflate" take `name`? q=0 refuses it.
static bool takes(const char *list, const char *name) {
    const size_t length = strlen(name);
    while (list && *list) {
        list += strspn(list, " \t,");
        const size_t item = strcspn(list, ",");
        if (item >= length && strncasecmp(list, name, length) == 0 &&
            strchr(" \t;,", list[length])) {
            const char *q = strchr(list, '=');
            return !q || q >= list + item || strtod(q + 1, NULL) > 0;
        }
        list += item;
    }
    return false;
}

void norn_http_compress(struct evhttp_request *request, norn_buffer *body) {
    static const char *const names[] = {"gzip", "deflate"};
    const char *accept =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Accept-Encoding");
    if (!accept || body->count < COMPRESS_MIN) return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        norn_buffer packed;
        if (!takes(accept, names[i]) || !norn_inflate_knows(names[i])) continue;
        norn_buffer_init(&packed, body->alloc);
        if (norn_deflate(norn_span_of(body->bytes, body->count), i == 0, &packed) != NORN_OK) {
            norn_buffer_deinit(&packed);
            return; // it goes as it is
        }
        norn_buffer_deinit(body);
        *body = packed;
        norn_http_set_header(request, "Content-Encoding", names[i]);
        return;
    }
}
