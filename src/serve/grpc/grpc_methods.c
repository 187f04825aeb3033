/// The methods of inference.GRPCInferenceService, and the table of all.
#include "base/clock.h"
#include "serve/grpc/grpc_call.h"
#include "serve/protocol/kserve_proto.h"
#include "serve/protocol/parameters.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

enum {
    READ_INLINE_BYTES = 64 * 1024, ///< of a message with typed contents; raw ones are not looked at
    COPY_INLINE_BYTES = 1 << 20,   ///< of tensors copied into an answer
};

// ---- inference

static norn_status encode_infer(norn_grpc_call *call) {
    return norn_kserve_proto_answer(call->exchange.request, &call->response);
}

static void send_encoded(norn_grpc_call *call) {
    norn_grpc_call_answer(call, norn_grpc_call_failed(call));
}

/// Bytes of the tensors that the answer copies.
static int64_t output_bytes(const norn_request *request) {
    int64_t total = 0;
    for (uint32_t i = 0; i < request->output_count; i++) {
        size_t bytes;
        if (norn_view_bytes(&request->outputs[i].view, &bytes) == NORN_OK) total += (int64_t)bytes;
    }
    return total;
}

static void finish_infer(norn_exchange *exchange) {
    norn_grpc_call *call = (norn_grpc_call *)exchange;
    const norn_request *request = exchange->request;
    const int64_t bytes = output_bytes(request);
    norn_status status = request->status;
    if (status != NORN_OK) {
        norn_grpc_call_answer(call, norn_fail(status, "%s", request->message));
        return;
    }
    // The tensors that were computed, and the answer that is made of them.
    status =
        norn_grpc_call_hold(call, (int64_t)norn_arena_bytes(&request->arena) - request->held_bytes,
                            &call->request_held);
    if (status == NORN_OK) status = norn_grpc_call_hold(call, bytes, &call->response_held);
    if (status == NORN_OK && bytes > COPY_INLINE_BYTES) {
        norn_grpc_call_work(call, encode_infer, send_encoded);
        return;
    }
    norn_grpc_call_answer(call, status == NORN_OK ? encode_infer(call) : status);
}

static norn_status admit_infer(norn_grpc_call *call) {
    norn_service *service = call->exchange.io->service;
    norn_request *request = call->exchange.request;
    const norn_span message = norn_span_of(call->request.bytes, call->request.count);
    const char *name, *version;
    NORN_TRY(norn_kserve_proto_request(message, request, &name, &version));
    if (call->deadline_ns && (!request->deadline_ns || call->deadline_ns < request->deadline_ns))
        request->deadline_ns = call->deadline_ns;
    NORN_TRY(norn_repository_get(service->repository, name, version, &request->servable));
    return request->servable->calls->admit(request->servable, request);
}

static void submit_infer(norn_grpc_call *call) {
    const norn_status status = norn_grpc_call_failed(call);
    norn_request *request = call->exchange.request;
    if (status == NORN_OK) {
        call->exchange.finish = finish_infer;
        norn_exchange_submit(&call->exchange);
        return;
    }
    norn_servable_count_refused(request, status);
    norn_grpc_call_answer(call, status);
}

static void run_infer(norn_grpc_call *call, norn_span message) {
    const norn_status status =
        norn_request_create(call->exchange.io->service->alloc,
                            &call->exchange.request); // here: it can be cancelled
    if (status != NORN_OK) {
        norn_grpc_call_answer(call, status);
        return;
    }
    call->exchange.request->times.arrival_ns = norn_clock_now_ns();
    call->exchange.request->budget = &call->exchange.io->service->budget;
    if (message.count > READ_INLINE_BYTES && !norn_kserve_proto_is_raw(message)) {
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
    norn_service *service;
    norn_buffer *out;
    norn_span message;
    const char *first, *second; ///< fields 1 and 2 of the request, where both are text
} method_call;

static norn_status get_model(const method_call *method, norn_servable **servable) {
    return norn_repository_get(method->service->repository, method->first, method->second,
                               servable);
}

static norn_status server_live(const method_call *method) {
    norn_wire_put_varint(method->out, 1, 1);
    return NORN_OK;
}

static norn_status server_ready(const method_call *method) {
    norn_wire_put_varint(method->out, 1, norn_service_ready(method->service));
    return NORN_OK;
}

static norn_status model_ready(const method_call *method) {
    norn_servable *servable = NULL;
    const bool ready = !method->service->draining && get_model(method, &servable) == NORN_OK;
    norn_servable_release(servable);
    norn_wire_put_varint(method->out, 1, ready);
    return NORN_OK;
}

static norn_status server_metadata(const method_call *method) {
    norn_kserve_proto_server(method->service->model_control, method->out);
    return NORN_OK;
}

static norn_status model_metadata(const method_call *method) {
    norn_servable *servable;
    NORN_TRY(get_model(method, &servable));
    norn_kserve_proto_metadata(servable, method->out);
    norn_servable_release(servable);
    return NORN_OK;
}

static norn_status model_config(const method_call *method) {
    norn_servable *servable;
    NORN_TRY(get_model(method, &servable));
    const size_t mark = norn_wire_begin(method->out, 1);
    norn_kserve_proto_config(servable, method->out);
    norn_wire_end(method->out, mark);
    norn_servable_release(servable);
    return NORN_OK;
}

static void put_stats(norn_buffer *out, const norn_servable *servable) {
    const size_t mark = norn_wire_begin(out, 1);
    norn_kserve_proto_stats(servable, out);
    norn_wire_end(out, mark);
}

static void put_stats_entry(void *context, const norn_index_model *model,
                            const norn_index_version *version) {
    (void)model;
    if (version->servable) put_stats(context, version->servable);
}

static norn_status model_statistics(const method_call *method) {
    norn_servable *servable;
    if (!method->first[0]) {
        norn_repository_visit(method->service->repository, put_stats_entry, method->out);
        return NORN_OK;
    }
    NORN_TRY(get_model(method, &servable));
    put_stats(method->out, servable);
    norn_servable_release(servable);
    return NORN_OK;
}

typedef struct index_page {
    norn_buffer *out;
    norn_repository_ask ask;
} index_page;

static void put_index_entry(void *context, const norn_index_model *model,
                            const norn_index_version *version) {
    const index_page *page = context;
    if (page->ask.ready && version->state != NORN_MODEL_READY) return;
    const size_t mark = norn_wire_begin(page->out, 1);
    norn_kserve_proto_index(model->name, version, page->out);
    norn_wire_end(page->out, mark);
}

static norn_status repository_index(const method_call *method) {
    index_page page = {.out = method->out};
    NORN_TRY(norn_repository_decode_index(method->message, &page.ask));
    norn_repository_visit(method->service->repository, put_index_entry, &page);
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
    const norn_service *service = call->exchange.io->service;
    const char *model;
    NORN_TRY(norn_service_allows_control(service));
    NORN_TRY(norn_repository_decode_load(message, load, arena, &model));
    if (load) {
        norn_repository_load(service->repository, model, on_loaded, call);
    } else {
        norn_repository_unload(service->repository, model, on_loaded, call);
    }
    return NORN_OK;
}

static void run_load_as(norn_grpc_call *call, norn_span message, bool load) {
    norn_arena arena;
    norn_arena_init(&arena, call->exchange.io->service->alloc, 256);
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
    method_call method = {call, call->exchange.io->service, &call->response, message, "", ""};
    norn_arena_init(&arena, method.service->alloc, 256);
    if (call->method->form == FORM_NAMED)
        NORN_TRY_DONE(norn_kserve_proto_names(message, &arena, &method.first, &method.second));
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
