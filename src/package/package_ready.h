/// What a server does with a package before it says READY: whether it can answer requests at all,
/// and with which settings. `norn check` asks the same questions.
#ifndef NORN_PACKAGE_PACKAGE_READY_H
#define NORN_PACKAGE_PACKAGE_READY_H

#include "norn/server.h"
#include "norn/session.h"
#include "package/package_open.h"
#include "package/row_policy.h"

/// The longest wait in the queue where nobody says. Longer than people wait
/// for an answer, shorter than programs do (tritonclient: 60 s): in between,
/// whoever is told at once can still ask elsewhere.
enum { NORN_SERVING_WAIT_MS = 10000 };

/// Settled: what a version is served with.
typedef struct norn_serving {
    int32_t instances, threads; ///< threads 0: the cores shared out among instances
    int64_t max_rows;           ///< of a batch
    int64_t batch_delay_us, queue_limit;
    int64_t max_wait_ms;      ///< in the queue; 0: no bound
    int64_t max_memory_bytes; ///< of an instance; 0: the runtime decides
    bool warm_up;
    norn_row_policy rows; ///< which requests share a run; in the package's arena
} norn_serving;

/// Errors   INVALID_ARGUMENT: norn.json promises of rows what the shapes rule out.
norn_status norn_package_serving(norn_package *package, const norn_serving_defaults *defaults,
                                 norn_serving *out) NORN_NODISCARD;

/// Make the session that requests will run in, and prove that it answers: inputs and outputs are of
/// types that a request can carry, tables and device are there, and every instance runs once on
/// made-up inputs (unless norn.json forbids it).
///
/// A run that fails only because of what was made up (an id outside its table) does not refuse the
/// package: it is told in `warning`, "" otherwise.
/// Errors   name the tensor, table or node; the package could answer no request
norn_status norn_package_start(const norn_package *package, const norn_serving *serving,
                               norn_session **session, char warning[512]) NORN_NODISCARD;

#endif
