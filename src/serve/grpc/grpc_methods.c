/// The methods of inference.GRPCInferenceService, and the table of all.
#include "base/clock.h"
#include "serve/grpc/grpc_call.h"
#include "serve/kserve_parameters.h"
#include "serve/kserve_proto.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

enum {
    READ_INLINE_BYTES = 64 * 1024, ///< of a message with typed contents; raw ones are not looked at
    COPY_INLINE_BYTES = 1 << 20,   ///< of tensors copied into an answer
};

// ---- inference

static norn_status encode_infer(norn_grpc_call *call) {
    return norn_kserve_encode_infer(call->exchange.infer, &call->response);
}

static void send_encoded(norn_grpc_call *call) {
    norn_grpc_call_answer(call, norn_grpc_call_failed(call));
}

/// Bytes of the tensors that the answer copies.
static int64_t output_bytes(const norn_infer *infer) {
    int64_t total = 0;
    for (uint32_t i = 0; i < infer->output_count; i++) {
        size_t bytes;
        if (norn_view_bytes(&infer->outputs[i].view, &bytes) == NORN_OK) total += (int64_t)bytes;
    }
    return total;
}

static void finish_infer(norn_exchange *exchange) {
    norn_grpc_call *call = (norn_grpc_call *)exchange;
    const norn_infer *infer = exchange->infer;
    const int64_t bytes = output_bytes(infer);
    norn_status status = infer->status;
    if (status != NORN_OK) {
        norn_grpc_call_answer(call, norn_fail(status, "%s", infer->message));
        return;
    }
    // The tensors that were computed, and the answer that is made of them.
    status = norn_grpc_call_hold(call, (int64_t)norn_arena_bytes(&infer->arena) - infer->held_bytes,
                                 &call->request_held);
    if (status == NORN_OK) status = norn_grpc_call_hold(call, bytes, &call->response_held);
    if (status == NORN_OK && bytes > COPY_INLINE_BYTES) {
        norn_grpc_call_work(call, encode_infer, send_encoded);
        return;
    }
    norn_grpc_call_answer(call, status == NORN_OK ? encode_infer(call) : status);
}

static norn_status admit_infer(norn_grpc_call *call) {
    norn_server *server = call->exchange.io->server;
    norn_infer *infer = call->exchange.infer;
    const norn_span message = norn_span_of(call->request.bytes, call->request.count);
    const char *name, *version_text;
    int64_t version;
    NORN_TRY(norn_kserve_decode_infer(message, infer, &name, &version_text));
    if (call->deadline_ns && (!infer->deadline_ns || call->deadline_ns < infer->deadline_ns))
        infer->deadline_ns = call->deadline_ns;
    NORN_TRY(norn_repository_version(version_text, &version));
    NORN_TRY(norn_repository_get(server->repository, name, version, &infer->model));
    return norn_served_admit(infer->model, infer);
}

static void submit_infer(norn_grpc_call *call) {
    const norn_status status = norn_grpc_call_failed(call);
    norn_infer *infer = call->exchange.infer;
    if (status == NORN_OK) {
        call->exchange.finish = finish_infer;
        norn_exchange_submit(&call->exchange);
        return;
    }
    if (infer->model) {
        infer->status = status;
        infer->times.done_ns = norn_clock_now_ns();
        norn_stats_count(&infer->model->stats, infer);
    }
    norn_grpc_call_answer(call, status);
}

static void run_infer(norn_grpc_call *call, norn_span message) {
    const norn_status status =
        norn_infer_create(call->exchange.io->server->alloc,
                          &call->exchange.infer); // here: it can be cancelled
    if (status != NORN_OK) {
        norn_grpc_call_answer(call, status);
        return;
    }
    call->exchange.infer->times.arrival_ns = norn_clock_now_ns();
    call->exchange.infer->budget = &call->exchange.io->server->budget;
    if (message.count > READ_INLINE_BYTES && !norn_kserve_is_raw(message)) {
        norn_grpc_call_work(call, admit_infer, submit_infer);
        return;
    }
    call->status = admit_infer(call);
    if (call->status != NORN_OK)
        (void)snprintf(call->message, sizeof call->message, "%s", norn_message());
    submit_infer(call);
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

// ---- loading and unloading: answered by the loader thread

static void finish_load(norn_exchange *exchange) {
    norn_grpc_call *call = (norn_grpc_call *)exchange;
    norn_grpc_call_answer(call, norn_grpc_call_failed(call));
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

static void run_load_as(norn_grpc_call *call, norn_span message, bool load) {
    norn_arena arena;
    norn_arena_init(&arena, call->exchange.io->server->alloc, 256);
    call->exchange.finish = finish_load;
    const norn_status status = start_load(call, message, load, &arena);
    if (status != NORN_OK) norn_grpc_call_answer(call, status);
    norn_arena_deinit(&arena);
}

static void run_load(norn_grpc_call *call, norn_span message) {
    run_load_as(call, message, true);
}

static void run_unload(norn_grpc_call *call, norn_span message) {
    run_load_as(call, message, false);
}

// ---- the table

typedef enum method_form {
    FORM_PLAIN, ///< nothing of the request is read, or `say` reads it itself
    FORM_NAMED, ///< the request has {name = 1, version = 2}, or at least the name
} method_form;

struct norn_grpc_method {
    const char *path;
    void (*start)(norn_grpc_call *call, norn_span message); ///< answers now or later; or
    norn_status (*say)(const method_call *method);          ///< fills the answer at once
    method_form form;
};

#define TRITON "/inference.GRPCInferenceService/"
static const struct norn_grpc_method methods[] = {
    {TRITON "ModelInfer", run_infer, NULL, FORM_PLAIN},
    {TRITON "ServerLive", NULL, server_live, FORM_PLAIN},
    {TRITON "ServerReady", NULL, server_ready, FORM_PLAIN},
    {TRITON "ModelReady", NULL, model_ready, FORM_NAMED},
    {TRITON "ServerMetadata", NULL, server_metadata, FORM_PLAIN},
    {TRITON "ModelMetadata", NULL, model_metadata, FORM_NAMED},
    {TRITON "ModelConfig", NULL, model_config, FORM_NAMED},
    {TRITON "ModelStatistics", NULL, model_statistics, FORM_NAMED},
    {TRITON "RepositoryIndex", NULL, repository_index, FORM_PLAIN},
    {TRITON "RepositoryModelLoad", run_load, NULL, FORM_PLAIN},
    {TRITON "RepositoryModelUnload", run_unload, NULL, FORM_PLAIN},
    {TRITON "SystemSharedMemoryStatus", NULL, nothing, FORM_PLAIN},
    {TRITON "SystemSharedMemoryUnregister", NULL, nothing, FORM_PLAIN},
    {TRITON "SystemSharedMemoryRegister", NULL, no_shared_memory, FORM_PLAIN},
    {TRITON "CudaSharedMemoryStatus", NULL, nothing, FORM_PLAIN},
    {TRITON "CudaSharedMemoryUnregister", NULL, nothing, FORM_PLAIN},
    {TRITON "CudaSharedMemoryRegister", NULL, no_shared_memory, FORM_PLAIN},
    {"/grpc.health.v1.Health/Check", norn_grpc_health_check, NULL, FORM_PLAIN},
    {"/grpc.health.v1.Health/Watch", norn_grpc_health_watch, NULL, FORM_PLAIN},
};

norn_status norn_grpc_call_route(norn_grpc_call *call, norn_span path) {
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (!norn_span_equal(path, methods[i].path)) continue;
        call->method = &methods[i];
        return NORN_OK;
    }
    if (norn_span_equal(path, TRITON "ModelStreamInfer"))
        return norn_fail(NORN_UNIMPLEMENTED, "streaming is not supported; call ModelInfer");
    return norn_fail(NORN_UNIMPLEMENTED, "no method %.*s", path.count < 200 ? (int)path.count : 200,
                     path.count ? (const char *)path.bytes : "");
}

static norn_status say(norn_grpc_call *call, norn_span message) {
    norn_arena arena;
    norn_status status;
    method_call method = {call, call->exchange.io->server, &call->response, message, "", ""};
    norn_arena_init(&arena, method.server->alloc, 256);
    if (call->method->form == FORM_NAMED)
        NORN_TRY_DONE(norn_kserve_decode_names(message, &arena, &method.first, &method.second));
    NORN_TRY_DONE(call->method->say(&method));
done:
    norn_arena_deinit(&arena);
    return status;
}

void norn_grpc_call_dispatch(norn_grpc_call *call, norn_span message) {
    if (call->method->start) {
        call->method->start(call, message);
    } else {
        norn_grpc_call_answer(call, say(call, message));
    }
}
