/// A log whose frames lie in memory, where a test can lose, repeat, change or forge them.
#ifndef NORN_TESTING_MEMORY_LOG_H
#define NORN_TESTING_MEMORY_LOG_H

#include "store/log/log.h"

enum { MEMORY_LOG_PARTITIONS = 4, MEMORY_LOG_FRAMES = 4096 };

typedef struct memory_frame {
    void *bytes; ///< as stored, with padding; aligned
    size_t count;
} memory_frame;

typedef struct memory_log {
    norn_delta_log base;
    struct {
        memory_frame
            frames[MEMORY_LOG_FRAMES]; ///< in order; the first is of sequence `trimmed` + 1
        size_t count;
        uint64_t trimmed;
    } parts[MEMORY_LOG_PARTITIONS];
    uint64_t epoch;
    size_t visible; ///< frames of a partition that readers see; SIZE_MAX: all
    int appends_that_fail;
} memory_log;

memory_log *memory_log_create(uint32_t partitions);
/// Where frame `index` of a partition can be written to.
norn_log_frame_header *memory_log_header(memory_log *log, uint32_t partition, size_t index);
/// Its header, made right again after a change: checksums, and no other frame's.
void memory_log_mend(memory_log *log, uint32_t partition, size_t index);
void memory_log_remove(memory_log *log, uint32_t partition, size_t index);
void memory_log_insert(memory_log *log, uint32_t partition, size_t index, const void *bytes,
                       size_t count);

#endif
