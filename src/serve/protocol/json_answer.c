#include "serve/protocol/kserve_json.h"

#include "norn/norn.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
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

static void put_text(norn_buffer *json, const char *text) {
    norn_json_put_string(json, text, strlen(text));
}

void norn_kserve_json_error(norn_buffer *json, const char *message) {
    norn_buffer_text(json, "{\"error\":");
    put_text(json, message);
    norn_buffer_text(json, "}");
}

void norn_kserve_json_server(bool model_control, norn_buffer *json) {
    const char *const *extensions = norn_kserve_extensions(model_control);
    norn_buffer_text(json, "{\"name\":\"norn\",\"version\":\"" NORN_VERSION "\",\"extensions\":[");
    for (size_t i = 0; extensions[i]; i++) {
        if (i) norn_buffer_text(json, ",");
        put_text(json, extensions[i]);
    }
    norn_buffer_text(json, "]}");
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

static void put_whole(norn_buffer *json, uint64_t magnitude, bool negative) {
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude);
    if (negative) text[--at] = '-';
    norn_buffer_append(json, text + at, sizeof text - at);
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
            put_whole(json, ((const uint64_t *)view->data)[i], false);
        } else {
            const int64_t value = norn_element_i64(view->dtype, view->data, i);
            put_whole(json, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
        }
    }
}

static norn_status put_output(norn_buffer *json, const norn_request_output *output,
                              bool *any_binary) {
    const norn_view *view = &output->view;
    size_t bytes;
    norn_buffer_text(json, "{\"name\":");
    put_text(json, output->name);
    norn_buffer_format(json, ",\"datatype\":\"%s\",\"shape\":[",
                       norn_dtype_kserve_name(view->dtype));
    for (int32_t d = 0; d < view->rank; d++)
        norn_buffer_format(json, "%s%lld", d ? "," : "", (long long)view->dims[d]);
    if (output->binary) {
        NORN_TRY(norn_view_bytes(view, &bytes));
        norn_buffer_format(json, "],\"parameters\":{\"binary_data_size\":%zu}}", bytes);
        *any_binary = true;
    } else {
        norn_buffer_text(json, "],\"data\":[");
        put_elements(json, view);
        norn_buffer_text(json, "]}");
    }
    return NORN_OK;
}

norn_status norn_kserve_json_answer(const norn_request *request, norn_buffer *json,
                                    size_t *json_bytes) {
    bool any_binary = false;
    norn_buffer_text(json, "{\"model_name\":");
    put_text(json, request->servable->name);
    norn_buffer_format(json, ",\"model_version\":\"%lld\"", (long long)request->servable->version);
    if (request->id[0]) {
        norn_buffer_text(json, ",\"id\":");
        put_text(json, request->id);
    }
    norn_buffer_text(json, ",\"outputs\":[");
    for (uint32_t i = 0; i < request->output_count; i++) {
        if (i) norn_buffer_text(json, ",");
        NORN_TRY(put_output(json, &request->outputs[i], &any_binary));
    }
    norn_buffer_text(json, "]}");
    *json_bytes = any_binary ? json->count : 0;
    for (uint32_t i = 0; i < request->output_count; i++) {
        const norn_request_output *output = &request->outputs[i];
        size_t bytes;
        if (!output->binary) continue;
        NORN_TRY(norn_view_bytes(&output->view, &bytes));
        norn_buffer_append(json, output->view.data, bytes);
    }
    return norn_buffer_status(json);
}

// ---- models

static void put_port(norn_buffer *json, const norn_port *port, bool reshaped) {
    norn_buffer_text(json, "{\"name\":");
    put_text(json, port->name);
    norn_buffer_format(json, ",\"datatype\":\"%s\",\"shape\":[", norn_kserve_datatype(port));
    for (int32_t d = 0; d < port->rank; d++)
        norn_buffer_format(json, "%s%lld", d ? "," : "", (long long)port->dims[d]);
    if (reshaped) norn_buffer_text(json, port->rank ? ",1" : "1");
    norn_buffer_text(json, "]}");
}

void norn_kserve_json_metadata(const norn_servable *servable, norn_buffer *json) {
    norn_buffer_text(json, "{\"name\":");
    put_text(json, servable->name);
    norn_buffer_format(json, ",\"versions\":[\"%lld\"],\"platform\":\"norn\",\"inputs\":[",
                       (long long)servable->version);
    for (uint32_t i = 0; i < servable->input_count; i++) {
        if (i) norn_buffer_text(json, ",");
        put_port(json, servable->inputs[i], norn_kserve_is_reshaped(servable, servable->inputs[i]));
    }
    norn_buffer_text(json, "],\"outputs\":[");
    for (uint32_t i = 0; i < servable->output_count; i++) {
        if (i) norn_buffer_text(json, ",");
        put_port(json, servable->outputs[i], false);
    }
    norn_buffer_text(json, "]}");
}

/// The configuration as Triton's clients read it: dims without the batch when max_batch_size > 0.
static void put_config_port(norn_buffer *json, const norn_servable *servable,
                            const norn_port *port) {
    const int32_t first = servable->batches ? 1 : 0;
    const char *type = norn_kserve_datatype(port);
    norn_buffer_text(json, "{\"name\":");
    put_text(json, port->name);
    norn_buffer_format(json, ",\"data_type\":\"TYPE_%s\",\"dims\":[",
                       strcmp(type, "BYTES") == 0 ? "STRING" : type);
    for (int32_t d = first; d < port->rank; d++)
        norn_buffer_format(json, "%s%lld", d > first ? "," : "", (long long)port->dims[d]);
    norn_buffer_text(json, norn_kserve_is_reshaped(servable, port) ? "1],\"reshape\":{\"shape\":[]}"
                                                                   : "]");
    norn_buffer_text(json, port->optional ? ",\"optional\":true}" : "}");
}

void norn_kserve_json_config(const norn_servable *servable, norn_buffer *json) {
    norn_buffer_text(json, "{\"name\":");
    put_text(json, servable->name);
    norn_buffer_format(json,
                       ",\"platform\":\"norn\",\"backend\":\"norn\",\"version_policy\":{\"latest\":"
                       "{\"num_versions\":1}},"
                       "\"max_batch_size\":%lld,\"input\":[",
                       (long long)(servable->batches ? servable->max_rows : 0));
    for (uint32_t i = 0; i < servable->input_count; i++) {
        if (i) norn_buffer_text(json, ",");
        put_config_port(json, servable, servable->inputs[i]);
    }
    norn_buffer_text(json, "],\"output\":[");
    for (uint32_t i = 0; i < servable->output_count; i++) {
        if (i) norn_buffer_text(json, ",");
        put_config_port(json, servable, servable->outputs[i]);
    }
    norn_buffer_text(json, "]");
    if (servable->joins) norn_buffer_text(json, ",\"dynamic_batching\":{}");
    norn_buffer_text(json, ",\"model_transaction_policy\":{\"decoupled\":false}}");
}

static void put_stat(norn_buffer *json, const char *name, const norn_stat *stat) {
    norn_buffer_format(json, "\"%s\":{\"count\":%llu,\"ns\":%llu}", name,
                       (unsigned long long)stat->count, (unsigned long long)stat->ns);
}

void norn_kserve_json_stats(const norn_servable *servable, norn_buffer *json) {
    const norn_stats *stats = &servable->stats;
    norn_buffer_text(json, "{\"name\":");
    put_text(json, servable->name);
    norn_buffer_format(json,
                       ",\"version\":\"%lld\",\"last_inference\":%llu,\"inference_count\":%llu,"
                       "\"execution_count\":%llu,"
                       "\"inference_stats\":{",
                       (long long)servable->version, (unsigned long long)stats->last_inference_ms,
                       (unsigned long long)stats->inference_count,
                       (unsigned long long)stats->execution_count);
    put_stat(json, "success", &stats->success);
    norn_buffer_text(json, ",");
    put_stat(json, "fail", &stats->fail);
    norn_buffer_text(json, ",");
    put_stat(json, "queue", &stats->queue);
    norn_buffer_text(json, ",");
    put_stat(json, "compute_input", &stats->compute_input);
    norn_buffer_text(json, ",");
    put_stat(json, "compute_infer", &stats->compute_infer);
    norn_buffer_text(json, ",");
    put_stat(json, "compute_output", &stats->compute_output);
    norn_buffer_text(json, ",\"cache_hit\":{\"count\":0,\"ns\":0},\"cache_miss\":{\"count\":0,"
                           "\"ns\":0}},\"batch_stats\":[]}");
}

void norn_kserve_json_index(const char *name, const norn_index_version *version,
                            norn_buffer *json) {
    norn_buffer_text(json, "{\"name\":");
    put_text(json, name);
    if (version->version >= 0)
        norn_buffer_format(json, ",\"version\":\"%lld\"", (long long)version->version);
    norn_buffer_format(json,
                       ",\"state\":\"%s\",\"reason\":", norn_model_state_name(version->state));
    put_text(json, version->reason);
    norn_buffer_text(json, "}");
}
