/// One pointer to something immutable: readers see it without a lock and never wait, a writer puts
/// another in its place and then waits until nobody can see the old one any more.
///
/// A reader is inside for a moment: it takes what it needs (a reference, a copy) and leaves.
///
/// Source   sleepable RCU: readers count themselves in and out by phase, a writer turns the phase
///          and waits for the counts of both to have been nothing; McKenney, "Sleepable RCU", 2006
/// Threads  enter and leave: any. put: one at a time.
#ifndef NORN_BASE_PUBLISHED_H
#define NORN_BASE_PUBLISHED_H

#include <stdatomic.h>
#include <stdint.h>

enum { NORN_PUBLISHED_SHARDS = 16 };

/// Readers of some threads, a cache line from those of others.
typedef struct norn_published_shard {
    _Atomic int64_t inside[2]; ///< by phase
    char apart[64];
} norn_published_shard;

typedef struct norn_published {
    _Atomic(void *) object;
    _Atomic uint32_t phase; ///< bit 0 counts
    norn_published_shard shards[NORN_PUBLISHED_SHARDS];
} norn_published;

typedef struct norn_published_reader {
    _Atomic int64_t *counted; ///< where it was counted in
} norn_published_reader;

void norn_published_init(norn_published *published, void *object);
/// What is published now; it stays until norn_published_leave, on any thread.
const void *norn_published_enter(norn_published *published, norn_published_reader *reader);
void norn_published_leave(norn_published_reader *reader);
/// Publish `object`; gives the one before, which is the caller's alone: it has waited for readers.
void *norn_published_put(norn_published *published, void *object);

#endif
