#include "norn/norn.h"
#include "serve/protocol/kserve_json.h"
#include "serve/protocol/kserve_proto.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

static void put_version(norn_buffer *out, uint32_t field, int64_t version) {
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)version);
    norn_wire_put_text(out, field, text);
}

/// A packed `repeated int64`.
static void put_dims(norn_buffer *out, uint32_t field, const int64_t *dims, int32_t count) {
    const size_t mark = norn_wire_begin(out, field);
    for (int32_t d = 0; d < count; d++) norn_wire_put_varint_raw(out, (uint64_t)dims[d]);
    norn_wire_end(out, mark);
}

norn_status norn_kserve_proto_answer(const norn_request *request, norn_buffer *out) {
    norn_wire_put_text(out, 1, request->servable->name);
    put_version(out, 2, request->servable->version);
    if (request->id[0]) norn_wire_put_text(out, 3, request->id);
    for (uint32_t i = 0; i < request->output_count; i++) {
        const norn_request_output *output = &request->outputs[i];
        const size_t mark = norn_wire_begin(out, 5);
        norn_wire_put_text(out, 1, output->name);
        norn_wire_put_text(out, 2, norn_dtype_kserve_name(output->view.dtype));
        put_dims(out, 3, output->view.dims, output->view.rank);
        norn_wire_end(out, mark);
    }
    for (uint32_t i = 0; i < request->output_count; i++) {
        size_t bytes;
        NORN_TRY(norn_view_bytes(&request->outputs[i].view, &bytes));
        norn_wire_put_bytes(out, 6, request->outputs[i].view.data, bytes);
    }
    return norn_buffer_status(out);
}

void norn_kserve_proto_server(bool model_control, norn_buffer *out) {
    const char *const *extensions = norn_kserve_extensions(model_control);
    norn_wire_put_text(out, 1, "norn");
    norn_wire_put_text(out, 2, NORN_VERSION);
    for (size_t i = 0; extensions[i]; i++) norn_wire_put_text(out, 3, extensions[i]);
}

/// repeated int64 is merged, so that one more dim is one more field.
static void put_one(norn_buffer *out, uint32_t field) {
    const int64_t one = 1;
    put_dims(out, field, &one, 1);
}

static void put_port(norn_buffer *out, uint32_t field, const norn_port *port, bool reshaped) {
    const size_t mark = norn_wire_begin(out, field);
    norn_wire_put_text(out, 1, port->name);
    norn_wire_put_text(out, 2, norn_kserve_datatype(port));
    put_dims(out, 3, port->dims, port->rank);
    if (reshaped) put_one(out, 3);
    norn_wire_end(out, mark);
}

void norn_kserve_proto_metadata(const norn_servable *servable, norn_buffer *out) {
    norn_wire_put_text(out, 1, servable->name);
    put_version(out, 2, servable->version);
    norn_wire_put_text(out, 3, "norn");
    for (uint32_t i = 0; i < servable->input_count; i++)
        put_port(out, 4, servable->inputs[i],
                 norn_kserve_is_reshaped(servable, servable->inputs[i]));
    for (uint32_t i = 0; i < servable->output_count; i++)
        put_port(out, 5, servable->outputs[i], false);
}

/// inference.DataType of model_config.proto.
static uint64_t config_type(norn_dtype dtype) {
    static const struct {
        norn_dtype dtype;
        uint64_t number;
    } types[] = {{NORN_BOOL, 1}, {NORN_U8, 2},   {NORN_U16, 3},     {NORN_U32, 4},  {NORN_U64, 5},
                 {NORN_I8, 6},   {NORN_I16, 7},  {NORN_I32, 8},     {NORN_I64, 9},  {NORN_F16, 10},
                 {NORN_F32, 11}, {NORN_F64, 12}, {NORN_STRING, 13}, {NORN_BF16, 14}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].dtype == dtype) return types[i].number;
    return 0;
}

/// ModelInput {name 1, data_type 2, dims 4, reshape 5}, ModelOutput
/// {name 1, data_type 2, dims 3, reshape 5 {shape 1}}.
static void put_config_port(norn_buffer *out, uint32_t field, uint32_t dims_field,
                            const norn_servable *servable, const norn_port *port) {
    const int32_t first = servable->batches ? 1 : 0;
    const size_t mark = norn_wire_begin(out, field);
    norn_wire_put_text(out, 1, port->name);
    norn_wire_put_varint(out, 2, config_type(port->dtype));
    put_dims(out, dims_field, port->dims + first, port->rank - first);
    if (norn_kserve_is_reshaped(servable, port)) {
        put_one(out, dims_field);
        norn_wire_end(out, norn_wire_begin(out, 5));
    }
    if (port->optional) norn_wire_put_varint(out, 8, 1);
    norn_wire_end(out, mark);
}

void norn_kserve_proto_config(const norn_servable *servable, norn_buffer *out) {
    size_t mark;
    norn_wire_put_text(out, 1, servable->name);
    norn_wire_put_text(out, 2, "norn");
    norn_wire_put_varint(out, 4, servable->batches ? (uint64_t)servable->max_rows : 0);
    for (uint32_t i = 0; i < servable->input_count; i++)
        put_config_port(out, 5, 4, servable, servable->inputs[i]);
    for (uint32_t i = 0; i < servable->output_count; i++)
        put_config_port(out, 6, 3, servable, servable->outputs[i]);
    if (servable->joins) {
        mark = norn_wire_begin(out, 11); // dynamic_batching {}
        norn_wire_end(out, mark);
    }
    norn_wire_put_text(out, 17, "norn");
}

static void put_stat(norn_buffer *out, uint32_t field, uint64_t count, uint64_t ns) {
    const size_t mark = norn_wire_begin(out, field);
    norn_wire_put_varint(out, 1, count);
    norn_wire_put_varint(out, 2, ns);
    norn_wire_end(out, mark);
}

void norn_kserve_proto_stats(const norn_servable *servable, norn_buffer *out) {
    const norn_stats *stats = &servable->stats;
    const norn_stat *const parts[] = {&stats->success,       &stats->fail,
                                      &stats->queue,         &stats->compute_input,
                                      &stats->compute_infer, &stats->compute_output};
    norn_wire_put_text(out, 1, servable->name);
    put_version(out, 2, servable->version);
    norn_wire_put_varint(out, 3, stats->last_inference_ms);
    norn_wire_put_varint(out, 4, stats->inference_count);
    norn_wire_put_varint(out, 5, stats->execution_count);
    const size_t mark = norn_wire_begin(out, 6);
    for (uint32_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        put_stat(out, i + 1, parts[i]->count, parts[i]->ns);
    put_stat(out, 7, 0, 0);
    put_stat(out, 8, 0, 0);
    norn_wire_end(out, mark);
}

void norn_kserve_proto_index(const char *name, const norn_index_version *version,
                             norn_buffer *out) {
    norn_wire_put_text(out, 1, name);
    if (version->version >= 0) put_version(out, 2, version->version);
    norn_wire_put_text(out, 3, norn_model_state_name(version->state));
    norn_wire_put_text(out, 4, version->reason);
}
