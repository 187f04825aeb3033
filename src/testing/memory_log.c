#include "testing/memory_log.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static memory_log *log_of(norn_delta_log *self) {
    return (memory_log *)(void *)self;
}

static uint64_t sequence_of(const memory_frame *frame) {
    norn_log_frame_header header;
    memcpy(&header, frame->bytes, sizeof header);
    return header.sequence;
}

/// From the first frame at `from` or after it, as it lies there: what it says of itself is for the reader
/// to check.
static norn_status read_frames(norn_delta_log *self, uint32_t partition, uint64_t from, void *room,
                               size_t bytes, size_t *got) {
    memory_log *log = log_of(self);
    *got = 0;
    if (from <= log->parts[partition].trimmed)
        return norn_fail(NORN_OUT_OF_RANGE, "sequence %llu was trimmed away",
                         (unsigned long long)from);
    for (size_t i = 0; i < log->parts[partition].count && i < log->visible; i++) {
        const memory_frame *frame = &log->parts[partition].frames[i];
        if (*got == 0 && sequence_of(frame) < from) continue;
        if (*got + frame->count > bytes) break;
        memcpy((char *)room + *got, frame->bytes, frame->count);
        *got += frame->count;
    }
    return NORN_OK;
}

static void wait_for_more(norn_delta_log *self, int64_t until_ns) {
    (void)self;
    (void)until_ns;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void wake(norn_delta_log *self) {
    (void)self;
}

static norn_status fence(norn_delta_log *self, uint64_t *epoch, norn_log_tail *tails) {
    memory_log *log = log_of(self);
    *epoch = ++log->epoch;
    for (uint32_t p = 0; p < self->partitions; p++) {
        tails[p] = (norn_log_tail){.sequence = log->parts[p].trimmed};
        for (size_t i = 0; i < log->parts[p].count; i++) {
            const norn_log_frame_header *h = memory_log_header(log, p, i);
            tails[p].sequence = h->sequence;
            tails[p].chain = h->header_crc;
            if (h->kind == NORN_LOG_FRAME_SEAL || h->kind == NORN_LOG_FRAME_OPEN)
                tails[p].step = h->step;
        }
    }
    return NORN_OK;
}

static norn_status append(norn_delta_log *self, const norn_span *frames) {
    memory_log *log = log_of(self);
    if (log->appends_that_fail > 0) {
        log->appends_that_fail--;
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "memory: cannot append: No space left on device");
    }
    for (uint32_t p = 0; p < self->partitions; p++)
        for (size_t at = 0; at < frames[p].count;) {
            norn_log_frame_header header;
            memcpy(&header, frames[p].bytes + at, sizeof header);
            const size_t stored = norn_log_frame_stored_bytes(&header);
            memory_log_insert(log, p, log->parts[p].count, frames[p].bytes + at, stored);
            at += stored;
        }
    return NORN_OK;
}

static norn_status trim(norn_delta_log *self, uint32_t partition, uint64_t sequence) {
    memory_log *log = log_of(self);
    while (log->parts[partition].count > 0 &&
           sequence_of(&log->parts[partition].frames[0]) < sequence) {
        log->parts[partition].trimmed = sequence_of(&log->parts[partition].frames[0]);
        memory_log_remove(log, partition, 0);
    }
    return NORN_OK;
}

static void close_log(norn_delta_log *self) {
    memory_log *log = log_of(self);
    for (uint32_t p = 0; p < MEMORY_LOG_PARTITIONS; p++)
        for (size_t i = 0; i < log->parts[p].count; i++) free(log->parts[p].frames[i].bytes);
    free(log);
}

memory_log *memory_log_create(uint32_t partitions) {
    static const norn_delta_log_ops ops = {"memory", read_frames, wait_for_more, wake,
                                           fence,    append,      trim,          close_log};
    memory_log *log = calloc(1, sizeof *log);
    if (!log) abort();
    log->base = (norn_delta_log){&ops, "memory:", partitions};
    log->visible = SIZE_MAX;
    return log;
}

norn_log_frame_header *memory_log_header(memory_log *log, uint32_t partition, size_t index) {
    return log->parts[partition].frames[index].bytes;
}

void memory_log_mend(memory_log *log, uint32_t partition, size_t index) {
    norn_log_frame_header *header = memory_log_header(log, partition, index);
    norn_log_frame_finish(header, header + 1, header->payload_bytes);
}

void memory_log_remove(memory_log *log, uint32_t partition, size_t index) {
    memory_frame *frames = log->parts[partition].frames;
    free(frames[index].bytes);
    memmove(frames + index, frames + index + 1,
            (--log->parts[partition].count - index) * sizeof *frames);
}

void memory_log_insert(memory_log *log, uint32_t partition, size_t index, const void *bytes,
                       size_t count) {
    memory_frame *frames = log->parts[partition].frames;
    void *copy = malloc(count);
    if (!copy || log->parts[partition].count == MEMORY_LOG_FRAMES) abort();
    memcpy(copy, bytes, count);
    memmove(frames + index + 1, frames + index,
            (log->parts[partition].count++ - index) * sizeof *frames);
    frames[index] = (memory_frame){copy, count};
}
