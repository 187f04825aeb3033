/// The batcher: a bounded queue of requests and what decides which of them run together.
///
/// This first form is first in, first out: a batch is the oldest request and those behind it that
/// can join it, until `max_rows` rows or until the oldest has waited `max_delay_ns`. Threads  put:
/// any. take: the compute threads of one model. stop: any.
#ifndef NORN_SERVE_BATCHER_H
#define NORN_SERVE_BATCHER_H

#include "serve/infer.h"

typedef struct norn_batcher norn_batcher;

/// Requests of a joined batch.
enum { NORN_BATCH_REQUESTS_MAX = 1024 };

typedef struct norn_batcher_options {
    int64_t max_rows;     ///< of a joined batch; a single larger request still runs
    int64_t max_delay_ns; ///< 0: never wait for company
    int64_t queue_limit;  ///< requests
} norn_batcher_options;

norn_status norn_batcher_create(const norn_batcher_options *options, norn_alloc alloc,
                                norn_batcher **out) NORN_NODISCARD;
void norn_batcher_destroy(norn_batcher *batcher); ///< the queue must be empty

/// Errors RESOURCE_EXHAUSTED: the queue is full; UNAVAILABLE: stopped. Then the request stays the
/// caller's.
norn_status norn_batcher_put(norn_batcher *batcher, norn_infer *infer) NORN_NODISCARD;
/// Blocks for the next batch: a list through `next`. NULL when stopped and empty. Requests that are
/// over (cancelled, or past their deadline) come out in `*over` instead, with their status set; the
/// list may be empty while *over is not.
norn_infer *norn_batcher_take(norn_batcher *batcher, norn_infer **over);
/// Refuse new requests; takers drain what is queued, then get NULL.
void norn_batcher_stop(norn_batcher *batcher);
int64_t norn_batcher_pending(const norn_batcher *batcher);

#endif
