/// The heap with an end, for what may ask for any amount: a block of more than the limit fails.
#ifndef NORN_TESTING_LIMITED_ALLOC_H
#define NORN_TESTING_LIMITED_ALLOC_H

#include "base/memory.h"

static inline void *limited_allocate(void *context, size_t bytes, size_t align) {
    const norn_alloc heap = norn_alloc_heap();
    return bytes > *(const size_t *)context ? NULL : heap.allocate(heap.context, bytes, align);
}

static inline void limited_release(void *context, void *memory) {
    const norn_alloc heap = norn_alloc_heap();
    (void)context;
    heap.release(heap.context, memory);
}

/// `most` is of one block, and lives as long as the allocator.
static inline norn_alloc norn_alloc_limited(size_t *most) {
    return (norn_alloc){limited_allocate, limited_release, most};
}

#endif
