/// Whole files, read into memory of our own. What other processes do to a file afterwards
/// (overwrite, truncate, remove) changes nothing here; what they do meanwhile is an error that says
/// so. Only a file that the kernel lets nobody write (immutable, or fs-verity) is mapped instead.
///
/// Threads  any; a file does not change once it is read.
#ifndef NORN_BASE_FILE_H
#define NORN_BASE_FILE_H

#include "base/span.h"
#include "base/status.h"
#include "norn/alloc.h"

#include <stdbool.h>

typedef struct norn_file norn_file;

/// Reads a regular file (an empty file gives an empty span), a large one on all cores into huge
/// pages. The bytes align to NORN_HOST_ALIGN.
/// Errors   name the path. DATA_LOSS: it changed while it was read; RESOURCE_EXHAUSTED: it does not
///          fit in the memory that is left
norn_status norn_file_read(const char *path, norn_alloc alloc, norn_file **out) NORN_NODISCARD;
/// The same, but only the first `head_bytes`: the span is as long as the file, its rest reads as
/// zeros and costs nothing. For those who want to know what is in a large file.
norn_status norn_file_read_head(const char *path, size_t head_bytes, norn_alloc alloc,
                                norn_file **out) NORN_NODISCARD;
/// A copy of `bytes`, kept as a file's are. `path` is for messages.
norn_status norn_file_copy(norn_span bytes, const char *path, norn_alloc alloc,
                           norn_file **out) NORN_NODISCARD;
/// Gives back the pages that none of `used` touches; reading those again is a fault.
/// For the only holder of a file: where there are others, or the file has no pages
/// of its own, nothing happens. Sorts `used`.
void norn_file_trim(norn_file *file, norn_span *used, size_t count);
norn_file *norn_file_retain(norn_file *file);
void norn_file_release(norn_file *file); ///< takes NULL
norn_span norn_file_bytes(const norn_file *file);
const char *norn_file_path(const norn_file *file);

bool norn_path_is_dir(const char *path);
bool norn_path_is_file(const char *path);

/// What was made, renamed and removed in the folder is on the disk.
norn_status norn_folder_sync(const char *path) NORN_NODISCARD;
/// "PATH: cannot WHAT: REASON" from errno.
norn_status norn_file_fail(const char *path, const char *what) NORN_NODISCARD;

#endif
