/// A servable that is no model, for tests: y is what came as x. It answers on the thread that asks.
#ifndef NORN_SERVE_SERVABLE_ECHO_H
#define NORN_SERVE_SERVABLE_ECHO_H

#include "base/cmocka_all.h"
#include "base/memory.h"
#include "serve/servable.h"

#include <string.h>

typedef struct echo_servable {
    norn_servable servable; ///< first
    const norn_port *input, *output;
    norn_port x, y;
    int released;
} echo_servable;

static norn_status echo_admit(norn_servable *servable, norn_request *request) {
    if (request->input_count != 1 ||
        norn_servable_input_find(servable, request->inputs[0].name) < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "echo takes one input, 'x'");
    request->rows = request->inputs[0].view.dims[0];
    request->output_count = 1;
    NORN_TRY(NORN_TAKE_ARRAY(&request->arena, 1, &request->outputs));
    request->outputs[0] = (norn_request_output){.name = "y", .binary = request->binary_outputs};
    return NORN_OK;
}

static void echo_enqueue(norn_servable *servable, norn_request *request) {
    request->outputs[0].view = request->inputs[0].view;
    norn_servable_finish(servable, request);
}

static void echo_release(norn_servable *servable) {
    ((echo_servable *)servable)->released++;
}

/// One reference, the caller's. x and y are float32 [B, 2].
static inline void echo_init(echo_servable *echo, const char *name, int64_t version) {
    static const norn_servable_calls calls = {
        .admit = echo_admit, .enqueue = echo_enqueue, .release = echo_release};
    memset(echo, 0, sizeof *echo);
    echo->x = (norn_port){.name = "x", .dtype = NORN_F32, .rank = 2, .dims = {-1, 2}};
    echo->y = echo->x;
    echo->y.name = "y";
    echo->input = &echo->x;
    echo->output = &echo->y;
    echo->servable.calls = &calls;
    echo->servable.references = 1;
    echo->servable.name = name;
    echo->servable.version = version;
    echo->servable.inputs = &echo->input;
    echo->servable.outputs = &echo->output;
    echo->servable.input_count = echo->servable.output_count = 1;
    echo->servable.batches = true;
    echo->servable.max_rows = 8;
    norn_stats_init(&echo->servable.stats);
}

#endif
