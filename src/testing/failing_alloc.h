/// An allocator that fails allocation number `fail_at` (counted from 0) and after, and counts live
/// blocks, so that a sweep over fail_at proves that every `create` cleans up. Wraps the heap.
///
/// Threads  any, but which thread has which number is then a matter of luck.
#ifndef NORN_TESTING_FAILING_ALLOC_H
#define NORN_TESTING_FAILING_ALLOC_H

#include "base/memory.h"

#include <stdatomic.h>

typedef struct norn_alloc_faulty {
    size_t fail_at;
    _Atomic size_t count, live;
} norn_alloc_faulty;

static inline void *faulty_allocate(void *context, size_t bytes, size_t align_bytes) {
    norn_alloc_faulty *state = context;
    const norn_alloc heap = norn_alloc_heap();
    if (state->count++ >= state->fail_at) return NULL;
    void *memory = heap.allocate(heap.context, bytes, align_bytes);
    if (memory) state->live++;
    return memory;
}

static inline void faulty_release(void *context, void *memory) {
    norn_alloc_faulty *state = context;
    const norn_alloc heap = norn_alloc_heap();
    if (memory) state->live--;
    heap.release(heap.context, memory);
}

static inline norn_alloc norn_alloc_failing(norn_alloc_faulty *state) {
    return (norn_alloc){faulty_allocate, faulty_release, state};
}

#endif
