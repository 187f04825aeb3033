/// Memory that was taken from the allocator but handed to nobody: under the address sanitizer it is
/// poisoned, so that one byte before or behind what was handed out is told, not hidden by slack.
/// Elsewhere these are nothing.
///
/// Whoever hands memory out in pieces (arena, blocks, scratch, frame, staging)
/// leaves NORN_RED_BYTES between them, poisons what is free and unpoisons
/// what it gives. Memory is unpoisoned before it goes back to the allocator.
/// A kernel that reads a padded tail on purpose asks for the padding.
#ifndef NORN_BASE_POISON_H
#define NORN_BASE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define NORN_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NORN_POISONS 1
#endif
#endif
#ifndef NORN_POISONS
#define NORN_POISONS 0
#endif

#if NORN_POISONS
#include <sanitizer/asan_interface.h>
enum { NORN_RED_BYTES = 64 };
static inline void norn_poison(const void *memory, size_t bytes) {
    if (memory && bytes) __asan_poison_memory_region(memory, bytes);
}
static inline void norn_unpoison(const void *memory, size_t bytes) {
    if (memory && bytes) __asan_unpoison_memory_region(memory, bytes);
}
static inline int norn_is_poisoned(const void *byte) {
    return __asan_address_is_poisoned(byte);
}
#else
enum { NORN_RED_BYTES = 0 };
static inline void norn_poison(const void *memory, size_t bytes) {
    (void)memory, (void)bytes;
}
static inline void norn_unpoison(const void *memory, size_t bytes) {
    (void)memory, (void)bytes;
}
static inline int norn_is_poisoned(const void *byte) {
    (void)byte;
    return 0;
}
#endif

#endif
