/// One version of one model, being served: its plan, session, queue,
/// compute threads and statistics.
///
/// Threads  all calls from any thread. Counted: a request in flight keeps its version alive.
#ifndef NORN_SERVE_SERVED_H
#define NORN_SERVE_SERVED_H

#include "package/package_ready.h"
#include "package/row_policy.h"
#include "serve/batcher.h"
#include "serve/infer.h"
#include "serve/reaper.h"
#include "serve/stats.h"

#include <pthread.h>
#include <stdatomic.h>

struct norn_served {
    norn_alloc alloc;
    _Atomic int64_t references;
    norn_arena arena;
    const char *name;
    int64_t version;
    norn_package *package;
    norn_plan *plan; ///< the package's
    norn_session *session;
    char warning[512]; ///< why a run on made-up inputs failed, though requests may do better; or ""
    norn_row_policy rows; ///< may requests be joined, or split?
    bool *input_is_user;  ///< by input: one row is repeated for every item
    /// Dim 0 of every input and output is the batch, of rows that stand for themselves: what
    /// clients read as a batch dimension.
    bool batches;
    int64_t max_rows;         ///< largest batch; larger requests are split
    int64_t max_request_rows; ///< more are refused
    norn_batcher *batcher;
    pthread_t *threads; ///< one an instance
    int32_t thread_count;
    norn_stats stats;
    norn_reaper *reaper; ///< takes it apart; NULL: the last release does
    norn_reaped reaped;
};

/// Rows that a request may have where norn.json does not say.
enum { NORN_REQUEST_ROWS_MAX = 1 << 20 };

/// Ports of the plan by name; -1 if there is none.
int32_t norn_served_input_find(const norn_served *served, const char *name);
int32_t norn_served_output_find(const norn_served *served, const char *name);

/// Load version directory `dir`, make sure that it can answer requests, start its instances.
norn_status norn_served_create(const char *name, int64_t version, const char *dir,
                               const norn_serving_defaults *defaults, norn_alloc alloc,
                               norn_served **out) NORN_NODISCARD;
norn_served *norn_served_retain(norn_served *served);
/// From now on the last release hands it to `reaper`, which waits for it.
void norn_served_reap_with(norn_served *served, norn_reaper *reaper);
/// The last release stops the compute threads and frees, on the reaper's thread where there is one,
/// else here, and then not on one of its own compute threads.
void norn_served_release(norn_served *served);

/// Check a request against the model and bring inputs and outputs into the plan's order.
/// Errors   INVALID_ARGUMENT naming the tensor.
norn_status norn_served_admit(norn_served *served, norn_infer *infer) NORN_NODISCARD;
/// Queue an admitted request; its `done` will be called, here already when the queue is full.
void norn_served_submit(norn_served *served, norn_infer *infer);

#endif
