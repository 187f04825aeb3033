#include "plan/plan_file.h"
#include "base/hash.h"
#include "base/memory.h"

#include <string.h>

const norn_plan_section_kind norn_plan_section_kinds[NORN_SECTION_COUNT] = {
    [NORN_SECTION_MANIFEST] = {"manifest", 1, true}, [NORN_SECTION_GRAPH] = {"graph", 1, true},
    [NORN_SECTION_CODE] = {"code", 2, true},         [NORN_SECTION_WEIGHTS] = {"weights", 1, true},
    [NORN_SECTION_TUNING] = {"tuning", 1, false},
};

uint64_t norn_plan_header_hash(const norn_plan_header *header) {
    norn_plan_header copy = *header;
    copy.hash = 0;
    return norn_hash_bytes(&copy, sizeof copy, NORN_PLAN_ABI);
}

// ---- tree hash

/// Chunk hashes fold in order, so the tree needs no list of them.
static uint64_t fold(uint64_t root, uint64_t chunk) {
    return norn_hash_u64(root * 3 + chunk);
}

void norn_tree_hash_init(norn_tree_hash *hash, uint8_t *chunk) {
    *hash = (norn_tree_hash){.chunk = chunk};
}

static void close_chunk(norn_tree_hash *hash) {
    hash->root = fold(hash->root, norn_hash_bytes(hash->chunk, hash->used, hash->chunks));
    hash->chunks++;
    hash->used = 0;
}

void norn_tree_hash_add(norn_tree_hash *hash, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    while (count > 0) {
        size_t take = NORN_PLAN_CHUNK - hash->used < count ? NORN_PLAN_CHUNK - hash->used : count;
        memcpy(hash->chunk + hash->used, at, take);
        hash->used += take, at += take, count -= take;
        if (hash->used == NORN_PLAN_CHUNK) close_chunk(hash);
    }
}

uint64_t norn_tree_hash_end(norn_tree_hash *hash) {
    if (hash->used > 0) close_chunk(hash);
    return hash->root;
}

typedef struct chunk_loop {
    norn_span bytes;
    uint64_t *hashes;
} chunk_loop;

static void hash_chunks(void *context, int64_t begin, int64_t end, int32_t worker) {
    const chunk_loop *loop = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)i * NORN_PLAN_CHUNK, left = loop->bytes.count - at;
        loop->hashes[i] = norn_hash_bytes(
            loop->bytes.bytes + at, left < NORN_PLAN_CHUNK ? left : NORN_PLAN_CHUNK, (uint64_t)i);
    }
}

norn_status norn_tree_hash_of(norn_span bytes, norn_pool *pool, norn_alloc alloc, uint64_t *out) {
    size_t count = bytes.count / NORN_PLAN_CHUNK + (bytes.count % NORN_PLAN_CHUNK != 0);
    chunk_loop loop = {.bytes = bytes};
    NORN_TRY(NORN_NEW_ARRAY(alloc, count, &loop.hashes));
    norn_pool_loop(pool, (int64_t)count, 1, hash_chunks, &loop);
    uint64_t root = 0;
    for (size_t i = 0; i < count; i++) root = fold(root, loop.hashes[i]);
    norn_free(alloc, loop.hashes);
    *out = root;
    return NORN_OK;
}

enum { THREADED_BYTES = 16 << 20 }; // threads are worth their start only for large weights

norn_status norn_tree_hash_whole(norn_span bytes, norn_alloc alloc, uint64_t *out) {
    norn_pool *pool = NULL;
    if (bytes.count > THREADED_BYTES) NORN_TRY(norn_pool_create(0, alloc, &pool));
    const norn_status status = norn_tree_hash_of(bytes, pool, alloc, out);
    norn_pool_destroy(pool);
    return status;
}

// ---- checks

static norn_status check_header(norn_span bytes, const char *name, norn_plan_header *header) {
    if (bytes.count < sizeof header->magic ||
        memcmp(bytes.bytes, NORN_PLAN_MAGIC, sizeof header->magic) != 0)
        return norn_fail(NORN_DATA_LOSS, "%s: header: this is not a Norn plan", name);
    if (bytes.count < NORN_PLAN_PAGE)
        return norn_fail(NORN_DATA_LOSS, "%s: header: truncated at %zu bytes", name, bytes.count);
    memcpy(header, bytes.bytes, sizeof *header);
    if (header->abi != NORN_PLAN_ABI)
        return norn_fail(
            NORN_FAILED_PRECONDITION,
            "%s: made by another version of Norn (plan format %u, this is %d); compile it again",
            name, header->abi, NORN_PLAN_ABI);
    if (header->hash != norn_plan_header_hash(header))
        return norn_fail(NORN_DATA_LOSS, "%s: header: its hash is wrong, the file is corrupt",
                         name);
    if (header->section_count > NORN_PLAN_SECTIONS_MAX)
        return norn_fail(NORN_DATA_LOSS, "%s: header: %u sections, there can be %d", name,
                         header->section_count, NORN_PLAN_SECTIONS_MAX);
    if (header->file_bytes != bytes.count)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: header: the file has %zu bytes, it should have %llu; it is truncated "
                         "or was appended to",
                         name, bytes.count, (unsigned long long)header->file_bytes);
    return NORN_OK;
}

/// -1: not one of ours.
static int known_section(const norn_plan_entry *entry) {
    for (int i = 0; i < NORN_SECTION_COUNT; i++)
        if (strncmp(entry->name, norn_plan_section_kinds[i].name, sizeof entry->name) == 0)
            return i;
    return -1;
}

/// A required one must be read; an optional one that this Norn cannot read is as if not there.
static norn_status cannot_read(const norn_plan_entry *entry, const char *name, const char *why) {
    if (!entry->required) return NORN_OK;
    return norn_fail(NORN_FAILED_PRECONDITION,
                     "%s: section '%.*s': %s; the plan was made by a later Norn: compile it again, "
                     "or use that one",
                     name, (int)sizeof entry->name, entry->name, why);
}

static norn_status check_section(norn_span bytes, const char *name, const norn_plan_entry *entry,
                                 norn_pool *pool, norn_alloc alloc, norn_span *out) {
    uint64_t hash;
    const int label = (int)sizeof entry->name;
    if (out->bytes)
        return norn_fail(NORN_DATA_LOSS, "%s: section '%.*s' is there twice", name, label,
                         entry->name);
    if (entry->offset % NORN_PLAN_PAGE != 0 || entry->offset < NORN_PLAN_PAGE ||
        !norn_span_slice(bytes, entry->offset, entry->bytes, out))
        return norn_fail(NORN_DATA_LOSS, "%s: section '%.*s': its place in the file is wrong", name,
                         label, entry->name);
    NORN_TRY(norn_tree_hash_of(*out, pool, alloc, &hash));
    if (hash != entry->hash)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: section '%.*s': its hash is wrong, the file is corrupt", name, label,
                         entry->name);
    return NORN_OK;
}

static norn_status check_sections(norn_span bytes, const char *name, const norn_plan_header *header,
                                  norn_pool *pool, norn_alloc alloc, norn_plan_parts *out) {
    for (uint32_t i = 0; i < header->section_count; i++) {
        const norn_plan_entry *entry = &header->section[i];
        const int kind = known_section(entry);
        if (kind < 0)
            NORN_TRY(cannot_read(entry, name, "this Norn does not know it"));
        else if (entry->version > norn_plan_section_kinds[kind].version)
            NORN_TRY(cannot_read(entry, name, "it is of a later version"));
        else
            NORN_TRY(check_section(bytes, name, entry, pool, alloc, &out->section[kind]));
        if (kind >= 0) out->version[kind] = entry->version;
    }
    for (int i = 0; i < NORN_SECTION_COUNT; i++)
        if (norn_plan_section_kinds[i].required && !out->section[i].bytes)
            return norn_fail(NORN_DATA_LOSS, "%s: header: section '%s' is missing", name,
                             norn_plan_section_kinds[i].name);
    return NORN_OK;
}

norn_status norn_plan_file_check(norn_span bytes, const char *name, norn_alloc alloc,
                                 norn_plan_parts *out) {
    norn_plan_header header;
    norn_pool *pool = NULL;
    *out = (norn_plan_parts){0};
    NORN_TRY(check_header(bytes, name, &header));
    memcpy(out->stamp, header.stamp, sizeof out->stamp - 1);
    if (bytes.count > THREADED_BYTES) NORN_TRY(norn_pool_create(0, alloc, &pool));
    const norn_status status = check_sections(bytes, name, &header, pool, alloc, out);
    norn_pool_destroy(pool);
    return status;
}
