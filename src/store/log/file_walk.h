/// Every frame of a partition of a file log, void ones too, straight from its segments: for those who
/// check a log instead of following it.
#ifndef NORN_STORE_LOG_FILE_WALK_H
#define NORN_STORE_LOG_FILE_WALK_H

#include "store/log/file_log.h"

typedef struct norn_file_walk_place {
    const char *segment; ///< its path
    int64_t offset;
} norn_file_walk_place;

/// Borrowed until it returns.
typedef norn_status (*norn_file_walk_fn)(void *context, const norn_log_frame *frame,
                                         const norn_file_walk_place *place);

typedef struct norn_file_walk_end {
    uint32_t segments;
    uint64_t bytes;      ///< of whole frames
    uint64_t torn_bytes; ///< behind the last one: being written, or left by a writer that died
} norn_file_walk_end;

/// Frames in order, each read whole; their sequences follow one another.
/// Errors   DATA_LOSS: damage or a gap, with segment and byte; those of `fn`
norn_status norn_file_log_walk(norn_delta_log *log, uint32_t partition, norn_alloc alloc,
                               norn_file_walk_fn fn, void *context,
                               norn_file_walk_end *out) NORN_NODISCARD;

#endif
