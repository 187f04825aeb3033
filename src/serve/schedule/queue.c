#include "serve/schedule/queue.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/memory.h"
#include "serve/schedule/queue_state.h"

norn_status norn_queue_create(const norn_queue_options *options, norn_alloc alloc,
                              norn_queue **out) {
    norn_queue *queue;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &queue));
    queue->alloc = alloc;
    queue->options = *options;
    if (queue->options.takers < 1) queue->options.takers = 1;
    pthread_mutex_init(&queue->mutex, NULL);
    norn_condition_init(&queue->arrived);
    *out = queue;
    return NORN_OK;
}

void norn_queue_destroy(norn_queue *queue) {
    if (!queue) return;
    pthread_cond_destroy(&queue->arrived);
    pthread_mutex_destroy(&queue->mutex);
    norn_free(queue->alloc, queue);
}

// ---- in

static norn_status enter(norn_queue *queue, norn_request *request, norn_request **over) {
    int64_t ahead;
    if (queue->stopped)
        return norn_fail(NORN_UNAVAILABLE, "the model is being unloaded; try again");
    norn_request *group = norn_queue_group_for(queue, request, &ahead);
    if (ahead > 0 || queue->count >= queue->options.queue_limit) {
        const int64_t now_ns = norn_clock_now_ns();
        norn_queue_sweep(queue, now_ns, over);
        if (*over)
            group = norn_queue_group_for(queue, request, &ahead); // it may have been swept away
        NORN_TRY(norn_queue_check_wait(queue, request, ahead, now_ns));
    }
    if (queue->count >= queue->options.queue_limit) {
        request->retry_ns = queue->run_ns + 1;
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "the queue holds %lld request%s, its limit; try again later",
                         (long long)queue->count, norn_plural(queue->count));
    }
    if (group)
        norn_queue_append(group, request);
    else
        norn_queue_append_group(queue, request);
    norn_queue_set_count(queue, queue->count + 1);
    pthread_cond_signal(&queue->arrived);
    return NORN_OK;
}

norn_status norn_queue_put(norn_queue *queue, norn_request *request, norn_request **over) {
    *over = NULL;
    pthread_mutex_lock(&queue->mutex);
    const norn_status status = enter(queue, request, over);
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

// ---- out

/// Is there any use in waiting for company?
static bool is_ready(const norn_queue *queue, const norn_request *group, int64_t due_ns,
                     int64_t now_ns) {
    return queue->stopped || now_ns >= due_ns || group->join_key == 0 || group->group_next ||
           group->group_rows >= queue->options.max_rows ||
           group->group_count >= NORN_BATCH_REQUESTS_MAX;
}

static norn_request *cut(norn_queue *queue, norn_request *group) {
    norn_queue_remove_group(queue, group);
    norn_queue_set_count(queue, queue->count - group->group_count);
    queue->running++;
    norn_queue_note_staying(queue, group->group_count);
    if (queue->first) pthread_cond_signal(&queue->arrived);
    return group;
}

norn_request *norn_queue_take(norn_queue *queue, norn_request **over) {
    norn_request *batch = NULL;
    *over = NULL;
    pthread_mutex_lock(&queue->mutex);
    for (;;) {
        const int64_t now_ns = norn_clock_now_ns();
        norn_request *group;
        norn_queue_sweep(queue, now_ns, over);
        while ((group = queue->first) && !norn_queue_clean_group(queue, &group, now_ns, over)) {
        }
        if (group) {
            const int64_t due_ns = group->times.arrival_ns + queue->options.max_delay_ns;
            if (is_ready(queue, group, due_ns, now_ns)) {
                batch = cut(queue, group);
                break;
            }
            if (*over) break; // answer them before waiting for anything
            (void)norn_condition_wait(&queue->arrived, &queue->mutex, due_ns);
            continue;
        }
        if (*over || queue->stopped) break;
        pthread_cond_wait(&queue->arrived, &queue->mutex);
    }
    pthread_mutex_unlock(&queue->mutex);
    return batch;
}

void norn_queue_ran(norn_queue *queue, int64_t duration_ns) {
    pthread_mutex_lock(&queue->mutex);
    queue->running--;
    queue->run_ns = queue->run_ns
                        ? queue->run_ns + (duration_ns - queue->run_ns) / NORN_QUEUE_MEMORY
                        : duration_ns;
    pthread_mutex_unlock(&queue->mutex);
}

void norn_queue_stop(norn_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    queue->stopped = true;
    pthread_cond_broadcast(&queue->arrived);
    pthread_mutex_unlock(&queue->mutex);
}

int64_t norn_queue_pending(const norn_queue *queue) {
    return queue->pending;
}
