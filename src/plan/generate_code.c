#include "base/memory.h"
#include "plan/plan.h"

#include <string.h>

typedef struct generator {
    norn_plan *plan;
    const norn_target *target;
    const norn_compile_options *options; ///< may be NULL
    norn_arena scratch;
} generator;

/// The code of a step, kept in the plan; none is fine.
static norn_status generate(generator *g, norn_step *step, const int64_t *max) {
    norn_plan *plan = g->plan;
    norn_view *views;
    norn_span made = {0};
    void *kept;
    step->code = (norn_span){0};
    NORN_TRY(NORN_TAKE_ARRAY(&g->scratch, (size_t)step->in_count + step->out_count + 1, &views));
    norn_step_spec spec = norn_node_spec(step->node, max, views);
    norn_status status = g->target->ops->codegen(g->target, &spec, plan->alloc, &made);
    if (status != NORN_OK) {
        norn_note("node '%s'", step->node->name);
        return status;
    }
    if (made.count == 0) return NORN_OK;
    status = norn_arena_take(&plan->arena, made.count, 1, NORN_HOST_ALIGN, &kept);
    if (status == NORN_OK) {
        memcpy(kept, made.bytes, made.count);
        step->code = norn_span_of(kept, made.count);
        plan->codes[plan->code_count++] = (norn_plan_code){step->state, step->code};
    }
    norn_free(plan->alloc, (void *)(uintptr_t)made.bytes);
    return status;
}

static norn_status generate_all(generator *g, norn_program *program, bool is_body) {
    const norn_compile_options *options = is_body ? NULL : g->options;
    int64_t *max;
    NORN_TRY(NORN_TAKE_ARRAY(&g->scratch, (size_t)program->graph->symbols.count + 1, &max));
    norn_symbols_at_max(program->graph, max);
    for (uint32_t i = 0; i < program->step_count; i++) {
        norn_step *step = &program->steps[i];
        for (uint32_t b = 0; b < step->body_count; b++)
            NORN_TRY(generate_all(g, step->bodies[b], true));
        if (step->kind != NORN_STEP_KERNEL || step->place == NORN_HOST) continue;
        NORN_TRY(generate(g, step, max));
        if (options && options->progress)
            options->progress(options->progress_context, "generating code",
                              (double)(i + 1) / program->step_count);
    }
    return NORN_OK;
}

norn_status norn_plan_generate_code(norn_plan *plan, const norn_compile_options *options) {
    generator g = {.plan = plan, .target = norn_plan_target(plan), .options = options};
    if (!g.target || !g.target->ops->codegen) return NORN_OK;
    norn_arena_init(&g.scratch, plan->alloc, 1 << 14);
    plan->code_count = 0;
    norn_status status =
        NORN_TAKE_ARRAY(&plan->arena, (size_t)plan->program->state_count + 1, &plan->codes);
    if (status == NORN_OK) status = generate_all(&g, plan->program, false);
    norn_arena_deinit(&g.scratch);
    return status;
}
