/// Run a list of requests on one instance: joined when there are several, in pieces when one is
/// larger than the model's largest batch. Sets outputs, times and, where it failed, status of each.
#ifndef NORN_SERVE_SCHEDULE_BATCH_H
#define NORN_SERVE_SCHEDULE_BATCH_H

#include "norn/session.h"
#include "package/row_policy.h"
#include "serve/request.h"

/// What requests are run with; all of it is its owner's.
typedef struct norn_batch_model {
    const norn_plan *plan;
    norn_row_policy rows;      ///< may requests be joined, or split?
    const bool *input_is_user; ///< by input: one row is repeated for every item
    int64_t max_rows;          ///< of a run
    _Atomic uint64_t *runs;    ///< counted
} norn_batch_model;

/// `session` is of the model's plan, or of one with other weights. `batch` is linked through `next`; when there is more than one, each can join the first (at most
/// NORN_BATCH_REQUESTS_MAX run together). Compute thread.
void norn_batch_run(const norn_batch_model *model, norn_session *session, norn_request *batch);

/// Is it known without a run what the answer to an admitted request is:
/// no rows, of the outputs' shapes?
bool norn_batch_is_empty(const norn_batch_model *model, const norn_request *request);
norn_status norn_batch_answer_empty(const norn_batch_model *model,
                                    norn_request *request) NORN_NODISCARD;

#endif
