/// The read side of a table in host memory: rows of a full version where its file was read to, and
/// beside them the rows that deltas wrote, each with its step in front. A reader of step S finds of
/// every key the newest row of a step up to S, without a lock, while one writer adds newer ones.
///
/// A row of a delta never changes and never moves: its key's entry is swapped, and leads on to the
/// row that was before. The full version is step 0; its keys' index is never added to (that keeps
/// probing as fast as it is): keys that only deltas have are in `added`, asked for last.
///
/// Memory   what is found is valid while the reader's pin holds its step.
/// Threads  reading: any, beside the one writer (store/host/host_table.h).
#ifndef NORN_KERNEL_HOST_ROWS_H
#define NORN_KERNEL_HOST_ROWS_H

#include "kernel/key_index.h"

typedef struct norn_row_version norn_row_version;
struct norn_row_version {
    uint64_t step;
    norn_row_version *_Atomic older; ///< NULL: what comes before is row `base`
    uint64_t base;                   ///< of the full version; NORN_NO_ROW: it lacks the key
    bool deleted;                    ///< no bytes count
    bool pending, replaced;          ///< the writer's: not committed; nor is a newer one
    int64_t key;                     ///< the writer's
    norn_row_version *next;          ///< the writer's lists
    uint64_t retired;                ///< the writer's: epoch
    uint64_t reserved;
    // row_bytes follow
};
_Static_assert(sizeof(norn_row_version) == 64, "rows keep the alignment of what holds them");

/// Keys that only deltas have: open addressing, a power of two of slots, at most half full.
typedef struct norn_added_slot {
    norn_row_version *_Atomic newest; ///< NULL: free, a search ends here
    int64_t key;                      ///< written before `newest`
} norn_added_slot;

typedef struct norn_added_keys {
    uint64_t mask, count;
    norn_added_slot slots[];
} norn_added_keys;

typedef struct norn_host_rows {
    const char *rows; ///< of the full version, row_bytes apart
    uint64_t row_count;
    uint64_t row_bytes;
    bool dense;                                ///< key i has row i; else the index says
    norn_key_index index;                      ///< not of a dense table
    norn_row_version *_Atomic *_Atomic newest; ///< dense, by row; NULL: no row has changed
    norn_added_keys *_Atomic added;            ///< NULL: no key was added
} norn_host_rows;

/// An entry of `index` is a row number, or leads to a norn_row_version.
#define NORN_ROW_CHANGED (UINT64_C(1) << 63)
static inline uint64_t norn_row_place(const norn_row_version *version) {
    return (uint64_t)(uintptr_t)version | NORN_ROW_CHANGED;
}
static inline norn_row_version *norn_row_version_at(uint64_t place) {
    return (norn_row_version *)(uintptr_t)(place & ~NORN_ROW_CHANGED);
}
static inline void *norn_row_version_bytes(const norn_row_version *version) {
    return (void *)(uintptr_t)(version + 1);
}

/// `count` rows at `rows`, which are borrowed until deinit: keys[i] for row i, or keys 0 to count - 1
/// when `keys` is NULL. Deinit frees the index alone: what deltas added is its writer's.
/// Errors   INVALID_ARGUMENT: a key comes twice, says which; RESOURCE_EXHAUSTED
norn_status norn_host_rows_init(norn_host_rows *table, const int64_t *keys, const void *rows,
                                int64_t count, int64_t row_bytes, norn_alloc alloc) NORN_NODISCARD;
void norn_host_rows_deinit(norn_host_rows *table);
size_t norn_host_rows_index_bytes(const norn_host_rows *table);

typedef struct norn_row_found {
    const void *row; ///< NULL: absent or deleted
    uint64_t step;   ///< that wrote or deleted it; 0: the full version
    bool deleted;
} norn_row_found;

/// rows[i] is the row of keys[i] as of `step`, NULL where there is none. Wait-free; prefetches.
void norn_host_rows_find(const norn_host_rows *table, uint64_t step, const int64_t *keys,
                         int64_t count, const void **rows);
/// The same of one key, with what is known of its row.
norn_row_found norn_host_rows_get(const norn_host_rows *table, uint64_t step, int64_t key);
/// The slot of `key`, or the free one where it would go. `added` is never full.
norn_added_slot *norn_added_slot_of(norn_added_keys *added, int64_t key);

/// A key of the full version, by a random number; it has at least one row.
int64_t norn_host_rows_draw(const norn_host_rows *table, uint64_t random);
/// Every row as of `step`, a run at a time: keys and rows from `*cursor` (begins at 0), at most
/// `most`; 0 when there are no more.
int64_t norn_host_rows_list(const norn_host_rows *table, uint64_t step, uint64_t *cursor,
                            int64_t most, int64_t *keys, const void **rows);

#endif
