/// One line an event to stderr: time, level, text. Threads: safe; a line is never torn.
///
/// At first a line is one write(), on the thread that says it. A server calls norn_log_start: from
/// then on a thread of its own writes, so that a pipe which nobody reads holds up nobody; lines for
/// which there is no room in memory are left out, and counted in the log when it moves again. (Not
/// O_NONBLOCK: stderr is shared with other processes, to which that would be rude.)
#ifndef NORN_BASE_LOG_H
#define NORN_BASE_LOG_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdint.h>

typedef enum norn_log_level {
    NORN_LOG_ERROR,
    NORN_LOG_WARN,
    NORN_LOG_INFO,
    NORN_LOG_DEBUG
} norn_log_level;

/// Default: NORN_LOG_INFO, or what the environment variable NORN_LOG
/// says (error, warn, info, debug).
void norn_log_set_level(norn_log_level level);
norn_log_level norn_log_get_level(void);
void norn_log(norn_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Write from a thread of its own until norn_log_stop. Twice is once.
norn_status norn_log_start(void) NORN_NODISCARD;
/// Wait until all lines are written, but no longer than `wait_ms`: what is left then is lost, and
/// so is every later line, for the reader is stuck.
void norn_log_stop(int64_t wait_ms);

/// For events that a client or a full disk can repeat at will: at most one line a second from each
/// place in the code; the next one says how many were left out.
typedef struct norn_log_limit {
    _Atomic int64_t next_ns, left_out;
} norn_log_limit;
void norn_log_limited(norn_log_limit *limit, norn_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define NORN_LOG_LIMITED(level, ...)                              \
    do {                                                          \
        static norn_log_limit norn_log_limit_;                    \
        norn_log_limited(&norn_log_limit_, (level), __VA_ARGS__); \
    } while (0)

#endif
