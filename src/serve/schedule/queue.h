/// A bounded queue of requests and what decides which of them run together.
///
/// The queue is a list of groups, each of requests that will be one batch: equal shapes,
/// at most `max_rows` rows. A request joins one of the last groups that has room for it or begins
/// a new one; groups run first in, first out, a group at once when it is full or another
/// waits behind it, else when its oldest request has waited `max_delay_ns`.
///
/// What bounds the queue is the time that a newcomer would wait, not a count: the groups before it
/// times what batches have lately taken. It is refused at once when that is more than
/// `max_wait_ns`, or than half the time after which clients have lately been seen to leave: work
/// that nobody waits for any more would only make the next one late as well. What has waited longer
/// than the bound although it was let in is refused when its turn comes. A few batches may always
/// wait, so that slow models can be queued for at all.
///
/// Threads  put: any. take: the compute threads of one model. stop: any.
#ifndef NORN_SERVE_SCHEDULE_QUEUE_H
#define NORN_SERVE_SCHEDULE_QUEUE_H

#include "serve/request.h"

typedef struct norn_queue norn_queue;

/// Requests of a joined batch.
enum { NORN_BATCH_REQUESTS_MAX = 1024 };

typedef struct norn_queue_options {
    int64_t max_rows;     ///< of a joined batch; a single larger request still runs
    int64_t max_delay_ns; ///< 0: never wait for company
    int64_t queue_limit;  ///< requests; what memory allows
    int64_t max_wait_ns;  ///< 0: no bound
    int32_t takers;       ///< compute threads; 0: 1
} norn_queue_options;

norn_status norn_queue_create(const norn_queue_options *options, norn_alloc alloc,
                              norn_queue **out) NORN_NODISCARD;
void norn_queue_destroy(norn_queue *queue); ///< the queue must be empty

/// Errors   RESOURCE_EXHAUSTED: it would wait too long (infer->retry_ns says when to ask again),
///          or the queue is full; UNAVAILABLE: stopped. Then the request stays the caller's.
/// *over: a list of requests that were found to be over meanwhile, with their status set.
norn_status norn_queue_put(norn_queue *queue, norn_request *request,
                           norn_request **over) NORN_NODISCARD;
/// Blocks for the next batch: a list through `next`. NULL when stopped and empty. Requests that are
/// over (cancelled, past their deadline, past the bound) come out in `*over` instead, with their
/// status set; the list may be empty while *over is not.
norn_request *norn_queue_take(norn_queue *queue, norn_request **over);
/// The batch that was taken last on this thread has run, in this time.
void norn_queue_ran(norn_queue *queue, int64_t duration_ns);
/// Refuse new requests; takers drain what is queued, then get NULL.
void norn_queue_stop(norn_queue *queue);
int64_t norn_queue_pending(const norn_queue *queue);

#endif
