#include "base/published.h"

#include <time.h>

void norn_published_init(norn_published *published, void *object) {
    atomic_init(&published->object, object);
    atomic_init(&published->phase, 0);
    for (int i = 0; i < NORN_PUBLISHED_SHARDS; i++)
        for (int phase = 0; phase < 2; phase++) atomic_init(&published->shards[i].inside[phase], 0);
}

/// Threads take shards in turn.
static uint32_t own_shard(void) {
    static _Atomic uint32_t next;
    static _Thread_local uint32_t own; // one more than the shard; 0: none yet
    if (own == 0)
        own = 1 + atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % NORN_PUBLISHED_SHARDS;
    return own - 1;
}

/// All of it is sequentially consistent: who is counted in after a writer has looked sees what that
/// writer had published before.
const void *norn_published_enter(norn_published *published, norn_published_reader *reader) {
    const uint32_t phase = atomic_load(&published->phase) & 1;
    reader->counted = &published->shards[own_shard()].inside[phase];
    atomic_fetch_add(reader->counted, 1);
    return atomic_load(&published->object);
}

void norn_published_leave(norn_published_reader *reader) {
    atomic_fetch_sub_explicit(reader->counted, 1, memory_order_release);
}

static void wait_for_phase(norn_published *published, uint32_t phase) {
    const struct timespec moment = {.tv_nsec = 20000};
    for (int i = 0; i < NORN_PUBLISHED_SHARDS; i++)
        while (atomic_load(&published->shards[i].inside[phase]) != 0)
            (void)nanosleep(&moment, NULL);
}

/// Twice: a reader that read the phase long ago may be counted in either.
/// New readers go where the writer is not waiting, so it is done at some time.
void *norn_published_put(norn_published *published, void *object) {
    void *before = atomic_exchange(&published->object, object);
    for (int turn = 0; turn < 2; turn++)
        wait_for_phase(published, atomic_fetch_add(&published->phase, 1) & 1);
    return before;
}
