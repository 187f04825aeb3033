/// How long requests may wait: what is over, who has left, and what would come too late.
#include "serve/schedule/queue_state.h"

enum {
    FREE_GROUPS = 4,    ///< groups a compute thread that may wait however long they take
    SWEEP_NS = 5000000, ///< between two looks through the whole queue
    SWEEP_ALWAYS = 64,  ///< requests that it costs nothing to look through
    LEAVING_ONE = 1024, ///< fixed point of the share of clients that leave
};

static const int64_t MINDFUL_NS = 10000000000; ///< how long a bound that was learned holds
static const int64_t WAIT_MIN_NS = 50000000;   ///< nobody can make it shorter by leaving early

/// A client has gone, or its deadline passed. One that went at once says nothing about waiting.
static void note_leaving(norn_queue *queue, const norn_request *request, int64_t now_ns) {
    const bool late = request->status == NORN_DEADLINE_EXCEEDED;
    const int64_t left_ns =
        late ? request->deadline_ns : atomic_load_explicit(&request->left_ns, memory_order_relaxed);
    const int64_t age_ns = left_ns - request->times.arrival_ns;
    if (age_ns < 2 * WAIT_MIN_NS) return;
    queue->leaving += (LEAVING_ONE - queue->leaving) / 16;
    queue->patience_ns =
        queue->patience_ns ? queue->patience_ns + (age_ns - queue->patience_ns) / NORN_QUEUE_MEMORY
                           : age_ns;
    if (queue->leaving > LEAVING_ONE / 8) queue->mindful_ns = now_ns + MINDFUL_NS;
}

void norn_queue_note_staying(norn_queue *queue, int64_t count) {
    for (int64_t i = 0; i < count && queue->leaving >= 16; i++)
        queue->leaving -= queue->leaving / 16;
}

/// The wait that makes an answer useless; INT64_MAX: none is known. *learned: from the clients.
static int64_t longest_wait(const norn_queue *queue, int64_t now_ns, bool *learned) {
    int64_t longest = queue->options.max_wait_ns ? queue->options.max_wait_ns : INT64_MAX;
    const int64_t half =
        queue->patience_ns / 2 > WAIT_MIN_NS ? queue->patience_ns / 2 : WAIT_MIN_NS;
    *learned = now_ns < queue->mindful_ns && half < longest;
    return *learned ? half : longest;
}

/// Has it waited longer than it should ever have been let in for?
static bool waited_too_long(const norn_queue *queue, norn_request *request, int64_t now_ns) {
    const int64_t free_ns = (FREE_GROUPS + 1) * queue->run_ns;
    int64_t longest = queue->options.max_wait_ns;
    if (longest < free_ns) longest = free_ns;
    if (queue->options.max_wait_ns == 0 || now_ns - request->times.arrival_ns <= longest)
        return false;
    norn_request_fail(request,
                      norn_fail(NORN_RESOURCE_EXHAUSTED,
                                "the request has waited %lld ms, the longest is %lld "
                                "(batching.max_wait_ms); try again later",
                                (long long)((now_ns - request->times.arrival_ns) / 1000000),
                                (long long)(longest / 1000000)));
    return true;
}

bool norn_queue_clean_group(norn_queue *queue, norn_request **group, int64_t now_ns,
                            norn_request **over) {
    norn_request *first = *group, *request = first, *kept = NULL;
    while (request) {
        norn_request *next = request->next;
        if (norn_request_is_over(request, now_ns) || waited_too_long(queue, request, now_ns)) {
            if (request->status != NORN_RESOURCE_EXHAUSTED) note_leaving(queue, request, now_ns);
            first->group_rows -= request->rows;
            first->group_count--;
            norn_queue_set_count(queue, queue->count - 1);
            if (request == first && next) {
                norn_queue_replace_first(queue, first, next);
                first = next;
            } else if (request == first) {
                norn_queue_remove_group(queue, first);
                first = NULL;
            } else {
                kept->next = next;
                if (!next) first->group_last = kept;
            }
            request->next = *over;
            *over = request;
        } else {
            kept = request;
        }
        request = next;
    }
    *group = first;
    return first != NULL;
}

void norn_queue_sweep(norn_queue *queue, int64_t now_ns, norn_request **over) {
    if (now_ns < queue->sweep_at_ns && queue->count > SWEEP_ALWAYS) return;
    queue->sweep_at_ns = now_ns + SWEEP_NS;
    for (norn_request *group = queue->first, *next; group; group = next) {
        next = group->group_next;
        (void)norn_queue_clean_group(queue, &group, now_ns, over);
    }
}

norn_status norn_queue_check_wait(norn_queue *queue, norn_request *request, int64_t ahead,
                                  int64_t now_ns) {
    const int64_t takers = queue->options.takers;
    bool learned;
    const int64_t longest_ns = longest_wait(queue, now_ns, &learned);
    const int64_t before = ahead + (queue->running > 0);
    // With runs of years this could overflow; a float is near enough.
    const double wait_ns = (double)before * (double)queue->run_ns / (double)takers;
    if (wait_ns <= (double)longest_ns || ahead < (learned ? 1 : FREE_GROUPS) * takers)
        return NORN_OK;
    request->retry_ns = (int64_t)(wait_ns - (double)longest_ns) + 1;
    return norn_fail(NORN_RESOURCE_EXHAUSTED,
                     "%lld batches are before it, %.0f ms of work, and the longest wait is %lld ms "
                     "(%s); try again in %.0f ms",
                     (long long)before, wait_ns / 1e6, (long long)(longest_ns / 1000000),
                     learned ? "clients have lately left after twice that" : "batching.max_wait_ms",
                     (double)request->retry_ns / 1e6);
}
