/// What the endpoints share: a request on its way to its endpoint. All of it is on the I/O
/// thread of the connection, unless it says otherwise.
#ifndef NORN_SERVE_HTTP_ROUTE_H
#define NORN_SERVE_HTTP_ROUTE_H

#include "serve/http/http_connection.h"

/// A path cut at its slashes and decoded.
enum { NORN_HTTP_SEGMENTS_MAX = 10 };
typedef struct norn_http_route {
    norn_http_connection *connection;
    norn_service *service;
    norn_http_method method; ///< HEAD is GET here; its body stays behind
    char text[NORN_HTTP_TARGET_MAX + 1];
    const char *segment[NORN_HTTP_SEGMENTS_MAX + 1]; ///< "" past the end
    uint32_t count;
} norn_http_route;

// ---- http_encoding.c
/// Is there a Content-Encoding other than identity?
bool norn_http_is_compressed(const norn_http_connection *connection);
/// The request's body as one span, inflated into connection->plain where Content-Encoding says so;
/// otherwise it aliases the connection's buffer. Any thread.
/// Errors   INVALID_ARGUMENT: damaged; RESOURCE_EXHAUSTED: it grows over the limit of a request;
///          UNIMPLEMENTED: an encoding that this build does not know; the message names it
norn_status norn_http_body(norn_http_connection *connection, norn_span *body) NORN_NODISCARD;
/// Does the client want answers compressed?
bool norn_http_wants_compression(const norn_http_connection *connection);
/// Compress `body` in place when the client asks for it and it is worth it; says so in
/// connection->encoding. Any thread.
void norn_http_compress(norn_http_connection *connection, norn_buffer *body);

// ---- endpoints
void norn_http_infer(const norn_http_route *route, const char *name, const char *version);
/// /v2/models/NAME[/versions/V][/ready|config|stats]; false: not one
/// of these. Answers itself otherwise.
bool norn_http_model(const norn_http_route *route, const char *name, const char *version,
                     const char *what);
void norn_http_all_stats(const norn_http_route *route);
void norn_http_index(const norn_http_route *route);
void norn_http_load(const norn_http_route *route, const char *name, bool load);
/// What listeners serve: everything, and the metrics page.
void norn_http_on_request(norn_http_connection *connection);
void norn_http_on_metrics(norn_http_connection *connection);

#endif
