/// A store as the layers above see it: its tiers and versions, for whoever applies deltas, and facts
/// of its tables, for metrics and messages.
#ifndef NORN_STORE_STORE_INTERNAL_H
#define NORN_STORE_STORE_INTERNAL_H

#include "norn/store.h"
#include "store/elsewhere.h"
#include "store/snapshot.h"
#include "store/tier.h"

/// The same as norn_store_open_dir, as version `number` of `model`; snapshots say so. A table of a
/// name that is there already takes its place.
/// Errors   ALREADY_EXISTS: that version is there
norn_status norn_store_open_version(norn_store *store, const char *model, uint64_t number,
                                    const char *dir) NORN_NODISCARD;
/// The tier that holds what was opened, and the newest version in it (NULL: nothing was opened).
/// Deltas go in through the tier; snapshots that are taken after a commit see them.
norn_tier *norn_store_tier(norn_store *store);
norn_version *norn_store_version(norn_store *store);

/// Offer the tables of `version` too, which a tier that is not in memory holds: runs fetch their
/// rows by `rules`, one a table of the version (NULL: all wait). A table of the same name is replaced.
/// Tier and version outlive the store and its snapshots.
norn_status norn_store_attach(norn_store *store, norn_tier *tier, norn_version *version,
                              const norn_fetch_rule *rules) NORN_NODISCARD;

typedef struct norn_store_stat {
    const char *name, *source;
    norn_dtype dtype;
    int64_t dim, rows;
    bool dense;
    size_t index_bytes;
    uint64_t missing; ///< lookups so far that found no row
    uint64_t late;    ///< keys so far that got the default row because theirs did not come in time
} norn_store_stat;

/// Tables of a snapshot that a store made, in order of name; of another's there are 0.
/// Strings are borrowed from the snapshot.
size_t norn_snapshot_table_count(const norn_snapshot *snapshot);
norn_store_stat norn_snapshot_table_stat(const norn_snapshot *snapshot, size_t index);

#endif
