/// Commands as bytes: an array of strings.
#ifndef NORN_STORE_REDIS_COMMAND_H
#define NORN_STORE_REDIS_COMMAND_H

#include "base/span.h"
#include "base/wire.h"

void norn_redis_put_array(norn_buffer *out, uint32_t count);
void norn_redis_put_bytes(norn_buffer *out, const void *bytes, size_t count);
/// Of two pieces, as one string.
void norn_redis_put_pair(norn_buffer *out, const void *first, size_t first_count,
                         const void *second, size_t second_count);
static inline void norn_redis_put_text(norn_buffer *out, const char *text) {
    norn_redis_put_bytes(out, text, strlen(text));
}
/// A command of words alone, NULL after the last.
void norn_redis_put_words(norn_buffer *out, ...) __attribute__((sentinel));

#endif
