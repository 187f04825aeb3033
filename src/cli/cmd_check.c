#include "base/file.h"
#include "cli/options.h"
#include "compile/settings.h"
#include "graph/graph.h"
#include "package/package_ready.h"
#include "package/row_policy.h"
#include "plan/plan.h"
#include "store/snapshot.h"
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
               "is compiled, its tables are\n"
               "opened and it runs once, as in `norn serve`; exit status 1 where that would refuse "
               "it.\n\n"
               "  norn check repository/movielens/1\n"
               "  norn check --keys                   every key of norn.json\n",
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

static void print_tables(const norn_package *package) {
    const norn_plan *plan = package->plan;
    const norn_snapshot *snapshot = package->snapshot;
    if (plan->table_count) printf("tables\n");
    for (uint32_t t = 0; t < plan->table_count; t++) {
        const norn_plan_table *table = &plan->tables[t];
        const norn_table_binding *binding = snapshot ? snapshot->find(snapshot, table->name) : NULL;
        const int64_t rows = binding ? binding->view.row_count : table->rows;
        const bool hashed = binding && binding->view.kind != NORN_TABLE_DENSE;
        const char *why = hashed    ? "hashed, from tables/"
                          : binding ? "dense, from tables/"
                                    : "dense, from an initializer of the model";
        char text[96];
        snprintf(text, sizeof text, "%lld x %lld %s", (long long)rows,
                 (long long)(binding ? binding->dim : table->dim),
                 norn_dtype_name(binding ? binding->dtype : table->dtype));
        if (!binding && table->rows == 0)
            print_line(table->name, "nowhere", "");
        else
            print_line(table->name, text, why);
        if (hashed)
            print_line("  a missing key", table->missing_is_error ? "error" : "default row",
                       table->missing_is_error ? "norn.json" : "default, counted");
    }
}

// ---- settings

static const char *said(bool by_norn_json, const char *otherwise) {
    return by_norn_json ? "norn.json" : otherwise;
}

static void print_settings(const norn_package *package, const norn_serving *serving) {
    const norn_package_config *config = &package->config;
    const norn_plan *plan = package->plan;
    const bool now = package->compiled; // a plan file has settled these
    printf("settings\n");
    print_line("device", plan->device_name, now ? said(config->device, "default") : "of the plan");
    print_line("precision", norn_precision_name(plan->precision),
               !now                                     ? "of the plan"
               : plan->precision != NORN_PRECISION_FP32 ? "norn.json"
                                                        : "default, exact");
    if (norn_plan_batch_symbol(plan))
        print_number("profile.max_batch", norn_plan_max_batch(plan),
                     now ? said(config->max_batch || config->max_shapes.count, "default")
                         : "of the plan");
    print_number("instances", serving->instances, said(config->instances, "default"));
    if (serving->threads)
        print_number("threads", serving->threads, "norn.json");
    else
        print_line("threads", "the cores shared out", "default");
    if (serving->rows.joins)
        print_number(
            "batching.max_delay_us", serving->batch_delay_us,
            said(config->batch_delay_us >= 0, "default: requests do not wait for company"));
    if (serving->rows.joins || serving->rows.splits)
        print_number("batching.max_batch", serving->max_rows,
                     said(config->batch_rows > 0, "profile.max_batch"));
    print_number("batching.max_queue", serving->queue_limit,
                 said(config->queue_limit > 0, "default"));
    print_number("batching.max_wait_ms", serving->max_wait_ms,
                 said(config->max_wait_ms >= 0, "default"));
    if (serving->max_memory_bytes)
        print_number("max_memory_mb", serving->max_memory_bytes >> 20, "norn.json");
    print_line("warmup", serving->warm_up ? "yes" : "no", said(!serving->warm_up, "default"));
}

/// As `norn serve` with no options of its own would: the same code decides.
static int check(const char *dir) {
    const norn_serving_defaults defaults = {0};
    const norn_package_options options = {0};
    norn_package *package = NULL;
    norn_session *session = NULL;
    norn_serving serving;
    char warning[512];
    int exit_status = CLI_DONE;
    if (!norn_path_is_dir(dir))
        return cli_error(
            &cli_check, CLI_FAILED,
            "'%s' is not a folder; give a version folder such as repository/movielens/1", dir);
    if (norn_package_open(dir, &options, norn_alloc_heap(), &package) != NORN_OK)
        return cli_failed(&cli_check);
    printf("%s: %s\n", dir,
           package->compiled ? "model.onnx, compiled when it is loaded" : "model.norn");
    if (package->compiled) printf("  compiled in %.2f s\n", (double)package->compile_ns / 1e9);
    print_inputs(package->plan, &package->config);
    print_tables(package);
    if (norn_package_serving(package, &defaults, &serving) != NORN_OK) {
        exit_status = cli_failed(&cli_check);
        goto done;
    }
    print_settings(package, &serving);
    printf("rows\n  %s\n", serving.rows.text);
    fflush(stdout);
    for (uint32_t i = 0; i < package->note_count; i++)
        (void)cli_error(&cli_check, CLI_DONE, "warning: %s", package->notes[i]);
    if (norn_package_start(package, &serving, &session, warning) != NORN_OK)
        exit_status = cli_failed(&cli_check);
    else if (*warning)
        (void)cli_error(&cli_check, CLI_DONE, "warning: %s", warning);
done:
    norn_session_destroy(session);
    norn_package_close(package);
    return exit_status;
}

/// "1 to 1024", or the words, or "" where anything goes.
static void bounds_text(const norn_setting *setting, char out[96]) {
    out[0] = '\0';
    if (setting->low || setting->high)
        snprintf(out, 96, "%lld to %lld; ", (long long)setting->low, (long long)setting->high);
    if (*setting->words)
        snprintf(out, 96, "%.*s; ", (int)strlen(setting->words) - 1, setting->words);
}

static void print_keys(void) {
    size_t count;
    const norn_setting *all = norn_settings(&count);
    for (size_t i = 0; i < count; i++) {
        char name[64], bounds[96];
        snprintf(name, sizeof name, "%s%s", norn_setting_prefix(all[i].scope), all[i].key);
        bounds_text(&all[i], bounds);
        printf("%-28s %s\n%-28s %swhen absent: %s\n", name, all[i].meaning, "", bounds,
               all[i].absent);
    }
}

static int run(int argc, char **argv) {
    cli_list operands;
    int exit_status;
    bool keys = false;
    const cli_option options[] = {{"--keys", 0, CLI_FLAG, &keys, NULL,
                                   "say what norn.json may hold, key by key; without DIR"}};
    if (argc == 2 && strcmp(argv[1], "--keys") == 0) {
        print_keys();
        return CLI_DONE;
    }
    if (cli_parse(&cli_check, options, 1, argc, argv, &operands, &exit_status))
        exit_status =
            keys ? cli_error(&cli_check, CLI_WRONG, "--keys is of no package: leave out DIR")
                 : check(operands.at[0]);
    cli_list_free(&operands);
    return exit_status;
}
