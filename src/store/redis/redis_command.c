#include "store/redis/redis_command.h"

#include <stdarg.h>

enum { HEAD_BYTES = 1 + 20 + 2 };

/// "$123\r\n". Written by hand: it is on the path of every key.
static size_t write_head(char *out, char mark, size_t value) {
    char digits[20];
    size_t count = 0, at = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    out[at++] = mark;
    while (count) out[at++] = digits[--count];
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}

void norn_redis_put_array(norn_buffer *out, uint32_t count) {
    char head[HEAD_BYTES];
    norn_buffer_append(out, head, write_head(head, '*', count));
}

void norn_redis_put_pair(norn_buffer *out, const void *first, size_t first_count,
                         const void *second, size_t second_count) {
    char head[HEAD_BYTES];
    const size_t head_count = write_head(head, '$', first_count + second_count);
    char *at = norn_buffer_extend(out, head_count + first_count + second_count + 2);
    if (!at) return;
    memcpy(at, head, head_count);
    at += head_count;
    if (first_count) memcpy(at, first, first_count);
    at += first_count;
    if (second_count) memcpy(at, second, second_count);
    memcpy(at + second_count, "\r\n", 2);
}

void norn_redis_put_bytes(norn_buffer *out, const void *bytes, size_t count) {
    norn_redis_put_pair(out, bytes, count, NULL, 0);
}

void norn_redis_put_words(norn_buffer *out, ...) {
    va_list words;
    uint32_t count = 0;
    va_start(words, out);
    while (va_arg(words, const char *)) count++;
    va_end(words);
    norn_redis_put_array(out, count);
    va_start(words, out);
    for (const char *word; (word = va_arg(words, const char *));) norn_redis_put_text(out, word);
    va_end(words);
}
