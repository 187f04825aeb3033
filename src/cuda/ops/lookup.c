/// Lookup: descriptors for the lookup kernel from the region,
/// the call's views and the bound tables.
#include "cuda/kernels/lookup_kernel.h"
#include "cuda/ops/ops.h"

#include <stddef.h>
#include <string.h>

typedef struct lookup_state {
    norn_cuda_site site;
    const char *names[]; ///< by column
} lookup_state;

static const norn_lookup_region *region_of(const norn_region *region) {
    return &region->lookup;
}

static bool is_key(norn_dtype dtype) {
    return dtype == NORN_I64 || dtype == NORN_I32;
}

static bool row_kind(norn_dtype dtype, uint8_t *row, int64_t *bytes) {
    switch ((int)dtype) {
    case NORN_F32:
        *row = NORN_CUDA_ROW_F32, *bytes = 4;
        return true;
    case NORN_F16:
        *row = NORN_CUDA_ROW_F16, *bytes = 2;
        return true;
    case NORN_BF16:
        *row = NORN_CUDA_ROW_BF16, *bytes = 2;
        return true;
    case NORN_I8:
        *row = NORN_CUDA_ROW_I8, *bytes = 1;
        return true;
    default:
        return false;
    }
}

bool norn_cuda_lookup_supports(const norn_step_spec *spec) {
    const norn_lookup_region *region = region_of(spec->region);
    uint8_t kind;
    int64_t bytes;
    for (uint32_t i = 0; i < spec->out_count; i++)
        if (norn_view_present(&spec->out[i]) && norn_sum_dtype(spec->out[i].dtype) != NORN_F32)
            return false;
    for (uint32_t i = 0; i < region->column_count; i++) {
        const norn_lookup_column *column = &region->columns[i];
        if (!is_key(spec->in[column->keys_input].dtype) || column->dim > INT32_MAX) return false;
        if (column->has_padding) return false; // the CPU's kernel leaves keys out
        if (column->form == NORN_KEYS_CSR &&
            (column->pool == NORN_POOL_NONE || !is_key(spec->in[column->offsets_input].dtype)))
            return false;
        if (column->weights_input != NORN_NO_INPUT &&
            spec->in[column->weights_input].dtype != NORN_F32)
            return false;
        if (column->rows_input != NORN_NO_INPUT &&
            (norn_sum_dtype(spec->in[column->rows_input].dtype) != NORN_F32 ||
             !row_kind(spec->in[column->rows_input].dtype, &kind, &bytes)))
            return false;
    }
    return true;
}

norn_status norn_cuda_lookup_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **out) {
    const norn_lookup_region *region = region_of(spec->region);
    lookup_state *state = NULL;
    size_t bytes = sizeof *state + region->column_count * sizeof *state->names;
    NORN_TRY(norn_alloc_zeroed(device->alloc, 1, bytes, (void **)&state));
    state->site = (norn_cuda_site){.node = spec->name, .what = "table", .names = state->names};
    *out = state;
    return NORN_OK;
}

void norn_cuda_lookup_unprepare(norn_cuda_device *device, void *state) {
    norn_free(device->alloc, state);
}

// ---- descriptors
static uint8_t pool_kind(norn_pool_mode pool) {
    switch (pool) {
    case NORN_POOL_NONE:
        return NORN_CUDA_POOL_NONE;
    case NORN_POOL_SUM:
        return NORN_CUDA_POOL_SUM;
    case NORN_POOL_MEAN:
        return NORN_CUDA_POOL_MEAN;
    case NORN_POOL_MAX:
        return NORN_CUDA_POOL_MAX;
    }
    return NORN_CUDA_POOL_NONE;
}

#define SAME_PLACE(mine, field) \
    (offsetof(norn_cuda_table, mine) == offsetof(norn_table_view, field))
_Static_assert(sizeof(norn_cuda_table) == sizeof(norn_table_view) && SAME_PLACE(kind, kind) &&
                   SAME_PLACE(missing, missing) && SAME_PLACE(row_count, row_count) &&
                   SAME_PLACE(row_bytes, row_bytes) && SAME_PLACE(default_row, default_row) &&
                   SAME_PLACE(missing_count, missing_count) && SAME_PLACE(rows, dense.rows) &&
                   SAME_PLACE(rows, cache.rows) && SAME_PLACE(buckets, cache.buckets) &&
                   SAME_PLACE(bucket_mask, cache.bucket_mask) &&
                   (int)NORN_CUDA_TABLE_DENSE == (int)NORN_TABLE_DENSE &&
                   (int)NORN_CUDA_TABLE_CACHE == (int)NORN_TABLE_DEVICE_CACHE &&
                   (int)NORN_CUDA_MISSING_ERROR == (int)NORN_MISSING_ERROR,
               "the kernel reads norn_table_view");

/// Where the rows are: a bound table, or a constant input.
static norn_status set_rows(norn_call *call, const norn_lookup_column *from,
                            norn_cuda_lookup_column *to, const char **name) {
    int64_t element = 4;
    *name = "rows";
    if (from->rows_input != NORN_NO_INPUT) {
        const norn_view *rows = &call->in[from->rows_input];
        if (!row_kind(rows->dtype, &to->row, &element))
            return norn_fail(NORN_INTERNAL, "rows of %s", norn_dtype_name(rows->dtype));
        to->own = (norn_cuda_table){.kind = NORN_CUDA_TABLE_DENSE,
                                    .missing = NORN_CUDA_MISSING_ERROR,
                                    .row_count = rows->dims[0],
                                    .row_bytes = from->dim * element,
                                    .rows = rows->data};
    } else {
        const norn_table_binding *table = &call->tables[from->table];
        *name = table->name;
        if (!row_kind(table->dtype, &to->row, &element))
            return norn_fail(NORN_UNIMPLEMENTED,
                             "table '%s' has %s rows, which the GPU lookup does not read",
                             table->name, norn_dtype_name(table->dtype));
        if (table->dim != from->dim)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "table '%s' has rows of %lld element%s, the model expects %lld",
                             table->name, (long long)table->dim, norn_plural(table->dim),
                             (long long)from->dim);
        memcpy(&to->own, &table->view, sizeof to->own); // for the alignments below
        to->table = (const norn_cuda_table *)(const void *)&call->views[from->table];
    }
    int64_t bytes = from->dim * element, lanes = bytes / 16;
    to->wide = bytes % 16 == 0 && to->own.row_bytes % 16 == 0 &&
               ((uintptr_t)to->own.rows & 15) == 0 && ((uintptr_t)to->own.default_row & 15) == 0;
    // A piece of a row is sixteen bytes there, so many elements of the output here.
    const int64_t out_element = to->to == NORN_CUDA_OUT_F32 ? 4 : 2,
                  piece = 16 / element * out_element, unit = piece < 16 ? piece : 16;
    to->wide = to->wide && to->out_stride * out_element % unit == 0 &&
               (int64_t)((uintptr_t)to->out % (uintptr_t)unit) == 0;
    if (!to->wide) lanes = from->dim;
    while (to->lane_bits < 5 && 1 << to->lane_bits < lanes) to->lane_bits++;
    return NORN_OK;
}

static void set_keys(norn_call *call, const norn_lookup_column *from, int64_t batch,
                     norn_cuda_lookup_column *to) {
    const norn_view *keys = &call->in[from->keys_input];
    to->keys = keys->data;
    to->keys_32 = keys->dtype == NORN_I32;
    to->keys_total = norn_view_elems(keys);
    to->wraps = from->negative_wraps;
    to->key_offset = from->key_offset;
    to->pool = pool_kind(from->pool);
    if (from->weights_input != NORN_NO_INPUT) to->weights = call->in[from->weights_input].data;
    if (from->form == NORN_KEYS_CSR) {
        to->offsets = call->in[from->offsets_input].data;
        to->offsets_32 = call->in[from->offsets_input].dtype == NORN_I32;
        return;
    }
    bool dense = from->keys_stride == 0;
    int64_t count = dense ? to->keys_total / batch : from->keys_count;
    to->keys_count = (int32_t)count;
    to->keys_stride = dense ? count : from->keys_stride;
    to->keys_first = dense ? 0 : from->keys_first;
}

/// A weight a key: a client may send fewer, or more.
static norn_status check_weights(const norn_call *call, const norn_lookup_column *from,
                                 int64_t batch) {
    if (from->weights_input == NORN_NO_INPUT) return NORN_OK;
    const bool strided = from->form != NORN_KEYS_CSR && from->keys_stride != 0;
    const int64_t keys = strided ? batch * from->keys_count
                                 : norn_view_elems(&call->in[from->keys_input]),
                  count = norn_view_elems(&call->in[from->weights_input]);
    if (count == keys) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "%lld weight%s for %lld key%s", (long long)count,
                     norn_plural(count), (long long)keys, norn_plural(keys));
}

static norn_status set_column(norn_call *call, const norn_lookup_column *from, int64_t batch,
                              norn_cuda_lookup_column *to, const char **name) {
    const norn_view *out = &call->out[from->output];
    memset(to, 0, sizeof *to);
    // The output's own shape may be [B, F, D]; its columns lie side by side in B rows all the same.
    int64_t last = out->row_stride ? out->row_stride : out->dims[out->rank - 1];
    to->out_stride = norn_dims_product(out->dims, 1, out->rank - 1) * last;
    to->to = out->dtype == NORN_F16    ? NORN_CUDA_OUT_F16
             : out->dtype == NORN_BF16 ? NORN_CUDA_OUT_BF16
                                       : NORN_CUDA_OUT_F32;
    to->out = (char *)out->data + from->column * (norn_dtype_bits(out->dtype) / 8);
    to->dim = (int32_t)from->dim;
    NORN_TRY(check_weights(call, from, batch));
    set_keys(call, from, batch, to);
    return set_rows(call, from, to, name);
}

norn_status norn_cuda_lookup(norn_call *call) {
    const norn_lookup_region *region = region_of(call->region);
    lookup_state *state = call->state;
    norn_stream *stream = norn_cuda_stream_of(call);
    norn_cuda_lookup_args args;
    int64_t batch = call->out[0].dims[0]; // every output has the batch first
    if (batch == 0) return NORN_OK;
    args.batch = batch;
    args.fault = stream->fault;
    args.site = &state->site;
    for (uint32_t first = 0; first < region->column_count; first += NORN_CUDA_LOOKUP_COLUMNS) {
        args.first = (int32_t)first;
        args.count = 0;
        for (uint32_t i = first; i < region->column_count && args.count < NORN_CUDA_LOOKUP_COLUMNS;
             i++)
            NORN_TRY(set_column(call, &region->columns[i], batch, &args.columns[args.count++],
                                &state->names[i]));
        NORN_TRY(norn_cuda_launched(norn_cuda_lookup_launch(&args, stream->handle)));
    }
    return NORN_OK;
}
