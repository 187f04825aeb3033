/// Puts what a log has into a version of a tier, step by step: each is applied when its seal is there
/// in all partitions, or not at all. What does not fit (a gap, a fork, a table of another width, a
/// writer of an older epoch) is an error that names it, and leaves the version at the step before.
///
/// Memory   some 2 MB a partition of the log, and what one step takes in the tier.
/// Threads  one, which writes to the tier's version alone.
#ifndef NORN_STORE_LOG_APPLIER_H
#define NORN_STORE_LOG_APPLIER_H

#include "store/log/dense_set.h"
#include "store/log/log.h"
#include "store/tier.h"

typedef struct norn_applier norn_applier;

typedef struct norn_applier_options {
    norn_delta_log *log; ///< all borrowed
    norn_tier *tier;
    norn_version *version;
    uint64_t
        base; ///< the line of training that the version is of; frames of others are passed over
    const norn_cut *cut; ///< what of the log the full version has already; NULL: nothing
    /// What of it the tier's rows have already, where they outlive the process (norn_tier_ops.cut); NULL:
    /// what `cut` says. The log is read from `cut` on all the same, for dense tensors that are in no row.
    const norn_cut *rows_cut;
    uint64_t last_step; ///< steps after it are not applied; 0: all are
} norn_applier_options;

typedef struct norn_applier_stat {
    uint64_t step;        ///< the last applied
    int64_t published_ns; ///< Unix time at which it was begun; 0: none was applied
    uint64_t epoch;
    uint64_t steps, rows, deletes, bytes; ///< applied since the start; bytes of the log
} norn_applier_stat;

/// Errors   INVALID_ARGUMENT: the cut is of another number of partitions
norn_status norn_applier_create(const norn_applier_options *options, norn_alloc alloc,
                                norn_applier **out) NORN_NODISCARD;
void norn_applier_destroy(norn_applier *applier); ///< takes NULL

/// Apply the whole steps that are there, until there are no more or CLOCK_MONOTONIC is `until_ns`.
/// After an error it stands at the last whole step, and the next call tries again from there.
/// Errors   OUT_OF_RANGE: frames were trimmed away that this version lacks: it needs a newer full
///          version; DATA_LOSS: a gap, a fork or damage; INVALID_ARGUMENT: rows that do not fit the
///          version; FAILED_PRECONDITION; UNIMPLEMENTED; those of log and tier
norn_status norn_applier_run(norn_applier *applier, int64_t until_ns) NORN_NODISCARD;
norn_applier_stat norn_applier_stat_of(const norn_applier *applier);
/// Dense tensors of the steps that were applied since they were last taken, the newest of each.
norn_dense_set *norn_applier_dense(norn_applier *applier);
/// Where it stands in the log; positions[] is the applier's.
norn_cut norn_applier_cut(const norn_applier *applier);

#endif
