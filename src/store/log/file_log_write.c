#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/log/file_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SEGMENT_BYTES = 64 << 20,
    LOCK_PATIENCE_MS = 10000, ///< for a writer in mid-append
    LOCK_LOOK_MS = 5,
};

// ---- the lock: held while epochs are looked at and bytes are written

static norn_status lock(const norn_file_log *log, int *out) {
    char path[NORN_LOG_PATH];
    (void)snprintf(path, sizeof path, "%s/LOCK", log->dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return norn_file_fail(path, "open");
    for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOCK_LOOK_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            (void)close(fd);
            return norn_file_fail(path, "lock");
        }
        if (waited_ms >= LOCK_PATIENCE_MS) {
            (void)close(fd);
            return norn_fail(NORN_UNAVAILABLE,
                             "%s: another writer has been in mid-append for %d s; end that process "
                             "(`fuser %s` names it), which gives the lock back",
                             log->base.url, LOCK_PATIENCE_MS / 1000, path);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_LOOK_MS * 1000000}, NULL);
    }
    *out = fd;
    return NORN_OK;
}

static void unlock(int fd) {
    (void)close(fd); // the lock goes with it
}

static norn_status greatest_epoch(const norn_file_log *log, uint64_t *epoch) {
    uint64_t least;
    return norn_file_numbers(log->dir, "epoch-", "", UINT64_MAX, epoch, &least);
}

static norn_status sync_dir(const char *path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool done = fd >= 0 && fsync(fd) == 0;
    const norn_status status = done ? NORN_OK : norn_file_fail(path, "sync");
    if (fd >= 0) (void)close(fd);
    return status;
}

// ---- becoming the writer

void norn_file_ends_close(norn_file_log *log) {
    for (uint32_t p = 0; log->ends && p < log->base.partitions; p++)
        if (log->ends[p].fd >= 0) (void)close(log->ends[p].fd);
    norn_free(log->alloc, log->ends);
    log->ends = NULL;
}

/// Over the frames of a segment; *bytes: of those that are whole.
static norn_status scan(const norn_file_log *log, int fd, norn_log_tail *tail, int64_t *bytes) {
    norn_log_frame frame;
    size_t stored;
    void *room;
    ssize_t n;
    bool more = true;
    norn_status status = NORN_OK;
    *bytes = 0;
    NORN_TRY(norn_alloc_bytes(log->alloc, 2 * NORN_LOG_FRAME_STORED_MAX, &room));
    while (more && status == NORN_OK &&
           (n = pread(fd, room, 2 * NORN_LOG_FRAME_STORED_MAX, *bytes)) > 0) {
        size_t at = 0;
        for (;;) {
            const norn_span rest = norn_span_of((char *)room + at, (size_t)n - at);
            status = norn_log_frame_read(rest, &frame, &stored);
            if (status != NORN_OK || stored == 0) break;
            tail->sequence = frame.header.sequence;
            tail->chain = frame.header.header_crc;
            tail->base = frame.header.base;
            if (frame.header.kind == NORN_LOG_FRAME_SEAL) tail->step = frame.header.step;
            if (frame.header.kind == NORN_LOG_FRAME_OPEN && tail->step == 0)
                tail->step = frame.header.step; // of a step before what was trimmed
            at += stored;
        }
        *bytes += (int64_t)at;
        more = at > 0;
        if (status == NORN_DATA_LOSS) { // where it ends in the middle of an append
            status = NORN_OK;
            more = false;
        }
    }
    norn_free(log->alloc, room);
    return status;
}

/// The last segment of a partition, cut back to its last whole frame.
static norn_status find_end(norn_file_log *log, uint32_t partition, norn_log_tail *tail) {
    norn_file_end *end = &log->ends[partition];
    char path[NORN_LOG_PATH];
    uint64_t last, least;
    *tail = (norn_log_tail){0};
    end->next = 1;
    (void)snprintf(path, sizeof path, "%s/%05u", log->dir, partition);
    NORN_TRY(norn_file_numbers(path, "", ".ndl", UINT64_MAX, &last, &least));
    if (last == 0) return NORN_OK;
    // A segment that was begun and has no whole frame: the one before it holds the tail.
    for (uint64_t first = last; tail->sequence == 0 && first > 0;) {
        norn_file_segment_path(log, partition, first, path);
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0) return norn_file_fail(path, "open");
        int64_t bytes;
        const norn_status status = scan(log, fd, tail, &bytes);
        if (first == last) {
            *end = (norn_file_end){.fd = fd, .bytes = bytes};
            NORN_TRY(status);
            if (ftruncate(fd, bytes) != 0) return norn_file_fail(path, "cut");
        } else {
            (void)close(fd);
            NORN_TRY(status);
        }
        (void)snprintf(path, sizeof path, "%s/%05u", log->dir, partition);
        uint64_t before = 0;
        if (first > 1) NORN_TRY(norn_file_numbers(path, "", ".ndl", first - 1, &before, &least));
        first = before;
    }
    end->next = tail->sequence + 1;
    return NORN_OK;
}

static norn_status take_over(norn_file_log *log, norn_log_tail *tails) {
    char path[NORN_LOG_PATH];
    uint64_t epoch;
    NORN_TRY(greatest_epoch(log, &epoch));
    (void)snprintf(path, sizeof path, "%s/epoch-%020llu", log->dir, (unsigned long long)epoch + 1);
    const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0) return norn_file_fail(path, "make");
    (void)close(fd);
    NORN_TRY(sync_dir(log->dir));
    log->epoch = epoch + 1;
    for (uint32_t p = 0; p < log->base.partitions; p++) NORN_TRY(find_end(log, p, &tails[p]));
    return NORN_OK;
}

norn_status norn_file_log_fence(norn_delta_log *self, uint64_t *epoch, norn_log_tail *tails) {
    norn_file_log *log = norn_file_log_of(self);
    int held;
    norn_file_ends_close(log);
    NORN_TRY(NORN_NEW_ARRAY(log->alloc, self->partitions, &log->ends));
    for (uint32_t p = 0; p < self->partitions; p++) log->ends[p].fd = -1;
    norn_status status = lock(log, &held);
    if (status == NORN_OK) {
        status = take_over(log, tails);
        unlock(held);
    }
    if (status != NORN_OK) norn_file_ends_close(log);
    *epoch = log->epoch;
    return status;
}

// ---- appending

/// A new segment, which begins with the next frame.
static norn_status begin_segment(const norn_file_log *log, uint32_t partition, norn_file_end *end) {
    char path[NORN_LOG_PATH];
    norn_file_segment_path(log, partition, end->next, path);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return norn_file_fail(path, "make");
    if (end->fd >= 0) (void)close(end->fd);
    *end = (norn_file_end){.fd = fd, .next = end->next};
    (void)snprintf(path, sizeof path, "%s/%05u", log->dir, partition);
    return sync_dir(path);
}

static norn_status write_all(const norn_file_log *log, const norn_file_end *end, norn_span bytes) {
    for (size_t done = 0; done < bytes.count;) {
        const ssize_t n =
            pwrite(end->fd, bytes.bytes + done, bytes.count - done, end->bytes + (int64_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "%s: cannot append: %s", log->base.url,
                             strerror(errno));
        if (n <= 0) return norn_file_fail(log->base.url, "append");
        done += (size_t)n;
    }
    return NORN_OK;
}

static uint64_t last_sequence(norn_span frames) {
    norn_log_frame_header header = {0};
    for (size_t at = 0; at < frames.count; at += norn_log_frame_stored_bytes(&header))
        memcpy(&header, frames.bytes + at, sizeof header);
    return header.sequence;
}

static norn_status append_to(norn_file_log *log, uint32_t partition, norn_span frames) {
    norn_file_end *end = &log->ends[partition];
    if (frames.count == 0) return NORN_OK;
    if (end->fd < 0 || end->bytes >= SEGMENT_BYTES) NORN_TRY(begin_segment(log, partition, end));
    NORN_TRY(write_all(log, end, frames));
    if (fdatasync(end->fd) != 0) return norn_file_fail(log->base.url, "sync");
    return NORN_OK;
}

/// What was written of it is taken back: to this writer the log ends where it did.
static norn_status append_all(norn_file_log *log, const norn_span *frames) {
    norn_status status = NORN_OK;
    for (uint32_t p = 0; status == NORN_OK && p < log->base.partitions; p++)
        status = append_to(log, p, frames[p]);
    for (uint32_t p = 0; p < log->base.partitions; p++) {
        norn_file_end *end = &log->ends[p];
        if (frames[p].count == 0 || end->fd < 0) continue;
        if (status != NORN_OK) {
            (void)!ftruncate(end->fd, end->bytes);
            continue;
        }
        end->bytes += (int64_t)frames[p].count;
        end->next = last_sequence(frames[p]) + 1;
    }
    return status;
}

norn_status norn_file_log_append(norn_delta_log *self, const norn_span *frames) {
    norn_file_log *log = norn_file_log_of(self);
    uint64_t epoch;
    int held;
    if (!log->ends) return norn_fail(NORN_FAILED_PRECONDITION, "%s: fence it first", self->url);
    NORN_TRY(lock(log, &held));
    norn_status status = greatest_epoch(log, &epoch);
    if (status == NORN_OK && epoch != log->epoch)
        status = norn_fail(NORN_FAILED_PRECONDITION,
                           "%s: this writer is of epoch %llu, and epoch %llu has taken over",
                           self->url, (unsigned long long)log->epoch, (unsigned long long)epoch);
    if (status == NORN_OK) status = append_all(log, frames);
    unlock(held);
    return status;
}

// ---- trimming

norn_status norn_file_log_trim(norn_delta_log *self, uint32_t partition, uint64_t sequence) {
    norn_file_log *log = norn_file_log_of(self);
    char dir[NORN_LOG_PATH], path[NORN_LOG_PATH];
    uint64_t keep, least, ignored;
    (void)snprintf(dir, sizeof dir, "%s/%05u", log->dir, partition);
    NORN_TRY(norn_file_numbers(dir, "", ".ndl", sequence, &keep, &least));
    while (least > 0 && least < keep) {
        norn_file_segment_path(log, partition, least, path);
        if (unlink(path) != 0) return norn_file_fail(path, "remove");
        NORN_TRY(norn_file_numbers(dir, "", ".ndl", 0, &ignored, &least));
    }
    return NORN_OK;
}
