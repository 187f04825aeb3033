#include "serve/grpc/grpc_call.h"

#include "base/clock.h"
#include "serve/inflate.h"
#include "serve/kserve_parameters.h"
#include "serve/kserve_proto.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX_BYTES = 5 }; // compressed flag, 32-bit big-endian length

void norn_grpc_call_init(norn_grpc_call *call, norn_io *io) {
    *call = (norn_grpc_call){.exchange.io = io};
    norn_buffer_init(&call->request, io->server->alloc);
    norn_buffer_init(&call->response, io->server->alloc);
}

void norn_grpc_call_deinit(norn_grpc_call *call) {
    norn_infer_destroy(call->exchange.infer);
    norn_buffer_deinit(&call->request);
    norn_buffer_deinit(&call->response);
}

bool norn_grpc_timeout(norn_span text, int64_t *ns) {
    static const struct {
        char unit;
        int64_t ns;
    } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000},
                 {'m', 1000000},       {'u', 1000},        {'n', 1}};
    int64_t number = 0;
    if (text.count < 2 || text.count > 9) return false; // at most 8 digits
    for (size_t i = 0; i + 1 < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') return false;
        number = 10 * number + (text.bytes[i] - '0');
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].unit == (char)text.bytes[text.count - 1])
            return !__builtin_mul_overflow(number, units[i].ns, ns);
    return false;
}

static void answer(norn_grpc_call *call, norn_status status) {
    if (status == NORN_OK) status = norn_buffer_status(&call->response);
    call->status = status;
    if (status != NORN_OK)
        (void)snprintf(call->message, sizeof call->message, "%s", norn_message());
    call->answered = true;
    if (status == NORN_OK) {
        const size_t count = call->response.count - PREFIX_BYTES;
        for (int i = 0; i < 4; i++) call->response.bytes[1 + i] = (uint8_t)(count >> (24 - 8 * i));
    }
    call->send(call);
}

/// A compressed message takes the place of the request. gRPC says the encoding in a header; gzip
/// and deflate say themselves which they are.
static norn_status inflate_message(norn_grpc_call *call, norn_span *message) {
    norn_buffer plain;
    norn_buffer_init(&plain, call->request.alloc);
    const norn_status status =
        norn_inflate(*message, (size_t)call->exchange.io->server->limits.request_bytes, &plain);
    if (status != NORN_OK) {
        norn_buffer_deinit(&plain);
        return status;
    }
    norn_buffer_deinit(&call->request);
    call->request = plain;
    *message = norn_span_of(plain.bytes ? plain.bytes : (const unsigned char *)"", plain.count);
    return NORN_OK;
}

/// The one message of a unary request, without its prefix.
static norn_status message_of(norn_grpc_call *call, norn_span *message) {
    const norn_buffer *request = &call->request;
    size_t count = 0;
    NORN_TRY(norn_buffer_status(request));
    if (request->count < PREFIX_BYTES)
        return norn_fail(NORN_INVALID_ARGUMENT, "the request has no message");
    for (int i = 1; i < PREFIX_BYTES; i++) count = count << 8 | request->bytes[i];
    if (count != request->count - PREFIX_BYTES)
        return norn_fail(NORN_INVALID_ARGUMENT, "the message says it has %zu bytes, %zu came",
                         count, request->count - PREFIX_BYTES);
    *message = norn_span_of(request->bytes + PREFIX_BYTES, count);
    return request->bytes[0] ? inflate_message(call, message) : NORN_OK;
}

// ---- inference

static void finish_infer(norn_exchange *exchange) {
    norn_grpc_call *call = (norn_grpc_call *)exchange;
    const norn_infer *infer = exchange->infer;
    norn_status status = infer->status;
    if (status != NORN_OK) {
        status = norn_fail(status, "%s", infer->message);
    } else {
        status = norn_kserve_encode_infer(infer, &call->response);
    }
    answer(call, status);
}

static norn_status start_infer(norn_grpc_call *call, norn_span message) {
    norn_server *server = call->exchange.io->server;
    const char *name, *version_text;
    norn_infer *infer;
    int64_t version;
    NORN_TRY(norn_infer_create(server->alloc, &call->exchange.infer));
    infer = call->exchange.infer;
    infer->times.arrival_ns = norn_clock_now_ns();
    NORN_TRY(norn_kserve_decode_infer(message, infer, &name, &version_text));
    if (call->deadline_ns && (!infer->deadline_ns || call->deadline_ns < infer->deadline_ns))
        infer->deadline_ns = call->deadline_ns;
    NORN_TRY(norn_repository_version(version_text, &version));
    NORN_TRY(norn_repository_get(server->repository, name, version, &infer->model));
    return norn_served_admit(infer->model, infer);
}

static void run_infer(norn_grpc_call *call, norn_span message) {
    const norn_status status = start_infer(call, message);
    norn_infer *infer = call->exchange.infer;
    if (status == NORN_OK) {
        call->exchange.finish = finish_infer;
        norn_exchange_submit(&call->exchange);
        return;
    }
    if (infer && infer->model) {
        infer->status = status;
        infer->times.done_ns = norn_clock_now_ns();
        norn_stats_count(&infer->model->stats, infer);
    }
    answer(call, status);
}

// ---- the other methods

typedef struct method_call {
    norn_grpc_call *call;
    norn_server *server;
    norn_buffer *out;
    norn_span message;
    const char *first, *second; ///< fields 1 and 2 of the request, where both are text
} method_call;

static norn_status get_model(const method_call *method, norn_served **served) {
    int64_t version;
    NORN_TRY(norn_repository_version(method->second, &version));
    return norn_repository_get(method->server->repository, method->first, version, served);
}

static norn_status server_live(const method_call *method) {
    norn_wire_put_varint(method->out, 1, 1);
    return NORN_OK;
}

static norn_status server_ready(const method_call *method) {
    norn_wire_put_varint(method->out, 1, norn_server_ready(method->server));
    return NORN_OK;
}

static norn_status model_ready(const method_call *method) {
    norn_served *served = NULL;
    const bool ready = !method->server->draining && get_model(method, &served) == NORN_OK;
    if (served) norn_served_release(served);
    norn_wire_put_varint(method->out, 1, ready);
    return NORN_OK;
}

static norn_status server_metadata(const method_call *method) {
    norn_kserve_encode_server(method->server->model_control, method->out);
    return NORN_OK;
}

static norn_status model_metadata(const method_call *method) {
    norn_served *served;
    NORN_TRY(get_model(method, &served));
    norn_kserve_encode_metadata(served, method->out);
    norn_served_release(served);
    return NORN_OK;
}

static norn_status model_config(const method_call *method) {
    norn_served *served;
    NORN_TRY(get_model(method, &served));
    const size_t mark = norn_wire_begin(method->out, 1);
    norn_kserve_encode_config(served, method->out);
    norn_wire_end(method->out, mark);
    norn_served_release(served);
    return NORN_OK;
}

static void put_stats_entry(void *context, const norn_repository_entry *entry) {
    if (!entry->served) return;
    const size_t mark = norn_wire_begin(context, 1);
    norn_kserve_encode_stats(entry->served, context);
    norn_wire_end(context, mark);
}

static norn_status model_statistics(const method_call *method) {
    norn_served *served;
    if (!method->first[0]) {
        norn_repository_visit(method->server->repository, put_stats_entry, method->out);
        return NORN_OK;
    }
    NORN_TRY(get_model(method, &served));
    put_stats_entry(method->out, &(norn_repository_entry){.served = served});
    norn_served_release(served);
    return NORN_OK;
}

typedef struct index_page {
    norn_buffer *out;
    norn_repository_ask ask;
} index_page;

static void put_index_entry(void *context, const norn_repository_entry *entry) {
    const index_page *page = context;
    if (page->ask.ready && entry->state != NORN_MODEL_READY) return;
    const size_t mark = norn_wire_begin(page->out, 1);
    norn_kserve_encode_index(entry, page->out);
    norn_wire_end(page->out, mark);
}

static norn_status repository_index(const method_call *method) {
    index_page page = {.out = method->out};
    NORN_TRY(norn_repository_decode_index(method->message, &page.ask));
    norn_repository_visit(method->server->repository, put_index_entry, &page);
    return NORN_OK;
}

static norn_status health_check(const method_call *method) {
    norn_wire_put_varint(method->out, 1,
                         norn_server_ready(method->server) ? 1 : 2); // SERVING, NOT_SERVING
    return NORN_OK;
}

/// Shared memory: there are no regions, so status is empty and unregistering all of them succeeds.
static norn_status nothing(const method_call *method) {
    (void)method;
    return NORN_OK;
}

static norn_status no_shared_memory(const method_call *method) {
    (void)method;
    return norn_fail(NORN_UNIMPLEMENTED,
                     "shared memory is not supported; send tensors in the request");
}

static const struct grpc_method {
    const char *path;
    norn_status (*run)(const method_call *method);
    bool named; ///< the request has {name = 1, version = 2}, or at least the name
} methods[] = {
    {"/inference.GRPCInferenceService/ServerLive", server_live, false},
    {"/inference.GRPCInferenceService/ServerReady", server_ready, false},
    {"/inference.GRPCInferenceService/ModelReady", model_ready, true},
    {"/inference.GRPCInferenceService/ServerMetadata", server_metadata, false},
    {"/inference.GRPCInferenceService/ModelMetadata", model_metadata, true},
    {"/inference.GRPCInferenceService/ModelConfig", model_config, true},
    {"/inference.GRPCInferenceService/ModelStatistics", model_statistics, true},
    {"/inference.GRPCInferenceService/RepositoryIndex", repository_index, false},
    {"/inference.GRPCInferenceService/SystemSharedMemoryStatus", nothing, false},
    {"/inference.GRPCInferenceService/SystemSharedMemoryUnregister", nothing, false},
    {"/inference.GRPCInferenceService/SystemSharedMemoryRegister", no_shared_memory, false},
    {"/inference.GRPCInferenceService/CudaSharedMemoryStatus", nothing, false},
    {"/inference.GRPCInferenceService/CudaSharedMemoryUnregister", nothing, false},
    {"/inference.GRPCInferenceService/CudaSharedMemoryRegister", no_shared_memory, false},
    {"/grpc.health.v1.Health/Check", health_check, true},
};

static norn_status run_method(norn_grpc_call *call, norn_span message) {
    norn_arena arena;
    norn_status status = NORN_OK;
    method_call method = {call, call->exchange.io->server, &call->response, message, "", ""};
    norn_arena_init(&arena, method.server->alloc, 256);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(methods[i].path, call->path) != 0) continue;
        if (methods[i].named)
            NORN_TRY_DONE(norn_kserve_decode_names(message, &arena, &method.first, &method.second));
        NORN_TRY_DONE(methods[i].run(&method));
        goto done;
    }
    status = norn_fail(NORN_UNIMPLEMENTED, "no method %s", call->path);
done:
    norn_arena_deinit(&arena);
    return status;
}

// ---- loading and unloading: answered by the loader thread

static void finish_load(norn_exchange *exchange) {
    norn_grpc_call *call = (norn_grpc_call *)exchange;
    norn_status status = call->status;
    if (status != NORN_OK) {
        char text[sizeof call->message];
        memcpy(text, call->message, sizeof text);
        status = norn_fail(status, "%s", text);
    }
    answer(call, status);
}

static void on_loaded(void *context, norn_status status, const char *message) {
    norn_grpc_call *call = context;
    call->status = status;
    (void)snprintf(call->message, sizeof call->message, "%s", message);
    norn_io_finish(&call->exchange);
}

static norn_status start_load(norn_grpc_call *call, norn_span message, bool load,
                              norn_arena *arena) {
    const norn_server *server = call->exchange.io->server;
    const char *model;
    NORN_TRY(norn_server_allows_control(server));
    NORN_TRY(norn_repository_decode_load(message, load, arena, &model));
    if (load) {
        norn_repository_load(server->repository, model, on_loaded, call);
    } else {
        norn_repository_unload(server->repository, model, on_loaded, call);
    }
    return NORN_OK;
}

static void run_load(norn_grpc_call *call, norn_span message, bool load) {
    norn_arena arena;
    norn_arena_init(&arena, call->exchange.io->server->alloc, 256);
    call->exchange.finish = finish_load;
    const norn_status status = start_load(call, message, load, &arena);
    if (status != NORN_OK) answer(call, status);
    norn_arena_deinit(&arena);
}

void norn_grpc_call_run(norn_grpc_call *call) {
    static const char service[] = "/inference.GRPCInferenceService/";
    const char *name = strncmp(call->path, service, sizeof service - 1) == 0
                           ? call->path + sizeof service - 1
                           : "";
    norn_span message;
    norn_status status = message_of(call, &message);
    (void)norn_buffer_extend(&call->response, PREFIX_BYTES);
    if (status == NORN_OK) status = norn_buffer_status(&call->response);
    if (status != NORN_OK) {
        answer(call, status);
        return;
    }
    memset(call->response.bytes, 0, PREFIX_BYTES);
    if (strcmp(name, "ModelInfer") == 0) {
        run_infer(call, message);
    } else if (strcmp(name, "RepositoryModelLoad") == 0 ||
               strcmp(name, "RepositoryModelUnload") == 0) {
        run_load(call, message, strcmp(name, "RepositoryModelLoad") == 0);
    } else {
        answer(call, run_method(call, message));
    }
}
