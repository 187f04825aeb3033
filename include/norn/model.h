/// A model as it was read: ONNX file or package directory. Input of the compiler and of `inspect`.
#ifndef NORN_MODEL_H
#define NORN_MODEL_H

#include "norn/alloc.h"

typedef struct norn_model norn_model;

/// Read `path`: a `.onnx` file, or a version directory with model.onnx, tables/ and norn.json.
///
/// Memory   the file is read whole and kept until norn_model_close; weights alias it.
/// Threads  any one thread at a time.
/// Errors   NOT_FOUND, INVALID_ARGUMENT (malformed; the message names file and node),
///          UNIMPLEMENTED (an operator or version that Norn does not have; names it)
NORN_API norn_status norn_model_open(const char *path, norn_alloc alloc,
                                     norn_model **out) NORN_NODISCARD;
NORN_API void norn_model_close(norn_model *model);

#endif
