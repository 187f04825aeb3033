/// What the files of the HTTP side share: a request on its way to its endpoint, and answers. All of
/// it is on the I/O thread of the connection.
#ifndef NORN_SERVE_HTTP_ROUTE_H
#define NORN_SERVE_HTTP_ROUTE_H

#include "base/wire.h"
#include "serve/io.h"

#include <event2/http.h>

/// A path cut at its slashes and decoded.
enum { NORN_HTTP_SEGMENTS_MAX = 10 };
typedef struct norn_http_route {
    norn_io *io;
    struct evhttp_request *request;
    enum evhttp_cmd_type method;
    char text[2048];
    const char *segment[NORN_HTTP_SEGMENTS_MAX + 1]; ///< "" past the end
    uint32_t count;
} norn_http_route;

/// One request that waits for something: an inference, or a load.
typedef struct norn_http_exchange {
    norn_exchange exchange; ///< first
    struct evhttp_request *request;
    norn_buffer body; ///< of a request that came compressed; views of the inference alias it
    norn_status status;
    char message[512];
} norn_http_exchange;

// ---- http_server.c: answers
int norn_http_code(norn_status status);
void norn_http_set_header(struct evhttp_request *request, const char *name, const char *value);
/// Send `body`, which is taken, whose bytes are handed over without a copy unless the client asks
/// for them compressed; json_bytes > 0 when binary tensors follow the JSON.
void norn_http_send(norn_io *io, struct evhttp_request *request, int code, const char *type,
                    norn_buffer *body, size_t json_bytes);
void norn_http_send_json(const norn_http_route *route, norn_buffer *json); ///< 200; takes json
void norn_http_send_error(norn_io *io, struct evhttp_request *request, int code,
                          const char *message);
void norn_http_send_status(const norn_http_route *route,
                           norn_status status);                     ///< with the thread's message
void norn_http_send_empty(const norn_http_route *route, bool good); ///< 200 or 503

/// Counted by the drain; NULL, with the error sent, without memory.
norn_http_exchange *norn_http_exchange_create(const norn_http_route *route,
                                              void (*finish)(norn_exchange *exchange));
void norn_http_exchange_destroy(norn_http_exchange *exchange);

// ---- http_encoding.c
/// The request's body as one span, decompressed into *room where Content-Encoding says so. Without
/// compression it aliases the request, which lives until the answer is sent. Errors
/// INVALID_ARGUMENT: damaged; RESOURCE_EXHAUSTED: it grows over max_request_bytes;
///          UNIMPLEMENTED: an encoding that this build does not know; the message names it
norn_status norn_http_body(const norn_http_route *route, norn_buffer *room,
                           norn_span *body) NORN_NODISCARD;
/// Compress `body` in place when Accept-Encoding asks for it and it is worth it; sets
/// Content-Encoding.
void norn_http_compress(struct evhttp_request *request, norn_buffer *body);

// ---- endpoints
void norn_http_infer(const norn_http_route *route, const char *name, const char *version);
/// /v2/models/NAME[/versions/V][/ready|config|stats]; false: not one of these. Answers itself
/// otherwise.
bool norn_http_model(const norn_http_route *route, const char *name, const char *version,
                     const char *what);
void norn_http_all_stats(const norn_http_route *route);
void norn_http_index(const norn_http_route *route);
void norn_http_load(const norn_http_route *route, const char *name, bool load);
/// libevent's callbacks: everything, and the metrics page.
void norn_http_on_request(struct evhttp_request *request, void *io);
void norn_http_on_metrics(struct evhttp_request *request, void *io);

#endif
