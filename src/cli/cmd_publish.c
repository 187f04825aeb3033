#include "cli/options.h"
#include "package/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(int argc, char **argv);
static int run_full(int argc, char **argv);
static int run_delta(int argc, char **argv);

const cli_command cli_publish = {
    .name = "publish",
    .operands = "full|delta",
    .summary = "put a package or changed rows where servers find them",
    .details =
        "Each call is one writer's term: a trainer that publishes to the same model is fenced "
        "by it. A trainer that\n"
        "runs for long uses the Publisher of python/norn, which keeps its term.\n\n"
        "  norn publish full package --to repository/ranker --create-log 1\n"
        "  norn publish delta --to repository/ranker --rows user=changed.safetensors\n",
    .run = run,
};

static const cli_command publish_full = {
    .name = "publish full",
    .operands = "PACKAGE",
    .operand_count = 1,
    .summary = "make a package the next version of a model",
    .details =
        "PACKAGE is a folder with model.onnx or model.norn, tables/ and norn.json. Its tables are "
        "checked, its files copied\n"
        "beside the versions of the model's folder, which is made where it is not there, and the "
        "folder appears under the\n"
        "next number when MANIFEST.json and READY are in it.\n\n"
        "The version begins a line of training of its own: deltas that are published from now on "
        "are for it. --base N goes\n"
        "on with the line of version N instead, and says that PACKAGE has all that the log has "
        "now. "
        "A PACKAGE with a\n"
        "manifest, as `norn store apply` writes it, brings line and place in the log with it, and "
        "fences nobody.\n\n"
        "  norn publish full package --to repository/ranker --create-log 4\n"
        "  norn publish full package --to repository/ranker --base 1\n",
    .run = run_full,
};

static const cli_command publish_delta = {
    .name = "publish delta",
    .operands = "",
    .summary = "publish changed rows and weights as one step of the delta log",
    .details =
        "For the newest version of the model's folder, with which everything is compared before "
        "the "
        "log is touched. All of\n"
        "one call is seen by servers at once (`norn serve --follow`). Rows are those of a table "
        "file: keys, rows, scales of\n"
        "int8; without keys they are rows 0 to n - 1. Each call begins an epoch of the log, which "
        "takes two syncs and fences\n"
        "a trainer that still runs: one that publishes often uses python/norn/publish.py.\n\n"
        "  norn publish delta --to repository/ranker --rows user=changed.safetensors --rows "
        "item=new.safetensors\n"
        "  norn publish delta --to repository/ranker --deletes item=gone.npy --dense "
        "top.bias=bias.npy\n",
    .run = run_delta,
};

static const cli_command *const verbs[] = {&publish_full, &publish_delta};

static int run(int argc, char **argv) {
    return cli_run_verb(&cli_publish, verbs, sizeof verbs / sizeof verbs[0], argc, argv);
}

#define CREATE_LOG_HELP "make a delta log of so many partitions in DIR/log where\nthere is none"

static void print_published(const norn_published *published) {
    printf("%s", published->path);
    if (published->epoch)
        printf(": step %llu of epoch %llu", (unsigned long long)published->step,
               (unsigned long long)published->epoch);
    printf("; base %llu\n", (unsigned long long)published->base);
}

static int check_partitions(const cli_command *command, int64_t partitions) {
    if (partitions <= 1024) return CLI_DONE;
    return cli_error(command, CLI_WRONG, "--create-log takes 1 to 1024 partitions, not %lld",
                     (long long)partitions);
}

// ---- full

static int full(const char *package, int64_t base, const norn_publish_options *options) {
    norn_published published;
    if (norn_publish_full(package, (uint64_t)base, options, &published) != NORN_OK)
        return cli_failed(&publish_full);
    cli_progress_end();
    print_published(&published);
    return CLI_DONE;
}

static int run_full(int argc, char **argv) {
    const norn_progress progress = {cli_transfer, NULL};
    norn_publish_options to = {.progress = &progress, .alloc = norn_alloc_heap()};
    int64_t base = 0, partitions = 0;
    const cli_option options[] = {
        {"--to", 0, CLI_TEXT, &to.to, "DIR", "the model's folder, such as repository/ranker"},
        {"--base", 0, CLI_COUNT, &base, "N", "go on with the line of this version"},
        {"--create-log", 0, CLI_COUNT, &partitions, "N", CREATE_LOG_HELP},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&publish_full, options, sizeof options / sizeof options[0], argc, argv, &operands,
                  &exit_status)) {
        to.partitions = (uint32_t)partitions;
        exit_status = !to.to ? cli_error(&publish_full, CLI_WRONG,
                                         "say --to, the model's folder; --help says more")
                             : check_partitions(&publish_full, partitions);
        if (exit_status == CLI_DONE) exit_status = full(operands.at[0], base, &to);
    }
    cli_list_free(&operands);
    return exit_status;
}

// ---- delta

/// NAME=FILE of each; names are copies. NULL with a line on stderr where one is malformed.
static norn_publish_part *split(const cli_list *list, const char *option) {
    norn_publish_part *parts = calloc(list->count + 1, sizeof *parts);
    for (size_t i = 0; parts && i < list->count; i++) {
        const char *equals = strchr(list->at[i], '=');
        if (!equals || equals == list->at[i] || !equals[1]) {
            cli_error(&publish_delta, CLI_WRONG, "%s: '%s' is not NAME=FILE", option, list->at[i]);
            while (i-- > 0) free((void *)(uintptr_t)parts[i].name);
            free(parts);
            return NULL;
        }
        parts[i] =
            (norn_publish_part){strndup(list->at[i], (size_t)(equals - list->at[i])), equals + 1};
    }
    return parts;
}

static void free_parts(const norn_publish_part *parts, size_t count) {
    for (size_t i = 0; parts && i < count; i++) free((void *)(uintptr_t)parts[i].name);
    free((void *)(uintptr_t)parts);
}

typedef struct delta_lists {
    cli_list rows, deletes, dense;
} delta_lists;

static int delta(const delta_lists *lists, const norn_publish_options *options) {
    norn_published published;
    norn_publish_step step = {.row_count = lists->rows.count,
                              .delete_count = lists->deletes.count,
                              .dense_count = lists->dense.count};
    int exit_status = CLI_WRONG;
    step.rows = split(&lists->rows, "--rows");
    if (step.rows) step.deletes = split(&lists->deletes, "--deletes");
    if (step.deletes) step.dense = split(&lists->dense, "--dense");
    if (step.dense) {
        exit_status = CLI_DONE;
        if (norn_publish_delta(&step, options, &published) != NORN_OK)
            exit_status = cli_failed(&publish_delta);
        else
            print_published(&published);
    }
    free_parts(step.rows, step.row_count);
    free_parts(step.deletes, step.delete_count);
    free_parts(step.dense, step.dense_count);
    return exit_status;
}

static int run_delta(int argc, char **argv) {
    norn_publish_options to = {.alloc = norn_alloc_heap()};
    delta_lists lists = {0};
    int64_t partitions = 0;
    const cli_option options[] = {
        {"--to", 0, CLI_TEXT, &to.to, "DIR", "the model's folder, such as repository/ranker"},
        {"--rows", 0, CLI_LIST, &lists.rows, "TABLE=FILE",
         "rows as they are from now on, a table file"},
        {"--deletes", 0, CLI_LIST, &lists.deletes, "TABLE=FILE",
         "keys that have no row from now on, an int64 .npy"},
        {"--dense", 0, CLI_LIST, &lists.dense, "NAME=FILE",
         "a weight of the model by its initializer's name, a .npy"},
        {"--create-log", 0, CLI_COUNT, &partitions, "N", CREATE_LOG_HELP},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&publish_delta, options, sizeof options / sizeof options[0], argc, argv,
                  &operands, &exit_status)) {
        to.partitions = (uint32_t)partitions;
        exit_status = check_partitions(&publish_delta, partitions);
        if (!to.to)
            exit_status = cli_error(&publish_delta, CLI_WRONG,
                                    "say --to, the model's folder; --help says more");
        else if (lists.rows.count + lists.deletes.count + lists.dense.count == 0)
            exit_status = cli_error(&publish_delta, CLI_WRONG,
                                    "nothing to publish: say --rows, --deletes or --dense");
        if (exit_status == CLI_DONE) exit_status = delta(&lists, &to);
    }
    cli_list_free(&operands);
    cli_list_free(&lists.rows);
    cli_list_free(&lists.deletes);
    cli_list_free(&lists.dense);
    return exit_status;
}
