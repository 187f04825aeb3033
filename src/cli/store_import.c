#include "cli/store_verbs.h"
#include "store/table_file.h"

#include <stdio.h>

static int run_import(int argc, char **argv);
static int run_export(int argc, char **argv);

const cli_command cli_store_import = {
    .name = "store import",
    .operands = "ROWS",
    .operand_count = 1,
    .summary = "make a table file of arrays",
    .details =
        "ROWS is a .npy or .safetensors with rows [n, dim] of float32, float16, bfloat16 (in a "
        ".npy: "
        "its bits as uint16)\n"
        "or int8. With --keys the table is hashed; without it is dense, with keys 0 to n - 1. The "
        "table is checked\n"
        "before it is written; PyTorch files are read by `python -m norn.tables`.\n\n"
        "  norn store import rows.npy --keys keys.npy --out tables/user.safetensors\n"
        "  norn store import state.safetensors --tensor user.weight --out tables/user.safetensors\n"
        "  norn store import q.npy --scales scales.npy --keys keys.npy --out "
        "tables/item.safetensors\n",
    .run = run_import,
};

const cli_command cli_store_export = {
    .name = "store export",
    .operands = "TABLE.safetensors",
    .operand_count = 1,
    .summary = "turn a table file back into arrays, bit for bit",
    .details = "Each part goes to a file of its own, .npy or .safetensors; bfloat16 in a .npy is "
               "uint16. Of a part that\n"
               "the table has none may be missing.\n\n"
               "  norn store export tables/user.safetensors --out rows.npy --keys keys.npy\n"
               "  norn store export tables/bias.safetensors --out bias.safetensors --tensor "
               "bias.weight\n",
    .run = run_export,
};

/// The options of both: the parts besides the rows.
#define PART_OPTIONS(parts)                                                                       \
    {"--keys", 0, CLI_TEXT, &(parts).keys, "FILE", "keys [n], of a hashed table"},                \
        {"--scales", 0, CLI_TEXT, &(parts).scales, "FILE", "scales [n] of int8 rows, float32"}, { \
        "--default", 0, CLI_TEXT, &(parts).fallback, "FILE", "the row of missing keys, [dim]"     \
    }

static int run_import(int argc, char **argv) {
    norn_table_parts parts = {0};
    const char *out = NULL;
    const cli_option options[] = {
        {"--out", 'o', CLI_TEXT, &out, "TABLE", "the table file, tables/NAME.safetensors"},
        PART_OPTIONS(parts),
        {"--tensor", 0, CLI_TEXT, &parts.tensor, "NAME",
         "which tensor of a .safetensors is the rows"},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_store_import, options, sizeof options / sizeof options[0], argc, argv,
                  &operands, &exit_status)) {
        parts.rows = operands.at[0];
        if (!out)
            exit_status = cli_error(&cli_store_import, CLI_WRONG,
                                    "say --out tables/NAME.safetensors; --help says more");
        else if (norn_table_import(&parts, out, norn_alloc_heap()) != NORN_OK)
            exit_status = cli_failed(&cli_store_import);
    }
    cli_list_free(&operands);
    return exit_status;
}

static int run_export(int argc, char **argv) {
    norn_table_parts parts = {0};
    const cli_option options[] = {
        {"--out", 'o', CLI_TEXT, &parts.rows, "ROWS", "where the rows go"},
        PART_OPTIONS(parts),
        {"--tensor", 0, CLI_TEXT, &parts.tensor, "NAME",
         "the rows' name in a .safetensors (default weight)"},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_store_export, options, sizeof options / sizeof options[0], argc, argv,
                  &operands, &exit_status)) {
        if (!parts.rows)
            exit_status =
                cli_error(&cli_store_export, CLI_WRONG, "say --out rows.npy; --help says more");
        else if (norn_table_export(operands.at[0], &parts, norn_alloc_heap()) != NORN_OK)
            exit_status = cli_failed(&cli_store_export);
    }
    cli_list_free(&operands);
    return exit_status;
}
