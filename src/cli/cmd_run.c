#include "base/file.h"
#include "base/json.h"
#include "cli/inputs.h"
#include "cli/load.h"
#include "plan/plan.h"
#include "runtime/instance.h"
#include "runtime/random_input.h"
#include "tensor/dtype.h"
#include "tensor/npy.h"
#include "tensor/view.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int run(int argc, char **argv);

const cli_command cli_run = {
    .name = "run",
    .operands = "MODEL|PLAN",
    .operand_count = 1,
    .summary = "run a model once on given or random inputs",
    .details =
        "Inputs are .npy files; what is not given is made up, of shapes that fit each other, and "
        "said "
        "to be so. Outputs are\n"
        "written as DIR/NAME.npy ('/' in a name becomes '_').\n\n"
        "  norn run model.onnx --output-dir out\n"
        "  norn run model.norn --input dense=dense.npy --input sparse=sparse.npy --output-dir out\n"
        "  norn run model.onnx --input-dir in --expect expected --rtol 1e-5    compare with "
        "DIR/NAME.npy\n"
        "  norn run model.onnx --shapes dense:64x13,sparse:64x26\n",
    .run = run,
};

typedef struct run_options {
    cli_compiling compile;
    cli_list inputs;
    const char *input_dir, *output_dir, *expect, *shapes;
    double rtol, atol;
    int64_t batch, seed, threads, memory_mb;
} run_options;

/// Everything of one run; freed by `forget`.
typedef struct run_state {
    const run_options *options;
    cli_loaded loaded;
    norn_arena arena;
    cli_inputs inputs;
    size_t output_count;
    norn_input_shape *shapes;
    size_t shape_count;
    norn_session *session;
    norn_instance *instance;
} run_state;

static int64_t seed_of(const run_options *options) {
    return options->seed < 0 ? 1 : options->seed;
}

/// Inputs that are not given: made up and, to see that they fit, run.
static int run_made_up(run_state *state) {
    const norn_random_inputs random = {.batch = state->options->batch,
                                       .shapes = state->shapes,
                                       .shape_count = state->shape_count,
                                       .seed = (uint64_t)seed_of(state->options)};
    int64_t *symbols;
    char text[NORN_VIEW_TEXT];
    if (norn_random_find(state->instance, state->loaded.snapshot, &random, state->inputs.views,
                         &state->arena, &symbols) != NORN_OK)
        return cli_failed(&cli_run);
    for (size_t i = 0; i < state->inputs.count; i++) {
        if (state->inputs.files[i]) continue;
        if (norn_random_fill(state->loaded.plan, state->loaded.snapshot, symbols, i, random.seed,
                             &state->arena, &state->inputs.views[i]) != NORN_OK)
            return cli_failed(&cli_run);
        const norn_port *port = norn_plan_input(state->loaded.plan, i);
        if (port->optional) continue; // the model's own
        fprintf(stderr, "input '%s' is random: %s, seed %lld\n", port->name,
                norn_view_text(&state->inputs.views[i], text), (long long)random.seed);
    }
    return CLI_DONE;
}

static norn_status open_instance(run_state *state) {
    const norn_session_options session = {.instances = 1,
                                          .threads = (int32_t)state->options->threads,
                                          .max_memory_bytes = state->options->memory_mb << 20,
                                          .snapshot = state->loaded.snapshot};
    NORN_TRY(norn_session_create(state->loaded.plan, &session, norn_alloc_heap(), &state->session));
    return norn_instance_acquire(state->session, 0, &state->instance);
}

static norn_status place_and_run(run_state *state) {
    for (size_t i = 0; i < state->inputs.count; i++) {
        const norn_view *view = &state->inputs.views[i];
        void *to;
        size_t bytes;
        NORN_TRY(norn_instance_input(state->instance, i, view->rank, view->dims, &to));
        NORN_TRY(norn_view_bytes(view, &bytes));
        if (bytes) memcpy(to, view->data, bytes);
    }
    return norn_instance_run(state->instance);
}

// ---- outputs

static int write_outputs(const run_state *state) {
    char path[CLI_PATH_BYTES];
    if (mkdir(state->options->output_dir, 0777) != 0 && errno != EEXIST)
        return cli_error(&cli_run, CLI_FAILED, "--output-dir '%s': %s", state->options->output_dir,
                         strerror(errno));
    for (size_t i = 0; i < state->output_count; i++) {
        cli_npy_path(state->options->output_dir, norn_plan_output(state->loaded.plan, i)->name,
                     path);
        if (norn_npy_write(path, norn_instance_output(state->instance, i), norn_alloc_heap()) !=
            NORN_OK)
            return cli_failed(&cli_run);
    }
    return CLI_DONE;
}

typedef struct comparison {
    double max_abs, max_rel; ///< max_rel: |a - b| / |b| where |b| > atol
    int64_t wrong, elems, first_wrong;
} comparison;

static bool same_value(double got, double wanted, double rtol, double atol) {
    if (isnan(wanted) || isnan(got)) return isnan(wanted) && isnan(got);
    if (isinf(wanted) || isinf(got)) return wanted == got;
    return fabs(got - wanted) <= atol + rtol * fabs(wanted);
}

static comparison compare(const norn_view *got, const norn_view *wanted, double rtol, double atol) {
    comparison c = {.elems = norn_view_elems(wanted), .first_wrong = -1};
    for (int64_t i = 0; i < c.elems; i++) {
        const double a = norn_element_f64(got->dtype, got->data, i),
                     b = norn_element_f64(wanted->dtype, wanted->data, i);
        const double error = fabs(a - b);
        if (error > c.max_abs) c.max_abs = error;
        if (fabs(b) > atol && error / fabs(b) > c.max_rel) c.max_rel = error / fabs(b);
        if (same_value(a, b, rtol, atol)) continue;
        if (c.wrong++ == 0) c.first_wrong = i;
    }
    return c;
}

/// One line an output; CLI_FAILED when any differs.
static int expect_output(const run_state *state, size_t index) {
    const run_options *options = state->options;
    const norn_view *got = norn_instance_output(state->instance, index);
    const char *name = norn_plan_output(state->loaded.plan, index)->name;
    char path[CLI_PATH_BYTES], got_text[NORN_VIEW_TEXT], wanted_text[NORN_VIEW_TEXT];
    norn_file *file = NULL;
    norn_view wanted;
    int exit_status = CLI_DONE;
    cli_npy_path(options->expect, name, path);
    if (cli_npy_load(path, &file, &wanted) != NORN_OK) {
        exit_status = cli_failed(&cli_run);
    } else if (got->dtype != wanted.dtype || !norn_view_same_shape(got, &wanted)) {
        exit_status =
            cli_error(&cli_run, CLI_FAILED, "output '%s' is %s, expected %s", name,
                      norn_view_text(got, got_text), norn_view_text(&wanted, wanted_text));
    } else {
        const comparison c = compare(got, &wanted, options->rtol, options->atol);
        printf("%-24s %-20s max abs %.3g  max rel %.3g  %s\n", name, norn_view_text(got, got_text),
               c.max_abs, c.max_rel, c.wrong ? "DIFFERS" : "ok");
        if (c.wrong)
            exit_status = cli_error(
                &cli_run, CLI_FAILED,
                "output '%s': %lld of %lld element%s differ%s by more than %g + %g * "
                "|expected|; the first, element %lld, is %.9g, expected %.9g",
                name, (long long)c.wrong, (long long)c.elems, norn_plural(c.elems),
                norn_number(c.wrong, "s", ""), options->atol, options->rtol,
                (long long)c.first_wrong, norn_element_f64(got->dtype, got->data, c.first_wrong),
                norn_element_f64(wanted.dtype, wanted.data, c.first_wrong));
    }
    norn_file_release(file);
    return exit_status;
}

static void print_text(const norn_string *text) {
    norn_buffer quoted;
    norn_buffer_init(&quoted, norn_alloc_heap());
    norn_json_put_string(&quoted, text->bytes, text->count);
    printf(" %.*s", (int)quoted.count, (const char *)quoted.bytes);
    norn_buffer_deinit(&quoted);
}

static void print_element(const norn_view *view, int64_t i) {
    if (view->dtype == NORN_STRING)
        print_text((const norn_string *)view->data + i);
    else if (view->dtype == NORN_U64)
        printf(" %llu", ((const unsigned long long *)view->data)[i]);
    else if (norn_dtype_is_integer(view->dtype))
        printf(" %lld", (long long)norn_element_i64(view->dtype, view->data, i));
    else
        printf(" %.7g", norn_element_f64(view->dtype, view->data, i));
}

/// Without --expect and --output-dir: the first elements of every output.
static void print_outputs(const run_state *state) {
    char text[NORN_VIEW_TEXT];
    for (size_t i = 0; i < state->output_count; i++) {
        const norn_view *view = norn_instance_output(state->instance, i);
        const int64_t elems = norn_view_elems(view);
        printf("%-24s %-20s", norn_plan_output(state->loaded.plan, i)->name,
               norn_view_text(view, text));
        for (int64_t e = 0; e < elems && e < 8; e++) print_element(view, e);
        printf("%s\n", elems > 8 ? " …" : "");
    }
}

/// A default row in the place of a missing one is an answer, but perhaps not the wanted one.
static void tell_missing(const run_state *state) {
    norn_table_set *tables = norn_session_pin_tables(state->session);
    for (uint32_t t = 0; t < tables->host_count; t++) {
        const uint64_t missing = norn_table_set_missing(tables, t);
        if (missing)
            fprintf(stderr, "table '%s': %llu key%s no row; the default row was taken\n",
                    tables->resident->plan->tables[t].name, (unsigned long long)missing,
                    norn_number(missing, " has", "s have"));
    }
    norn_table_set_release(tables);
}

static int run_loaded(run_state *state) {
    int exit_status;
    state->output_count = norn_plan_output_count(state->loaded.plan);
    if (state->options->output_dir &&
        (exit_status = cli_check_names(&cli_run, state->loaded.plan, "--output-dir",
                                       state->options->output_dir)) != CLI_DONE)
        return exit_status;
    if (state->options->expect &&
        (exit_status = cli_check_names(&cli_run, state->loaded.plan, "--expect",
                                       state->options->expect)) != CLI_DONE)
        return exit_status;
    if (!cli_shapes(&cli_run, "--shapes", state->options->shapes, &state->shapes,
                    &state->shape_count))
        return CLI_WRONG;
    exit_status = cli_take_inputs(&cli_run, state->loaded.plan, &state->options->inputs,
                                  state->options->input_dir, &state->arena, &state->inputs);
    if (exit_status != CLI_DONE) return exit_status;
    const cli_made_up said = {.batch = state->options->batch,
                              .seed = state->options->seed,
                              .shapes = state->shapes,
                              .shape_count = state->shape_count};
    exit_status = cli_check_made_up(&cli_run, state->loaded.plan, &state->inputs, &said);
    if (exit_status != CLI_DONE) return exit_status;
    if (open_instance(state) != NORN_OK) return cli_failed(&cli_run);
    bool all_given = true;
    for (size_t i = 0; i < state->inputs.count; i++) all_given &= state->inputs.files[i] != NULL;
    if (!all_given && (exit_status = run_made_up(state)) != CLI_DONE) return exit_status;
    if (all_given && place_and_run(state) != NORN_OK) return cli_failed(&cli_run);
    tell_missing(state);
    if (state->options->output_dir && (exit_status = write_outputs(state)) != CLI_DONE)
        return exit_status;
    for (size_t i = 0; state->options->expect && i < state->output_count; i++) {
        const int one = expect_output(state, i);
        if (one != CLI_DONE) exit_status = one;
    }
    if (!state->options->output_dir && !state->options->expect) print_outputs(state);
    return exit_status;
}

static void forget(run_state *state) {
    if (state->instance) norn_instance_release(state->instance);
    norn_session_destroy(state->session);
    cli_inputs_free(&state->inputs);
    free(state->shapes);
    norn_arena_deinit(&state->arena);
    cli_unload(&state->loaded);
}

/// Refuse what would have no effect, then fill in defaults.
static int settle(run_options *o) {
    if (!o->expect && (o->rtol >= 0 || o->atol >= 0))
        return cli_error(&cli_run, CLI_WRONG, "%s has no effect without --expect",
                         o->rtol >= 0 ? "--rtol" : "--atol");
    if (o->input_dir && !norn_path_is_dir(o->input_dir))
        return cli_error(&cli_run, CLI_FAILED, "--input-dir '%s' is not a folder", o->input_dir);
    if (o->rtol < 0) o->rtol = 1e-5;
    if (o->atol < 0) o->atol = 1e-6;
    return CLI_DONE;
}

static int run(int argc, char **argv) {
    run_options o = {.rtol = -1, .atol = -1, .seed = -1}; // below 0: not said
    const cli_option options[] = {
        {"--input", 'i', CLI_LIST, &o.inputs, "NAME=FILE",
         "an input from a .npy file; may be repeated"},
        {"--input-dir", 0, CLI_TEXT, &o.input_dir, "DIR",
         "take every input NAME from DIR/NAME.npy where it is there"},
        {"--output-dir", 'o', CLI_TEXT, &o.output_dir, "DIR", "write every output to DIR/NAME.npy"},
        {"--expect", 0, CLI_TEXT, &o.expect, "DIR",
         "compare every output with DIR/NAME.npy; exit status 1 if one differs"},
        {"--rtol", 0, CLI_REAL, &o.rtol, "R", "relative tolerance (default 1e-5)"},
        {"--atol", 0, CLI_REAL, &o.atol, "A", "absolute tolerance (default 1e-6)"},
        {"--shapes", 0, CLI_TEXT, &o.shapes, "S", "shapes of random inputs: NAME:2x13,OTHER:2x26"},
        {"--batch", 'b', CLI_COUNT, &o.batch, "N", "batch of random inputs (default 1)"},
        {"--seed", 0, CLI_INT, &o.seed, "N", "of random inputs (default 1)"},
        {"--threads", 0, CLI_THREADS, &o.threads, "N", "compute threads (default: all cores)"},
        {"--max-memory", 0, CLI_MEGABYTES, &o.memory_mb, "MB",
         "for values and inputs (default: half of what is left)"},
        CLI_COMPILE_OPTIONS(&o.compile),
    };
    run_state state = {.options = &o};
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_run, options, sizeof options / sizeof options[0], argc, argv, &operands,
                  &exit_status)) {
        norn_arena_init(&state.arena, norn_alloc_heap(), 1 << 16);
        exit_status = settle(&o);
        if (exit_status == CLI_DONE)
            exit_status = cli_load(&cli_run, &o.compile, operands.at[0], &state.loaded);
        if (exit_status == CLI_DONE) exit_status = run_loaded(&state);
        forget(&state);
    }
    cli_list_free(&o.inputs);
    cli_list_free(&operands);
    return exit_status;
}
