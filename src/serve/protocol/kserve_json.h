/// The Open Inference Protocol's JSON: infer requests in, infer answers and metadata out.
///
/// Source   https://github.com/kserve/open-inference-protocol (REST), with the binary tensor data
///          extension: JSON first, then the bytes of the binary tensors in order.
#ifndef NORN_SERVE_PROTOCOL_KSERVE_JSON_H
#define NORN_SERVE_PROTOCOL_KSERVE_JSON_H

#include "base/json.h"
#include "serve/repository/index.h"

/// Fill id, inputs, outputs and deadline of `request` from `body`, whose first `json_bytes` are JSON.
/// Memory   binary tensors alias `body`; JSON tensors go to the request's arena.
/// Errors   INVALID_ARGUMENT naming the tensor, or the byte offset in the JSON;
///          UNIMPLEMENTED for an extension that Norn does not have.
norn_status norn_kserve_json_request(norn_span body, size_t json_bytes,
                                     norn_request *request) NORN_NODISCARD;

/// The answer's JSON into `json`; *json_bytes is its length when binary tensors follow it, else 0.
/// The bytes of binary outputs are appended after the JSON.
norn_status norn_kserve_json_answer(const norn_request *request, norn_buffer *json,
                                    size_t *json_bytes) NORN_NODISCARD;

void norn_kserve_json_error(norn_buffer *json, const char *message); ///< {"error":"..."}
void norn_kserve_json_server(bool model_control, norn_buffer *json);
void norn_kserve_json_metadata(const norn_servable *servable, norn_json_writer *json);
void norn_kserve_json_config(const norn_servable *servable, norn_json_writer *json);
/// An element of "model_stats".
void norn_kserve_json_stats(const norn_servable *servable, norn_json_writer *json);
/// An element of the repository index.
void norn_kserve_json_index(const norn_index_model *model, const norn_index_version *version,
                            norn_json_writer *json);

/// The extensions that work, as /v2 lists them; NULL-terminated. The model repository extension is
/// one only where models can be loaded over the network.
const char *const *norn_kserve_extensions(bool model_control);
/// Triton's configurations know no empty dims: what has one element a row is dims [1] with
/// reshape {shape: []}. Such an input may be sent as [B] or as [B, 1]; metadata shows the latter,
/// because perf_analyzer sends what metadata shows. Outputs keep the model's shape.
bool norn_kserve_is_reshaped(const norn_servable *servable, const norn_port *port);
/// Datatype of a port as the protocol names it.
const char *norn_kserve_datatype(const norn_port *port);

#endif
