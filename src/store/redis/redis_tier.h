/// The Redis tier: versions whose rows lie in a Redis Cluster (or one plain server), for tables that
/// outgrow a machine. It uses only commands that Redis, Valkey and Kvrocks share. DURABLE as the
/// servers are: versions are there after an open, for every process that opens the tier.
///
/// Keys     `NAMESPACE VERSION : TABLE : {TAG} : BUCKET`, as in `n7:0:{b2}:41`. A row belongs to one of
///          P partitions by its key's hash, and the tag puts partition p into slot p * 16384 / P, so
///          that its rows and its cut (`n7:{b2}:cut`) are on one master and change in one MULTI/EXEC.
///          Where the servers keep hashes of long values compact (hash-max-listpack-value) a bucket
///          is a hash of some 16 rows, which saves about a hundred bytes a row; else a row is a
///          string. Each table is one or the other from its load on; the log says which and why.
/// Steps    A shared tier is row-atomic, not step-atomic: a commit goes to the partitions one by one,
///          so a pin holds the version and says the step at which it stood, but rows of steps after
///          it can show. Each row says its step; those after the pin's are counted (`skewed`).
///          Nothing is seen of what is applied before its commit.
/// Loss     A failover can take the last writes of a master with it. Then the cuts of its partitions
///          are older than the version's: `found` and `cut` give the least. A writer that meets it
///          gets DATA_LOSS from apply and commit until it has asked `cut`, and replays its log from
///          there. Nothing is written to a master that took over before its cuts have been read.
/// Failure  A fetch waits for servers that are away until its deadline; rows that did not come are
///          late. Without a deadline it fails after `fetch_patience_ms` (UNAVAILABLE). Only fetches
///          that need rows of such a server meet it. While a slot moves between masters its rows are
///          read as ever; a commit into it waits until it has moved, at most `write_patience_ms`.
/// Dropping is in the background, and goes on after the next open. It takes the version from other
///          processes as well, whose rows are absent then; their logs say so.
/// Memory   What hiredis takes does not come from the allocator.
/// Threads  two of its own: one for all connections, one that drops versions and follows the steps
///          of versions that others write. `done` of a fetch is called on the first.
#ifndef NORN_STORE_REDIS_TIER_H
#define NORN_STORE_REDIS_TIER_H

#include "store/tier.h"

/// Zero is a default.
typedef struct norn_redis_options {
    /// Some of the cluster's nodes, "HOST:PORT,HOST:PORT"; it says itself what others there are. Names
    /// are looked up on the thread of the connections, so addresses are better.
    const char *nodes;
    /// What its keys begin with: letters, digits, '-', '_' and '.', not ending in a digit. Default "n".
    const char *name_space;
    /// Of versions that are loaded from now on: a power of two, at most 16384. Default 1024: each is
    /// written at every commit, and a slot that moves holds one of them up.
    uint32_t partitions;
    /// Until a connection is there. Default 1000.
    int32_t connect_timeout_ms;
    /// A server that owes an answer and sends nothing for so long is given up and asked again.
    /// Default 1000: far above any stall of a server that lives.
    int32_t command_timeout_ms;
    /// How long a fetch without a deadline tries. Default 5000.
    int32_t fetch_patience_ms;
    /// How long everything else tries: a failover by the cluster's own default takes 15 s. Default
    /// 30000.
    int32_t write_patience_ms;
    /// The most that one step may have. Default 1 GiB: it is in memory until it is committed.
    size_t step_bytes;
    /// Fetches go to replicas too: more servers share them, and rows can be a moment older.
    bool replica_reads;
} norn_redis_options;

/// Opens the tier; one of the nodes must answer.
/// Errors   UNIMPLEMENTED: built without hiredis; INVALID_ARGUMENT: options; UNAVAILABLE: none of the
///          nodes answers; RESOURCE_EXHAUSTED
norn_status norn_redis_tier_open(const norn_redis_options *options, norn_alloc alloc,
                                 norn_tier **out) NORN_NODISCARD;

/// Counts since the open.
typedef struct norn_redis_stat {
    uint64_t calls;   ///< that servers answered
    uint64_t skewed;  ///< rows newer than their pin
    uint64_t moved;   ///< calls that were sent elsewhere because their slot had moved
    uint64_t asked;   ///< or was moving
    uint64_t retried; ///< calls that waited: no connection, a slot in two places, a server starting
    uint64_t connected; ///< connections made
    uint64_t broken;    ///< connections lost, given up or refused
} norn_redis_stat;
norn_redis_stat norn_redis_tier_stat(norn_tier *tier);

#endif
