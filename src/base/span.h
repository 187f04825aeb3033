/// Borrowed bytes: a pointer and a count that travel together.
#ifndef NORN_BASE_SPAN_H
#define NORN_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct norn_span {
    const uint8_t *bytes;
    size_t count;
} norn_span;

static inline norn_span norn_span_of(const void *bytes, size_t count) {
    return (norn_span){(const uint8_t *)bytes, count};
}
static inline norn_span norn_span_text(const char *text) {
    return (norn_span){(const uint8_t *)text, strlen(text)};
}
/// False when [offset, offset + count) is not inside `span`.
static inline bool norn_span_slice(norn_span span, size_t offset, size_t count, norn_span *out) {
    if (offset > span.count || count > span.count - offset) return false;
    *out = (norn_span){offset ? span.bytes + offset : span.bytes, count}; // bytes may be NULL
    return true;
}
static inline bool norn_span_equal(norn_span span, const char *text) {
    size_t n = strlen(text);
    return span.count == n && (n == 0 || memcmp(span.bytes, text, n) == 0);
}

#endif
