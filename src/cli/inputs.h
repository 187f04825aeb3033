/// Inputs of a plan from .npy files, for `run` and `bench`.
#ifndef NORN_CLI_INPUTS_H
#define NORN_CLI_INPUTS_H

#include "base/arena.h"
#include "base/file.h"
#include "cli/options.h"

typedef struct cli_inputs {
    norn_view *views; ///< one an input of the plan; dtype NONE: not given
    norn_file **files;
    size_t count;
} cli_inputs;

/// `named`: NAME=FILE.npy each; `dir` (may be NULL): DIR/NAME.npy for inputs that are not named.
/// CLI_DONE, or an exit status with a line on stderr; cli_inputs_free either way.
int cli_take_inputs(const cli_command *command, const norn_plan *plan, const cli_list *named,
                    const char *dir, norn_arena *arena, cli_inputs *out);
void cli_inputs_free(cli_inputs *inputs);

/// "DIR/NAME.npy"; '/' in the name becomes '_'.
enum { CLI_PATH_BYTES = 4096 };
void cli_npy_path(const char *dir, const char *name, char out[CLI_PATH_BYTES]);
norn_status cli_npy_load(const char *path, norn_file **file, norn_view *view) NORN_NODISCARD;

#endif
