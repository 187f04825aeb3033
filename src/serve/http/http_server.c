/// The HTTP side over libevent's evhttp: listeners, and answers on their way out. All on the I/O
/// thread.
#include "base/memory.h"
#include "serve/http/http.h"
#include "serve/http/http_route.h"
#include "serve/kserve_json.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <unistd.h>

int norn_http_code(norn_status status) {
    switch (status) {
    case NORN_OK:
        return 200;
    case NORN_INVALID_ARGUMENT:
    case NORN_OUT_OF_RANGE:
    case NORN_FAILED_PRECONDITION:
        return 400;
    case NORN_PERMISSION_DENIED:
        return 403;
    case NORN_NOT_FOUND:
        return 404;
    case NORN_ALREADY_EXISTS:
    case NORN_ABORTED:
        return 409;
    case NORN_RESOURCE_EXHAUSTED:
        return 429;
    case NORN_CANCELLED:
        return 499;
    case NORN_UNIMPLEMENTED:
        return 501;
    case NORN_UNAVAILABLE:
        return 503;
    case NORN_DEADLINE_EXCEEDED:
        return 504;
    case NORN_UNKNOWN:
    case NORN_INTERNAL:
    case NORN_DATA_LOSS:
        return 500;
    }
    return 500;
}

// ---- sending

static void free_sent(const void *data, size_t count, void *context) {
    norn_buffer *buffer = context;
    const norn_alloc alloc = buffer->alloc;
    (void)data, (void)count;
    norn_buffer_deinit(buffer);
    norn_free(alloc, buffer);
}

void norn_http_set_header(struct evhttp_request *request, const char *name, const char *value) {
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

void norn_http_send(norn_io *io, struct evhttp_request *request, int code, const char *type,
                    norn_buffer *body, size_t json_bytes) {
    norn_buffer *kept = NULL;
    char text[32];
    if (norn_buffer_status(body) != NORN_OK || NORN_NEW(body->alloc, &kept) != NORN_OK) {
        norn_buffer_deinit(body);
        evhttp_send_error(request, 503, "out of memory");
        return;
    }
    norn_http_compress(request, body);
    *kept = *body;
    norn_http_set_header(request, "Content-Type", type);
    if (json_bytes) {
        (void)snprintf(text, sizeof text, "%zu", json_bytes);
        norn_http_set_header(request, "Inference-Header-Content-Length", text);
    }
    if (io->server->draining) norn_http_set_header(request, "Connection", "close");
    if (kept->count == 0) {
        free_sent(NULL, 0, kept);
    } else if (evbuffer_add_reference(evhttp_request_get_output_buffer(request), kept->bytes,
                                      kept->count, free_sent, kept) != 0) {
        free_sent(NULL, 0, kept);
        evhttp_send_error(request, 503, "out of memory");
        return;
    }
    evhttp_send_reply(request, code, code == 200 ? "OK" : "Error", NULL);
}

void norn_http_send_json(const norn_http_route *route, norn_buffer *json) {
    norn_http_send(route->io, route->request, 200, "application/json", json, 0);
}

void norn_http_send_error(norn_io *io, struct evhttp_request *request, int code,
                          const char *message) {
    norn_buffer json;
    norn_buffer_init(&json, io->server->alloc);
    norn_kserve_put_error(&json, message);
    norn_http_send(io, request, code, "application/json", &json, 0);
}

void norn_http_send_status(const norn_http_route *route, norn_status status) {
    norn_http_send_error(route->io, route->request, norn_http_code(status), norn_message());
}

void norn_http_send_empty(const norn_http_route *route, bool good) {
    norn_buffer none;
    norn_buffer_init(&none, route->io->server->alloc);
    norn_http_send(route->io, route->request, good ? 200 : 503, "application/json", &none, 0);
}

// ---- requests that wait

norn_http_exchange *norn_http_exchange_create(const norn_http_route *route,
                                              void (*finish)(norn_exchange *exchange)) {
    norn_server *server = route->io->server;
    norn_http_exchange *exchange;
    const norn_status status = NORN_NEW(server->alloc, &exchange);
    if (status != NORN_OK) {
        norn_http_send_status(route, status);
        return NULL;
    }
    norn_server_enter(server);
    exchange->exchange.finish = finish;
    exchange->exchange.io = route->io;
    exchange->request = route->request;
    norn_buffer_init(&exchange->body, server->alloc);
    return exchange;
}

void norn_http_exchange_destroy(norn_http_exchange *exchange) {
    norn_server *server = exchange->exchange.io->server;
    norn_infer_destroy(exchange->exchange.infer);
    norn_buffer_deinit(&exchange->body);
    norn_free(server->alloc, exchange);
    norn_server_leave(server);
}

// ---- life

typedef struct http_listener {
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
} http_listener;

static norn_status open_listener(norn_io *io, evutil_socket_t fd, http_listener **out) {
    http_listener *listener;
    *out = NULL;
    if (NORN_NEW(io->server->alloc, &listener) != NORN_OK) {
        (void)close(fd);
        return NORN_RESOURCE_EXHAUSTED;
    }
    listener->http = evhttp_new(io->base);
    if (listener->http) listener->socket = evhttp_accept_socket_with_handle(listener->http, fd);
    if (!listener->socket) {
        if (listener->http) evhttp_free(listener->http);
        norn_free(io->server->alloc, listener);
        (void)close(fd);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot create an HTTP listener");
    }
    evhttp_set_max_headers_size(listener->http, 64 * 1024);
    evhttp_set_max_body_size(listener->http, io->server->limits.request_bytes);
    evhttp_set_timeout(listener->http, 3600);
    evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD);
    evhttp_set_default_content_type(listener->http, NULL);
    *out = listener;
    return NORN_OK;
}

norn_status norn_http_open(norn_io *io, evutil_socket_t fd) {
    http_listener *listener;
    NORN_TRY(open_listener(io, fd, &listener));
    evhttp_set_gencb(listener->http, norn_http_on_request, io);
    io->http = listener;
    return NORN_OK;
}

norn_status norn_http_open_metrics(norn_io *io, evutil_socket_t fd) {
    http_listener *listener;
    NORN_TRY(open_listener(io, fd, &listener));
    evhttp_set_gencb(listener->http, norn_http_on_metrics, io);
    io->metrics = listener;
    return NORN_OK;
}

void norn_http_stop_accepting(norn_io *io) {
    http_listener *listener = io->http;
    if (!listener || !listener->socket) return;
    evhttp_del_accept_socket(listener->http, listener->socket);
    listener->socket = NULL;
}

static void close_listener(norn_io *io, http_listener *listener) {
    if (!listener) return;
    evhttp_free(listener->http);
    norn_free(io->server->alloc, listener);
}

void norn_http_close(norn_io *io) {
    close_listener(io, io->http);
    close_listener(io, io->metrics);
    io->http = io->metrics = NULL;
}
