#include "serve/servable.h"

#include "base/clock.h"

#include <string.h>

static int32_t find(const norn_port *const *ports, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(ports[i]->name, name) == 0) return (int32_t)i;
    return -1;
}

int32_t norn_servable_input_find(const norn_servable *servable, const char *name) {
    return find(servable->inputs, servable->input_count, name);
}

int32_t norn_servable_output_find(const norn_servable *servable, const char *name) {
    return find(servable->outputs, servable->output_count, name);
}

norn_servable *norn_servable_retain(norn_servable *servable) {
    atomic_fetch_add_explicit(&servable->references, 1, memory_order_relaxed);
    return servable;
}

void norn_servable_release(norn_servable *servable) {
    if (!servable) return;
    if (atomic_fetch_sub_explicit(&servable->references, 1, memory_order_acq_rel) == 1)
        servable->calls->release(servable);
}

static void count(norn_servable *servable, norn_request *request) {
    request->times.done_ns = norn_clock_now_ns();
    norn_stats_count(&servable->stats, request->status, request->rows, &request->times);
}

void norn_servable_finish(norn_servable *servable, norn_request *request) {
    count(servable, request);
    request->done(request);
}

void norn_servable_count_refused(norn_request *request, norn_status status) {
    request->status = status;
    if (request->servable) count(request->servable, request);
}
