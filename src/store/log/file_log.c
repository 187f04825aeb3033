#include "store/log/file_log.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/log/file_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_MS = 10,              ///< between two looks at a log that had nothing new
    DAMAGE_PATIENCE_MS = 2000, ///< until bytes that are no frame are damage, and not being written
};

// ---- names

/// False: `name` is not PREFIX, 20 digits, SUFFIX.
static bool number_of(const char *name, const char *prefix, const char *suffix, uint64_t *out) {
    const size_t skip = strlen(prefix);
    uint64_t value = 0;
    if (strncmp(name, prefix, skip) != 0) return false;
    for (int i = 0; i < NORN_LOG_NAME_DIGITS; i++) {
        const char digit = name[skip + (size_t)i];
        if (digit < '0' || digit > '9' || value > (UINT64_MAX - 9) / 10) return false;
        value = value * 10 + (uint64_t)(digit - '0');
    }
    *out = value;
    return strcmp(name + skip + NORN_LOG_NAME_DIGITS, suffix) == 0;
}

norn_status norn_file_numbers(const char *dir, const char *prefix, const char *suffix,
                              uint64_t most, uint64_t *greatest, uint64_t *least) {
    const struct dirent *item;
    uint64_t number;
    *greatest = *least = 0;
    DIR *folder = opendir(dir);
    if (!folder && errno == ENOENT) return NORN_OK;
    if (!folder) return norn_file_fail(dir, "list");
    while ((item = readdir(folder)) != NULL) {
        if (!number_of(item->d_name, prefix, suffix, &number)) continue;
        if (number <= most && number > *greatest) *greatest = number;
        if (*least == 0 || number < *least) *least = number;
    }
    (void)closedir(folder);
    return NORN_OK;
}

// ---- reading

static void leave(norn_file_cursor *cursor) {
    if (cursor->fd >= 0) (void)close(cursor->fd);
    *cursor = (norn_file_cursor){.fd = -1};
}

/// False: there is no such segment.
static bool enter(norn_file_log *log, uint32_t partition, uint64_t first) {
    norn_file_cursor *cursor = &log->cursors[partition];
    char path[NORN_LOG_PATH];
    norn_file_segment_path(log, partition, first, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    leave(cursor);
    *cursor = (norn_file_cursor){.fd = fd, .first = first, .next = first};
    return true;
}

norn_status norn_file_frame_follows(norn_alloc alloc, int fd, int64_t from, bool *out) {
    enum { STEP = NORN_LOG_FRAME_STORED_MAX / 8 * 8, ROOM = 2 * STEP };
    norn_log_frame frame;
    size_t stored;
    void *room;
    ssize_t n;
    *out = false;
    NORN_TRY(norn_alloc_bytes(alloc, ROOM, &room));
    for (int64_t at = from; !*out && (n = pread(fd, room, ROOM, at)) > 0; at += STEP)
        for (size_t i = at == from ? 8 : 0;
             !*out && i < STEP && i + sizeof frame.header <= (size_t)n; i += 8) {
            const norn_span rest = norn_span_of((char *)room + i, (size_t)n - i);
            *out = norn_log_frame_read(rest, &frame, &stored) == NORN_OK && stored > 0;
        }
    norn_free(alloc, room);
    return NORN_OK;
}

/// Bytes that are no frame: being written, or written in part by a writer that died and not cut yet
/// by the next. Where a frame or a segment follows, it is damage; one looks twice, for a new writer may
/// be replacing them.
static norn_status judge_damage(const norn_file_log *log, uint32_t partition,
                                norn_file_cursor *cursor) {
    const int64_t now_ns = norn_clock_now_ns();
    char dir[NORN_LOG_PATH];
    uint64_t last, least;
    bool follows;
    if (cursor->damaged_since_ns == 0) cursor->damaged_since_ns = now_ns;
    if (now_ns - cursor->damaged_since_ns < (int64_t)DAMAGE_PATIENCE_MS * 1000000) return NORN_OK;
    cursor->damaged_since_ns = now_ns;
    (void)snprintf(dir, sizeof dir, "%s/%05u", log->dir, partition);
    NORN_TRY(norn_file_numbers(dir, "", ".ndl", UINT64_MAX, &last, &least));
    NORN_TRY(norn_file_frame_follows(log->alloc, cursor->fd, cursor->offset, &follows));
    if (!follows && last == cursor->first) return NORN_OK;
    cursor->damaged_since_ns = 1; // known: said again at once
    return norn_fail(NORN_DATA_LOSS,
                     "segment %020llu is damaged at byte %lld, where sequence %llu should be",
                     (unsigned long long)cursor->first, (long long)cursor->offset,
                     (unsigned long long)cursor->next);
}

/// Whole frames at the cursor into `room`; the cursor moves behind them.
static norn_status read_here(norn_file_log *log, uint32_t partition, void *room, size_t bytes,
                             size_t *got) {
    norn_file_cursor *cursor = &log->cursors[partition];
    norn_log_frame frame;
    size_t stored = 0;
    norn_status status = NORN_OK;
    *got = 0;
    const ssize_t n = pread(cursor->fd, room, bytes, cursor->offset);
    if (n < 0) return norn_file_fail(log->base.url, "read a segment");
    while (status == NORN_OK) {
        status = norn_log_frame_read(norn_span_of((char *)room + *got, (size_t)n - *got), &frame,
                                     &stored);
        if (status != NORN_OK || stored == 0) break;
        if (frame.header.sequence != cursor->next)
            return norn_fail(NORN_DATA_LOSS, "sequence %llu where %llu should be",
                             (unsigned long long)frame.header.sequence,
                             (unsigned long long)cursor->next);
        cursor->next++;
        cursor->offset += (int64_t)stored;
        *got += stored;
    }
    if (*got > 0) cursor->damaged_since_ns = 0;
    if (*got > 0 || status == NORN_OK) return NORN_OK;
    return status == NORN_DATA_LOSS ? judge_damage(log, partition, cursor) : status;
}

/// To sequence `from`, over the frames before it in its segment.
static norn_status seek(norn_file_log *log, uint32_t partition, uint64_t from, void *room,
                        size_t bytes) {
    norn_file_cursor *cursor = &log->cursors[partition];
    uint64_t first, least;
    char path[NORN_LOG_PATH];
    (void)snprintf(path, sizeof path, "%s/%05u", log->dir, partition);
    leave(cursor);
    NORN_TRY(norn_file_numbers(path, "", ".ndl", from, &first, &least));
    if (least > from)
        return norn_fail(NORN_OUT_OF_RANGE, "it begins at sequence %llu; %llu was trimmed away",
                         (unsigned long long)least, (unsigned long long)from);
    if (first == 0 && from == 1) return NORN_OK; // nothing was written yet
    if (first == 0 || !enter(log, partition, first))
        return norn_fail(NORN_DATA_LOSS, "it has no segment with sequence %llu",
                         (unsigned long long)from);
    while (cursor->next < from) {
        const norn_file_cursor before = *cursor;
        size_t got;
        NORN_TRY(read_here(log, partition, room, bytes, &got));
        if (cursor->next > from) { // it is among these: frame by frame
            norn_log_frame frame;
            size_t at = 0, stored;
            cursor->next = before.next;
            cursor->offset = before.offset;
            while (cursor->next < from) {
                NORN_TRY(norn_log_frame_read(norn_span_of((char *)room + at, got - at), &frame,
                                             &stored));
                at += stored;
                cursor->next++;
                cursor->offset += (int64_t)stored;
            }
        }
        if (got == 0)
            return norn_fail(NORN_DATA_LOSS,
                             "it ends at sequence %llu, before %llu: another log, or "
                             "one that was put back",
                             (unsigned long long)cursor->next - 1, (unsigned long long)from - 1);
    }
    return NORN_OK;
}

static bool is_removed(const norn_file_cursor *cursor) {
    struct stat facts;
    return fstat(cursor->fd, &facts) == 0 && facts.st_nlink == 0;
}

static norn_status read_frames(norn_delta_log *self, uint32_t partition, uint64_t from, void *room,
                               size_t bytes, size_t *got) {
    norn_file_log *log = norn_file_log_of(self);
    norn_file_cursor *cursor = &log->cursors[partition];
    *got = 0;
    for (int segments = 0; segments < 2; segments++) {
        if (cursor->fd < 0 || cursor->next != from) {
            const norn_status status = seek(log, partition, from, room, bytes);
            if (status != NORN_OK) leave(cursor);
            if (status != NORN_OK || cursor->fd < 0) return status;
        }
        NORN_TRY(read_here(log, partition, room, bytes, got));
        if (*got > 0) return NORN_OK;
        if (is_removed(cursor)) {
            leave(cursor);
        } else if (cursor->offset == 0 || !enter(log, partition, from)) {
            return NORN_OK;
        }
    }
    return NORN_OK;
}

static void wait_for_more(norn_delta_log *self, int64_t until_ns) {
    norn_file_log *log = norn_file_log_of(self);
    const int64_t look_ns = norn_clock_now_ns() + (int64_t)LOOK_MS * 1000000;
    const int64_t end_ns = until_ns < look_ns ? until_ns : look_ns;
    bool in_time = true;
    pthread_mutex_lock(&log->lock);
    while (!log->woken && in_time) in_time = norn_condition_wait(&log->changed, &log->lock, end_ns);
    log->woken = false;
    pthread_mutex_unlock(&log->lock);
}

static void wake(norn_delta_log *self) {
    norn_file_log *log = norn_file_log_of(self);
    pthread_mutex_lock(&log->lock);
    log->woken = true;
    pthread_cond_signal(&log->changed);
    pthread_mutex_unlock(&log->lock);
}

// ---- life

static void close_log(norn_delta_log *self) {
    norn_file_log *log = norn_file_log_of(self);
    norn_file_ends_close(log);
    for (uint32_t p = 0; log->cursors && p < log->base.partitions; p++) leave(&log->cursors[p]);
    pthread_cond_destroy(&log->changed);
    pthread_mutex_destroy(&log->lock);
    norn_free(log->alloc, log->cursors);
    norn_free(log->alloc, log->dir);
    norn_free(log->alloc, log->url);
    norn_free(log->alloc, log);
}

/// {"format": "norn-log-1", "partitions": N}
static norn_status read_facts(const char *path, norn_span text, uint32_t *partitions) {
    norn_json_reader reader;
    norn_json_token token;
    int64_t count = 0;
    bool known = false, counts = false;
    norn_json_init(&reader, text);
    NORN_TRY(norn_json_next(&reader, &token));
    while (token.kind != NORN_JSON_END) {
        NORN_TRY(norn_json_next(&reader, &token));
        counts = token.kind == NORN_JSON_NUMBER && counts;
        if (token.kind == NORN_JSON_STRING && norn_span_equal(token.text, "norn-log-1"))
            known = true;
        if (counts && norn_json_i64(token.text, &count)) counts = false;
        if (token.kind == NORN_JSON_KEY) counts = norn_span_equal(token.text, "partitions");
    }
    if (!known || count < 1 || count > NORN_LOG_PARTITIONS_MAX)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: it should be {\"format\": \"norn-log-1\", \"partitions\": 1 to %d}",
                         path, NORN_LOG_PARTITIONS_MAX);
    *partitions = (uint32_t)count;
    return NORN_OK;
}

static norn_status read_partitions(const char *dir, norn_alloc alloc, uint32_t *partitions) {
    char path[NORN_LOG_PATH];
    norn_file *file;
    (void)snprintf(path, sizeof path, "%s/LOG.json", dir);
    NORN_TRY(norn_file_read(path, alloc, &file));
    const norn_status status = read_facts(path, norn_file_bytes(file), partitions);
    norn_file_release(file);
    return status;
}

static const norn_delta_log_ops file_ops = {
    .scheme = "file",
    .read = read_frames,
    .wait = wait_for_more,
    .wake = wake,
    .fence = norn_file_log_fence,
    .append = norn_file_log_append,
    .trim = norn_file_log_trim,
    .close = close_log,
};

norn_status norn_file_log_open(const char *dir, norn_alloc alloc, norn_delta_log **out) {
    norn_file_log *log;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &log));
    log->base.ops = &file_ops;
    log->alloc = alloc;
    pthread_mutex_init(&log->lock, NULL);
    norn_condition_init(&log->changed);
    NORN_TRY_DONE(norn_alloc_string(alloc, dir, &log->dir));
    NORN_TRY_DONE(norn_alloc_zeroed(alloc, 1, strlen(dir) + sizeof "file:", (void **)&log->url));
    (void)strcat(strcpy(log->url, "file:"), dir);
    log->base.url = log->url;
    NORN_TRY_DONE(read_partitions(dir, alloc, &log->base.partitions));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, log->base.partitions, &log->cursors));
    for (uint32_t p = 0; p < log->base.partitions; p++) log->cursors[p].fd = -1;
    *out = &log->base;
    return NORN_OK;
done:
    close_log(&log->base);
    return status;
}

static norn_status make_dir(const char *path) {
    return mkdir(path, 0777) == 0 || errno == EEXIST ? NORN_OK : norn_file_fail(path, "make");
}

norn_status norn_file_log_create(const char *dir, uint32_t partitions, norn_alloc alloc) {
    norn_file_writer *writer;
    char path[NORN_LOG_PATH], text[128];
    uint32_t there;
    const norn_status found = read_partitions(dir, alloc, &there);
    if (found == NORN_OK && there == partitions) return NORN_OK;
    if (found == NORN_OK)
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "%s: the log has %u partition%s, not %u; that cannot be changed", dir,
                         there, norn_plural(there), partitions);
    if (found != NORN_NOT_FOUND) return found;
    if (partitions < 1 || partitions > NORN_LOG_PARTITIONS_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: a log has 1 to %d partitions, not %u", dir,
                         NORN_LOG_PARTITIONS_MAX, partitions);
    NORN_TRY(make_dir(dir));
    for (uint32_t p = 0; p < partitions; p++) {
        (void)snprintf(path, sizeof path, "%s/%05u", dir, p);
        NORN_TRY(make_dir(path));
    }
    (void)snprintf(path, sizeof path, "%s/LOG.json", dir);
    NORN_TRY(norn_file_writer_open(path, alloc, &writer));
    const int length = snprintf(text, sizeof text,
                                "{\"format\": \"norn-log-1\", \"partitions\": %u}\n", partitions);
    const norn_status status = norn_file_writer_append(writer, text, (size_t)length);
    if (status == NORN_OK) return norn_file_writer_commit(writer);
    norn_file_writer_abort(writer);
    return status;
}

norn_status norn_delta_log_open(const char *url, norn_alloc alloc, norn_delta_log **out) {
    const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
    *out = NULL;
    if (!colon || (slash && slash < colon)) return norn_file_log_open(url, alloc, out);
    if (strncmp(url, "file:", 5) == 0) {
        url += 5;
        return norn_file_log_open(strncmp(url, "//", 2) == 0 ? url + 2 : url, alloc, out);
    }
    return norn_fail(NORN_INVALID_ARGUMENT, "log '%s': the scheme is not known; write file:DIR",
                     url);
}
