/// Run a list of requests on one instance: joined when there are several, in pieces when one is
/// larger than the model's largest batch. Sets outputs, times and, where it failed, status of each.
#ifndef NORN_SERVE_RUN_BATCH_H
#define NORN_SERVE_RUN_BATCH_H

#include "serve/served.h"

/// `batch` is linked through `next`; all of one join_key when there is more than one. Compute
/// thread.
void norn_run_batch(norn_served *served, norn_infer *batch);

#endif
