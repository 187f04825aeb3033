/// I/O threads: an event loop each, on which connections live and answers are written. I/O threads
/// never compute. Compute threads hand finished requests back through norn_io_finish.
#ifndef NORN_SERVE_IO_IO_H
#define NORN_SERVE_IO_IO_H

#include "serve/service.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

typedef struct norn_io norn_io;

/// One request as its protocol sees it; the protocol embeds this first.
typedef struct norn_exchange {
    void (*finish)(struct norn_exchange *exchange); ///< on the I/O thread, when the answer is there
    norn_io *io;
    norn_request *request;
    struct norn_exchange *next;
} norn_exchange;

struct norn_io {
    norn_service *service;
    struct event_base *base;
    struct event *wake;
    int wake_fd;
    /// A stack, pushed by any thread, taken whole by the I/O thread.
    _Atomic(norn_exchange *) finished;
    pthread_t thread;
    bool started;
    void *http, *metrics, *grpc; ///< the listeners' state
};

norn_status norn_io_init(norn_io *io, norn_service *service) NORN_NODISCARD;
norn_status norn_io_start(norn_io *io) NORN_NODISCARD;
void norn_io_stop(norn_io *io); ///< leaves the loop and joins
void norn_io_deinit(norn_io *io);
/// Any thread: call exchange->finish on its I/O thread.
void norn_io_finish(norn_exchange *exchange);

/// Accepts connections on one listening socket: counts them against the limit, and pauses while
/// the process has no descriptors left instead of spinning.
typedef struct norn_acceptor norn_acceptor;
typedef struct norn_acceptor_calls {
    /// Takes fd; norn_service_hang_up when closed.
    void (*accepted)(norn_io *io, evutil_socket_t fd);
    /// Over the limit: the protocol may close an idle connection of its own and return true, then
    /// this one is accepted. NULL: never.
    bool (*make_room)(norn_io *io);
    const char *refusal; ///< sent before a connection over the limit is closed; "" for nothing
} norn_acceptor_calls;
/// Takes `fd`, also on failure. `calls` is kept.
norn_status norn_acceptor_open(norn_io *io, evutil_socket_t fd, const norn_acceptor_calls *calls,
                               norn_acceptor **out) NORN_NODISCARD;
void norn_acceptor_close(norn_acceptor *acceptor); ///< on the I/O thread, or after its loop

/// Submit an admitted request: its answer arrives at exchange->finish.
void norn_exchange_submit(norn_exchange *exchange);

#endif
