/// From a path to its endpoint.
#include "serve/http/http_route.h"
#include "serve/observe/metrics.h"
#include "serve/protocol/kserve_json.h"

#include <string.h>

static bool is(const norn_http_route *route, uint32_t index, const char *text) {
    return strcmp(route->segment[index], text) == 0;
}

static bool method_is(const norn_http_route *route, norn_http_method method) {
    if (route->method == method) return true;
    route->connection->allow = method == NORN_HTTP_GET ? "GET, HEAD" : "POST";
    norn_http_answer_error(route->connection, 405,
                           method == NORN_HTTP_GET ? "use GET here" : "use POST here");
    return false;
}

static void not_found(const norn_http_route *route) {
    norn_http_answer_error(route->connection, 404, "no such endpoint; /v2 lists the extensions");
}

/// M = /v2/models/NAME[/versions/V]; `rest` is the segment after it.
static void route_model(const norn_http_route *route) {
    const char *name = route->segment[2];
    const bool versioned = is(route, 3, "versions");
    const char *version = versioned ? route->segment[4] : "";
    const uint32_t rest = versioned ? 5 : 3;
    if (is(route, rest + 1, "") == false) {
        not_found(route);
    } else if (is(route, rest, "infer")) {
        if (method_is(route, NORN_HTTP_POST)) norn_http_infer(route, name, version);
    } else if (!method_is(route, NORN_HTTP_GET)) {
        return;
    } else if (!norn_http_model(route, name, version, route->segment[rest])) {
        not_found(route);
    }
}

static void route_repository(const norn_http_route *route) {
    // /v2/repository/index and /v2/repository/models/NAME/{load,unload}; the protocol's form with
    // the name of a repository does not exist here, because there is one and it has none
    if (is(route, 2, "index") && route->count == 3) {
        if (method_is(route, NORN_HTTP_POST)) norn_http_index(route);
    } else if (is(route, 2, "models") && route->count == 5 &&
               (is(route, 4, "load") || is(route, 4, "unload"))) {
        if (method_is(route, NORN_HTTP_POST))
            norn_http_load(route, route->segment[3], is(route, 4, "load"));
    } else {
        not_found(route);
    }
}

/// The shared-memory endpoints exist so that clients which clear regions before
/// they start can: there are none.
static void route_shared_memory(const norn_http_route *route) {
    norn_buffer json;
    const char *last = route->segment[route->count - 1];
    if (strcmp(last, "unregister") == 0) {
        if (method_is(route, NORN_HTTP_POST)) norn_http_answer_empty(route->connection, true);
    } else if (strcmp(last, "status") == 0) {
        if (!method_is(route, NORN_HTTP_GET)) return;
        norn_buffer_init(&json, route->service->alloc);
        norn_buffer_text(&json, "[]");
        norn_http_answer_json(route->connection, &json);
    } else {
        norn_http_answer_error(route->connection, 501,
                               "shared memory is not supported; send tensors in the request");
    }
}

static void route_v2(const norn_http_route *route) {
    norn_service *service = route->service;
    norn_buffer json;
    if (is(route, 1, "")) {
        if (!method_is(route, NORN_HTTP_GET)) return;
        norn_buffer_init(&json, service->alloc);
        norn_kserve_json_server(service->model_control, &json);
        norn_http_answer_json(route->connection, &json);
    } else if (is(route, 1, "health") && (is(route, 2, "live") || is(route, 2, "ready"))) {
        if (method_is(route, NORN_HTTP_GET))
            norn_http_answer_empty(route->connection,
                                   is(route, 2, "live") || norn_service_ready(service));
    } else if (is(route, 1, "models") && is(route, 2, "stats") && route->count == 3) {
        if (method_is(route, NORN_HTTP_GET)) norn_http_all_stats(route);
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

// ---- paths

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// The path of a target: without a query, and without scheme and host
/// where a client sends those too.
static norn_span path_of(norn_span target) {
    const size_t scheme =
        target.count > 7 && norn_http_same(norn_span_of(target.bytes, 7), "http://")    ? 7
        : target.count > 8 && norn_http_same(norn_span_of(target.bytes, 8), "https://") ? 8
                                                                                        : 0;
    size_t at = scheme;
    if (scheme)
        while (at < target.count && !strchr("/?#", target.bytes[at])) at++;
    size_t end = at;
    while (end < target.count && target.bytes[end] != '?' && target.bytes[end] != '#') end++;
    if (scheme && end == at) return norn_span_text("/");
    return norn_span_of(target.bytes + at, end - at);
}

/// Decode a segment behind `out`. False: an escape that is none, or a byte that no name has.
static bool decode(norn_span segment, char **out) {
    for (size_t i = 0; i < segment.count; i++) {
        int byte = segment.bytes[i];
        if (byte == '%') {
            if (segment.count - i < 3 || hex(segment.bytes[i + 1]) < 0 ||
                hex(segment.bytes[i + 2]) < 0)
                return false;
            byte = hex(segment.bytes[i + 1]) << 4 | hex(segment.bytes[i + 2]);
            i += 2;
        }
        if (byte < 0x20 || byte == 0x7f) return false;
        *(*out)++ = (char)byte;
    }
    *(*out)++ = '\0';
    return true;
}

static bool is_dots(const char *segment) {
    return strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
}

/// Cut the path at its slashes; empty segments do not count. The code to refuse with, or 0.
static int cut_path(norn_http_route *route, norn_span path) {
    char *out = route->text;
    route->count = 0;
    for (uint32_t i = 0; i <= NORN_HTTP_SEGMENTS_MAX; i++) route->segment[i] = "";
    if (path.count == 0 || path.bytes[0] != '/') return 404;
    for (size_t at = 0; at < path.count;) {
        size_t end = ++at;
        while (end < path.count && path.bytes[end] != '/') end++;
        if (end > at) {
            // "" must follow whatever is looked at.
            if (route->count == NORN_HTTP_SEGMENTS_MAX - 2) return 404;
            route->segment[route->count++] = out;
            if (!decode(norn_span_of(path.bytes + at, end - at), &out) ||
                is_dots(route->segment[route->count - 1]))
                return 400;
        }
        at = end;
    }
    return 0;
}

void norn_http_on_request(norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    norn_http_route route; // not zeroed: `text` is large
    const norn_span target = {connection->bytes + request->target.at, request->target.count};
    const int code = cut_path(&route, path_of(target));
    route.connection = connection;
    route.service = norn_http_service(connection);
    route.method = request->method == NORN_HTTP_HEAD ? NORN_HTTP_GET : request->method;
    if (code == 400) {
        norn_http_answer_error(connection, 400, "the path is malformed");
    } else if (code == 0 && is(&route, 0, "v2")) {
        route_v2(&route);
    } else {
        not_found(&route);
    }
}

void norn_http_on_metrics(norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    norn_service *service = norn_http_service(connection);
    norn_buffer page;
    if (request->method != NORN_HTTP_GET && request->method != NORN_HTTP_HEAD) {
        connection->allow = "GET, HEAD";
        norn_http_answer_error(connection, 405, "use GET here");
        return;
    }
    norn_buffer_init(&page, service->alloc);
    norn_metrics_put(service, &page);
    norn_http_answer(connection, 200, "text/plain; version=0.0.4; charset=utf-8", &page, 0);
}
