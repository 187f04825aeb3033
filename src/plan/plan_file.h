/// The plan file: a header page, then sections that begin on 4 KiB.
///
///     0     magic "NORNPLAN", ABI, section count, file size, device stamp, hash of this page
///     ...   section table: name, offset, bytes, hash
///     4096  sections: manifest, graph, code, weights
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
    NORN_PLAN_ABI = 1, ///< raise it when an older plan can no longer be read
    NORN_PLAN_PAGE = 4096,
    NORN_PLAN_CHUNK = 1 << 20,
};

typedef enum norn_plan_section {
    NORN_SECTION_MANIFEST,
    NORN_SECTION_GRAPH,
    NORN_SECTION_CODE,
    NORN_SECTION_WEIGHTS,
    NORN_SECTION_COUNT
} norn_plan_section;

extern const char *const norn_plan_section_names[NORN_SECTION_COUNT];

typedef struct norn_plan_entry {
    char name[16];
    uint64_t offset, bytes, hash;
} norn_plan_entry;

/// As it stands in the file.
typedef struct norn_plan_header {
    char magic[8];
    uint32_t abi, section_count;
    uint64_t file_bytes;
    uint64_t hash; ///< of the header with this field 0
    char stamp[64];
    norn_plan_entry section[NORN_SECTION_COUNT];
} norn_plan_header;
_Static_assert(sizeof(norn_plan_header) == 96 + 40 * NORN_SECTION_COUNT,
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

/// Check header, bounds and hashes; sections[i] slice `bytes`.
/// Errors   DATA_LOSS names `name` and the section; FAILED_PRECONDITION: another ABI
norn_status norn_plan_file_check(norn_span bytes, const char *name, norn_alloc alloc,
                                 norn_span sections[NORN_SECTION_COUNT]) NORN_NODISCARD;

#endif
