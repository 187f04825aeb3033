#include "compile/compile.h"
#include "base/log.h"
#include "base/memory.h"
#include "compile/evaluate.h"
#include "compile/package.h"
#include "graph/model.h"
#include "passes/pass.h"

#include <string.h>

/// What the caller left open, norn.json may say.
static norn_status merge_options(norn_plan *plan, const norn_model *model,
                                 const norn_compile_options *given, norn_package_config *config,
                                 norn_compile_options *out) {
    *out = given ? *given : (norn_compile_options){0};
    *config = (norn_package_config){0};
    if (!model->config) return NORN_OK;
    NORN_TRY(norn_package_parse("norn.json", norn_span_text(model->config), &plan->arena, config));
    if (!out->device) out->device = config->device;
    if (out->precision == NORN_PRECISION_FP32) out->precision = config->precision;
    if (out->max_batch == 0) out->max_batch = config->max_batch;
    if (config->freeze_initializers) out->freeze_initializers = 1;
    if (out->min_count == 0)
        out->min_shapes = config->min_shapes.at, out->min_count = config->min_shapes.count;
    if (out->opt_count == 0)
        out->opt_shapes = config->opt_shapes.at, out->opt_count = config->opt_shapes.count;
    if (out->max_count == 0)
        out->max_shapes = config->max_shapes.at, out->max_count = config->max_shapes.count;
    return NORN_OK;
}

/// Weights that callers may override are not packed, folded or made tables.
static void report_fallbacks(const norn_plan *plan) {
    enum { WORTH_SAYING = 64 << 10 };
    for (uint32_t i = 0; i < plan->graph->input_count; i++) {
        const norn_value *input = plan->graph->inputs[i];
        size_t bytes = 0;
        if (!input->fallback || norn_view_bytes(input->fallback, &bytes) != NORN_OK) continue;
        if (bytes < WORTH_SAYING) continue;
        norn_log(NORN_LOG_WARN,
                 "%s: callers may override initializer '%s' (%zu bytes), so it is computed with as "
                 "it comes; --freeze-initializers makes it a constant",
                 plan->name, input->name, bytes);
    }
}

static void progress(const norn_compile_options *options, const char *what, double fraction) {
    if (options && options->progress) options->progress(options->progress_context, what, fraction);
}

/// A plan is called as its model's file is.
static norn_status name_plan(norn_plan *plan, const norn_model *model) {
    const char *path = model->path ? model->path : "";
    const char *end = strrchr(path, '/'), *name = end ? end + 1 : path;
    size_t count = strlen(name);
    if (count > 5 && strcmp(name + count - 5, ".onnx") == 0) count -= 5;
    if (count == 0) name = model->graph->name, count = strlen(name);
    return norn_arena_string(&plan->arena, name, count, &plan->name);
}

static norn_status take_tables(norn_plan *plan, const norn_pass_context *context,
                               const norn_package_config *config) {
    NORN_TRY(NORN_TAKE_ARRAY(&plan->arena, (size_t)context->table_count + 1, &plan->tables));
    for (uint32_t i = 0; i < context->table_count; i++) {
        const norn_table_def *def = &context->tables[i];
        norn_plan_table *table = &plan->tables[i];
        *table = (norn_plan_table){.dim = def->dim, .dtype = def->dtype, .data = def->rows};
        NORN_TRY(norn_arena_string(&plan->arena, def->name, strlen(def->name), &table->name));
        table->source = table->name;
        if (def->rows) table->rows = def->rows->dims[0];
        for (uint32_t k = 0; k < config->table_count; k++)
            if (strcmp(config->tables[k].name, def->name) == 0)
                table->missing_is_error = config->tables[k].missing_is_error;
        plan->table_count++;
    }
    for (uint32_t k = 0; k < config->table_count; k++) {
        uint32_t i = 0;
        while (i < plan->table_count && strcmp(plan->tables[i].name, config->tables[k].name) != 0)
            i++;
        if (i == plan->table_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "norn.json: the model has no table '%s'",
                             config->tables[k].name);
    }
    return NORN_OK;
}

static norn_status optimise(norn_plan *plan, const norn_model *model,
                            const norn_compile_options *options,
                            const norn_package_config *config) {
    norn_evaluate evaluate = {plan->devices[NORN_HOST], plan->alloc};
    norn_pass_context context = {.options = options,
                                 .evaluator = norn_evaluator_on(&evaluate),
                                 .host = &plan->devices[NORN_HOST]->target,
                                 .target = plan->place_count > 1 ? &plan->devices[1]->target : NULL,
                                 .tables_dir = model->tables_dir};
    NORN_TRY(norn_passes_run(&context, plan->graph));
    return take_tables(plan, &context, config);
}

/// Say once which part of the model stays on the CPU.
static void report_fallback(const norn_plan *plan) {
    const norn_program *program = plan->program;
    const char *first = NULL;
    if (plan->place_count == 1 || program->host_steps == 0) return;
    for (uint32_t i = 0; i < program->step_count && !first; i++)
        if (program->steps[i].kind == NORN_STEP_KERNEL && program->steps[i].place == NORN_HOST)
            first = program->steps[i].node->name;
    norn_log(
        NORN_LOG_WARN,
        "%s: %u of %u steps run on the CPU, first node '%s'; the plan runs without CUDA graphs",
        plan->name, program->host_steps, program->step_count, first ? first : "");
}

/// What was asked of a GPU has no meaning on the CPU.
static void settle_precision(norn_plan *plan, norn_compile_options *options) {
    if (plan->place_count == 1 && options->precision != NORN_PRECISION_FP32) {
        norn_log(NORN_LOG_WARN, "%s: precision %s is not used: the CPU computes in fp32",
                 plan->name, norn_precision_name(options->precision));
        options->precision = NORN_PRECISION_FP32;
    }
    plan->precision = options->precision;
}

norn_status norn_compile_plan(const norn_model *model, const norn_compile_options *given,
                              norn_alloc alloc, norn_plan **out) {
    norn_plan *plan = NULL;
    norn_compile_options options;
    norn_package_config config;
    norn_status status;
    *out = NULL;
    NORN_TRY_DONE(norn_plan_create(alloc, &plan));
    NORN_TRY_DONE(name_plan(plan, model));
    NORN_TRY_DONE(merge_options(plan, model, given, &config, &options));
    NORN_TRY_DONE(norn_plan_open_devices(plan, options.device));
    settle_precision(plan, &options);
    NORN_TRY_DONE(norn_graph_clone(model->graph, alloc, &plan->graph));
    NORN_TRY_DONE(norn_compile_adopt_constants(plan, model, plan->graph));
    if (options.freeze_initializers) NORN_TRY_DONE(norn_graph_freeze(plan->graph));
    report_fallbacks(plan);
    NORN_TRY_DONE(norn_compile_profile(plan->graph, &options, given));
    progress(&options, "optimising", 0.1);
    NORN_TRY_DONE(optimise(plan, model, &options, &config));
    if (options.stop_after) {
        status = norn_fail(NORN_CANCELLED, "stopped after pass '%s', as asked", options.stop_after);
        goto done;
    }
    progress(&options, "planning", 0.6);
    NORN_TRY_DONE(norn_plan_finish(plan));
    NORN_TRY_DONE(norn_plan_generate_code(plan, &options));
    report_fallback(plan);
    progress(&options, "done", 1.0);
    *out = plan;
    plan = NULL;
done:
    if (status != NORN_OK && status != NORN_CANCELLED && model->path) norn_note("%s", model->path);
    norn_plan_release(plan);
    return status;
}
