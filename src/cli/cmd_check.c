#include "base/file.h"
#include "cli/load.h"
#include "device/table.h"
#include "graph/graph.h"
#include "plan/package.h"
#include "plan/plan.h"
#include "tensor/dtype.h"

#include <stdio.h>
#include <string.h>

static int run(int argc, char **argv);

const cli_command cli_check = {
    .name = "check",
    .operands = "DIR",
    .operand_count = 1,
    .summary = "say what a package will be served with, and why",
    .details = "DIR is a version folder: model.onnx or model.norn, tables/, norn.json. The model "
               "is compiled and its tables are\n"
               "opened, as `norn serve` would.\n\n"
               "  norn check repository/movielens/1\n",
    .run = run,
};

static void print_line(const char *what, const char *value, const char *why) {
    printf("  %-28s %-24s %s\n", what, value, why);
}

static void print_number(const char *what, int64_t value, const char *why) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    print_line(what, text, why);
}

static void port_text(const norn_port *port, char out[256]) {
    int used = snprintf(out, 256, "%s[", norn_dtype_name(port->dtype));
    for (int32_t d = 0; d < port->rank && used > 0 && used < 256; d++) {
        const char *comma = d ? "," : "";
        used += port->dims[d] < 0 ? snprintf(out + used, 256 - (size_t)used, "%s%s", comma,
                                             port->dim_names[d] ? port->dim_names[d] : "?")
                                  : snprintf(out + used, 256 - (size_t)used, "%s%lld", comma,
                                             (long long)port->dims[d]);
    }
    if (used > 0 && used < 255) snprintf(out + used, 256 - (size_t)used, "]");
}

static void print_inputs(const norn_plan *plan, const norn_package_config *config) {
    const char *batch = norn_plan_batch_symbol(plan);
    char text[256];
    printf("inputs\n");
    for (size_t i = 0; i < norn_plan_input_count(plan); i++) {
        const norn_port *port = norn_plan_input(plan, i);
        const norn_package_input *said = norn_package_input_find(config, port->name);
        const bool batched =
            batch && port->rank > 0 && port->dim_names[0] && strcmp(port->dim_names[0], batch) == 0;
        const char *why =
            said && said->offsets ? "ragged, by norn.json"
            : said    ? said->user ? "batch: user, by norn.json" : "batch: item, by norn.json"
            : batched ? "batch: item, because dim 0 is the batch"
                      : "the same for every row, because dim 0 is not the batch";
        port_text(port, text);
        print_line(port->name, text, why);
    }
    printf("outputs\n");
    for (size_t i = 0; i < norn_plan_output_count(plan); i++) {
        port_text(norn_plan_output(plan, i), text);
        print_line(norn_plan_output(plan, i)->name, text, "");
    }
}

/// CLI_FAILED when a table that the model names is nowhere, or does not fit.
static int print_tables(const cli_loaded *loaded) {
    int exit_status = CLI_DONE;
    if (loaded->plan->table_count) printf("tables\n");
    for (uint32_t t = 0; t < loaded->plan->table_count; t++) {
        const norn_plan_table *table = &loaded->plan->tables[t];
        const norn_table_binding *binding =
            loaded->snapshot ? loaded->snapshot->find(loaded->snapshot, table->name) : NULL;
        char text[96];
        if (binding) {
            snprintf(text, sizeof text, "%lld x %lld %s", (long long)binding->row_count,
                     (long long)binding->dim, norn_dtype_name(binding->dtype));
            print_line(table->name, text,
                       binding->resolve ? "hashed, from tables/" : "dense, from tables/");
            if (binding->dim != table->dim)
                exit_status =
                    cli_error(&cli_check, CLI_FAILED,
                              "table '%s': %lld elements a row in tables/, the model expects %lld",
                              table->name, (long long)binding->dim, (long long)table->dim);
        } else if (table->rows > 0) {
            snprintf(text, sizeof text, "%lld x %lld %s", (long long)table->rows,
                     (long long)table->dim, norn_dtype_name(table->dtype));
            print_line(table->name, text, "dense, from an initializer of the model");
        } else {
            exit_status = cli_error(&cli_check, CLI_FAILED,
                                    "table '%s' is nowhere: put it at tables/%s.safetensors",
                                    table->name, table->name);
        }
    }
    return exit_status;
}

static void print_settings(const norn_plan *plan, const norn_package_config *config) {
    const int64_t max_batch = norn_plan_max_batch(plan);
    printf("settings\n");
    print_line("device", config->device ? config->device : "cpu",
               config->device ? "norn.json" : "default");
    print_line("precision", config->precision == NORN_PRECISION_TF32 ? "tf32" : "fp32",
               config->precision == NORN_PRECISION_TF32 ? "norn.json" : "default, exact");
    print_number("profile.max_batch", max_batch,
                 config->max_batch || config->max_count ? "norn.json" : "default");
    print_number("instances", config->instances ? config->instances : 1,
                 config->instances ? "norn.json" : "default");
    print_line("batching.max_delay_us", config->batch_delay_us > 0 ? "norn.json" : "0",
               config->batch_delay_us > 0 ? "" : "default: requests do not wait for company");
    print_number("batching.max_batch", config->batch_rows > 0 ? config->batch_rows : max_batch,
                 config->batch_rows > 0 ? "norn.json" : "profile.max_batch");
    print_line("warmup", config->warmup ? "yes" : "no", "");
}

static int check(const char *dir) {
    const cli_compiling none = {0};
    cli_compiling compile = none;
    norn_package_config config;
    cli_loaded loaded = {0};
    norn_file *file = NULL;
    norn_arena arena;
    char path[4096];
    int exit_status = CLI_DONE;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    norn_span text = {NULL, 0};
    if (!norn_path_is_dir(dir)) {
        exit_status = cli_error(
            &cli_check, CLI_FAILED,
            "'%s' is not a folder; give a version folder such as repository/movielens/1", dir);
        goto done;
    }
    const char *instead = norn_package_ignored(dir, path);
    if (instead) cli_error(&cli_check, CLI_DONE, "warning: %s %s", path, instead);
    snprintf(path, sizeof path, "%s/norn.json", dir);
    if (norn_path_is_file(path)) {
        if (norn_file_read(path, norn_alloc_heap(), &file) != NORN_OK) {
            exit_status = cli_failed(&cli_check);
            goto done;
        }
        text = norn_file_bytes(file);
    }
    if (norn_package_parse(path, text, &arena, &config) != NORN_OK) {
        exit_status = cli_failed(&cli_check);
        goto done;
    }
    compile.device = config.device;
    compile.max_batch = config.max_batch;
    exit_status = cli_load(&cli_check, &compile, dir, &loaded);
    if (exit_status != CLI_DONE) goto done;
    printf("%s: %s\n", dir,
           loaded.compile_s > 0 ? "model.onnx, compiled when it is loaded" : "model.norn");
    if (loaded.compile_s > 0) printf("  compiled in %.2f s\n", loaded.compile_s);
    print_inputs(loaded.plan, &config);
    exit_status = print_tables(&loaded);
    print_settings(loaded.plan, &config);
    for (uint32_t i = 0; i < config.input_count; i++) {
        bool found = false;
        for (size_t p = 0; p < norn_plan_input_count(loaded.plan); p++)
            found =
                found || strcmp(norn_plan_input(loaded.plan, p)->name, config.inputs[i].name) == 0;
        if (!found)
            exit_status =
                cli_error(&cli_check, CLI_FAILED, "norn.json: the model has no input '%s'",
                          config.inputs[i].name);
    }
done:
    cli_unload(&loaded);
    norn_file_release(file);
    norn_arena_deinit(&arena);
    return exit_status;
}

static int run(int argc, char **argv) {
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_check, NULL, 0, argc, argv, &operands, &exit_status))
        exit_status = check(operands.at[0]);
    cli_list_free(&operands);
    return exit_status;
}
