#include "base/memory.h"
#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *heap_allocate(void *context, size_t bytes, size_t align_bytes) {
    (void)context;
    if (align_bytes <= _Alignof(max_align_t)) return malloc(bytes);
    void *memory = NULL;
    return posix_memalign(&memory, align_bytes, bytes) == 0 ? memory : NULL;
}

static void heap_release(void *context, void *memory) {
    (void)context;
    free(memory);
}

norn_alloc norn_alloc_heap(void) {
    return (norn_alloc){heap_allocate, heap_release, NULL};
}

norn_status norn_alloc_bytes(norn_alloc alloc, size_t bytes, void **out) {
    *out = alloc.allocate(alloc.context, bytes ? bytes : 1, NORN_HOST_ALIGN);
    if (!*out)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu byte%s", bytes,
                         norn_plural(bytes));
    return NORN_OK;
}

norn_status norn_alloc_zeroed(norn_alloc alloc, size_t count, size_t size, void **out) {
    size_t bytes;
    *out = NULL;
    if (!norn_size_mul(count, size, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu times %zu byte%s", count,
                         size, norn_plural(size));
    NORN_TRY(norn_alloc_bytes(alloc, bytes, out));
    memset(*out, 0, bytes ? bytes : 1);
    return NORN_OK;
}

norn_status norn_alloc_grow(norn_alloc alloc, void **items, size_t size, size_t count,
                            size_t *capacity) {
    const size_t wanted = *capacity ? 2 * *capacity : NORN_GROW_FIRST;
    void *grown;
    if (count < *capacity) return NORN_OK;
    NORN_TRY(norn_alloc_zeroed(alloc, wanted, size, &grown));
    if (count) memcpy(grown, *items, count * size);
    norn_free(alloc, *items);
    *items = grown;
    *capacity = wanted;
    return NORN_OK;
}

norn_status norn_alloc_string(norn_alloc alloc, const char *text, char **out) {
    size_t bytes = strlen(text) + 1;
    void *memory;
    *out = NULL;
    NORN_TRY(norn_alloc_bytes(alloc, bytes, &memory));
    *out = memcpy(memory, text, bytes);
    return NORN_OK;
}

void norn_memory_huge(void *memory, size_t bytes) {
    enum { HUGE_BYTES = 2 << 20, PAGE_BYTES = 4096 };
    const uintptr_t begin = norn_align_up((uintptr_t)memory, PAGE_BYTES);
    const uintptr_t end = ((uintptr_t)memory + bytes) / PAGE_BYTES * PAGE_BYTES;
    if (bytes >= 2 * HUGE_BYTES) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}
