#include "base/checked.h"
#include "base/memory.h"
#include "base/wire.h"

#include <stdarg.h>
#include <stdio.h>

void norn_buffer_init(norn_buffer *buffer, norn_alloc alloc) {
    *buffer = (norn_buffer){.alloc = alloc};
}

void norn_buffer_deinit(norn_buffer *buffer) {
    norn_free(buffer->alloc, buffer->bytes);
    norn_buffer_init(buffer, buffer->alloc);
}

void norn_buffer_clear(norn_buffer *buffer) {
    buffer->count = 0;
    buffer->failed = false;
}

static bool grow(norn_buffer *buffer, size_t wanted) {
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < wanted)
        if (!norn_size_mul(capacity, 2, &capacity)) return false;
    // Not through norn_alloc_bytes: the latch, not this call, is where the error is raised.
    uint8_t *bytes = buffer->alloc.allocate(buffer->alloc.context, capacity, NORN_HOST_ALIGN);
    if (!bytes) return false;
    if (buffer->bytes) memcpy(bytes, buffer->bytes, buffer->count);
    norn_free(buffer->alloc, buffer->bytes);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void *norn_buffer_extend(norn_buffer *buffer, size_t count) {
    size_t wanted;
    if (buffer->failed) return NULL;
    if (!norn_size_add(buffer->count, count, &wanted) ||
        ((wanted > buffer->capacity || !buffer->bytes) && !grow(buffer, wanted))) {
        buffer->failed = true;
        return NULL;
    }
    void *room = buffer->bytes + buffer->count;
    buffer->count = wanted;
    return room;
}

void norn_buffer_append(norn_buffer *buffer, const void *bytes, size_t count) {
    if (count == 0) return;
    void *room = norn_buffer_extend(buffer, count);
    if (room) memcpy(room, bytes, count);
}

void norn_buffer_text(norn_buffer *buffer, const char *text) {
    norn_buffer_append(buffer, text, strlen(text));
}

void norn_buffer_format(norn_buffer *buffer, const char *format, ...) {
    va_list arguments;
    char small[256];
    va_start(arguments, format);
    int count = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (count < 0) {
        buffer->failed = true;
        return;
    }
    if ((size_t)count < sizeof small) {
        norn_buffer_append(buffer, small, (size_t)count);
        return;
    }
    char *room = norn_buffer_extend(buffer, (size_t)count + 1);
    if (!room) return;
    va_start(arguments, format);
    vsnprintf(room, (size_t)count + 1, format, arguments);
    va_end(arguments);
    buffer->count--; // the terminator
}

norn_status norn_buffer_status(const norn_buffer *buffer) {
    if (!buffer->failed) return NORN_OK;
    return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: a buffer of %zu byte%s cannot grow",
                     buffer->count, norn_plural(buffer->count));
}
