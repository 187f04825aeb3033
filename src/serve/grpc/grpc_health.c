/// grpc.health.v1.Health: "" and "inference.GRPCInferenceService" are the server,
/// and a model's name is that model.
///
/// Source   https://github.com/grpc/grpc/blob/master/doc/health-checking.md
#include "serve/grpc/grpc_call.h"
#include "serve/protocol/kserve_proto.h"

#include <stdio.h>
#include <string.h>

enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

static int health_of(norn_service *own, const char *service) {
    bool ready;
    if (service[0] == 0 || strcmp(service, "inference.GRPCInferenceService") == 0)
        return norn_service_ready(own) ? SERVING : NOT_SERVING;
    if (!norn_repository_knows(own->repository, service, &ready)) return SERVICE_UNKNOWN;
    return ready && !own->draining ? SERVING : NOT_SERVING;
}

static norn_status read_service(norn_grpc_call *call, norn_span message) {
    const char *service, *none;
    norn_arena arena;
    norn_status status;
    norn_arena_init(&arena, call->request.alloc, 256);
    NORN_TRY_DONE(norn_kserve_proto_names(message, &arena, &service, &none));
    if (strlen(service) >= sizeof call->watched) service = "/"; // longer than a model's name can be
    (void)snprintf(call->watched, sizeof call->watched, "%s", service);
    call->health = health_of(call->exchange.io->service, service);
done:
    norn_arena_deinit(&arena);
    return status;
}

void norn_grpc_health_check(norn_grpc_call *call, norn_span message) {
    norn_status status = read_service(call, message);
    if (status == NORN_OK && call->health == SERVICE_UNKNOWN)
        status =
            norn_fail(NORN_NOT_FOUND,
                      "no service '%s'; there are \"\", inference.GRPCInferenceService and the "
                      "names of models",
                      call->watched);
    if (status == NORN_OK) norn_wire_put_varint(&call->response, 1, (uint64_t)call->health);
    norn_grpc_call_answer(call, status);
}

void norn_grpc_health_watch(norn_grpc_call *call, norn_span message) {
    const norn_status status = read_service(call, message);
    if (status == NORN_OK) {
        call->open = true; // an unknown service may come to be known
        norn_wire_put_varint(&call->response, 1, (uint64_t)call->health);
    }
    norn_grpc_call_answer(call, status);
}

bool norn_grpc_health_again(norn_grpc_call *call) {
    const int health = health_of(call->exchange.io->service, call->watched);
    if (health == call->health) return false;
    call->health = health;
    norn_buffer_clear(&call->response);
    norn_buffer_append(&call->response, (const uint8_t[NORN_GRPC_PREFIX_BYTES]){0, 0, 0, 0, 2},
                       NORN_GRPC_PREFIX_BYTES);
    norn_wire_put_varint(&call->response, 1, (uint64_t)health); // two bytes
    return norn_buffer_status(&call->response) == NORN_OK;
}
