#include "cli/load.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_precision(const cli_command *command, const char *text, norn_precision *out) {
    if (!text || strcmp(text, "fp32") == 0) {
        *out = NORN_PRECISION_FP32;
    } else if (strcmp(text, "tf32") == 0) {
        *out = NORN_PRECISION_TF32;
    } else {
        return cli_error(command, CLI_WRONG, "--precision is fp32 or tf32, not '%s'", text);
    }
    return CLI_DONE;
}

int cli_compile_model(const cli_command *command, const cli_compiling *options,
                      const norn_model *model, norn_plan **out) {
    norn_compile_options compile = {.device = options->device,
                                    .max_batch = options->max_batch,
                                    .table_threshold = options->table_threshold,
                                    .print_after = options->print_after,
                                    .stop_after = options->stop_after,
                                    .batch_dim = options->batch_dim,
                                    .progress = cli_progress};
    norn_input_shape *min = NULL, *opt = NULL, *max = NULL;
    int exit_status = parse_precision(command, options->precision, &compile.precision);
    if (exit_status != CLI_DONE) return exit_status;
    if (!cli_device(command, options->device)) return CLI_WRONG;
    if (cli_shapes(command, "--min-shapes", options->min_shapes, &min, &compile.min_count) &&
        cli_shapes(command, "--opt-shapes", options->opt_shapes, &opt, &compile.opt_count) &&
        cli_shapes(command, "--max-shapes", options->max_shapes, &max, &compile.max_count)) {
        compile.min_shapes = min;
        compile.opt_shapes = opt;
        compile.max_shapes = max;
        const norn_status status = norn_plan_compile(model, &compile, norn_alloc_heap(), out);
        cli_progress_end();
        if (status == NORN_CANCELLED && options->stop_after) {
            cli_error(command, CLI_DONE, "%s", norn_message()); // as asked: no plan, no failure
        } else if (status != NORN_OK) {
            exit_status = cli_failed(command);
        }
    } else {
        exit_status = CLI_WRONG;
    }
    free(min);
    free(opt);
    free(max);
    return exit_status;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/// The tables/ folder that goes with `path`: inside a folder, beside a file.
static void tables_of(const char *path, char out[4096]) {
    const char *slash = strrchr(path, '/');
    if (norn_path_is_dir(path)) {
        (void)snprintf(out, 4096, "%s/tables", path);
    } else {
        (void)snprintf(out, 4096, "%.*stables", slash ? (int)(slash - path + 1) : 0, path);
    }
}

static int open_tables(const cli_command *command, const char *path, cli_loaded *out) {
    char tables[4096];
    tables_of(path, tables);
    if (!norn_path_is_dir(tables)) return CLI_DONE;
    if (norn_store_create(norn_alloc_heap(), &out->store) != NORN_OK ||
        norn_store_open_dir(out->store, tables) != NORN_OK ||
        norn_store_snapshot(out->store, &out->snapshot) != NORN_OK)
        return cli_failed(command);
    return CLI_DONE;
}

static int open_plan(const cli_command *command, const cli_compiling *options, const char *path,
                     cli_loaded *out) {
    char inside[4096];
    norn_model *model;
    (void)snprintf(inside, sizeof inside, "%s/model.norn", path);
    const char *plan = ends_with(path, ".norn") ? path : norn_path_is_file(inside) ? inside : NULL;
    if (plan) {
        if (norn_plan_load(plan, norn_alloc_heap(), &out->plan) != NORN_OK)
            return cli_failed(command);
        return CLI_DONE;
    }
    const int64_t begin_ns = norn_clock_now_ns();
    if (norn_model_open(path, norn_alloc_heap(), &model) != NORN_OK) return cli_failed(command);
    const int exit_status = cli_compile_model(command, options, model, &out->plan);
    norn_model_close(model);
    if (exit_status == CLI_DONE && !out->plan)
        return cli_error(command, CLI_WRONG,
                         "--stop-after leaves nothing to %s; use it with norn compile",
                         command->name);
    out->compile_s = (double)(norn_clock_now_ns() - begin_ns) / 1e9;
    return exit_status;
}

int cli_load(const cli_command *command, const cli_compiling *options, const char *path,
             cli_loaded *out) {
    *out = (cli_loaded){0};
    int exit_status = open_plan(command, options, path, out);
    if (exit_status == CLI_DONE) exit_status = open_tables(command, path, out);
    if (exit_status != CLI_DONE) cli_unload(out);
    return exit_status;
}

void cli_unload(cli_loaded *loaded) {
    if (loaded->snapshot) norn_snapshot_release(loaded->snapshot);
    norn_store_destroy(loaded->store);
    norn_plan_release(loaded->plan);
    *loaded = (cli_loaded){0};
}
