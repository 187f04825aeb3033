#include "cli/store_verbs.h"
#include "package/store_folder.h"

#include <stdio.h>

static int run(int argc, char **argv);

const cli_command cli_store_verify = {
    .name = "store verify",
    .operands = "DIR",
    .operand_count = 1,
    .summary = "check every byte of a version, of tables, of a model's folder or of a log",
    .details =
        "Files against MANIFEST.json; of each table its shapes and that no key is there twice; of "
        "a "
        "log every frame, its\n"
        "chain over all segments and partitions, that steps are whole, and that the newest version "
        "can be followed from\n"
        "its cut. Of a model's folder all of it. Says what is right as it goes; the first thing "
        "that is wrong ends it\n"
        "with exit status 1 and a line that names it and what to do. Nothing is changed.\n\n"
        "  norn store verify repository/ranker\n"
        "  norn store verify repository/ranker/5\n"
        "  norn store verify repository/ranker/log\n",
    .run = run,
};

static void print_right(void *context, const char *what) {
    (void)context;
    cli_progress_end();
    printf("%s\n", what);
    fflush(stdout);
}

static int run(int argc, char **argv) {
    const norn_progress progress = {cli_transfer, NULL};
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_store_verify, NULL, 0, argc, argv, &operands, &exit_status)) {
        if (norn_folder_verify(operands.at[0], &progress, norn_alloc_heap(), print_right, NULL) !=
            NORN_OK)
            exit_status = cli_failed(&cli_store_verify);
        cli_progress_end();
    }
    cli_list_free(&operands);
    return exit_status;
}
