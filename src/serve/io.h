/// I/O threads: an event loop each, on which connections live and answers are written. I/O threads
/// never compute. Compute threads hand finished requests back through norn_io_finish.
#ifndef NORN_SERVE_IO_H
#define NORN_SERVE_IO_H

#include "serve/budget.h"
#include "serve/repository.h"
#include "serve/workers.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <sys/types.h>

/// What a client may cost; none is 0.
typedef struct norn_limits {
    int64_t request_bytes; ///< a body, also after it was inflated
    int64_t connections;   ///< of both protocols together
    int64_t header_ns; ///< from the first byte of a request, or the accept, to the end of its head
    int64_t body_ns;   ///< a body, or an answer on its way out, in which no byte moves
    int64_t idle_ns;   ///< between requests
} norn_limits;

/// What every connection needs of the server. One a process.
typedef struct norn_server {
    norn_alloc alloc;
    norn_repository *repository;
    norn_limits limits;
    norn_budget budget; ///< request bodies, tensors read from them, answers that have not left
    _Atomic int64_t connections;
    bool model_control;    ///< clients may load and unload models
    norn_workers *workers; ///< NULL in tests: their work is done on the I/O thread
    _Atomic bool draining;
    _Atomic int64_t in_flight; ///< requests from arrival until all of the answer is the socket's
    int64_t start_ns;
} norn_server;

bool norn_server_ready(norn_server *server); ///< settled and not draining
/// May clients load and unload models? Errors PERMISSION_DENIED, naming the flag.
norn_status norn_server_allows_control(const norn_server *server) NORN_NODISCARD;

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
    /// A stack, pushed by any thread, taken whole by the I/O thread.
    _Atomic(norn_exchange *) finished;
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

/// Accepts connections on one listening socket: counts them against the limit, and pauses while
/// the process has no descriptors left instead of spinning.
typedef struct norn_acceptor norn_acceptor;
typedef struct norn_acceptor_calls {
    /// Takes fd; norn_server_hang_up when closed.
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
/// A connection that was accepted is closed.
static inline void norn_server_hang_up(norn_server *server) {
    atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
}

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
