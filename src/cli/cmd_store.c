#include "cli/store_verbs.h"

static int run(int argc, char **argv);

const cli_command cli_store = {
    .name = "store",
    .operands = "VERB",
    .summary = "look into embedding tables and their delta log, check them, turn them to and fro",
    .details =
        "A store is a model's folder: versions with tables/, and log/ with what was published "
        "since.\n\n"
        "  norn store stat repository/ranker            tables, manifest, log\n"
        "  norn store get repository/ranker/5 user 42   a row\n"
        "  norn store verify repository/ranker          every byte\n",
    .run = run,
};

static const cli_command *const verbs[] = {&cli_store_import, &cli_store_export, &cli_store_stat,
                                           &cli_store_get,    &cli_store_apply,  &cli_store_verify};

static int run(int argc, char **argv) {
    return cli_run_verb(&cli_store, verbs, sizeof verbs / sizeof verbs[0], argc, argv);
}
