#include "package/model_weights.h"

#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/wire.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <string.h>

/// Numbers of onnx.proto: ModelProto.graph, GraphProto.initializer, and of a TensorProto.
enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
/// protobuf's own bound on a message.
#define MODEL_BYTES_MAX ((size_t)INT32_MAX)

typedef struct weights_writer {
    const norn_dense_set *weights;
    norn_buffer *out; ///< NULL: only look
    uint64_t *found;  ///< a flag a weight, in the set's order
    norn_alloc alloc;
} weights_writer;

// ---- an initializer

typedef struct tensor_head {
    norn_span name;
    norn_view view; ///< no data
} tensor_head;

static norn_status add_dim(tensor_head *head, uint64_t dim) {
    if (head->view.rank == NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "an initializer of more than %d dims",
                         NORN_MAX_RANK);
    head->view.dims[head->view.rank++] = (int64_t)dim;
    return NORN_OK;
}

static norn_status read_head(norn_span tensor, tensor_head *head) {
    norn_wire_reader reader = {tensor, NORN_OK};
    norn_wire_field field;
    *head = (tensor_head){0};
    while (norn_wire_each(&reader, &field)) {
        if (field.number == TENSOR_NAME) head->name = field.bytes;
        if (field.number == TENSOR_TYPE && field.value < NORN_DTYPE_COUNT)
            head->view.dtype = (norn_dtype)field.value;
        if (field.number != TENSOR_DIMS) continue;
        if (field.type == NORN_WIRE_VARINT) NORN_TRY(add_dim(head, field.value));
        while (field.type == NORN_WIRE_BYTES && field.bytes.count > 0) {
            uint64_t dim;
            NORN_TRY(norn_wire_varint(&field.bytes, &dim));
            NORN_TRY(add_dim(head, dim));
        }
    }
    return reader.status;
}

static const norn_dense_tensor *weight_of(const weights_writer *w, norn_span name, size_t *index) {
    *index = 0;
    for (const norn_dense_tensor *at = w->weights->first; at; at = at->next, ++*index)
        if (norn_span_equal(name, at->name)) return at;
    return NULL;
}

static void put_tensor(norn_buffer *out, const norn_dense_tensor *weight) {
    const size_t mark = norn_wire_begin(out, GRAPH_INITIALIZER);
    for (int32_t d = 0; d < weight->view.rank; d++)
        norn_wire_put_signed(out, TENSOR_DIMS, weight->view.dims[d]);
    norn_wire_put_varint(out, TENSOR_TYPE, (uint64_t)weight->view.dtype);
    norn_wire_put_text(out, TENSOR_NAME, weight->name);
    norn_wire_put_bytes(out, TENSOR_RAW, weight->view.data, weight->total);
    norn_wire_end(out, mark);
}

/// *taken: a weight stands in its place.
static norn_status take_initializer(weights_writer *w, norn_span tensor, bool *taken) {
    char wanted[NORN_VIEW_TEXT], given[NORN_VIEW_TEXT];
    tensor_head head;
    size_t index;
    *taken = false;
    NORN_TRY(read_head(tensor, &head));
    const norn_dense_tensor *weight = weight_of(w, head.name, &index);
    if (!weight) return NORN_OK;
    if (head.view.dtype != weight->view.dtype || !norn_view_same_shape(&head.view, &weight->view))
        return norn_fail(NORN_INVALID_ARGUMENT, "initializer '%s' is %s; what was published is %s",
                         weight->name, norn_view_text(&head.view, wanted),
                         norn_view_text(&weight->view, given));
    w->found[index] = 1;
    *taken = true;
    if (w->out) put_tensor(w->out, weight);
    return NORN_OK;
}

// ---- the file

/// Fields as they stand, but those that `change` writes anew.
static norn_status copy_fields(weights_writer *w, norn_span message,
                               norn_status (*change)(weights_writer *, const norn_wire_field *,
                                                     bool *)) {
    norn_wire_reader reader = {message, NORN_OK};
    norn_wire_field field;
    const uint8_t *begin = message.bytes;
    while (norn_wire_each(&reader, &field)) {
        bool changed;
        NORN_TRY(change(w, &field, &changed));
        if (!changed && w->out)
            norn_buffer_append(w->out, begin, (size_t)(reader.rest.bytes - begin));
        begin = reader.rest.bytes;
    }
    return reader.status;
}

static norn_status change_in_graph(weights_writer *w, const norn_wire_field *field, bool *changed) {
    *changed = false;
    if (field->number != GRAPH_INITIALIZER || field->type != NORN_WIRE_BYTES) return NORN_OK;
    return take_initializer(w, field->bytes, changed);
}

static norn_status change_in_model(weights_writer *w, const norn_wire_field *field, bool *changed) {
    *changed = field->number == MODEL_GRAPH && field->type == NORN_WIRE_BYTES;
    if (!*changed) return NORN_OK;
    const size_t mark = w->out ? norn_wire_begin(w->out, MODEL_GRAPH) : 0;
    NORN_TRY(copy_fields(w, field->bytes, change_in_graph));
    if (w->out) norn_wire_end(w->out, mark);
    return NORN_OK;
}

static norn_status rewrite(const char *path, const norn_dense_set *weights, norn_buffer *out,
                           norn_alloc alloc) {
    weights_writer w = {.weights = weights, .out = out, .alloc = alloc};
    size_t count = 0, index = 0;
    norn_file *file;
    for (const norn_dense_tensor *at = weights->first; at; at = at->next) count++;
    NORN_TRY(norn_file_read(path, alloc, &file));
    norn_status status = NORN_NEW_ARRAY(alloc, count, &w.found);
    if (status == NORN_OK) status = copy_fields(&w, norn_file_bytes(file), change_in_model);
    if (status != NORN_OK) norn_note("%s", path);
    for (const norn_dense_tensor *at = weights->first; at && status == NORN_OK;
         at = at->next, index++)
        if (!w.found[index])
            status =
                norn_fail(NORN_NOT_FOUND, "%s: the model has no initializer '%s'", path, at->name);
    norn_free(alloc, w.found);
    norn_file_release(file);
    return status;
}

norn_status norn_model_weights_check(const char *path, const norn_dense_set *weights,
                                     norn_alloc alloc) {
    return weights->first ? rewrite(path, weights, NULL, alloc) : NORN_OK;
}

static norn_status write_model(const char *path, norn_span bytes, norn_alloc alloc) {
    norn_file_writer *writer;
    if (bytes.count > MODEL_BYTES_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: with its weights inside the model is larger than the 2 GB that ONNX "
                         "allows; publish a full version from the trainer",
                         path);
    NORN_TRY(norn_file_writer_open(path, alloc, &writer));
    const norn_status status = norn_file_writer_append(writer, bytes.bytes, bytes.count);
    if (status == NORN_OK) return norn_file_writer_commit(writer);
    norn_file_writer_abort(writer);
    return status;
}

norn_status norn_model_weights_put(const char *path, const norn_dense_set *weights,
                                   norn_alloc alloc) {
    norn_buffer out;
    if (!weights->first) return NORN_OK;
    norn_buffer_init(&out, alloc);
    norn_status status = rewrite(path, weights, &out, alloc);
    if (status == NORN_OK) status = norn_buffer_status(&out);
    if (status == NORN_OK) status = write_model(path, norn_span_of(out.bytes, out.count), alloc);
    norn_buffer_deinit(&out);
    return status;
}
