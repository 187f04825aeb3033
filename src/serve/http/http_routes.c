/// From a path to its endpoint.
#include "serve/http/http_route.h"
#include "serve/kserve_json.h"
#include "serve/metrics.h"

#include <stdio.h>
#include <string.h>

static bool is(const norn_http_route *route, uint32_t index, const char *text) {
    return strcmp(route->segment[index], text) == 0;
}

static bool method_is(const norn_http_route *route, enum evhttp_cmd_type method) {
    if (route->method == method) return true;
    norn_http_send_error(route->io, route->request, 405,
                         method == EVHTTP_REQ_GET ? "use GET here" : "use POST here");
    return false;
}

static void not_found(const norn_http_route *route) {
    norn_http_send_error(route->io, route->request, 404,
                         "no such endpoint; /v2 lists the extensions");
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
        if (method_is(route, EVHTTP_REQ_POST)) norn_http_infer(route, name, version);
    } else if (!method_is(route, EVHTTP_REQ_GET)) {
        return;
    } else if (!norn_http_model(route, name, version, route->segment[rest])) {
        not_found(route);
    }
}

static void route_repository(const norn_http_route *route) {
    // /v2/repository/index and /v2/repository/models/NAME/{load,unload}; the protocol's form with
    // the name of a repository does not exist here, because there is one and it has none
    if (is(route, 2, "index") && route->count == 3) {
        if (method_is(route, EVHTTP_REQ_POST)) norn_http_index(route);
    } else if (is(route, 2, "models") && route->count == 5 &&
               (is(route, 4, "load") || is(route, 4, "unload"))) {
        if (method_is(route, EVHTTP_REQ_POST))
            norn_http_load(route, route->segment[3], is(route, 4, "load"));
    } else {
        not_found(route);
    }
}

/// The shared-memory endpoints exist so that clients which clear regions before they start can:
/// there are none.
static void route_shared_memory(const norn_http_route *route) {
    norn_buffer json;
    const char *last = route->segment[route->count - 1];
    if (strcmp(last, "unregister") == 0) {
        if (method_is(route, EVHTTP_REQ_POST)) norn_http_send_empty(route, true);
    } else if (strcmp(last, "status") == 0) {
        norn_buffer_init(&json, route->io->server->alloc);
        norn_buffer_text(&json, "[]");
        norn_http_send_json(route, &json);
    } else {
        norn_http_send_error(route->io, route->request, 501,
                             "shared memory is not supported; send tensors in the request");
    }
}

static void route_v2(const norn_http_route *route) {
    norn_server *server = route->io->server;
    norn_buffer json;
    if (is(route, 1, "")) {
        if (!method_is(route, EVHTTP_REQ_GET)) return;
        norn_buffer_init(&json, server->alloc);
        norn_kserve_put_server(server->model_control, &json);
        norn_http_send_json(route, &json);
    } else if (is(route, 1, "health") && (is(route, 2, "live") || is(route, 2, "ready"))) {
        norn_http_send_empty(route, is(route, 2, "live") || norn_server_ready(server));
    } else if (is(route, 1, "models") && is(route, 2, "stats") && route->count == 3) {
        norn_http_all_stats(route);
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
static bool parse_path(norn_http_route *route) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(route->request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    char *out = route->text;
    if (!path || path[0] != '/' || strlen(path) >= sizeof route->text) return false;
    for (uint32_t i = 0; i <= NORN_HTTP_SEGMENTS_MAX; i++) route->segment[i] = "";
    while (*path == '/') {
        const char *begin = ++path;
        while (*path && *path != '/') ++path;
        if (path == begin) continue;
        if (route->count == NORN_HTTP_SEGMENTS_MAX - 2)
            return false; // "" must follow whatever is looked at
        route->segment[route->count++] = out;
        for (const char *c = begin; c < path; c++) {
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

void norn_http_on_request(struct evhttp_request *request, void *context) {
    norn_http_route route = {
        .io = context, .request = request, .method = evhttp_request_get_command(request)};
    if (parse_path(&route) && is(&route, 0, "v2")) {
        route_v2(&route);
    } else {
        not_found(&route);
    }
}

void norn_http_on_metrics(struct evhttp_request *request, void *context) {
    norn_io *io = context;
    norn_buffer page;
    norn_buffer_init(&page, io->server->alloc);
    norn_metrics_put(io->server, &page);
    norn_http_send(io, request, 200, "text/plain; version=0.0.4; charset=utf-8", &page, 0);
}
