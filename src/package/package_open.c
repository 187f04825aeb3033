#include "package/package_open.h"

#include "api/backends.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "graph/graph.h"
#include "graph/model.h"
#include "package/refit.h"
#include "plan/plan.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = NORN_PACKAGE_PATH };

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/// "DIR/NAME" of a folder, "NAME" beside a file.
static void in_package(const char *path, const char *name, char out[PATH_BYTES]) {
    const char *slash = strrchr(path, '/');
    if (norn_path_is_dir(path))
        (void)snprintf(out, PATH_BYTES, "%s/%s", path, name);
    else
        (void)snprintf(out, PATH_BYTES, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);
}

bool norn_package_plan_path(const char *path, char out[PATH_BYTES]) {
    if (norn_path_is_dir(path))
        in_package(path, "model.norn", out);
    else
        (void)snprintf(out, PATH_BYTES, "%s", ends_with(path, ".norn") ? path : "");
    return norn_path_is_dir(path) ? norn_path_is_file(out) : *out != 0;
}

bool norn_package_tables_dir(const char *path, char out[PATH_BYTES]) {
    in_package(path, "tables", out);
    return norn_path_is_dir(out);
}

// ---- a plan file

static norn_status read_config(norn_package *package, const char *dir) {
    char path[PATH_BYTES];
    norn_file *file = NULL;
    in_package(dir, "norn.json", path);
    if (!norn_path_is_dir(dir) || !norn_path_is_file(path)) return NORN_OK;
    NORN_TRY(norn_file_read(path, package->alloc, &file));
    const norn_status status =
        norn_package_parse(path, norn_file_bytes(file), &package->arena, &package->config);
    norn_file_release(file);
    return status;
}

__attribute__((format(printf, 2, 3))) static norn_status note(norn_package *package,
                                                              const char *format, ...) {
    char text[1024];
    va_list arguments;
    if (package->note_count == NORN_PACKAGE_NOTES) return NORN_OK;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    NORN_TRY(norn_arena_string(&package->arena, text, strlen(text),
                               &package->notes[package->note_count]));
    package->note_count++;
    return NORN_OK;
}

/// A setting that is lost in silence is worse than one that is refused.
static norn_status note_ignored(norn_package *package, const char *dir) {
    char path[NORN_PACKAGE_PATH];
    const char *instead = norn_path_is_dir(dir) ? norn_package_ignored(dir, path) : NULL;
    return instead ? note(package, "%s %s", path, instead) : NORN_OK;
}

/// A profile that norn.json gives and the plan was not compiled with. `at`:
/// one of the symbols' three bounds.
static bool shapes_differ(const norn_plan *plan, const norn_input_shape *shapes, size_t count,
                          const int64_t *at) {
    for (size_t i = 0; i < count; i++) {
        const norn_graph *graph = plan->graph;
        for (uint32_t p = 0; p < graph->input_count; p++) {
            const norn_value *input = graph->inputs[p];
            if (strcmp(input->name, shapes[i].name) != 0) continue;
            if (input->shape.rank != shapes[i].rank) return true;
            for (int32_t d = 0; d < shapes[i].rank; d++)
                if (norn_dim_eval(input->shape.dims[d], at) != shapes[i].dims[d]) return true;
        }
    }
    return false;
}

static norn_status note_profile(norn_package *package) {
    const norn_package_config *config = &package->config;
    const norn_graph *graph = package->plan->graph;
    const size_t count = (size_t)graph->symbols.count;
    int64_t *min, *opt, *max;
    NORN_TRY(NORN_TAKE_ARRAY(&package->arena, count + 1, &min));
    NORN_TRY(NORN_TAKE_ARRAY(&package->arena, count + 1, &opt));
    NORN_TRY(NORN_TAKE_ARRAY(&package->arena, count + 1, &max));
    for (size_t s = 0; s < count; s++) {
        min[s] = graph->symbols.at[s].min;
        opt[s] = graph->symbols.at[s].opt;
        max[s] = graph->symbols.at[s].max;
    }
    if (shapes_differ(package->plan, config->min_shapes.at, config->min_shapes.count, min) ||
        shapes_differ(package->plan, config->opt_shapes.at, config->opt_shapes.count, opt) ||
        shapes_differ(package->plan, config->max_shapes.at, config->max_shapes.count, max))
        return note(package, "norn.json: \"profile\" has other shapes than model.norn was compiled "
                             "for; those of the plan are used");
    return NORN_OK;
}

/// What was settled when the plan was compiled and is asked for otherwise now.
static norn_status note_settled(norn_package *package, const norn_package_options *options) {
    const norn_package_config *config = &package->config;
    const norn_plan *plan = package->plan;
    const char *device = config->device ? config->device : options->device;
    const int64_t max_batch = config->max_batch ? config->max_batch : options->max_batch;
    if (device && strcmp(device, plan->device_name) != 0)
        NORN_TRY(note(package, "%s \"%s\" is not used: model.norn was compiled for %s",
                      config->device ? "norn.json: \"device\"" : "--device", device,
                      plan->device_name));
    if (config->precision != NORN_PRECISION_FP32 && config->precision != plan->precision)
        NORN_TRY(note(
            package, "norn.json: \"precision\" \"%s\" is not used: model.norn was compiled for %s",
            norn_precision_name(config->precision), norn_precision_name(plan->precision)));
    if (max_batch && norn_plan_batch_symbol(plan) && max_batch != plan->max_batch)
        NORN_TRY(note(package,
                      "%s %lld is not used: model.norn was compiled for batches up to %lld",
                      config->max_batch ? "norn.json: \"profile.max_batch\"" : "--max-batch",
                      (long long)max_batch, (long long)plan->max_batch));
    return note_profile(package);
}

/// The policies of norn.json are of serving: they hold for a plan file as well.
static norn_status apply_tables(norn_package *package) {
    const norn_package_config *config = &package->config;
    norn_plan *plan = package->plan;
    for (uint32_t k = 0; k < config->table_count; k++) {
        uint32_t i = 0;
        while (i < plan->table_count && strcmp(plan->tables[i].name, config->tables[k].name) != 0)
            i++;
        if (i == plan->table_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "norn.json: the model has no table '%s'",
                             config->tables[k].name);
        plan->tables[i].missing_is_error = config->tables[k].missing_is_error;
    }
    return NORN_OK;
}

static norn_status open_plan(norn_package *package, const char *path, const char *plan,
                             const norn_package_options *options) {
    NORN_TRY(read_config(package, path));
    NORN_TRY(norn_plan_load(plan, package->alloc, &package->plan));
    NORN_TRY(apply_tables(package));
    return note_settled(package, options);
}

// ---- a model

static norn_status compile(norn_package *package, const char *path,
                           const norn_package_options *options) {
    const norn_package_config *config = &package->config;
    norn_compile_options compile = options->compile ? *options->compile : (norn_compile_options){0};
    const int64_t begin_ns = norn_clock_now_ns();
    char config_path[PATH_BYTES];
    norn_model *model;
    norn_status status;
    NORN_TRY(norn_model_open(path, package->alloc, &model));
    in_package(path, "norn.json", config_path);
    if (model->config)
        NORN_TRY_DONE(norn_package_parse(config_path, norn_span_text(model->config),
                                         &package->arena, &package->config));
    // Command line, then norn.json (which the compiler reads too), then
    // what the caller falls back to.
    if (!compile.device && !config->device) compile.device = options->device;
    if (!compile.max_batch && !config->max_batch) compile.max_batch = options->max_batch;
    NORN_TRY_DONE(norn_plan_compile(model, &compile, package->alloc, &package->plan));
    package->compiled = true;
    package->compile_ns = norn_clock_now_ns() - begin_ns;
    if (options->keep_model) {
        package->model = model;
        package->compile = compile;
        model = NULL;
    }
done:
    norn_model_close(model);
    return status;
}

// ---- all of it

static norn_status check_inputs(const norn_package *package) {
    for (uint32_t i = 0; i < package->config.input_count; i++) {
        const char *name = package->config.inputs[i].name;
        size_t p = 0;
        while (p < norn_plan_input_count(package->plan) &&
               strcmp(norn_plan_input(package->plan, p)->name, name) != 0)
            p++;
        if (p == norn_plan_input_count(package->plan))
            return norn_fail(NORN_INVALID_ARGUMENT, "norn.json: the model has no input '%s'", name);
    }
    return NORN_OK;
}

static norn_status open_manifest(norn_package *package, const char *path) {
    if (!norn_path_is_dir(path)) return NORN_OK;
    NORN_TRY(norn_manifest_read(path, &package->arena, &package->manifest));
    if (!package->manifest.found) return NORN_OK;
    return norn_manifest_verify(&package->manifest, path, NULL, package->alloc);
}

static uint64_t number_of(const norn_package *package, const norn_package_options *options) {
    if (options->version > 0) return options->version;
    return package->manifest.version > 0 ? package->manifest.version : 1;
}

static norn_status read_tables(norn_package *package, const char *tables, uint64_t number) {
    NORN_TRY(norn_store_open_version(package->store, "", number, tables));
    package->tier = norn_store_tier(package->store);
    package->version = norn_store_version(package->store);
    return NORN_OK;
}

/// What norn.json says of waiting for a table's rows.
static norn_fetch_rule rule_of(const norn_package_config *config, const char *name) {
    for (uint32_t i = 0; i < config->table_count; i++) {
        const norn_package_table *table = &config->tables[i];
        if (strcmp(table->name, name) != 0 || table->wait_us < 0) continue;
        return (norn_fetch_rule){table->wait_us ? NORN_FETCH_DEADLINE : NORN_FETCH_DEFAULT,
                                 1000 * table->wait_us};
    }
    return (norn_fetch_rule){NORN_FETCH_WAIT, 0};
}

static norn_status keep_tables(norn_package *package, const char *path, uint64_t number) {
    const norn_package_config *config = &package->config;
    norn_fetch_rule *rules;
    if (!norn_path_is_dir(path))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "norn.json: \"tier\" is of a version folder; open the folder of '%s'",
                         path);
    NORN_TRY(norn_tier_use_open(config->tier, path, number, (size_t)config->tier_memory_bytes,
                                &package->kept));
    package->tier = package->kept.tier;
    package->version = package->kept.version;
    NORN_TRY(NORN_TAKE_ARRAY(&package->arena, package->version->table_count + 1u, &rules));
    for (uint32_t t = 0; t < package->version->table_count; t++)
        rules[t] = rule_of(config, package->version->tables[t].name);
    return norn_store_attach(package->store, package->tier, package->version, rules);
}

static norn_status open_tables(norn_package *package, const char *path,
                               const norn_package_options *options) {
    char tables[PATH_BYTES];
    if (!norn_package_tables_dir(path, tables)) return NORN_OK;
    NORN_TRY(norn_store_create(package->alloc, &package->store));
    NORN_TRY(package->config.tier ? keep_tables(package, path, number_of(package, options))
                                  : read_tables(package, tables, number_of(package, options)));
    return norn_store_snapshot(package->store, &package->snapshot);
}

norn_status norn_package_open(const char *path, const norn_package_options *options,
                              norn_alloc alloc, norn_package **out) {
    char plan[PATH_BYTES];
    norn_package *package;
    norn_status status;
    norn_backends_offer(); // norn.json may name one
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &package));
    package->alloc = alloc;
    norn_arena_init(&package->arena, alloc, 4096);
    NORN_TRY_DONE(norn_package_parse("", (norn_span){NULL, 0}, &package->arena, &package->config));
    NORN_TRY_DONE(open_manifest(package, path));
    NORN_TRY_DONE(note_ignored(package, path));
    if (norn_package_plan_path(path, plan))
        NORN_TRY_DONE(open_plan(package, path, plan, options));
    else
        NORN_TRY_DONE(compile(package, path, options));
    NORN_TRY_DONE(check_inputs(package));
    NORN_TRY_DONE(open_tables(package, path, options));
    *out = package;
    package = NULL;
done:
    norn_package_close(package);
    return status;
}

void norn_package_close(norn_package *package) {
    if (!package) return;
    if (package->snapshot) norn_snapshot_release(package->snapshot);
    norn_store_destroy(package->store);
    norn_tier_use_close(&package->kept);
    norn_plan_release(package->plan);
    norn_package_weights_free(package);
    norn_model_close(package->model);
    norn_arena_deinit(&package->arena);
    norn_free(package->alloc, package);
}
