#include "base/thread.h"
#include "cli/inputs.h"
#include "cli/load.h"
#include "insight/bench_report.h"

#include <stdio.h>
#include <stdlib.h>

static int run(int argc, char **argv);

const cli_command cli_bench = {
    .name = "bench",
    .operands = "MODEL|PLAN",
    .operand_count = 1,
    .summary = "time a model: throughput and latencies of each phase",
    .details = "A closed loop: each of --concurrency callers runs the next batch as soon as it has "
               "the last. Inputs are\n"
               "random where they are not given, several sets take turns, and ids spread over "
               "their tables as in traffic.\n"
               "At least three runs are measured, however long they take.\n\n"
               "  norn bench model.norn --batch 64\n"
               "  norn bench model.norn --batch 256 --concurrency 2 --threads 1 --duration 10\n"
               "  norn bench model.norn --batch 64 --json | jq .run.p99_us\n"
               "\nphases: acquire (wait for an instance), input (into staging memory, and to the "
               "GPU), compute, output (back), and\n"
               "run, which is all but acquire.\n",
    .run = run,
};

static int run(int argc, char **argv) {
    cli_compiling compile = {0};
    const char *shapes = NULL;
    cli_list named = {0};
    norn_input_shape *given = NULL;
    int64_t batch = 0, concurrency = 1, threads = 0, sets = 0, seed = -1, memory_mb = 0;
    double duration = 3, warmup = 0.5;
    bool json = false;
    const cli_option options[] = {
        {"--batch", 'b', CLI_COUNT, &batch, "N", "rows of a run (default 1)"},
        {"--concurrency", 'c', CLI_THREADS, &concurrency, "N",
         "callers, each with an instance of its own (default 1)"},
        {"--threads", 0, CLI_THREADS, &threads, "N",
         "compute threads of an instance (default: all cores shared out)"},
        {"--max-memory", 0, CLI_MEGABYTES, &memory_mb, "MB",
         "buffers of an instance (default: half of what is left, shared out)"},
        {"--duration", 'd', CLI_REAL, &duration, "S", "seconds to measure (default 3)"},
        {"--warmup", 0, CLI_REAL, &warmup, "S", "seconds before measuring (default 0.5)"},
        {"--input", 'i', CLI_LIST, &named, "NAME=FILE.npy",
         "an input; may be given many times. Others are random"},
        {"--shapes", 0, CLI_TEXT, &shapes, "S", "shapes of inputs: NAME:2x13,OTHER:2x26"},
        {"--input-sets", 0, CLI_COUNT, &sets, "N", "different inputs that take turns (default 8)"},
        {"--seed", 0, CLI_INT, &seed, "N", "of the inputs (default 1)"},
        {"--json", 0, CLI_FLAG, &json, NULL, "one JSON object on stdout"},
        CLI_COMPILE_OPTIONS(&compile),
    };
    cli_loaded loaded = {0};
    cli_inputs inputs = {0};
    norn_arena arena;
    norn_buffer report;
    norn_bench_result *result = NULL;
    cli_list operands;
    int exit_status;
    size_t shape_count = 0;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    norn_buffer_init(&report, norn_alloc_heap());
    if (!cli_parse(&cli_bench, options, sizeof options / sizeof options[0], argc, argv, &operands,
                   &exit_status))
        goto done;
    if (sets > 4096) {
        exit_status = cli_error(&cli_bench, CLI_WRONG, "--input-sets is at most 4096");
        goto done;
    }
    if (!cli_shapes(&cli_bench, "--shapes", shapes, &given, &shape_count)) {
        exit_status = CLI_WRONG;
        goto done;
    }
    exit_status = cli_load(&cli_bench, &compile, operands.at[0], &loaded);
    if (exit_status != CLI_DONE) goto done;
    exit_status = cli_take_inputs(&cli_bench, loaded.plan, &named, NULL, &arena, &inputs);
    if (exit_status != CLI_DONE) goto done;
    const cli_made_up said = {
        .batch = batch, .seed = seed, .sets = sets, .shapes = given, .shape_count = shape_count};
    exit_status = cli_check_made_up(&cli_bench, loaded.plan, &inputs, &said);
    if (exit_status != CLI_DONE) goto done;
    const norn_bench_options bench = {
        .given = inputs.views,
        .inputs = {.batch = batch,
                   .shapes = given,
                   .shape_count = shape_count,
                   .seed = seed < 0 ? 1 : (uint64_t)seed},
        .concurrency = (int32_t)concurrency,
        .threads = (int32_t)threads,
        .max_memory_bytes = memory_mb << 20,
        .duration_s = duration,
        .warmup_s = warmup,
        .input_sets = sets ? (int32_t)sets : 8,
        .progress = cli_progress,
    };
    result = aligned_alloc(64, (sizeof *result + 63) / 64 * 64);
    if (!result) {
        exit_status = cli_error(&cli_bench, CLI_FAILED, "out of memory");
    } else if (norn_bench(loaded.plan, loaded.snapshot, &bench, norn_alloc_heap(), result) !=
               NORN_OK) {
        exit_status = cli_failed(&cli_bench);
    } else {
        cli_progress_end();
        const int32_t share = norn_core_count() / (int32_t)concurrency;
        const int32_t each = threads ? (int32_t)threads : share > 0 ? share : 1;
        (json ? norn_bench_json : norn_bench_text)(result, &bench, each, &report);
        if (norn_buffer_status(&report) == NORN_OK)
            (void)fwrite(report.bytes, 1, report.count, stdout);
        else
            exit_status = cli_failed(&cli_bench);
    }
done:
    free(result);
    free(given);
    cli_inputs_free(&inputs);
    cli_list_free(&named);
    norn_arena_deinit(&arena);
    norn_buffer_deinit(&report);
    cli_unload(&loaded);
    cli_list_free(&operands);
    return exit_status;
}
