#include "base/memory.h"
#include "check.h"
#include "kernel/host_rows.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct host_table {
    norn_table_binding host, bound;
    char *rows;
    int64_t *keys;          ///< hashed
    norn_host_rows *hashed; ///< likewise
} host_table;

static host_table make_table(checker *k, const char *name, norn_dtype dtype, int64_t dim,
                             int64_t rows, bool hashed) {
    host_table t = {0};
    int64_t element = (int64_t)norn_dtype_bits(dtype) / 8;
    int64_t row_bytes = dtype == NORN_I8 ? norn_table_scale_offset(dim) + 4 : dim * element;
    t.rows = calloc((size_t)rows, (size_t)row_bytes);
    for (int64_t r = 0; r < rows; r++) {
        char *row = t.rows + r * row_bytes;
        for (int64_t i = 0; i < dim; i++) {
            if (dtype == NORN_I8)
                norn_element_set_i64(dtype, row, i, check_below(k, 255) - 127);
            else
                norn_element_set_f64(dtype, row, i, check_uniform(k));
        }
        float scale = (float)(0.01 + 0.001 * (double)(r % 7));
        if (dtype == NORN_I8) memcpy(row + norn_table_scale_offset(dim), &scale, sizeof scale);
    }
    t.host =
        (norn_table_binding){.name = name,
                             .dtype = dtype,
                             .dim = dim,
                             .view = {.kind = NORN_TABLE_DENSE,
                                      .missing = hashed ? NORN_MISSING_DEFAULT : NORN_MISSING_ERROR,
                                      .row_count = rows,
                                      .row_bytes = row_bytes,
                                      .dense = {t.rows}}};
    if (hashed) {
        t.keys = calloc((size_t)rows, sizeof *t.keys);
        for (int64_t r = 0; r < rows; r++)
            t.keys[r] = (int64_t)(norn_hash_u64((uint64_t)r + 77) >> 1) | 1;
        t.hashed = calloc(1, sizeof *t.hashed);
        if (norn_host_rows_init(t.hashed, t.keys, t.rows, rows, row_bytes, norn_alloc_heap()) !=
            NORN_OK)
            k->failed++;
        t.host.view.kind = NORN_TABLE_HOST_INDEX;
        t.host.view.host.rows = t.hashed;
        t.host.view.host.step = 0;
    }
    if (k->device->ops->table_bind(k->device, &t.host, &t.bound) != NORN_OK) {
        printf("FAIL table %s: %s\n", name, norn_message());
        k->failed++;
    }
    return t;
}

static void drop_table(checker *k, host_table *t) {
    k->device->ops->table_unbind(k->device, &t->bound);
    if (t->hashed) norn_host_rows_deinit(t->hashed);
    free(t->hashed);
    free(t->rows);
    free(t->keys);
}

/// Element of the row of `key`, by search; 0 when missing.
static double reference(const host_table *t, int64_t key, int64_t i) {
    int64_t row = key;
    if (t->keys) {
        for (row = 0; row < t->host.view.row_count; row++)
            if (t->keys[row] == key) break;
    }
    if (row < 0 || row >= t->host.view.row_count) return 0;
    const char *at = t->rows + row * t->host.view.row_bytes;
    double x = norn_element_f64(t->host.dtype, at, i);
    float scale = 1;
    if (t->host.dtype == NORN_I8)
        memcpy(&scale, at + norn_table_scale_offset(t->host.dim), sizeof scale);
    return x * (double)scale;
}

/// Rows are sums in float32, rounded once.
static double rounding_of(norn_dtype out) {
    return out == NORN_F16 ? 5e-4 : out == NORN_BF16 ? 4e-3 : 1e-6;
}

/// One-key columns side by side, keys from columns of one [B, F] input.
static void ones(checker *k, const host_table *tables, uint32_t count, int64_t batch,
                 norn_dtype key_dtype, int64_t gap, norn_dtype out) {
    check_case c;
    norn_lookup_column columns[8];
    norn_table_binding bound[8];
    const int64_t key_dims[] = {batch, count};
    int64_t width = 0;
    check_init(&c, NORN_OP_Lookup, "lookup one: %u tables, batch %lld, %s keys, gap %lld to %s",
               count, (long long)batch, norn_dtype_name(key_dtype), (long long)gap,
               norn_dtype_name(out));
    norn_view *keys = check_input(k, &c, key_dtype, 2, key_dims, 50);
    for (uint32_t t = 0; t < count; t++) {
        bound[t] = tables[t].bound;
        columns[t] = (norn_lookup_column){.table = t,
                                          .dim = tables[t].host.dim,
                                          .form = NORN_KEYS_ONE,
                                          .rows_input = NORN_NO_INPUT,
                                          .keys_input = 0,
                                          .offsets_input = NORN_NO_INPUT,
                                          .weights_input = NORN_NO_INPUT,
                                          .keys_first = t,
                                          .keys_stride = count,
                                          .keys_count = 1,
                                          .column = width};
        width += tables[t].host.dim;
        for (int64_t b = 0; b < batch; b++) {
            int64_t row = check_below(k, tables[t].host.view.row_count);
            bool miss = tables[t].keys && check_below(k, 5) == 0;
            if (tables[t].keys && key_dtype == NORN_I64)
                norn_element_set_i64(key_dtype, keys->data, b * count + t,
                                     miss ? 2 : tables[t].keys[row]);
        }
    }
    c.region.lookup = (norn_lookup_region){count, columns};
    c.tables = bound;
    c.table_count = count;
    const int64_t out_dims[] = {batch, width};
    check_output(&c, out, 2, out_dims, gap ? width + gap : 0);
    double *want = check_doubles(batch * width);
    for (int64_t b = 0; b < batch; b++)
        for (uint32_t t = 0; t < count; t++)
            for (int64_t i = 0; i < columns[t].dim; i++)
                want[b * width + columns[t].column + i] = reference(
                    &tables[t], norn_element_i64(key_dtype, keys->data, b * count + t), i);
    check_against(k, &c, want, rounding_of(out));
    free(want);
}

/// A bag a row, CSR or fixed, pooled.
static void bags(checker *k, const host_table *table, int64_t batch, bool csr, norn_pool_mode pool,
                 bool weighted, norn_dtype out) {
    static const char *const modes[] = {"none", "sum", "mean", "max"};
    check_case c;
    int64_t dim = table->host.dim, most = 9, fixed = 5;
    int64_t *offsets = calloc((size_t)batch + 1, sizeof *offsets);
    for (int64_t b = 0; b < batch; b++)
        offsets[b + 1] = offsets[b] + (csr ? check_below(k, most) : fixed);
    int64_t nnz = offsets[batch], key_dims[] = {csr ? nnz : batch, fixed}, offset_count = batch + 1;
    check_init(&c, NORN_OP_Lookup, "lookup bags: %s %s %s%s dim %lld batch %lld to %s",
               norn_dtype_name(table->host.dtype), csr ? "csr" : "fixed", modes[pool],
               weighted ? " weighted" : "", (long long)dim, (long long)batch, norn_dtype_name(out));
    norn_view *keys =
        check_input(k, &c, NORN_I64, csr ? 1 : 2, key_dims, table->host.view.row_count);
    norn_view *ends = check_input(k, &c, NORN_I64, 1, &offset_count, 1);
    const norn_view *weights = check_input(k, &c, NORN_F32, 1, &nnz, 0);
    memcpy(ends->data, offsets, (size_t)offset_count * 8);
    norn_lookup_column column = {.dim = dim,
                                 .form = csr ? NORN_KEYS_CSR : NORN_KEYS_FIXED,
                                 .pool = pool,
                                 .rows_input = NORN_NO_INPUT,
                                 .offsets_input = csr ? 1 : NORN_NO_INPUT,
                                 .weights_input = weighted ? 2 : NORN_NO_INPUT};
    c.region.lookup = (norn_lookup_region){1, &column};
    c.tables = &table->bound;
    c.table_count = 1;
    const int64_t out_dims[] = {batch, pool == NORN_POOL_NONE ? dim * fixed : dim};
    check_output(&c, out, 2, out_dims, 0);
    double *want = check_doubles(batch * out_dims[1]);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t p = offsets[b]; p < offsets[b + 1]; p++)
            for (int64_t i = 0; i < dim; i++) {
                double x = reference(table, ((int64_t *)keys->data)[p], i) *
                           (weighted ? check_f32(weights, p) : 1);
                double *to = &want[b * out_dims[1] +
                                   (pool == NORN_POOL_NONE ? (p - offsets[b]) * dim : 0) + i];
                if (pool == NORN_POOL_MAX)
                    *to = p == offsets[b] ? x : fmax(*to, x);
                else if (pool == NORN_POOL_MEAN)
                    *to += x / (double)(offsets[b + 1] - offsets[b]);
                else
                    *to += x;
            }
    check_against(k, &c, want, rounding_of(out));
    free(want);
    free(offsets);
}

static void bad_key(checker *k, const host_table *table, int64_t key) {
    check_case c;
    const int64_t dims[] = {70, 1}, out_dims[] = {70, table->host.dim};
    check_init(&c, NORN_OP_Lookup, "lookup: key %lld of %lld is refused", (long long)key,
               (long long)table->host.view.row_count);
    norn_view *keys = check_input(k, &c, NORN_I64, 2, dims, table->host.view.row_count);
    ((int64_t *)keys->data)[33] = key;
    norn_lookup_column column = {.dim = table->host.dim,
                                 .form = NORN_KEYS_ONE,
                                 .rows_input = NORN_NO_INPUT,
                                 .offsets_input = NORN_NO_INPUT,
                                 .weights_input = NORN_NO_INPUT};
    c.region.lookup = (norn_lookup_region){1, &column};
    c.tables = &table->bound;
    c.table_count = 1;
    c.wanted = NORN_INVALID_ARGUMENT;
    check_output(&c, NORN_F32, 2, out_dims, 0);
    check_run(k, &c);
    check_free(&c);
}

void check_lookup(checker *k) {
    static const norn_dtype dtypes[] = {NORN_F32, NORN_F16, NORN_BF16, NORN_I8};
    static const norn_dtype outs[] = {NORN_F32, NORN_F16, NORN_BF16};
    host_table tables[8];
    uint32_t count = 0;
    for (size_t i = 0; i < 4; i++)
        tables[count++] =
            make_table(k, "dense", dtypes[i], i == 1 ? 24 : 32, 300 + (int64_t)i, false);
    tables[count++] = make_table(k, "hashed", NORN_F32, 16, 1000, true);
    tables[count++] = make_table(k, "odd", NORN_F32, 5, 60, false);
    tables[count++] = make_table(k, "wide", NORN_F32, 400, 60, false);
    for (int64_t batch = 1; batch <= 1000; batch *= 10) {
        for (size_t o = 0; o < sizeof outs / sizeof *outs; o++) {
            ones(k, tables, count, batch, NORN_I64, 0, outs[o]);
            ones(k, tables, 1, batch, NORN_I32, 4, outs[o]);
            ones(k, tables, 4, batch, NORN_I32, 3, outs[o]);
        }
    }
    for (uint32_t t = 0; t < count; t++) {
        if (tables[t].keys) continue;
        for (int mode = NORN_POOL_SUM; mode <= NORN_POOL_MAX; mode++) {
            bags(k, &tables[t], 77, true, (norn_pool_mode)mode, false,
                 outs[(t + (uint32_t)mode) % 3]);
            bags(k, &tables[t], 40, false, (norn_pool_mode)mode, mode == NORN_POOL_SUM,
                 outs[(t + (uint32_t)mode + 1) % 3]);
        }
        for (size_t o = 0; o < sizeof outs / sizeof *outs; o++) {
            bags(k, &tables[t], 33, false, NORN_POOL_NONE, false, outs[o]);
            bags(k, &tables[t], 50, true, NORN_POOL_SUM, true, outs[o]);
        }
    }
    bad_key(k, &tables[0], 300);
    bad_key(k, &tables[0], -1);
    bad_key(k, &tables[0], INT64_MIN);
    bad_key(k, &tables[0], INT64_MAX);
    for (uint32_t t = 0; t < count; t++) drop_table(k, &tables[t]);
}
