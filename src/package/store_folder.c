#include "package/store_folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "kernel/key_index.h"
#include "package/version_folder.h"
#include "store/table_dir.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool has_file(const char *dir, const char *name) {
    char path[NORN_FOLDER_PATH];
    return norn_folder_path(dir, name, path) == NORN_OK && norn_path_is_file(path);
}

static bool has_dir(const char *dir, const char *name, char out[NORN_FOLDER_PATH]) {
    if (norn_folder_path(dir, name, out) == NORN_OK && norn_path_is_dir(out)) return true;
    out[0] = 0;
    return false;
}

static bool is_version(const char *dir) {
    char path[NORN_FOLDER_PATH];
    return has_file(dir, "MANIFEST.json") || has_file(dir, "model.onnx") ||
           has_file(dir, "model.norn") || has_dir(dir, "tables", path);
}

static norn_status find_newest(const char *dir, norn_alloc alloc, char out[NORN_FOLDER_PATH]) {
    norn_version_folder *folders;
    size_t count;
    NORN_TRY(norn_version_folders(dir, alloc, &folders, &count));
    norn_status status = NORN_OK;
    out[0] = 0;
    if (count) status = norn_folder_path(dir, folders[0].name, out);
    norn_free(alloc, folders);
    return status;
}

static norn_status find_model(const char *dir, norn_alloc alloc, norn_store_folder *out) {
    char log[NORN_FOLDER_PATH];
    NORN_TRY(find_newest(dir, alloc, out->version));
    if (has_dir(dir, "log", log) && has_file(log, "LOG.json")) strcpy(out->log, log);
    if (out->version[0]) (void)has_dir(out->version, "tables", out->tables);
    out->kind = NORN_FOLDER_MODEL;
    if (out->version[0] || out->log[0]) return NORN_OK;
    return norn_fail(NORN_NOT_FOUND,
                     "%s: nothing of a store is here; give a version folder such as ranker/5, its "
                     "tables/, a model's folder with versions and log/, or a log",
                     dir);
}

norn_status norn_store_folder_find(const char *dir, norn_alloc alloc, norn_store_folder *out) {
    norn_table_names names;
    *out = (norn_store_folder){0};
    if (!norn_path_is_dir(dir)) return norn_fail(NORN_NOT_FOUND, "%s: no such folder", dir);
    if (has_file(dir, "LOG.json")) {
        out->kind = NORN_FOLDER_LOG;
        (void)snprintf(out->log, sizeof out->log, "%s", dir);
        return NORN_OK;
    }
    if (is_version(dir)) {
        out->kind = NORN_FOLDER_VERSION;
        (void)snprintf(out->version, sizeof out->version, "%s", dir);
        (void)has_dir(dir, "tables", out->tables);
        return NORN_OK;
    }
    NORN_TRY(norn_table_names_read(dir, alloc, &names));
    const bool tables = names.count > 0;
    norn_table_names_deinit(&names);
    if (!tables) return find_model(dir, alloc, out);
    out->kind = NORN_FOLDER_TABLES;
    (void)snprintf(out->tables, sizeof out->tables, "%s", dir);
    return NORN_OK;
}

// ---- what is in it

static norn_status add_table(const char *dir, const char *name, norn_arena *arena,
                             norn_folder_table *out) {
    const char *path, *copy;
    NORN_TRY(norn_arena_format(arena, &path, "%s/%s.safetensors", dir, name));
    NORN_TRY(norn_arena_format(arena, &copy, "%s", name));
    NORN_TRY(norn_table_head_read(path, copy, arena->alloc, &out->form, &out->bytes));
    if (!out->form.dense) out->index_bytes = norn_key_index_bytes_for((uint64_t)out->form.rows);
    return NORN_OK;
}

static norn_status read_tables(const char *dir, norn_arena *arena, norn_folder_stat *out) {
    norn_table_names names;
    NORN_TRY(norn_table_names_read(dir, arena->alloc, &names));
    norn_status status = NORN_TAKE_ARRAY(arena, names.count + 1, &out->tables);
    for (size_t i = 0; i < names.count && status == NORN_OK; i++, out->table_count++)
        status = add_table(dir, names.at[i], arena, &out->tables[i]);
    norn_table_names_deinit(&names);
    return status;
}

norn_status norn_folder_stat_read(const char *dir, const norn_progress *progress, norn_arena *arena,
                                  norn_folder_stat *out) {
    *out = (norn_folder_stat){0};
    NORN_TRY(norn_store_folder_find(dir, arena->alloc, &out->at));
    if (out->at.version[0]) {
        const norn_status status = norn_manifest_read(out->at.version, arena, &out->manifest);
        out->ready = status == NORN_OK;
        if (status != NORN_UNAVAILABLE) NORN_TRY(status);
    }
    if (out->at.tables[0]) NORN_TRY(read_tables(out->at.tables, arena, out));
    if (!out->at.log[0]) return NORN_OK;
    return norn_log_check(out->at.log, NULL, progress, arena->alloc, &out->log);
}

// ---- is it right?

typedef struct verifying {
    const norn_progress *progress;
    norn_alloc alloc;
    norn_folder_right_fn right;
    void *context;
} verifying;

__attribute__((format(printf, 2, 3))) static void say(const verifying *v, const char *format, ...) {
    char text[NORN_FOLDER_PATH + 256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    v->right(v->context, text);
}

static norn_status verify_table(const verifying *v, const char *dir, const char *name) {
    norn_table *table;
    norn_progress_say(v->progress, name, 0, 0);
    NORN_TRY(norn_table_dir_table(dir, name, v->alloc, &table));
    const norn_table_binding *b = &table->binding;
    say(v, "table '%s': %s, %lld rows of %s[%lld]", name,
        b->view.kind == NORN_TABLE_DENSE ? "dense" : "hashed, no key twice",
        (long long)b->view.row_count, norn_dtype_name(b->dtype), (long long)b->dim);
    norn_table_release(table);
    return NORN_OK;
}

static norn_status verify_tables(const verifying *v, const char *dir) {
    norn_table_names names;
    norn_status status = NORN_OK;
    NORN_TRY(norn_table_names_read(dir, v->alloc, &names));
    for (size_t i = 0; i < names.count && status == NORN_OK; i++)
        status = verify_table(v, dir, names.at[i]);
    norn_table_names_deinit(&names);
    return status;
}

/// A manifest names its tables for those who have not read the files.
static norn_status compare_tables(const norn_manifest *manifest, const char *dir) {
    char name[NORN_FOLDER_PATH], path[NORN_FOLDER_PATH];
    for (size_t i = 0; i < manifest->table_count; i++) {
        const norn_table_form *said = &manifest->tables[i];
        norn_table_form form;
        uint64_t bytes;
        (void)snprintf(name, sizeof name, "tables/%.2000s.safetensors", said->name);
        NORN_TRY(norn_folder_path(dir, name, path));
        NORN_TRY(norn_table_head_read(path, said->name, norn_alloc_heap(), &form, &bytes));
        if (form.dtype == said->dtype && form.dim == said->dim && form.rows == said->rows &&
            form.dense == said->dense)
            continue;
        return norn_fail(NORN_DATA_LOSS,
                         "%s: %s, %lld rows of %s[%lld]; MANIFEST.json says %s, %lld rows of "
                         "%s[%lld]: publish the version again",
                         path, form.dense ? "dense" : "hashed", (long long)form.rows,
                         norn_dtype_name(form.dtype), (long long)form.dim,
                         said->dense ? "dense" : "hashed", (long long)said->rows,
                         norn_dtype_name(said->dtype), (long long)said->dim);
    }
    return NORN_OK;
}

/// A file that the manifest does not name was not checked by anybody.
static norn_status check_unnamed(const norn_manifest *manifest, const char *dir, norn_alloc alloc) {
    norn_folder_files files;
    norn_status status = NORN_OK;
    NORN_TRY(norn_folder_files_read(dir, alloc, &files));
    for (size_t i = 0; i < files.count && status == NORN_OK; i++) {
        size_t f = 0;
        while (f < manifest->file_count && strcmp(manifest->files[f].path, files.at[i]) != 0) f++;
        if (f == manifest->file_count)
            status = norn_fail(NORN_DATA_LOSS,
                               "%s/%s: MANIFEST.json does not name it; remove it, or publish the "
                               "version again",
                               dir, files.at[i]);
    }
    norn_folder_files_deinit(&files);
    return status;
}

/// What it says is in the arena.
static norn_status verify_version(const verifying *v, const char *dir, norn_arena *arena,
                                  norn_manifest *manifest) {
    char tables[NORN_FOLDER_PATH];
    NORN_TRY(norn_manifest_read(dir, arena, manifest));
    if (manifest->found) {
        NORN_TRY(check_unnamed(manifest, dir, v->alloc));
        NORN_TRY(norn_manifest_verify(manifest, dir, v->progress, v->alloc));
        NORN_TRY(compare_tables(manifest, dir));
        say(v, "%s: version %llu, %zu file%s as MANIFEST.json says", dir,
            (unsigned long long)manifest->version, manifest->file_count,
            norn_plural(manifest->file_count));
    } else {
        say(v, "%s: it has no MANIFEST.json, so only its tables are looked at", dir);
    }
    return has_dir(dir, "tables", tables) ? verify_tables(v, tables) : NORN_OK;
}

static norn_status verify_log(const verifying *v, const char *dir, const norn_cut *cut) {
    norn_log_facts facts;
    NORN_TRY(norn_log_check(dir, cut, v->progress, v->alloc, &facts));
    say(v, "%s: %llu frame%s in %u partition%s, %llu whole step%s, the last is %llu", dir,
        (unsigned long long)facts.frames, norn_plural(facts.frames), facts.partitions,
        norn_plural(facts.partitions), (unsigned long long)facts.steps, norn_plural(facts.steps),
        (unsigned long long)facts.step);
    return NORN_OK;
}

/// All versions, the newest last, so that its place in the log is at hand.
static norn_status verify_model(const verifying *v, const char *dir, const char *log) {
    char path[NORN_FOLDER_PATH];
    norn_manifest manifest = {0};
    norn_version_folder *folders;
    norn_arena arena;
    size_t count;
    NORN_TRY(norn_version_folders(dir, v->alloc, &folders, &count));
    norn_arena_init(&arena, v->alloc, 4096);
    norn_status status = NORN_OK;
    for (size_t i = count; i-- > 0 && status == NORN_OK;) {
        norn_arena_reset(&arena);
        status = norn_folder_path(dir, folders[i].name, path);
        if (status == NORN_OK) status = verify_version(v, path, &arena, &manifest);
    }
    if (status == NORN_OK && log[0])
        status = verify_log(v, log, manifest.is_cut ? &manifest.cut : NULL);
    norn_arena_deinit(&arena);
    norn_free(v->alloc, folders);
    return status;
}

norn_status norn_folder_verify(const char *dir, const norn_progress *progress, norn_alloc alloc,
                               norn_folder_right_fn right, void *context) {
    const verifying v = {progress, alloc, right, context};
    norn_store_folder at;
    norn_manifest manifest;
    norn_arena arena;
    NORN_TRY(norn_store_folder_find(dir, alloc, &at));
    if (at.kind == NORN_FOLDER_LOG) return verify_log(&v, at.log, NULL);
    if (at.kind == NORN_FOLDER_TABLES) return verify_tables(&v, at.tables);
    if (at.kind == NORN_FOLDER_MODEL) return verify_model(&v, dir, at.log);
    norn_arena_init(&arena, alloc, 4096);
    const norn_status status = verify_version(&v, dir, &arena, &manifest);
    norn_arena_deinit(&arena);
    return status;
}
