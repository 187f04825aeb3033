/// The reaper: one thread on which what is no longer used is taken apart, because that joins
/// threads, frees device memory and takes its time: nothing for a thread that answers requests.
///
/// Threads  any. norn_reaper_put never waits for what is being taken apart.
#ifndef NORN_SERVE_REAPER_H
#define NORN_SERVE_REAPER_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdint.h>

typedef struct norn_reaper norn_reaper;

/// Stands in what is reaped, so that handing it over allocates nothing.
typedef struct norn_reaped {
    struct norn_reaped *next;
    void (*destroy)(struct norn_reaped *self); ///< on the reaper's thread
    int64_t since_ns;                          ///< when it was handed over
} norn_reaped;

norn_status norn_reaper_create(norn_alloc alloc, norn_reaper **out) NORN_NODISCARD;
/// Something is alive that will be put: destroying the reaper waits for it.
void norn_reaper_expect(norn_reaper *reaper);
void norn_reaper_put(norn_reaper *reaper, norn_reaped *what, void (*destroy)(norn_reaped *self));
/// Waits until all that was expected has come and gone, at most `patience_ms`. NULL is taken.
/// What is still held then is leaked together with the reaper, and said so.
void norn_reaper_destroy(norn_reaper *reaper, int64_t patience_ms);

typedef struct norn_reaper_stat {
    int64_t waiting;   ///< handed over and not gone yet, the one in hand included
    int64_t oldest_ns; ///< how long the oldest of them has been; 0: none
    uint64_t done;
} norn_reaper_stat;
norn_reaper_stat norn_reaper_stat_of(norn_reaper *reaper);

#endif
