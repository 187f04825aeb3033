/// The server as a part of another program: KServe v2 over HTTP and gRPC, and a page of metrics.
/// `norn serve` is this, with signals around it.
///
///     norn_server *server;
///     norn_server_options options = NORN_SERVER_OPTIONS;
///     options.repository = "repository";
///     if (norn_server_create(&options, norn_alloc_heap(), &server) != NORN_OK) ...norn_message()
///     if (norn_server_start(server) != NORN_OK) ...
///     ... until it is to stop
///     norn_server_retire(server);        // load balancers look away
///     norn_server_drain(server, 30000);
///     norn_server_destroy(server);
///
/// Part of libnorn where it was built with libevent and nghttp2.
///
/// Threads  a server has its own, in which all signals are blocked: they stay the program's. Calls
///          on one server from one thread at a time; several servers in a process are fine.
#ifndef NORN_SERVER_H
#define NORN_SERVER_H

#include "norn/alloc.h"

#include <stdbool.h>
#include <stdint.h>

/// What is said for every model; a model's norn.json wins where both speak.
typedef struct norn_serving_defaults {
    const char *device; ///< NULL: cpu
    int32_t instances, threads;
    int64_t max_batch, batch_delay_us, queue_limit;
    int64_t max_wait_ms;      ///< in the queue; 0: 10 s
    int64_t max_memory_bytes; ///< of an instance
    bool follow; ///< load new versions as they come, and apply what trainers publish to their tables
} norn_serving_defaults;

enum {
    NORN_SERVER_CONNECTIONS = 10000, ///< where max_connections says nothing
    /// Files besides connections: listeners, event loops, models and their tables. Less connections
    /// are accepted than the process may open files (RLIMIT_NOFILE), by so many.
    NORN_SERVER_OTHER_FILES = 256
};

typedef struct norn_server_options {
    const char *repository; ///< required
    const char *host; ///< an address of IPv4 or IPv6, or a name of this machine; NULL: 0.0.0.0
    int32_t http_port, grpc_port, metrics_port; ///< -1: off; 0: any free port: norn_server_ports
    int32_t io_threads;                         ///< at most 64; 0: one for every two cores
    int64_t max_request_bytes;                  ///< 0: 256 MiB
    /// For bodies, tensors and answers of all clients; 0: 1 GiB, or four times the largest request.
    int64_t memory_budget_bytes;
    int64_t max_connections;   ///< 0: NORN_SERVER_CONNECTIONS, or what the process may open
    int64_t header_timeout_ms; ///< for the head of a request; 0: 10 s
    int64_t body_timeout_ms;   ///< for a body or answer in which no byte moves; 0: 30 s
    int64_t idle_timeout_ms;   ///< between requests; 0: 10 min
    bool model_control;        ///< clients may load and unload models over the ports
    norn_serving_defaults models;
} norn_server_options;

/// Any free ports.
#define NORN_SERVER_OPTIONS \
    { .http_port = 0, .grpc_port = 0, .metrics_port = -1 }

typedef struct norn_server norn_server;

/// Take the ports, read the repository and begin to load its models. Nothing is answered yet.
/// Text of `options` is copied.
/// Errors   NOT_FOUND, INVALID_ARGUMENT, UNAVAILABLE: the repository or a port cannot be had; the
///          message names it
NORN_API norn_status norn_server_create(const norn_server_options *options, norn_alloc alloc,
                                        norn_server **out) NORN_NODISCARD;
/// Answer from now on. Ready (for clients) once every model was loaded or has failed to.
NORN_API norn_status norn_server_start(norn_server *server) NORN_NODISCARD;
/// The ports that were taken, -1 for what is off. Any of them may be NULL.
NORN_API void norn_server_ports(const norn_server *server, int32_t *http, int32_t *grpc,
                                int32_t *metrics);
/// Readiness turns false, and everything is answered as before: load balancers need a moment to see
/// it, and what they send until then must not meet a closed port.
NORN_API void norn_server_retire(norn_server *server);
/// Accept no more connections, and wait for requests in flight, at most `wait_ms`.
/// Gives how many were still running.
NORN_API int64_t norn_server_drain(norn_server *server, int64_t wait_ms);
/// Takes NULL. What is still running after a drain cannot be taken from under its threads: it is
/// left alone, and ends with the process.
NORN_API void norn_server_destroy(norn_server *server);

#endif
