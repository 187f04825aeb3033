/// Snapshots that a store makes: a pin of each version that its tables are of, and their bindings.
#ifndef NORN_STORE_STORE_SNAPSHOT_H
#define NORN_STORE_STORE_SNAPSHOT_H

#include "store/elsewhere.h"
#include "store/snapshot.h"

/// What a store and its snapshots share, so that a snapshot outlives its store. Counted.
typedef struct norn_store_attached norn_store_attached; ///< rules and counts of attached tables
typedef struct norn_store_home {
    atomic_uint references;
    norn_alloc alloc;
    norn_tier *tier;
    norn_store_attached *attached;
    char *model; ///< "" until it is named
} norn_store_home;

norn_status norn_store_home_create(norn_alloc alloc, norn_store_home **out) NORN_NODISCARD;
void norn_store_home_release(norn_store_home *home);
/// Named once; a later name does not change it.
norn_status norn_store_home_name(norn_store_home *home, const char *model) NORN_NODISCARD;

/// `rules` NULL: all wait. Lives as long as the home.
norn_status norn_store_home_attach(norn_store_home *home, uint32_t tables,
                                   const norn_fetch_rule *rules,
                                   norn_store_attached **out) NORN_NODISCARD;

typedef struct norn_store_snapshot_maker {
    struct store_snapshot *snapshot;
} norn_store_snapshot_maker;

/// `attached`: NULL for a table of the home's tier. In this order: begin, pin each version (newest first), add each table in order of name, end.
norn_status norn_store_snapshot_begin(norn_store_home *home, size_t versions, size_t tables,
                                      norn_alloc alloc,
                                      norn_store_snapshot_maker *out) NORN_NODISCARD;
norn_status norn_store_snapshot_pin(norn_store_snapshot_maker *maker, norn_tier *tier,
                                    norn_version *version) NORN_NODISCARD;
void norn_store_snapshot_add(norn_store_snapshot_maker *maker, const norn_version *version,
                             uint32_t table, norn_store_attached *attached);
/// NULL when `status` is an error: then what was begun is freed.
norn_snapshot *norn_store_snapshot_end(norn_store_snapshot_maker *maker, norn_status status);

#endif
