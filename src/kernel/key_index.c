#include "kernel/key_index.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/memory.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { GROUP = 16, FULL_OF_16 = 14, EMPTY = 0x80, BATCH = 32 };

/// Bit i is set where tag i of the group equals `tag`.
static inline uint32_t match(const uint8_t *group, uint8_t tag) {
#if defined(__SSE2__)
    __m128i tags = _mm_load_si128((const __m128i *)(const void *)group);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
#else
    uint32_t bits = 0;
    for (uint32_t i = 0; i < GROUP; i++) bits |= (uint32_t)(group[i] == tag) << i;
    return bits;
#endif
}

static inline uint64_t hash_of(int64_t key) {
    return norn_hash_u64((uint64_t)key + UINT64_C(0x9e3779b97f4a7c15));
}
static inline uint8_t tag_of(uint64_t hash) {
    return (uint8_t)(hash >> 57);
}

// ---- making

static norn_status take(norn_key_index *index, uint64_t groups, norn_alloc alloc) {
    size_t slots, bytes;
    void *tags, *memory;
    *index =
        (norn_key_index){.alloc = alloc, .group_mask = groups - 1, .limit = groups * FULL_OF_16};
    if (!norn_size_mul(groups, GROUP, &slots) ||
        !norn_size_mul(slots, sizeof *index->slots, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: a table of %llu keys",
                         (unsigned long long)index->limit);
    NORN_TRY(norn_alloc_bytes(alloc, slots, &tags));
    norn_status status = norn_alloc_bytes(alloc, bytes, &memory);
    if (status != NORN_OK) {
        norn_free(alloc, tags);
        return status;
    }
    memset(tags, EMPTY, slots);
    index->tags = tags;
    index->slots = memory;
    return NORN_OK;
}

norn_status norn_key_index_init(norn_key_index *index, uint64_t count, norn_alloc alloc) {
    uint64_t groups = 1;
    while (groups * FULL_OF_16 < count && groups < UINT64_C(1) << 48) groups *= 2;
    return take(index, groups, alloc);
}

void norn_key_index_deinit(norn_key_index *index) {
    if (!index->alloc.release) return;
    norn_free(index->alloc, index->tags);
    norn_free(index->alloc, index->slots);
    *index = (norn_key_index){0};
}

void norn_key_index_clear(norn_key_index *index) {
    memset(index->tags, EMPTY, (size_t)(index->group_mask + 1) * GROUP);
    index->count = 0;
}

size_t norn_key_index_bytes(const norn_key_index *index) {
    return (size_t)(index->group_mask + 1) * GROUP * (sizeof(norn_key_slot) + 1);
}

// ---- adding

/// Put a key that is not there into the first free slot of its probe sequence.
static void put(norn_key_index *index, int64_t key, uint64_t row) {
    uint64_t hash = hash_of(key), group = hash & index->group_mask;
    for (uint64_t step = 1;; step++) {
        uint32_t free_slots = match(index->tags + group * GROUP, EMPTY);
        if (free_slots) {
            uint64_t slot = group * GROUP + (uint64_t)__builtin_ctz(free_slots);
            index->tags[slot] = tag_of(hash);
            index->slots[slot].key = key;
            atomic_init(&index->slots[slot].row, row);
            return;
        }
        group = (group + step) & index->group_mask; // triangular: visits every group
    }
}

static norn_status grow(norn_key_index *index) {
    norn_key_index bigger;
    NORN_TRY(take(&bigger, (index->group_mask + 1) * 2, index->alloc));
    for (uint64_t slot = 0; slot < (index->group_mask + 1) * GROUP; slot++)
        if (index->tags[slot] != EMPTY)
            put(&bigger, index->slots[slot].key, index->slots[slot].row);
    bigger.count = index->count;
    norn_key_index_deinit(index);
    *index = bigger;
    return NORN_OK;
}

/// NULL when it is not there: a probe ends at the first group with an empty slot.
static inline norn_key_slot *slot_of(const norn_key_index *index, int64_t key, uint64_t hash) {
    uint64_t group = hash & index->group_mask;
    for (uint64_t step = 1;; step++) {
        const uint8_t *tags = index->tags + group * GROUP;
        for (uint32_t bits = match(tags, tag_of(hash)); bits; bits &= bits - 1) {
            norn_key_slot *slot = &index->slots[group * GROUP + (uint64_t)__builtin_ctz(bits)];
            if (slot->key == key) return slot;
        }
        if (match(tags, EMPTY)) return NULL;
        group = (group + step) & index->group_mask;
    }
}

static inline uint64_t find_one(const norn_key_index *index, int64_t key, uint64_t hash) {
    const norn_key_slot *slot = slot_of(index, key, hash);
    return slot ? atomic_load_explicit(&slot->row, memory_order_acquire) : NORN_NO_ROW;
}

_Atomic uint64_t *norn_key_index_at(norn_key_index *index, int64_t key) {
    norn_key_slot *slot = slot_of(index, key, hash_of(key));
    return slot ? &slot->row : NULL;
}

norn_status norn_key_index_add(norn_key_index *index, int64_t key, uint64_t *row, bool *added) {
    uint64_t found = find_one(index, key, hash_of(key));
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

/// A key costs two cache misses, its tags and its slot. Over a batch these overlap: tags are asked
/// for first, then the slot that most likely holds the key, then keys are compared.
static void find_batch(const norn_key_index *index, const int64_t *keys, int64_t count,
                       uint64_t *rows) {
    uint64_t hashes[BATCH];
    for (int64_t i = 0; i < count; i++) {
        hashes[i] = hash_of(keys[i]);
        __builtin_prefetch(index->tags + (hashes[i] & index->group_mask) * GROUP);
    }
    for (int64_t i = 0; i < count; i++) {
        uint64_t group = hashes[i] & index->group_mask;
        uint32_t bits = match(index->tags + group * GROUP, tag_of(hashes[i]));
        if (bits) __builtin_prefetch(&index->slots[group * GROUP + (uint64_t)__builtin_ctz(bits)]);
    }
    for (int64_t i = 0; i < count; i++) rows[i] = find_one(index, keys[i], hashes[i]);
}

void norn_key_index_find(const norn_key_index *index, const int64_t *keys, int64_t count,
                         uint64_t *rows) {
    for (int64_t at = 0; at < count; at += BATCH)
        find_batch(index, keys + at, count - at < BATCH ? count - at : BATCH, rows + at);
}
