/// Listeners, and the time-outs of their connections.
#include "serve/http/http.h"

#include "base/clock.h"
#include "base/memory.h"
#include "serve/http/http_route.h"

#include <unistd.h>

enum { TICK_MS = 500 };

static void on_accept(norn_io *io, evutil_socket_t fd) {
    norn_http_connect(io->http, fd);
}

static void on_accept_metrics(norn_io *io, evutil_socket_t fd) {
    norn_http_connect(io->metrics, fd);
}

static bool make_room(norn_io *io) {
    return norn_http_evict(io->http);
}

static bool make_room_metrics(norn_io *io) {
    return norn_http_evict(io->metrics) || (io->http && norn_http_evict(io->http));
}

static const char refusal[] =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 64\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\n"
    "{\"error\":\"too many connections are open; see --max-connections\"}";
static const norn_acceptor_calls calls = {on_accept, make_room, refusal},
                                 metrics_calls = {on_accept_metrics, make_room_metrics, refusal};

static void expire(const norn_http_list *list, int64_t now_ns) {
    for (norn_http_connection *c = list->first, *next; c; c = next) {
        next = c->next;
        if (c->due_ns <= now_ns) norn_http_expire(c);
    }
}

/// One timer for all connections of a listener: requests set a time and cost no timer of their own.
static void on_tick(evutil_socket_t fd, short what, void *context) {
    norn_http_listener *listener = context;
    norn_service *service = listener->io->service;
    const int64_t now_ns = norn_clock_now_ns();
    (void)fd, (void)what;
    expire(&listener->idle, now_ns);
    expire(&listener->busy, now_ns);
    if (norn_budget_wants_trim(&service->budget)) norn_workers_trim(service->workers);
}

static void destroy_listener(norn_http_listener *listener) {
    if (!listener) return;
    norn_acceptor_close(listener->acceptor);
    while (listener->idle.first) norn_http_destroy(listener->idle.first);
    while (listener->busy.first) norn_http_destroy(listener->busy.first);
    if (listener->tick) event_free(listener->tick);
    norn_free(listener->io->service->alloc, listener);
}

static norn_status open_listener(norn_io *io, evutil_socket_t fd, const norn_acceptor_calls *accept,
                                 void (*serve)(norn_http_connection *), void **out) {
    const struct timeval every = {.tv_usec = 1000 * TICK_MS};
    norn_http_listener *listener;
    norn_status status;
    if (NORN_NEW(io->service->alloc, &listener) != NORN_OK) {
        if (fd >= 0) (void)close(fd);
        return NORN_RESOURCE_EXHAUSTED;
    }
    *listener =
        (norn_http_listener){.io = io, .serve = serve, .counts = serve != norn_http_on_metrics};
    *out = listener; // before the first connection can come
    if (fd >= 0) NORN_TRY_DONE(norn_acceptor_open(io, fd, accept, &listener->acceptor));
    listener->tick = event_new(io->base, -1, EV_PERSIST, on_tick, listener);
    if (listener->tick && event_add(listener->tick, &every) == 0) return NORN_OK;
    status = norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot create an HTTP listener");
done:
    destroy_listener(listener);
    *out = NULL;
    return status;
}

norn_status norn_http_open(norn_io *io, evutil_socket_t fd) {
    return open_listener(io, fd, &calls, norn_http_on_request, &io->http);
}

norn_status norn_http_open_metrics(norn_io *io, evutil_socket_t fd) {
    return open_listener(io, fd, &metrics_calls, norn_http_on_metrics, &io->metrics);
}

void norn_http_accept(norn_io *io, evutil_socket_t fd) {
    atomic_fetch_add_explicit(&io->service->connections, 1, memory_order_relaxed);
    norn_http_connect(io->http, fd);
}

void norn_http_stop_accepting(norn_io *io) {
    norn_http_listener *listener = io->http;
    if (!listener) return;
    norn_acceptor_close(listener->acceptor);
    listener->acceptor = NULL;
}

static void drop_idle(norn_http_listener *listener) {
    if (!listener) return;
    while (listener->idle.first) norn_http_destroy(listener->idle.first);
    for (norn_http_connection *c = listener->busy.first, *next; c; c = next) {
        next = c->next;
        if (!c->in_work) norn_http_destroy(c);
    }
}

void norn_http_drop_idle(norn_io *io) {
    drop_idle(io->http);
    drop_idle(io->metrics);
}

void norn_http_close(norn_io *io) {
    destroy_listener(io->http);
    destroy_listener(io->metrics);
    io->http = io->metrics = NULL;
}
