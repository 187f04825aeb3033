/// What every connection needs of the server that it came to.
#ifndef NORN_SERVE_SERVICE_H
#define NORN_SERVE_SERVICE_H

#include "serve/budget.h"
#include "serve/io/workers.h"
#include "serve/repository/repository.h"

#include <stdatomic.h>

/// What a client may cost; none is 0.
typedef struct norn_limits {
    int64_t request_bytes; ///< a body, also after it was inflated
    int64_t connections;   ///< of both protocols together
    int64_t header_ns; ///< from the first byte of a request, or the accept, to the end of its head
    int64_t body_ns;   ///< a body, or an answer on its way out, in which no byte moves
    int64_t idle_ns;   ///< between requests
} norn_limits;

typedef struct norn_service {
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
} norn_service;

bool norn_service_ready(norn_service *service); ///< settled and not draining
/// May clients load and unload models? Errors PERMISSION_DENIED, naming the flag.
norn_status norn_service_allows_control(const norn_service *service) NORN_NODISCARD;

/// A connection that was accepted is closed.
static inline void norn_service_hang_up(norn_service *service) {
    atomic_fetch_sub_explicit(&service->connections, 1, memory_order_relaxed);
}
/// Begin and end of a request, for the drain.
static inline void norn_service_enter(norn_service *service) {
    atomic_fetch_add_explicit(&service->in_flight, 1, memory_order_relaxed);
}
static inline void norn_service_leave(norn_service *service) {
    atomic_fetch_sub_explicit(&service->in_flight, 1, memory_order_release);
}

#endif
