/// A thread that keeps a version of a tier at the head of a log: it applies what comes, tells its
/// owner of every new step, and where something does not fit says so and tries again. A log that is
/// not there yet is looked for.
///
/// Threads  any may ask for the stat; `stepped` is called on the follower's thread.
#ifndef NORN_STORE_LOG_FOLLOWER_H
#define NORN_STORE_LOG_FOLLOWER_H

#include "store/log/applier.h"

typedef struct norn_follower norn_follower;

/// The version stands at `step` now. `dense`: tensors that changed with it, whole; what is taken from
/// it must be taken now. An error is shown as the follower's, and the same call comes again.
typedef norn_status (*norn_follower_fn)(void *context, uint64_t step, norn_dense_set *dense);

typedef struct norn_follower_options {
    const char *url;  ///< of the log; copied
    const char *name; ///< of whom the rows are, for the process's log; copied
    norn_tier *tier;  ///< borrowed, as the version is
    norn_version *version;
    uint64_t base;
    const norn_cut *cut, *rows_cut; ///< as an applier's; copied
    norn_follower_fn stepped;
    void *context;
} norn_follower_options;

enum { NORN_FOLLOWER_ERROR_BYTES = 512 };

typedef struct norn_follower_stat {
    norn_applier_stat applied;
    bool found;                            ///< there is a log
    uint64_t errors;                       ///< times that it could not go on
    char error[NORN_FOLLOWER_ERROR_BYTES]; ///< why it cannot go on now; "": it can
} norn_follower_stat;

/// Applies what is there, at most for `catch_up_ns`, and then follows on a thread of its own.
/// A log that cannot be read is no error here: the stat says so, and it is tried again.
norn_status norn_follower_create(const norn_follower_options *options, int64_t catch_up_ns,
                                 norn_alloc alloc, norn_follower **out) NORN_NODISCARD;
/// Ends the thread; what was applied stays. Takes NULL.
void norn_follower_destroy(norn_follower *follower);
void norn_follower_stat_of(norn_follower *follower, norn_follower_stat *out);

#endif
