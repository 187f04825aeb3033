#include "base/log.h"

#include "base/clock.h"
#include "base/log_writer.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 2048, UNSET = -1 };

static _Atomic int current = UNSET;

static const char *const names[] = {"error", "warn", "info", "debug"};

/// `unknown`: a word that is none.
static int level_from_environment(const char **unknown) {
    const char *text = getenv("NORN_LOG");
    *unknown = NULL;
    for (int i = NORN_LOG_ERROR; text && i <= NORN_LOG_DEBUG; i++)
        if (strcmp(text, names[i]) == 0) return i;
    if (text && *text) *unknown = text;
    return NORN_LOG_INFO;
}

norn_log_level norn_log_get_level(void) {
    int level = atomic_load_explicit(&current, memory_order_relaxed);
    if (level == UNSET) {
        // Two threads may both look; a level that was set meanwhile wins.
        const char *unknown;
        int found = level_from_environment(&unknown);
        if (atomic_compare_exchange_strong(&current, &level, found)) {
            level = found;
            if (unknown)
                norn_log(NORN_LOG_WARN,
                         "NORN_LOG=%s is none of error, warn, info, debug; using info", unknown);
        }
    }
    return (norn_log_level)level;
}

void norn_log_set_level(norn_log_level level) {
    atomic_store_explicit(&current, (int)level, memory_order_relaxed);
}

void norn_log(norn_log_level level, const char *format, ...) {
    if (level > norn_log_get_level()) return;
    char line[LINE_BYTES];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, sizeof line - used, ".%03ldZ %s ", now.tv_nsec / 1000000,
                             names[level]);
    size_t begin = used;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    if (wanted > 0) used += (size_t)wanted;
    if (used > sizeof line - 1) used = sizeof line - 1; // cut; the last byte is for the newline
    // One event is one line, whatever names from a model or request hold.
    for (size_t i = begin; i < used; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = ' ';
    line[used++] = '\n';
    norn_log_write(line, used);
}

void norn_log_limited(norn_log_limit *limit, norn_log_level level, const char *format, ...) {
    const int64_t now_ns = norn_clock_now_ns();
    int64_t next_ns = atomic_load_explicit(&limit->next_ns, memory_order_relaxed);
    char text[LINE_BYTES];
    if (level > norn_log_get_level()) return;
    if (now_ns < next_ns ||
        !atomic_compare_exchange_strong_explicit(&limit->next_ns, &next_ns, now_ns + 1000000000,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&limit->left_out, 1, memory_order_relaxed);
        return;
    }
    const int64_t left_out = atomic_exchange_explicit(&limit->left_out, 0, memory_order_relaxed);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (left_out) {
        norn_log(level, "%s (and %lld more like it)", text, (long long)left_out);
    } else {
        norn_log(level, "%s", text);
    }
}
