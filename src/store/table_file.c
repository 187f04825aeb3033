#include "store/table_file.h"

#include "base/checked.h"
#include "base/memory.h"
#include "kernel/table.h"
#include "store/table.h"
#include "tensor/dtype.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS = 4 };

static const char *const part_names[PARTS] = {"rows", "keys", "scales", "default"};

static void list_parts(const norn_table_parts *parts, const char *paths[PARTS]) {
    paths[0] = parts->rows;
    paths[1] = parts->keys;
    paths[2] = parts->scales;
    paths[3] = parts->fallback;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static norn_status unknown_form(const char *path) {
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: the name should end in .npy or .safetensors",
                     path);
}

// ---- import

typedef struct importing {
    norn_arena arena;
    norn_file *files[PARTS];
    norn_safetensor tensors[PARTS];
    size_t count;
    void *keys; ///< where they were made int64
} importing;

static norn_status pick(const norn_safetensors *all, const char *path, const char *tensor,
                        norn_view *out) {
    const norn_view *found = tensor            ? norn_safetensors_find(all, tensor)
                             : all->count == 1 ? &all->at[0].view
                                               : NULL;
    if (found) {
        *out = *found;
        return NORN_OK;
    }
    if (tensor)
        return norn_fail(NORN_NOT_FOUND, "%s: it has no tensor '%s'%s%s", path, tensor,
                         all->count ? "; there is " : "", all->count ? all->at[0].name : "");
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "%s: it has %zu tensors, of which the first is '%s'; say --tensor NAME", path,
                     all->count, all->count ? all->at[0].name : "");
}

static norn_status read_array(importing *all, int part, const char *path, const char *tensor,
                              norn_view *out) {
    norn_safetensors tensors;
    if (!ends_with(path, ".npy") && !ends_with(path, ".safetensors")) return unknown_form(path);
    NORN_TRY(norn_file_read(path, all->arena.alloc, &all->files[part]));
    const norn_span bytes = norn_file_bytes(all->files[part]);
    if (ends_with(path, ".safetensors")) {
        NORN_TRY(norn_safetensors_decode(bytes, path, &all->arena, &tensors));
        return pick(&tensors, path, tensor, out);
    }
    NORN_TRY(norn_npy_decode(bytes, path, out));
    if (out->dtype == NORN_U16 && part != 1) out->dtype = NORN_BF16;
    return NORN_OK;
}

static norn_status make_keys(importing *all, norn_view *view, const char *path) {
    const int64_t count = norn_view_elems(view);
    int64_t *keys;
    if (!norn_dtype_is_integer(view->dtype))
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: keys are integers, not %s", path,
                         norn_dtype_name(view->dtype));
    if (view->dtype == NORN_I64) return NORN_OK;
    NORN_TRY(NORN_NEW_ARRAY(all->arena.alloc, (size_t)count, &keys));
    for (int64_t i = 0; i < count; i++) keys[i] = norn_element_bits(view->dtype, view->data, i);
    all->keys = keys;
    *view = norn_view_of(NORN_I64, view->rank, view->dims, keys);
    return NORN_OK;
}

static norn_status read_parts(importing *all, const norn_table_parts *parts) {
    const char *paths[PARTS];
    list_parts(parts, paths);
    for (int part = 0; part < PARTS; part++) {
        norn_safetensor *tensor = &all->tensors[all->count];
        if (!paths[part]) continue;
        NORN_TRY(read_array(all, part, paths[part], part ? NULL : parts->tensor, &tensor->view));
        tensor->name = part_names[part];
        if (part == 1) NORN_TRY(make_keys(all, &tensor->view, paths[part]));
        all->count++;
    }
    return NORN_OK;
}

norn_status norn_table_import(const norn_table_parts *parts, const char *path, norn_alloc alloc) {
    importing all = {.count = 0};
    norn_arena_init(&all.arena, alloc, 4096);
    norn_status status = read_parts(&all, parts);
    if (status == NORN_OK)
        status = norn_table_parts_check(all.tensors, all.count, parts->rows, alloc);
    if (status == NORN_OK) status = norn_safetensors_write(path, all.tensors, all.count, alloc);
    for (int part = 0; part < PARTS; part++) norn_file_release(all.files[part]);
    norn_free(alloc, all.keys);
    norn_arena_deinit(&all.arena);
    return status;
}

// ---- export

static norn_status check_targets(const char *path, const norn_safetensors *all,
                                 const char *const targets[PARTS]) {
    for (int part = 0; part < PARTS; part++) {
        const bool has = norn_safetensors_find(all, part_names[part]) != NULL;
        if (has && !targets[part])
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "%s: the table has '%s' too; say --%s FILE for them", path,
                             part_names[part], part_names[part]);
        if (!has && targets[part])
            return norn_fail(NORN_INVALID_ARGUMENT, "%s: the table has no '%s'; leave out --%s",
                             path, part_names[part], part_names[part]);
        if (has && !ends_with(targets[part], ".npy") && !ends_with(targets[part], ".safetensors"))
            return unknown_form(targets[part]);
    }
    return NORN_OK;
}

static norn_status write_array(const char *path, const char *name, norn_view view,
                               norn_alloc alloc) {
    if (ends_with(path, ".safetensors"))
        return norn_safetensors_write(path, &(norn_safetensor){name, view}, 1, alloc);
    if (view.dtype == NORN_BF16) view.dtype = NORN_U16;
    return norn_npy_write(path, &view, alloc);
}

static norn_status export(const char *path, const norn_safetensors *all,
                          const norn_table_parts *parts, norn_alloc alloc) {
    const char *targets[PARTS];
    list_parts(parts, targets);
    NORN_TRY(norn_table_parts_check(all->at, all->count, path, alloc));
    NORN_TRY(check_targets(path, all, targets));
    for (int part = 0; part < PARTS; part++) {
        if (!targets[part]) continue;
        const char *name = part ? part_names[part] : parts->tensor ? parts->tensor : "weight";
        NORN_TRY(
            write_array(targets[part], name, *norn_safetensors_find(all, part_names[part]), alloc));
    }
    return NORN_OK;
}

norn_status norn_table_export(const char *path, const norn_table_parts *parts, norn_alloc alloc) {
    norn_safetensors all;
    norn_arena arena;
    norn_file *file;
    NORN_TRY(norn_file_read(path, alloc, &file));
    norn_arena_init(&arena, alloc, 4096);
    norn_status status = norn_safetensors_decode(norn_file_bytes(file), path, &arena, &all);
    if (status == NORN_OK) status = export(path, &all, parts, alloc);
    norn_arena_deinit(&arena);
    norn_file_release(file);
    return status;
}

// ---- rows in memory

typedef struct keyed_row {
    int64_t key;
    const char *row;
} keyed_row;

static int by_key(const void *a, const void *b) {
    const keyed_row *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static norn_status list_rows(const norn_host_rows *rows, uint64_t step, norn_alloc alloc,
                             keyed_row **out, size_t *count) {
    enum { RUN = 1024 };
    int64_t keys[RUN], n;
    const void *found[RUN];
    uint64_t cursor = 0;
    size_t used = 0, capacity = 0;
    keyed_row *list = NULL;
    norn_status status = NORN_OK;
    while (status == NORN_OK &&
           (n = norn_host_rows_list(rows, step, &cursor, RUN, keys, found)) > 0)
        for (int64_t i = 0; i < n && status == NORN_OK; i++) {
            status = NORN_MORE(alloc, &list, used, &capacity);
            if (status == NORN_OK) list[used++] = (keyed_row){keys[i], found[i]};
        }
    if (status != NORN_OK) norn_free(alloc, list);
    if (status == NORN_OK && used) qsort(list, used, sizeof *list, by_key);
    *out = status == NORN_OK ? list : NULL;
    *count = used;
    return status;
}

/// The arrays of a table file; NULL: it has none.
typedef struct arrays {
    int64_t *keys;
    char *rows;
    float *scales;
} arrays;

static norn_status gather(const norn_table_form *form, const keyed_row *list, size_t count,
                          norn_alloc alloc, arrays *out) {
    const size_t row = (size_t)form->dim * (norn_dtype_bits(form->dtype) / 8);
    const size_t scale_at = (size_t)norn_table_scale_offset(form->dim);
    size_t bytes;
    if (!norn_size_mul(row, count, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "table '%s' is too large", form->name);
    NORN_TRY(norn_alloc_bytes(alloc, bytes, (void **)&out->rows));
    if (!form->dense) NORN_TRY(NORN_NEW_ARRAY(alloc, count, &out->keys));
    if (form->dtype == NORN_I8) NORN_TRY(NORN_NEW_ARRAY(alloc, count, &out->scales));
    for (size_t i = 0; i < count; i++) {
        memcpy(out->rows + i * row, list[i].row, row);
        if (out->keys) out->keys[i] = list[i].key;
        if (out->scales) memcpy(&out->scales[i], list[i].row + scale_at, sizeof *out->scales);
    }
    return NORN_OK;
}

static norn_status write_arrays(const norn_table_form *form, const arrays *from, size_t count,
                                const char *path, norn_alloc alloc) {
    norn_safetensor tensors[PARTS];
    size_t used = 0;
    const int64_t dims[] = {(int64_t)count, form->dim};
    void *fallback = (void *)(uintptr_t)form->default_row; // views are not const; writers only read
    if (from->keys)
        tensors[used++] = (norn_safetensor){"keys", norn_view_of(NORN_I64, 1, dims, from->keys)};
    tensors[used++] = (norn_safetensor){"rows", norn_view_of(form->dtype, 2, dims, from->rows)};
    if (from->scales)
        tensors[used++] =
            (norn_safetensor){"scales", norn_view_of(NORN_F32, 1, dims, from->scales)};
    if (fallback)
        tensors[used++] =
            (norn_safetensor){"default", norn_view_of(form->dtype, 1, &form->dim, fallback)};
    return norn_safetensors_write(path, tensors, used, alloc);
}

norn_status norn_table_write(const norn_table_form *form, const norn_host_rows *rows, uint64_t step,
                             const char *path, norn_alloc alloc) {
    arrays from = {0};
    keyed_row *list;
    size_t count;
    NORN_TRY(list_rows(rows, step, alloc, &list, &count));
    norn_status status = gather(form, list, count, alloc, &from);
    if (status == NORN_OK) status = write_arrays(form, &from, count, path, alloc);
    norn_free(alloc, list);
    norn_free(alloc, from.keys);
    norn_free(alloc, from.rows);
    norn_free(alloc, from.scales);
    return status;
}
