#include "cli/load.h"

#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

// ---- options

static int parse_precision(const cli_command *command, const char *text, norn_precision *out) {
    *out = NORN_PRECISION_FP32;
    if (!text || norn_precision_parse(text, out)) return CLI_DONE;
    return cli_error(command, CLI_WRONG, "--precision is fp32, tf32, fp16 or bf16, not '%s'", text);
}

int cli_compile_parse(const cli_command *command, const cli_compiling *said,
                      cli_compile_options *out) {
    *out = (cli_compile_options){.options = {.device = said->device,
                                             .max_batch = said->max_batch,
                                             .table_threshold = said->table_threshold,
                                             .freeze_initializers = said->freeze_initializers,
                                             .print_after = said->print_after,
                                             .stop_after = said->stop_after,
                                             .batch_dim = said->batch_dim,
                                             .progress = cli_progress}};
    norn_compile_options *options = &out->options;
    if (!cli_device(command, said->device)) return CLI_WRONG;
    if (!cli_shapes(command, "--min-shapes", said->min_shapes, &out->min, &options->min_count) ||
        !cli_shapes(command, "--opt-shapes", said->opt_shapes, &out->opt, &options->opt_count) ||
        !cli_shapes(command, "--max-shapes", said->max_shapes, &out->max, &options->max_count))
        return CLI_WRONG;
    options->min_shapes = out->min;
    options->opt_shapes = out->opt;
    options->max_shapes = out->max;
    const int exit_status = parse_precision(command, said->precision, &options->precision);
    if (exit_status != CLI_DONE || !said->precision) return exit_status;
    if (options->precision != NORN_PRECISION_FP32 && said->device &&
        strcmp(said->device, "cpu") == 0)
        return cli_error(command, CLI_WRONG,
                         "--precision %s has no effect on the cpu, which computes in fp32",
                         said->precision);
    return CLI_DONE;
}

void cli_compile_free(cli_compile_options *options) {
    free(options->min);
    free(options->opt);
    free(options->max);
}

/// What a failure to compile means: --stop-after asks for one.
static int compile_failed(const cli_command *command, const cli_compiling *said,
                          norn_status status) {
    cli_progress_end();
    if (status == NORN_CANCELLED && said->stop_after)
        return cli_error(command, CLI_DONE, "%s", norn_message());
    return cli_failed(command);
}

int cli_compile_model(const cli_command *command, const cli_compiling *said,
                      const norn_model *model, norn_plan **out) {
    cli_compile_options compile;
    int exit_status = cli_compile_parse(command, said, &compile);
    if (exit_status == CLI_DONE) {
        const norn_status status =
            norn_plan_compile(model, &compile.options, norn_alloc_heap(), out);
        if (status != NORN_OK) exit_status = compile_failed(command, said, status);
        cli_progress_end();
    }
    cli_compile_free(&compile);
    return exit_status;
}

// ---- loading

/// An option that a plan has settled already has no effect, which is an error.
static int no_effect(const cli_command *command, const char *option, const char *value,
                     const char *path, const norn_plan *plan) {
    return cli_error(
        command, CLI_WRONG,
        "%s %s has no effect: '%s' is a plan, compiled for %s in %s; compile the model again: "
        "norn compile MODEL -o PLAN %s %s",
        option, value, path, plan->device_name, norn_precision_name(plan->precision), option,
        value);
}

static int check_settled(const cli_command *command, const cli_compiling *said, const char *path,
                         const norn_plan *plan, norn_precision precision) {
    const struct {
        const char *option, *value;
    } settled[] = {
        {"--min-shapes", said->min_shapes},
        {"--opt-shapes", said->opt_shapes},
        {"--max-shapes", said->max_shapes},
        {"--batch-dim", said->batch_dim},
        {"--print-after", said->print_after},
        {"--stop-after", said->stop_after},
        {"--max-batch", said->max_batch ? "N" : NULL},
        {"--freeze-initializers", said->freeze_initializers ? "" : NULL},
        {"--table-threshold", said->table_threshold ? "BYTES" : NULL},
        {"--device",
         said->device && strcmp(said->device, plan->device_name) != 0 ? said->device : NULL},
        {"--precision", said->precision && precision != plan->precision ? said->precision : NULL},
    };
    for (size_t i = 0; i < sizeof settled / sizeof settled[0]; i++)
        if (settled[i].value)
            return no_effect(command, settled[i].option, settled[i].value, path, plan);
    return CLI_DONE;
}

int cli_load(const cli_command *command, const cli_compiling *said, const char *path,
             cli_loaded *out) {
    cli_compile_options compile;
    char plan_path[NORN_PACKAGE_PATH];
    const bool is_plan = norn_package_plan_path(path, plan_path);
    *out = (cli_loaded){0};
    int exit_status = cli_compile_parse(command, said, &compile);
    if (exit_status == CLI_DONE) {
        const norn_package_options options = {.compile = &compile.options};
        const norn_status status =
            norn_package_open(path, &options, norn_alloc_heap(), &out->package);
        if (status == NORN_CANCELLED && said->stop_after)
            exit_status = cli_error(command, CLI_WRONG,
                                    "--stop-after leaves nothing to %s; use it with norn compile",
                                    command->name);
        else if (status != NORN_OK)
            exit_status = compile_failed(command, said, status);
        else if (is_plan)
            exit_status =
                check_settled(command, said, path, out->package->plan, compile.options.precision);
        cli_progress_end();
    }
    cli_compile_free(&compile);
    if (exit_status != CLI_DONE) {
        cli_unload(out);
        return exit_status;
    }
    out->plan = out->package->plan;
    out->snapshot = out->package->snapshot;
    for (uint32_t i = 0; i < out->package->note_count; i++)
        (void)cli_error(command, CLI_DONE, "warning: %s", out->package->notes[i]);
    return CLI_DONE;
}

void cli_unload(cli_loaded *loaded) {
    norn_package_close(loaded->package);
    *loaded = (cli_loaded){0};
}
