#include "package/publish_line.h"

#include "base/file.h"
#include "package/version_folder.h"
#include "package/version_write.h"
#include "store/log/file_log.h"
#include "store/log/log_check.h"
#include "store/table_dir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// A version that is about to be published.
typedef struct full_publish {
    const norn_publish_options *options;
    norn_published *out;
    norn_arena arena;
    norn_manifest package; ///< of what is published, if it has one
    norn_line_tables tables;
    char model[NORN_FOLDER_PATH], dir[NORN_FOLDER_PATH]; ///< name and path of the model's folder
    norn_delta_log *log;                                 ///< NULL: there is none
    norn_log_writer *writer; ///< NULL: no log, or the package brings its own cut
    norn_version_write write;
    norn_cut cut;
} full_publish;

// ---- what is published

/// Every table is read whole: what is refused now is not refused by a server later.
static norn_status check_tables(const char *dir, norn_alloc alloc) {
    char tables[NORN_FOLDER_PATH];
    norn_table_names names;
    norn_status status = NORN_OK;
    NORN_TRY(norn_folder_path(dir, "tables", tables));
    if (!norn_path_is_dir(tables)) return NORN_OK;
    NORN_TRY(norn_table_names_read(tables, alloc, &names));
    for (size_t i = 0; i < names.count && status == NORN_OK; i++) {
        norn_table *table;
        status = norn_table_dir_table(tables, names.at[i], alloc, &table);
        norn_table_release(table);
    }
    norn_table_names_deinit(&names);
    return status;
}

static norn_status check_package(full_publish *p, const char *package) {
    char path[NORN_FOLDER_PATH], plan[NORN_FOLDER_PATH];
    if (!norn_path_is_dir(package))
        return norn_fail(
            NORN_NOT_FOUND,
            "%s is no folder; a package is one with model.onnx (or model.norn), tables/ "
            "and norn.json",
            package);
    NORN_TRY(norn_folder_path(package, "model.onnx", path));
    NORN_TRY(norn_folder_path(package, "model.norn", plan));
    if (!norn_path_is_file(path) && !norn_path_is_file(plan))
        return norn_fail(NORN_NOT_FOUND, "%s: it has no model.onnx and no model.norn", package);
    NORN_TRY(norn_manifest_read(package, &p->arena, &p->package));
    NORN_TRY(norn_manifest_verify(&p->package, package, p->options->progress, p->options->alloc));
    NORN_TRY(norn_line_tables_read(package, &p->arena, &p->tables));
    return check_tables(package, p->options->alloc);
}

// ---- the line

/// Its own cut must be a place of this model's log.
static norn_status take_package_cut(full_publish *p) {
    char dir[NORN_FOLDER_PATH];
    norn_log_facts facts;
    NORN_TRY(norn_folder_path(p->options->to, "log", dir));
    const norn_status status =
        norn_log_check(dir, &p->package.cut, p->options->progress, p->options->alloc, &facts);
    if (status != NORN_OK)
        norn_note("the package brings the cut of its MANIFEST.json (--base says something else)");
    NORN_TRY(status);
    p->cut = p->package.cut;
    p->out->base = p->package.base;
    p->out->epoch = p->cut.positions[0].epoch;
    return NORN_OK;
}

static norn_status begin_line(full_publish *p, uint64_t base) {
    p->out->base = base ? base : p->out->version;
    if (!p->log) return NORN_OK;
    if (!base && p->package.is_cut) return take_package_cut(p);
    NORN_TRY(norn_line_writer(p->log, p->model, p->out->base, &p->tables, p->options->alloc,
                              &p->writer));
    p->cut = norn_log_writer_cut(p->writer);
    p->out->epoch = p->cut.positions[0].epoch;
    return NORN_OK;
}

static norn_status check_base(const full_publish *p, uint64_t base) {
    char path[NORN_FOLDER_PATH], name[32];
    if (base == 0 || base == p->out->version) return NORN_OK;
    (void)snprintf(name, sizeof name, "%" PRIu64, base);
    NORN_TRY(norn_folder_path(p->options->to, name, path));
    if (norn_path_is_dir(path)) return NORN_OK;
    return norn_fail(NORN_NOT_FOUND,
                     "--base %" PRIu64 ": %s has no such version; leave it out to begin a new line "
                     "of training",
                     base, p->options->to);
}

// ---- in place

static norn_status commit(full_publish *p) {
    int held;
    if (!p->log) return norn_version_write_commit(&p->write);
    // A cut that the package brought stays right whoever writes now.
    NORN_TRY(norn_file_log_hold(p->log, p->writer ? p->out->epoch : UINT64_MAX, &held));
    const norn_status status = norn_version_write_commit(&p->write);
    norn_file_log_release(held);
    return status;
}

static norn_status publish(full_publish *p, const char *package, uint64_t base) {
    const norn_publish_options *o = p->options;
    char name[32], parent[NORN_FOLDER_PATH];
    int64_t number;
    NORN_TRY(check_package(p, package));
    NORN_TRY(norn_folder_make(o->to));
    NORN_TRY(norn_folder_real(o->to, parent, p->model));
    NORN_TRY(norn_version_next(o->to, &number));
    p->out->version = (uint64_t)number;
    NORN_TRY(check_base(p, base));
    (void)snprintf(name, sizeof name, "%" PRId64, number);
    NORN_TRY(norn_folder_path(o->to, name, p->dir));
    NORN_TRY(norn_version_write_begin(p->dir, &p->write));
    NORN_TRY(norn_version_write_copy(&p->write, package, NULL, o->progress, o->alloc));
    NORN_TRY(norn_line_log_open(o, &p->log));
    NORN_TRY(begin_line(p, base));
    const norn_manifest_facts facts = {.model = p->model,
                                       .version = p->out->version,
                                       .base = p->out->base,
                                       .cut = p->log ? &p->cut : NULL};
    NORN_TRY(norn_manifest_write(p->write.partial, &facts, o->progress, o->alloc));
    NORN_TRY(commit(p));
    p->out->step = p->log ? p->cut.step : 0;
    (void)snprintf(p->out->path, sizeof p->out->path, "%s", p->dir);
    return NORN_OK;
}

norn_status norn_publish_full(const char *package, uint64_t base,
                              const norn_publish_options *options, norn_published *out) {
    full_publish p = {.options = options, .out = out};
    *out = (norn_published){0};
    norn_arena_init(&p.arena, options->alloc, 4096);
    const norn_status status = publish(&p, package, base);
    norn_version_write_abort(&p.write);
    norn_log_writer_destroy(p.writer);
    norn_delta_log_close(p.log);
    norn_arena_deinit(&p.arena);
    return status;
}
