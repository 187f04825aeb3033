/// What the OPEN frame of a writer says: the tables that it will write, for a reader to compare with
/// its own.
#ifndef NORN_STORE_LOG_OPEN_FRAME_H
#define NORN_STORE_LOG_OPEN_FRAME_H

#include "base/wire.h"
#include "store/log/frame.h"
#include "store/tier.h"

/// Its payload, for a model of these tables.
void norn_open_frame_write(norn_buffer *text, const char *model, const norn_table_form *tables,
                           uint32_t count);
/// Are the writer's tables those of `version`, in its order?
/// Errors   INVALID_ARGUMENT names the table that differs; DATA_LOSS: it cannot be read
norn_status norn_open_frame_check(const norn_log_frame *frame,
                                  const norn_version *version) NORN_NODISCARD;

#endif
