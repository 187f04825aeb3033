/// A file log checked from its first frame to its last: checksums, sequences, the chain, epochs, keys,
/// and that every step is whole; and what is in it, counted.
#ifndef NORN_STORE_LOG_LOG_CHECK_H
#define NORN_STORE_LOG_LOG_CHECK_H

#include "base/progress.h"
#include "store/log/log.h"
#include "store/tier.h"

typedef struct norn_log_facts {
    uint32_t partitions, segments;
    uint64_t epoch;      ///< the greatest that was begun
    uint64_t base;       ///< of the newest line of training
    uint64_t first_step; ///< that is whole here; 0: none
    uint64_t step;       ///< the last that is whole
    uint64_t steps, frames, bytes, rows, deletes, dense;
    uint64_t torn_bytes;  ///< that are no frame yet, at the ends
    uint64_t open_frames; ///< behind the last whole step: being written, or void
    int64_t published_ns; ///< of the last whole step
} norn_log_facts;

/// `cut` (NULL: none) must be a place of this log: a version stands there.
/// Errors   NOT_FOUND: no log; DATA_LOSS: the first thing that is wrong, with segment, byte and
///          sequence; OUT_OF_RANGE: what follows the cut was trimmed away
norn_status norn_log_check(const char *dir, const norn_cut *cut, const norn_progress *progress,
                           norn_alloc alloc, norn_log_facts *out) NORN_NODISCARD;

#endif
