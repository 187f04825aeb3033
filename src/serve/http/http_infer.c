/// POST /v2/models/NAME[/versions/V]/infer.
///
/// What takes long (inflating, reading or writing much JSON, compressing) is a worker's,
/// so that it holds up none of the thread's other clients; what is small is done here,
/// for a hand-over costs more than it saves.
#include "base/clock.h"
#include "serve/http/http_route.h"
#include "serve/protocol/kserve_json.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

enum {
    READ_INLINE_BYTES = 64 * 1024,  ///< of JSON: about half a millisecond
    WRITE_INLINE_BYTES = 64 * 1024, ///< of tensors written as JSON, or compressed
    COPY_INLINE_BYTES = 1 << 20,    ///< of tensors copied as they are
    HEAVY_BYTES = 4 << 20,          ///< of either: tens of milliseconds
    INFLATES_TO = 8,                ///< times its bytes, an ordinary compressed body
    JSON_PER_ELEMENT = 16,          ///< bytes; more for some, an estimate is enough
};

static void remember(norn_http_connection *connection, norn_status status) {
    connection->status = status;
    (void)snprintf(connection->message, sizeof connection->message, "%s", norn_message());
}

static void answer_failure(norn_http_connection *connection, norn_status status,
                           const char *message) {
    if (status == NORN_CANCELLED && (connection->eof || connection->hung_up)) {
        connection->stage = NORN_HTTP_CLOSED; // there is nobody to tell
        return;
    }
    norn_http_answer_error(connection, norn_http_code(status), message);
}

// ---- the answer

static size_t output_bytes(const norn_request *request, bool *any_json) {
    size_t total = strlen(request->id);
    for (uint32_t i = 0; i < request->output_count; i++) {
        const norn_request_output *output = &request->outputs[i];
        size_t bytes = 0;
        if (norn_view_bytes(&output->view, &bytes) != NORN_OK) continue; // it was made, so it fits
        if (!output->binary) {
            *any_json = true;
            bytes = JSON_PER_ELEMENT * (size_t)norn_view_elems(&output->view);
        }
        total += bytes;
    }
    return total;
}

static norn_status encode(norn_http_connection *connection) {
    norn_buffer *body = &connection->body;
    NORN_TRY(norn_kserve_json_answer(connection->exchange.request, body, &connection->json_bytes));
    norn_http_compress(connection, body);
    connection->encoded = true;
    return norn_buffer_status(body);
}

static void send_encoded(norn_http_connection *connection) {
    norn_buffer body = connection->body;
    const size_t json_bytes = connection->json_bytes;
    norn_buffer_init(&connection->body, body.alloc);
    if (connection->status != NORN_OK) {
        norn_buffer_deinit(&body);
        answer_failure(connection, connection->status, connection->message);
        return;
    }
    norn_http_answer(connection, 200, json_bytes ? "application/octet-stream" : "application/json",
                     &body, json_bytes);
}

static norn_http_connection *of_job(norn_job *job) {
    return (norn_http_connection *)((char *)job - offsetof(norn_http_connection, job));
}

/// The client may have gone while the job waited for a worker.
static norn_status still_wanted(const norn_http_connection *connection) {
    const norn_request *request = connection->exchange.request;
    if (!atomic_load_explicit(&request->cancelled, memory_order_relaxed)) return NORN_OK;
    return norn_fail(NORN_CANCELLED, "the client has gone");
}

static void encode_on_worker(norn_job *job) {
    norn_http_connection *connection = of_job(job);
    norn_status status = still_wanted(connection);
    if (status == NORN_OK) status = encode(connection);
    if (status != NORN_OK) remember(connection, status);
    connection->finish = send_encoded;
    norn_io_finish(&connection->exchange);
}

static void finish_infer(norn_http_connection *connection) {
    const norn_request *request = connection->exchange.request;
    bool any_json = false;
    if (request->status != NORN_OK) {
        answer_failure(connection, request->status, request->message);
        return;
    }
    const size_t bytes = output_bytes(request, &any_json);
    if (!norn_http_take(connection, (int64_t)bytes)) {
        norn_http_answer_error(
            connection, 503,
            "the server has no memory for this answer; ask for fewer rows, or try again");
        return;
    }
    const bool costly = any_json || norn_http_wants_compression(connection);
    if (bytes > (costly ? WRITE_INLINE_BYTES : COPY_INLINE_BYTES)) {
        connection->job = (norn_job){.run = encode_on_worker, .heavy = bytes > HEAVY_BYTES};
        norn_workers_put(norn_http_service(connection)->workers, &connection->job);
        return;
    }
    const norn_status status = encode(connection);
    if (status != NORN_OK) remember(connection, status);
    send_encoded(connection);
}

// ---- the request

static norn_status begin_infer(norn_http_connection *connection, const char *name,
                               const char *version) {
    const norn_http_request *head = &connection->parser.request;
    norn_service *service = norn_http_service(connection);
    norn_request *request;
    int64_t json_bytes;
    NORN_TRY(norn_request_create(service->alloc, &connection->exchange.request));
    request = connection->exchange.request;
    request->budget = &service->budget;
    request->times.arrival_ns = norn_clock_now_ns();
    NORN_TRY(norn_repository_get(service->repository, name, version, &request->servable));
    connection->json_bytes = SIZE_MAX; // all of the body
    if (!norn_http_sent(head, NORN_HTTP_JSON_LENGTH)) return NORN_OK;
    const norn_span length = norn_http_value(head, NORN_HTTP_JSON_LENGTH, connection->bytes);
    if (!norn_http_number(length, &json_bytes))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "Inference-Header-Content-Length is '%.*s', not a whole number",
                         length.count < 32 ? (int)length.count : 32, (const char *)length.bytes);
    connection->json_bytes = (size_t)json_bytes;
    return NORN_OK;
}

/// How many bytes of the body are JSON; binary tensors follow. The length
/// is of the body before it was compressed.
static norn_status json_part(const norn_http_connection *connection, norn_span body,
                             size_t *json_bytes) {
    *json_bytes = connection->json_bytes == SIZE_MAX ? body.count : connection->json_bytes;
    if (*json_bytes <= body.count) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "Inference-Header-Content-Length is %zu, the body has %zu byte%s", *json_bytes,
                     body.count, norn_plural(body.count));
}

/// Any thread. The request is queued when this returns NORN_OK, and no longer the caller's.
static norn_status read_infer(norn_http_connection *connection) {
    norn_request *request = connection->exchange.request;
    norn_span body;
    size_t json_bytes;
    NORN_TRY(norn_http_body(connection, &body));
    NORN_TRY(json_part(connection, body, &json_bytes));
    NORN_TRY(norn_kserve_json_request(body, json_bytes, request));
    NORN_TRY(request->servable->calls->admit(request->servable, request));
    connection->finish = finish_infer;
    norn_exchange_submit(&connection->exchange);
    return NORN_OK;
}

static void refuse(norn_http_connection *connection) {
    if (connection->exchange.request)
        norn_servable_count_refused(connection->exchange.request, connection->status);
    answer_failure(connection, connection->status, connection->message);
}

static void read_on_worker(norn_job *job) {
    norn_http_connection *connection = of_job(job);
    norn_status status = still_wanted(connection);
    if (status == NORN_OK) status = read_infer(connection);
    if (status == NORN_OK) return;
    remember(connection, status);
    connection->finish = refuse;
    norn_io_finish(&connection->exchange);
}

void norn_http_infer(const norn_http_route *route, const char *name, const char *version) {
    norn_http_connection *connection = route->connection;
    norn_status status = begin_infer(connection, name, version);
    if (status == NORN_OK) {
        const size_t body = norn_http_raw_body(connection).count;
        const size_t json = connection->json_bytes < body ? connection->json_bytes : body;
        const bool packed = norn_http_is_compressed(connection);
        if (json > READ_INLINE_BYTES || packed) {
            connection->job = (norn_job){
                .run = read_on_worker, .heavy = (packed ? INFLATES_TO * body : json) > HEAVY_BYTES};
            norn_workers_put(route->service->workers, &connection->job);
            return;
        }
        status = read_infer(connection);
        if (status == NORN_OK) return;
    }
    remember(connection, status);
    refuse(connection);
}
