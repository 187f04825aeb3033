#include "serve/request.h"

#include "base/clock.h"
#include "base/memory.h"
#include "serve/servable.h"

#include <stdio.h>

norn_status norn_request_create(norn_alloc alloc, norn_request **out) {
    norn_request *request;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &request));
    norn_arena_init(&request->arena, alloc, 4096);
    request->id = "";
    request->rows = 1;
    *out = request;
    return NORN_OK;
}

void norn_request_destroy(norn_request *request) {
    if (!request) return;
    const norn_alloc alloc = request->arena.alloc;
    norn_servable_release(request->servable);
    if (request->budget) norn_budget_give(request->budget, request->held_bytes);
    norn_arena_deinit(&request->arena);
    norn_free(alloc, request);
}

norn_status norn_request_hold(norn_request *request, size_t bytes) {
    const int64_t wanted = bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
    if (!request->budget) return NORN_OK;
    if (norn_budget_take(request->budget, wanted)) {
        request->held_bytes += wanted;
        return NORN_OK;
    }
    if (!norn_budget_fits(request->budget, wanted))
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "a tensor of %zu byte%s is more than --memory-budget has for one request",
                         bytes, norn_plural(bytes));
    return norn_fail(NORN_UNAVAILABLE,
                     "no room for a tensor of %zu byte%s: --memory-budget is used up; try again",
                     bytes, norn_plural(bytes));
}

void norn_request_cancel(norn_request *request) {
    atomic_store_explicit(&request->left_ns, norn_clock_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&request->cancelled, true, memory_order_release);
}

bool norn_request_is_over(norn_request *request, int64_t now_ns) {
    if (atomic_load_explicit(&request->cancelled, memory_order_acquire)) {
        norn_request_fail(request, norn_fail(NORN_CANCELLED, "the client has gone"));
        return true;
    }
    if (request->deadline_ns == 0 || request->deadline_ns > now_ns) return false;
    norn_request_fail(request, norn_fail(NORN_DEADLINE_EXCEEDED,
                                         "the deadline passed %lld us after the request came",
                                         (long long)((now_ns - request->times.arrival_ns) / 1000)));
    return true;
}

bool norn_request_can_join(const norn_request *a, const norn_request *b) {
    if (a->join_key == 0 || a->join_key != b->join_key || a->input_count != b->input_count)
        return false;
    for (uint32_t i = 0; i < a->input_count; i++) {
        const norn_view *one = &a->inputs[i].view, *other = &b->inputs[i].view;
        if (one->dtype != other->dtype || one->rank != other->rank) return false;
        for (int32_t d = 1; d < one->rank; d++)
            if (one->dims[d] != other->dims[d]) return false;
    }
    return true;
}

void norn_request_fail(norn_request *request, norn_status status) {
    request->status = status;
    (void)snprintf(request->message, sizeof request->message, "%s", norn_message());
}
