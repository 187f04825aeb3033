/// One version of one model, being served: its package, session, queue and compute threads.
///
/// Threads  all calls from any thread. Counted, as every servable.
#ifndef NORN_SERVE_MODEL_MODEL_VERSION_H
#define NORN_SERVE_MODEL_MODEL_VERSION_H

#include "package/package_ready.h"
#include "serve/model/engine.h"
#include "serve/reaper.h"
#include "serve/schedule/batch.h"
#include "serve/schedule/queue.h"
#include "serve/servable.h"
#include "store/log/follower.h"

#include <pthread.h>

typedef struct norn_model_version {
    norn_servable servable; ///< first
    norn_alloc alloc;
    norn_arena arena;
    norn_package *package;
    norn_serving serving;     ///< settings; their text is the package's
    norn_engine_place engine; ///< what its batches run on
    norn_follower *follower;  ///< NULL: it follows no log
    norn_batch_model batch;   ///< how its requests are run
    char warning[512]; ///< why a run on made-up inputs failed, though requests may do better; or ""
    int64_t max_request_rows; ///< more are refused
    norn_queue *queue;
    pthread_t *threads; ///< one an instance
    int32_t thread_count;
    norn_reaper *reaper; ///< takes it apart; NULL: the last release does
    norn_reaped reaped;
} norn_model_version;

static inline norn_model_version *norn_model_version_of(const norn_servable *servable) {
    return (norn_model_version *)(uintptr_t)servable;
}

/// Rows that a request may have where norn.json does not say.
enum { NORN_REQUEST_ROWS_MAX = 1 << 20 };

/// Load version directory `dir`, make sure that it can answer requests, start its instances.
/// Where there is a `reaper`, the last release hands the version to it, and it waits for that; else
/// the last release takes the version apart, and may not be made on one of its compute threads.
norn_status norn_model_version_create(const char *name, int64_t version, const char *dir,
                                      const norn_serving_defaults *defaults, norn_reaper *reaper,
                                      norn_alloc alloc, norn_model_version **out) NORN_NODISCARD;

/// From now on batches run on a session of `plan`, a refit of the package's, with the tables of `snapshot`.
/// Errors   INVALID_ARGUMENT: which requests may share a run follows from the weights, and it is not
///          the same any more; those of norn_package_start
norn_status norn_model_version_switch(norn_model_version *version, norn_plan *plan,
                                      norn_snapshot *snapshot) NORN_NODISCARD;

// ---- admit.c, for norn_servable_calls
norn_status norn_model_version_admit(norn_servable *servable, norn_request *request) NORN_NODISCARD;

#endif
