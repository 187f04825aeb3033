#include "serve/reaper.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "base/memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>

struct norn_reaper {
    norn_alloc alloc;
    pthread_mutex_t mutex; ///< of all that follows; never held while something is taken apart
    pthread_cond_t wake, gone;
    norn_reaped *first, *last; ///< in order of arrival
    norn_reaped *in_hand;
    int64_t in_hand_since_ns;
    int64_t expected; ///< alive, waiting or in hand
    int64_t waiting;
    uint64_t done;
    bool closing;
    pthread_t thread;
};

/// Versions come and go on several threads, and the C library keeps what each has freed for that
/// thread's next request: fifteen reloads of a large model would hold memory of five.
static void give_memory_back(void) {
    (void)malloc_trim(0);
}

static void *reaper_main(void *context) {
    norn_reaper *reaper = context;
    pthread_mutex_lock(&reaper->mutex);
    for (;;) {
        norn_reaped *what = reaper->first;
        if (!what) {
            if (reaper->closing && reaper->expected == 0) break;
            pthread_cond_wait(&reaper->wake, &reaper->mutex);
            continue;
        }
        reaper->first = what->next;
        if (!reaper->first) reaper->last = NULL;
        reaper->in_hand = what;
        reaper->in_hand_since_ns = what->since_ns;
        const bool more = reaper->first != NULL;
        pthread_mutex_unlock(&reaper->mutex);
        what->destroy(what);
        if (!more) give_memory_back();
        pthread_mutex_lock(&reaper->mutex);
        reaper->in_hand = NULL;
        reaper->waiting--;
        reaper->expected--;
        reaper->done++;
        pthread_cond_broadcast(&reaper->gone);
    }
    pthread_mutex_unlock(&reaper->mutex);
    return NULL;
}

norn_status norn_reaper_create(norn_alloc alloc, norn_reaper **out) {
    norn_reaper *reaper;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &reaper));
    reaper->alloc = alloc;
    pthread_mutex_init(&reaper->mutex, NULL);
    pthread_cond_init(&reaper->wake, NULL);
    norn_condition_init(&reaper->gone);
    if (pthread_create(&reaper->thread, NULL, reaper_main, reaper) != 0) {
        pthread_cond_destroy(&reaper->gone);
        pthread_cond_destroy(&reaper->wake);
        pthread_mutex_destroy(&reaper->mutex);
        norn_free(alloc, reaper);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start the reaper thread");
    }
    *out = reaper;
    return NORN_OK;
}

void norn_reaper_expect(norn_reaper *reaper) {
    pthread_mutex_lock(&reaper->mutex);
    reaper->expected++;
    pthread_mutex_unlock(&reaper->mutex);
}

void norn_reaper_put(norn_reaper *reaper, norn_reaped *what, void (*destroy)(norn_reaped *self)) {
    *what = (norn_reaped){.destroy = destroy, .since_ns = norn_clock_now_ns()};
    pthread_mutex_lock(&reaper->mutex);
    if (reaper->last)
        reaper->last->next = what;
    else
        reaper->first = what;
    reaper->last = what;
    reaper->waiting++;
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->mutex);
}

void norn_reaper_destroy(norn_reaper *reaper, int64_t patience_ms) {
    if (!reaper) return;
    const int64_t until_ns = norn_clock_now_ns() + 1000000 * patience_ms;
    bool in_time = true;
    pthread_mutex_lock(&reaper->mutex);
    reaper->closing = true;
    while (reaper->expected > 0 && in_time)
        in_time = norn_condition_wait(&reaper->gone, &reaper->mutex, until_ns);
    const int64_t left = reaper->expected;
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->mutex);
    if (left > 0) {
        norn_log(NORN_LOG_ERROR, "%lld version%s still in use after %lld ms", (long long)left,
                 norn_number(left, " was", "s were"), (long long)patience_ms);
        pthread_detach(reaper->thread); // it may still be needed: it ends with the process
        return;
    }
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->gone);
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->mutex);
    norn_free(reaper->alloc, reaper);
}

norn_reaper_stat norn_reaper_stat_of(norn_reaper *reaper) {
    const int64_t now_ns = norn_clock_now_ns();
    pthread_mutex_lock(&reaper->mutex);
    const int64_t since_ns = reaper->in_hand ? reaper->in_hand_since_ns
                             : reaper->first ? reaper->first->since_ns
                                             : now_ns;
    const norn_reaper_stat stat = {reaper->waiting, now_ns - since_ns, reaper->done};
    pthread_mutex_unlock(&reaper->mutex);
    return stat;
}
