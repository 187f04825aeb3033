#include "package/version_apply.h"

#include "base/clock.h"
#include "base/file.h"
#include "package/model_weights.h"
#include "package/version_folder.h"
#include "package/version_write.h"
#include "store/host/host_tier.h"
#include "store/table_file.h"

#include <stdio.h>
#include <string.h>

enum { SLICE_MS = 100 }; ///< between two looks at how far it is

// ---- applying

static norn_status read_tables(norn_applied *a, const char *dir) {
    char tables[NORN_FOLDER_PATH];
    NORN_TRY(norn_folder_path(dir, "tables", tables));
    NORN_TRY(norn_manifest_read(dir, &a->arena, &a->manifest));
    NORN_TRY(norn_table_dir_open(norn_path_is_dir(tables) ? tables : dir, a->alloc, &a->tables));
    if (a->tables.count == 0)
        return norn_fail(NORN_NOT_FOUND, "%s: it has no tables; they are files *.safetensors", dir);
    NORN_TRY(norn_host_tier_create(a->alloc, &a->tier));
    return norn_host_tier_adopt(a->tier, 1, a->tables.tables, a->tables.count, &a->version);
}

/// The version that deltas for `dir` name: its manifest's base, else its own number.
static uint64_t base_of(const norn_manifest *manifest, const char *dir) {
    char parent[NORN_FOLDER_PATH], name[NORN_FOLDER_PATH];
    int64_t number;
    if (manifest->found) return manifest->base;
    const bool known =
        norn_folder_real(dir, parent, name) == NORN_OK && norn_version_parse(name, &number);
    return known ? (uint64_t)number : 1;
}

static norn_status apply_log(norn_applied *a, const char *dir, const char *url, uint64_t last_step,
                             const norn_progress *progress) {
    const norn_applier_options options = {.log = a->log,
                                          .tier = a->tier,
                                          .version = a->version,
                                          .base = base_of(&a->manifest, dir),
                                          .cut = a->manifest.is_cut ? &a->manifest.cut : NULL,
                                          .last_step = last_step};
    const uint64_t stands = a->manifest.is_cut ? a->manifest.cut.step : 0;
    if (last_step && last_step < stands)
        return norn_fail(NORN_OUT_OF_RANGE,
                         "%s stands at step %llu already, after step %llu; take an older version",
                         dir, (unsigned long long)stands, (unsigned long long)last_step);
    NORN_TRY(norn_applier_create(&options, a->alloc, &a->applier));
    for (bool dry = false; !dry;) {
        const int64_t until_ns = norn_clock_now_ns() + (int64_t)SLICE_MS * 1000000;
        NORN_TRY(norn_applier_run(a->applier, until_ns));
        dry = norn_clock_now_ns() < until_ns;
        norn_progress_say(progress, "log", norn_applier_stat_of(a->applier).bytes, 0);
    }
    const uint64_t step = norn_applier_stat_of(a->applier).step;
    if (last_step && step < last_step)
        return norn_fail(NORN_OUT_OF_RANGE,
                         "%s: step %llu is not in it; the last whole one up to there is %llu", url,
                         (unsigned long long)last_step, (unsigned long long)step);
    return NORN_OK;
}

norn_status norn_applied_open(const char *dir, const char *log_url, uint64_t last_step,
                              const norn_progress *progress, norn_alloc alloc, norn_applied *out) {
    *out = (norn_applied){.alloc = alloc, .tables.alloc = alloc};
    norn_arena_init(&out->arena, alloc, 4096);
    norn_status status = read_tables(out, dir);
    if (status == NORN_OK && log_url) status = norn_delta_log_open(log_url, alloc, &out->log);
    if (status == NORN_OK && log_url) status = apply_log(out, dir, log_url, last_step, progress);
    if (status == NORN_OK) status = out->tier->ops->pin(out->tier, out->version, &out->pin);
    if (status != NORN_OK) norn_applied_close(out);
    return status;
}

void norn_applied_close(norn_applied *applied) {
    if (applied->tier) applied->tier->ops->unpin(applied->tier, &applied->pin);
    norn_applier_destroy(applied->applier);
    norn_delta_log_close(applied->log);
    norn_tier_close(applied->tier);
    norn_table_dir_close(&applied->tables);
    norn_arena_deinit(&applied->arena);
}

// ---- writing

static bool is_table(const char *path) {
    const size_t length = strlen(path);
    static const char end[] = ".safetensors";
    return strncmp(path, "tables/", 7) == 0 && !strchr(path + 7, '/') && path[7] != '.' &&
           length > sizeof end && strcmp(path + length - (sizeof end - 1), end) == 0;
}

static norn_status write_tables(const norn_applied *a, const norn_version_write *write,
                                const norn_progress *progress) {
    char path[NORN_FOLDER_PATH], name[NORN_FOLDER_PATH];
    for (uint32_t t = 0; t < a->version->table_count; t++) {
        const norn_table_form *form = &a->version->tables[t];
        (void)snprintf(name, sizeof name, "tables/%.2000s.safetensors", form->name);
        NORN_TRY(norn_folder_path(write->partial, name, path));
        norn_progress_say(progress, form->name, t, a->version->table_count);
        NORN_TRY(norn_table_write(form, &norn_host_tier_table(a->version, t)->rows.rows,
                                  a->pin.step, path, a->alloc));
    }
    return NORN_OK;
}

static norn_status write_weights(const norn_applied *a, const norn_version_write *write) {
    const norn_dense_set *weights = norn_applier_dense(a->applier);
    char model[NORN_FOLDER_PATH], plan[NORN_FOLDER_PATH];
    if (!weights->first) return NORN_OK;
    NORN_TRY(norn_folder_path(write->partial, "model.onnx", model));
    NORN_TRY(norn_folder_path(write->partial, "model.norn", plan));
    if (norn_path_is_file(plan) || !norn_path_is_file(model))
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "the log has dense weights ('%s'), and the version has %s: give one with "
                         "model.onnx alone, or publish a full version from the trainer",
                         weights->first->name,
                         norn_path_is_file(plan) ? "a model.norn, which cannot take them"
                                                 : "no model.onnx");
    return norn_model_weights_put(model, weights, a->alloc);
}

static norn_status write_version(const norn_applied *a, const char *from, norn_version_write *write,
                                 const norn_progress *progress) {
    char tables[NORN_FOLDER_PATH], parent[NORN_FOLDER_PATH], model[NORN_FOLDER_PATH];
    int64_t number = (int64_t)a->manifest.version;
    const norn_cut cut = norn_applier_cut(a->applier);
    (void)norn_version_parse(strrchr(write->final, '/') + 1, &number);
    NORN_TRY(norn_folder_real(write->parent, parent, model));
    NORN_TRY(norn_version_write_copy(write, from, is_table, progress, a->alloc));
    NORN_TRY(norn_folder_path(write->partial, "tables", tables));
    NORN_TRY(norn_folder_make(tables));
    NORN_TRY(write_tables(a, write, progress));
    NORN_TRY(write_weights(a, write));
    const norn_manifest_facts facts = {.model = a->manifest.model ? a->manifest.model : model,
                                       .version = (uint64_t)(number > 0 ? number : 1),
                                       .base = base_of(&a->manifest, from),
                                       .cut = &cut};
    NORN_TRY(norn_manifest_write(write->partial, &facts, progress, a->alloc));
    return norn_version_write_commit(write);
}

norn_status norn_version_apply(const char *dir, const char *log_url, uint64_t last_step,
                               const char *to, const norn_progress *progress, norn_alloc alloc,
                               norn_applier_stat *out) {
    char tables[NORN_FOLDER_PATH];
    norn_version_write write;
    norn_applied applied;
    NORN_TRY(norn_folder_path(dir, "tables", tables));
    if (!norn_path_is_dir(tables))
        return norn_fail(NORN_NOT_FOUND, "%s is no version folder: it has no tables/", dir);
    NORN_TRY(norn_version_write_begin(to, &write));
    norn_status status = norn_applied_open(dir, log_url, last_step, progress, alloc, &applied);
    if (status == NORN_OK) {
        status = write_version(&applied, dir, &write, progress);
        *out = norn_applier_stat_of(applied.applier);
        norn_applied_close(&applied);
    }
    norn_version_write_abort(&write);
    return status;
}
