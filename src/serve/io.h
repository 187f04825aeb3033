/// I/O threads: an event loop each, on which connections live and answers are written. I/O threads
/// never compute. Compute threads hand finished requests back through norn_io_finish.
#ifndef NORN_SERVE_IO_H
#define NORN_SERVE_IO_H

#include "serve/repository.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/types.h>

/// What every connection needs of the server. One a process.
typedef struct norn_server {
    norn_alloc alloc;
    norn_repository *repository;
    int64_t max_request_bytes;
    _Atomic bool draining;
    _Atomic int64_t in_flight; ///< requests between arrival and the last byte of the answer handed
                               ///< to the socket
    int64_t start_ns;
} norn_server;

bool norn_server_ready(norn_server *server); ///< settled and not draining

typedef struct norn_io norn_io;

/// One request as its protocol sees it; the protocol embeds this first.
typedef struct norn_exchange {
    void (*finish)(struct norn_exchange *exchange); ///< on the I/O thread, when the answer is there
    norn_io *io;
    norn_infer *infer;
    struct norn_exchange *next;
} norn_exchange;

struct norn_io {
    norn_server *server;
    struct event_base *base;
    struct event *wake;
    int wake_fd;
    _Atomic(norn_exchange *)
        finished; ///< a stack, pushed by any thread, taken whole by the I/O thread
    pthread_t thread;
    bool started;
    void *http, *metrics, *grpc; ///< the listeners' state
};

norn_status norn_io_init(norn_io *io, norn_server *server) NORN_NODISCARD;
norn_status norn_io_start(norn_io *io) NORN_NODISCARD;
void norn_io_stop(norn_io *io); ///< leaves the loop and joins
void norn_io_deinit(norn_io *io);
/// Any thread: call exchange->finish on its I/O thread.
void norn_io_finish(norn_exchange *exchange);

/// A listening TCP socket with SO_REUSEPORT; *port 0 becomes the port that was taken.
norn_status norn_io_listen(const char *host, int32_t *port, evutil_socket_t *out) NORN_NODISCARD;

/// Submit an admitted request: its answer arrives at exchange->finish.
void norn_exchange_submit(norn_exchange *exchange);
/// Begin and end of a request, for the drain.
static inline void norn_server_enter(norn_server *server) {
    atomic_fetch_add_explicit(&server->in_flight, 1, memory_order_relaxed);
}
static inline void norn_server_leave(norn_server *server) {
    atomic_fetch_sub_explicit(&server->in_flight, 1, memory_order_release);
}

#endif
