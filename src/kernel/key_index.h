/// An open-addressing hash from int64 keys to row numbers, in groups of 16 with a tag byte for each
/// slot: one 16-byte comparison finds the slots of a group that may hold the key.
///
/// Memory   17 bytes a slot, at most 7/8 full: 19.5 bytes a key for a known number of keys.
/// Threads  find: any, at once; add: one, with no find beside it. What norn_key_index_at gives may be
///          stored to beside finds.
/// Source   the layout of Abseil's "Swiss tables" (https://abseil.io/about/design/swisstables)
#ifndef NORN_KERNEL_KEY_INDEX_H
#define NORN_KERNEL_KEY_INDEX_H

#include "base/status.h"
#include "kernel/tag_group.h"
#include "norn/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NORN_NO_ROW UINT64_MAX

typedef struct norn_key_slot {
    int64_t key;
    _Atomic uint64_t row;
} norn_key_slot;

typedef struct norn_key_index {
    norn_alloc alloc;
    uint8_t *tags; ///< 16 a group; 0x80 is empty, else 7 bits of the hash
    norn_key_slot *slots;
    uint64_t group_count;
    uint64_t count, limit; ///< keys; how many until it grows
} norn_key_index;

/// Room for `count` keys without growing.
norn_status norn_key_index_init(norn_key_index *index, uint64_t count,
                                norn_alloc alloc) NORN_NODISCARD;
void norn_key_index_deinit(norn_key_index *index);

/// Add `key`, or find it: *row is set to its row and *added to false when it was there.
norn_status norn_key_index_add(norn_key_index *index, int64_t key, uint64_t *row,
                               bool *added) NORN_NODISCARD;
/// Where the row of a key stands, NULL when it is not there: a store with release order changes what
/// later finds give, until the next add.
_Atomic uint64_t *norn_key_index_at(norn_key_index *index, int64_t key);
/// No keys; it keeps its room.
void norn_key_index_clear(norn_key_index *index);
/// rows[i] is the row of keys[i], NORN_NO_ROW where there is none. Prefetches in batches.
void norn_key_index_find(const norn_key_index *index, const int64_t *keys, int64_t count,
                         uint64_t *rows);
/// The next key from slot *cursor (begins at 0) on, which moves behind it; false when there are no more.
/// Any number below norn_key_index_slots can be begun at.
bool norn_key_index_next(const norn_key_index *index, uint64_t *cursor, int64_t *key,
                         uint64_t *row);
static inline uint64_t norn_key_index_slots(const norn_key_index *index) {
    return index->group_count * NORN_TAG_GROUP;
}
/// For keys that are looked for soon: ask memory for their tags; and, a little later, when the tags
/// have come, for the slots that most likely hold them.
void norn_key_index_ask_tags(const norn_key_index *index, const int64_t *keys, int64_t count);
void norn_key_index_ask_slots(const norn_key_index *index, const int64_t *keys, int64_t count);
size_t norn_key_index_bytes(const norn_key_index *index);
uint64_t norn_key_index_bytes_for(uint64_t count); ///< what one of so many keys will take

#endif
