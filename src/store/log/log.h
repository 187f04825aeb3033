/// An ordered log of deltas in partitions, which one writer at a time appends to and any number of
/// readers follow. What lies in it are frames (frame.h); who has the log's bytes is what differs.
///
/// Threads  a log is one thread's, but for `wake`. Readers and the writer open one each.
#ifndef NORN_STORE_LOG_LOG_H
#define NORN_STORE_LOG_LOG_H

#include "norn/alloc.h"
#include "store/log/frame.h"

typedef struct norn_delta_log norn_delta_log;

/// Where a partition ends, for whoever writes on.
typedef struct norn_log_tail {
    uint64_t sequence; ///< of the last frame; 0: there is none
    uint32_t chain;    ///< its header CRC
    uint64_t step;     ///< the last that is sealed here; 0: none
} norn_log_tail;

typedef struct norn_delta_log_ops {
    const char *scheme; ///< "file", "redis", "kafka"

    // Reading.
    /// Whole frames of `partition` from sequence `from` on, as many as `room` takes (at least
    /// NORN_LOG_FRAME_STORED_MAX bytes, aligned to 8). Does not wait: *got 0 where there are no more now.
    /// Errors   OUT_OF_RANGE: that sequence was trimmed away; DATA_LOSS: damage, or the log ends
    ///          before it; UNAVAILABLE
    norn_status (*read)(norn_delta_log *self, uint32_t partition, uint64_t from, void *room,
                        size_t bytes, size_t *got);
    /// Returns when there may be more, at `until_ns` (CLOCK_MONOTONIC), or after a wake.
    void (*wait)(norn_delta_log *self, int64_t until_ns);
    void (*wake)(norn_delta_log *self); ///< any thread

    // Writing.
    /// Be the only writer: what older epochs append fails from now on. *epoch is this writer's;
    /// tails[] has room for every partition.
    /// Errors   UNAVAILABLE: an older writer is in mid-append and does not end
    norn_status (*fence)(norn_delta_log *self, uint64_t *epoch, norn_log_tail *tails);
    /// Frames for each partition, in order; durable on OK.
    /// Errors   FAILED_PRECONDITION: another writer has taken over; RESOURCE_EXHAUSTED: the disk
    ///          is full. Some of it may be there: the next append has the same frames
    norn_status (*append)(norn_delta_log *self, const norn_span *frames);
    /// Forget frames before `sequence`, or some of them.
    norn_status (*trim)(norn_delta_log *self, uint32_t partition, uint64_t sequence);

    void (*close)(norn_delta_log *self);
} norn_delta_log_ops;

/// Every log begins with this.
struct norn_delta_log {
    const norn_delta_log_ops *ops;
    const char *url; ///< for messages; lives as long as the log
    uint32_t partitions;
};

/// `url`: "file:DIR", or a folder's path.
/// Errors   NOT_FOUND: there is no log; INVALID_ARGUMENT: an unknown scheme; DATA_LOSS
norn_status norn_delta_log_open(const char *url, norn_alloc alloc,
                                norn_delta_log **out) NORN_NODISCARD;
static inline void norn_delta_log_close(norn_delta_log *log) {
    if (log) log->ops->close(log);
}

#endif
