#include "cli/options.h"

#if NORN_HAVE_SERVE
#include "serve/serve.h"

#include <string.h>
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
enum { CLI_TIME_MAX_MS = 24 * 3600 * 1000 };

static int run(int argc, char **argv) {
    const char *repository = NULL, *host = NULL, *device = NULL, *control = "none";
    int64_t http = 8000, grpc = 8001, metrics = 8002, io = 0, instances = 0, threads = 0, batch = 0,
            delay = 0, queue = 0, memory_mb = 0;
    int64_t request_bytes = 0, drain_ms = 0, budget_bytes = 0, connections = 0;
    int64_t header_ms = 0, body_ms = 0, idle_ms = 0;
    bool no_http = false, no_grpc = false, no_metrics = false;
    const cli_option options[] = {
        {"--repository", 0, CLI_TEXT, &repository, "DIR", "folder of models (required)"},
        {"--host", 0, CLI_TEXT, &host, "ADDRESS", "IPv4 address to listen on (default 0.0.0.0)"},
        {"--http-port", 0, CLI_INT, &http, "PORT", "default 8000; 0 takes any free port"},
        {"--grpc-port", 0, CLI_INT, &grpc, "PORT", "default 8001"},
        {"--metrics-port", 0, CLI_INT, &metrics, "PORT", "default 8002"},
        {"--no-http", 0, CLI_FLAG, &no_http, NULL, "do not listen for HTTP"},
        {"--no-grpc", 0, CLI_FLAG, &no_grpc, NULL, "do not listen for gRPC"},
        {"--no-metrics", 0, CLI_FLAG, &no_metrics, NULL, "do not serve the metrics page"},
        {"--device", 0, CLI_TEXT, &device, "DEVICE",
         "cpu (default), cuda or cuda:N; norn.json wins"},
        {"--instances", 0, CLI_INT, &instances, "N",
         "batches in flight a model (default 1); norn.json wins"},
        {"--threads", 0, CLI_INT, &threads, "N",
         "compute threads an instance (default: all cores shared out)"},
        {"--max-batch", 0, CLI_INT, &batch, "N",
         "largest batch (default 1024); larger requests are split"},
        {"--max-memory", 0, CLI_INT, &memory_mb, "MB",
         "buffers of an instance (default: half of what is left, shared out among\n"
         "a model's instances); norn.json wins"},
        {"--batch-delay-us", 0, CLI_INT, &delay, "US",
         "how long a request waits for company (default 0)"},
        {"--queue-limit", 0, CLI_INT, &queue, "N", "requests that may wait a model (default 4096)"},
        {"--io-threads", 0, CLI_INT, &io, "N", "default: one for every two cores"},
        {"--max-request-bytes", 0, CLI_INT, &request_bytes, "BYTES", "default 268435456"},
        {"--memory-budget", 0, CLI_INT, &budget_bytes, "BYTES",
         "for bodies, tensors and answers of all clients\n(default 1 GiB, or 4 times "
         "--max-request-bytes)"},
        {"--max-connections", 0, CLI_INT, &connections, "N",
         "of both protocols (default 10000, or what ulimit -n allows)"},
        {"--header-timeout-ms", 0, CLI_INT, &header_ms, "MS",
         "for the head of a request (default 10000)"},
        {"--body-timeout-ms", 0, CLI_INT, &body_ms, "MS",
         "for a body or an answer that does not move (default 30000)"},
        {"--idle-timeout-ms", 0, CLI_INT, &idle_ms, "MS",
         "for a connection between requests (default 600000)"},
        {"--drain-ms", 0, CLI_INT, &drain_ms, "MS",
         "how long requests may take after SIGTERM (default 30000)"},
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
    if (http > 65535 || grpc > 65535 || metrics > 65535)
        return cli_error(&cli_serve, CLI_WRONG, "a port is at most 65535");
    if (io > 64 || instances > 1024 || threads > 1024)
        return cli_error(&cli_serve, CLI_WRONG,
                         "at most 64 --io-threads, 1024 --instances and 1024 --threads");
    if (header_ms > CLI_TIME_MAX_MS || body_ms > CLI_TIME_MAX_MS || idle_ms > CLI_TIME_MAX_MS ||
        drain_ms > CLI_TIME_MAX_MS)
        return cli_error(&cli_serve, CLI_WRONG, "a time-out is at most %d ms, a day",
                         CLI_TIME_MAX_MS);
    if (strcmp(control, "none") != 0 && strcmp(control, "explicit") != 0)
        return cli_error(&cli_serve, CLI_WRONG, "--model-control is none or explicit, not '%s'",
                         control);
    if (memory_mb > CLI_MEMORY_MAX_MB)
        return cli_error(&cli_serve, CLI_WRONG, "--max-memory is at most %d MB", CLI_MEMORY_MAX_MB);
    const norn_serve_options serve = {
        .repository = repository,
        .host = host,
        .http_port = no_http ? -1 : (int32_t)http,
        .grpc_port = no_grpc ? -1 : (int32_t)grpc,
        .metrics_port = no_metrics ? -1 : (int32_t)metrics,
        .io_threads = (int32_t)io,
        .max_request_bytes = request_bytes,
        .memory_budget_bytes = budget_bytes,
        .max_connections = connections,
        .header_timeout_ms = header_ms,
        .body_timeout_ms = body_ms,
        .idle_timeout_ms = idle_ms,
        .drain_ms = drain_ms,
        .model_control = strcmp(control, "explicit") == 0,
        .models = {.device = device,
                   .instances = (int32_t)instances,
                   .threads = (int32_t)threads,
                   .max_batch = batch,
                   .max_memory_bytes = memory_mb << 20,
                   .batch_delay_us = delay,
                   .queue_limit = queue},
    };
    return norn_serve(&serve, norn_alloc_heap()) == NORN_OK ? CLI_DONE : cli_failed(&cli_serve);
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
