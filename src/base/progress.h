/// How far long work is, for whoever shows it.
#ifndef NORN_BASE_PROGRESS_H
#define NORN_BASE_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

typedef struct norn_progress {
    /// `done` of `total` bytes; total 0: nobody knows. On the thread that does the work.
    void (*say)(void *context, const char *what, uint64_t done, uint64_t total);
    void *context;
} norn_progress;

/// Takes NULL: nobody looks.
static inline void norn_progress_say(const norn_progress *progress, const char *what, uint64_t done,
                                     uint64_t total) {
    if (progress && progress->say) progress->say(progress->context, what, done, total);
}

#endif
