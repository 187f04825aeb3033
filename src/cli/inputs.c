#include "cli/inputs.h"

#include "tensor/dtype.h"
#include "tensor/npy.h"

#include <stdio.h>
#include <string.h>

void cli_npy_path(const char *dir, const char *name, char out[CLI_PATH_BYTES]) {
    const int at = snprintf(out, CLI_PATH_BYTES, "%s/", dir);
    if (at >= CLI_PATH_BYTES) return; // cut; it will not be found
    (void)snprintf(out + at, CLI_PATH_BYTES - (size_t)at, "%s.npy", name);
    for (char *c = out + at; *c; c++)
        if (*c == '/') *c = '_';
}

norn_status cli_npy_load(const char *path, norn_file **file, norn_view *view) {
    NORN_TRY(norn_file_read(path, norn_alloc_heap(), file));
    return norn_npy_decode(norn_file_bytes(*file), path, view);
}

static norn_status load_input(const norn_plan *plan, size_t input, const char *path,
                              cli_inputs *out) {
    const norn_port *port = norn_plan_input(plan, input);
    NORN_TRY(cli_npy_load(path, &out->files[input], &out->views[input]));
    const norn_dtype dtype = out->views[input].dtype;
    if (dtype == port->dtype) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': %s holds %s, the model expects %s",
                     port->name, path, norn_dtype_name(dtype), norn_dtype_name(port->dtype));
}

static size_t find_input(const norn_plan *plan, const char *name, size_t length) {
    size_t i = 0;
    for (; i < norn_plan_input_count(plan); i++) {
        const char *own = norn_plan_input(plan, i)->name;
        if (strlen(own) == length && memcmp(own, name, length) == 0) break;
    }
    return i;
}

/// "the model has no input 'ids'; it has: dense, sparse"
static int no_such_input(const cli_command *command, const norn_plan *plan, const char *name,
                         size_t length) {
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < norn_plan_input_count(plan) && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 norn_plan_input(plan, i)->name);
    return cli_error(command, CLI_FAILED, "the model has no input '%.*s'; it has: %s%s",
                     (int)length, name, list, used >= sizeof list ? " …" : "");
}

static int take_named(const cli_command *command, const norn_plan *plan, const char *text,
                      cli_inputs *out) {
    const char *equals = strchr(text, '=');
    if (!equals) return cli_error(command, CLI_WRONG, "--input: '%s' is not NAME=FILE.npy", text);
    const size_t length = (size_t)(equals - text), input = find_input(plan, text, length);
    if (input == out->count) return no_such_input(command, plan, text, length);
    if (out->files[input])
        return cli_error(command, CLI_WRONG, "--input: '%.*s' was given twice", (int)length, text);
    return load_input(plan, input, equals + 1, out) == NORN_OK ? CLI_DONE : cli_failed(command);
}

/// Files are tensors: a model that takes or makes something else runs through the library only.
static int refuse_sequences(const cli_command *command, const norn_plan *plan) {
    size_t inputs = norn_plan_input_count(plan), outputs = norn_plan_output_count(plan);
    for (size_t i = 0; i < inputs + outputs; i++) {
        bool in = i < inputs;
        const norn_port *port = in ? norn_plan_input(plan, i) : norn_plan_output(plan, i - inputs);
        if (norn_dtype_holds_tensors(port->dtype))
            return cli_error(command, CLI_FAILED,
                             "%s '%s' is a %s; the command line takes and writes tensors",
                             in ? "input" : "output", port->name, norn_dtype_name(port->dtype));
    }
    return CLI_DONE;
}

int cli_take_inputs(const cli_command *command, const norn_plan *plan, const cli_list *named,
                    const char *dir, norn_arena *arena, cli_inputs *out) {
    char path[CLI_PATH_BYTES];
    const size_t count = norn_plan_input_count(plan);
    *out = (cli_inputs){0};
    const int refused = refuse_sequences(command, plan);
    if (refused != CLI_DONE) return refused;
    if (NORN_TAKE_ARRAY(arena, count, &out->views) != NORN_OK ||
        NORN_TAKE_ARRAY(arena, count, &out->files) != NORN_OK)
        return cli_failed(command);
    out->count = count;
    for (size_t i = 0; i < named->count; i++) {
        const int exit_status = take_named(command, plan, named->at[i], out);
        if (exit_status != CLI_DONE) return exit_status;
    }
    for (size_t i = 0; dir && i < count; i++) {
        if (out->files[i]) continue;
        cli_npy_path(dir, norn_plan_input(plan, i)->name, path);
        if (norn_path_is_file(path) && load_input(plan, i, path, out) != NORN_OK)
            return cli_failed(command);
    }
    return CLI_DONE;
}

void cli_inputs_free(cli_inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++) norn_file_release(inputs->files[i]);
    inputs->count = 0;
}
