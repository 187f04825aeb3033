#include "cli/inputs.h"

#include "tensor/dtype.h"
#include "tensor/npy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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
    if (!equals || equals == text || !equals[1])
        return cli_error(command, CLI_WRONG, "--input: '%s' is not NAME=FILE.npy", text);
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

/// Would these names be one file, perhaps on a system that does not tell cases apart?
static bool one_file(const char *dir, const char *a, const char *b, char path[CLI_PATH_BYTES]) {
    char other[CLI_PATH_BYTES];
    cli_npy_path(dir, a, path);
    cli_npy_path(dir, b, other);
    return strcasecmp(path, other) == 0;
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
    for (size_t i = 0; dir && i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (!out->files[i] && !out->files[k] &&
                one_file(dir, norn_plan_input(plan, i)->name, norn_plan_input(plan, k)->name, path))
                return cli_error(
                    command, CLI_WRONG,
                    "--input-dir: inputs '%s' and '%s' would be one file, %s; give them "
                    "with --input",
                    norn_plan_input(plan, k)->name, norn_plan_input(plan, i)->name, path);
    bool found = count == 0;
    for (size_t i = 0; dir && i < count; i++) {
        if (out->files[i]) continue;
        cli_npy_path(dir, norn_plan_input(plan, i)->name, path);
        if (!norn_path_is_file(path)) continue;
        if (load_input(plan, i, path, out) != NORN_OK) return cli_failed(command);
        found = true;
    }
    if (dir && !found)
        return cli_error(
            command, CLI_FAILED,
            "--input-dir '%s': no file there is an input that is not given by --input; "
            "the first would be %s",
            dir, path);
    return CLI_DONE;
}

// ---- options without effect

/// Does a shape of --shapes, or a file, say what the batch is?
static bool says_batch(const norn_plan *plan, size_t input, int32_t rank, const int64_t *dims,
                       int64_t *batch) {
    const norn_port *port = norn_plan_input(plan, input);
    const char *symbol = norn_plan_batch_symbol(plan);
    for (int32_t d = 0; symbol && d < rank && d < port->rank; d++) {
        if (port->dims[d] >= 0 || !port->dim_names[d] || strcmp(port->dim_names[d], symbol) != 0)
            continue;
        *batch = dims[d];
        return true;
    }
    return false;
}

static int check_batch(const cli_command *command, const norn_plan *plan, const cli_inputs *inputs,
                       const cli_made_up *said) {
    int64_t batch = said->batch;
    if (said->batch == 0) return CLI_DONE;
    if (!norn_plan_batch_symbol(plan))
        return said->batch == 1 ? CLI_DONE
                                : cli_error(command, CLI_WRONG,
                                            "--batch %lld has no effect: no dimension of the model "
                                            "is a batch",
                                            (long long)said->batch);
    for (size_t i = 0; i < said->shape_count; i++) {
        const char *name = said->shapes[i].name;
        const size_t input = find_input(plan, name, strlen(name));
        if (input < inputs->count)
            (void)says_batch(plan, input, said->shapes[i].rank, said->shapes[i].dims, &batch);
    }
    for (size_t i = 0; i < inputs->count; i++)
        if (inputs->files[i])
            (void)says_batch(plan, i, inputs->views[i].rank, inputs->views[i].dims, &batch);
    if (batch == said->batch) return CLI_DONE;
    return cli_error(command, CLI_WRONG,
                     "--batch %lld has no effect: the inputs' shapes make the batch %lld",
                     (long long)said->batch, (long long)batch);
}

int cli_check_made_up(const cli_command *command, const norn_plan *plan, const cli_inputs *inputs,
                      const cli_made_up *said) {
    bool all = true;
    for (size_t i = 0; i < inputs->count; i++) all = all && inputs->files[i];
    for (size_t i = 0; i < said->shape_count; i++) {
        const char *name = said->shapes[i].name;
        const size_t input = find_input(plan, name, strlen(name));
        if (input < inputs->count && inputs->files[input])
            return cli_error(command, CLI_WRONG,
                             "--shapes %s:… has no effect: that input comes from a file", name);
    }
    if (all && (said->seed >= 0 || said->sets > 0))
        return cli_error(command, CLI_WRONG, "%s has no effect: every input comes from a file",
                         said->seed >= 0 ? "--seed" : "--input-sets");
    return check_batch(command, plan, inputs, said);
}

int cli_check_names(const cli_command *command, const norn_plan *plan, const char *option,
                    const char *dir) {
    char path[CLI_PATH_BYTES];
    for (size_t i = 0; i < norn_plan_output_count(plan); i++)
        for (size_t k = 0; k < i; k++)
            if (one_file(dir, norn_plan_output(plan, i)->name, norn_plan_output(plan, k)->name,
                         path))
                return cli_error(command, CLI_WRONG,
                                 "%s: outputs '%s' and '%s' would be one file, %s; rename one in "
                                 "the model",
                                 option, norn_plan_output(plan, k)->name,
                                 norn_plan_output(plan, i)->name, path);
    return CLI_DONE;
}

void cli_inputs_free(cli_inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++) norn_file_release(inputs->files[i]);
    inputs->count = 0;
}
