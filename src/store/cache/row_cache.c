#include "store/cache/row_cache.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/memory.h"
#include "kernel/tag_group.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { USES_MAX = 255 };

/// Rows of set s, slot i lie at rows + (16 s + i) row_bytes.
struct norn_row_set {
    uint8_t tags[NORN_TAG_GROUP]; ///< NORN_TAG_EMPTY, else 7 bits of the hash
    uint8_t uses[NORN_TAG_GROUP]; ///< lately: halved once as many rows had to go as there are
    uint8_t gone;                 ///< since then
    atomic_flag lock;
    int64_t keys[NORN_TAG_GROUP];
    uint64_t steps[NORN_TAG_GROUP];
};

// ---- where a key is

typedef struct place {
    norn_row_set *set;
    char *rows;
    uint8_t tag;
} place;

static place place_of(const norn_row_cache *cache, int64_t key) {
    const uint64_t hash = norn_hash_key(key), set = norn_tag_group_of(hash, cache->set_count);
    return (place){&cache->sets[set], cache->rows + set * NORN_TAG_GROUP * cache->row_bytes,
                   norn_tag_of(hash)};
}

/// Held.
static int slot_of(const place *at, int64_t key) {
    for (uint32_t bits = norn_tag_match(at->set->tags, at->tag); bits; bits &= bits - 1) {
        const int slot = __builtin_ctz(bits);
        if (at->set->keys[slot] == key) return slot;
    }
    return -1;
}

static void lock(norn_row_set *set) {
    while (atomic_flag_test_and_set_explicit(&set->lock, memory_order_acquire)) {
#if defined(__SSE2__)
        _mm_pause();
#endif
    }
}

static void unlock(norn_row_set *set) {
    atomic_flag_clear_explicit(&set->lock, memory_order_release);
}

// ---- reading

void norn_row_cache_ask(const norn_row_cache *cache, int64_t key) {
    if (cache->set_count == 0) return;
    const norn_row_set *set = place_of(cache, key).set;
    __builtin_prefetch(set);
    __builtin_prefetch(set->keys + 4); // keys begin in the first line
    __builtin_prefetch(set->keys + 12);
}

bool norn_row_cache_get(norn_row_cache *cache, uint64_t step, int64_t key, void *out,
                        uint64_t *row_step) {
    if (cache->set_count == 0) return false;
    const place at = place_of(cache, key);
    lock(at.set);
    const int slot = slot_of(&at, key);
    const bool found = slot >= 0 && at.set->steps[slot] <= step;
    if (found) {
        if (at.set->uses[slot] < USES_MAX) at.set->uses[slot]++;
        *row_step = at.set->steps[slot];
        memcpy(out, at.rows + (size_t)slot * cache->row_bytes, cache->row_bytes);
    }
    unlock(at.set);
    return found;
}

// ---- writing

/// A free slot, else that of the row least used.
static int make_room(norn_row_set *set) {
    const uint32_t free_slots = norn_tag_match(set->tags, NORN_TAG_EMPTY);
    int least = 0;
    if (free_slots) return __builtin_ctz(free_slots);
    for (int i = 1; i < NORN_TAG_GROUP; i++)
        if (set->uses[i] < set->uses[least]) least = i;
    if (++set->gone == NORN_TAG_GROUP) {
        set->gone = 0;
        for (int i = 0; i < NORN_TAG_GROUP; i++) set->uses[i] /= 2;
    }
    return least;
}

void norn_row_cache_put(norn_row_cache *cache, const _Atomic uint64_t *visible, uint64_t read_at,
                        int64_t key, uint64_t row_step, const void *row) {
    if (cache->set_count == 0) return;
    const place at = place_of(cache, key);
    lock(at.set);
    // Whoever makes another step visible says so first and then comes to this set.
    if (atomic_load_explicit(visible, memory_order_acquire) == read_at && slot_of(&at, key) < 0) {
        const int slot = make_room(at.set);
        at.set->tags[slot] = at.tag;
        at.set->uses[slot] = 1;
        at.set->keys[slot] = key;
        at.set->steps[slot] = row_step;
        memcpy(at.rows + (size_t)slot * cache->row_bytes, row, cache->row_bytes);
    }
    unlock(at.set);
}

void norn_row_cache_update(norn_row_cache *cache, int64_t key, uint64_t row_step, const void *row) {
    if (cache->set_count == 0) return;
    const place at = place_of(cache, key);
    lock(at.set);
    const int slot = slot_of(&at, key);
    if (slot >= 0 && !row) at.set->tags[slot] = NORN_TAG_EMPTY;
    if (slot >= 0 && row) {
        at.set->steps[slot] = row_step;
        memcpy(at.rows + (size_t)slot * cache->row_bytes, row, cache->row_bytes);
    }
    unlock(at.set);
}

// ---- life

norn_status norn_row_cache_init(norn_row_cache *cache, uint64_t rows, size_t row_bytes,
                                size_t bytes, norn_alloc alloc) {
    const size_t each = sizeof(norn_row_set) + NORN_TAG_GROUP * row_bytes;
    uint64_t sets = bytes / each;
    void *memory;
    *cache = (norn_row_cache){.alloc = alloc, .row_bytes = row_bytes};
    if (sets > rows / NORN_TAG_GROUP * 9 / 8 + 1)
        sets = rows / NORN_TAG_GROUP * 9 / 8 + 1; // sets fill unevenly
    if (sets > UINT32_MAX) sets = UINT32_MAX;
    if (sets == 0) return NORN_OK;
    NORN_TRY(norn_alloc_bytes(alloc, sets * sizeof *cache->sets, &memory));
    norn_memory_huge(memory, sets * sizeof *cache->sets);
    cache->sets = memory;
    const norn_status status = norn_alloc_bytes(alloc, sets * NORN_TAG_GROUP * row_bytes, &memory);
    if (status != NORN_OK) {
        norn_row_cache_deinit(cache);
        return status;
    }
    norn_memory_huge(memory, sets * NORN_TAG_GROUP * row_bytes);
    cache->rows = memory;
    for (uint64_t s = 0; s < sets; s++) {
        memset(cache->sets[s].tags, NORN_TAG_EMPTY, NORN_TAG_GROUP);
        memset(cache->sets[s].uses, 0, NORN_TAG_GROUP);
        cache->sets[s].gone = 0;
        atomic_flag_clear(&cache->sets[s].lock);
    }
    cache->set_count = sets;
    return NORN_OK;
}

void norn_row_cache_deinit(norn_row_cache *cache) {
    if (!cache->alloc.release) return;
    norn_free(cache->alloc, cache->sets);
    norn_free(cache->alloc, cache->rows);
    *cache = (norn_row_cache){0};
}
