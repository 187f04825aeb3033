/// The allocator that goes into every `create`. Copied by value; `context` must outlive its users.
#ifndef NORN_ALLOC_H
#define NORN_ALLOC_H

#include "norn/status.h"

#include <stddef.h>

/// allocate returns NULL when it cannot; `align_bytes` is a power of two; `bytes` is at least 1.
/// release takes NULL. Both may be called from any thread.
typedef struct norn_alloc {
    void *(*allocate)(void *context, size_t bytes, size_t align_bytes);
    void (*release)(void *context, void *memory);
    void *context;
} norn_alloc;

/// The C heap.
NORN_API norn_alloc norn_alloc_heap(void);

#endif
