/// Calls on a norn_alloc. All are checked: count * size overflow is RESOURCE_EXHAUSTED.
#ifndef NORN_BASE_MEMORY_H
#define NORN_BASE_MEMORY_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdint.h>

/// Host buffers align to 64 bytes.
enum { NORN_HOST_ALIGN = 64 };

/// `count * size` zeroed bytes (at least one).
/// Errors   RESOURCE_EXHAUSTED, *out NULL.
norn_status norn_alloc_zeroed(norn_alloc alloc, size_t count, size_t size,
                              void **out) NORN_NODISCARD;
/// The same, not zeroed: for buffers that are about to be written.
norn_status norn_alloc_bytes(norn_alloc alloc, size_t bytes, void **out) NORN_NODISCARD;
norn_status norn_alloc_string(norn_alloc alloc, const char *text, char **out) NORN_NODISCARD;
/// Ask for huge pages behind a large block that was just taken and will be read at random: fewer TLB
/// misses. Nothing happens where the system has none, or the block is smaller than a few of them.
void norn_memory_huge(void *memory, size_t bytes);
static inline void norn_free(norn_alloc alloc, void *memory) {
    alloc.release(alloc.context, memory);
}

/// NORN_NEW(alloc, &pointer): one zeroed object of the pointer's type.
#define NORN_NEW(alloc, out) norn_alloc_zeroed((alloc), 1, sizeof(**(out)), (void **)(out))
#define NORN_NEW_ARRAY(alloc, count, out) \
    norn_alloc_zeroed((alloc), (count), sizeof(**(out)), (void **)(out))

/// Makes room for one more behind the `count` of *capacity elements of *items: twice as many where
/// these are all, NORN_GROW_FIRST at first. In an arena: norn_arena_grow.
enum { NORN_GROW_FIRST = 16 };
norn_status norn_alloc_grow(norn_alloc alloc, void **items, size_t size, size_t count,
                            size_t *capacity) NORN_NODISCARD;
#define NORN_MORE(alloc, items, count, capacity) \
    norn_alloc_grow((alloc), (void **)(items), sizeof(**(items)), (count), (capacity))

/// Bytes that this process can still take without the kernel ending somebody: of the machine, and
/// of the control groups (v2) around the process. UINT64_MAX: not known.
uint64_t norn_memory_left_bytes(void);

#endif
