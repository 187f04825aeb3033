/// The plan file: a header page, then named sections that begin on 4 KiB.
///
///     0     magic "NORNPLAN", ABI, section count, file size, device stamp, hash of this page
///     ...   section table: name, version, required, offset, bytes, hash
///     4096  sections, in any order: manifest, graph, code, weights; tuning, where something was
///           timed
///
/// A section that this reader does not know is skipped when it is optional
/// and named in the error when it is required; so a later Norn can add to the format
/// without ending older plans or readers.
///
/// Numbers are little-endian. The hash of a section is a tree: one hash for each MiB, then the hash
/// of those; so that large weights are checked by all cores at memory speed.
#ifndef NORN_PLAN_PLAN_FILE_H
#define NORN_PLAN_PLAN_FILE_H

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "base/thread.h"

#include <stdbool.h>

#define NORN_PLAN_MAGIC "NORNPLAN"
enum {
    NORN_PLAN_ABI = 2, ///< raise it when the header changes; sections have versions of their own
    NORN_PLAN_PAGE = 4096,
    NORN_PLAN_CHUNK = 1 << 20,
    NORN_PLAN_SECTIONS_MAX = 32,
};

/// The sections that this Norn knows.
typedef enum norn_plan_section {
    NORN_SECTION_MANIFEST,
    NORN_SECTION_GRAPH,
    NORN_SECTION_CODE,
    NORN_SECTION_WEIGHTS,
    NORN_SECTION_TUNING, ///< optional: what a device timed and chose (device.h)
    NORN_SECTION_COUNT
} norn_plan_section;

typedef struct norn_plan_section_kind {
    const char *name;
    uint32_t version; ///< that is written, and the newest that is read
    bool required;    ///< a plan without it is no plan
} norn_plan_section_kind;

extern const norn_plan_section_kind norn_plan_section_kinds[NORN_SECTION_COUNT];

typedef struct norn_plan_entry {
    char name[16];
    uint32_t version;
    uint32_t required; ///< a reader that does not know it must not go on
    uint64_t offset, bytes, hash;
} norn_plan_entry;

/// As it stands in the file.
typedef struct norn_plan_header {
    char magic[8];
    uint32_t abi, section_count;
    uint64_t file_bytes;
    uint64_t hash; ///< of the header with this field 0
    char stamp[64];
    norn_plan_entry section[NORN_PLAN_SECTIONS_MAX];
} norn_plan_header;
_Static_assert(sizeof(norn_plan_header) == 96 + 48 * NORN_PLAN_SECTIONS_MAX,
               "no padding in the header");

uint64_t norn_plan_header_hash(const norn_plan_header *header);

/// Tree hash of bytes that come in pieces.
typedef struct norn_tree_hash {
    uint8_t *chunk; ///< NORN_PLAN_CHUNK bytes, the caller's
    size_t used;
    uint64_t root, chunks;
} norn_tree_hash;
void norn_tree_hash_init(norn_tree_hash *hash, uint8_t *chunk);
void norn_tree_hash_add(norn_tree_hash *hash, const void *bytes, size_t count);
uint64_t norn_tree_hash_end(norn_tree_hash *hash);
/// The same of bytes at hand, on the pool's threads (NULL: inline).
norn_status norn_tree_hash_of(norn_span bytes, norn_pool *pool, norn_alloc alloc,
                              uint64_t *out) NORN_NODISCARD;

/// The same, on threads of its own where that pays.
norn_status norn_tree_hash_whole(norn_span bytes, norn_alloc alloc, uint64_t *out) NORN_NODISCARD;

/// What a file holds: slices of its bytes, and what it was compiled for.
typedef struct norn_plan_parts {
    norn_span section[NORN_SECTION_COUNT]; ///< bytes NULL: an optional one that is not there
    uint32_t version[NORN_SECTION_COUNT];
    char stamp[64];
} norn_plan_parts;

/// Check header, bounds and hashes; the parts slice `bytes`.
/// Errors   DATA_LOSS names `name` and the section; FAILED_PRECONDITION: another ABI, a required
///          section that this Norn does not know, or one of a later version
norn_status norn_plan_file_check(norn_span bytes, const char *name, norn_alloc alloc,
                                 norn_plan_parts *out) NORN_NODISCARD;

#endif
