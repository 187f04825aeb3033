#include "serve/infer.h"

#include "base/clock.h"
#include "base/memory.h"
#include "serve/served.h"

#include <stdio.h>

norn_status norn_infer_create(norn_alloc alloc, norn_infer **out) {
    norn_infer *infer;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &infer));
    norn_arena_init(&infer->arena, alloc, 4096);
    infer->id = "";
    infer->rows = 1;
    *out = infer;
    return NORN_OK;
}

void norn_infer_destroy(norn_infer *infer) {
    if (!infer) return;
    const norn_alloc alloc = infer->arena.alloc;
    if (infer->model) norn_served_release(infer->model);
    if (infer->budget) norn_budget_give(infer->budget, infer->held_bytes);
    norn_arena_deinit(&infer->arena);
    norn_free(alloc, infer);
}

norn_status norn_infer_hold(norn_infer *infer, size_t bytes) {
    const int64_t wanted = bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
    if (!infer->budget) return NORN_OK;
    if (norn_budget_take(infer->budget, wanted)) {
        infer->held_bytes += wanted;
        return NORN_OK;
    }
    if (!norn_budget_fits(infer->budget, wanted))
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "a tensor of %zu bytes is more than --memory-budget has for one request",
                         bytes);
    return norn_fail(NORN_UNAVAILABLE,
                     "no room for a tensor of %zu bytes: --memory-budget is used up; try again",
                     bytes);
}

void norn_infer_cancel(norn_infer *infer) {
    atomic_store_explicit(&infer->left_ns, norn_clock_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&infer->cancelled, true, memory_order_release);
}

bool norn_infer_is_over(norn_infer *infer, int64_t now_ns) {
    if (atomic_load_explicit(&infer->cancelled, memory_order_acquire)) {
        norn_infer_fail(infer, norn_fail(NORN_CANCELLED, "the client has gone"));
        return true;
    }
    if (infer->deadline_ns == 0 || infer->deadline_ns > now_ns) return false;
    norn_infer_fail(infer, norn_fail(NORN_DEADLINE_EXCEEDED,
                                     "the deadline passed %lld us after the request came",
                                     (long long)((now_ns - infer->times.arrival_ns) / 1000)));
    return true;
}

bool norn_infer_can_join(const norn_infer *a, const norn_infer *b) {
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

void norn_infer_fail(norn_infer *infer, norn_status status) {
    infer->status = status;
    (void)snprintf(infer->message, sizeof infer->message, "%s", norn_message());
}
