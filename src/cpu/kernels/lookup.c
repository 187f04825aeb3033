// Lookup: all embedding lookups of a model in one call.
//
// A column is cut into runs of keys; each key becomes a pointer to its row, which is prefetched and
// put in a ring; what leaves the ring is copied or pooled. So up to RING rows of memory latency
// overlap, across the columns too, which is what a batch of one lives on.
#include "cpu/kernels/lookup_parts.h"
#include "cpu/micro/tile_op.h"
#include "tensor/view.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { RING = 16, LINE = 64, PREFETCH_LINES = 8, GRAIN_BYTES = 64 * 1024 };

/// A row on its way from memory.
typedef struct lookup_item {
    const void *row; ///< NULL: zeros
    const lookup_column *column;
    char *out;
    float weight;
    float last_scale; ///< at the last of a bag: what its sum is multiplied by; else 0
    bool first;
} lookup_item;

typedef struct lookup_ring {
    lookup_item at[RING];
    uint32_t head, count;
    float *pool;
} lookup_ring;

__attribute__((format(printf, 3, 4))) static void fail_once(lookup_job *job, norn_status status,
                                                            const char *format, ...) {
    int none = 0;
    if (!atomic_compare_exchange_strong(&job->status, &none, -1)) return; // somebody was first
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->message, sizeof job->message, format, arguments);
    va_end(arguments);
    atomic_store(&job->status, (int)status);
}

// ---- rows

/// Element i of a table's row as float32. I8 rows end in their float32 scale.
static float i8_scale(const norn_table_binding *table, const void *row) {
    float scale;
    memcpy(&scale, (const char *)row + norn_table_scale_offset(table->dim), sizeof scale);
    return scale;
}

static float element(const norn_table_binding *table, const void *row, int64_t i, float scale) {
    switch ((int)table->dtype) {
    case NORN_F32:
        return ((const float *)row)[i];
    case NORN_F16:
        return norn_f16_to_f32(((const uint16_t *)row)[i]);
    case NORN_BF16:
        return norn_bf16_to_f32(((const uint16_t *)row)[i]);
    case NORN_I8:
        return (float)((const int8_t *)row)[i] * scale;
    default:
        return (float)norn_element_f64(table->dtype, row, i);
    }
}

static void pool_row(const lookup_item *item, float *sum) {
    const norn_table_binding *table = item->column->table;
    const int64_t dim = item->column->spec->dim;
    const bool max = item->column->spec->pool == NORN_POOL_MAX;
    const float weight = item->weight;
    if (!item->row) {
        for (int64_t i = 0; i < dim; i++) sum[i] = item->first || (max && sum[i] < 0) ? 0 : sum[i];
        return;
    }
    if (table->dtype == NORN_F32 && !max) {
        const float *row = item->row;
        if (item->first)
            for (int64_t i = 0; i < dim; i++) sum[i] = weight * row[i];
        else
            for (int64_t i = 0; i < dim; i++) sum[i] += weight * row[i];
        return;
    }
    float scale = table->dtype == NORN_I8 ? i8_scale(table, item->row) : 1;
    for (int64_t i = 0; i < dim; i++) {
        float x = weight * element(table, item->row, i, scale);
        if (item->first)
            sum[i] = x;
        else if (max)
            sum[i] = x > sum[i] || x != x ? x : sum[i];
        else
            sum[i] += x;
    }
}

static void finish_item(lookup_ring *ring, const lookup_item *item) {
    const lookup_column *column = item->column;
    const int64_t dim = column->spec->dim;
    if (column->copy_bytes && item->first && item->last_scale == 1) {
        if (item->row)
            memcpy(item->out, item->row, (size_t)column->copy_bytes);
        else
            memset(item->out, 0, (size_t)column->copy_bytes);
        return;
    }
    bool direct = column->out_dtype == NORN_F32;
    float *sum = direct ? (float *)(void *)item->out : ring->pool;
    pool_row(item, sum);
    if (item->last_scale == 0) return;
    if (item->last_scale != 1)
        for (int64_t i = 0; i < dim; i++) sum[i] *= item->last_scale;
    if (!direct) {
        const norn_tile_operand in[3] = {{sum, 1}};
        norn_tile_cast(NORN_F32, column->out_dtype)(item->out, in, dim);
    }
}

static void ring_pop(lookup_ring *ring) {
    finish_item(ring, &ring->at[ring->head]);
    ring->head = (ring->head + 1) % RING;
    ring->count--;
}

static void ring_push(lookup_ring *ring, const lookup_item *item) {
    if (item->row) {
        const char *row = item->row;
        int64_t lines = (item->column->table->view.row_bytes + LINE - 1) / LINE;
        if (lines > PREFETCH_LINES) lines = PREFETCH_LINES; // the hardware goes on from there
        for (int64_t i = 0; i < lines; i++) __builtin_prefetch(row + i * LINE);
    }
    if (ring->count == RING) ring_pop(ring);
    ring->at[(ring->head + ring->count++) % RING] = *item;
}

// ---- keys

/// The row of a missing key, by the table's policy. False: an error has been noted.
static bool missing_row(lookup_job *job, const norn_table_binding *table, int64_t key,
                        const void **row) {
    const norn_table_view *view = &table->view;
    if (view->missing == NORN_MISSING_ERROR) {
        const bool dense = view->kind == NORN_TABLE_DENSE || view->host.rows->dense;
        if (!dense || (uint64_t)key < (uint64_t)view->row_count)
            fail_once(job, NORN_INVALID_ARGUMENT, "table '%s' has no key %lld", table->name,
                      (long long)key);
        else
            fail_once(job, NORN_INVALID_ARGUMENT,
                      "key %lld is outside table '%s', which has keys 0 to %lld", (long long)key,
                      table->name, (long long)view->row_count - 1);
        return false;
    }
    *row = view->default_row;
    return true;
}

/// By the table's policy for keys that have no row. One addition for a run
/// of keys: instances share the counter.
static bool fill_missing(lookup_job *job, const norn_table_binding *table, const int64_t *keys,
                         int64_t count, const void **rows) {
    uint64_t missing = 0;
    bool filled = true;
    for (int64_t i = 0; i < count; i++) {
        if (rows[i]) continue;
        missing++;
        if (filled) filled = missing_row(job, table, keys[i], &rows[i]);
    }
    if (missing && table->view.missing_count)
        atomic_fetch_add_explicit(table->view.missing_count, missing, memory_order_relaxed);
    return filled;
}

bool norn_lookup_resolve(lookup_job *job, const lookup_column *column, const int64_t *keys,
                         int64_t count, const void **rows) {
    const norn_table_binding *table = column->table;
    const norn_table_view *view = &table->view;
    if (view->kind == NORN_TABLE_HOST_INDEX) {
        norn_host_rows_find(view->host.rows, view->host.step, keys, count, rows);
    } else {
        for (int64_t i = 0; i < count; i++)
            rows[i] = keys[i] >= 0 && keys[i] < view->row_count
                          ? (const char *)view->dense.rows + keys[i] * view->row_bytes
                          : NULL;
    }
    return fill_missing(job, table, keys, count, rows);
}

/// Keys [begin, end) are looked for now: those that come soon are on their way from memory. `step` apart.
static void look_ahead(const lookup_column *column, int64_t begin, int64_t end, int64_t step) {
    const int64_t elems = column->index ? norn_view_elems(column->keys) : 0;
    for (int64_t at = begin + AHEAD * step; at < end + AHEAD * step && at < elems; at += step) {
        int64_t key = norn_lookup_key_at(column, at);
        norn_key_index_ask_slots(column->index, &key, 1);
        if (at + AHEAD * step >= elems) continue;
        key = norn_lookup_key_at(column, at + AHEAD * step);
        norn_key_index_ask_tags(column->index, &key, 1);
    }
}

static bool is_padding(const lookup_column *column, int64_t key) {
    return norn_lookup_is_padding(column->spec, key);
}

/// Keys [begin, end) without padding.
static int64_t count_keys(const lookup_column *column, int64_t begin, int64_t end) {
    int64_t count = end - begin;
    if (!column->spec->has_padding) return count;
    for (int64_t i = begin; i < end; i++)
        count -= is_padding(column, norn_lookup_key_at(column, i));
    return count;
}

/// Keys [begin, end) pooled into one row, or written side by side; weights[0] is that of the first.
static bool push_bag(lookup_job *job, const lookup_column *column, lookup_ring *ring, int64_t begin,
                     int64_t end, const float *weights, char *out) {
    const void *rows[KEY_RUN];
    int64_t keys[KEY_RUN], places[KEY_RUN];
    norn_pool_mode pool = column->spec->pool;
    bool pooled = pool != NORN_POOL_NONE;
    int64_t total = pooled ? count_keys(column, begin, end) : end - begin, done = 0;
    float scale = pool == NORN_POOL_MEAN ? 1 / (float)total : 1;
    if (total == 0 && pooled) {
        lookup_item empty = {
            .column = column, .out = out, .weight = 1, .last_scale = 1, .first = true};
        ring_push(ring, &empty);
        return true;
    }
    for (int64_t at = begin; at < end;) {
        const int64_t first = at;
        int64_t count = 0;
        for (; at < end && count < KEY_RUN; at++) {
            keys[count] = norn_lookup_key_at(column, at);
            places[count] = at - begin;
            count += !(pooled && is_padding(column, keys[count]));
        }
        look_ahead(column, first, at, 1);
        if (!norn_lookup_resolve(job, column, keys, count, rows)) return false;
        for (int64_t i = 0; i < count; i++) {
            done++;
            lookup_item item = {
                .row = rows[i],
                .column = column,
                .out = out,
                .weight = weights ? weights[places[i]] : 1,
                .first = !pooled || done == 1,
                .last_scale = !pooled         ? 1
                              : done == total ? scale
                                              : 0,
            };
            ring_push(ring, &item);
            if (!pooled) out += column->position_bytes;
        }
    }
    return true;
}

static bool push_rows(lookup_job *job, const lookup_column *column, lookup_ring *ring,
                      int64_t begin, int64_t end) {
    const void *rows[KEY_RUN];
    int64_t keys[KEY_RUN];
    for (int64_t row = begin; row < end; row++) {
        char *out = column->out + row * column->row_bytes;
        if (column->spec->form == NORN_KEYS_CSR) {
            int64_t from = norn_lookup_integer(column->offsets_dtype, column->offsets, row);
            int64_t to = norn_lookup_integer(column->offsets_dtype, column->offsets, row + 1);
            const float *weights = column->weights ? column->weights + from : NULL;
            if (!push_bag(job, column, ring, from, to, weights, out)) return false;
        } else if (column->per_row != 1 || column->spec->has_padding) {
            int64_t from = row * column->keys_step + column->keys_first, count = column->per_row;
            const float *weights = column->weights ? column->weights + row * count : NULL;
            if (!push_bag(job, column, ring, from, from + count, weights, out)) return false;
        } else { // one key a row: a run of them is resolved at once
            int64_t count = end - row < KEY_RUN ? end - row : KEY_RUN;
            int64_t from = row * column->keys_step + column->keys_first;
            for (int64_t i = 0; i < count; i++)
                keys[i] = norn_lookup_key_at(column, from + i * column->keys_step);
            look_ahead(column, from, from + count * column->keys_step, column->keys_step);
            if (!norn_lookup_resolve(job, column, keys, count, rows)) return false;
            for (int64_t i = 0; i < count; i++, out += column->row_bytes) {
                lookup_item item = {.row = rows[i],
                                    .column = column,
                                    .out = out,
                                    .weight = column->weights ? column->weights[row + i] : 1,
                                    .last_scale = 1,
                                    .first = true};
                ring_push(ring, &item);
            }
            row += count - 1;
        }
    }
    return true;
}

static void lookup_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    lookup_job *job = context;
    lookup_ring ring = {.pool = job->pools + worker * job->pool_elems};
    for (int64_t row = begin; row < end; row += KEY_RUN) {
        int64_t stop = end - row < KEY_RUN ? end : row + KEY_RUN;
        for (uint32_t i = 0; i < job->column_count; i++) {
            const lookup_column *column = &job->columns[i];
            if (!(column->bags ? norn_lookup_bags(job, column, row, stop)
                               : push_rows(job, column, &ring, row, stop)))
                return;
        }
    }
    while (ring.count) ring_pop(&ring);
}

// ---- binding

static norn_status check_offsets(const lookup_column *column, int64_t batch,
                                 const norn_view *offsets) {
    int64_t count = norn_view_elems(column->keys), before = 0;
    if (norn_view_elems(offsets) != batch + 1)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "table '%s': %lld offset%s for a batch of %lld; CSR has one more",
                         column->table->name, (long long)norn_view_elems(offsets),
                         norn_plural(norn_view_elems(offsets)), (long long)batch);
    for (int64_t i = 0; i <= batch; i++) {
        int64_t at = norn_lookup_integer(offsets->dtype, offsets->data, i);
        if (at < before || at > count)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "table '%s': offset %lld is %lld; offsets must not fall and "
                             "end within the %lld key%s",
                             column->table->name, (long long)i, (long long)at, (long long)count,
                             norn_plural(count));
        before = at;
    }
    return NORN_OK;
}

/// Rows that are a constant of the plan instead of a table's.
static void bind_inline_rows(const norn_call *call, lookup_column *column) {
    const norn_view *rows = &call->in[column->spec->rows_input];
    int64_t dim = rows->rank ? rows->dims[rows->rank - 1] : 1;
    column->inline_table =
        (norn_table_binding){.name = "(constant)",
                             .dtype = rows->dtype,
                             .dim = dim,
                             .view = {.kind = NORN_TABLE_DENSE,
                                      .missing = NORN_MISSING_ERROR,
                                      .row_count = rows->rank ? rows->dims[0] : 0,
                                      .row_bytes = dim * (int64_t)norn_dtype_bits(rows->dtype) / 8,
                                      .dense = {rows->data}}};
    column->table = &column->inline_table;
}

/// Where a row's keys lie: columns of a wider input, or all of it.
static norn_status bind_keys(lookup_column *column, int64_t batch) {
    const norn_lookup_column *spec = column->spec;
    int64_t count = norn_view_elems(column->keys);
    if (count % batch)
        return norn_fail(NORN_INVALID_ARGUMENT, "table '%s': %lld key%s among %lld rows",
                         column->table->name, (long long)count,
                         norn_number(count, " does not divide", "s do not divide"),
                         (long long)batch);
    column->keys_step = column->per_row = count / batch;
    if (!spec->keys_stride) return NORN_OK;
    column->keys_first = spec->keys_first;
    column->per_row = spec->keys_count;
    if (spec->keys_stride != column->keys_step || spec->keys_first < 0 || spec->keys_count < 1 ||
        spec->keys_count > spec->keys_stride - spec->keys_first)
        return norn_fail(
            NORN_INVALID_ARGUMENT, "table '%s': keys come %lld a row, the model expects %lld",
            column->table->name, (long long)column->keys_step, (long long)spec->keys_stride);
    return NORN_OK;
}

/// A weight a key: a client may send fewer, or more.
static norn_status check_weights(const lookup_column *column, int64_t batch,
                                 const norn_view *weights) {
    const bool strided = column->spec->form != NORN_KEYS_CSR && column->spec->keys_stride;
    const int64_t keys = strided ? batch * column->per_row : norn_view_elems(column->keys),
                  count = norn_view_elems(weights);
    if (count == keys) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "table '%s': %lld weight%s for %lld key%s",
                     column->table->name, (long long)count, norn_plural(count), (long long)keys,
                     norn_plural(keys));
}

/// NULL: it is in the cache, or there is none.
static const norn_key_index *large_index(const norn_table_view *view) {
    const norn_host_rows *rows = view->kind == NORN_TABLE_HOST_INDEX ? view->host.rows : NULL;
    return rows && norn_host_rows_index_bytes(rows) > CACHED_BYTES ? &rows->index : NULL;
}

static norn_status bind_column(norn_call *call, const norn_lookup_column *spec,
                               lookup_column *column, int64_t batch) {
    const norn_view *out = &call->out[spec->output];
    const norn_view *keys = &call->in[spec->keys_input];
    *column = (lookup_column){.spec = spec, .keys = keys};
    if (spec->rows_input != NORN_NO_INPUT)
        bind_inline_rows(call, column);
    else
        column->table = &call->tables[spec->table];
    const norn_table_binding *table = column->table;
    if (table->dim != spec->dim)
        return norn_fail(
            NORN_INVALID_ARGUMENT, "table '%s' has rows of %lld element%s, the model expects %lld",
            table->name, (long long)table->dim, norn_plural(table->dim), (long long)spec->dim);
    if (spec->form == NORN_KEYS_CSR) {
        const norn_view *offsets = &call->in[spec->offsets_input];
        NORN_TRY(check_offsets(column, batch, offsets));
        column->offsets = offsets->data;
        column->offsets_dtype = offsets->dtype;
    } else {
        NORN_TRY(bind_keys(column, batch));
    }
    if (spec->weights_input != NORN_NO_INPUT) {
        const norn_view *weights = &call->in[spec->weights_input];
        norn_view as_f32 = *weights;
        NORN_TRY(check_weights(column, batch, weights));
        if (weights->dtype != NORN_F32) {
            int64_t count = norn_view_elems(weights);
            NORN_TRY(norn_cpu_scratch(call, count, sizeof(float), &as_f32.data));
            const norn_tile_operand in[3] = {{weights->data, 1}};
            norn_tile_cast(weights->dtype, NORN_F32)(as_f32.data, in, count);
        }
        column->weights = as_f32.data;
    }
    int64_t size = norn_dtype_bits(out->dtype) / 8, width = out->dims[out->rank - 1];
    int64_t row = out->row_stride ? out->row_stride : width;
    int64_t inner = out->rank > 2 ? norn_dims_product(out->dims, 1, out->rank - 1) : 1;
    column->row_bytes = inner * row * size;
    column->position_bytes = (out->rank > 2 ? row : spec->dim) * size;
    column->out = (char *)out->data + spec->column * size;
    column->out_dtype = out->dtype;
    if (table->dtype == out->dtype && !column->weights) column->copy_bytes = spec->dim * size;
    column->index = large_index(&table->view);
    column->bags = norn_lookup_is_bags(column);
    return NORN_OK;
}

/// Rows are copied as they are, and pooled in float32.
bool norn_cpu_lookup_takes(const norn_step_spec *spec) {
    const norn_lookup_region *region = &spec->region->lookup;
    for (uint32_t i = 0; i < region->column_count; i++) {
        const norn_lookup_column *column = &region->columns[i];
        const norn_dtype out =
            spec->out[column->output < spec->out_count ? column->output : 0].dtype;
        const bool own = column->rows_input != NORN_NO_INPUT,
                   weighted = column->weights_input != NORN_NO_INPUT,
                   copied = column->pool == NORN_POOL_NONE && !weighted && own &&
                            spec->in[column->rows_input].dtype == out;
        if (out == NORN_DTYPE_NONE) continue; // nobody reads it
        if (!copied && norn_sum_dtype(out) != NORN_F32) return false;
        if (!copied && own && norn_sum_dtype(spec->in[column->rows_input].dtype) != NORN_F32)
            return false;
        if (weighted && norn_sum_dtype(spec->in[column->weights_input].dtype) != NORN_F32)
            return false;
    }
    return true;
}

norn_status norn_cpu_lookup(norn_call *call) {
    const norn_lookup_region *region = &call->region->lookup;
    lookup_job job = {.call = call};
    void *columns, *pools;
    int64_t batch = -1, bytes = 0;
    int32_t threads = call->pool ? norn_pool_threads(call->pool) : 1;
    NORN_TRY(norn_cpu_scratch(call, region->column_count, sizeof(lookup_column), &columns));
    job.columns = columns;
    for (uint32_t i = 0; i < region->column_count; i++) {
        const norn_lookup_column *spec = &region->columns[i];
        const norn_view *out = &call->out[spec->output];
        if (!norn_view_present(out)) continue;
        batch = out->rank > 1 ? out->dims[0] : 1;
        if (batch == 0) return NORN_OK;
        NORN_TRY(bind_column(call, spec, &job.columns[job.column_count++], batch));
        if (spec->dim > job.pool_elems) job.pool_elems = spec->dim;
        bytes += job.columns[job.column_count - 1].row_bytes;
    }
    if (batch <= 0) return NORN_OK;
    NORN_TRY(norn_cpu_scratch(call, job.pool_elems, sizeof(float) * (size_t)threads, &pools));
    job.pools = pools;
    job.pool = norn_pool_f32_of(norn_isa_get());
    norn_pool_loop(call->pool, batch, GRAIN_BYTES / (bytes + 1) + 1, lookup_range, &job);
    int status = atomic_load(&job.status);
    if (status != 0) return norn_fail((norn_status)status, "%s", job.message);
    return NORN_OK;
}
