/// Conditions whose timed waits go by the clock of all our deadlines.
#ifndef NORN_BASE_CONDITION_H
#define NORN_BASE_CONDITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline void norn_condition_init(pthread_cond_t *condition) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/// `lock` is held. False: CLOCK_MONOTONIC has come to `until_ns`; INT64_MAX never comes.
static inline bool norn_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                       int64_t until_ns) {
    const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                   .tv_nsec = until_ns % 1000000000};
    if (until_ns == INT64_MAX) return pthread_cond_wait(condition, lock) == 0;
    return pthread_cond_timedwait(condition, lock, &until) == 0;
}

#endif
