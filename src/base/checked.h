/// Sizes multiply and add through these only. Each returns false on overflow and leaves *out alone.
#ifndef NORN_BASE_CHECKED_H
#define NORN_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool norn_size_mul(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool norn_size_add(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool norn_i64_mul(int64_t a, int64_t b, int64_t *out) {
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool norn_i64_add(int64_t a, int64_t b, int64_t *out) {
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
/// Smallest multiple of `align` (a power of two) that is >= bytes;
/// saturates at SIZE_MAX & ~(align-1).
static inline size_t norn_align_up(size_t bytes, size_t align) {
    return bytes > SIZE_MAX - (align - 1) ? SIZE_MAX & ~(align - 1)
                                          : (bytes + align - 1) & ~(align - 1);
}

#endif
