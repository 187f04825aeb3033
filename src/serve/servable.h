/// What requests are sent to: a version of a model now, and whatever else answers requests. A small
/// table of calls, and plain data that protocols and pages show. Whoever implements it has a
/// norn_servable as its first member (model/model_version.h).
///
/// Threads  all calls from any thread. Counted: a request in flight keeps its servable alive.
#ifndef NORN_SERVE_SERVABLE_H
#define NORN_SERVE_SERVABLE_H

#include "norn/plan.h"
#include "serve/observe/stats.h"
#include "serve/request.h"
#include "store/cache/cache_tier.h"
#include "store/log/follower.h"

#include <stdatomic.h>
#include <stdbool.h>

/// What a table of a servable has counted.
typedef struct norn_table_stat {
    const char *table;
    bool refuses;           ///< a key without a row fails its request, else gets the default row
    uint64_t missing, late; ///< keys that had no row; whose row did not come in time
} norn_table_stat;
typedef void (*norn_table_stat_fn)(void *context, const norn_table_stat *stat);

typedef struct norn_servable_calls {
    /// Check a request, and bring its inputs and outputs into the order of the ports.
    /// Errors   INVALID_ARGUMENT naming the tensor; the request stays the caller's.
    norn_status (*admit)(norn_servable *servable, norn_request *request);
    /// Takes an admitted request, which ends with norn_servable_finish, here already or later on
    /// any thread.
    void (*enqueue)(norn_servable *servable, norn_request *request);
    /// The last reference is gone; whatever takes long is done elsewhere. Any thread.
    void (*release)(norn_servable *servable);
    int64_t (*pending)(const norn_servable *servable); ///< requests that wait; NULL: none ever do
    void (*tables)(norn_servable *servable, norn_table_stat_fn visit,
                   void *context); ///< NULL: it has none
    /// How it stands in its delta log; false: it follows none. NULL: it cannot.
    bool (*follow)(norn_servable *servable, norn_follower_stat *out);
    /// Keys that its tables' tier had in memory, and had not; false: all rows are in memory. NULL: so.
    bool (*cached)(norn_servable *servable, norn_cache_stat *out);
} norn_servable_calls;

struct norn_servable {
    const norn_servable_calls *calls;
    _Atomic int64_t references;
    const char *name; ///< the model's; lives as long as the servable
    int64_t version;
    const norn_port *const *inputs, *const *outputs;
    uint32_t input_count, output_count;
    /// Dim 0 of every input and output is the batch, of rows that stand for themselves: what
    /// clients read as a batch dimension.
    bool batches;
    bool joins;       ///< requests are run together
    int64_t max_rows; ///< largest batch; larger requests are split
    norn_stats stats;
};

/// Ports by name; -1 if there is none.
int32_t norn_servable_input_find(const norn_servable *servable, const char *name);
int32_t norn_servable_output_find(const norn_servable *servable, const char *name);

norn_servable *norn_servable_retain(norn_servable *servable);
void norn_servable_release(norn_servable *servable); ///< takes NULL

/// For implementations: the request has its answer, or its status says why not. Counts it and calls
/// `done`, after which it may be gone.
void norn_servable_finish(norn_servable *servable, norn_request *request);
/// For protocols: count a request that was refused before it was taken. Without a servable nobody
/// is there to count it.
void norn_servable_count_refused(norn_request *request, norn_status status);

#endif
