#include "serve/serve.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "serve/grpc/grpc.h"
#include "serve/http/http.h"
#include "serve/listen.h"

#include <errno.h>
#include <event2/thread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    IO_MAX = 64,
    LAME_DUCK_MS = 2000, ///< a few probes of a load balancer; endpoints are withdrawn in a second
    DRAIN_MS = 30000,
};

typedef struct server_run {
    norn_server server;
    const norn_serve_options *options;
    norn_io io[IO_MAX];
    int32_t io_count;
    int32_t http_port, grpc_port, metrics_port;
} server_run;

static int64_t or_else(int64_t asked, int64_t otherwise) {
    return asked > 0 ? asked : otherwise;
}

/// Descriptors that are not connections: listeners, event loops, models and their tables.
enum { OTHER_FILES = 256 };

/// Let the process open as many files as it may; less than that many connections are accepted, so
/// that a flood of them never keeps a model from being loaded.
static int64_t connections_possible(int64_t wanted) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return wanted;
    const rlim_t need = (rlim_t)wanted + OTHER_FILES;
    if (files.rlim_cur < need) {
        const rlim_t before = files.rlim_cur;
        files.rlim_cur = files.rlim_max < need ? files.rlim_max : need;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0) files.rlim_cur = before;
    }
    if (files.rlim_cur >= need) return wanted;
    return files.rlim_cur > 2 * OTHER_FILES ? (int64_t)files.rlim_cur - OTHER_FILES
                                            : (int64_t)files.rlim_cur / 2;
}

static void set_limits(norn_server *server, const norn_serve_options *options) {
    norn_limits *limits = &server->limits;
    const int64_t ms = 1000000, wanted = or_else(options->max_connections, 10000);
    limits->request_bytes = or_else(options->max_request_bytes, 256 << 20);
    limits->connections = connections_possible(wanted);
    limits->header_ns = ms * or_else(options->header_timeout_ms, 10 * 1000);
    limits->body_ns = ms * or_else(options->body_timeout_ms, 30 * 1000);
    limits->idle_ns = ms * or_else(options->idle_timeout_ms, 600 * 1000);
    if (limits->connections < wanted && options->max_connections > 0)
        norn_log(NORN_LOG_WARN,
                 "--max-connections %lld: the process may open fewer files; %lld connections will "
                 "be accepted (see ulimit -n)",
                 (long long)wanted, (long long)limits->connections);
    const int64_t four =
        limits->request_bytes > INT64_MAX / 4 ? INT64_MAX : 4 * limits->request_bytes;
    norn_budget_init(&server->budget,
                     or_else(options->memory_budget_bytes, four > 1 << 30 ? four : 1 << 30));
}

/// At least two, so that one huge body does not hold up every large one.
static int32_t worker_count(void) {
    const int32_t half = norn_core_count() / 2;
    return half < 2 ? 2 : half > 8 ? 8 : half;
}

static norn_status open_port(server_run *run, norn_io *io, int32_t *port,
                             norn_status (*open)(norn_io *io, evutil_socket_t fd)) {
    evutil_socket_t fd;
    if (*port < 0) return NORN_OK;
    NORN_TRY(norn_listen(run->options->host ? run->options->host : "0.0.0.0", port, &fd));
    return open(io, fd);
}

static norn_status open_ports(server_run *run) {
    int32_t threads = run->options->io_threads;
    if (threads <= 0) threads = norn_core_count() / 2;
    if (threads < 1) threads = 1;
    if (threads > IO_MAX) threads = IO_MAX;
    for (; run->io_count < threads; run->io_count++) {
        norn_io *io = &run->io[run->io_count];
        NORN_TRY(norn_io_init(io, &run->server));
        norn_status status = open_port(run, io, &run->http_port, norn_http_open);
        if (status == NORN_OK) status = open_port(run, io, &run->grpc_port, norn_grpc_open);
        if (status == NORN_OK && run->io_count == 0)
            status = open_port(run, io, &run->metrics_port, norn_http_open_metrics);
        if (status != NORN_OK) {
            ++run->io_count; // so that close_all sees it
            return status;
        }
    }
    return NORN_OK;
}

/// Before anything slow is begun: are the ports free?
static norn_status probe_ports(const norn_serve_options *options) {
    const char *host = options->host ? options->host : "0.0.0.0";
    NORN_TRY(norn_listen_probe(host, options->http_port, "--http-port"));
    NORN_TRY(norn_listen_probe(host, options->grpc_port, "--grpc-port"));
    return norn_listen_probe(host, options->metrics_port, "--metrics-port");
}

// ---- stopping

/// Those that would end the process or that ask it to end. Blocked in every thread, because threads
/// inherit the mask of the first: only it waits for them.
static void block_signals(sigset_t *signals) {
    static const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(signals);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sigaddset(signals, all[i]);
    (void)pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/// Wait for SIGTERM or SIGINT, at most `wait_ms` (-1: for ever). 0 when none came.
static int next_stop(const sigset_t *signals, int64_t wait_ms) {
    const int64_t until_ns = norn_clock_now_ns() + 1000000 * wait_ms;
    for (;;) {
        int64_t left_ns = wait_ms < 0 ? 3600000000000 : until_ns - norn_clock_now_ns();
        if (left_ns < 0) left_ns = 0;
        const struct timespec left = {left_ns / 1000000000, left_ns % 1000000000};
        const int number = sigtimedwait(signals, NULL, &left);
        if (number == SIGTERM || number == SIGINT) return number;
        if (number > 0)
            NORN_LOG_LIMITED(NORN_LOG_INFO, "%s: there is nothing to do", strsignal(number));
        if (number < 0 && errno == EAGAIN && wait_ms >= 0) return 0;
    }
}

/// Readiness is false, everything is still answered: load balancers need a moment to see it, and
/// what they send until then must not meet a closed port.
static void lame_duck(const server_run *run, const sigset_t *signals) {
    const int64_t asked = run->options->lame_duck_ms, ms = asked < 0 ? LAME_DUCK_MS : asked;
    if (ms == 0) return;
    norn_log(NORN_LOG_INFO, "not ready any more; serving for another %lld ms", (long long)ms);
    if (next_stop(signals, ms) != 0) norn_log(NORN_LOG_INFO, "asked again: not waiting longer");
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

/// Readiness is false already. Wait for requests in flight, then a moment
/// for their last bytes to leave.
static void drain(server_run *run) {
    const int64_t drain_ms = run->options->drain_ms < 0 ? DRAIN_MS : run->options->drain_ms;
    const int64_t until_ns = norn_clock_now_ns() + 1000000 * drain_ms;
    const struct timeval now = {0, 0};
    for (int32_t i = 0; i < run->io_count; i++)
        (void)event_base_once(run->io[i].base, -1, EV_TIMEOUT, on_stop_accepting, &run->io[i],
                              &now);
    while (atomic_load(&run->server.in_flight) > 0 && norn_clock_now_ns() < until_ns) sleep_ms(2);
    if (run->server.in_flight > 0)
        norn_log(NORN_LOG_WARN, "%lld requests were still running after %lld ms",
                 (long long)run->server.in_flight, (long long)drain_ms);
    sleep_ms(100);
}

static void close_all(server_run *run) {
    for (int32_t i = 0; i < run->io_count; i++) norn_io_stop(&run->io[i]);
    for (int32_t i = 0; i < run->io_count; i++) norn_http_drop_idle(&run->io[i]);
    if (run->server.in_flight > 0)
        return; // compute threads still hold these: the process is about to exit
    norn_workers_destroy(run->server.workers);
    run->server.workers = NULL;
    // Joins compute threads: every exchange has its answer now.
    norn_repository_close(run->server.repository);
    run->server.repository = NULL;
    for (int32_t i = 0; i < run->io_count; i++) {
        norn_http_close(&run->io[i]);
        norn_grpc_close(&run->io[i]);
        norn_io_deinit(&run->io[i]);
    }
}

norn_status norn_serve(const norn_serve_options *options, norn_alloc alloc) {
    server_run *run;
    sigset_t signals;
    norn_status status = NORN_OK;
    NORN_TRY(NORN_NEW(alloc, &run));
    run->options = options;
    run->http_port = options->http_port;
    run->grpc_port = options->grpc_port;
    run->metrics_port = options->metrics_port;
    run->server.alloc = alloc;
    run->server.start_ns = norn_clock_now_ns();
    set_limits(&run->server, options);
    run->server.model_control = options->model_control;
    (void)evthread_use_pthreads();
    block_signals(&signals); // before any thread
    NORN_TRY_DONE(norn_log_start());
    NORN_TRY_DONE(probe_ports(options));
    NORN_TRY_DONE(norn_repository_open(options->repository, &options->models, alloc,
                                       &run->server.repository));
    NORN_TRY_DONE(norn_workers_create(worker_count(), alloc, &run->server.workers));
    NORN_TRY_DONE(open_ports(run));
    for (int32_t i = 0; i < run->io_count; i++) NORN_TRY_DONE(norn_io_start(&run->io[i]));
    norn_log(NORN_LOG_INFO, "serving '%s': HTTP on port %d, gRPC on %d, metrics on %d",
             options->repository, (int)run->http_port, (int)run->grpc_port, (int)run->metrics_port);
    norn_log(NORN_LOG_INFO, "%s: stopping", strsignal(next_stop(&signals, -1)));
    run->server.draining = true;
    lame_duck(run, &signals);
    drain(run);
    norn_log(NORN_LOG_INFO, "stopped");
done:
    close_all(run);
    norn_log_stop(500);
    if (run->server.in_flight == 0) norn_free(alloc, run);
    return status;
}
