/// What queue.c, queue_groups.c and queue_patience.c share. All of it with the mutex held.
#ifndef NORN_SERVE_SCHEDULE_QUEUE_STATE_H
#define NORN_SERVE_SCHEDULE_QUEUE_STATE_H

#include "serve/schedule/queue.h"

#include <pthread.h>

enum { NORN_QUEUE_MEMORY = 8 }; ///< weight of the past in averages

struct norn_queue {
    norn_alloc alloc;
    norn_queue_options options;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    norn_request *first, *last; ///< groups, by their first requests
    int64_t groups, count;
    _Atomic int64_t pending; ///< count, readable without the mutex
    bool stopped;
    int64_t run_ns;      ///< what a batch takes, averaged; 0: none has run
    int32_t running;     ///< batches taken and not yet run
    int64_t sweep_at_ns; ///< the next look through the whole queue
    int64_t patience_ns; ///< after which clients leave, averaged
    int64_t mindful_ns;  ///< until then it bounds the queue: many have been seen to leave
    int32_t leaving;     ///< share of clients that leave, of LEAVING_ONE
};

static inline void norn_queue_set_count(norn_queue *queue, int64_t count) {
    queue->count = count;
    queue->pending = count;
}

// ---- queue_groups.c
void norn_queue_append_group(norn_queue *queue, norn_request *request);
void norn_queue_remove_group(norn_queue *queue, norn_request *group);
/// `next` takes the place of `group`, which was its group's first request.
void norn_queue_replace_first(norn_queue *queue, const norn_request *group, norn_request *next);
/// The group that a newcomer joins, NULL: a new one. *ahead: groups that run before it.
norn_request *norn_queue_group_for(const norn_queue *queue, const norn_request *request,
                                   int64_t *ahead);
void norn_queue_append(norn_request *group, norn_request *request);

// ---- queue_patience.c
/// Move what is over from a group to *over. False: nothing is left of it, and it is gone.
bool norn_queue_clean_group(norn_queue *queue, norn_request **group, int64_t now_ns,
                            norn_request **over);
/// Look through the whole queue, now and then.
void norn_queue_sweep(norn_queue *queue, int64_t now_ns, norn_request **over);
/// The clients of a batch are still there.
void norn_queue_note_staying(norn_queue *queue, int64_t count);
/// Would a newcomer behind `ahead` groups wait too long? Errors RESOURCE_EXHAUSTED.
norn_status norn_queue_check_wait(norn_queue *queue, norn_request *request, int64_t ahead,
                                  int64_t now_ns) NORN_NODISCARD;

#endif
