/// The HTTP side over libevent's evhttp: routes, requests in, answers out. All on the I/O thread.
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/http/http.h"
#include "serve/kserve_json.h"
#include "serve/metrics.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/// One request that waits for something: an inference, or a load.
typedef struct http_exchange {
    norn_exchange exchange; ///< first
    struct evhttp_request *request;
    norn_status status;
    char message[512];
} http_exchange;

/// A path cut at its slashes and decoded.
enum { SEGMENTS_MAX = 10 };
typedef struct http_route {
    norn_io *io;
    struct evhttp_request *request;
    enum evhttp_cmd_type method;
    char text[2048];
    const char *segment[SEGMENTS_MAX + 1]; ///< "" past the end
    uint32_t count;
} http_route;

static int http_code(norn_status status) {
    switch (status) {
    case NORN_OK: return 200;
    case NORN_INVALID_ARGUMENT:
    case NORN_OUT_OF_RANGE:
    case NORN_FAILED_PRECONDITION: return 400;
    case NORN_PERMISSION_DENIED: return 403;
    case NORN_NOT_FOUND: return 404;
    case NORN_ALREADY_EXISTS:
    case NORN_ABORTED: return 409;
    case NORN_RESOURCE_EXHAUSTED: return 429;
    case NORN_CANCELLED: return 499;
    case NORN_UNIMPLEMENTED: return 501;
    case NORN_UNAVAILABLE: return 503;
    case NORN_DEADLINE_EXCEEDED: return 504;
    case NORN_UNKNOWN:
    case NORN_INTERNAL:
    case NORN_DATA_LOSS: return 500;
    }
    return 500;
}

// ---- sending ----------------------------------------------------------------------------------------

static void free_sent(const void *data, size_t count, void *context) {
    norn_buffer *buffer = context;
    const norn_alloc alloc = buffer->alloc;
    (void)data, (void)count;
    norn_buffer_deinit(buffer);
    norn_free(alloc, buffer);
}

static void set_header(struct evhttp_request *request, const char *name, const char *value) {
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

static void send_error_code(norn_io *io, struct evhttp_request *request, int code, const char *message);

/// Send `body`, whose bytes are handed over without a copy; json_bytes > 0 when binary tensors follow the JSON.
static void send_body(norn_io *io, struct evhttp_request *request, int code, const char *type, norn_buffer *body,
                      size_t json_bytes) {
    norn_buffer *kept = NULL;
    char text[32];
    if (norn_buffer_status(body) != NORN_OK || NORN_NEW(body->alloc, &kept) != NORN_OK) {
        norn_buffer_deinit(body);
        evhttp_send_error(request, 503, "out of memory");
        return;
    }
    *kept = *body;
    set_header(request, "Content-Type", type);
    if (json_bytes) {
        (void)snprintf(text, sizeof text, "%zu", json_bytes);
        set_header(request, "Inference-Header-Content-Length", text);
    }
    if (io->server->draining) set_header(request, "Connection", "close");
    if (kept->count == 0) {
        free_sent(NULL, 0, kept);
    } else if (evbuffer_add_reference(evhttp_request_get_output_buffer(request), kept->bytes, kept->count, free_sent,
                                      kept) != 0) {
        free_sent(NULL, 0, kept);
        evhttp_send_error(request, 503, "out of memory");
        return;
    }
    evhttp_send_reply(request, code, code == 200 ? "OK" : "Error", NULL);
}

static void send_json(const http_route *route, norn_buffer *json) {
    send_body(route->io, route->request, 200, "application/json", json, 0);
}

static void send_error_code(norn_io *io, struct evhttp_request *request, int code, const char *message) {
    norn_buffer json;
    norn_buffer_init(&json, io->server->alloc);
    norn_kserve_put_error(&json, message);
    send_body(io, request, code, "application/json", &json, 0);
}

static void send_status(const http_route *route, norn_status status) {
    send_error_code(route->io, route->request, http_code(status), norn_message());
}

static void send_empty(const http_route *route, bool good) {
    norn_buffer none;
    norn_buffer_init(&none, route->io->server->alloc);
    send_body(route->io, route->request, good ? 200 : 503, "application/json", &none, 0);
}

// ---- infer ------------------------------------------------------------------------------------------

static void destroy_exchange(http_exchange *exchange) {
    norn_server *server = exchange->exchange.io->server;
    norn_infer_destroy(exchange->exchange.infer);
    norn_free(server->alloc, exchange);
    norn_server_leave(server);
}

static void finish_infer(norn_exchange *base) {
    http_exchange *exchange = (http_exchange *)base;
    const norn_infer *infer = base->infer;
    norn_io *io = base->io;
    norn_buffer body;
    size_t json_bytes = 0;
    if (infer->status != NORN_OK) {
        send_error_code(io, exchange->request, http_code(infer->status), infer->message);
    } else {
        norn_buffer_init(&body, io->server->alloc);
        const norn_status status = norn_kserve_put_infer(infer, &body, &json_bytes);
        if (status != NORN_OK) {
            norn_buffer_deinit(&body);
            send_error_code(io, exchange->request, http_code(status), norn_message());
        } else {
            send_body(io, exchange->request, 200, json_bytes ? "application/octet-stream" : "application/json", &body,
                      json_bytes);
        }
    }
    destroy_exchange(exchange);
}

static norn_status parse_version(const char *text, int64_t *version) {
    char *end;
    *version = -1;
    if (!*text) return NORN_OK;
    *version = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        return norn_fail(NORN_INVALID_ARGUMENT, "version '%s' is not a whole number", text);
    return NORN_OK;
}

/// The body in one piece; aliases the request's buffer, which lives until the answer is sent.
static norn_status body_of(const http_route *route, norn_span *body, size_t *json_bytes) {
    struct evbuffer *buffer = evhttp_request_get_input_buffer(route->request);
    struct evkeyvalq *headers = evhttp_request_get_input_headers(route->request);
    const char *length = evhttp_find_header(headers, "Inference-Header-Content-Length");
    const char *encoding = evhttp_find_header(headers, "Content-Encoding");
    const size_t count = evbuffer_get_length(buffer);
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return norn_fail(NORN_UNIMPLEMENTED, "Content-Encoding '%s' is not supported; send the body as it is", encoding);
    *body = norn_span_of(count ? evbuffer_pullup(buffer, -1) : (const unsigned char *)"", count);
    if (!body->bytes) return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for a body of %zu bytes", count);
    *json_bytes = count;
    if (length) {
        char *end;
        const long long value = strtoll(length, &end, 10);
        if (*end || value < 0 || (unsigned long long)value > count)
            return norn_fail(NORN_INVALID_ARGUMENT, "Inference-Header-Content-Length is '%s', the body has %zu bytes",
                             length, count);
        *json_bytes = (size_t)value;
    }
    return NORN_OK;
}

static norn_status start_infer(const http_route *route, const char *name, const char *version_text,
                               http_exchange *exchange) {
    norn_server *server = route->io->server;
    norn_infer *infer;
    int64_t version;
    size_t json_bytes;
    norn_span body;
    NORN_TRY(norn_infer_create(server->alloc, &exchange->exchange.infer));
    infer = exchange->exchange.infer;
    infer->times.arrival_ns = norn_clock_now_ns();
    NORN_TRY(parse_version(version_text, &version));
    NORN_TRY(norn_repository_get(server->repository, name, version, &infer->model));
    NORN_TRY(body_of(route, &body, &json_bytes));
    NORN_TRY(norn_kserve_parse_infer(body, json_bytes, infer));
    return norn_served_admit(infer->model, infer);
}

static void count_refused(norn_infer *infer, norn_status status) {
    if (!infer || !infer->model) return;
    infer->status = status;
    infer->times.done_ns = norn_clock_now_ns();
    norn_stats_count(&infer->model->stats, infer);
}

static void serve_infer(const http_route *route, const char *name, const char *version) {
    norn_server *server = route->io->server;
    http_exchange *exchange;
    norn_status status = NORN_NEW(server->alloc, &exchange);
    if (status != NORN_OK) {
        send_status(route, status);
        return;
    }
    norn_server_enter(server);
    exchange->exchange.finish = finish_infer;
    exchange->exchange.io = route->io;
    exchange->request = route->request;
    status = start_infer(route, name, version, exchange);
    if (status == NORN_OK) {
        norn_exchange_submit(&exchange->exchange);
        return;
    }
    send_status(route, status);
    count_refused(exchange->exchange.infer, status);
    destroy_exchange(exchange);
}

// ---- models -----------------------------------------------------------------------------------------

typedef void (*put_model_fn)(const norn_served *served, norn_buffer *json);

static void serve_model(const http_route *route, const char *name, const char *version_text, put_model_fn put,
                        const char *before, const char *after) {
    norn_served *served;
    norn_buffer json;
    int64_t version;
    norn_status status = parse_version(version_text, &version);
    if (status == NORN_OK) status = norn_repository_get(route->io->server->repository, name, version, &served);
    if (status != NORN_OK) {
        send_status(route, status);
        return;
    }
    norn_buffer_init(&json, route->io->server->alloc);
    norn_buffer_text(&json, before);
    put(served, &json);
    norn_buffer_text(&json, after);
    norn_served_release(served);
    send_json(route, &json);
}

static void serve_model_ready(const http_route *route, const char *name, const char *version_text) {
    norn_served *served = NULL;
    int64_t version;
    const norn_status status = parse_version(version_text, &version);
    const bool ready = status == NORN_OK && !route->io->server->draining &&
                       norn_repository_get(route->io->server->repository, name, version, &served) == NORN_OK;
    if (served) norn_served_release(served);
    send_empty(route, ready);
}

static void put_one_stats(void *context, const norn_repository_entry *entry) {
    norn_buffer *json = context;
    if (!entry->served) return;
    if (json->count && json->bytes[json->count - 1] == '}') norn_buffer_text(json, ",");
    norn_kserve_put_stats(entry->served, json);
}

static void serve_all_stats(const http_route *route) {
    norn_buffer json;
    norn_buffer_init(&json, route->io->server->alloc);
    norn_buffer_text(&json, "{\"model_stats\":[");
    norn_repository_visit(route->io->server->repository, put_one_stats, &json);
    norn_buffer_text(&json, "]}");
    send_json(route, &json);
}

static void put_index_entry(void *context, const norn_repository_entry *entry) {
    norn_buffer *json = context;
    if (json->count && json->bytes[json->count - 1] == '}') norn_buffer_text(json, ",");
    norn_buffer_text(json, "{\"name\":");
    norn_json_put_string(json, entry->name, strlen(entry->name));
    if (entry->version >= 0) norn_buffer_format(json, ",\"version\":\"%lld\"", (long long)entry->version);
    norn_buffer_format(json, ",\"state\":\"%s\",\"reason\":", norn_model_state_name(entry->state));
    norn_json_put_string(json, entry->reason, strlen(entry->reason));
    norn_buffer_text(json, "}");
}

static void serve_index(const http_route *route) {
    norn_buffer json;
    norn_buffer_init(&json, route->io->server->alloc);
    norn_buffer_text(&json, "[");
    norn_repository_visit(route->io->server->repository, put_index_entry, &json);
    norn_buffer_text(&json, "]");
    send_json(route, &json);
}

static void finish_load(norn_exchange *base) {
    http_exchange *exchange = (http_exchange *)base;
    norn_buffer none;
    if (exchange->status != NORN_OK) {
        send_error_code(base->io, exchange->request, http_code(exchange->status), exchange->message);
    } else {
        norn_buffer_init(&none, base->io->server->alloc);
        send_body(base->io, exchange->request, 200, "application/json", &none, 0);
    }
    destroy_exchange(exchange);
}

/// On the loader thread.
static void on_loaded(void *context, norn_status status, const char *message) {
    http_exchange *exchange = context;
    exchange->status = status;
    (void)snprintf(exchange->message, sizeof exchange->message, "%s", message);
    norn_io_finish(&exchange->exchange);
}

static void serve_load(const http_route *route, const char *name, bool load) {
    norn_server *server = route->io->server;
    http_exchange *exchange;
    const norn_status status = NORN_NEW(server->alloc, &exchange);
    if (status != NORN_OK) {
        send_status(route, status);
        return;
    }
    norn_server_enter(server);
    exchange->exchange.finish = finish_load;
    exchange->exchange.io = route->io;
    exchange->request = route->request;
    if (load) {
        norn_repository_load(server->repository, name, on_loaded, exchange);
    } else {
        norn_repository_unload(server->repository, name, on_loaded, exchange);
    }
}

// ---- routes -----------------------------------------------------------------------------------------

static bool is(const http_route *route, uint32_t index, const char *text) {
    return strcmp(route->segment[index], text) == 0;
}

static bool method_is(const http_route *route, enum evhttp_cmd_type method) {
    if (route->method == method) return true;
    send_error_code(route->io, route->request, 405, method == EVHTTP_REQ_GET ? "use GET here" : "use POST here");
    return false;
}

static void not_found(const http_route *route) {
    send_error_code(route->io, route->request, 404, "no such endpoint; /v2 lists the extensions");
}

/// M = /v2/models/NAME[/versions/V]; `rest` is the segment after it.
static void route_model(const http_route *route) {
    const char *name = route->segment[2];
    const bool versioned = is(route, 3, "versions");
    const char *version = versioned ? route->segment[4] : "";
    const uint32_t rest = versioned ? 5 : 3;
    if (is(route, rest + 1, "") == false) {
        not_found(route);
    } else if (is(route, rest, "infer")) {
        if (method_is(route, EVHTTP_REQ_POST)) serve_infer(route, name, version);
    } else if (!method_is(route, EVHTTP_REQ_GET)) {
        return;
    } else if (is(route, rest, "")) {
        serve_model(route, name, version, norn_kserve_put_metadata, "", "");
    } else if (is(route, rest, "ready")) {
        serve_model_ready(route, name, version);
    } else if (is(route, rest, "config")) {
        serve_model(route, name, version, norn_kserve_put_config, "", "");
    } else if (is(route, rest, "stats")) {
        serve_model(route, name, version, norn_kserve_put_stats, "{\"model_stats\":[", "]}");
    } else {
        not_found(route);
    }
}

static void route_repository(const http_route *route) {
    // /v2/repository/index and /v2/repository/[REPO/]models/NAME/{load,unload}
    const uint32_t models = is(route, 2, "models") ? 2 : 3;
    if (is(route, 2, "index") || is(route, 3, "index")) {
        if (method_is(route, EVHTTP_REQ_POST)) serve_index(route);
    } else if (is(route, models, "models") && (is(route, models + 2, "load") || is(route, models + 2, "unload"))) {
        if (method_is(route, EVHTTP_REQ_POST)) serve_load(route, route->segment[models + 1], is(route, models + 2, "load"));
    } else {
        not_found(route);
    }
}

/// The shared-memory endpoints exist so that clients which clear regions before they start can: there are none.
static void route_shared_memory(const http_route *route) {
    norn_buffer json;
    const char *last = route->segment[route->count - 1];
    if (strcmp(last, "unregister") == 0) {
        if (method_is(route, EVHTTP_REQ_POST)) send_empty(route, true);
    } else if (strcmp(last, "status") == 0) {
        norn_buffer_init(&json, route->io->server->alloc);
        norn_buffer_text(&json, "[]");
        send_json(route, &json);
    } else {
        send_error_code(route->io, route->request, 501, "shared memory is not supported; send tensors in the request");
    }
}

static void route_v2(const http_route *route) {
    norn_server *server = route->io->server;
    norn_buffer json;
    if (is(route, 1, "")) {
        if (!method_is(route, EVHTTP_REQ_GET)) return;
        norn_buffer_init(&json, server->alloc);
        norn_kserve_put_server(&json);
        send_json(route, &json);
    } else if (is(route, 1, "health") && (is(route, 2, "live") || is(route, 2, "ready"))) {
        send_empty(route, is(route, 2, "live") || norn_server_ready(server));
    } else if (is(route, 1, "models") && is(route, 2, "stats") && route->count == 3) {
        serve_all_stats(route);
    } else if (is(route, 1, "models") && !is(route, 2, "")) {
        route_model(route);
    } else if (is(route, 1, "repository")) {
        route_repository(route);
    } else if (is(route, 1, "systemsharedmemory") || is(route, 1, "cudasharedmemory")) {
        route_shared_memory(route);
    } else {
        not_found(route);
    }
}

/// Cut and decode the path in place. False: too long, too deep, or no path.
static bool parse_path(http_route *route) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(route->request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    char *out = route->text;
    if (!path || path[0] != '/' || strlen(path) >= sizeof route->text) return false;
    for (uint32_t i = 0; i <= SEGMENTS_MAX; ++i) route->segment[i] = "";
    while (*path == '/') {
        const char *begin = ++path;
        while (*path && *path != '/') ++path;
        if (path == begin) continue;
        if (route->count == SEGMENTS_MAX - 2) return false; // "" must follow whatever is looked at
        route->segment[route->count++] = out;
        for (const char *c = begin; c < path; ++c) {
            unsigned int byte;
            if (*c == '%' && path - c > 2 && sscanf(c + 1, "%2x", &byte) == 1 && byte) {
                *out++ = (char)byte;
                c += 2;
            } else {
                *out++ = *c;
            }
        }
        *out++ = 0;
    }
    return true;
}

static void on_request(struct evhttp_request *request, void *context) {
    http_route route = {.io = context, .request = request, .method = evhttp_request_get_command(request)};
    if (parse_path(&route) && is(&route, 0, "v2")) {
        route_v2(&route);
    } else {
        not_found(&route);
    }
}

static void on_metrics(struct evhttp_request *request, void *context) {
    norn_io *io = context;
    norn_buffer page;
    norn_buffer_init(&page, io->server->alloc);
    norn_metrics_put(io->server, &page);
    send_body(io, request, 200, "text/plain; version=0.0.4; charset=utf-8", &page, 0);
}

// ---- life -------------------------------------------------------------------------------------------

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
    evhttp_set_max_body_size(listener->http, io->server->max_request_bytes);
    evhttp_set_timeout(listener->http, 3600);
    evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD);
    evhttp_set_default_content_type(listener->http, NULL);
    *out = listener;
    return NORN_OK;
}

norn_status norn_http_open(norn_io *io, evutil_socket_t fd) {
    http_listener *listener;
    NORN_TRY(open_listener(io, fd, &listener));
    evhttp_set_gencb(listener->http, on_request, io);
    io->http = listener;
    return NORN_OK;
}

norn_status norn_http_open_metrics(norn_io *io, evutil_socket_t fd) {
    http_listener *listener;
    NORN_TRY(open_listener(io, fd, &listener));
    evhttp_set_gencb(listener->http, on_metrics, io);
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
