/// Run a list of requests on one instance: joined when there are several, in pieces when one is
/// larger than the model's largest batch. Sets outputs, times and, where it failed, status of each.
#ifndef NORN_SERVE_RUN_BATCH_H
#define NORN_SERVE_RUN_BATCH_H

#include "serve/served.h"

/// `batch` is linked through `next`; when there is more than one, each can join the first (at most
/// NORN_BATCH_REQUESTS_MAX run together). Compute thread.
void norn_run_batch(norn_served *served, norn_infer *batch);

/// Is it known without a run what the answer to an admitted request is:
/// no rows, of the outputs' shapes?
bool norn_run_is_empty(const norn_served *served, const norn_infer *infer);
norn_status norn_run_empty(const norn_served *served, norn_infer *infer) NORN_NODISCARD;

#endif
