/// Groups of 16 slots with a tag byte for each: one comparison finds the slots that may hold a key. What
/// an index of keys (key_index.h) and a cache of rows (store/cache/) have in common.
///
/// Source   the layout of Abseil's "Swiss tables" (https://abseil.io/about/design/swisstables)
#ifndef NORN_KERNEL_TAG_GROUP_H
#define NORN_KERNEL_TAG_GROUP_H

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { NORN_TAG_GROUP = 16, NORN_TAG_EMPTY = 0x80 };

/// Seven bits of a key's hash (norn_hash_key), none of which chooses its group.
static inline uint8_t norn_tag_of(uint64_t hash) {
    return (uint8_t)(hash >> 57);
}

/// One of any number of groups, so that memory follows the keys: the low 32 bits of the hash, scaled.
static inline uint64_t norn_tag_group_of(uint64_t hash, uint64_t group_count) {
    return (hash & UINT32_MAX) * group_count >> 32;
}

/// Bit i is set where tag i of the group equals `tag`.
static inline uint32_t norn_tag_match(const uint8_t group[NORN_TAG_GROUP], uint8_t tag) {
#if defined(__SSE2__)
    const __m128i tags = _mm_loadu_si128((const __m128i *)(const void *)group);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
#else
    uint32_t bits = 0;
    for (uint32_t i = 0; i < NORN_TAG_GROUP; i++) bits |= (uint32_t)(group[i] == tag) << i;
    return bits;
#endif
}

#endif
