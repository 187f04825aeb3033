/// Bytes into the reader of the graph section; what it accepts must
/// verify, print, clone and encode.
#include "graph/graph_file.h"

#include "base/memory.h"

#include <stdlib.h>

static const norn_op_info infos[] = {
    {.id = 1, .name = "Relu", .domain = ""},
    {.id = 2, .name = "If", .domain = ""},
    {.id = 3, .name = "Pointwise", .domain = "norn"},
    {.id = 4, .name = "GemmRegion", .domain = "norn"},
    {.id = 5, .name = "Lookup", .domain = "norn"},
    {.id = 6, .name = "Interaction", .domain = "norn"},
    {.id = 7, .name = "RowReduce", .domain = "norn"},
};

static const norn_op_info *find_op(const char *domain, const char *name) {
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) {
        if (strcmp(infos[i].name, name) == 0 && strcmp(infos[i].domain, domain) == 0)
            return &infos[i];
    }
    return NULL;
}

static _Alignas(64) uint8_t weights[1024];

static norn_status get(void *context, uint64_t offset, size_t count, void **data) {
    (void)context;
    norn_span span;
    if (!norn_span_slice(norn_span_of(weights, sizeof weights), offset, count, &span)) {
        return norn_fail(NORN_DATA_LOSS, "outside of the weights");
    }
    *data = weights + offset;
    return NORN_OK;
}

static norn_status put(void *context, const void *bytes, size_t count, uint64_t *offset) {
    uint64_t *sum = context;
    for (size_t i = 0; i < count; i++) *sum += ((const uint8_t *)bytes)[i];
    *offset = 0;
    return NORN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    norn_graph_source source = {get, find_op, NULL};
    norn_graph *graph, *clone;
    if (norn_graph_decode(norn_span_of(bytes, count), &source, norn_alloc_heap(), &graph) !=
        NORN_OK)
        return 0;
    uint64_t sum = 0;
    norn_graph_sink sink = {put, &sum};
    norn_buffer out;
    norn_buffer_init(&out, norn_alloc_heap());
    norn_graph_print(graph, &out);
    norn_buffer_clear(&out);
    if (norn_graph_encode(graph, &sink, &out) != NORN_OK) abort();
    if (norn_graph_clone(graph, norn_alloc_heap(), &clone) != NORN_OK) abort();
    if (norn_graph_verify(clone) != NORN_OK) abort();
    norn_graph_destroy(clone);
    norn_graph_destroy(graph);
    norn_buffer_deinit(&out);
    return 0;
}
