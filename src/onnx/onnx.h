/// Reading ONNX from memory: what norn_model_open does once the file
/// is read. For tests and fuzzing.
#ifndef NORN_ONNX_ONNX_H
#define NORN_ONNX_ONNX_H

#include "graph/graph.h"
#include "norn/model.h"

/// Fill model->graph from `bytes`, which must outlive it. model->path says where external data
/// lies. On an error the model is left for norn_model_close.
norn_status norn_onnx_decode(norn_model *model, norn_span bytes) NORN_NODISCARD;

#endif
