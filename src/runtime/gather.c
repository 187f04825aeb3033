#include "runtime/gather.h"
#include "base/checked.h"
#include "base/memory.h"
#include "graph/lookup_key.h"
#include "kernel/host_rows.h"
#include "ops/op.h"
#include "runtime/gather_batch.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <string.h>

#define NO_STEP UINT32_MAX

/// One of the plan's tables in this round.
typedef struct gather_table {
    const norn_elsewhere *source; ///< NULL: it is in memory
    uint32_t batch;
    uint64_t most;       ///< keys of this round, with those that come twice
    uint32_t count;      ///< without
    uint32_t first;      ///< of them in the batch
    norn_host_rows rows; ///< what came; `index` is kept between rounds
    int64_t *keys;       ///< each once, in `memory`
    norn_block *memory;
} gather_table;

struct norn_gather {
    norn_run_room *room;
    uint32_t table_count;
    norn_table_binding *tables; ///< what kernels read
    gather_table *table;        ///< by index, as `tables`
    norn_gather_batch *batch;   ///< as many as there are tables, `batch_count` in use
    uint32_t batch_count, made; ///< made: have a lock
    norn_snapshot *snapshot;    ///< of the run; borrowed
    char *zeros;                ///< a row of the longest
    size_t zero_bytes;
    const norn_frame *frame; ///< of the round
    uint32_t from;           ///< its first lookup whose keys need not be known before
};

// ---- life

norn_status norn_gather_create(norn_run_room *room, norn_gather **out) {
    norn_gather *gather;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(room->alloc, &gather));
    gather->room = room;
    gather->table_count = room->table_count;
    NORN_TRY_DONE(NORN_NEW_ARRAY(room->alloc, room->table_count, &gather->tables));
    NORN_TRY_DONE(NORN_NEW_ARRAY(room->alloc, room->table_count, &gather->table));
    NORN_TRY_DONE(NORN_NEW_ARRAY(room->alloc, room->table_count, &gather->batch));
    for (; gather->made < room->table_count; gather->made++)
        norn_gather_batch_init(&gather->batch[gather->made], &room->blocks);
    *out = gather;
    gather = NULL;
done:
    norn_gather_destroy(gather);
    return status;
}

void norn_gather_destroy(norn_gather *gather) {
    if (!gather) return;
    for (uint32_t i = 0; i < gather->made; i++) norn_gather_batch_deinit(&gather->batch[i]);
    for (uint32_t t = 0; gather->table && t < gather->table_count; t++) {
        norn_key_index_deinit(&gather->table[t].rows.index);
        norn_blocks_give(&gather->room->blocks, gather->table[t].memory);
    }
    norn_free(gather->room->alloc, gather->zeros);
    norn_free(gather->room->alloc, gather->batch);
    norn_free(gather->room->alloc, gather->table);
    norn_free(gather->room->alloc, gather->tables);
    norn_free(gather->room->alloc, gather);
}

// ---- the tables of a run

static norn_status make_zeros(norn_gather *gather, size_t bytes) {
    if (bytes <= gather->zero_bytes) return NORN_OK;
    norn_free(gather->room->alloc, gather->zeros);
    gather->zeros = NULL;
    gather->zero_bytes = 0;
    NORN_TRY(norn_alloc_zeroed(gather->room->alloc, 1, bytes, (void **)&gather->zeros));
    gather->zero_bytes = bytes;
    return NORN_OK;
}

/// Its kernels see an index in memory, empty so far.
static norn_status use_table(norn_gather *gather, uint32_t t, const norn_table_binding *from) {
    gather_table *table = &gather->table[t];
    norn_table_view *view = &gather->tables[t].view;
    gather->tables[t] = *from;
    table->source = from->view.kind == NORN_TABLE_ELSEWHERE ? from->view.elsewhere.source : NULL;
    if (!table->source) return NORN_OK;
    if (!table->rows.index.tags)
        NORN_TRY(norn_key_index_init(&table->rows.index, 0, gather->room->alloc));
    view->kind = NORN_TABLE_HOST_INDEX;
    view->host.rows = &table->rows;
    view->host.step = 0;
    return make_zeros(gather, (size_t)view->row_bytes);
}

static bool same_batch(const norn_gather_batch *batch, const norn_elsewhere *source) {
    return batch->tier == source->tier && batch->fetch.pin == source->pin &&
           batch->rule.policy == source->rule.policy && batch->rule.wait_ns == source->rule.wait_ns;
}

norn_status norn_gather_use(norn_gather *gather, const norn_table_set *tables) {
    gather->snapshot = tables->snapshot;
    for (uint32_t t = 0; t < gather->table_count; t++)
        NORN_TRY(use_table(gather, t, &tables->host[t]));
    gather->room->at[NORN_HOST].tables = gather->tables;
    return NORN_OK;
}

/// Which tables share a fetch. What was given up goes on in the place that it has, which is blocked
/// for this round then: it may be of another snapshot.
static void deal_batches(norn_gather *gather) {
    gather->batch_count = 0;
    for (uint32_t t = 0; t < gather->table_count; t++) {
        gather_table *table = &gather->table[t];
        if (!table->source) continue;
        uint32_t b = 0;
        while (b < gather->batch_count && !same_batch(&gather->batch[b], table->source)) b++;
        table->batch = b;
        if (b < gather->batch_count) continue;
        norn_gather_batch *batch = &gather->batch[gather->batch_count++];
        batch->ended = false;
        batch->blocked = !norn_gather_batch_free(batch, table->source->rule);
        if (batch->blocked) continue;
        batch->tier = table->source->tier;
        batch->rule = table->source->rule;
        batch->fetch.pin = table->source->pin;
    }
}

// ---- keys

static bool is_lookup(const norn_step *step) {
    return step->kind == NORN_STEP_KERNEL && step->node->op->id == NORN_OP_Lookup;
}

static bool is_known(const norn_frame *frame, uint32_t slot) {
    const norn_slot_kind kind = norn_slot_root(frame->program, slot)->kind;
    return kind == NORN_SLOT_INPUT || kind == NORN_SLOT_CONST;
}

static norn_status add_key(gather_table *table, const norn_lookup_column *column, int64_t given,
                           int64_t row_count) {
    const int64_t key = norn_lookup_key(column, given, row_count);
    uint64_t row = table->count;
    bool added;
    if (column->pool != NORN_POOL_NONE && norn_lookup_is_padding(column, key)) return NORN_OK;
    NORN_TRY(norn_key_index_add(&table->rows.index, key, &row, &added));
    if (added) table->keys[table->count++] = key;
    return NORN_OK;
}

static norn_status add_keys(gather_table *table, const norn_lookup_column *column,
                            const norn_view *keys, int64_t row_count) {
    const int64_t total = norn_view_elems(keys);
    const bool strided = column->form != NORN_KEYS_CSR && column->keys_stride > 0;
    const int64_t stride = strided ? column->keys_stride : total,
                  first = strided ? column->keys_first : 0,
                  count = strided ? column->keys_count : total;
    // A kernel refuses keys that are laid out otherwise than the model says; here none is read.
    if (total == 0 || first < 0 || count < 1 || count > stride - first) return NORN_OK;
    for (int64_t at = first; at <= total - count; at += stride)
        for (int64_t j = 0; j < count; j++)
            NORN_TRY(add_key(table, column, norn_element_i64(keys->dtype, keys->data, at + j),
                             row_count));
    return NORN_OK;
}

/// Lookups of the round: step `from`, whose keys are there, and those after it whose keys are known
/// all along. `add` false: only counts, those that come twice too.
static norn_status visit_columns(norn_gather *gather, const norn_frame *frame, uint32_t from,
                                 bool add) {
    const norn_program *program = frame->program;
    for (uint32_t i = from == NO_STEP ? 0 : from; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        if (!is_lookup(step)) continue;
        const norn_lookup_region *region = &step->node->region->lookup;
        for (uint32_t c = 0; c < region->column_count; c++) {
            const norn_lookup_column *column = &region->columns[c];
            const uint32_t slot = step->in[column->keys_input];
            if (column->rows_input != NORN_NO_INPUT || (i != from && !is_known(frame, slot)))
                continue;
            gather_table *table = &gather->table[column->table];
            if (!table->source) continue;
            const int64_t rows = gather->tables[column->table].view.row_count;
            if (add)
                NORN_TRY(add_keys(table, column, &frame->slots[slot], rows));
            else
                table->most += (uint64_t)norn_view_elems(&frame->slots[slot]);
        }
    }
    return NORN_OK;
}

// ---- a round

static norn_status clear_table(norn_gather *gather, gather_table *table) {
    norn_blocks *blocks = &gather->room->blocks;
    const size_t bytes = table->most ? (size_t)table->most * sizeof *table->keys : 1;
    table->count = 0;
    norn_key_index_clear(&table->rows.index);
    if (!table->memory || norn_block_bytes(table->memory) < bytes) {
        norn_blocks_give(blocks, table->memory);
        table->memory = NULL;
        NORN_TRY(norn_blocks_take(blocks, bytes, &table->memory));
    }
    norn_block_use(table->memory, bytes);
    table->keys = norn_block_data(table->memory);
    return NORN_OK;
}

static norn_status start_batch(norn_gather *gather, uint32_t b) {
    norn_gather_batch *batch = &gather->batch[b];
    const norn_pin *pin = batch->fetch.pin;
    uint64_t keys = 0;
    size_t bytes = 0;
    for (uint32_t t = 0; t < gather->table_count; t++)
        if (gather->table[t].source && gather->table[t].batch == b) keys += gather->table[t].count;
    NORN_TRY(norn_gather_batch_room(batch, keys));
    batch->fetch.pin = pin;
    norn_row_key *key = (norn_row_key *)(uintptr_t)batch->fetch.keys;
    uint64_t *row_at = (uint64_t *)(uintptr_t)batch->fetch.row_at;
    for (uint32_t t = 0; t < gather->table_count; t++) {
        gather_table *table = &gather->table[t];
        const size_t row_bytes = (size_t)gather->tables[t].view.row_bytes;
        size_t all;
        if (!table->source || table->batch != b) continue;
        table->first = batch->fetch.count;
        bytes = norn_align_up(bytes, NORN_HOST_ALIGN);
        for (uint32_t i = 0; i < table->count; i++, batch->fetch.count++) {
            *key++ = (norn_row_key){table->keys[i], table->source->table};
            *row_at++ = bytes + i * row_bytes;
        }
        if (!norn_size_mul(table->count, row_bytes, &all) || !norn_size_add(bytes, all, &bytes))
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "table '%s': %u rows do not fit in memory",
                             gather->tables[t].name, table->count);
    }
    return batch->fetch.count ? norn_gather_batch_start(batch, gather->snapshot, bytes) : NORN_OK;
}

static norn_status begin_round(norn_gather *gather, const norn_frame *frame, uint32_t from) {
    gather->frame = NULL;
    deal_batches(gather);
    for (uint32_t t = 0; t < gather->table_count; t++) {
        gather->table[t].most = 0;
    }
    NORN_TRY(visit_columns(gather, frame, from, false));
    for (uint32_t t = 0; t < gather->table_count; t++)
        if (gather->table[t].source) NORN_TRY(clear_table(gather, &gather->table[t]));
    NORN_TRY(visit_columns(gather, frame, from, true));
    for (uint32_t b = 0; b < gather->batch_count; b++)
        if (!gather->batch[b].blocked) NORN_TRY(start_batch(gather, b));
    gather->frame = frame;
    gather->from = from;
    return NORN_OK;
}

// ---- what came

static const void *default_row(const norn_gather *gather, uint32_t t) {
    const void *row = gather->tables[t].view.default_row;
    return row ? row : gather->zeros;
}

static void count_late(const gather_table *table, uint64_t count) {
    if (count && table->source->late_count)
        atomic_fetch_add_explicit(table->source->late_count, count, memory_order_relaxed);
}

/// Every key has the default row: all rows lie on it.
static void make_late(norn_gather *gather, uint32_t t) {
    gather_table *table = &gather->table[t];
    table->rows.rows = default_row(gather, t);
    table->rows.row_bytes = 0;
    count_late(table, table->count);
}

static void take_rows(norn_gather *gather, uint32_t t, norn_fetch *fetch) {
    gather_table *table = &gather->table[t];
    const norn_table_view *view = &gather->tables[t].view;
    uint64_t late = 0;
    table->rows.rows = table->count ? fetch->rows + fetch->row_at[table->first] : NULL;
    table->rows.row_bytes = (uint64_t)view->row_bytes;
    for (uint32_t i = 0; i < table->count; i++) {
        const uint8_t state = fetch->state[table->first + i];
        if (state == NORN_ROW_FOUND) continue;
        if (state == NORN_ROW_LATE) {
            memcpy(fetch->rows + fetch->row_at[table->first + i], default_row(gather, t),
                   (size_t)view->row_bytes);
            late++;
            continue;
        }
        // Absent or deleted: what follows is the table's policy for missing keys, as in memory.
        atomic_store_explicit(norn_key_index_at(&table->rows.index, table->keys[i]), NORN_NO_ROW,
                              memory_order_relaxed);
    }
    count_late(table, late);
}

static norn_status end_batch(norn_gather *gather, uint32_t b) {
    norn_gather_batch *batch = &gather->batch[b];
    const bool came = !batch->blocked && norn_gather_batch_wait(batch);
    const bool waits = batch->rule.policy == NORN_FETCH_WAIT;
    batch->ended = true;
    for (uint32_t t = 0; t < gather->table_count; t++) {
        gather_table *table = &gather->table[t];
        if (!table->source || table->batch != b) continue;
        table->rows.row_count = table->count;
        if (came && batch->fetch.status != NORN_OK && waits)
            return norn_fail(batch->fetch.status, "table '%s': the %s tier failed (%s)",
                             gather->tables[t].name, batch->tier->ops->kind,
                             norn_status_name(batch->fetch.status));
        if (came && batch->fetch.status == NORN_OK)
            take_rows(gather, t, &batch->fetch);
        else
            make_late(gather, t);
    }
    return NORN_OK;
}

// ---- the executor's calls

/// Does a step read tables that are elsewhere; are its keys part of the round?
static bool needs_gather(const norn_gather *gather, const norn_frame *frame, const norn_step *step,
                         bool *known) {
    bool needs = false;
    *known = true;
    if (!is_lookup(step)) return false;
    const norn_lookup_region *region = &step->node->region->lookup;
    for (uint32_t c = 0; c < region->column_count; c++) {
        const norn_lookup_column *column = &region->columns[c];
        if (column->rows_input != NORN_NO_INPUT || !gather->table[column->table].source) continue;
        needs = true;
        *known = *known && is_known(frame, step->in[column->keys_input]);
    }
    return needs;
}

norn_status norn_gather_begin(norn_gather *gather, norn_frame *frame) {
    bool known;
    for (uint32_t i = 0; i < frame->program->step_count; i++)
        if (needs_gather(gather, frame, &frame->program->steps[i], &known) && known)
            return begin_round(gather, frame, NO_STEP);
    if (gather->frame == frame) gather->frame = NULL; // the round was of its last run
    return NORN_OK;
}

norn_status norn_gather_before(norn_gather *gather, norn_frame *frame, uint32_t index) {
    const norn_step *step = &frame->program->steps[index];
    bool known;
    if (!needs_gather(gather, frame, step, &known)) return NORN_OK;
    if (gather->frame != frame || !known) NORN_TRY(begin_round(gather, frame, index));
    for (uint32_t t = 0; t < gather->table_count; t++) {
        const gather_table *table = &gather->table[t];
        if (table->source && !gather->batch[table->batch].ended)
            NORN_TRY(end_batch(gather, table->batch));
    }
    return NORN_OK;
}
