/// One line an event to stderr: time, level, text. Threads: safe; a line is one write().
#ifndef NORN_BASE_LOG_H
#define NORN_BASE_LOG_H

typedef enum norn_log_level {
    NORN_LOG_ERROR,
    NORN_LOG_WARN,
    NORN_LOG_INFO,
    NORN_LOG_DEBUG
} norn_log_level;

/// Default: NORN_LOG_INFO, or what the environment variable NORN_LOG says (error, warn, info,
/// debug).
void norn_log_set_level(norn_log_level level);
norn_log_level norn_log_get_level(void);
void norn_log(norn_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
