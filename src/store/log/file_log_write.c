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

// ---- becoming the writer

void norn_file_ends_close(norn_file_log *log) {
    for (uint32_t p = 0; log->ends && p < log->base.partitions; p++)
        if (log->ends[p].fd >= 0) (void)close(log->ends[p].fd);
    norn_free(log->alloc, log->ends);
    log->ends = NULL;
}

/// What a partition's frames say of its end, segment by segment from the last one back.
typedef struct end_search {
    norn_log_tail tail;
    bool has_frame; ///< tail's sequence, chain and base are known
    bool has_step;  ///< its step too
} end_search;

static void see_frame(end_search *search, const norn_log_frame_header *h) {
    search->has_step =
        search->has_step || h->kind == NORN_LOG_FRAME_SEAL || h->kind == NORN_LOG_FRAME_OPEN;
    if (h->kind == NORN_LOG_FRAME_SEAL || h->kind == NORN_LOG_FRAME_OPEN)
        search->tail.step = h->step;
    search->has_frame = true;
    search->tail.sequence = h->sequence;
    search->tail.chain = h->header_crc;
}

/// Over the frames of a segment; *bytes: of those that are whole.
static norn_status scan(const norn_file_log *log, int fd, end_search *search, int64_t *bytes) {
    norn_log_frame frame;
    size_t stored;
    void *room;
    ssize_t n;
    norn_status status = NORN_OK;
    *bytes = 0;
    NORN_TRY(norn_alloc_bytes(log->alloc, 2 * NORN_LOG_FRAME_STORED_MAX, &room));
    while (status == NORN_OK && (n = pread(fd, room, 2 * NORN_LOG_FRAME_STORED_MAX, *bytes)) > 0) {
        size_t at = 0;
        for (;;) {
            const norn_span rest = norn_span_of((char *)room + at, (size_t)n - at);
            status = norn_log_frame_read(rest, &frame, &stored);
            if (status != NORN_OK || stored == 0) break;
            see_frame(search, &frame.header);
            at += stored;
        }
        *bytes += (int64_t)at;
        if (at == 0) break;
    }
    norn_free(log->alloc, room);
    return status == NORN_DATA_LOSS ? NORN_OK : status; // it may end in the middle of an append
}

/// What is behind the whole frames is a torn tail, and cut away; unless whole frames follow: then it is
/// damage in the middle of what was acknowledged.
static norn_status cut_tail(const norn_file_log *log, int fd, int64_t whole, const char *path) {
    struct stat facts;
    bool follows;
    if (fstat(fd, &facts) != 0) return norn_file_fail(path, "stat");
    if (facts.st_size == whole) return NORN_OK;
    NORN_TRY(norn_file_frame_follows(log->alloc, fd, whole, &follows));
    if (follows)
        return norn_fail(
            NORN_DATA_LOSS,
            "%s: damaged at byte %lld, with whole frames behind it; put the file back from a "
            "copy, or begin a new log and publish a full version",
            path, (long long)whole);
    return ftruncate(fd, whole) == 0 ? NORN_OK : norn_file_fail(path, "cut");
}

/// The last segment, which is appended to.
static norn_status open_last(norn_file_log *log, uint32_t partition, uint64_t first,
                             end_search *search) {
    norn_file_end *end = &log->ends[partition];
    char path[NORN_LOG_PATH];
    norn_file_segment_path(log, partition, first, path);
    end->fd = open(path, O_RDWR | O_CLOEXEC);
    if (end->fd < 0) return norn_file_fail(path, "open");
    NORN_TRY(scan(log, end->fd, search, &end->bytes));
    return cut_tail(log, end->fd, end->bytes, path);
}

/// A segment before it, for what the last does not say: one that was begun may be empty, or have no seal.
static norn_status look_before(norn_file_log *log, uint32_t partition, uint64_t first,
                               end_search *search) {
    end_search before = {0};
    char path[NORN_LOG_PATH];
    int64_t bytes;
    norn_file_segment_path(log, partition, first, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return norn_file_fail(path, "open");
    const norn_status status = scan(log, fd, &before, &bytes);
    (void)close(fd);
    const uint64_t step = search->has_step ? search->tail.step : before.tail.step;
    if (!search->has_frame) search->tail = before.tail;
    search->tail.step = step;
    search->has_frame = search->has_frame || before.has_frame;
    search->has_step = search->has_step || before.has_step;
    return status;
}

static norn_status find_end(norn_file_log *log, uint32_t partition, norn_log_tail *tail) {
    end_search search = {0};
    char dir[NORN_LOG_PATH];
    uint64_t first, least;
    (void)snprintf(dir, sizeof dir, "%s/%05u", log->dir, partition);
    NORN_TRY(norn_file_numbers(dir, "", ".ndl", UINT64_MAX, &first, &least));
    if (first > 0) NORN_TRY(open_last(log, partition, first, &search));
    while (first > 1 && !(search.has_frame && search.has_step)) {
        NORN_TRY(norn_file_numbers(dir, "", ".ndl", first - 1, &first, &least));
        if (first > 0) NORN_TRY(look_before(log, partition, first, &search));
    }
    *tail = search.tail;
    log->ends[partition].next = tail->sequence + 1;
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
    NORN_TRY(norn_folder_sync(log->dir));
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
    return norn_folder_sync(path);
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

/// Where it fails, what was written of it stays: a reader may have seen whole frames of it. The same
/// bytes are written to the same place when it is tried again.
static norn_status append_all(norn_file_log *log, const norn_span *frames) {
    for (uint32_t p = 0; p < log->base.partitions; p++) NORN_TRY(append_to(log, p, frames[p]));
    for (uint32_t p = 0; p < log->base.partitions; p++) {
        norn_file_end *end = &log->ends[p];
        if (frames[p].count == 0) continue;
        end->bytes += (int64_t)frames[p].count;
        end->next = last_sequence(frames[p]) + 1;
    }
    return NORN_OK;
}

static norn_status check_epoch(const norn_file_log *log, uint64_t mine) {
    uint64_t epoch;
    NORN_TRY(greatest_epoch(log, &epoch));
    if (epoch <= mine) return NORN_OK;
    return norn_fail(NORN_FAILED_PRECONDITION,
                     "%s: this writer is of epoch %llu, and epoch %llu has taken over",
                     log->base.url, (unsigned long long)mine, (unsigned long long)epoch);
}

norn_status norn_file_log_append(norn_delta_log *self, const norn_span *frames) {
    norn_file_log *log = norn_file_log_of(self);
    int held;
    if (!log->ends) return norn_fail(NORN_FAILED_PRECONDITION, "%s: fence it first", self->url);
    NORN_TRY(norn_file_log_hold(self, log->epoch, &held));
    const norn_status status = append_all(log, frames);
    unlock(held);
    return status;
}

norn_status norn_file_log_hold(norn_delta_log *self, uint64_t epoch, int *held) {
    const norn_file_log *log = norn_file_log_of(self);
    NORN_TRY(lock(log, held));
    const norn_status status = check_epoch(log, epoch);
    if (status != NORN_OK) unlock(*held);
    return status;
}

void norn_file_log_release(int held) {
    unlock(held);
}

// ---- trimming

/// The segment that holds `sequence`, or the one before it where that one is empty: the chain goes on from
/// a frame.
static norn_status first_to_keep(const norn_file_log *log, const char *dir, uint32_t partition,
                                 uint64_t sequence, uint64_t *keep) {
    char path[NORN_LOG_PATH];
    uint64_t least;
    struct stat facts;
    NORN_TRY(norn_file_numbers(dir, "", ".ndl", sequence, keep, &least));
    norn_file_segment_path(log, partition, *keep, path);
    if (*keep > 1 && stat(path, &facts) == 0 && facts.st_size < NORN_LOG_FRAME_HEADER_BYTES)
        return norn_file_numbers(dir, "", ".ndl", *keep - 1, keep, &least);
    return NORN_OK;
}

static norn_status trim(const norn_file_log *log, uint32_t partition, uint64_t sequence) {
    char dir[NORN_LOG_PATH], path[NORN_LOG_PATH];
    uint64_t keep, least, none;
    (void)snprintf(dir, sizeof dir, "%s/%05u", log->dir, partition);
    NORN_TRY(first_to_keep(log, dir, partition, sequence, &keep));
    for (;;) {
        NORN_TRY(norn_file_numbers(dir, "", ".ndl", 0, &none, &least));
        if (least == 0 || least >= keep) return NORN_OK;
        norn_file_segment_path(log, partition, least, path);
        if (unlink(path) != 0) return norn_file_fail(path, "remove");
    }
}

norn_status norn_file_log_trim(norn_delta_log *self, uint32_t partition, uint64_t sequence) {
    norn_file_log *log = norn_file_log_of(self);
    int held;
    NORN_TRY(lock(log, &held));
    const norn_status status = trim(log, partition, sequence);
    unlock(held);
    return status;
}
