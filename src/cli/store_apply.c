#include "cli/store_verbs.h"
#include "package/version_apply.h"

#include <stdio.h>

static int run(int argc, char **argv);

const cli_command cli_store_apply = {
    .name = "store apply",
    .operands = "DIR",
    .operand_count = 1,
    .summary = "write a version with its delta log applied, as a full version",
    .details =
        "DIR is a version folder. --out gets its files, with the tables as they are after the "
        "log's "
        "last whole step (or\n"
        "--step), dense weights put into model.onnx, and a MANIFEST.json of the same base that "
        "says "
        "where in the log it\n"
        "stands: a server that follows goes on from there. It appears under its name when it is "
        "whole. DIR's tables are\n"
        "held in memory meanwhile. `norn publish full` makes it the next version.\n\n"
        "  norn store apply repository/ranker/5 --log repository/ranker/log --out /tmp/ranker-now\n"
        "  norn publish full /tmp/ranker-now --to repository/ranker\n",
    .run = run,
};

static norn_status apply(const char *dir, const char *log, uint64_t step, const char *to) {
    const norn_progress progress = {cli_transfer, NULL};
    norn_applier_stat stat;
    NORN_TRY(norn_version_apply(dir, log, step, to, &progress, norn_alloc_heap(), &stat));
    cli_progress_end();
    printf("%s: step %llu; %llu step%s applied, with %llu row%s and %llu delete%s\n", to,
           (unsigned long long)stat.step, (unsigned long long)stat.steps, norn_plural(stat.steps),
           (unsigned long long)stat.rows, norn_plural(stat.rows), (unsigned long long)stat.deletes,
           norn_plural(stat.deletes));
    return NORN_OK;
}

static int run(int argc, char **argv) {
    const char *log = NULL, *to = NULL;
    int64_t step = 0;
    const cli_option options[] = {
        {"--log", 0, CLI_TEXT, &log, "URL", "the delta log: a folder, or file:DIR"},
        {"--out", 'o', CLI_TEXT, &to, "DIR2",
         "the folder that is made; where its name is a number, that\nis the version's"},
        {"--step", 0, CLI_INT, &step, "N", "up to this step (default: the log's last whole one)"},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_store_apply, options, sizeof options / sizeof options[0], argc, argv,
                  &operands, &exit_status)) {
        if (!log || !to)
            exit_status = cli_error(&cli_store_apply, CLI_WRONG,
                                    "say --log URL and --out DIR2; "
                                    "--help says more");
        else if (apply(operands.at[0], log, (uint64_t)step, to) != NORN_OK)
            exit_status = cli_failed(&cli_store_apply);
    }
    cli_list_free(&operands);
    return exit_status;
}
