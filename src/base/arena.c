#include "base/arena.h"

#include "base/checked.h"
#include "base/memory.h"
#include "base/poison.h"

#include <stdio.h>
#include <string.h>

/// Blocks align to NORN_HOST_ALIGN and the header is that long,
/// so offsets and addresses align alike.
struct norn_arena_block {
    norn_arena_block *next;
    size_t capacity; ///< after the header
};
enum { HEADER_BYTES = NORN_HOST_ALIGN, DEFAULT_BLOCK_BYTES = 64 * 1024 };
_Static_assert(sizeof(norn_arena_block) <= HEADER_BYTES, "the header must fit");

static unsigned char *block_bytes(norn_arena_block *block) {
    return (unsigned char *)block + HEADER_BYTES;
}

void norn_arena_init(norn_arena *arena, norn_alloc alloc, size_t wanted_block_bytes) {
    *arena =
        (norn_arena){.alloc = alloc,
                     .block_bytes = wanted_block_bytes ? wanted_block_bytes : DEFAULT_BLOCK_BYTES};
}

static void release_blocks(norn_arena *arena, norn_arena_block *keep) {
    norn_arena_block *block = arena->head;
    while (block) {
        norn_arena_block *next = block->next;
        if (block != keep) {
            norn_unpoison(block, HEADER_BYTES + block->capacity);
            norn_free(arena->alloc, block);
        }
        block = next;
    }
}

void norn_arena_deinit(norn_arena *arena) {
    release_blocks(arena, NULL);
    arena->head = NULL;
    arena->used = arena->capacity = 0;
}

void norn_arena_reset(norn_arena *arena) {
    norn_arena_block *largest = arena->head;
    for (norn_arena_block *block = arena->head; block; block = block->next)
        if (block->capacity > largest->capacity) largest = block;
    release_blocks(arena, largest);
    arena->head = largest;
    arena->used = 0;
    arena->capacity = largest ? largest->capacity : 0;
    if (!largest) return;
    largest->next = NULL;
    norn_poison(block_bytes(largest), largest->capacity);
}

size_t norn_arena_bytes(const norn_arena *arena) {
    size_t bytes = 0;
    for (const norn_arena_block *block = arena->head; block; block = block->next)
        bytes += block->capacity + HEADER_BYTES;
    return bytes;
}

/// A block with room for `bytes`. It becomes the head, unless it is a large single that would throw
/// away more room in the head than it leaves.
static norn_status add_block(norn_arena *arena, size_t bytes, norn_arena_block **out) {
    size_t capacity = bytes > arena->block_bytes ? bytes : arena->block_bytes;
    size_t total;
    void *memory;
    *out = NULL;
    if (!norn_size_add(capacity, HEADER_BYTES, &total))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu byte%s", bytes,
                         norn_plural(bytes));
    NORN_TRY(norn_alloc_bytes(arena->alloc, total, &memory));
    norn_arena_block *block = memory;
    block->capacity = capacity;
    norn_poison(block + 1, total - sizeof *block);
    if (arena->head && capacity - bytes < arena->capacity - arena->used) {
        block->next = arena->head->next;
        arena->head->next = block;
    } else {
        block->next = arena->head;
        arena->head = block;
        arena->used = 0;
        arena->capacity = capacity;
    }
    *out = block;
    return NORN_OK;
}

norn_status norn_arena_take(norn_arena *arena, size_t count, size_t size, size_t align,
                            void **out) {
    size_t bytes;
    *out = NULL;
    if (!norn_size_mul(count, size, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu times %zu byte%s", count,
                         size, norn_plural(size));
    if (bytes == 0) bytes = 1; // so that every result is a distinct address
    if (align == 0 || (align & (align - 1)) != 0 || align > NORN_HOST_ALIGN)
        return norn_fail(NORN_INTERNAL, "arena: alignment %zu is not a power of two up to %d",
                         align, NORN_HOST_ALIGN);

    size_t offset = norn_align_up(arena->used + (arena->used ? (size_t)NORN_RED_BYTES : 0), align);
    unsigned char *memory;
    if (arena->head && offset <= arena->capacity && bytes <= arena->capacity - offset) {
        memory = block_bytes(arena->head) + offset;
        arena->used = offset + bytes;
    } else {
        norn_arena_block *block;
        NORN_TRY(add_block(arena, bytes, &block));
        memory = block_bytes(block);
        if (block == arena->head) arena->used = bytes;
    }
    norn_unpoison(memory, bytes);
    *out = memset(memory, 0, bytes);
    return NORN_OK;
}

norn_status norn_arena_string(norn_arena *arena, const char *bytes, size_t count,
                              const char **out) {
    size_t room;
    void *memory;
    *out = NULL;
    if (!norn_size_add(count, 1, &room))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu byte%s", count,
                         norn_plural(count));
    NORN_TRY(norn_arena_take(arena, room, 1, 1, &memory));
    if (count) memcpy(memory, bytes, count);
    *out = memory; // take has zeroed the terminator
    return NORN_OK;
}

norn_status norn_arena_grow(norn_arena *arena, void **items, size_t size, size_t count,
                            size_t *capacity) {
    const size_t wanted = *capacity ? 2 * *capacity : NORN_GROW_FIRST;
    void *grown;
    if (count < *capacity) return NORN_OK;
    NORN_TRY(norn_arena_take(arena, wanted, size, 16, &grown));
    if (count) memcpy(grown, *items, count * size);
    *items = grown;
    *capacity = wanted;
    return NORN_OK;
}

norn_status norn_arena_format(norn_arena *arena, const char **out, const char *format, ...) {
    va_list arguments, again;
    void *memory;
    norn_status status = NORN_OK;
    *out = NULL;
    va_start(arguments, format);
    va_copy(again, arguments);
    int count = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (count < 0) {
        status = norn_fail(NORN_INTERNAL, "arena: cannot format '%s'", format);
        goto done;
    }
    NORN_TRY_DONE(norn_arena_take(arena, (size_t)count + 1, 1, 1, &memory));
    vsnprintf(memory, (size_t)count + 1, format, again);
    *out = memory;
done:
    va_end(again);
    return status;
}
