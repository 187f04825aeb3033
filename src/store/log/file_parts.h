/// What the reading and the writing half of a file log share. For store/log alone.
#ifndef NORN_STORE_LOG_FILE_PARTS_H
#define NORN_STORE_LOG_FILE_PARTS_H

#include "store/log/file_log.h"

#include <pthread.h>
#include <stdio.h>

enum { NORN_LOG_PATH = 4096 };

/// Where a reader is in a partition.
typedef struct norn_file_cursor {
    int fd;         ///< of the segment; -1: nowhere
    uint64_t first; ///< its name
    uint64_t next;
    int64_t offset;           ///< of frame `next`
    int64_t damaged_since_ns; ///< 0: what is at `offset` is whole, or not there yet
} norn_file_cursor;

/// Where the writer appends to a partition.
typedef struct norn_file_end {
    int fd;        ///< of the last segment; -1: there is none yet
    int64_t bytes; ///< of it
    uint64_t next; ///< sequence of the next frame
} norn_file_end;

typedef struct norn_file_log {
    norn_delta_log base;
    norn_alloc alloc;
    char *dir, *url;
    norn_file_cursor *cursors; ///< by partition
    norn_file_end *ends;       ///< likewise; NULL: not the writer
    uint64_t epoch;            ///< the writer's
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
} norn_file_log;

static inline norn_file_log *norn_file_log_of(norn_delta_log *log) {
    return (norn_file_log *)(void *)log;
}

/// The path of a segment.
static inline void norn_file_segment_path(const norn_file_log *log, uint32_t partition,
                                          uint64_t first, char path[NORN_LOG_PATH]) {
    (void)snprintf(path, NORN_LOG_PATH, "%s/%05u/%020llu.ndl", log->dir, partition,
                   (unsigned long long)first);
}
/// The greatest number among names `PREFIX<20 digits>SUFFIX` in `dir` that is at most `most`, and
/// the least of all; both 0 where there is none.
norn_status norn_file_numbers(const char *dir, const char *prefix, const char *suffix,
                              uint64_t most, uint64_t *greatest, uint64_t *least) NORN_NODISCARD;

/// Is there a whole frame anywhere behind byte `from` of a segment?
norn_status norn_file_frame_follows(norn_alloc alloc, int fd, int64_t from,
                                    bool *out) NORN_NODISCARD;

norn_status norn_file_log_fence(norn_delta_log *self, uint64_t *epoch,
                                norn_log_tail *tails) NORN_NODISCARD;
norn_status norn_file_log_append(norn_delta_log *self, const norn_span *frames) NORN_NODISCARD;
norn_status norn_file_log_trim(norn_delta_log *self, uint32_t partition,
                               uint64_t sequence) NORN_NODISCARD;
void norn_file_ends_close(norn_file_log *log);

#endif
