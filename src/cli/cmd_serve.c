#include "cli/options.h"

#if NORN_HAVE_SERVE
#include "base/clock.h"
#include "base/log.h"
#include "norn/server.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#endif

static int run(int argc, char **argv);

const cli_command cli_serve = {
    .name = "serve",
    .operands = "",
    .operand_count = 0,
    .summary = "serve every model of a repository over HTTP and gRPC",
    .details =
        "The repository is a folder of MODEL/VERSION/: model.onnx or model.norn, tables/, "
        "norn.json. The newest\n"
        "version of each model is served with the Open Inference Protocol (KServe v2). SIGTERM "
        "drains and stops.\n\n"
        "  norn serve --repository repository\n"
        "  curl localhost:8000/v2/models/movielens\n"
        "  norn serve --repository repository --http-port 0    any free port; the log says which\n",
    .run = run,
};

#if NORN_HAVE_SERVE
/// One of the three listeners. `number` is -1 where the command line is silent.
typedef struct served_port {
    const char *name;
    int64_t number, otherwise;
    bool off; ///< --no-NAME
} served_port;

/// Fill in defaults, -1 for what is off. What could never work is the command line's fault.
static int choose_ports(served_port ports[3]) {
    for (int i = 0; i < 3; i++) {
        if (ports[i].off && ports[i].number >= 0)
            return cli_error(&cli_serve, CLI_WRONG, "--%s-port has no effect with --no-%s",
                             ports[i].name, ports[i].name);
        if (!ports[i].off && ports[i].number < 0) ports[i].number = ports[i].otherwise;
        for (int k = 0; k < i; k++)
            if (ports[i].number > 0 && ports[k].number == ports[i].number)
                return cli_error(&cli_serve, CLI_WRONG,
                                 "port %lld cannot serve %s and %s: give --%s-port another",
                                 (long long)ports[i].number, ports[k].name, ports[i].name,
                                 ports[i].name);
    }
    if (ports[0].off && ports[1].off)
        return cli_error(&cli_serve, CLI_WRONG, "--no-http and --no-grpc leave nothing to serve");
    return CLI_DONE;
}

/// The C library raises both bounds to what it has seen, up to 32 and 64 MB for every thread that
/// ever loaded a model. Blocks above the first go back to the system when they are freed; smaller
/// ones, as bodies of requests, are worth keeping.
static void bound_what_the_heap_keeps(void) {
    (void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

/// Let the process open as many files as it may, for connections and for what models need.
static void raise_file_limit(int64_t connections) {
    struct rlimit files;
    const rlim_t need =
        (rlim_t)(connections > 0 ? connections : NORN_SERVER_CONNECTIONS) + NORN_SERVER_OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= need) return;
    files.rlim_cur = files.rlim_max < need ? files.rlim_max : need;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

// ---- stopping

/// Those that would end the process or that ask it to end. Blocked before any thread is made,
/// because only this one waits for them.
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

/// How long to go on after SIGTERM.
typedef struct stop_times {
    int64_t lame_duck_ms; ///< not ready any more, and still served
    int64_t drain_ms;     ///< then: for requests in flight
} stop_times;

static void stop(norn_server *server, const stop_times *times, const sigset_t *signals) {
    norn_server_retire(server);
    if (times->lame_duck_ms > 0) {
        norn_log(NORN_LOG_INFO, "not ready any more; serving for another %lld ms",
                 (long long)times->lame_duck_ms);
        if (next_stop(signals, times->lame_duck_ms) != 0)
            norn_log(NORN_LOG_INFO, "asked again: not waiting longer");
    }
    const int64_t left = norn_server_drain(server, times->drain_ms);
    if (left > 0)
        norn_log(NORN_LOG_WARN, "%lld request%s still running after %lld ms", (long long)left,
                 norn_number(left, " was", "s were"), (long long)times->drain_ms);
    norn_log(NORN_LOG_INFO, "stopped");
}

/// Serve until SIGTERM or SIGINT. Then readiness turns false at once, and for a while (or until the
/// next such signal) everything is answered as before, so that load balancers can look away first;
/// then no connection is accepted and requests in flight are answered. SIGHUP, SIGUSR1 and SIGUSR2
/// do nothing.
static norn_status serve(const norn_server_options *options, const stop_times *times) {
    norn_server *server = NULL;
    sigset_t signals;
    norn_status status;
    int32_t http, grpc, metrics;
    block_signals(&signals);
    NORN_TRY(norn_log_start());
    NORN_TRY_DONE(norn_server_create(options, norn_alloc_heap(), &server));
    NORN_TRY_DONE(norn_server_start(server));
    norn_server_ports(server, &http, &grpc, &metrics);
    norn_log(NORN_LOG_INFO, "serving '%s': HTTP on port %d, gRPC on %d, metrics on %d",
             options->repository, (int)http, (int)grpc, (int)metrics);
    norn_log(NORN_LOG_INFO, "%s: stopping", strsignal(next_stop(&signals, -1)));
    stop(server, times, &signals);
done:
    norn_server_destroy(server);
    norn_log_stop(500);
    return status;
}

static int run(int argc, char **argv) {
    const char *repository = NULL, *host = NULL, *device = NULL, *control = "none";
    int64_t http = -1, grpc = -1, metrics = -1, io = 0, instances = 0, threads = 0, batch = 0,
            delay = 0, queue = 0, wait_ms = 0, memory_mb = 0;
    int64_t request_bytes = 0, lame_duck_ms = 2000, drain_ms = 30000, budget_bytes = 0,
            connections = 0;
    int64_t header_ms = 0, body_ms = 0, idle_ms = 0;
    bool follow = false;
    bool no_http = false, no_grpc = false, no_metrics = false;
    const cli_option options[] = {
        {"--repository", 0, CLI_TEXT, &repository, "DIR", "folder of models (required)"},
        {"--host", 0, CLI_TEXT, &host, "ADDRESS",
         "where to listen: an address of IPv4 or IPv6, or a name of this\nmachine (default "
         "0.0.0.0)"},
        {"--http-port", 0, CLI_PORT, &http, "PORT", "default 8000; 0 takes any free port"},
        {"--grpc-port", 0, CLI_PORT, &grpc, "PORT", "default 8001"},
        {"--metrics-port", 0, CLI_PORT, &metrics, "PORT", "default 8002"},
        {"--no-http", 0, CLI_FLAG, &no_http, NULL, "do not listen for HTTP"},
        {"--no-grpc", 0, CLI_FLAG, &no_grpc, NULL, "do not listen for gRPC"},
        {"--no-metrics", 0, CLI_FLAG, &no_metrics, NULL, "do not serve the metrics page"},
        {"--device", 0, CLI_TEXT, &device, "DEVICE",
         "cpu (default), cuda or cuda:N; norn.json wins"},
        {"--instances", 0, CLI_THREADS, &instances, "N",
         "batches in flight a model (default 1); norn.json wins"},
        {"--threads", 0, CLI_THREADS, &threads, "N",
         "compute threads an instance (default: all cores shared out)"},
        {"--max-batch", 0, CLI_COUNT, &batch, "N",
         "largest batch (default 1024); larger requests are split"},
        {"--max-memory", 0, CLI_MEGABYTES, &memory_mb, "MB",
         "buffers of an instance (default: half of what is left, shared out among\n"
         "a model's instances); norn.json wins"},
        {"--batch-delay-us", 0, CLI_DELAY_US, &delay, "US",
         "how long a request waits for company (default 0)"},
        {"--queue-limit", 0, CLI_COUNT, &queue, "N",
         "requests that may wait a model (default 4096)"},
        {"--max-wait-ms", 0, CLI_LIMIT_MS, &wait_ms, "MS",
         "what would wait longer for a model is refused at once\n(default 10000); norn.json wins"},
        {"--follow", 0, CLI_FLAG, &follow, NULL,
         "load new versions as they come, and apply what trainers publish\nto a model's log (see "
         "docs/follow.md)"},
        {"--io-threads", 0, CLI_THREADS, &io, "N", "default: one for every two cores"},
        {"--max-request-bytes", 0, CLI_BYTES, &request_bytes, "BYTES", "default 268435456"},
        {"--memory-budget", 0, CLI_BYTES, &budget_bytes, "BYTES",
         "for bodies, tensors and answers of all clients\n(default 1 GiB, or 4 times "
         "--max-request-bytes)"},
        {"--max-connections", 0, CLI_COUNT, &connections, "N",
         "of both protocols (default 10000, or what ulimit -n allows)"},
        {"--header-timeout-ms", 0, CLI_LIMIT_MS, &header_ms, "MS",
         "for the head of a request (default 10000)"},
        {"--body-timeout-ms", 0, CLI_LIMIT_MS, &body_ms, "MS",
         "for a body or an answer that does not move (default 30000)"},
        {"--idle-timeout-ms", 0, CLI_LIMIT_MS, &idle_ms, "MS",
         "for a connection between requests (default 600000)"},
        {"--lame-duck-ms", 0, CLI_WAIT_MS, &lame_duck_ms, "MS",
         "how long to serve after SIGTERM, not ready any more, so that load\nbalancers look away "
         "first (default 2000)"},
        {"--drain-ms", 0, CLI_WAIT_MS, &drain_ms, "MS",
         "how long requests in flight may take after that (default 30000)"},
        {"--model-control", 0, CLI_TEXT, &control, "none|explicit",
         "explicit: clients may load and unload models over HTTP and gRPC\n(default none)"},
    };
    cli_list operands;
    int exit_status;
    if (!cli_parse(&cli_serve, options, sizeof options / sizeof options[0], argc, argv, &operands,
                   &exit_status)) {
        cli_list_free(&operands);
        return exit_status;
    }
    cli_list_free(&operands);
    if (!repository) return cli_error(&cli_serve, CLI_WRONG, "say which models: --repository DIR");
    if (io > 64) return cli_error(&cli_serve, CLI_WRONG, "--io-threads is at most 64");
    if (!cli_device(&cli_serve, device)) return CLI_WRONG;
    served_port ports[] = {{"http", http, 8000, no_http},
                           {"grpc", grpc, 8001, no_grpc},
                           {"metrics", metrics, 8002, no_metrics}};
    exit_status = choose_ports(ports);
    if (exit_status != CLI_DONE) return exit_status;
    if (strcmp(control, "none") != 0 && strcmp(control, "explicit") != 0)
        return cli_error(&cli_serve, CLI_WRONG, "--model-control is none or explicit, not '%s'",
                         control);
    const norn_server_options served = {
        .repository = repository,
        .host = host,
        .http_port = (int32_t)ports[0].number,
        .grpc_port = (int32_t)ports[1].number,
        .metrics_port = (int32_t)ports[2].number,
        .io_threads = (int32_t)io,
        .max_request_bytes = request_bytes,
        .memory_budget_bytes = budget_bytes,
        .max_connections = connections,
        .header_timeout_ms = header_ms,
        .body_timeout_ms = body_ms,
        .idle_timeout_ms = idle_ms,
        .model_control = strcmp(control, "explicit") == 0,
        .models = {.device = device,
                   .instances = (int32_t)instances,
                   .threads = (int32_t)threads,
                   .max_batch = batch,
                   .max_memory_bytes = memory_mb << 20,
                   .batch_delay_us = delay,
                   .queue_limit = queue,
                   .max_wait_ms = wait_ms,
                   .follow = follow},
    };
    bound_what_the_heap_keeps();
    raise_file_limit(connections);
    const stop_times times = {lame_duck_ms, drain_ms};
    return serve(&served, &times) == NORN_OK ? CLI_DONE : cli_failed(&cli_serve);
}
#else
static int run(int argc, char **argv) {
    (void)argc, (void)argv;
    return cli_error(
        &cli_serve, CLI_FAILED,
        "this build has no server: libevent and nghttp2 were not found when it was "
        "configured; install them (Debian: libevent-dev libnghttp2-dev) and build again");
}
#endif
