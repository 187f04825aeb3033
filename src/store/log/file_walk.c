#include "store/log/file_walk.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/log/file_parts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM_BYTES = 2 * NORN_LOG_FRAME_STORED_MAX };

typedef struct walk {
    const norn_file_log *log;
    norn_alloc alloc;
    norn_file_walk_fn fn;
    void *context, *room;
    uint64_t next; ///< the sequence that comes; 0: whatever the first says
    norn_file_walk_end *out;
} walk;

static norn_status take(walk *w, const norn_log_frame *frame, const char *path, int64_t offset) {
    const norn_file_walk_place place = {path, offset};
    const uint64_t sequence = frame->header.sequence;
    if (sequence != w->next)
        return norn_fail(NORN_DATA_LOSS, "%s: byte %lld: sequence %llu where %llu should be", path,
                         (long long)offset, (unsigned long long)sequence,
                         (unsigned long long)w->next);
    w->next++;
    return w->fn(w->context, frame, &place);
}

/// The whole frames of a segment; *end: of the last.
static norn_status read_frames(walk *w, int fd, const char *path, int64_t *end) {
    norn_log_frame frame;
    size_t stored;
    ssize_t n;
    *end = 0;
    while ((n = pread(fd, w->room, ROOM_BYTES, *end)) > 0) {
        size_t at = 0;
        for (;;) {
            const norn_span rest = norn_span_of((char *)w->room + at, (size_t)n - at);
            const norn_status status = norn_log_frame_read(rest, &frame, &stored);
            if (status == NORN_DATA_LOSS || (status == NORN_OK && stored == 0)) break;
            if (status != NORN_OK) {
                norn_note("%s: byte %lld", path, (long long)*end + (long long)at);
                return status;
            }
            NORN_TRY(take(w, &frame, path, *end + (int64_t)at));
            at += stored;
        }
        *end += (int64_t)at;
        if (at == 0) return NORN_OK;
    }
    return n < 0 ? norn_file_fail(path, "read") : NORN_OK;
}

/// What is behind the whole frames of a segment: nothing, or a torn tail of the last one.
static norn_status judge_rest(walk *w, int fd, const char *path, int64_t end, bool last) {
    struct stat facts;
    bool follows;
    if (fstat(fd, &facts) != 0) return norn_file_fail(path, "read");
    if (facts.st_size <= end) return NORN_OK;
    NORN_TRY(norn_file_frame_follows(w->alloc, fd, end, &follows));
    if (follows || !last)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: damaged at byte %lld, where sequence %llu should be; put the file "
                         "back from a copy, or begin a new log and publish a full version",
                         path, (long long)end, (unsigned long long)w->next);
    w->out->torn_bytes += (uint64_t)(facts.st_size - end);
    return NORN_OK;
}

static norn_status walk_segment(walk *w, uint32_t partition, uint64_t first, bool last) {
    char path[NORN_LOG_PATH];
    int64_t end;
    norn_file_segment_path(w->log, partition, first, path);
    if (w->next == 0) w->next = first;
    if (first != w->next)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: a gap: the segment before it ends at sequence %llu; put the segment "
                         "between back, or publish a full version",
                         path, (unsigned long long)w->next - 1);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return norn_file_fail(path, "open");
    norn_status status = read_frames(w, fd, path, &end);
    if (status == NORN_OK) status = judge_rest(w, fd, path, end, last);
    (void)close(fd);
    w->out->segments++;
    w->out->bytes += (uint64_t)end;
    return status;
}

/// The first segment after `first`, 0: there is none. Segments are few; frames many.
static norn_status segment_after(const char *dir, uint64_t first, uint64_t *out) {
    uint64_t least, greatest = UINT64_MAX, at;
    NORN_TRY(norn_file_numbers(dir, "", ".ndl", UINT64_MAX, &at, &least));
    for (*out = 0; at > first; at = greatest) {
        *out = at;
        NORN_TRY(norn_file_numbers(dir, "", ".ndl", at - 1, &greatest, &least));
    }
    return NORN_OK;
}

norn_status norn_file_log_walk(norn_delta_log *log, uint32_t partition, norn_alloc alloc,
                               norn_file_walk_fn fn, void *context, norn_file_walk_end *out) {
    walk w = {
        .log = norn_file_log_of(log), .alloc = alloc, .fn = fn, .context = context, .out = out};
    char dir[NORN_LOG_PATH];
    uint64_t first, after;
    *out = (norn_file_walk_end){0};
    (void)snprintf(dir, sizeof dir, "%s/%05u", w.log->dir, partition);
    NORN_TRY(norn_alloc_bytes(alloc, ROOM_BYTES, &w.room));
    norn_status status = segment_after(dir, 0, &first);
    while (status == NORN_OK && first > 0) {
        status = segment_after(dir, first, &after);
        if (status == NORN_OK) status = walk_segment(&w, partition, first, after == 0);
        first = after;
    }
    norn_free(alloc, w.room);
    return status;
}
