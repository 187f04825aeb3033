/// POST /v2/models/NAME[/versions/V]/infer.
#include "base/clock.h"
#include "serve/http/http_route.h"
#include "serve/kserve_json.h"

#include <errno.h>
#include <stdlib.h>

static void finish_infer(norn_exchange *base) {
    norn_http_exchange *exchange = (norn_http_exchange *)base;
    const norn_infer *infer = base->infer;
    norn_io *io = base->io;
    norn_buffer body;
    size_t json_bytes = 0;
    if (infer->status != NORN_OK) {
        norn_http_send_error(io, exchange->request, norn_http_code(infer->status), infer->message);
    } else {
        norn_buffer_init(&body, io->server->alloc);
        const norn_status status = norn_kserve_put_infer(infer, &body, &json_bytes);
        if (status != NORN_OK) {
            norn_buffer_deinit(&body);
            norn_http_send_error(io, exchange->request, norn_http_code(status), norn_message());
        } else {
            norn_http_send(io, exchange->request, 200,
                           json_bytes ? "application/octet-stream" : "application/json", &body,
                           json_bytes);
        }
    }
    norn_http_exchange_destroy(exchange);
}

/// How many bytes of the body are JSON; binary tensors follow. The length is of the body
/// before it was compressed.
static norn_status json_part(const norn_http_route *route, norn_span body, size_t *json_bytes) {
    struct evkeyvalq *headers = evhttp_request_get_input_headers(route->request);
    const char *length = evhttp_find_header(headers, "Inference-Header-Content-Length");
    *json_bytes = body.count;
    if (!length) return NORN_OK;
    char *end;
    errno = 0;
    const long long value = strtoll(length, &end, 10);
    if (errno || end == length || *end || value < 0 || (unsigned long long)value > body.count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "Inference-Header-Content-Length is '%s', the body has %zu bytes", length,
                         body.count);
    *json_bytes = (size_t)value;
    return NORN_OK;
}

static norn_status start_infer(const norn_http_route *route, const char *name,
                               const char *version_text, norn_http_exchange *exchange) {
    norn_server *server = route->io->server;
    norn_infer *infer;
    int64_t version;
    size_t json_bytes;
    norn_span body;
    NORN_TRY(norn_infer_create(server->alloc, &exchange->exchange.infer));
    infer = exchange->exchange.infer;
    infer->times.arrival_ns = norn_clock_now_ns();
    NORN_TRY(norn_repository_version(version_text, &version));
    NORN_TRY(norn_repository_get(server->repository, name, version, &infer->model));
    NORN_TRY(norn_http_body(route, &exchange->body, &body));
    NORN_TRY(json_part(route, body, &json_bytes));
    NORN_TRY(norn_kserve_parse_infer(body, json_bytes, infer));
    return norn_served_admit(infer->model, infer);
}

static void count_refused(norn_infer *infer, norn_status status) {
    if (!infer || !infer->model) return;
    infer->status = status;
    infer->times.done_ns = norn_clock_now_ns();
    norn_stats_count(&infer->model->stats, infer);
}

void norn_http_infer(const norn_http_route *route, const char *name, const char *version) {
    norn_http_exchange *exchange = norn_http_exchange_create(route, finish_infer);
    if (!exchange) return;
    const norn_status status = start_infer(route, name, version, exchange);
    if (status == NORN_OK) {
        norn_exchange_submit(&exchange->exchange);
        return;
    }
    norn_http_send_status(route, status);
    count_refused(exchange->exchange.infer, status);
    norn_http_exchange_destroy(exchange);
}
