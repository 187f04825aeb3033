#include "norn/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "serve/grpc/grpc.h"
#include "serve/http/http.h"
#include "serve/io/listen.h"

#include <errno.h>
#include <event2/thread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { IO_MAX = 64 };

struct norn_server {
    norn_service service;
    char *host;
    norn_io io[IO_MAX];
    int32_t io_count;
    int32_t http_port, grpc_port, metrics_port;
};

static int64_t or_else(int64_t asked, int64_t otherwise) {
    return asked > 0 ? asked : otherwise;
}

/// Less connections are accepted than the process may open files, so that a flood of them never
/// keeps a model from being loaded.
static int64_t connections_possible(int64_t wanted) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY ||
        files.rlim_cur >= (rlim_t)wanted + NORN_SERVER_OTHER_FILES)
        return wanted;
    return files.rlim_cur > 2 * NORN_SERVER_OTHER_FILES
               ? (int64_t)files.rlim_cur - NORN_SERVER_OTHER_FILES
               : (int64_t)files.rlim_cur / 2;
}

static void set_limits(norn_service *service, const norn_server_options *options) {
    norn_limits *limits = &service->limits;
    const int64_t ms = 1000000, wanted = or_else(options->max_connections, NORN_SERVER_CONNECTIONS);
    limits->request_bytes = or_else(options->max_request_bytes, 256 << 20);
    limits->connections = connections_possible(wanted);
    limits->header_ns = ms * or_else(options->header_timeout_ms, 10 * 1000);
    limits->body_ns = ms * or_else(options->body_timeout_ms, 30 * 1000);
    limits->idle_ns = ms * or_else(options->idle_timeout_ms, 600 * 1000);
    if (limits->connections < wanted && options->max_connections > 0)
        norn_log(NORN_LOG_WARN,
                 "--max-connections %lld: the process may open fewer files; %lld connection%s will "
                 "be accepted (see ulimit -n)",
                 (long long)wanted, (long long)limits->connections,
                 norn_plural(limits->connections));
    const int64_t four =
        limits->request_bytes > INT64_MAX / 4 ? INT64_MAX : 4 * limits->request_bytes;
    norn_budget_init(&service->budget,
                     or_else(options->memory_budget_bytes, four > 1 << 30 ? four : 1 << 30));
}

/// At least two, so that one huge body does not hold up every large one.
static int32_t worker_count(void) {
    const int32_t half = norn_core_count() / 2;
    return half < 2 ? 2 : half > 8 ? 8 : half;
}

static norn_status open_port(norn_server *server, norn_io *io, int32_t *port,
                             norn_status (*open)(norn_io *io, evutil_socket_t fd)) {
    evutil_socket_t fd;
    if (*port < 0) return NORN_OK;
    NORN_TRY(norn_listen(server->host, port, &fd));
    return open(io, fd);
}

static norn_status open_ports(norn_server *server, int32_t threads) {
    if (threads <= 0) threads = norn_core_count() / 2;
    if (threads < 1) threads = 1;
    if (threads > IO_MAX) threads = IO_MAX;
    for (; server->io_count < threads; server->io_count++) {
        norn_io *io = &server->io[server->io_count];
        NORN_TRY(norn_io_init(io, &server->service));
        norn_status status = open_port(server, io, &server->http_port, norn_http_open);
        if (status == NORN_OK) status = open_port(server, io, &server->grpc_port, norn_grpc_open);
        if (status == NORN_OK && server->io_count == 0)
            status = open_port(server, io, &server->metrics_port, norn_http_open_metrics);
        if (status != NORN_OK) {
            ++server->io_count; // so that norn_server_destroy sees it
            return status;
        }
    }
    return NORN_OK;
}

/// Before anything slow is begun: are the ports free?
static norn_status probe_ports(const norn_server *server) {
    NORN_TRY(norn_listen_probe(server->host, server->http_port, "--http-port"));
    NORN_TRY(norn_listen_probe(server->host, server->grpc_port, "--grpc-port"));
    return norn_listen_probe(server->host, server->metrics_port, "--metrics-port");
}

// ---- signals

/// Threads inherit the mask of who makes them, and the program's signals are not for ours. Nor may
/// a client that has gone raise SIGPIPE where the last bytes are written.
static void block_signals(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, before);
}

static void restore_signals(const sigset_t *before) {
    sigset_t pipe, pending;
    const struct timespec now = {0, 0};
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) &&
        !sigismember(before, SIGPIPE))
        (void)sigtimedwait(&pipe, NULL, &now);
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

// ---- life

static norn_status create_in(norn_server *server, const norn_server_options *options) {
    norn_service *service = &server->service;
    NORN_TRY(norn_alloc_string(service->alloc, options->host ? options->host : "0.0.0.0",
                               &server->host));
    NORN_TRY(probe_ports(server));
    NORN_TRY(norn_repository_open(options->repository, &options->models, service->alloc,
                                  &service->repository));
    NORN_TRY(norn_workers_create(worker_count(), service->alloc, &service->workers));
    return open_ports(server, options->io_threads);
}

norn_status norn_server_create(const norn_server_options *options, norn_alloc alloc,
                               norn_server **out) {
    norn_server *server;
    sigset_t before;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &server));
    server->http_port = options->http_port;
    server->grpc_port = options->grpc_port;
    server->metrics_port = options->metrics_port;
    server->service.alloc = alloc;
    server->service.start_ns = norn_clock_now_ns();
    server->service.model_control = options->model_control;
    set_limits(&server->service, options);
    (void)evthread_use_pthreads();
    block_signals(&before);
    const norn_status status = create_in(server, options);
    restore_signals(&before);
    if (status == NORN_OK) {
        *out = server;
    } else {
        norn_server_destroy(server);
    }
    return status;
}

norn_status norn_server_start(norn_server *server) {
    sigset_t before;
    norn_status status = NORN_OK;
    block_signals(&before);
    for (int32_t i = 0; i < server->io_count && status == NORN_OK; i++)
        status = norn_io_start(&server->io[i]);
    restore_signals(&before);
    return status;
}

void norn_server_ports(const norn_server *server, int32_t *http, int32_t *grpc, int32_t *metrics) {
    if (http) *http = server->http_port;
    if (grpc) *grpc = server->grpc_port;
    if (metrics) *metrics = server->metrics_port;
}

void norn_server_retire(norn_server *server) {
    server->service.draining = true;
}

static void on_stop_accepting(evutil_socket_t fd, short what, void *context) {
    (void)fd, (void)what;
    norn_http_stop_accepting(context);
    norn_grpc_stop_accepting(context);
}

static void sleep_ms(int64_t ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/// After the requests in flight, a moment for their last bytes to leave.
int64_t norn_server_drain(norn_server *server, int64_t wait_ms) {
    const int64_t until_ns = norn_clock_now_ns() + 1000000 * wait_ms;
    const struct timeval now = {0, 0};
    norn_server_retire(server);
    for (int32_t i = 0; i < server->io_count; i++)
        (void)event_base_once(server->io[i].base, -1, EV_TIMEOUT, on_stop_accepting, &server->io[i],
                              &now);
    while (server->service.in_flight > 0 && norn_clock_now_ns() < until_ns) sleep_ms(2);
    const int64_t left = server->service.in_flight;
    sleep_ms(100);
    return left;
}

/// False: compute threads still hold requests.
static bool close_in(norn_server *server) {
    norn_service *service = &server->service;
    for (int32_t i = 0; i < server->io_count; i++) norn_io_stop(&server->io[i]);
    for (int32_t i = 0; i < server->io_count; i++) norn_http_drop_idle(&server->io[i]);
    if (service->in_flight > 0) return false;
    norn_workers_destroy(service->workers);
    service->workers = NULL;
    // Joins compute threads: every exchange has its answer now.
    norn_repository_close(service->repository);
    service->repository = NULL;
    for (int32_t i = 0; i < server->io_count; i++) {
        norn_http_close(&server->io[i]);
        norn_grpc_close(&server->io[i]);
        norn_io_deinit(&server->io[i]);
    }
    return true;
}

void norn_server_destroy(norn_server *server) {
    sigset_t before;
    if (!server) return;
    block_signals(&before);
    const bool closed = close_in(server);
    restore_signals(&before);
    if (!closed) return;
    norn_free(server->service.alloc, server->host);
    norn_free(server->service.alloc, server);
}
