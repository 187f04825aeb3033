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

/// What is said of random inputs. `batch` 0, `seed` -1, `sets` 0: not said.
typedef struct cli_made_up {
    int64_t batch, seed, sets;
    const norn_input_shape *shapes;
    size_t shape_count;
} cli_made_up;
/// An option that has no effect because of the inputs that were
/// given, or of the model, is an error.
int cli_check_made_up(const cli_command *command, const norn_plan *plan, const cli_inputs *inputs,
                      const cli_made_up *said);

/// "DIR/NAME.npy"; '/' in the name becomes '_'.
enum { CLI_PATH_BYTES = 4096 };
/// Outputs of a plan have files of their own? Else a line on stderr names two that collide.
int cli_check_names(const cli_command *command, const norn_plan *plan, const char *option,
                    const char *dir);
void cli_npy_path(const char *dir, const char *name, char out[CLI_PATH_BYTES]);
norn_status cli_npy_load(const char *path, norn_file **file, norn_view *view) NORN_NODISCARD;

#endif
