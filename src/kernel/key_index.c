#include "kernel/key_index.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/memory.h"

#include <string.h>

enum { FULL_OF_16 = 14, BATCH = 32 };

static inline uint64_t group_after(const norn_key_index *index, uint64_t group) {
    return group + 1 < index->group_count ? group + 1 : 0;
}
/// The group that a key is looked for in first.
static inline uint64_t group_of(const norn_key_index *index, uint64_t hash) {
    return norn_tag_group_of(hash, index->group_count);
}

// ---- making

static norn_status take(norn_key_index *index, uint64_t groups, norn_alloc alloc) {
    size_t slots, bytes;
    void *tags, *memory;
    *index = (norn_key_index){.alloc = alloc, .group_count = groups, .limit = groups * FULL_OF_16};
    if (!norn_size_mul(groups, NORN_TAG_GROUP, &slots) ||
        !norn_size_mul(slots, sizeof *index->slots, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: a table of %llu keys",
                         (unsigned long long)index->limit);
    NORN_TRY(norn_alloc_bytes(alloc, slots, &tags));
    norn_status status = norn_alloc_bytes(alloc, bytes, &memory);
    if (status != NORN_OK) {
        norn_free(alloc, tags);
        return status;
    }
    norn_memory_huge(tags, slots);
    norn_memory_huge(memory, bytes);
    memset(tags, NORN_TAG_EMPTY, slots);
    index->tags = tags;
    index->slots = memory;
    return NORN_OK;
}

static uint64_t groups_for(uint64_t count) {
    return count / FULL_OF_16 + (count % FULL_OF_16 != 0 || count == 0);
}

norn_status norn_key_index_init(norn_key_index *index, uint64_t count, norn_alloc alloc) {
    return take(index, groups_for(count), alloc);
}

void norn_key_index_deinit(norn_key_index *index) {
    if (!index->alloc.release) return;
    norn_free(index->alloc, index->tags);
    norn_free(index->alloc, index->slots);
    *index = (norn_key_index){0};
}

void norn_key_index_clear(norn_key_index *index) {
    memset(index->tags, NORN_TAG_EMPTY, (size_t)index->group_count * NORN_TAG_GROUP);
    index->count = 0;
}

uint64_t norn_key_index_bytes_for(uint64_t count) {
    return groups_for(count) * NORN_TAG_GROUP * (sizeof(norn_key_slot) + 1);
}

size_t norn_key_index_bytes(const norn_key_index *index) {
    return (size_t)index->group_count * NORN_TAG_GROUP * (sizeof(norn_key_slot) + 1);
}

// ---- adding

/// Put a key that is not there into the first free slot of its probe sequence.
static void put(norn_key_index *index, int64_t key, uint64_t row) {
    const uint64_t hash = norn_hash_key(key);
    for (uint64_t group = group_of(index, hash);; group = group_after(index, group)) {
        uint32_t free_slots = norn_tag_match(index->tags + group * NORN_TAG_GROUP, NORN_TAG_EMPTY);
        if (free_slots) {
            uint64_t slot = group * NORN_TAG_GROUP + (uint64_t)__builtin_ctz(free_slots);
            index->tags[slot] = norn_tag_of(hash);
            index->slots[slot].key = key;
            atomic_init(&index->slots[slot].row, row);
            return;
        }
    }
}

static norn_status grow(norn_key_index *index) {
    norn_key_index bigger;
    NORN_TRY(take(&bigger, index->group_count * 2, index->alloc));
    for (uint64_t slot = 0; slot < index->group_count * NORN_TAG_GROUP; slot++)
        if (index->tags[slot] != NORN_TAG_EMPTY)
            put(&bigger, index->slots[slot].key, index->slots[slot].row);
    bigger.count = index->count;
    norn_key_index_deinit(index);
    *index = bigger;
    return NORN_OK;
}

/// NULL when it is not there: a probe ends at the first group with an empty slot.
static inline norn_key_slot *slot_of(const norn_key_index *index, int64_t key, uint64_t hash) {
    for (uint64_t group = group_of(index, hash);; group = group_after(index, group)) {
        const uint8_t *tags = index->tags + group * NORN_TAG_GROUP;
        for (uint32_t bits = norn_tag_match(tags, norn_tag_of(hash)); bits; bits &= bits - 1) {
            norn_key_slot *slot =
                &index->slots[group * NORN_TAG_GROUP + (uint64_t)__builtin_ctz(bits)];
            if (slot->key == key) return slot;
        }
        if (norn_tag_match(tags, NORN_TAG_EMPTY)) return NULL;
    }
}

static inline uint64_t find_one(const norn_key_index *index, int64_t key, uint64_t hash) {
    const norn_key_slot *slot = slot_of(index, key, hash);
    return slot ? atomic_load_explicit(&slot->row, memory_order_acquire) : NORN_NO_ROW;
}

_Atomic uint64_t *norn_key_index_at(norn_key_index *index, int64_t key) {
    norn_key_slot *slot = slot_of(index, key, norn_hash_key(key));
    return slot ? &slot->row : NULL;
}

norn_status norn_key_index_add(norn_key_index *index, int64_t key, uint64_t *row, bool *added) {
    uint64_t found = find_one(index, key, norn_hash_key(key));
    *added = found == NORN_NO_ROW;
    if (!*added) {
        *row = found;
        return NORN_OK;
    }
    if (index->count == index->limit) NORN_TRY(grow(index));
    put(index, key, *row);
    index->count++;
    return NORN_OK;
}

// ---- finding

// A key costs two cache misses, its tags and its slot. Over a batch these overlap: tags are asked for
// first, then the slot that most likely holds the key, then keys are compared.

static inline void ask_tags(const norn_key_index *index, uint64_t hash) {
    __builtin_prefetch(index->tags + group_of(index, hash) * NORN_TAG_GROUP);
}

static inline void ask_slot(const norn_key_index *index, uint64_t hash) {
    const uint64_t group = group_of(index, hash);
    const uint32_t bits = norn_tag_match(index->tags + group * NORN_TAG_GROUP, norn_tag_of(hash));
    if (bits)
        __builtin_prefetch(&index->slots[group * NORN_TAG_GROUP + (uint64_t)__builtin_ctz(bits)]);
}

void norn_key_index_ask_tags(const norn_key_index *index, const int64_t *keys, int64_t count) {
    for (int64_t i = 0; i < count; i++) ask_tags(index, norn_hash_key(keys[i]));
}

void norn_key_index_ask_slots(const norn_key_index *index, const int64_t *keys, int64_t count) {
    for (int64_t i = 0; i < count; i++) ask_slot(index, norn_hash_key(keys[i]));
}

static void find_batch(const norn_key_index *index, const int64_t *keys, int64_t count,
                       uint64_t *rows) {
    uint64_t hashes[BATCH];
    for (int64_t i = 0; i < count; i++) {
        hashes[i] = norn_hash_key(keys[i]);
        ask_tags(index, hashes[i]);
    }
    for (int64_t i = 0; i < count; i++) ask_slot(index, hashes[i]);
    for (int64_t i = 0; i < count; i++) rows[i] = find_one(index, keys[i], hashes[i]);
}

void norn_key_index_find(const norn_key_index *index, const int64_t *keys, int64_t count,
                         uint64_t *rows) {
    for (int64_t at = 0; at < count; at += BATCH)
        find_batch(index, keys + at, count - at < BATCH ? count - at : BATCH, rows + at);
}

// ---- all of them

bool norn_key_index_next(const norn_key_index *index, uint64_t *cursor, int64_t *key,
                         uint64_t *row) {
    for (; *cursor < index->group_count * NORN_TAG_GROUP; *cursor += 1) {
        if (index->tags[*cursor] == NORN_TAG_EMPTY) continue;
        const norn_key_slot *slot = &index->slots[(*cursor)++];
        *key = slot->key;
        *row = atomic_load_explicit(&slot->row, memory_order_acquire);
        return true;
    }
    return false;
}
