#include "cpu/solo_call.h"

#include "base/memory.h"
#include "tensor/view.h"

static norn_solo *solo_of(norn_call *call) {
    return (norn_solo *)call;
}

static norn_status solo_room(norn_solo *solo, norn_view *view) {
    size_t bytes;
    NORN_TRY(norn_view_bytes(view, &bytes));
    return norn_arena_take(&solo->arena, bytes ? bytes : 1, 1, NORN_HOST_ALIGN, &view->data);
}

static norn_status solo_output(norn_call *call, uint32_t index, norn_dtype dtype, int32_t rank,
                               const int64_t *dims) {
    norn_view view = norn_view_of(dtype, rank, dims, NULL);
    if (call->out[index].data && norn_view_same_shape(&call->out[index], &view)) return NORN_OK;
    NORN_TRY(solo_room(solo_of(call), &view));
    call->out[index] = view;
    return NORN_OK;
}

static norn_status solo_scratch(norn_call *call, size_t bytes, void **out) {
    return norn_arena_take(&solo_of(call)->scratch, bytes ? bytes : 1, 1, NORN_HOST_ALIGN, out);
}

static norn_status solo_body(norn_call *call, uint32_t body, const norn_view *in, uint32_t in_count,
                             norn_view *out, uint32_t out_count) {
    (void)call;
    (void)body, (void)in, (void)in_count, (void)out, (void)out_count;
    return norn_fail(NORN_UNIMPLEMENTED, "bodies need an executor");
}

static const norn_call_host solo_host = {solo_output, solo_scratch, solo_body};

void norn_solo_init(norn_solo *solo, norn_alloc alloc, norn_pool *pool) {
    *solo = (norn_solo){.call = {.name = "solo", .pool = pool, .host = &solo_host}};
    norn_arena_init(&solo->arena, alloc, 1u << 16);
    norn_arena_init(&solo->scratch, alloc, 1u << 20);
}

void norn_solo_deinit(norn_solo *solo) {
    norn_arena_deinit(&solo->arena);
    norn_arena_deinit(&solo->scratch);
}

norn_status norn_solo_run(norn_solo *solo, norn_kernel_fn kernel) {
    norn_call *call = &solo->call;
    for (uint32_t i = 0; i < call->out_count; i++) {
        norn_view *view = &call->out[i];
        if (view->dtype == NORN_DTYPE_NONE || view->data || view->rank < 0) continue;
        NORN_TRY(solo_room(solo, view));
    }
    norn_status status = kernel(call);
    if (status != NORN_OK) norn_note("node '%s'", call->name); // as the executor does
    norn_arena_reset(&solo->scratch);
    return status;
}
