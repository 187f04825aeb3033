/// Memory that is given back all at once. One arena a graph, a plan, a request.
///
/// Memory   grows by blocks taken from the allocator; 64-byte alignment on request.
/// Threads  one at a time.
#ifndef NORN_BASE_ARENA_H
#define NORN_BASE_ARENA_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdarg.h>

typedef struct norn_arena_block norn_arena_block;
typedef struct norn_arena {
    norn_alloc alloc;
    norn_arena_block *head;
    size_t used, capacity; ///< within head
    size_t block_bytes;
} norn_arena;

/// Allocates nothing.
void norn_arena_init(norn_arena *arena, norn_alloc alloc, size_t block_bytes);
void norn_arena_deinit(norn_arena *arena);
/// Forget everything but keep the largest block for reuse.
void norn_arena_reset(norn_arena *arena);
size_t norn_arena_bytes(const norn_arena *arena); ///< taken from the allocator, for accounts

norn_status norn_arena_take(norn_arena *arena, size_t count, size_t size, size_t align,
                            void **out) NORN_NODISCARD; ///< zeroed
norn_status norn_arena_string(norn_arena *arena, const char *bytes, size_t count,
                              const char **out) NORN_NODISCARD; ///< adds NUL
norn_status norn_arena_format(norn_arena *arena, const char **out, const char *format, ...)
    __attribute__((format(printf, 3, 4))) NORN_NODISCARD;

/// Makes room for one more behind the `count` of *capacity elements of *items: twice as many where
/// these are all, 16 at first. What was there before is left behind.
norn_status norn_arena_grow(norn_arena *arena, void **items, size_t size, size_t count,
                            size_t *capacity) NORN_NODISCARD;

#define NORN_TAKE_MORE(arena, items, count, capacity) \
    norn_arena_grow((arena), (void **)(items), sizeof(**(items)), (count), (capacity))
#define NORN_TAKE(arena, out) norn_arena_take((arena), 1, sizeof(**(out)), 16, (void **)(out))
#define NORN_TAKE_ARRAY(arena, count, out) \
    norn_arena_take((arena), (count), sizeof(**(out)), 16, (void **)(out))

#endif
