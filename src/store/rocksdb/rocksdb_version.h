/// A version in the RocksDB tier: its column family, the views that pins hold, and what is being
/// applied to it.
#ifndef NORN_STORE_ROCKSDB_VERSION_H
#define NORN_STORE_ROCKSDB_VERSION_H

#include "store/rocksdb/rocksdb_db.h"

#include <pthread.h>

/// The database as it was when a step had become visible: all pins of the step share it. The newest
/// is there always, so that a pin costs no call of RocksDB; compactions keep what it sees.
typedef struct norn_rocksdb_view {
    const rocksdb_snapshot_t *snapshot;
    uint64_t step;
    uint64_t holders; ///< pins, and the version while it is the newest
} norn_rocksdb_view;

typedef struct norn_rocksdb_version {
    norn_version base;
    norn_rocksdb *db;
    norn_arena arena; ///< of the forms
    rocksdb_column_family_handle_t *family;
    uint64_t generation;  ///< of the column family: a number may be loaded again after its drop
    pthread_mutex_t lock; ///< of the four below; held for no call of RocksDB
    norn_rocksdb_view *newest; ///< NULL: dropped
    uint64_t visible;
    uint64_t pins;
    size_t batch_bytes;                ///< of `batch`, for accounts
    pthread_mutex_t writing;           ///< of all below
    rocksdb_writebatch_t *batch;       ///< what was applied since the last commit
    uint64_t applied;                  ///< the newest step in it; 0: none
    char *value;                       ///< room for a step and the longest row
    norn_cut cut;                      ///< of the last commit; the positions are its own
    struct norn_rocksdb_version *next; ///< the tier's
} norn_rocksdb_version;

static inline norn_rocksdb_version *norn_rocksdb_version_of(const norn_version *version) {
    return (norn_rocksdb_version *)(uintptr_t)version;
}
static inline const rocksdb_snapshot_t *norn_rocksdb_snapshot_of(const norn_pin *pin) {
    return ((const norn_rocksdb_view *)(uintptr_t)pin->epoch)->snapshot;
}

/// One without tables and without a column family yet. Its name: norn_rocksdb_family_name.
norn_status norn_rocksdb_version_create(norn_rocksdb *db, uint64_t number, uint64_t generation,
                                        norn_rocksdb_version **out) NORN_NODISCARD;
/// With the family's handle, but not the family. Takes NULL.
void norn_rocksdb_version_destroy(norn_rocksdb_version *version);
/// The family too, with all rows. Slow: it removes files.
/// Errors   of the disk: the next open of the tier removes what is left
norn_status norn_rocksdb_version_erase(norn_rocksdb_version *version) NORN_NODISCARD;

/// "NUMBER.GENERATION"
enum { NORN_ROCKSDB_NAME = 48 };
void norn_rocksdb_family_name(uint64_t number, uint64_t generation, char *out);
bool norn_rocksdb_family_parse(const char *name, uint64_t *number, uint64_t *generation);

/// Its rows are there: write its forms and the cut of a full version, and be seen from then on.
norn_status norn_rocksdb_version_begin(norn_rocksdb_version *version) NORN_NODISCARD;
/// Read the forms and the cut back. *ready false: it was not loaded to the end, or dropped.
norn_status norn_rocksdb_version_restore(norn_rocksdb_version *version, bool *ready) NORN_NODISCARD;

norn_status norn_rocksdb_version_pin(norn_rocksdb_version *version, norn_pin *out) NORN_NODISCARD;
/// True: nothing holds the version any more, and it was dropped.
bool norn_rocksdb_version_unpin(norn_rocksdb_version *version, norn_pin *pin);
/// It is not there after the next open. *last: no pin holds it now.
/// Errors   of the disk: the next open may find it again
norn_status norn_rocksdb_version_drop(norn_rocksdb_version *version, bool *last) NORN_NODISCARD;

norn_status norn_rocksdb_version_apply(norn_rocksdb_version *version,
                                       const norn_delta *delta) NORN_NODISCARD;
norn_status norn_rocksdb_version_commit(norn_rocksdb_version *version,
                                        const norn_cut *cut) NORN_NODISCARD;
void norn_rocksdb_version_abort(norn_rocksdb_version *version);
norn_status norn_rocksdb_version_fill(norn_rocksdb_version *version, const norn_fetch *fetched,
                                      uint32_t *kept) NORN_NODISCARD;
uint64_t norn_rocksdb_version_step(norn_rocksdb_version *version); ///< that is visible
void norn_rocksdb_version_stat(norn_rocksdb_version *version, norn_tier_stat *out);

#endif
