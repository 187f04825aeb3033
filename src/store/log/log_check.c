#include "store/log/log_check.h"

#include "base/memory.h"
#include "store/log/file_parts.h"
#include "store/log/file_walk.h"

#include <string.h>
#include <sys/stat.h>

/// A step that a partition has the seal of.
typedef struct sealed_step {
    uint64_t step, sequence; ///< of the seal
    int64_t published_ns;
} sealed_step;

typedef struct part_check {
    sealed_step *sealed;
    size_t count, capacity;
    uint64_t first, last; ///< sequences
    uint32_t chain;       ///< header CRC of the last frame
    uint64_t epoch, step;
    uint64_t open_frames; ///< since the last seal
    bool in_step;         ///< frames of `step` came, and no seal of it
} part_check;

typedef struct log_check {
    norn_delta_log *log;
    norn_alloc alloc;
    const norn_cut *cut;
    const norn_progress *progress;
    uint64_t total; ///< bytes of all segments
    norn_log_facts *facts;
    part_check *parts;
    uint32_t partition; ///< being read
} log_check;

static norn_status wrong(const norn_file_walk_place *place, const norn_log_frame_header *h,
                         const char *what) {
    return norn_fail(NORN_DATA_LOSS, "%s: byte %lld, sequence %llu: %s", place->segment,
                     (long long)place->offset, (unsigned long long)h->sequence, what);
}

// ---- a frame

static const char *chain_fault(const log_check *c, const part_check *part,
                               const norn_log_frame_header *h) {
    if (h->partition != c->partition) return "it says that it is of another partition";
    const bool first = part->first == 0;
    if (first && h->sequence > 1) return NULL; // what was before it was trimmed away
    if (h->previous_crc != part->chain)
        return "a fork: it continues another frame than the one before it";
    if (h->epoch < part->epoch) return "it is of an older epoch than the frame before it";
    if (h->epoch > part->epoch && h->kind != NORN_LOG_FRAME_OPEN) return "its epoch was not opened";
    return NULL;
}

static const char *key_fault(const log_check *c, const norn_log_frame *frame) {
    const int64_t *keys = norn_log_frame_keys(frame);
    for (uint32_t i = 0; i < frame->header.count; i++) {
        if (norn_log_partition_of(keys[i], c->log->partitions) != c->partition)
            return "it has a key that belongs to another partition";
        if (i && keys[i] <= keys[i - 1]) return "its keys are not in order";
    }
    return NULL;
}

static const char *step_fault(part_check *part, const norn_log_frame_header *h) {
    if (part->in_step && h->step != part->step) return "the step before it has no seal";
    if (!part->in_step && part->count && h->step <= part->sealed[part->count - 1].step)
        return "its step was sealed already";
    part->step = h->step;
    part->in_step = true;
    return NULL;
}

static norn_status take_seal(log_check *c, part_check *part, const norn_log_frame *frame,
                             const norn_file_walk_place *place) {
    const norn_log_frame_header *h = &frame->header;
    if (h->count != c->log->partitions)
        return wrong(place, h, "a seal of another number of partitions");
    if (norn_log_frame_seal_sequence(frame, c->partition) != h->sequence)
        return wrong(place, h, "a seal that says another place");
    NORN_TRY(NORN_MORE(c->alloc, &part->sealed, part->count, &part->capacity));
    part->sealed[part->count++] = (sealed_step){h->step, h->sequence, h->published_ns};
    part->in_step = false;
    part->open_frames = 0;
    return NORN_OK;
}

/// A writer begins: what came after its step is void.
static void take_open(log_check *c, part_check *part, const norn_log_frame_header *h) {
    while (part->count && part->sealed[part->count - 1].step > h->step) part->count--;
    part->in_step = false;
    part->open_frames = 0;
    c->facts->base = h->base;
}

static norn_status check_cut(const log_check *c, const norn_log_frame_header *h) {
    if (!c->cut) return NORN_OK;
    const norn_position *at = &c->cut->positions[c->partition];
    if (at->sequence != h->sequence || at->chain == h->header_crc) return NORN_OK;
    return norn_fail(NORN_DATA_LOSS,
                     "%s: partition %u: the version was cut after another frame %llu than this "
                     "log has: it is of another log; publish a full version",
                     c->log->url, c->partition, (unsigned long long)h->sequence);
}

static norn_status take_frame(void *context, const norn_log_frame *frame,
                              const norn_file_walk_place *place) {
    log_check *c = context;
    part_check *part = &c->parts[c->partition];
    const norn_log_frame_header *h = &frame->header;
    const bool keyed = h->kind == NORN_LOG_FRAME_ROWS || h->kind == NORN_LOG_FRAME_DELETES;
    norn_log_frame_dense piece;
    const char *fault = chain_fault(c, part, h);
    if (!fault && h->kind != NORN_LOG_FRAME_OPEN) fault = step_fault(part, h);
    if (!fault && keyed) fault = key_fault(c, frame);
    if (fault) return wrong(place, h, fault);
    if (h->kind == NORN_LOG_FRAME_DENSE) {
        const norn_status status = norn_log_frame_dense_read(frame, &piece);
        if (status != NORN_OK) norn_note("%s: byte %lld", place->segment, (long long)place->offset);
        NORN_TRY(status);
    }
    NORN_TRY(check_cut(c, h));
    part->open_frames++;
    if (h->kind == NORN_LOG_FRAME_SEAL) NORN_TRY(take_seal(c, part, frame, place));
    if (h->kind == NORN_LOG_FRAME_OPEN) take_open(c, part, h);
    if (part->first == 0) part->first = h->sequence;
    part->last = h->sequence;
    part->chain = h->header_crc;
    part->epoch = h->epoch;
    c->facts->frames++;
    c->facts->rows += h->kind == NORN_LOG_FRAME_ROWS ? h->count : 0;
    c->facts->deletes += h->kind == NORN_LOG_FRAME_DELETES ? h->count : 0;
    c->facts->dense += h->kind == NORN_LOG_FRAME_DENSE && piece.offset == 0;
    c->facts->bytes += norn_log_frame_stored_bytes(h);
    norn_progress_say(c->progress, "log", c->facts->bytes, c->total);
    return NORN_OK;
}

// ---- a partition

static norn_status check_cut_is_here(const log_check *c) {
    const part_check *part = &c->parts[c->partition];
    if (!c->cut) return NORN_OK;
    const uint64_t at = c->cut->positions[c->partition].sequence;
    if (at > part->last)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: partition %u ends at sequence %llu, and the version was cut at %llu: "
                         "it is of another log, or this one was put back; publish a full version",
                         c->log->url, c->partition, (unsigned long long)part->last,
                         (unsigned long long)at);
    if (part->first > at + 1)
        return norn_fail(NORN_OUT_OF_RANGE,
                         "%s: partition %u begins at sequence %llu, and the version wants what "
                         "follows %llu, which was trimmed away; publish a full version",
                         c->log->url, c->partition, (unsigned long long)part->first,
                         (unsigned long long)at);
    return NORN_OK;
}

static norn_status check_partition(log_check *c) {
    norn_file_walk_end end;
    NORN_TRY(norn_file_log_walk(c->log, c->partition, c->alloc, take_frame, c, &end));
    c->facts->segments += end.segments;
    c->facts->torn_bytes += end.torn_bytes;
    return check_cut_is_here(c);
}

// ---- steps over partitions

/// The place of the first step of a partition from `step` on.
static size_t find_step(const part_check *part, uint64_t step) {
    size_t low = 0, high = part->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (part->sealed[middle].step < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static norn_status check_steps(log_check *c) {
    const uint32_t partitions = c->log->partitions;
    norn_log_facts *facts = c->facts;
    uint64_t from = 0, last = UINT64_MAX;
    for (uint32_t p = 0; p < partitions; p++) {
        const part_check *part = &c->parts[p];
        const uint64_t first = part->count ? part->sealed[0].step : 0;
        const uint64_t end = part->count ? part->sealed[part->count - 1].step : 0;
        if (part->first > 1 && first > from) from = first; // trimmed before it
        if (end < last) last = end;
    }
    const part_check *one = &c->parts[0];
    for (size_t i = find_step(one, from); i < one->count && one->sealed[i].step <= last; i++) {
        const sealed_step *step = &one->sealed[i];
        if (facts->first_step == 0) facts->first_step = step->step;
        facts->step = step->step;
        facts->published_ns = step->published_ns;
        facts->steps++;
    }
    for (uint32_t p = 1; p < partitions; p++) {
        const part_check *part = &c->parts[p];
        size_t i = find_step(one, from), j = find_step(part, from);
        for (;; i++, j++) {
            const uint64_t a = i < one->count ? one->sealed[i].step : UINT64_MAX;
            const uint64_t b = j < part->count ? part->sealed[j].step : UINT64_MAX;
            if ((a < b ? a : b) > last) break;
            if (a != b)
                return norn_fail(NORN_DATA_LOSS,
                                 "%s: step %llu is sealed in partition %u and not in partition %u; "
                                 "publish a full version",
                                 c->log->url, (unsigned long long)(a < b ? a : b), a < b ? 0 : p,
                                 a < b ? p : 0);
        }
    }
    return NORN_OK;
}

// ---- all of it

/// Bytes of the segments, for whoever looks at how far it is.
static uint64_t bytes_of(const norn_file_log *log) {
    char dir[NORN_LOG_PATH], path[NORN_LOG_PATH];
    uint64_t total = 0, at, least;
    struct stat facts;
    for (uint32_t p = 0; p < log->base.partitions; p++) {
        (void)snprintf(dir, sizeof dir, "%s/%05u", log->dir, p);
        for (uint64_t most = UINT64_MAX;
             norn_file_numbers(dir, "", ".ndl", most, &at, &least) == NORN_OK && at > 0;
             most = at - 1) {
            norn_file_segment_path(log, p, at, path);
            if (stat(path, &facts) == 0) total += (uint64_t)facts.st_size;
        }
    }
    return total;
}

static norn_status check_all(log_check *c) {
    uint64_t least;
    const norn_file_log *log = norn_file_log_of(c->log);
    if (c->cut && c->cut->partition_count != c->log->partitions)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: the log has %u partition%s, and the version was cut from one of %u",
                         c->log->url, c->log->partitions, norn_plural(c->log->partitions),
                         c->cut->partition_count);
    NORN_TRY(norn_file_numbers(log->dir, "epoch-", "", UINT64_MAX, &c->facts->epoch, &least));
    if (c->progress) c->total = bytes_of(log);
    for (; c->partition < c->log->partitions; c->partition++) NORN_TRY(check_partition(c));
    NORN_TRY(check_steps(c));
    for (uint32_t p = 0; p < c->log->partitions; p++)
        c->facts->open_frames += c->parts[p].open_frames;
    return NORN_OK;
}

norn_status norn_log_check(const char *dir, const norn_cut *cut, const norn_progress *progress,
                           norn_alloc alloc, norn_log_facts *out) {
    log_check c = {.alloc = alloc, .cut = cut, .progress = progress, .facts = out};
    *out = (norn_log_facts){0};
    NORN_TRY(norn_file_log_open(dir, alloc, &c.log));
    out->partitions = c.log->partitions;
    norn_status status = NORN_NEW_ARRAY(alloc, c.log->partitions, &c.parts);
    if (status == NORN_OK) status = check_all(&c);
    for (uint32_t p = 0; c.parts && p < c.log->partitions; p++) norn_free(alloc, c.parts[p].sealed);
    norn_free(alloc, c.parts);
    norn_delta_log_close(c.log);
    return status;
}
