/// A store as the layers above see it: facts of its tables, for metrics and messages.
#ifndef NORN_STORE_STORE_INTERNAL_H
#define NORN_STORE_STORE_INTERNAL_H

#include "norn/store.h"
#include "store/table.h"

typedef struct norn_store_stat {
    const char *name, *source;
    norn_dtype dtype;
    int64_t dim, rows;
    bool dense;
    size_t index_bytes;
    uint64_t missing; ///< lookups so far that found no row
} norn_store_stat;

/// Tables of a snapshot that a store made, in order of name.
/// Strings are borrowed from the snapshot.
size_t norn_snapshot_table_count(const norn_snapshot *snapshot);
norn_store_stat norn_snapshot_table_stat(const norn_snapshot *snapshot, size_t index);

#endif
