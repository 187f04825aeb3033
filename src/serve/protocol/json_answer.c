#include "serve/protocol/kserve_json.h"

#include "norn/norn.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const *norn_kserve_extensions(bool model_control) {
    static const char *const all[] = {"model_repository", "model_configuration",
                                      "binary_tensor_data", "statistics", NULL};
    return model_control ? all : all + 1;
}

bool norn_kserve_is_reshaped(const norn_servable *servable, const norn_port *port) {
    return port->rank == (servable->batches ? 1 : 0);
}

const char *norn_kserve_datatype(const norn_port *port) {
    return norn_dtype_kserve_name(port->dtype);
}

void norn_kserve_json_error(norn_buffer *buffer, const char *message) {
    norn_json_writer json = {.buffer = buffer};
    norn_json_begin_object(&json, NULL);
    norn_json_add_text(&json, "error", message);
    norn_json_end(&json);
}

void norn_kserve_json_server(bool model_control, norn_buffer *buffer) {
    norn_json_writer json = {.buffer = buffer};
    norn_json_begin_object(&json, NULL);
    norn_json_add_text(&json, "name", "norn");
    norn_json_add_text(&json, "version", NORN_VERSION);
    norn_json_begin_array(&json, "extensions");
    for (const char *const *extension = norn_kserve_extensions(model_control); *extension;)
        norn_json_add_text(&json, NULL, *extension++);
    norn_json_end(&json);
    norn_json_end(&json);
}

static void add_version(norn_json_writer *json, const char *key, int64_t version) {
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)version);
    norn_json_add_text(json, key, text);
}

// ---- answers

/// JSON has no NaN and no infinity; the words are those of Python's json and of tritonclient, which
/// read null as NaN whatever it was.
static void put_real(norn_buffer *json, norn_dtype dtype, double value) {
    if (isnan(value)) {
        norn_buffer_text(json, "NaN");
    } else if (isinf(value)) {
        norn_buffer_text(json, value < 0 ? "-Infinity" : "Infinity");
    } else if (dtype == NORN_F64) {
        norn_json_put_f64(json, value);
    } else {
        norn_json_put_f32(json, (float)value);
    }
}

static void put_elements(norn_buffer *json, const norn_view *view) {
    const int64_t elems = norn_view_elems(view);
    const bool real = norn_dtype_is_float(view->dtype);
    for (int64_t i = 0; i < elems; i++) {
        if (i) norn_buffer_append(json, ",", 1);
        if (view->dtype == NORN_F32) {
            put_real(json, NORN_F32, (double)((const float *)view->data)[i]);
        } else if (real) {
            put_real(json, view->dtype, norn_element_f64(view->dtype, view->data, i));
        } else if (view->dtype == NORN_BOOL) {
            norn_buffer_text(json, norn_element_i64(view->dtype, view->data, i) ? "true" : "false");
        } else if (view->dtype == NORN_U64) {
            norn_json_put_u64(json, ((const uint64_t *)view->data)[i]);
        } else {
            norn_json_put_i64(json, norn_element_i64(view->dtype, view->data, i));
        }
    }
}

static norn_status add_output(norn_json_writer *json, const norn_request_output *output,
                              bool *any_binary) {
    const norn_view *view = &output->view;
    size_t bytes;
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", output->name);
    norn_json_add_text(json, "datatype", norn_dtype_kserve_name(view->dtype));
    norn_json_begin_array(json, "shape");
    for (int32_t d = 0; d < view->rank; d++) norn_json_add_i64(json, NULL, view->dims[d]);
    norn_json_end(json);
    if (output->binary) {
        NORN_TRY(norn_view_bytes(view, &bytes));
        norn_json_begin_object(json, "parameters");
        norn_json_add_u64(json, "binary_data_size", bytes);
        *any_binary = true;
    } else {
        norn_json_begin_array(json, "data");
        put_elements(json->buffer, view);
    }
    norn_json_end(json);
    norn_json_end(json);
    return NORN_OK;
}

norn_status norn_kserve_json_answer(const norn_request *request, norn_buffer *buffer,
                                    size_t *json_bytes) {
    norn_json_writer json = {.buffer = buffer};
    bool any_binary = false;
    norn_json_begin_object(&json, NULL);
    norn_json_add_text(&json, "model_name", request->servable->name);
    add_version(&json, "model_version", request->servable->version);
    if (request->id[0]) norn_json_add_text(&json, "id", request->id);
    norn_json_begin_array(&json, "outputs");
    for (uint32_t i = 0; i < request->output_count; i++)
        NORN_TRY(add_output(&json, &request->outputs[i], &any_binary));
    norn_json_end(&json);
    norn_json_end(&json);
    *json_bytes = any_binary ? buffer->count : 0;
    for (uint32_t i = 0; i < request->output_count; i++) {
        const norn_request_output *output = &request->outputs[i];
        size_t bytes;
        if (!output->binary) continue;
        NORN_TRY(norn_view_bytes(&output->view, &bytes));
        norn_buffer_append(buffer, output->view.data, bytes);
    }
    return norn_buffer_status(buffer);
}

// ---- models

static void add_port(norn_json_writer *json, const norn_port *port, bool reshaped) {
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", port->name);
    norn_json_add_text(json, "datatype", norn_kserve_datatype(port));
    norn_json_begin_array(json, "shape");
    for (int32_t d = 0; d < port->rank; d++) norn_json_add_i64(json, NULL, port->dims[d]);
    if (reshaped) norn_json_add_i64(json, NULL, 1);
    norn_json_end(json);
    norn_json_end(json);
}

void norn_kserve_json_metadata(const norn_servable *servable, norn_json_writer *json) {
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", servable->name);
    norn_json_begin_array(json, "versions");
    add_version(json, NULL, servable->version);
    norn_json_end(json);
    norn_json_add_text(json, "platform", "norn");
    norn_json_begin_array(json, "inputs");
    for (uint32_t i = 0; i < servable->input_count; i++)
        add_port(json, servable->inputs[i], norn_kserve_is_reshaped(servable, servable->inputs[i]));
    norn_json_end(json);
    norn_json_begin_array(json, "outputs");
    for (uint32_t i = 0; i < servable->output_count; i++)
        add_port(json, servable->outputs[i], false);
    norn_json_end(json);
    norn_json_end(json);
}

/// The configuration as Triton's clients read it: dims without the batch when max_batch_size > 0.
static void add_config_ports(norn_json_writer *json, const char *key, const norn_servable *servable,
                             const norn_port *const *ports, uint32_t count) {
    norn_json_begin_array(json, key);
    for (uint32_t i = 0; i < count; i++) {
        const norn_port *port = ports[i];
        const bool reshaped = norn_kserve_is_reshaped(servable, port);
        const char *datatype = norn_kserve_datatype(port);
        char type[32];
        (void)snprintf(type, sizeof type, "TYPE_%s",
                       strcmp(datatype, "BYTES") == 0 ? "STRING" : datatype);
        norn_json_begin_object(json, NULL);
        norn_json_add_text(json, "name", port->name);
        norn_json_add_text(json, "data_type", type);
        norn_json_begin_array(json, "dims");
        for (int32_t d = servable->batches ? 1 : 0; d < port->rank; d++)
            norn_json_add_i64(json, NULL, port->dims[d]);
        if (reshaped) norn_json_add_i64(json, NULL, 1);
        norn_json_end(json);
        if (reshaped) {
            norn_json_begin_object(json, "reshape");
            norn_json_begin_array(json, "shape");
            norn_json_end(json);
            norn_json_end(json);
        }
        if (port->optional) norn_json_add_bool(json, "optional", true);
        norn_json_end(json);
    }
    norn_json_end(json);
}

void norn_kserve_json_config(const norn_servable *servable, norn_json_writer *json) {
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", servable->name);
    norn_json_add_text(json, "platform", "norn");
    norn_json_add_text(json, "backend", "norn");
    norn_json_begin_object(json, "version_policy");
    norn_json_begin_object(json, "latest");
    norn_json_add_i64(json, "num_versions", 1);
    norn_json_end(json);
    norn_json_end(json);
    norn_json_add_i64(json, "max_batch_size", servable->batches ? servable->max_rows : 0);
    add_config_ports(json, "input", servable, servable->inputs, servable->input_count);
    add_config_ports(json, "output", servable, servable->outputs, servable->output_count);
    if (servable->joins) {
        norn_json_begin_object(json, "dynamic_batching");
        norn_json_end(json);
    }
    norn_json_begin_object(json, "model_transaction_policy");
    norn_json_add_bool(json, "decoupled", false);
    norn_json_end(json);
    norn_json_end(json);
}

void norn_kserve_json_stats(const norn_servable *servable, norn_json_writer *json) {
    const norn_stats *stats = &servable->stats;
    static const norn_stat none;
    const struct {
        const char *key;
        const norn_stat *stat;
    } all[] = {{"success", &stats->success},
               {"fail", &stats->fail},
               {"queue", &stats->queue},
               {"compute_input", &stats->compute_input},
               {"compute_infer", &stats->compute_infer},
               {"compute_output", &stats->compute_output},
               {"cache_hit", &none},
               {"cache_miss", &none}};
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", servable->name);
    add_version(json, "version", servable->version);
    norn_json_add_u64(json, "last_inference", stats->last_inference_ms);
    norn_json_add_u64(json, "inference_count", stats->inference_count);
    norn_json_add_u64(json, "execution_count", stats->execution_count);
    norn_json_begin_object(json, "inference_stats");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        norn_json_begin_object(json, all[i].key);
        norn_json_add_u64(json, "count", all[i].stat->count);
        norn_json_add_u64(json, "ns", all[i].stat->ns);
        norn_json_end(json);
    }
    norn_json_end(json);
    norn_json_begin_array(json, "batch_stats");
    norn_json_end(json);
    norn_json_end(json);
}

/// Only where there are some: Triton's rows have none.
static void add_labels(norn_json_writer *json, const norn_index_model *model, int64_t version) {
    bool begun = false;
    for (uint32_t i = 0; i < model->label_count; i++) {
        if (model->labels[i].version != version) continue;
        if (!begun) norn_json_begin_array(json, "labels");
        begun = true;
        norn_json_add_text(json, NULL, model->labels[i].name);
    }
    if (begun) norn_json_end(json);
}

void norn_kserve_json_index(const norn_index_model *model, const norn_index_version *version,
                            norn_json_writer *json) {
    norn_json_begin_object(json, NULL);
    norn_json_add_text(json, "name", model->name);
    if (version->version >= 0) add_version(json, "version", version->version);
    norn_json_add_text(json, "state", norn_model_state_name(version->state));
    norn_json_add_text(json, "reason", version->reason);
    add_labels(json, model, version->version);
    norn_json_end(json);
}
