/// Snapshots that a store makes: a pin of each version that its tables are of, and their bindings.
#ifndef NORN_STORE_STORE_SNAPSHOT_H
#define NORN_STORE_STORE_SNAPSHOT_H

#include "store/snapshot.h"
#include "store/tier.h"

/// What a store and its snapshots share, so that a snapshot outlives its store. Counted.
typedef struct norn_store_home {
    atomic_uint references;
    norn_alloc alloc;
    norn_tier *tier;
    char *model; ///< "" until it is named
} norn_store_home;

norn_status norn_store_home_create(norn_alloc alloc, norn_store_home **out) NORN_NODISCARD;
void norn_store_home_release(norn_store_home *home);
/// Named once; a later name does not change it.
norn_status norn_store_home_name(norn_store_home *home, const char *model) NORN_NODISCARD;

typedef struct norn_store_snapshot_maker {
    struct store_snapshot *snapshot;
} norn_store_snapshot_maker;

/// In this order: begin, pin each version (newest first), add each table in order of name, end.
norn_status norn_store_snapshot_begin(norn_store_home *home, size_t versions, size_t tables,
                                      norn_alloc alloc,
                                      norn_store_snapshot_maker *out) NORN_NODISCARD;
norn_status norn_store_snapshot_pin(norn_store_snapshot_maker *maker,
                                    norn_version *version) NORN_NODISCARD;
void norn_store_snapshot_add(norn_store_snapshot_maker *maker, const norn_version *version,
                             uint32_t table);
/// NULL when `status` is an error: then what was begun is freed.
norn_snapshot *norn_store_snapshot_end(norn_store_snapshot_maker *maker, norn_status status);

#endif
