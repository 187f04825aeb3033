/// Accepting connections, for both protocols.
#include "base/log.h"
#include "base/memory.h"
#include "serve/io/io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPT_AT_ONCE = 64, ///< then others on this thread have their turn
    PAUSE_MS = 100,      ///< while no descriptor is free
};

struct norn_acceptor {
    norn_io *io;
    const norn_acceptor_calls *calls;
    evutil_socket_t fd;
    struct event *readable, *resume;
};

static void refuse(const norn_acceptor *acceptor, evutil_socket_t fd) {
    const char *text = acceptor->calls->refusal;
    NORN_LOG_LIMITED(NORN_LOG_WARN, "%lld connection%s open, the limit: refusing more",
                     (long long)acceptor->io->service->limits.connections,
                     norn_number(acceptor->io->service->limits.connections, " is", "s are"));
    if (text[0]) (void)send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)close(fd);
}

static void take(norn_acceptor *acceptor, evutil_socket_t fd) {
    norn_service *service = acceptor->io->service;
    const int64_t before =
        atomic_fetch_add_explicit(&service->connections, 1, memory_order_relaxed);
    if (before >= service->limits.connections &&
        (!acceptor->calls->make_room || !acceptor->calls->make_room(acceptor->io))) {
        norn_service_hang_up(service);
        refuse(acceptor, fd);
        return;
    }
    acceptor->calls->accepted(acceptor->io, fd);
}

/// Without free descriptors the socket stays readable, and looking again at once would only burn
/// the processor and fill the log.
static void pause_accepting(norn_acceptor *acceptor) {
    const struct timeval later = {.tv_usec = 1000 * PAUSE_MS};
    NORN_LOG_LIMITED(NORN_LOG_ERROR, "accept: %s; trying again every %d ms", strerror(errno),
                     PAUSE_MS);
    (void)event_del(acceptor->readable);
    (void)event_add(acceptor->resume, &later);
}

static void on_readable(evutil_socket_t fd, short what, void *context) {
    norn_acceptor *acceptor = context;
    (void)what;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        const int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            take(acceptor, client);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(acceptor);
            return;
        } // else that connection failed before it was accepted: the next
    }
}

static void on_resume(evutil_socket_t fd, short what, void *context) {
    const norn_acceptor *acceptor = context;
    (void)fd, (void)what;
    (void)event_add(acceptor->readable, NULL);
}

norn_status norn_acceptor_open(norn_io *io, evutil_socket_t fd, const norn_acceptor_calls *calls,
                               norn_acceptor **out) {
    norn_acceptor *acceptor;
    *out = NULL;
    if (NORN_NEW(io->service->alloc, &acceptor) != NORN_OK) {
        (void)close(fd);
        return NORN_RESOURCE_EXHAUSTED;
    }
    *acceptor = (norn_acceptor){.io = io, .calls = calls, .fd = fd};
    acceptor->readable = event_new(io->base, fd, EV_READ | EV_PERSIST, on_readable, acceptor);
    acceptor->resume = event_new(io->base, -1, EV_TIMEOUT, on_resume, acceptor);
    if (!acceptor->readable || !acceptor->resume || event_add(acceptor->readable, NULL) != 0) {
        norn_acceptor_close(acceptor);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory to accept connections");
    }
    *out = acceptor;
    return NORN_OK;
}

void norn_acceptor_close(norn_acceptor *acceptor) {
    if (!acceptor) return;
    if (acceptor->readable) event_free(acceptor->readable);
    if (acceptor->resume) event_free(acceptor->resume);
    (void)close(acceptor->fd);
    norn_free(acceptor->io->service->alloc, acceptor);
}
