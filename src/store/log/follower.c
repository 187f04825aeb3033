#include "store/log/follower.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    SLICE_MS = 100, ///< of applying, before what is there is shown to readers
    WAIT_MS = 1000, ///< for a log that says nothing
    RETRY_MS = 250, ///< after an error, and for a log that is not there
    RETRY_MOST_MS = 4000,
};

struct norn_follower {
    norn_follower_options options; ///< its strings and cut are the follower's
    norn_alloc alloc;
    char *url, *name;
    norn_cut cut, rows_cut; ///< their positions are the follower's
    norn_delta_log *log;    ///< NULL: not there yet
    norn_applier *applier;  ///< likewise
    uint64_t shown;         ///< the step that the owner was told of
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    pthread_mutex_t lock; ///< of what follows
    pthread_cond_t stop;
    norn_follower_stat stat;
};

static bool is_stopping(const norn_follower *follower) {
    return atomic_load_explicit(&follower->stopping, memory_order_acquire);
}

static int64_t ms_from_now(int ms) {
    return norn_clock_now_ns() + 1000000 * (int64_t)ms;
}

// ---- one look at the log

static norn_status open_log(norn_follower *follower) {
    norn_delta_log *log;
    norn_applier *applier;
    NORN_TRY(norn_delta_log_open(follower->url, follower->alloc, &log));
    const norn_applier_options options = {
        .log = log,
        .tier = follower->options.tier,
        .version = follower->options.version,
        .base = follower->options.base,
        .cut = follower->options.cut ? &follower->cut : NULL,
        .rows_cut = follower->options.rows_cut ? &follower->rows_cut : NULL};
    const norn_status status = norn_applier_create(&options, follower->alloc, &applier);
    if (status != NORN_OK) {
        norn_delta_log_close(log);
        return status;
    }
    follower->shown = norn_applier_stat_of(applier).step;
    pthread_mutex_lock(&follower->lock);
    follower->log = log;
    follower->applier = applier;
    pthread_mutex_unlock(&follower->lock);
    return NORN_OK;
}

/// Tell the owner where the version stands, if that is news.
static norn_status show(norn_follower *follower) {
    const uint64_t step = norn_applier_stat_of(follower->applier).step;
    if (step == follower->shown) return NORN_OK;
    norn_dense_set *dense = norn_applier_dense(follower->applier);
    NORN_TRY(follower->options.stepped(follower->options.context, step, dense));
    norn_dense_set_clear(dense);
    follower->shown = step;
    return NORN_OK;
}

/// What came of it goes into the stat; the process's log hears of an error once, and of its end.
static void note(norn_follower *follower, norn_status status) {
    norn_follower_stat *stat = &follower->stat;
    const bool lacking = status == NORN_NOT_FOUND && !follower->log;
    const char *error = status == NORN_OK || lacking ? "" : norn_message();
    pthread_mutex_lock(&follower->lock);
    const bool news = strncmp(stat->error, error, sizeof stat->error - 1) != 0;
    if (*error) stat->errors++;
    (void)snprintf(stat->error, sizeof stat->error, "%s", error);
    stat->found = follower->log != NULL;
    if (follower->applier) stat->applied = norn_applier_stat_of(follower->applier);
    pthread_mutex_unlock(&follower->lock);
    if (news && *error)
        norn_log(NORN_LOG_ERROR, "%s: it cannot follow its log, and stays at step %llu: %s",
                 follower->name, (unsigned long long)stat->applied.step, error);
    else if (news)
        norn_log(NORN_LOG_INFO, "%s: it follows its log again, from step %llu", follower->name,
                 (unsigned long long)stat->applied.step);
}

static norn_status look(norn_follower *follower, int64_t until_ns) {
    if (!follower->log) NORN_TRY(open_log(follower));
    const norn_status status = norn_applier_run(follower->applier, until_ns);
    const norn_status shown = show(follower); // steps before an error count
    return status != NORN_OK ? status : shown;
}

// ---- the thread

static void pause_for(norn_follower *follower, int ms) {
    const int64_t end_ns = ms_from_now(ms);
    bool in_time = true;
    pthread_mutex_lock(&follower->lock);
    while (!is_stopping(follower) && in_time)
        in_time = norn_condition_wait(&follower->stop, &follower->lock, end_ns);
    pthread_mutex_unlock(&follower->lock);
}

static void *follow(void *context) {
    norn_follower *follower = context;
    int retry_ms = RETRY_MS;
    while (!is_stopping(follower)) {
        const uint64_t before = follower->shown;
        const norn_status status = look(follower, ms_from_now(SLICE_MS));
        note(follower, status);
        if (status != NORN_OK) {
            pause_for(follower, follower->log ? retry_ms : RETRY_MS);
            retry_ms = retry_ms * 2 < RETRY_MOST_MS ? retry_ms * 2 : RETRY_MOST_MS;
        } else if (follower->shown == before) {
            retry_ms = RETRY_MS;
            follower->log->ops->wait(follower->log, ms_from_now(WAIT_MS));
        }
    }
    return NULL;
}

// ---- life

static norn_status copy_cut(const norn_follower *follower, const norn_cut *cut, norn_cut *out) {
    norn_position *positions;
    if (!cut) return NORN_OK;
    NORN_TRY(NORN_NEW_ARRAY(follower->alloc, cut->partition_count, &positions));
    memcpy(positions, cut->positions, cut->partition_count * sizeof *cut->positions);
    *out = (norn_cut){cut->step, cut->partition_count, positions};
    return NORN_OK;
}

static norn_status copy_options(norn_follower *follower, const norn_follower_options *options) {
    follower->options = *options;
    NORN_TRY(norn_alloc_string(follower->alloc, options->url, &follower->url));
    NORN_TRY(norn_alloc_string(follower->alloc, options->name, &follower->name));
    NORN_TRY(copy_cut(follower, options->cut, &follower->cut));
    return copy_cut(follower, options->rows_cut, &follower->rows_cut);
}

norn_status norn_follower_create(const norn_follower_options *options, int64_t catch_up_ns,
                                 norn_alloc alloc, norn_follower **out) {
    norn_follower *follower;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &follower));
    follower->alloc = alloc;
    pthread_mutex_init(&follower->lock, NULL);
    norn_condition_init(&follower->stop);
    NORN_TRY_DONE(copy_options(follower, options));
    if (follower->options.cut) follower->stat.applied.step = follower->cut.step;
    note(follower, look(follower, norn_clock_now_ns() + catch_up_ns));
    if (pthread_create(&follower->thread, NULL, follow, follower) != 0) {
        status = norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start a thread that follows the log");
        goto done;
    }
    follower->started = true;
    *out = follower;
    return NORN_OK;
done:
    norn_follower_destroy(follower);
    return status;
}

void norn_follower_destroy(norn_follower *follower) {
    if (!follower) return;
    pthread_mutex_lock(&follower->lock);
    atomic_store_explicit(&follower->stopping, true, memory_order_release);
    pthread_cond_signal(&follower->stop);
    if (follower->log) follower->log->ops->wake(follower->log);
    pthread_mutex_unlock(&follower->lock);
    if (follower->started) pthread_join(follower->thread, NULL);
    norn_applier_destroy(follower->applier);
    norn_delta_log_close(follower->log);
    pthread_cond_destroy(&follower->stop);
    pthread_mutex_destroy(&follower->lock);
    norn_free(follower->alloc, (void *)(uintptr_t)follower->cut.positions);
    norn_free(follower->alloc, (void *)(uintptr_t)follower->rows_cut.positions);
    norn_free(follower->alloc, follower->name);
    norn_free(follower->alloc, follower->url);
    norn_free(follower->alloc, follower);
}

void norn_follower_stat_of(norn_follower *follower, norn_follower_stat *out) {
    pthread_mutex_lock(&follower->lock);
    *out = follower->stat;
    pthread_mutex_unlock(&follower->lock);
}
