/// What `run`, `bench` and `inspect` take: a model, a package's
/// version folder or a plan, made ready to run.
#ifndef NORN_CLI_LOAD_H
#define NORN_CLI_LOAD_H

#include "cli/options.h"
#include "package/package_open.h"

/// Options that say how a model is compiled; put CLI_COMPILE_OPTIONS(&x) into a command's table.
typedef struct cli_compiling {
    const char *device, *precision, *min_shapes, *opt_shapes, *max_shapes, *print_after,
        *stop_after, *batch_dim;
    int64_t max_batch, table_threshold;
    bool freeze_initializers;
} cli_compiling;

#define CLI_COMPILE_OPTIONS(c)                                                                      \
    {"--device", 0, CLI_TEXT, &(c)->device, "DEVICE", "cpu (default), cuda or cuda:N"},             \
        {"--precision",   0,   CLI_TEXT,                                                            \
         &(c)->precision, "P", "fp32 (default, exact), tf32, fp16 or bf16 (CUDA matrix products)"}, \
        {"--min-shapes",   0,   CLI_TEXT,                                                           \
         &(c)->min_shapes, "S", "profile by input: NAME:1x13,OTHER:1x26"},                          \
        {"--opt-shapes", 0, CLI_TEXT, &(c)->opt_shapes, "S", "shapes that matter most"},            \
        {"--max-shapes",   0,   CLI_TEXT,                                                           \
         &(c)->max_shapes, "S", "largest shapes that the profile holds"},                           \
        {"--max-batch",   0,   CLI_COUNT,                                                           \
         &(c)->max_batch, "N", "largest batch where --max-shapes is silent (default 1024)"},        \
        {"--batch-dim",   0,         CLI_TEXT,                                                      \
         &(c)->batch_dim, "INPUT:0", "which dimension is the batch, where Norn guesses wrong"},     \
        {"--table-threshold",                                                                       \
         0,                                                                                         \
         CLI_BYTES,                                                                                 \
         &(c)->table_threshold,                                                                     \
         "BYTES",                                                                                   \
         "gathered initializers from this size become tables (default 1048576)"},                   \
        {"--freeze-initializers",                                                                   \
         0,                                                                                         \
         CLI_FLAG,                                                                                  \
         &(c)->freeze_initializers,                                                                 \
         NULL,                                                                                      \
         "initializers that callers may override become constants"},                                \
        {"--print-after",   0,      CLI_TEXT,                                                       \
         &(c)->print_after, "PASS", "print the graph after this pass, or after all"},               \
    {                                                                                               \
        "--stop-after", 0, CLI_TEXT, &(c)->stop_after, "PASS", "run no pass after this one"         \
    }

/// Options as the compiler takes them.
typedef struct cli_compile_options {
    norn_compile_options options;
    norn_input_shape *min, *opt, *max;
} cli_compile_options;
/// CLI_DONE, or CLI_WRONG with a line on stderr. Free it in both cases.
int cli_compile_parse(const cli_command *command, const cli_compiling *said,
                      cli_compile_options *out);
void cli_compile_free(cli_compile_options *options);

/// Compile `model`. CLI_DONE, or an exit status with a line on stderr.
/// *out stays NULL with CLI_DONE when --stop-after ended it.
int cli_compile_model(const cli_command *command, const cli_compiling *said,
                      const norn_model *model, norn_plan **out);

typedef struct cli_loaded {
    norn_package *package;
    norn_plan *plan;         ///< the package's
    norn_snapshot *snapshot; ///< likewise; NULL when there is no tables/
} cli_loaded;

/// `path`: MODEL.onnx, a folder with model.onnx (or model.norn) and tables/, or PLAN.norn.
int cli_load(const cli_command *command, const cli_compiling *said, const char *path,
             cli_loaded *out);
void cli_unload(cli_loaded *loaded);

#endif
