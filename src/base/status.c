#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES];

/// Print into text[used..capacity); long text ends in "…". Returns the new length.
__attribute__((format(printf, 4, 0))) static size_t
print_cut(char *text, size_t used, size_t capacity, const char *format, va_list arguments) {
    static const char ellipsis[] = "\xe2\x80\xa6";
    int wanted = vsnprintf(text + used, capacity - used, format, arguments);
    if (wanted < 0) {
        text[used] = '\0';
        return used;
    }
    if ((size_t)wanted < capacity - used) return used + (size_t)wanted;
    size_t end = capacity - sizeof ellipsis;
    // Do not leave half of a UTF-8 character before the mark.
    while (end > 0 && ((unsigned char)text[end] & 0xC0u) == 0x80u) end--;
    memcpy(text + end, ellipsis, sizeof ellipsis);
    return end + sizeof ellipsis - 1;
}

/// A message is one line, whatever names a file brought along: no control characters.
static void make_one_line(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c == '\n' || *c == '\t') *c = ' ';
        if (*c < 0x20 || *c == 0x7f) *c = '?';
    }
}

void norn_set_message(const char *format, ...) {
    // Arguments may point into the old message, so the new one is printed beside it.
    char text[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    size_t count = print_cut(text, 0, sizeof text, format, arguments);
    va_end(arguments);
    make_one_line(text);
    memcpy(message, text, count + 1);
}

void norn_note(const char *format, ...) {
    // Room for ": " and a few words of the message is kept, whatever the length of the context.
    enum { CONTEXT_BYTES = MESSAGE_BYTES / 2 };
    char text[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    size_t count = print_cut(text, 0, CONTEXT_BYTES, format, arguments);
    va_end(arguments);
    text[count++] = ':';
    text[count++] = ' ';
    size_t old = strlen(message);
    if (old < sizeof text - count) {
        memcpy(text + count, message, old + 1);
        count += old;
    } else {
        static const char ellipsis[] = "\xe2\x80\xa6";
        size_t room = sizeof text - count - sizeof ellipsis;
        while (room > 0 && ((unsigned char)message[room] & 0xC0u) == 0x80u) room--;
        memcpy(text + count, message, room);
        memcpy(text + count + room, ellipsis, sizeof ellipsis);
        count += room + sizeof ellipsis - 1;
    }
    make_one_line(text);
    memcpy(message, text, count + 1);
}

const char *norn_message(void) {
    return message;
}

const char *norn_status_name(norn_status status) {
    static const char *const names[] = {
        [NORN_OK] = "OK",
        [NORN_CANCELLED] = "CANCELLED",
        [NORN_UNKNOWN] = "UNKNOWN",
        [NORN_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [NORN_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [NORN_NOT_FOUND] = "NOT_FOUND",
        [NORN_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [NORN_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [NORN_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [NORN_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [NORN_ABORTED] = "ABORTED",
        [NORN_OUT_OF_RANGE] = "OUT_OF_RANGE",
        [NORN_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [NORN_INTERNAL] = "INTERNAL",
        [NORN_UNAVAILABLE] = "UNAVAILABLE",
        [NORN_DATA_LOSS] = "DATA_LOSS",
    };
    size_t index = (size_t)status;
    return index < sizeof names / sizeof *names ? names[index] : "UNKNOWN";
}
