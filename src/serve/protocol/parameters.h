/// The protocol's parameters: one reading of their names and values for JSON and protobuf. What
/// Norn does not have is refused by the name of its extension, because an answer computed as if
/// nothing had been asked is a wrong answer. A value that asks for nothing (sequence_id 0, false,
/// "") is what clients send by default and is accepted.
#ifndef NORN_SERVE_PROTOCOL_PARAMETERS_H
#define NORN_SERVE_PROTOCOL_PARAMETERS_H

#include "base/json.h"
#include "serve/request.h"

typedef enum norn_parameter_place {
    NORN_PARAMETER_OF_REQUEST,
    NORN_PARAMETER_OF_INPUT,
    NORN_PARAMETER_OF_OUTPUT,
} norn_parameter_place;

typedef enum norn_parameter_kind {
    NORN_PARAMETER_OTHER, ///< a list, an object, null; nothing at all
    NORN_PARAMETER_BOOL,
    NORN_PARAMETER_WHOLE,
    NORN_PARAMETER_REAL,
    NORN_PARAMETER_TEXT,
} norn_parameter_kind;

typedef struct norn_parameter {
    norn_span name;
    norn_parameter_kind kind;
    int64_t whole; ///< BOOL, WHOLE (saturated)
    double real;   ///< REAL
    norn_span text;
} norn_parameter;

/// From a map entry of protobuf: key = 1, InferParameter = 2 {bool 1, int64 2, string 3, double 4,
/// uint64 5}; ModelRepositoryParameter's bytes (4) read as text.
norn_status norn_parameter_decode(norn_span entry, norn_parameter *out) NORN_NODISCARD;
/// From a JSON value whose first token was read; lists and objects stay to be skipped.
norn_parameter norn_parameter_of_json(norn_span name, const norn_json_token *value);

/// A parameter of the whole request: "timeout" sets the deadline, the rest is refused.
/// Errors   INVALID_ARGUMENT; UNIMPLEMENTED naming the extension
norn_status norn_parameter_apply(const norn_parameter *parameter,
                                 norn_request *request) NORN_NODISCARD;
/// UNIMPLEMENTED naming the extension, unless the value asks for nothing. For every parameter that
/// the caller did not understand.
norn_status norn_parameter_refuse(norn_parameter_place place,
                                  const norn_parameter *parameter) NORN_NODISCARD;

/// A name or an id of a protobuf request into `arena`.
/// Errors   INVALID_ARGUMENT: it holds a NUL, after which it would be cut, or is not UTF-8,
///          which an answer that repeats it must be; `what` is for the message.
norn_status norn_request_text(norn_arena *arena, const char *what, norn_span text,
                              const char **out) NORN_NODISCARD;

// ---- the model repository extension

/// What the body of a repository request says.
typedef struct norn_repository_ask {
    bool ready; ///< index: only models that are ready
} norn_repository_ask;

/// JSON of index ({"ready": bool}), load and unload
/// ({"parameters": {...}}); empty: nothing is said.
/// Errors   INVALID_ARGUMENT: malformed, or a member that does not belong there; UNIMPLEMENTED: a
///          parameter that Norn does not have, with what to do instead
norn_status norn_repository_parse_index(norn_span body, norn_repository_ask *out) NORN_NODISCARD;
norn_status norn_repository_parse_load(norn_span body, bool load) NORN_NODISCARD;
/// RepositoryIndexRequest; RepositoryModelLoadRequest and
/// RepositoryModelUnloadRequest, whose model goes to `arena`.
norn_status norn_repository_decode_index(norn_span message,
                                         norn_repository_ask *out) NORN_NODISCARD;
norn_status norn_repository_decode_load(norn_span message, bool load, norn_arena *arena,
                                        const char **model) NORN_NODISCARD;

#endif
