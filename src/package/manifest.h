/// MANIFEST.json of a version folder: which files it is made of, with their checksums, and what of
/// the delta log is in them already. docs/delta-log.md specifies it.
#ifndef NORN_PACKAGE_MANIFEST_H
#define NORN_PACKAGE_MANIFEST_H

#include "base/arena.h"
#include "base/progress.h"
#include "base/span.h"
#include "store/tier.h"

enum { NORN_MANIFEST_BLOCK = 64 << 20 }; ///< bytes that one checksum is of

typedef struct norn_manifest_file {
    const char *path; ///< in the folder
    uint64_t bytes;
    uint32_t *crc; ///< one for each block
    size_t block_count, block_capacity;
} norn_manifest_file;

typedef struct norn_manifest {
    bool found;        ///< false: the folder has none, and nothing below is said
    const char *model; ///< NULL: it does not say
    uint64_t version, base;
    bool is_cut;  ///< it says where in a log it was cut
    norn_cut cut; ///< positions are the arena's
    norn_manifest_file *files;
    size_t file_count, file_capacity;
    norn_table_form *tables; ///< in its order, which is by name; without default rows and row_bytes
    size_t table_count, table_capacity;
} norn_manifest;

/// Whether `dir` is a version that can be read: it has no manifest, or READY too. One that is still
/// being copied is not.
bool norn_manifest_is_ready(const char *dir);

/// Read `dir`/MANIFEST.json, if it has one, and compare it with READY. Memory is the arena's.
/// Errors   UNAVAILABLE: there is no READY yet; DATA_LOSS: it is not the manifest that READY is of,
///          or cannot be read: names the file and what is wrong
norn_status norn_manifest_read(const char *dir, norn_arena *arena,
                               norn_manifest *out) NORN_NODISCARD;
/// The same from bytes; `path` is for messages.
norn_status norn_manifest_parse(const char *path, norn_span text, norn_arena *arena,
                                norn_manifest *out) NORN_NODISCARD;
/// Compare the files with what it says of them, on all cores.
/// Errors   NOT_FOUND, DATA_LOSS: names the file, and the block that differs
norn_status norn_manifest_verify(const norn_manifest *manifest, const char *dir,
                                 const norn_progress *progress, norn_alloc alloc) NORN_NODISCARD;

#endif
