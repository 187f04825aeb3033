#include "plan/plan_file.h"
#include "base/hash.h"
#include "base/memory.h"

#include <string.h>

const char *const norn_plan_section_names[NORN_SECTION_COUNT] = {"manifest", "graph", "code",
                                                                 "weights"};

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
    if (header->section_count != NORN_SECTION_COUNT)
        return norn_fail(NORN_DATA_LOSS, "%s: header: %u sections, there should be %d", name,
                         header->section_count, NORN_SECTION_COUNT);
    if (header->file_bytes != bytes.count)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: header: the file has %zu bytes, it should have %llu; it is truncated "
                         "or was appended to",
                         name, bytes.count, (unsigned long long)header->file_bytes);
    return NORN_OK;
}

static norn_status check_section(norn_span bytes, const char *name, const norn_plan_entry *entry,
                                 const char *section, norn_pool *pool, norn_alloc alloc,
                                 norn_span *out) {
    uint64_t hash;
    if (strncmp(entry->name, section, sizeof entry->name) != 0 ||
        entry->offset % NORN_PLAN_PAGE != 0 || entry->offset < NORN_PLAN_PAGE ||
        !norn_span_slice(bytes, entry->offset, entry->bytes, out))
        return norn_fail(NORN_DATA_LOSS, "%s: section '%s': its place in the file is wrong", name,
                         section);
    NORN_TRY(norn_tree_hash_of(*out, pool, alloc, &hash));
    if (hash != entry->hash)
        return norn_fail(NORN_DATA_LOSS, "%s: section '%s': its hash is wrong, the file is corrupt",
                         name, section);
    return NORN_OK;
}

norn_status norn_plan_file_check(norn_span bytes, const char *name, norn_alloc alloc,
                                 norn_span sections[NORN_SECTION_COUNT]) {
    norn_plan_header header;
    norn_pool *pool = NULL;
    norn_status status;
    NORN_TRY(check_header(bytes, name, &header));
    // Threads are worth their start only for large weights.
    if (bytes.count > 16u << 20) NORN_TRY(norn_pool_create(0, alloc, &pool));
    for (int i = 0; i < NORN_SECTION_COUNT; i++)
        NORN_TRY_DONE(check_section(bytes, name, &header.section[i], norn_plan_section_names[i],
                                    pool, alloc, &sections[i]));
done:
    norn_pool_destroy(pool);
    return status;
}
