#include "serve/service.h"

bool norn_service_ready(norn_service *service) {
    return !service->draining && norn_repository_settled(service->repository);
}

norn_status norn_service_allows_control(const norn_service *service) {
    if (service->model_control) return NORN_OK;
    return norn_fail(NORN_PERMISSION_DENIED,
                     "loading and unloading over the network is off; whoever runs the server turns "
                     "it on with --model-control explicit");
}
