/// Safetensors files: an 8-byte header length, a JSON header, then the bytes of the tensors.
///
/// Source   https://github.com/huggingface/safetensors (format section)
#ifndef NORN_TENSOR_SAFETENSORS_H
#define NORN_TENSOR_SAFETENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "norn/tensor.h"

typedef struct norn_safetensor {
    const char *name; ///< in the arena
    /// Dense. Aliases the file's bytes; a copy in the arena where
    /// they are not aligned to the dtype.
    norn_view view;
} norn_safetensor;

typedef struct norn_safetensors {
    const norn_safetensor *at;
    size_t count;
} norn_safetensors;

/// "F32", "BF16", …; NULL: a type that such files do not have.
const char *norn_safetensors_dtype_name(norn_dtype dtype);
/// NORN_DTYPE_NONE: no such name.
norn_dtype norn_safetensors_dtype(norn_span name);

/// Checks every offset, overlap and size.
/// Errors   DATA_LOSS (truncated), INVALID_ARGUMENT; `name` is for messages.
norn_status norn_safetensors_decode(norn_span bytes, const char *name, norn_arena *arena,
                                    norn_safetensors *out) NORN_NODISCARD;
/// NULL if absent.
const norn_view *norn_safetensors_find(const norn_safetensors *all, const char *name);
/// The file under another name, finished: committing the writer gives it its own.
norn_status norn_safetensors_stage(const char *path, const norn_safetensor *tensors, size_t count,
                                   norn_alloc alloc, norn_file_writer **out) NORN_NODISCARD;
/// Atomic write; the data starts 64-byte aligned.
norn_status norn_safetensors_write(const char *path, const norn_safetensor *tensors, size_t count,
                                   norn_alloc alloc) NORN_NODISCARD;

#endif
