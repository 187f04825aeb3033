#include "serve/batcher.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <time.h>

struct norn_batcher {
    norn_alloc alloc;
    norn_batcher_options options;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    norn_infer *head, *tail;
    int64_t count;
    _Atomic int64_t pending; ///< count, readable without the mutex
    bool stopped;
};

norn_status norn_batcher_create(const norn_batcher_options *options, norn_alloc alloc,
                                norn_batcher **out) {
    norn_batcher *batcher;
    pthread_condattr_t attr;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &batcher));
    batcher->alloc = alloc;
    batcher->options = *options;
    pthread_mutex_init(&batcher->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&batcher->arrived, &attr);
    pthread_condattr_destroy(&attr);
    *out = batcher;
    return NORN_OK;
}

void norn_batcher_destroy(norn_batcher *batcher) {
    if (!batcher) return;
    pthread_cond_destroy(&batcher->arrived);
    pthread_mutex_destroy(&batcher->mutex);
    norn_free(batcher->alloc, batcher);
}

static void set_count(norn_batcher *batcher, int64_t count) {
    batcher->count = count;
    batcher->pending = count;
}

norn_status norn_batcher_put(norn_batcher *batcher, norn_infer *infer) {
    norn_status status = NORN_OK;
    pthread_mutex_lock(&batcher->mutex);
    if (batcher->stopped) {
        status = norn_fail(NORN_UNAVAILABLE, "the model is being unloaded; try again");
    } else if (batcher->count >= batcher->options.queue_limit) {
        status = norn_fail(NORN_RESOURCE_EXHAUSTED,
                           "the queue holds %lld requests, its limit; try again later",
                           (long long)batcher->count);
    } else {
        infer->next = NULL;
        if (batcher->tail) {
            batcher->tail->next = infer;
        } else {
            batcher->head = infer;
        }
        batcher->tail = infer;
        set_count(batcher, batcher->count + 1);
        pthread_cond_signal(&batcher->arrived);
    }
    pthread_mutex_unlock(&batcher->mutex);
    return status;
}

/// Move requests that are over from the queue to *over.
static void drop_over(norn_batcher *batcher, int64_t now_ns, norn_infer **over) {
    norn_infer **link = &batcher->head, *last = NULL;
    int64_t count = batcher->count;
    while (*link) {
        norn_infer *infer = *link;
        if (norn_infer_is_over(infer, now_ns)) {
            *link = infer->next;
            infer->next = *over;
            *over = infer;
            --count;
        } else {
            last = infer;
            link = &infer->next;
        }
    }
    batcher->tail = last;
    set_count(batcher, count);
}

/// Rows that the head and the joinable requests right behind it have, up to max_rows.
static int64_t rows_ready(const norn_batcher *batcher) {
    const norn_infer *infer = batcher->head;
    int64_t rows = infer->rows;
    const uint64_t key = infer->join_key;
    if (!key) return batcher->options.max_rows;
    for (infer = infer->next;
         infer && infer->join_key == key && rows + infer->rows <= batcher->options.max_rows;
         infer = infer->next)
        rows += infer->rows;
    return infer ? batcher->options.max_rows : rows; // someone who cannot join: no use waiting
}

static norn_infer *cut_batch(norn_batcher *batcher) {
    norn_infer *first = batcher->head, *last = first;
    int64_t rows = first->rows, count = 1;
    while (first->join_key && last->next && last->next->join_key == first->join_key &&
           rows + last->next->rows <= batcher->options.max_rows) {
        last = last->next;
        rows += last->rows;
        ++count;
    }
    batcher->head = last->next;
    if (!batcher->head) batcher->tail = NULL;
    last->next = NULL;
    set_count(batcher, batcher->count - count);
    return first;
}

norn_infer *norn_batcher_take(norn_batcher *batcher, norn_infer **over) {
    norn_infer *batch = NULL;
    *over = NULL;
    pthread_mutex_lock(&batcher->mutex);
    for (;;) {
        const int64_t now_ns = norn_clock_now_ns();
        drop_over(batcher, now_ns, over);
        if (*over) break; // answer them before waiting for anything
        if (!batcher->head) {
            if (batcher->stopped) break;
            pthread_cond_wait(&batcher->arrived, &batcher->mutex);
            continue;
        }
        const int64_t due_ns = batcher->head->times.arrival_ns + batcher->options.max_delay_ns;
        if (batcher->stopped || now_ns >= due_ns ||
            rows_ready(batcher) >= batcher->options.max_rows) {
            batch = cut_batch(batcher);
            if (batcher->head) pthread_cond_signal(&batcher->arrived);
            break;
        }
        const struct timespec until = {.tv_sec = due_ns / 1000000000,
                                       .tv_nsec = due_ns % 1000000000};
        (void)pthread_cond_timedwait(&batcher->arrived, &batcher->mutex, &until);
    }
    pthread_mutex_unlock(&batcher->mutex);
    return batch;
}

void norn_batcher_stop(norn_batcher *batcher) {
    pthread_mutex_lock(&batcher->mutex);
    batcher->stopped = true;
    pthread_cond_broadcast(&batcher->arrived);
    pthread_mutex_unlock(&batcher->mutex);
}

int64_t norn_batcher_pending(const norn_batcher *batcher) {
    return batcher->pending;
}
