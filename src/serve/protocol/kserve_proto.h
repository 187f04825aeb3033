/// The Open Inference Protocol's protobuf messages, on the wire codec: requests in, answers out.
///
/// Source   grpc_service.proto and model_config.proto of the protocol with Triton's extensions
#ifndef NORN_SERVE_PROTOCOL_KSERVE_PROTO_H
#define NORN_SERVE_PROTOCOL_KSERVE_PROTO_H

#include "base/wire.h"
#include "serve/repository/index.h"

/// Model name and version of a ModelInferRequest; found first, because admission
/// needs the model. Fill id, inputs, outputs and deadline of `request` too.
/// Raw contents alias `message`; typed contents go to the arena.
/// Errors   INVALID_ARGUMENT naming the tensor;
///          UNIMPLEMENTED for an extension that Norn does not have.
norn_status norn_kserve_proto_request(norn_span message, norn_request *request, const char **model,
                                      const char **version) NORN_NODISCARD;
/// Do the tensors come as raw_input_contents, which are aliased and cost nothing to read?
bool norn_kserve_proto_is_raw(norn_span message);
/// A ModelInferResponse with raw_output_contents.
norn_status norn_kserve_proto_answer(const norn_request *request, norn_buffer *out) NORN_NODISCARD;

/// Fields 1 and 2 as text of any request that has
/// {name = 1, version = 2}. "" when absent. In `arena`.
norn_status norn_kserve_proto_names(norn_span message, norn_arena *arena, const char **first,
                                    const char **second) NORN_NODISCARD;

void norn_kserve_proto_server(bool model_control, norn_buffer *out);
void norn_kserve_proto_metadata(const norn_servable *servable, norn_buffer *out);
void norn_kserve_proto_config(const norn_servable *servable, norn_buffer *out);
/// One model_stats entry.
void norn_kserve_proto_stats(const norn_servable *servable, norn_buffer *out);
/// One models entry.
void norn_kserve_proto_index(const char *name, const norn_index_version *version, norn_buffer *out);

#endif
