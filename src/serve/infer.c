#include "serve/infer.h"

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
    norn_arena_deinit(&infer->arena);
    norn_free(alloc, infer);
}

void norn_infer_fail(norn_infer *infer, norn_status status) {
    infer->status = status;
    (void)snprintf(infer->message, sizeof infer->message, "%s", norn_message());
}
