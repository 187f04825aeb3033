#include "serve/batcher.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <time.h>

enum {
    JOIN_GROUPS_MAX = 8, ///< groups, from the last, that a newcomer may join
    FREE_GROUPS = 4,     ///< groups a compute thread that may wait however long they take
    SWEEP_NS = 5000000,  ///< between two looks through the whole queue
    SWEEP_ALWAYS = 64,   ///< requests that it costs nothing to look through
    MEMORY = 8,          ///< weight of the past in averages
    LEAVING_ONE = 1024,  ///< fixed point of the share of clients that leave
};

static const int64_t MINDFUL_NS = 10000000000; ///< how long a bound that was learned holds
static const int64_t WAIT_MIN_NS = 50000000;   ///< nobody can make it shorter by leaving early

struct norn_batcher {
    norn_alloc alloc;
    norn_batcher_options options;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    norn_infer *first, *last; ///< groups, by their first requests
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

norn_status norn_batcher_create(const norn_batcher_options *options, norn_alloc alloc,
                                norn_batcher **out) {
    norn_batcher *batcher;
    pthread_condattr_t attr;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &batcher));
    batcher->alloc = alloc;
    batcher->options = *options;
    if (batcher->options.takers < 1) batcher->options.takers = 1;
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

// ---- groups

static void append_group(norn_batcher *batcher, norn_infer *infer) {
    infer->next = NULL;
    infer->group_next = NULL;
    infer->group_prev = batcher->last;
    infer->group_last = infer;
    infer->group_rows = infer->rows;
    infer->group_count = 1;
    if (batcher->last)
        batcher->last->group_next = infer;
    else
        batcher->first = infer;
    batcher->last = infer;
    batcher->groups++;
}

static void remove_group(norn_batcher *batcher, norn_infer *group) {
    if (group->group_prev)
        group->group_prev->group_next = group->group_next;
    else
        batcher->first = group->group_next;
    if (group->group_next)
        group->group_next->group_prev = group->group_prev;
    else
        batcher->last = group->group_prev;
    batcher->groups--;
}

/// `next` takes the place of `group`, which was its group's first request.
static void replace_first(norn_batcher *batcher, const norn_infer *group, norn_infer *next) {
    next->group_next = group->group_next;
    next->group_prev = group->group_prev;
    next->group_last = group->group_last;
    next->group_rows = group->group_rows;
    next->group_count = group->group_count;
    if (next->group_prev)
        next->group_prev->group_next = next;
    else
        batcher->first = next;
    if (next->group_next)
        next->group_next->group_prev = next;
    else
        batcher->last = next;
}

static bool has_room(const norn_batcher *batcher, const norn_infer *group,
                     const norn_infer *infer) {
    return norn_infer_can_join(group, infer) && group->group_count < NORN_BATCH_REQUESTS_MAX &&
           group->group_rows <= batcher->options.max_rows - infer->rows;
}

/// The group that a newcomer joins, NULL: a new one. *ahead: groups that run before it.
static norn_infer *group_for(const norn_batcher *batcher, const norn_infer *infer, int64_t *ahead) {
    norn_infer *group = batcher->last;
    *ahead = batcher->groups;
    if (infer->join_key == 0) return NULL;
    for (int i = 0; group && i < JOIN_GROUPS_MAX; i++, group = group->group_prev) {
        if (!has_room(batcher, group, infer)) continue;
        *ahead -= i + 1;
        return group;
    }
    return NULL;
}

static void append(norn_infer *group, norn_infer *infer) {
    infer->next = NULL;
    group->group_last->next = infer;
    group->group_last = infer;
    group->group_rows += infer->rows;
    group->group_count++;
}

// ---- what is over

/// A client has gone, or its deadline passed. One that went at once says nothing about waiting.
static void note_leaving(norn_batcher *batcher, const norn_infer *infer, int64_t now_ns) {
    const bool late = infer->status == NORN_DEADLINE_EXCEEDED;
    const int64_t left_ns =
        late ? infer->deadline_ns : atomic_load_explicit(&infer->left_ns, memory_order_relaxed);
    const int64_t age_ns = left_ns - infer->times.arrival_ns;
    if (age_ns < 2 * WAIT_MIN_NS) return;
    batcher->leaving += (LEAVING_ONE - batcher->leaving) / 16;
    batcher->patience_ns = batcher->patience_ns
                               ? batcher->patience_ns + (age_ns - batcher->patience_ns) / MEMORY
                               : age_ns;
    if (batcher->leaving > LEAVING_ONE / 8) batcher->mindful_ns = now_ns + MINDFUL_NS;
}

/// The clients of a batch are still there.
static void note_staying(norn_batcher *batcher, int64_t count) {
    for (int64_t i = 0; i < count && batcher->leaving >= 16; i++)
        batcher->leaving -= batcher->leaving / 16;
}

/// The wait that makes an answer useless; INT64_MAX: none is known. *learned: from the clients.
static int64_t longest_wait(const norn_batcher *batcher, int64_t now_ns, bool *learned) {
    int64_t longest = batcher->options.max_wait_ns ? batcher->options.max_wait_ns : INT64_MAX;
    const int64_t half =
        batcher->patience_ns / 2 > WAIT_MIN_NS ? batcher->patience_ns / 2 : WAIT_MIN_NS;
    *learned = now_ns < batcher->mindful_ns && half < longest;
    return *learned ? half : longest;
}

/// Has it waited longer than it should ever have been let in for?
static bool waited_too_long(const norn_batcher *batcher, norn_infer *infer, int64_t now_ns) {
    const int64_t free_ns = (FREE_GROUPS + 1) * batcher->run_ns;
    int64_t longest = batcher->options.max_wait_ns;
    if (longest < free_ns) longest = free_ns;
    if (batcher->options.max_wait_ns == 0 || now_ns - infer->times.arrival_ns <= longest)
        return false;
    norn_infer_fail(infer, norn_fail(NORN_RESOURCE_EXHAUSTED,
                                     "the request has waited %lld ms, the longest is %lld "
                                     "(batching.max_wait_ms); try again later",
                                     (long long)((now_ns - infer->times.arrival_ns) / 1000000),
                                     (long long)(longest / 1000000)));
    return true;
}

/// Move what is over from a group to *over. False: nothing is left of it, and it is gone.
static bool clean_group(norn_batcher *batcher, norn_infer **group, int64_t now_ns,
                        norn_infer **over) {
    norn_infer *first = *group, *infer = first, *kept = NULL;
    while (infer) {
        norn_infer *next = infer->next;
        if (norn_infer_is_over(infer, now_ns) || waited_too_long(batcher, infer, now_ns)) {
            if (infer->status != NORN_RESOURCE_EXHAUSTED) note_leaving(batcher, infer, now_ns);
            first->group_rows -= infer->rows;
            first->group_count--;
            set_count(batcher, batcher->count - 1);
            if (infer == first && next) {
                replace_first(batcher, first, next);
                first = next;
            } else if (infer == first) {
                remove_group(batcher, first);
                first = NULL;
            } else {
                kept->next = next;
                if (!next) first->group_last = kept;
            }
            infer->next = *over;
            *over = infer;
        } else {
            kept = infer;
        }
        infer = next;
    }
    *group = first;
    return first != NULL;
}

/// Look through the whole queue, now and then.
static void sweep(norn_batcher *batcher, int64_t now_ns, norn_infer **over) {
    if (now_ns < batcher->sweep_at_ns && batcher->count > SWEEP_ALWAYS) return;
    batcher->sweep_at_ns = now_ns + SWEEP_NS;
    for (norn_infer *group = batcher->first, *next; group; group = next) {
        next = group->group_next;
        (void)clean_group(batcher, &group, now_ns, over);
    }
}

// ---- in

/// Would a newcomer behind `ahead` groups wait too long?
static norn_status check_wait(norn_batcher *batcher, norn_infer *infer, int64_t ahead,
                              int64_t now_ns) {
    const int64_t takers = batcher->options.takers;
    bool learned;
    const int64_t longest_ns = longest_wait(batcher, now_ns, &learned);
    const int64_t before = ahead + (batcher->running > 0);
    // With runs of years this could overflow; a float is near enough.
    const double wait_ns = (double)before * (double)batcher->run_ns / (double)takers;
    if (wait_ns <= (double)longest_ns || ahead < (learned ? 1 : FREE_GROUPS) * takers)
        return NORN_OK;
    infer->retry_ns = (int64_t)(wait_ns - (double)longest_ns) + 1;
    return norn_fail(NORN_RESOURCE_EXHAUSTED,
                     "%lld batches are before it, %.0f ms of work, and the longest wait is %lld ms "
                     "(%s); try again in %.0f ms",
                     (long long)before, wait_ns / 1e6, (long long)(longest_ns / 1000000),
                     learned ? "clients have lately left after twice that" : "batching.max_wait_ms",
                     (double)infer->retry_ns / 1e6);
}

static norn_status enter(norn_batcher *batcher, norn_infer *infer, norn_infer **over) {
    int64_t ahead;
    if (batcher->stopped)
        return norn_fail(NORN_UNAVAILABLE, "the model is being unloaded; try again");
    norn_infer *group = group_for(batcher, infer, &ahead);
    if (ahead > 0 || batcher->count >= batcher->options.queue_limit) {
        const int64_t now_ns = norn_clock_now_ns();
        sweep(batcher, now_ns, over);
        if (*over) group = group_for(batcher, infer, &ahead); // it may have been swept away
        NORN_TRY(check_wait(batcher, infer, ahead, now_ns));
    }
    if (batcher->count >= batcher->options.queue_limit) {
        infer->retry_ns = batcher->run_ns + 1;
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "the queue holds %lld requests, its limit; try again later",
                         (long long)batcher->count);
    }
    if (group)
        append(group, infer);
    else
        append_group(batcher, infer);
    set_count(batcher, batcher->count + 1);
    pthread_cond_signal(&batcher->arrived);
    return NORN_OK;
}

norn_status norn_batcher_put(norn_batcher *batcher, norn_infer *infer, norn_infer **over) {
    *over = NULL;
    pthread_mutex_lock(&batcher->mutex);
    const norn_status status = enter(batcher, infer, over);
    pthread_mutex_unlock(&batcher->mutex);
    return status;
}

// ---- out

/// Is there any use in waiting for company?
static bool is_ready(const norn_batcher *batcher, const norn_infer *group, int64_t due_ns,
                     int64_t now_ns) {
    return batcher->stopped || now_ns >= due_ns || group->join_key == 0 || group->group_next ||
           group->group_rows >= batcher->options.max_rows ||
           group->group_count >= NORN_BATCH_REQUESTS_MAX;
}

static norn_infer *cut(norn_batcher *batcher, norn_infer *group) {
    remove_group(batcher, group);
    set_count(batcher, batcher->count - group->group_count);
    batcher->running++;
    note_staying(batcher, group->group_count);
    if (batcher->first) pthread_cond_signal(&batcher->arrived);
    return group;
}

norn_infer *norn_batcher_take(norn_batcher *batcher, norn_infer **over) {
    norn_infer *batch = NULL;
    *over = NULL;
    pthread_mutex_lock(&batcher->mutex);
    for (;;) {
        const int64_t now_ns = norn_clock_now_ns();
        norn_infer *group;
        sweep(batcher, now_ns, over);
        while ((group = batcher->first) && !clean_group(batcher, &group, now_ns, over)) {
        }
        if (group) {
            const int64_t due_ns = group->times.arrival_ns + batcher->options.max_delay_ns;
            if (is_ready(batcher, group, due_ns, now_ns)) {
                batch = cut(batcher, group);
                break;
            }
            if (*over) break; // answer them before waiting for anything
            const struct timespec until = {.tv_sec = due_ns / 1000000000,
                                           .tv_nsec = due_ns % 1000000000};
            (void)pthread_cond_timedwait(&batcher->arrived, &batcher->mutex, &until);
            continue;
        }
        if (*over || batcher->stopped) break;
        pthread_cond_wait(&batcher->arrived, &batcher->mutex);
    }
    pthread_mutex_unlock(&batcher->mutex);
    return batch;
}

void norn_batcher_ran(norn_batcher *batcher, int64_t duration_ns) {
    pthread_mutex_lock(&batcher->mutex);
    batcher->running--;
    batcher->run_ns =
        batcher->run_ns ? batcher->run_ns + (duration_ns - batcher->run_ns) / MEMORY : duration_ns;
    pthread_mutex_unlock(&batcher->mutex);
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
