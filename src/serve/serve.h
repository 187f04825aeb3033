/// The server: KServe v2 over HTTP and gRPC, metrics, graceful stop.
#ifndef NORN_SERVE_SERVE_H
#define NORN_SERVE_SERVE_H

#include "serve/served.h"

typedef struct norn_serve_options {
    const char *repository; ///< required
    const char *host; ///< an address or a name of this machine (serve/listen.h); NULL: 0.0.0.0
    int32_t http_port, grpc_port, metrics_port; ///< -1: off; 0: any free port, written to the log
    int32_t io_threads;                         ///< 0: one for every two cores, at least 1
    int64_t max_request_bytes;                  ///< 0: 256 MiB
    /// For bodies, tensors and answers of all clients; 0: 1 GiB, or four times the largest request.
    int64_t memory_budget_bytes;
    int64_t max_connections;   ///< 0: 10000, or what the process may open
    int64_t header_timeout_ms; ///< for the head of a request; 0: 10 s
    int64_t body_timeout_ms;   ///< for a body or answer in which no byte moves; 0: 30 s
    int64_t idle_timeout_ms;   ///< between requests; 0: 10 min
    int64_t lame_duck_ms;      ///< after SIGTERM: not ready any more, and still served; -1: 2 s
    int64_t drain_ms;          ///< then: how long requests in flight may take; -1: 30 s
    bool model_control;        ///< clients may load and unload models over the public ports
    norn_serving_defaults models;
} norn_serve_options;

/// Serve until SIGTERM or SIGINT. Then readiness turns false at once, and for lame_duck_ms
/// (or until the next such signal) everything is answered as before, so that load balancers
/// can look away first; then no connection is accepted and requests in flight are answered.
/// SIGHUP, SIGUSR1 and SIGUSR2 do nothing. Blocks.
/// Errors   the repository or a port cannot be opened; the message names it
norn_status norn_serve(const norn_serve_options *options, norn_alloc alloc) NORN_NODISCARD;

#endif
