/// How lines of the log reach stderr. Private to base.
#ifndef NORN_BASE_LOG_WRITER_H
#define NORN_BASE_LOG_WRITER_H

#include <stddef.h>

/// A whole line with its newline, at most 4 KiB. Blocks only where no writer was started.
void norn_log_write(const char *line, size_t count);

#endif
