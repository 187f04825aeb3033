#include "base/clock.h"
#include "cli/load.h"
#include "insight/explain.h"
#include "plan/plan.h"

#include <stdio.h>
#include <sys/stat.h>

static int run(int argc, char **argv);

const cli_command cli_compile = {
    .name = "compile",
    .operands = "MODEL",
    .operand_count = 1,
    .summary = "compile a model to a plan",
    .details = "MODEL is an .onnx file or a package's version folder. The plan holds everything "
               "but the embedding\n"
               "tables, which go to PLAN.tables/ when they were initializers of the model.\n\n"
               "  norn compile model.onnx -o model.norn\n"
               "  norn compile model.onnx -o model.norn --max-shapes dense:4096x13,sparse:4096x26\n"
               "  norn compile model.onnx -o gpu.norn --device cuda --precision tf32\n"
               "  norn compile model.onnx -o model.norn --explain    every step, with the ONNX "
               "nodes it came from\n",
    .run = run,
};

static norn_status explain(const norn_plan *plan) {
    norn_buffer text;
    norn_buffer_init(&text, norn_alloc_heap());
    norn_explain_plan(plan, &text);
    const norn_status status = norn_buffer_status(&text);
    if (status == NORN_OK) fwrite(text.bytes, 1, text.count, stdout);
    norn_buffer_deinit(&text);
    return status;
}

static int run(int argc, char **argv) {
    cli_compiling compile = {0};
    const char *output = NULL, *timing_cache = NULL;
    bool explained = false;
    const cli_option options[] = {
        {"--output", 'o', CLI_TEXT, &output, "PLAN",
         "where the plan goes; needed unless --explain or --stop-after is given"},
        {"--explain", 0, CLI_FLAG, &explained, NULL,
         "say what each step does, where, and why it stands alone"},
        {"--timing-cache", 0, CLI_TEXT, &timing_cache, "FILE",
         "GPU: choices of kernels that models share; made when it is not there"},
        CLI_COMPILE_OPTIONS(&compile),
    };
    cli_list operands;
    int exit_status;
    norn_model *model = NULL;
    norn_plan *plan = NULL;
    struct stat file = {.st_size = 0};
    if (!cli_parse(&cli_compile, options, sizeof options / sizeof options[0], argc, argv, &operands,
                   &exit_status))
        goto done;
    if (!output && !explained && !compile.stop_after) {
        exit_status = cli_error(&cli_compile, CLI_WRONG, "say where the plan goes: -o PLAN");
        goto done;
    }
    if (compile.stop_after && (output || explained)) {
        exit_status = cli_error(&cli_compile, CLI_WRONG,
                                "%s has no effect with --stop-after, which leaves no plan",
                                output ? "--output" : "--explain");
        goto done;
    }
    const int64_t begin_ns = norn_clock_now_ns();
    if (norn_model_open(operands.at[0], norn_alloc_heap(), &model) != NORN_OK) {
        exit_status = cli_failed(&cli_compile);
        goto done;
    }
    exit_status = cli_compile_model(&cli_compile, &compile, model, &plan);
    if (exit_status != CLI_DONE || !plan) goto done;
    if ((timing_cache || output) && norn_plan_tune(plan, timing_cache) != NORN_OK) {
        exit_status = cli_failed(&cli_compile);
        goto done;
    }
    if ((output && norn_plan_save(plan, output) != NORN_OK) ||
        (explained && explain(plan) != NORN_OK)) {
        exit_status = cli_failed(&cli_compile);
        goto done;
    }
    if (!output) goto done;
    (void)stat(output, &file);
    printf("%s: %u step%s, %u table%s, batches to %lld, %.1f MB, %.2f s\n", output,
           plan->program->step_count, norn_plural(plan->program->step_count), plan->table_count,
           norn_plural(plan->table_count), (long long)norn_plan_max_batch(plan),
           (double)file.st_size / 1e6, (double)(norn_clock_now_ns() - begin_ns) / 1e9);
done:
    norn_plan_release(plan);
    norn_model_close(model);
    cli_list_free(&operands);
    return exit_status;
}
