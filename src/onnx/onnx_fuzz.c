/// Bytes into the ONNX reader; what it accepts must verify, print and clone. No external data.
#include "graph/model.h"
#include "onnx/onnx.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    norn_alloc alloc = norn_alloc_heap();
    norn_model *model;
    norn_log_set_level(NORN_LOG_ERROR);
    if (NORN_NEW(alloc, &model) != NORN_OK) return 0;
    model->alloc = alloc;
    if (norn_alloc_string(alloc, "/nowhere/fuzz.onnx", &model->path) == NORN_OK &&
        norn_onnx_decode(model, norn_span_of(bytes, count)) == NORN_OK) {
        norn_graph *clone;
        norn_buffer text;
        norn_buffer_init(&text, alloc);
        norn_graph_print(model->graph, &text);
        norn_buffer_deinit(&text);
        if (norn_graph_verify(model->graph) != NORN_OK) abort();
        if (norn_graph_clone(model->graph, alloc, &clone) != NORN_OK) abort();
        norn_graph_destroy(clone);
    }
    norn_model_close(model);
    return 0;
}
