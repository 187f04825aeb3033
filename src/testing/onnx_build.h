/// Models for tests, written field by field: what an exporter does, and what none would.
#ifndef NORN_TESTING_ONNX_BUILD_H
#define NORN_TESTING_ONNX_BUILD_H

#include "base/wire.h"

#include <stdarg.h>
#include <string.h>

// A list of names, ended by NULL.
#define NAMES(...) ((const char *[]){__VA_ARGS__, NULL})

static inline void build_attr_int(norn_buffer *out, const char *name, int64_t value) {
    size_t mark = norn_wire_begin(out, 5);
    norn_wire_put_text(out, 1, name);
    norn_wire_put_signed(out, 3, value);
    norn_wire_put_varint(out, 20, 2);
    norn_wire_end(out, mark);
}

static inline void build_attr_float(norn_buffer *out, const char *name, float value) {
    size_t mark = norn_wire_begin(out, 5);
    norn_wire_put_text(out, 1, name);
    norn_wire_put_float(out, 2, value);
    norn_wire_put_varint(out, 20, 1);
    norn_wire_end(out, mark);
}

static inline void build_attr_ints(norn_buffer *out, const char *name, const int64_t *values,
                                   size_t count) {
    size_t mark = norn_wire_begin(out, 5);
    norn_wire_put_text(out, 1, name);
    for (size_t i = 0; i < count; i++) norn_wire_put_signed(out, 8, values[i]);
    norn_wire_put_varint(out, 20, 7);
    norn_wire_end(out, mark);
}

static inline void build_attr_ref(norn_buffer *out, const char *name, const char *ref,
                                  uint64_t type) {
    size_t mark = norn_wire_begin(out, 5);
    norn_wire_put_text(out, 1, name);
    norn_wire_put_text(out, 21, ref);
    norn_wire_put_varint(out, 20, type);
    norn_wire_end(out, mark);
}

static inline void build_attr_graph(norn_buffer *out, const char *name, const norn_buffer *graph) {
    size_t mark = norn_wire_begin(out, 5);
    norn_wire_put_text(out, 1, name);
    norn_wire_put_bytes(out, 6, graph->bytes, graph->count);
    norn_wire_put_varint(out, 20, 5);
    norn_wire_end(out, mark);
}

/// Field 1 of a graph, 7 of a function. Attributes go between begin and end.
static inline size_t build_node(norn_buffer *out, uint32_t field, const char *op,
                                const char *domain, const char *name, const char *const *inputs,
                                const char *const *outputs) {
    size_t mark = norn_wire_begin(out, field);
    for (; *inputs; inputs++) norn_wire_put_text(out, 1, *inputs);
    for (; *outputs; outputs++) norn_wire_put_text(out, 2, *outputs);
    norn_wire_put_text(out, 3, name);
    norn_wire_put_text(out, 4, op);
    norn_wire_put_text(out, 7, domain);
    return mark;
}

/// `shape`: dims apart by commas; a number, a name, or "?" for nothing: "batch,13". NULL: no shape.
static inline void build_value(norn_buffer *out, uint32_t field, const char *name, uint64_t dtype,
                               const char *shape) {
    size_t mark = norn_wire_begin(out, field);
    norn_wire_put_text(out, 1, name);
    size_t type = norn_wire_begin(out, 2), tensor = norn_wire_begin(out, 1);
    norn_wire_put_varint(out, 1, dtype);
    if (shape) {
        size_t dims = norn_wire_begin(out, 2);
        while (*shape) {
            size_t n = strcspn(shape, ","), dim = norn_wire_begin(out, 1);
            int64_t value = 0;
            bool number = *shape >= '0' && *shape <= '9';
            for (size_t i = 0; number && i < n; i++) value = value * 10 + (shape[i] - '0');
            if (number) norn_wire_put_signed(out, 1, value);
            if (!number && *shape != '?') norn_wire_put_bytes(out, 2, shape, n);
            norn_wire_end(out, dim);
            shape += n + (shape[n] == ',');
        }
        norn_wire_end(out, dims);
    }
    norn_wire_end(out, tensor);
    norn_wire_end(out, type);
    norn_wire_end(out, mark);
}

static inline void build_tensor(norn_buffer *out, uint32_t field, const char *name, uint64_t dtype,
                                const int64_t *dims, size_t rank, const void *raw, size_t bytes) {
    size_t mark = norn_wire_begin(out, field);
    for (size_t i = 0; i < rank; i++) norn_wire_put_signed(out, 1, dims[i]);
    norn_wire_put_varint(out, 2, dtype);
    norn_wire_put_text(out, 8, name);
    norn_wire_put_bytes(out, 9, raw, bytes);
    norn_wire_end(out, mark);
}

/// The model around graph bytes.
static inline void build_model(norn_buffer *out, const norn_buffer *graph, int64_t opset,
                               const norn_buffer *functions) {
    norn_wire_put_varint(out, 1, 8);
    norn_wire_put_text(out, 2, "test");
    norn_wire_put_bytes(out, 7, graph->bytes, graph->count);
    size_t mark = norn_wire_begin(out, 8);
    norn_wire_put_text(out, 1, "");
    norn_wire_put_signed(out, 2, opset);
    norn_wire_end(out, mark);
    mark = norn_wire_begin(out, 8);
    norn_wire_put_text(out, 1, "my");
    norn_wire_put_signed(out, 2, 1);
    norn_wire_end(out, mark);
    if (functions) norn_buffer_append(out, functions->bytes, functions->count);
}

#endif
