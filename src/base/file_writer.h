/// Files written so that a crash leaves the old one or the new.
#ifndef NORN_BASE_FILE_WRITER_H
#define NORN_BASE_FILE_WRITER_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stddef.h>
#include <stdint.h>

/// An atomic writer: a temporary beside `path`, then fsync, rename and fsync of the folder.
/// Any failure before commit leaves `path` as it was and removes the temporary.
typedef struct norn_file_writer norn_file_writer;
norn_status norn_file_writer_open(const char *path, norn_alloc alloc,
                                  norn_file_writer **out) NORN_NODISCARD;
norn_status norn_file_writer_append(norn_file_writer *writer, const void *bytes,
                                    size_t count) NORN_NODISCARD;
/// Pads with zeros.
norn_status norn_file_writer_align(norn_file_writer *writer, size_t align) NORN_NODISCARD;
uint64_t norn_file_writer_offset(const norn_file_writer *writer);
/// All is on the disk and the file is closed; only the rename is left. For files
/// that belong together: finish them all, then commit them all.
norn_status norn_file_writer_finish(norn_file_writer *writer) NORN_NODISCARD;
/// Closes and frees, also on failure.
norn_status norn_file_writer_commit(norn_file_writer *writer) NORN_NODISCARD;
void norn_file_writer_abort(norn_file_writer *writer); ///< takes NULL

#endif
