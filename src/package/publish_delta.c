#include "package/publish_line.h"

#include "base/file.h"
#include "base/memory.h"
#include "package/model_weights.h"
#include "package/version_folder.h"
#include "store/table.h"
#include "tensor/dtype.h"
#include "tensor/npy.h"
#include "tensor/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// What one table gets in the step, in order of its keys.
typedef struct table_change {
    const norn_publish_part *rows, *deletes; ///< NULL: none
    norn_table *table;                       ///< of `rows`
    int64_t *row_keys;
    char *row_bytes;
    int64_t *gone;
    uint32_t row_count, gone_count;
} table_change;

typedef struct delta_publish {
    const norn_publish_options *options;
    const norn_publish_step *step;
    norn_published *out;
    norn_arena arena;
    norn_manifest manifest;
    char dir[NORN_FOLDER_PATH]; ///< of the newest version
    char model[NORN_FOLDER_PATH];
    norn_line_tables tables;
    table_change *changes; ///< by table
    norn_dense_set dense;
    norn_delta_log *log;
    norn_log_writer *writer;
} delta_publish;

// ---- the newest version

static norn_status find_version(delta_publish *p) {
    char parent[NORN_FOLDER_PATH];
    norn_version_folder *folders;
    size_t count;
    const char *to = p->options->to;
    NORN_TRY(norn_folder_real(to, parent, p->model));
    NORN_TRY(norn_version_folders(to, p->options->alloc, &folders, &count));
    norn_status status = NORN_OK;
    if (count == 0)
        status = norn_fail(NORN_NOT_FOUND,
                           "%s has no version that is whole; publish one first: norn publish full "
                           "PACKAGE --to %s",
                           to, to);
    else
        status = norn_folder_path(to, folders[0].name, p->dir);
    if (count) p->out->version = (uint64_t)folders[0].version;
    norn_free(p->options->alloc, folders);
    NORN_TRY(status);
    NORN_TRY(norn_manifest_read(p->dir, &p->arena, &p->manifest));
    p->out->base = p->manifest.found ? p->manifest.base : p->out->version;
    return norn_line_tables_read(p->dir, &p->arena, &p->tables);
}

static norn_status change_of(const delta_publish *p, const norn_publish_part *part,
                             table_change **out) {
    for (uint32_t t = 0; t < p->tables.count; t++)
        if (strcmp(p->tables.forms[t].name, part->name) == 0) {
            *out = &p->changes[t];
            return NORN_OK;
        }
    return norn_fail(NORN_NOT_FOUND, "%s: version %" PRIu64 " has no table '%s'%s%s", part->path,
                     p->out->version, part->name, p->tables.count ? "; its first is " : "",
                     p->tables.count ? p->tables.forms[0].name : "");
}

// ---- rows

typedef struct keyed_place {
    int64_t key, place;
} keyed_place;

static int by_key(const void *a, const void *b) {
    const keyed_place *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/// Keys and rows in order of key, as a frame has them.
static norn_status sort_rows(delta_publish *p, table_change *change, size_t row_bytes) {
    const norn_table *table = change->table;
    const uint32_t count = change->row_count;
    const char *rows = table->rows.rows.rows;
    keyed_place *order;
    NORN_TRY(NORN_NEW_ARRAY(p->options->alloc, count, &order));
    norn_status status = NORN_NEW_ARRAY(p->options->alloc, count, &change->row_keys);
    if (status == NORN_OK)
        status =
            norn_alloc_bytes(p->options->alloc, count * row_bytes, (void **)&change->row_bytes);
    if (status == NORN_OK) {
        for (uint32_t i = 0; i < count; i++)
            order[i] = (keyed_place){table->keys ? table->keys[i] : (int64_t)i, i};
        if (count) qsort(order, count, sizeof *order, by_key);
        for (uint32_t i = 0; i < count; i++) {
            change->row_keys[i] = order[i].key;
            memcpy(change->row_bytes + i * row_bytes, rows + (size_t)order[i].place * row_bytes,
                   row_bytes);
        }
    }
    norn_free(p->options->alloc, order);
    return status;
}

static norn_status check_keys(const norn_table_form *form, const char *path, const int64_t *keys,
                              uint32_t count) {
    if (!form->dense || count == 0) return NORN_OK;
    const int64_t bad = keys[0] < 0 ? keys[0] : keys[count - 1];
    if (bad >= 0 && bad < form->rows) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "%s: table '%s' is dense with %lld row%s, so there is no key %lld", path,
                     form->name, (long long)form->rows, norn_plural(form->rows), (long long)bad);
}

static norn_status read_rows(delta_publish *p, const norn_publish_part *part) {
    table_change *change;
    NORN_TRY(change_of(p, part, &change));
    const norn_table_form *form = &p->tables.forms[change - p->changes];
    if (change->rows)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: table '%s' has rows of %s already; put them in "
                         "one file",
                         part->path, part->name, change->rows->path);
    NORN_TRY(norn_table_open(part->path, part->name, p->options->alloc, &change->table));
    const norn_table_binding *given = &change->table->binding;
    if (given->dtype != form->dtype || given->dim != form->dim)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: rows of %s[%lld]; table '%s' of version %" PRIu64 " is %s[%lld]",
                         part->path, norn_dtype_name(given->dtype), (long long)given->dim,
                         part->name, p->out->version, norn_dtype_name(form->dtype),
                         (long long)form->dim);
    if (given->view.row_count > INT32_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: more rows than a step takes; publish a full "
                         "version",
                         part->path);
    change->rows = part;
    change->row_count = (uint32_t)given->view.row_count;
    NORN_TRY(sort_rows(p, change, (size_t)form->row_bytes));
    return check_keys(form, part->path, change->row_keys, change->row_count);
}

// ---- deletes

static int by_value(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static norn_status sort_gone(const delta_publish *p, table_change *change, const norn_view *view,
                             const norn_publish_part *part) {
    const int64_t count = view->dims[0];
    if (view->dtype != NORN_I64 || view->rank != 1 || count > INT32_MAX) {
        char text[NORN_VIEW_TEXT];
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: keys are int64[n], not %s", part->path,
                         norn_view_text(view, text));
    }
    NORN_TRY(NORN_NEW_ARRAY(p->options->alloc, (size_t)count, &change->gone));
    if (count) memcpy(change->gone, view->data, (size_t)count * sizeof *change->gone);
    if (count) qsort(change->gone, (size_t)count, sizeof *change->gone, by_value);
    for (int64_t i = 1; i < count; i++)
        if (change->gone[i] == change->gone[i - 1])
            return norn_fail(NORN_INVALID_ARGUMENT, "%s: key %lld is there twice", part->path,
                             (long long)change->gone[i]);
    change->gone_count = (uint32_t)count;
    return NORN_OK;
}

static norn_status read_deletes(delta_publish *p, const norn_publish_part *part) {
    table_change *change;
    norn_file *file;
    norn_view view;
    NORN_TRY(change_of(p, part, &change));
    if (change->deletes)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: table '%s' has deletes of %s already",
                         part->path, part->name, change->deletes->path);
    if (p->tables.forms[change - p->changes].dense)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: table '%s' is dense, so its keys cannot be deleted; publish rows of "
                         "zeros for them",
                         part->path, part->name);
    NORN_TRY(norn_file_read(part->path, p->options->alloc, &file));
    norn_status status = norn_npy_decode(norn_file_bytes(file), part->path, &view);
    if (status == NORN_OK) status = sort_gone(p, change, &view, part);
    norn_file_release(file);
    change->deletes = part;
    return status;
}

/// No key both written and deleted.
static norn_status check_apart(const table_change *change) {
    uint32_t i = 0, j = 0;
    while (i < change->row_count && j < change->gone_count) {
        if (change->row_keys[i] == change->gone[j])
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "%s: key %lld is to be deleted, and has a row in %s",
                             change->deletes->path, (long long)change->gone[j], change->rows->path);
        if (change->row_keys[i] < change->gone[j])
            i++;
        else
            j++;
    }
    return NORN_OK;
}

// ---- dense weights

static norn_status add_dense(delta_publish *p, const norn_publish_part *part, norn_view *view) {
    size_t bytes;
    if (view->dtype == NORN_U16) view->dtype = NORN_BF16;
    if (!norn_log_frame_dtype_of(view->dtype))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: '%s' is %s; float32, float16, int8 and bfloat16 (as uint16) can be "
                         "published",
                         part->path, part->name, norn_dtype_name(view->dtype));
    for (const norn_dense_tensor *at = p->dense.first; at; at = at->next)
        if (strcmp(at->name, part->name) == 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "%s: '%s' is given twice", part->path,
                             part->name);
    NORN_TRY(norn_view_bytes(view, &bytes));
    norn_log_frame_dense piece = {.name = norn_span_text(part->name),
                                  .dtype = view->dtype,
                                  .rank = view->rank,
                                  .total = bytes,
                                  .bytes = norn_span_of(view->data, bytes)};
    memcpy(piece.dims, view->dims, sizeof piece.dims);
    return norn_dense_set_add(&p->dense, &piece);
}

static norn_status read_dense(delta_publish *p, const norn_publish_part *part) {
    norn_file *file;
    norn_view view;
    NORN_TRY(norn_file_read(part->path, p->options->alloc, &file));
    norn_status status = norn_npy_decode(norn_file_bytes(file), part->path, &view);
    if (status == NORN_OK) status = add_dense(p, part, &view);
    norn_file_release(file);
    return status;
}

static norn_status check_dense(const delta_publish *p) {
    char path[NORN_FOLDER_PATH];
    if (!p->dense.first) return NORN_OK;
    NORN_TRY(norn_folder_path(p->dir, "model.norn", path));
    if (norn_path_is_file(path))
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "%s cannot take other weights; publish a version with model.onnx", path);
    NORN_TRY(norn_folder_path(p->dir, "model.onnx", path));
    return norn_model_weights_check(path, &p->dense, p->options->alloc);
}

// ---- the step

static norn_status read_step(delta_publish *p) {
    const norn_publish_step *s = p->step;
    NORN_TRY(NORN_TAKE_ARRAY(&p->arena, p->tables.count + 1, &p->changes));
    for (size_t i = 0; i < s->row_count; i++) NORN_TRY(read_rows(p, &s->rows[i]));
    for (size_t i = 0; i < s->delete_count; i++) NORN_TRY(read_deletes(p, &s->deletes[i]));
    for (uint32_t t = 0; t < p->tables.count; t++) NORN_TRY(check_apart(&p->changes[t]));
    for (size_t i = 0; i < s->dense_count; i++) NORN_TRY(read_dense(p, &s->dense[i]));
    return check_dense(p);
}

static norn_status open_writer(delta_publish *p) {
    NORN_TRY(norn_line_log_open(p->options, &p->log));
    if (!p->log)
        return norn_fail(NORN_NOT_FOUND,
                         "%s/log: there is no log; --create-log 1 makes one (of one partition)",
                         p->options->to);
    return norn_line_writer(p->log, p->model, p->out->base, &p->tables, p->options->alloc,
                            &p->writer);
}

static norn_status append(delta_publish *p) {
    for (uint32_t t = 0; t < p->tables.count; t++) {
        const table_change *c = &p->changes[t];
        if (c->row_count)
            NORN_TRY(norn_log_writer_put(p->writer, t, c->row_keys, c->row_bytes, c->row_count));
        if (c->gone_count)
            NORN_TRY(norn_log_writer_put(p->writer, t, c->gone, NULL, c->gone_count));
    }
    for (const norn_dense_tensor *at = p->dense.first; at; at = at->next)
        NORN_TRY(norn_log_writer_put_dense(p->writer, at->name, &at->view));
    const norn_status status = norn_log_writer_seal(p->writer, &p->out->step);
    if (status != NORN_OK)
        norn_note("the step was not published, as far as is known: publish it again when that is "
                  "mended (rows are absolute, so twice does no harm)");
    return status;
}

static void close_all(delta_publish *p) {
    const norn_alloc alloc = p->options->alloc;
    norn_log_writer_destroy(p->writer);
    norn_delta_log_close(p->log);
    norn_dense_set_clear(&p->dense);
    for (uint32_t t = 0; p->changes && t < p->tables.count; t++) {
        norn_table_release(p->changes[t].table);
        norn_free(alloc, p->changes[t].row_keys);
        norn_free(alloc, p->changes[t].row_bytes);
        norn_free(alloc, p->changes[t].gone);
    }
    norn_arena_deinit(&p->arena);
}

norn_status norn_publish_delta(const norn_publish_step *step, const norn_publish_options *options,
                               norn_published *out) {
    delta_publish p = {.options = options, .step = step, .out = out, .dense.alloc = options->alloc};
    *out = (norn_published){0};
    norn_arena_init(&p.arena, options->alloc, 4096);
    norn_status status = find_version(&p);
    if (status == NORN_OK) status = read_step(&p);
    if (status == NORN_OK) status = open_writer(&p);
    if (status == NORN_OK) status = append(&p);
    if (status == NORN_OK) {
        out->epoch = norn_log_writer_cut(p.writer).positions[0].epoch;
        (void)snprintf(out->path, sizeof out->path, "%s/log", options->to);
    }
    close_all(&p);
    return status;
}
