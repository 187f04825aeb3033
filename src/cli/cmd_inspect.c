#include "base/file.h"
#include "base/file_writer.h"
#include "cli/options.h"
#include "graph/model.h"
#include "insight/inspect.h"
#include "package/package_open.h"
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

static int run(int argc, char **argv);

const cli_command cli_inspect = {
    .name = "inspect",
    .operands = "MODEL|PLAN",
    .operand_count = 1,
    .summary = "say what is in a model: shapes, parameters, FLOPs, bytes, nodes",
    .details =
        "MODEL is an .onnx file or a package's version folder; a plan, or the folder of one, is "
        "shown after optimisation.\n"
        "FLOPs and bytes are those of one run at --batch, parameters the elements of its "
        "weights.\n\n"
        "  norn inspect model.onnx\n"
        "  norn inspect model.onnx --batch 256 --nodes\n"
        "  norn inspect repository/movielens/1 --html movielens.html\n"
        "  norn inspect model.onnx --json | jq .parameters\n",
    .run = run,
};

typedef struct inspect_options {
    int64_t batch;
    bool nodes, graph, json;
    const char *html;
} inspect_options;

static norn_status write_file(const char *path, const norn_buffer *text) {
    norn_file_writer *writer;
    NORN_TRY(norn_file_writer_open(path, norn_alloc_heap(), &writer));
    norn_status status = norn_file_writer_append(writer, text->bytes, text->count);
    if (status != NORN_OK) {
        norn_file_writer_abort(writer);
        return status;
    }
    return norn_file_writer_commit(writer);
}

static norn_status show(const inspect_options *options, const norn_graph *graph,
                        const norn_inspection *inspection) {
    norn_buffer text;
    norn_buffer_init(&text, norn_alloc_heap());
    if (options->html) {
        norn_inspect_html(inspection, &text);
    } else if (options->graph) {
        norn_graph_print(graph, &text);
    } else if (options->json) {
        norn_inspect_json(inspection, &text);
    } else {
        norn_inspect_text(inspection, options->nodes, &text);
    }
    norn_status status = norn_buffer_status(&text);
    if (status == NORN_OK && options->html) status = write_file(options->html, &text);
    if (status == NORN_OK && !options->html) fwrite(text.bytes, 1, text.count, stdout);
    norn_buffer_deinit(&text);
    return status;
}

static norn_status inspect(const inspect_options *options, const char *path) {
    char plan_path[NORN_PACKAGE_PATH], tables[NORN_PACKAGE_PATH];
    norn_model *model = NULL;
    norn_plan *plan = NULL;
    norn_inspection inspection;
    norn_arena arena;
    norn_status status;
    norn_arena_init(&arena, norn_alloc_heap(), 1 << 16);
    if (norn_package_plan_path(path, plan_path)) {
        NORN_TRY_DONE(norn_plan_load(plan_path, norn_alloc_heap(), &plan));
    } else {
        NORN_TRY_DONE(norn_model_open(path, norn_alloc_heap(), &model));
    }
    const norn_graph *graph = model ? model->graph : plan->graph;
    NORN_TRY_DONE(norn_inspect_graph(graph, model ? model->tables_dir : NULL, options->batch,
                                     &arena, &inspection));
    inspection.path = path;
    if (model) inspection.opset = model->opset, inspection.producer = model->producer;
    const char *tables_dir = norn_package_tables_dir(path, tables) ? tables : NULL;
    if (plan) NORN_TRY_DONE(norn_inspect_plan_tables(plan, tables_dir, &arena, &inspection));
    NORN_TRY_DONE(show(options, graph, &inspection));
done:
    norn_arena_deinit(&arena);
    norn_model_close(model);
    norn_plan_release(plan);
    return status;
}

/// Refuse what would have no effect, then fill in defaults.
static int settle(inspect_options *o) {
    const char *form = o->html ? "--html" : o->graph ? "--graph" : o->json ? "--json" : NULL;
    const char *lost = o->html && o->graph                ? "--graph"
                       : (o->html || o->graph) && o->json ? "--json"
                       : form && o->nodes                 ? "--nodes"
                       : o->graph && o->batch             ? "--batch"
                                                          : NULL;
    if (lost) return cli_error(&cli_inspect, CLI_WRONG, "%s has no effect with %s", lost, form);
    if (o->batch == 0) o->batch = 1;
    return CLI_DONE;
}

static int run(int argc, char **argv) {
    inspect_options inspected = {.batch = 0};
    const cli_option options[] = {
        {"--batch", 'b', CLI_COUNT, &inspected.batch, "N",
         "the batch that FLOPs and bytes are for (default 1)"},
        {"--nodes", 0, CLI_FLAG, &inspected.nodes, NULL,
         "list every node in order, not only those with the most work"},
        {"--graph", 0, CLI_FLAG, &inspected.graph, NULL,
         "print the graph as the compiler reads it"},
        {"--json", 0, CLI_FLAG, &inspected.json, NULL, "one JSON object on stdout"},
        {"--html", 0, CLI_TEXT, &inspected.html, "FILE", "write one page whose tables sort"},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_inspect, options, sizeof options / sizeof options[0], argc, argv, &operands,
                  &exit_status)) {
        exit_status = settle(&inspected);
        if (exit_status == CLI_DONE && inspect(&inspected, operands.at[0]) != NORN_OK)
            exit_status = cli_failed(&cli_inspect);
    }
    cli_list_free(&operands);
    return exit_status;
}
