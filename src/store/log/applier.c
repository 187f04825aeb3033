#include "store/log/applier.h"
#include "base/clock.h"
#include "base/memory.h"
#include "store/log/open_frame.h"

#include <string.h>

enum { ROOM_BYTES = 2 * NORN_LOG_FRAME_STORED_MAX };

/// How far a partition was read.
typedef struct applier_part {
    void *room;       ///< frames that were read; NULL: none ever
    size_t at, count; ///< in it: the next frame, and where they end
    norn_position position;
    bool sealed; ///< it has all of the step, and waits for the other partitions
} applier_part;

struct norn_applier {
    norn_applier_options options;
    norn_alloc alloc;
    uint32_t partitions;
    applier_part *parts;
    norn_position *committed, *sealed; ///< of the last step; of the one that is being committed
    norn_position *rows_at;            ///< of rows_cut; NULL: none
    uint64_t rows_step;                ///< rows of steps up to it are in the tier; 0: none
    uint64_t epoch; ///< the newest that a partition has opened: frames of older ones are void
    uint64_t pending_step; ///< being applied; 0: none
    uint64_t pending_rows, pending_deletes, pending_bytes;
    int64_t pending_published_ns;
    norn_dense_set pending_dense, dense;
    norn_applier_stat stat;
};

// ---- steps

/// Back to the last whole step.
static void abandon_step(norn_applier *applier) {
    norn_tier *tier = applier->options.tier;
    if (applier->pending_step > applier->rows_step)
        tier->ops->abort(tier, applier->options.version);
    norn_dense_set_clear(&applier->pending_dense);
    applier->pending_step = 0;
    applier->pending_rows = applier->pending_deletes = 0;
}

/// What was read of later frames is read again.
static void rewind_to_committed(norn_applier *applier) {
    abandon_step(applier);
    applier->pending_bytes = 0;
    applier->epoch = 0;
    for (uint32_t p = 0; p < applier->partitions; p++) {
        applier_part *part = &applier->parts[p];
        part->at = part->count = 0;
        part->position = applier->committed[p];
        part->sealed = false;
        if (part->position.epoch > applier->epoch) applier->epoch = part->position.epoch;
    }
}

/// The step at which the tier's rows stand must be the log's step of that number.
static norn_status check_rows_cut(const norn_applier *applier) {
    if (applier->pending_step != applier->rows_step) return NORN_OK;
    for (uint32_t p = 0; p < applier->partitions; p++)
        if (applier->rows_at[p].sequence != applier->parts[p].position.sequence ||
            applier->rows_at[p].chain != applier->parts[p].position.chain)
            return norn_fail(NORN_DATA_LOSS,
                             "the rows that are kept stand at step %llu of another log; publish a "
                             "full version",
                             (unsigned long long)applier->rows_step);
    return NORN_OK;
}

static norn_status commit_step(norn_applier *applier) {
    norn_tier *tier = applier->options.tier;
    NORN_TRY(norn_dense_set_check(&applier->pending_dense));
    NORN_TRY(check_rows_cut(applier));
    for (uint32_t p = 0; p < applier->partitions; p++)
        applier->sealed[p] = applier->parts[p].position;
    const norn_cut cut = {applier->pending_step, applier->partitions, applier->sealed};
    if (applier->pending_step > applier->rows_step)
        NORN_TRY(tier->ops->commit(tier, applier->options.version, &cut));
    memcpy(applier->committed, applier->sealed, applier->partitions * sizeof *applier->sealed);
    norn_dense_set_merge(&applier->dense, &applier->pending_dense);
    applier->stat.step = applier->pending_step;
    applier->stat.published_ns = applier->pending_published_ns;
    applier->stat.epoch = applier->epoch;
    applier->stat.steps++;
    applier->stat.rows += applier->pending_rows;
    applier->stat.deletes += applier->pending_deletes;
    applier->stat.bytes += applier->pending_bytes;
    applier->pending_step = 0;
    applier->pending_rows = applier->pending_deletes = applier->pending_bytes = 0;
    for (uint32_t p = 0; p < applier->partitions; p++) applier->parts[p].sealed = false;
    return NORN_OK;
}

// ---- a frame

static norn_status check_place(const applier_part *part, const norn_log_frame_header *h) {
    const norn_position *last = &part->position;
    if (h->sequence != last->sequence + 1)
        return norn_fail(NORN_DATA_LOSS, "a gap: sequence %llu comes after %llu",
                         (unsigned long long)h->sequence, (unsigned long long)last->sequence);
    if (h->previous_crc != last->chain)
        return norn_fail(NORN_DATA_LOSS,
                         "a fork: sequence %llu continues another frame %llu than the one applied",
                         (unsigned long long)h->sequence, (unsigned long long)last->sequence);
    if (h->epoch < last->epoch || (h->epoch > last->epoch && h->kind != NORN_LOG_FRAME_OPEN))
        return norn_fail(
            NORN_DATA_LOSS,
            "sequence %llu is of epoch %llu, which has not been opened after epoch %llu",
            (unsigned long long)h->sequence, (unsigned long long)h->epoch,
            (unsigned long long)last->epoch);
    return NORN_OK;
}

/// A new epoch: a step that is not whole will never be.
static void enter_epoch(norn_applier *applier, uint64_t epoch) {
    if (epoch <= applier->epoch) return;
    abandon_step(applier);
    applier->epoch = epoch;
    for (uint32_t p = 0; p < applier->partitions; p++) applier->parts[p].sealed = false;
}

static norn_status check_step(norn_applier *applier, const norn_log_frame_header *h) {
    if (applier->pending_step == 0 && h->step > applier->stat.step) {
        applier->pending_step = h->step;
        applier->pending_published_ns = h->published_ns;
    }
    if (h->step == applier->pending_step) return NORN_OK;
    return norn_fail(
        NORN_DATA_LOSS, "sequence %llu is of step %llu, where step %llu %s",
        (unsigned long long)h->sequence, (unsigned long long)h->step,
        (unsigned long long)(applier->pending_step ? applier->pending_step : applier->stat.step),
        applier->pending_step ? "is not sealed yet" : "was applied already");
}

static norn_status apply_rows(norn_applier *applier, const norn_log_frame *frame) {
    const norn_log_frame_header *h = &frame->header;
    const norn_version *version = applier->options.version;
    const bool deletes = h->kind == NORN_LOG_FRAME_DELETES;
    if (h->table >= version->table_count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "sequence %llu: rows of table %u, and the version has %u",
                         (unsigned long long)h->sequence, h->table, version->table_count);
    const norn_table_form *form = &version->tables[h->table];
    if (!deletes &&
        (norn_log_frame_dtype(h->dtype) != form->dtype || h->row_bytes != form->row_bytes))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "sequence %llu: %s rows of %u bytes for table '%s', whose rows are %s of "
                         "%lld bytes",
                         (unsigned long long)h->sequence,
                         norn_dtype_name(norn_log_frame_dtype(h->dtype)), h->row_bytes, form->name,
                         norn_dtype_name(form->dtype), (long long)form->row_bytes);
    const norn_delta delta = {.step = h->step,
                              .table = h->table,
                              .partition = h->partition,
                              .count = h->count,
                              .deletes = deletes,
                              .keys = norn_log_frame_keys(frame),
                              .rows = deletes ? NULL : norn_log_frame_rows(frame),
                              .row_bytes = deletes ? 0 : h->row_bytes};
    norn_tier *tier = applier->options.tier;
    const norn_status status = tier->ops->apply(tier, applier->options.version, &delta);
    if (status != NORN_OK)
        norn_note("sequence %llu, table '%s'", (unsigned long long)h->sequence, form->name);
    *(deletes ? &applier->pending_deletes : &applier->pending_rows) += h->count;
    return status;
}

static norn_status apply_dense(norn_applier *applier, const norn_log_frame *frame) {
    norn_log_frame_dense piece;
    NORN_TRY(norn_log_frame_dense_read(frame, &piece));
    return norn_dense_set_add(&applier->pending_dense, &piece);
}

static norn_status seal(norn_applier *applier, uint32_t p, const norn_log_frame *frame) {
    const norn_log_frame_header *h = &frame->header;
    if (h->count != applier->partitions || norn_log_frame_seal_sequence(frame, p) != h->sequence)
        return norn_fail(NORN_DATA_LOSS,
                         "sequence %llu: a seal of other partitions, or another place",
                         (unsigned long long)h->sequence);
    applier->parts[p].sealed = true;
    return NORN_OK;
}

static norn_status take_frame(norn_applier *applier, uint32_t p, const norn_log_frame *frame) {
    const norn_log_frame_header *h = &frame->header;
    const bool ours = h->base == applier->options.base;
    if (h->partition != p)
        return norn_fail(NORN_DATA_LOSS, "sequence %llu says that it is of partition %u",
                         (unsigned long long)h->sequence, h->partition);
    if (h->kind == NORN_LOG_FRAME_OPEN) {
        enter_epoch(applier, h->epoch);
        return ours ? norn_open_frame_check(frame, applier->options.version) : NORN_OK;
    }
    if (h->epoch < applier->epoch) return NORN_OK; // void
    NORN_TRY(check_step(applier, h));
    if (h->kind == NORN_LOG_FRAME_SEAL) return seal(applier, p, frame);
    if (!ours) return NORN_OK;
    if (h->kind != NORN_LOG_FRAME_DENSE && h->step <= applier->rows_step) return NORN_OK;
    return h->kind == NORN_LOG_FRAME_DENSE ? apply_dense(applier, frame)
                                           : apply_rows(applier, frame);
}

// ---- reading

/// *got: whether a frame is there.
static norn_status next_frame(norn_applier *applier, uint32_t p, norn_log_frame *frame, bool *got) {
    applier_part *part = &applier->parts[p];
    norn_delta_log *log = applier->options.log;
    size_t stored;
    *got = false;
    if (!part->room) NORN_TRY(norn_alloc_bytes(applier->alloc, ROOM_BYTES, &part->room));
    if (part->at == part->count) {
        part->at = part->count = 0;
        NORN_TRY(log->ops->read(log, p, part->position.sequence + 1, part->room, ROOM_BYTES,
                                &part->count));
        if (part->count == 0) return NORN_OK;
    }
    NORN_TRY(norn_log_frame_read(
        norn_span_of((char *)part->room + part->at, part->count - part->at), frame, &stored));
    if (stored == 0) return norn_fail(NORN_DATA_LOSS, "a frame is cut short");
    NORN_TRY(check_place(part, &frame->header));
    part->at += stored;
    *got = true;
    applier->pending_bytes += stored;
    return NORN_OK;
}

/// Frames of a partition, until it has all of the step.
static norn_status read_part(norn_applier *applier, uint32_t p, int64_t until_ns, bool *moved) {
    applier_part *part = &applier->parts[p];
    norn_log_frame frame;
    bool got = true;
    while (!part->sealed && norn_clock_now_ns() < until_ns) {
        NORN_TRY(next_frame(applier, p, &frame, &got));
        if (!got) return NORN_OK;
        *moved = true;
        NORN_TRY(take_frame(applier, p, &frame));
        part->position =
            (norn_position){frame.header.epoch, frame.header.sequence, frame.header.header_crc};
    }
    return NORN_OK;
}

static bool is_past_last(const norn_applier *applier) {
    return applier->options.last_step && applier->pending_step > applier->options.last_step;
}

static norn_status run_steps(norn_applier *applier, int64_t until_ns) {
    for (bool moved = true; moved && norn_clock_now_ns() < until_ns;) {
        bool whole = true;
        moved = false;
        for (uint32_t p = 0; p < applier->partitions; p++) {
            const norn_status status = read_part(applier, p, until_ns, &moved);
            if (status != NORN_OK) {
                norn_note("%s: partition %u", applier->options.log->url, p);
                return status;
            }
        }
        for (uint32_t p = 0; p < applier->partitions; p++)
            whole = whole && applier->parts[p].sealed;
        if (whole && is_past_last(applier)) { // only now is it known not to be void
            rewind_to_committed(applier);
            return NORN_OK;
        }
        if (whole) NORN_TRY(commit_step(applier));
    }
    return NORN_OK;
}

norn_status norn_applier_run(norn_applier *applier, int64_t until_ns) {
    const norn_status status = run_steps(applier, until_ns);
    if (status != NORN_OK) rewind_to_committed(applier);
    return status;
}

// ---- facts and life

norn_applier_stat norn_applier_stat_of(const norn_applier *applier) {
    return applier->stat;
}

norn_dense_set *norn_applier_dense(norn_applier *applier) {
    return &applier->dense;
}

norn_cut norn_applier_cut(const norn_applier *applier) {
    return (norn_cut){applier->stat.step, applier->partitions, applier->committed};
}

/// One that is not behind the full version's.
static norn_status take_rows_cut(norn_applier *applier, const norn_cut *cut) {
    if (!cut || cut->step <= applier->stat.step || cut->partition_count != applier->partitions)
        return NORN_OK;
    NORN_TRY(NORN_NEW_ARRAY(applier->alloc, applier->partitions, &applier->rows_at));
    memcpy(applier->rows_at, cut->positions, applier->partitions * sizeof *cut->positions);
    applier->rows_step = cut->step;
    return NORN_OK;
}

norn_status norn_applier_create(const norn_applier_options *options, norn_alloc alloc,
                                norn_applier **out) {
    const norn_cut *cut = options->cut;
    const uint32_t partitions = options->log->partitions;
    norn_applier *applier;
    *out = NULL;
    if (cut && cut->partition_count != partitions)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: the log has %u partition%s, and the version was cut from one of %u",
                         options->log->url, partitions, norn_plural(partitions),
                         cut->partition_count);
    NORN_TRY(NORN_NEW(alloc, &applier));
    applier->options = *options;
    applier->alloc = alloc;
    applier->partitions = partitions;
    applier->pending_dense.alloc = applier->dense.alloc = alloc;
    norn_status status = NORN_NEW_ARRAY(alloc, partitions, &applier->parts);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, partitions, &applier->committed);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, partitions, &applier->sealed);
    if (status != NORN_OK) {
        norn_applier_destroy(applier);
        return status;
    }
    if (cut) {
        memcpy(applier->committed, cut->positions, partitions * sizeof *cut->positions);
        applier->stat.step = cut->step;
    }
    rewind_to_committed(applier);
    status = take_rows_cut(applier, options->rows_cut);
    if (status == NORN_OK)
        *out = applier;
    else
        norn_applier_destroy(applier);
    return status;
}

void norn_applier_destroy(norn_applier *applier) {
    if (!applier) return;
    if (applier->parts && applier->committed) abandon_step(applier);
    for (uint32_t p = 0; applier->parts && p < applier->partitions; p++)
        norn_free(applier->alloc, applier->parts[p].room);
    norn_dense_set_clear(&applier->dense);
    norn_free(applier->alloc, applier->parts);
    norn_free(applier->alloc, applier->committed);
    norn_free(applier->alloc, applier->sealed);
    norn_free(applier->alloc, applier->rows_at);
    norn_free(applier->alloc, applier);
}
