#include "store/log/log_writer.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/wire.h"
#include "store/log/open_frame.h"
#include "tensor/dtype.h"

#include <string.h>

/// Of the next frames of a partition.
typedef struct writer_end {
    norn_buffer frames;
    uint64_t sequence; ///< of the last frame
    uint32_t chain;
    norn_log_tail sealed; ///< what this was after the last append
    uint32_t frame_keys;  ///< of the frame being collected
    norn_buffer keys, rows;
} writer_end;

struct norn_log_writer {
    norn_delta_log *log;
    norn_alloc alloc;
    char *model;
    norn_table_form *tables; ///< names are `names`
    char *names;
    uint32_t table_count;
    uint64_t base, epoch, step; ///< step: the last sealed
    int64_t begun_ns;           ///< Unix time; 0: the step has nothing yet
    bool
        unsettled; ///< an append failed: what it has of the step is not known, and it must be tried again
    writer_end *ends;         ///< by partition
    norn_position *positions; ///< of the last append
    norn_span *spans;
};

// ---- frames

/// Into the partition's buffer, behind the frame before.
static norn_status add_frame(norn_log_writer *writer, uint32_t partition,
                             norn_log_frame_header header, const void *payload, size_t bytes) {
    writer_end *end = &writer->ends[partition];
    header.base = writer->base;
    header.epoch = writer->epoch;
    header.sequence = end->sequence + 1;
    header.published_ns = writer->begun_ns;
    header.partition = partition;
    header.previous_crc = end->chain;
    norn_log_frame_finish(&header, payload, bytes);
    norn_buffer_append(&end->frames, &header, sizeof header);
    norn_buffer_append(&end->frames, payload, bytes);
    const size_t padding = norn_log_frame_stored_bytes(&header) - sizeof header - bytes;
    if (padding) norn_buffer_append(&end->frames, "\0\0\0\0\0\0\0", padding);
    NORN_TRY(norn_buffer_status(&end->frames));
    end->sequence++;
    end->chain = header.header_crc;
    return NORN_OK;
}

static norn_status check_settled(const norn_log_writer *writer) {
    if (!writer->unsettled) return NORN_OK;
    return norn_fail(
        NORN_FAILED_PRECONDITION,
        "%s: what became of step %llu is not known; seal it again before anything else",
        writer->log->url, (unsigned long long)writer->step + 1);
}

static void begin_step(norn_log_writer *writer) {
    if (writer->begun_ns == 0) writer->begun_ns = norn_clock_wall_ns();
}

/// The keys (and rows) that were collected for a partition.
static norn_status flush(norn_log_writer *writer, uint32_t partition, uint32_t table,
                         bool deletes) {
    writer_end *end = &writer->ends[partition];
    const norn_table_form *form = &writer->tables[table];
    if (end->frame_keys == 0) return NORN_OK;
    norn_buffer_append(&end->keys, end->rows.bytes, end->rows.count);
    NORN_TRY(norn_buffer_status(&end->keys));
    const norn_log_frame_header header = {
        .kind = deletes ? NORN_LOG_FRAME_DELETES : NORN_LOG_FRAME_ROWS,
        .dtype = deletes ? 0 : norn_log_frame_dtype_of(form->dtype),
        .step = writer->step + 1,
        .table = table,
        .count = end->frame_keys,
        .row_bytes = deletes ? 0 : (uint32_t)form->row_bytes,
    };
    NORN_TRY(add_frame(writer, partition, header, end->keys.bytes, end->keys.count));
    norn_buffer_clear(&end->keys);
    norn_buffer_clear(&end->rows);
    end->frame_keys = 0;
    return NORN_OK;
}

static norn_status check_keys(const norn_table_form *form, const int64_t *keys, uint32_t count,
                              bool deletes) {
    if (!form->dense) return NORN_OK;
    if (deletes)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "table '%s' is dense: rows of it cannot be deleted, only changed",
                         form->name);
    for (uint32_t i = 0; i < count; i++)
        if (keys[i] < 0 || keys[i] >= form->rows)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "table '%s': key %lld is outside its %lld row%s", form->name,
                             (long long)keys[i], (long long)form->rows, norn_plural(form->rows));
    return NORN_OK;
}

norn_status norn_log_writer_put(norn_log_writer *writer, uint32_t table, const int64_t *keys,
                                const void *rows, uint32_t count) {
    NORN_TRY(check_settled(writer));
    if (table >= writer->table_count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the model has %u table%s; there is none of number %u",
                         writer->table_count, norn_plural(writer->table_count), table);
    const norn_table_form *form = &writer->tables[table];
    const size_t row_bytes = rows ? (size_t)form->row_bytes : 0;
    const uint32_t most = (uint32_t)(NORN_LOG_FRAME_PAYLOAD_MAX / (sizeof *keys + row_bytes));
    NORN_TRY(check_keys(form, keys, count, rows == NULL));
    begin_step(writer);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t p = norn_log_partition_of(keys[i], writer->log->partitions);
        writer_end *end = &writer->ends[p];
        norn_buffer_append(&end->keys, &keys[i], sizeof *keys);
        if (rows) norn_buffer_append(&end->rows, (const char *)rows + i * row_bytes, row_bytes);
        if (++end->frame_keys == most) NORN_TRY(flush(writer, p, table, rows == NULL));
    }
    for (uint32_t p = 0; p < writer->log->partitions; p++)
        NORN_TRY(flush(writer, p, table, rows == NULL));
    return NORN_OK;
}

norn_status norn_log_writer_put_dense(norn_log_writer *writer, const char *name,
                                      const norn_view *tensor) {
    const size_t name_bytes = strlen(name), rank = (size_t)tensor->rank;
    const size_t fixed = 24 + rank * sizeof(int64_t) + norn_align_up(name_bytes, 8);
    const uint8_t dtype = norn_log_frame_dtype_of(tensor->dtype);
    norn_buffer payload;
    size_t total;
    int64_t elems = 1;
    NORN_TRY(check_settled(writer));
    if (dtype == 0 || fixed > NORN_LOG_FRAME_PAYLOAD_MAX / 2)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "tensor '%s': a delta carries float32, float16, bfloat16 and int8", name);
    for (size_t d = 0; d < rank; d++) elems *= tensor->dims[d];
    if (!norn_dtype_bytes(tensor->dtype, elems, &total))
        return norn_fail(NORN_INVALID_ARGUMENT, "tensor '%s' is too large", name);
    begin_step(writer);
    norn_buffer_init(&payload, writer->alloc);
    norn_status status = NORN_OK;
    size_t offset = 0;
    do {
        const size_t piece = total - offset < NORN_LOG_FRAME_PAYLOAD_MAX - fixed
                                 ? total - offset
                                 : NORN_LOG_FRAME_PAYLOAD_MAX - fixed;
        const uint32_t sizes[] = {(uint32_t)name_bytes, (uint32_t)rank};
        const uint64_t place[] = {offset, total};
        norn_buffer_clear(&payload);
        norn_buffer_append(&payload, sizes, sizeof sizes);
        norn_buffer_append(&payload, place, sizeof place);
        norn_buffer_append(&payload, tensor->dims, rank * sizeof(int64_t));
        norn_buffer_append(&payload, name, name_bytes);
        norn_buffer_append(&payload, "\0\0\0\0\0\0\0", norn_align_up(name_bytes, 8) - name_bytes);
        norn_buffer_append(&payload, (const char *)tensor->data + offset, piece);
        NORN_TRY_DONE(norn_buffer_status(&payload));
        const norn_log_frame_header header = {.kind = NORN_LOG_FRAME_DENSE,
                                              .dtype = dtype,
                                              .step = writer->step + 1,
                                              .count = (uint32_t)piece};
        NORN_TRY_DONE(add_frame(writer, 0, header, payload.bytes, payload.count));
        offset += piece;
    } while (offset < total);
done:
    norn_buffer_deinit(&payload);
    return status;
}

// ---- steps

static norn_status append(norn_log_writer *writer) {
    for (uint32_t p = 0; p < writer->log->partitions; p++)
        writer->spans[p] = norn_span_of(writer->ends[p].frames.bytes, writer->ends[p].frames.count);
    NORN_TRY(writer->log->ops->append(writer->log, writer->spans));
    for (uint32_t p = 0; p < writer->log->partitions; p++) {
        writer_end *end = &writer->ends[p];
        norn_buffer_clear(&end->frames);
        end->sealed.sequence = end->sequence;
        end->sealed.chain = end->chain;
        writer->positions[p] = (norn_position){writer->epoch, end->sequence, end->chain};
    }
    return NORN_OK;
}

static norn_status add_seals(norn_log_writer *writer) {
    const uint32_t partitions = writer->log->partitions;
    uint64_t *sequences;
    norn_status status = NORN_OK;
    begin_step(writer);
    NORN_TRY(NORN_NEW_ARRAY(writer->alloc, partitions, &sequences));
    for (uint32_t p = 0; p < partitions; p++) sequences[p] = writer->ends[p].sequence + 1;
    for (uint32_t p = 0; status == NORN_OK && p < partitions; p++)
        status = add_frame(writer, p,
                           (norn_log_frame_header){.kind = NORN_LOG_FRAME_SEAL,
                                                   .step = writer->step + 1,
                                                   .count = partitions},
                           sequences, partitions * sizeof *sequences);
    norn_free(writer->alloc, sequences);
    return status;
}

norn_status norn_log_writer_seal(norn_log_writer *writer, uint64_t *step) {
    const norn_status status = writer->unsettled ? NORN_OK : add_seals(writer);
    if (status != NORN_OK) {
        norn_log_writer_abort(writer);
        return status;
    }
    writer->unsettled = true;
    NORN_TRY(append(writer));
    writer->unsettled = false;
    writer->begun_ns = 0;
    *step = ++writer->step;
    return NORN_OK;
}

void norn_log_writer_abort(norn_log_writer *writer) {
    if (writer->unsettled) return;
    for (uint32_t p = 0; p < writer->log->partitions; p++) {
        writer_end *end = &writer->ends[p];
        norn_buffer_clear(&end->frames);
        norn_buffer_clear(&end->keys);
        norn_buffer_clear(&end->rows);
        end->frames.failed = end->keys.failed = end->rows.failed = false;
        end->frame_keys = 0;
        end->sequence = end->sealed.sequence;
        end->chain = end->sealed.chain;
    }
    writer->begun_ns = 0;
}

norn_cut norn_log_writer_cut(const norn_log_writer *writer) {
    return (norn_cut){.step = writer->step,
                      .partition_count = writer->log->partitions,
                      .positions = writer->positions};
}

// ---- an epoch

static norn_status add_open(norn_log_writer *writer) {
    norn_buffer text;
    norn_status status = NORN_OK;
    norn_buffer_init(&text, writer->alloc);
    norn_open_frame_write(&text, writer->model, writer->tables, writer->table_count);
    begin_step(writer);
    NORN_TRY_DONE(norn_buffer_status(&text));
    for (uint32_t p = 0; p < writer->log->partitions; p++)
        NORN_TRY_DONE(add_frame(writer, p,
                                (norn_log_frame_header){.kind = NORN_LOG_FRAME_OPEN,
                                                        .step = writer->step,
                                                        .count = writer->table_count},
                                text.bytes, text.count));
    NORN_TRY_DONE(append(writer));
    writer->begun_ns = 0;
done:
    norn_buffer_deinit(&text);
    return status;
}

/// A step counts where all partitions have its seal.
static norn_status begin_epoch(norn_log_writer *writer) {
    const uint32_t partitions = writer->log->partitions;
    norn_log_tail *tails;
    NORN_TRY(NORN_NEW_ARRAY(writer->alloc, partitions, &tails));
    const norn_status status = writer->log->ops->fence(writer->log, &writer->epoch, tails);
    for (uint32_t p = 0; status == NORN_OK && p < partitions; p++) {
        writer_end *end = &writer->ends[p];
        end->sealed = tails[p];
        end->sequence = tails[p].sequence;
        end->chain = tails[p].chain;
        if (p == 0 || tails[p].step < writer->step) writer->step = tails[p].step;
    }
    norn_free(writer->alloc, tails);
    return status == NORN_OK ? add_open(writer) : status;
}

static norn_status copy_tables(norn_log_writer *writer, const norn_log_writer_options *options) {
    size_t bytes = 1;
    for (uint32_t t = 0; t < options->table_count; t++)
        bytes += strlen(options->tables[t].name) + 1;
    NORN_TRY(NORN_NEW_ARRAY(writer->alloc, options->table_count, &writer->tables));
    NORN_TRY(NORN_NEW_ARRAY(writer->alloc, bytes, &writer->names));
    char *name = writer->names;
    for (uint32_t t = 0; t < options->table_count; t++) {
        writer->tables[t] = options->tables[t];
        writer->tables[t].name = strcpy(name, options->tables[t].name);
        name += strlen(name) + 1;
    }
    writer->table_count = options->table_count;
    return NORN_OK;
}

norn_status norn_log_writer_create(norn_delta_log *log, const norn_log_writer_options *options,
                                   norn_alloc alloc, norn_log_writer **out) {
    norn_log_writer *writer;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &writer));
    writer->log = log;
    writer->alloc = alloc;
    writer->base = options->base;
    NORN_TRY_DONE(norn_alloc_string(alloc, options->model, &writer->model));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, log->partitions, &writer->positions));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, log->partitions, &writer->spans));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, log->partitions, &writer->ends));
    for (uint32_t p = 0; p < log->partitions; p++) {
        norn_buffer_init(&writer->ends[p].frames, alloc);
        norn_buffer_init(&writer->ends[p].keys, alloc);
        norn_buffer_init(&writer->ends[p].rows, alloc);
    }
    NORN_TRY_DONE(copy_tables(writer, options));
    NORN_TRY_DONE(begin_epoch(writer));
    *out = writer;
    return NORN_OK;
done:
    norn_log_writer_destroy(writer);
    return status;
}

void norn_log_writer_destroy(norn_log_writer *writer) {
    if (!writer) return;
    for (uint32_t p = 0; writer->ends && p < writer->log->partitions; p++) {
        norn_buffer_deinit(&writer->ends[p].frames);
        norn_buffer_deinit(&writer->ends[p].keys);
        norn_buffer_deinit(&writer->ends[p].rows);
    }
    norn_free(writer->alloc, writer->ends);
    norn_free(writer->alloc, writer->spans);
    norn_free(writer->alloc, writer->positions);
    norn_free(writer->alloc, writer->tables);
    norn_free(writer->alloc, writer->names);
    norn_free(writer->alloc, writer->model);
    norn_free(writer->alloc, writer);
}
