#include "store/table.h"
#include "base/checked.h"
#include "base/memory.h"
#include "tensor/dtype.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"

#include <string.h>

enum { HEAD_BYTES = 1 << 20 }; ///< of a file, which hold the names and shapes of its tensors

typedef struct tensors {
    const norn_view *rows, *keys, *scales, *fallback;
} tensors;

// ---- checks

static norn_status bad_tensor(const char *source, const char *tensor, const norn_view *view,
                              const char *wanted) {
    char text[NORN_VIEW_TEXT];
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: tensor '%s' is %s, it should be %s", source,
                     tensor, norn_view_text(view, text), wanted);
}

static bool is_row_type(norn_dtype dtype) {
    return dtype == NORN_F32 || dtype == NORN_F16 || dtype == NORN_BF16 || dtype == NORN_I8;
}

static norn_status check(const char *source, const tensors *t) {
    if (!t->rows) return norn_fail(NORN_INVALID_ARGUMENT, "%s: it has no tensor 'rows'", source);
    if (!is_row_type(t->rows->dtype) || t->rows->rank != 2 || t->rows->dims[1] < 1 ||
        t->rows->dims[1] > INT32_MAX)
        return bad_tensor(source, "rows", t->rows,
                          "[rows, dim] of float32, float16, bfloat16 or int8");
    int64_t count = t->rows->dims[0];
    if (t->keys && (t->keys->dtype != NORN_I64 || t->keys->rank != 1 || t->keys->dims[0] != count))
        return bad_tensor(source, "keys", t->keys, "int64[rows], one key a row");
    if (t->rows->dtype == NORN_I8 && !t->scales)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: int8 rows need a tensor 'scales', float32[rows]", source);
    if (t->scales && (t->rows->dtype != NORN_I8 || t->scales->dtype != NORN_F32 ||
                      t->scales->rank != 1 || t->scales->dims[0] != count))
        return bad_tensor(source, "scales", t->scales, "float32[rows], of int8 rows");
    if (t->fallback && (t->rows->dtype == NORN_I8 || t->fallback->dtype != t->rows->dtype ||
                        t->fallback->rank != 1 || t->fallback->dims[0] != t->rows->dims[1]))
        return bad_tensor(source, "default", t->fallback,
                          "one row, of the type of 'rows' and not int8");
    return NORN_OK;
}

static tensors find_all(const norn_safetensors *all) {
    return (tensors){norn_safetensors_find(all, "rows"), norn_safetensors_find(all, "keys"),
                     norn_safetensors_find(all, "scales"), norn_safetensors_find(all, "default")};
}

static int64_t row_bytes_of(norn_dtype dtype, int64_t dim) {
    if (dtype == NORN_I8) return norn_table_scale_offset(dim) + (int64_t)sizeof(float);
    return dim * (int64_t)(norn_dtype_bits(dtype) / 8);
}

norn_status norn_table_parts_check(const norn_safetensor *parts, size_t count, const char *source,
                                   norn_alloc alloc) {
    const norn_safetensors all = {parts, count};
    const tensors t = find_all(&all);
    norn_host_rows rows;
    NORN_TRY(check(source, &t));
    if (!t.keys || t.keys->dims[0] == 0) return NORN_OK;
    const norn_status status = norn_host_rows_init(&rows, t.keys->data, t.rows->data,
                                                   t.rows->dims[0], t.rows->dims[1], alloc);
    if (status == NORN_OK)
        norn_host_rows_deinit(&rows);
    else
        norn_note("%s: tensor 'keys'", source);
    return status;
}

norn_status norn_table_head_read(const char *path, const char *name, norn_alloc alloc,
                                 norn_table_form *out, uint64_t *bytes) {
    norn_safetensors all;
    norn_arena arena;
    norn_file *file;
    NORN_TRY(norn_file_read_head(path, HEAD_BYTES, alloc, &file));
    norn_arena_init(&arena, alloc, 4096);
    norn_status status = norn_safetensors_decode(norn_file_bytes(file), path, &arena, &all);
    if (status == NORN_OK) {
        const tensors t = find_all(&all);
        status = check(path, &t);
        if (status == NORN_OK)
            *out = (norn_table_form){.name = name,
                                     .source = path,
                                     .dtype = t.rows->dtype,
                                     .dense = !t.keys,
                                     .dim = t.rows->dims[1],
                                     .row_bytes = row_bytes_of(t.rows->dtype, t.rows->dims[1]),
                                     .rows = t.rows->dims[0]};
        *bytes = norn_file_bytes(file).count;
    }
    norn_arena_deinit(&arena);
    norn_file_release(file);
    return status;
}

// ---- rows

/// int8 rows with each its scale behind it, as lookups want them.
static norn_status pack_rows(norn_table *table, const tensors *t) {
    int64_t dim = t->rows->dims[1], count = t->rows->dims[0];
    size_t at = (size_t)norn_table_scale_offset(dim), stride = at + sizeof(float), bytes;
    if (!norn_size_mul(stride, (size_t)count, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "%s: 'rows' does not fit in memory",
                         table->source);
    NORN_TRY(norn_alloc_bytes(table->alloc, bytes, &table->packed));
    const int8_t *from = t->rows->data;
    const float *scales = t->scales->data;
    for (int64_t i = 0; i < count; i++) {
        char *row = (char *)table->packed + (size_t)i * stride;
        memcpy(row, from + i * dim, (size_t)dim);
        memset(row + dim, 0, at - (size_t)dim);
        memcpy(row + at, &scales[i], sizeof scales[i]);
    }
    return NORN_OK;
}

static norn_status fill(norn_table *table, const tensors *t) {
    static const int64_t none;
    norn_table_binding *binding = &table->binding;
    NORN_TRY(check(table->source, t));
    *binding = (norn_table_binding){
        .name = table->name,
        .source = table->source,
        .dtype = t->rows->dtype,
        .dim = t->rows->dims[1],
        .view = {.kind = t->keys ? NORN_TABLE_HOST_INDEX : NORN_TABLE_DENSE,
                 .missing = t->keys ? NORN_MISSING_DEFAULT : NORN_MISSING_ERROR,
                 .row_count = t->rows->dims[0],
                 .row_bytes = row_bytes_of(t->rows->dtype, t->rows->dims[1]),
                 .default_row = t->fallback ? t->fallback->data : NULL,
                 .missing_count = &table->missing},
    };
    if (t->rows->dtype == NORN_I8) NORN_TRY(pack_rows(table, t));
    const void *rows = table->packed ? table->packed : t->rows->data;
    const int64_t *keys = t->keys ? t->keys->data : NULL;
    if (t->keys && binding->view.row_count == 0) keys = &none; // hashed: every key is missing
    table->keys = keys;
    norn_status status = norn_host_table_init(&table->rows, keys, rows, binding->view.row_count,
                                              binding->view.row_bytes, table->alloc);
    if (status != NORN_OK) norn_note("%s: tensor 'keys'", table->source);
    NORN_TRY(status);
    if (t->keys)
        binding->view.host.rows = &table->rows.rows;
    else
        binding->view.dense.rows = rows;
    return NORN_OK;
}

// ---- life

static void destroy(norn_table *table) {
    norn_host_table_deinit(&table->rows);
    norn_free(table->alloc, table->packed);
    norn_file_release(table->file);
    norn_arena_deinit(&table->arena);
    norn_free(table->alloc, table->name);
    norn_free(table->alloc, table->source);
    norn_free(table->alloc, table);
}

void norn_table_trim(norn_table *table) {
    const norn_table_view *view = &table->binding.view;
    const norn_host_rows *rows = &table->rows.rows;
    if (!table->file) return;
    table->keys = NULL;
    if (table->packed) {
        norn_file_release(table->file);
        table->file = NULL;
        return;
    }
    norn_span used[] = {norn_span_of(rows->rows, (size_t)(rows->row_count * rows->row_bytes)),
                        norn_span_of(view->default_row, (size_t)view->row_bytes)};
    norn_file_trim(table->file, used, view->default_row ? 2 : 1);
}

norn_table *norn_table_retain(norn_table *table) {
    atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
    return table;
}

void norn_table_release(norn_table *table) {
    if (table && atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) == 1)
        destroy(table);
}

static norn_status create(const char *source, const char *name, norn_alloc alloc,
                          norn_table **out) {
    norn_table *table;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &table));
    table->alloc = alloc;
    norn_arena_init(&table->arena, alloc, 1 << 12);
    atomic_init(&table->references, 1);
    norn_status status = norn_alloc_string(alloc, name, &table->name);
    if (status == NORN_OK) status = norn_alloc_string(alloc, source, &table->source);
    if (status != NORN_OK)
        destroy(table);
    else
        *out = table;
    return status;
}

static norn_status decode(norn_table *table, norn_span bytes) {
    norn_safetensors all;
    NORN_TRY(norn_safetensors_decode(bytes, table->source, &table->arena, &all));
    const tensors t = find_all(&all);
    return fill(table, &t);
}

norn_status norn_table_decode(norn_span bytes, const char *source, const char *name,
                              norn_alloc alloc, norn_table **out) {
    norn_table *table;
    *out = NULL;
    NORN_TRY(create(source, name, alloc, &table));
    norn_status status = decode(table, bytes);
    if (status != NORN_OK)
        destroy(table);
    else
        *out = table;
    return status;
}

norn_status norn_table_open(const char *path, const char *name, norn_alloc alloc,
                            norn_table **out) {
    norn_table *table;
    *out = NULL;
    NORN_TRY(create(path, name, alloc, &table));
    norn_status status = norn_file_read(path, alloc, &table->file);
    if (status == NORN_OK) status = decode(table, norn_file_bytes(table->file));
    if (status != NORN_OK)
        destroy(table);
    else
        *out = table;
    return status;
}
